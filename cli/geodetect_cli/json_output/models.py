"""JSON of the commands that make models and show their cards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_serializer

from geodetect.model.card import Int8Record, ModelCard, TrainingRecord
from geodetect_cli.json_output.detections import LEFT_OUT
from geodetect_cli.json_output.envelope import Count, Interval, JsonOutput, JsonValues, PathText

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
        return _with_truth(metrics)


def _with_truth(metrics: dict[str, float]) -> dict[str, float]:
    return {
        name.removesuffix(OBJECTS) + TRUTH if name.endswith(OBJECTS) else name: value
        for name, value in metrics.items()
    }


class StartValues(JsonValues):
    """Model that a training started from, validated before the first step."""

    model: str = Field(description="Name of the model.")
    metrics: dict[str, float] = Field(
        description="Its figures on the holdout, by the names of those of the card; rates are in "
        "0..1."
    )
    ap50_gain: float = Field(
        description="AP50 of the trained weights less that of the start, in -1..1."
    )
    ap50_gain_interval: Interval

    @field_serializer("metrics")
    def _rename_objects(self, metrics: dict[str, float]) -> dict[str, float]:
        return _with_truth(metrics)


class PlaceValues(JsonValues):
    """Place to look at."""

    raster: str = Field(description="Name of the raster.")
    x: float = Field(description="Longitude on WGS 84, in degrees, or the column in pixels.")
    y: float = Field(description="Latitude on WGS 84, in degrees, or the row in pixels.")
    in_pixels: bool = Field(description="The raster has no CRS: x and y are in its pixels.")


class AdviceValues(JsonValues):
    """Next thing to do after a training."""

    topic: str = Field(description="Subject in one or two words.")
    text: str = Field(description="The measured fact and the remedy, in one line.")
    gain: float = Field(
        description="Expected gain in AP50 or recall, in 0..1, by which advice is ordered; 0: the "
        "figures become more certain rather than better."
    )
    places: tuple[PlaceValues, ...] = Field(description="Places that it is about.")


class TrainOutput(JsonOutput):
    """Output of ``train``."""

    command: Literal["train"] = Field("train", description="Name of the command.")
    output: PathText = Field(description="The model file.")
    card: CardValues = Field(description="Card of the model.")
    run_dir: PathText = Field(description="The run folder.")
    page: PathText | None = Field(description="Report of the training; null: none was written.")
    opening_lines: tuple[str, str] = Field(
        description="Model, data and machine in two lines, as known before the first step."
    )
    steps: Count = Field(description="Number of steps of the training.")
    training_seconds: float = Field(
        description="Time of the training as `--minutes` counts it, in seconds."
    )
    lr: float | None = Field(description="Peak learning rate.")
    validations: Count = Field(description="Number of validations.")
    kept_state: Literal["best", "last", "start"] = Field(description="State in the model file.")
    kept_step: Count = Field(description="Step of that state; 0 for the start.")
    best_ap50: float | None = Field(
        description="Best average precision at an IoU of 0.5 on the holdout, in 0..1; null: not "
        "validated."
    )
    best_ap30: float | None = Field(
        description="Average precision at an IoU of 0.3 of the same validation, in 0..1."
    )
    ap50_interval: Interval
    ap30_interval: Interval
    f1_interval: Interval
    precision_interval: Interval
    recall_interval: Interval
    start: StartValues | None = Field(
        description="Model that the training started from; null: none that could be compared."
    )
    advice: tuple[AdviceValues, ...] = Field(
        description="Next things to do, the greatest expected gain first; often none."
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
    drawing: PathText | None = Field(
        description="Drawing of what the model finds on the picture of `--check`; null without it."
    )
    by_class: dict[str, Count] | None = Field(
        description="Number of detected objects by class on that picture; null without `--check`."
    )


class ExportOutput(JsonOutput):
    """Output of ``export``."""

    command: Literal["export"] = Field("export", description="Name of the command.")
    output: PathText = Field(description="The exported file.")
    card: CardValues = Field(description="Card of the model.")


class CalibrateOutput(JsonOutput):
    """Output of ``calibrate``."""

    command: Literal["calibrate"] = Field("calibrate", description="Name of the command.")
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
    draws_outlines: bool | None = Field(
        description="Objects have outlines: it has an outline head, or finds oriented boxes; null: "
        "not known."
    )
    networks: tuple[str, ...] = Field(
        description="Networks in OpenVINO's form in its file, by name: network runs in fp32, bf16 "
        "and fp16. A processor runs a file without it once PyTorch has converted it."
    )
