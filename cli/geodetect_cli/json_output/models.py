"""JSON of the commands that make models and show their cards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_serializer

from geodetect.model.card import Int8Record, ModelCard, TrainingRecord
from geodetect_cli.json_output.detections import LEFT_OUT
from geodetect_cli.json_output.envelope import Count, JsonOutput, PathText

OBJECTS, TRUTH = "objects", "truth"  # what cards call true objects, and what the JSON does


class TrainingValues(TrainingRecord):
    """Provenance of a model."""

    objects: int = Field(
        0, serialization_alias="labels", description="Number of labelled objects trained on."
    )


class Int8Values(Int8Record):
    """The int8-quantized network of a model file, compared with the full-precision one."""

    objects: int = Field(
        ge=1,
        serialization_alias=TRUTH,
        description="Number of detections of the full-precision network on the checked tiles: the "
        "ground truth of the average precisions.",
    )


class CardValues(ModelCard):
    """Metadata of a model."""

    training: TrainingValues = Field(TrainingValues(), description="Provenance.")
    int8: Int8Values | None = Field(
        None, description="Its int8-quantized network; null: its file holds none."
    )

    @field_serializer("metrics")
    def _rename_objects(self, metrics: dict[str, float]) -> dict[str, float]:
        return {
            name.removesuffix(OBJECTS) + TRUTH if name.endswith(OBJECTS) else name: value
            for name, value in metrics.items()
        }


class TrainOutput(JsonOutput):
    """Output of ``train``."""

    command: Literal["train"] = Field("train", description="Name of the command.")
    output: PathText = Field(description="The model file.")
    card: CardValues = Field(description="Card of the model.")
    run_dir: PathText = Field(description="The run folder.")
    page: PathText | None = Field(description="Report of the training; null: none was written.")
    description: tuple[str, str] = Field(
        description="Model, data and machine in two lines, as known before the first step."
    )
    steps: Count = Field(description="Number of steps of the training.")
    training_seconds: float = Field(
        description="Time of the training as `--minutes` counts it, in seconds."
    )
    lr: float | None = Field(description="Peak learning rate.")
    validations: Count = Field(description="Number of validations.")
    kept_state: Literal["best", "last"] = Field(description="State in the model file.")
    kept_step: Count = Field(description="Step of that state.")
    best_ap50: float | None = Field(
        description="Best average precision at an IoU of 0.5 on the holdout, in 0..1; null: not "
        "validated."
    )
    stopped_early: bool = Field(
        description="The training ended because the average precision did not improve any more."
    )
    left_out: dict[str, str] = Field(description=LEFT_OUT)


class ConvertOutput(JsonOutput):
    """Output of ``convert``."""

    command: Literal["convert"] = Field("convert", description="Name of the command.")
    output: PathText = Field(description="The model file.")
    card: CardValues = Field(description="Card of the model.")


class QuantizeOutput(JsonOutput):
    """Output of ``quantize``."""

    command: Literal["quantize"] = Field("quantize", description="Name of the command.")
    output: PathText = Field(description="The model file.")
    card: CardValues = Field(description="Card of the model.")


class ModelsOutput(JsonOutput):
    """Output of ``models``."""

    command: Literal["models"] = Field("models", description="Name of the command.")
    models: tuple[CardValues, ...] = Field(description="Cards of the built-in models.")


class ModelInfoOutput(CardValues, JsonOutput):
    """Output of ``info`` for a model: its card."""

    command: Literal["info"] = Field("info", description="Name of the command.")
