"""Settings as TOML. The standard library reads TOML, and does not write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from geodetect.redaction import redact


def to_toml(values: Mapping[str, Any]) -> str:
    """Return values as lines of TOML.

    Args:
        values: Texts, numbers, Booleans and lists of them by name.
    """
    return "".join(f"{name} = {toml_value(value)}\n" for name, value in values.items())


def toml_value(value: Any) -> str:
    """Return a text, number, Boolean or a list of them as TOML, without secrets of addresses."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    # a JSON text is a basic string of TOML, which also escapes DEL
    return json.dumps(redact(str(value)), ensure_ascii=False).replace("\x7f", "\\u007F")
