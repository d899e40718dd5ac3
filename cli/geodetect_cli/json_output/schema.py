"""JSON Schema (draft 2020-12) of what ``--json`` prints, generated from the output classes."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from geodetect_cli.json_output.assessments import CompareOutput, EvaluateOutput, SummarizeOutput
from geodetect_cli.json_output.detections import (
    PlanOutput,
    PredictOutput,
    PreviewOutput,
    ReportOutput,
)
from geodetect_cli.json_output.envelope import SCHEMA_VERSION, FailureOutput, JsonOutput
from geodetect_cli.json_output.events import Event, MessageEvent, ProgressEvent
from geodetect_cli.json_output.labels import CheckOutput, TileOutput
from geodetect_cli.json_output.models import (
    CalibrateOutput,
    ConvertOutput,
    ExportOutput,
    ModelInfoOutput,
    ModelsOutput,
    QuantizeOutput,
    TrainOutput,
)
from geodetect_cli.json_output.rasters import RasterInfoOutput
from geodetect_cli.json_output.shards import (
    MergeOutput,
    PlannedRunOutput,
    ShardsOutput,
    StatusOutput,
)

OUTPUTS: tuple[type[JsonOutput], ...] = (
    PredictOutput,
    PlanOutput,
    PlannedRunOutput,
    ShardsOutput,
    MergeOutput,
    StatusOutput,
    TrainOutput,
    CheckOutput,
    EvaluateOutput,
    CompareOutput,
    SummarizeOutput,
    ReportOutput,
    PreviewOutput,
    CalibrateOutput,
    ConvertOutput,
    ExportOutput,
    QuantizeOutput,
    RasterInfoOutput,
    ModelInfoOutput,
    ModelsOutput,
    TileOutput,
    FailureOutput,
)
EVENTS: tuple[type[Event], ...] = (ProgressEvent, MessageEvent)  # lines of --progress json


class _OutputSchema(GenerateJsonSchema):
    """Schema of output classes: all keys are required, and described."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: titles would only repeat the keys."""
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a class."""
        result = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        result["description"] = _first_paragraph(model)
        properties: dict[str, dict[str, Any]] = result["properties"]
        texts = _field_texts(model)
        for name, field in model.model_fields.items():
            values = properties[field.serialization_alias or field.alias or name]
            values.pop("default", None)
            values.setdefault("description", texts.get(name, ""))
        result["required"] = list(properties)
        return result


def build_schema() -> dict[str, Any]:
    """Return the schema: an output of a command, or the failure of any; each one in ``$defs``.

    The lines of ``--progress json`` stand in ``$defs``, too.
    """
    _, schema = models_json_schema(
        [(output, "serialization") for output in (*OUTPUTS, *EVENTS)],
        schema_generator=_OutputSchema,
    )
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"urn:geodetect:json:{SCHEMA_VERSION}",
        "title": f"Output of geodetect --json, version {SCHEMA_VERSION}",
        "oneOf": [{"$ref": f"#/$defs/{output.__name__}"} for output in OUTPUTS],
        "$defs": schema["$defs"],
    }


def schema_text() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(build_schema(), indent=2, ensure_ascii=False) + "\n"


def _first_paragraph(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].replace("``", "`")


def _field_texts(model: type[BaseModel]) -> dict[str, str]:
    """Return the descriptions of fields in the docstrings of a class and its bases, by name."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        arguments = inspect.cleandoc(base.__doc__ or "").partition("Args:\n")[2]
        for entry in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE):
            texts[entry[0]] = " ".join(entry[1].replace("``", "`").split())
    return texts
