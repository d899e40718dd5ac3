"""Output of ``--json``, checked against the published schema."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

PATH = Path(__file__).parents[2] / "docs/schema/geodetect-1.json"


def read_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return schema


@cache
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(read_schema())


def check_json(text: str) -> dict[str, Any]:
    """Values of one JSON object (RFC 8259, so without NaN) that the schema allows."""
    values: dict[str, Any] = json.loads(text, parse_constant=_refuse)
    error = jsonschema.exceptions.best_match(validator().iter_errors(values))
    assert error is None, f"{error.json_path}: {error.message}"
    return values


@cache
def _event_validator() -> jsonschema.Draft202012Validator:
    kinds = [{"$ref": f"#/$defs/{name}"} for name in ("ProgressEvent", "MessageEvent")]
    return jsonschema.Draft202012Validator(read_schema() | {"oneOf": kinds})


def check_events(stderr: str) -> list[dict[str, Any]]:
    """Values of the lines of an error stream, each a JSON object that the schema allows."""
    events = [json.loads(line, parse_constant=_refuse) for line in stderr.splitlines()]
    for event in events:
        _event_validator().validate(event)
    return events


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
