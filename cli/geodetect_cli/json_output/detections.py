"""JSON of the commands that detect objects and show them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from geodetect_cli.json_output.envelope import Count, JsonOutput, JsonValues, PathText

LEFT_OUT = "Reasons of rasters that could not be read, in full or in part, by path."
OBJECTS = "Number of detected objects in the output."


class RunValues(JsonValues):
    """Model, imagery and machine of a run, as they are known before its first tile."""

    model: str = Field(description="Name of the model.")
    trained_on: tuple[str, ...] = Field(
        description="Imagery and labels of its training, as its card states them."
    )
    trained_labels: Count = Field(
        description="Number of labelled objects of its training; 0: unknown."
    )
    score_threshold: float = Field(description="Least score of a detected object, in 0..1.")
    runs_on: str = Field(description="Runtime, number format and device; empty: unknown.")
    model_gsd_m: float | None = Field(
        description="Ground resolution of the model, in metres per pixel; null: any."
    )
    raster_gsd_range_m: tuple[float, float] | None = Field(
        description="Ground resolution of the finest and of the coarsest raster, in metres per "
        "pixel; null: unknown."
    )
    working_gsd_range_m: tuple[float, float] | None = Field(
        description="Finest and coarsest ground resolution that tiles are read at, in metres per "
        "pixel; null: unknown."
    )
    rasters: Count = Field(description="Number of rasters.")
    resampled_rasters: Count = Field(description="Number of rasters that are resampled.")
    tiles: Count = Field(description="Tiles in the area of interest, also those without imagery.")
    area_km2: float | None = Field(
        description="Area of interest on the rasters, in square kilometres; null: unknown."
    )


class PredictOutput(JsonOutput):
    """Output of ``predict``."""

    command: Literal["predict"] = Field("predict", description="Name of the command.")
    output: PathText = Field(description="File of the detections.")
    coverage: PathText | None = Field(
        description="File of the ground that was searched; null: none was written."
    )
    objects: Count = Field(description=OBJECTS)
    by_class: dict[str, Count] = Field(description="Number of detected objects by class.")
    truncated: Count = Field(description="Number of objects that the edge of the imagery cuts.")
    outlines: Count = Field(description="Number of objects whose outline is known, not only a box.")
    area_m2: float = Field(
        description="Sum of the areas of the objects on the ground, in square metres; 0 without a "
        "CRS."
    )
    rasters: Count = Field(description="Number of rasters that were searched.")
    tiles: Count = Field(description="Number of tiles that were searched.")
    empty_tiles: Count = Field(description="Number of tiles without imagery.")
    resumed_tiles: Count = Field(description="Number of tiles taken from an interrupted run.")
    run: RunValues | None = Field(description="The run as it was planned.")
    left_out: dict[str, str] = Field(description=LEFT_OUT)
    blank: dict[str, float] = Field(
        description="Fraction of each raster's imagery that has one constant value, by its name."
    )
    value_ranges: dict[str, tuple[float, float]] = Field(
        description="Values that became 0 and 255, by name of the raster; none for bytes."
    )
    settings: dict[str, JsonValue] = Field(
        description="Settings that repeat the run, as a settings file has them: names of options "
        "with _ for -, lengths in metres."
    )


class RasterPlan(JsonValues):
    """Plan of one raster."""

    path: PathText = Field(description="Path of the raster.")
    name: str = Field(description="Name of the raster in results.")
    gsd_m: float | None = Field(
        description="Ground resolution of the raster, in metres per pixel; null: unknown."
    )
    working_gsd_m: float | None = Field(
        description="Ground resolution that tiles are read at, in metres per pixel; null: unknown."
    )
    gsd_ratio: float = Field(description="Pixels of the raster per pixel of a tile.")
    value_range: tuple[float, float] | None = Field(
        description="Values that become 0 and 255; null: the raster holds bytes."
    )
    tiles: Count = Field(description="Number of tiles to search.")
    skipped_tiles: Count = Field(
        description="Number of tiles without imagery or outside the area of interest."
    )
    tile_px: Count = Field(description="Side of a tile, in pixels.")
    overlap_px: Count = Field(description="Minimum overlap of neighbouring tiles, in pixels.")
    area_km2: float = Field(description="Area to search, in square kilometres.")
    skipped_km2: float = Field(
        description="Area without imagery or outside the area of interest, in square kilometres."
    )


class PlanOutput(JsonOutput):
    """Output of ``predict --dry-run``."""

    command: Literal["predict"] = Field("predict", description="Name of the command.")
    model: str = Field(description="Name of the model.")
    runs_on: str = Field(description="Runtime, number format and device; empty: unknown.")
    rasters: Count = Field(description="Number of rasters to search.")
    tiles: Count = Field(description="Number of tiles to search.")
    skipped_tiles: Count = Field(
        description="Number of tiles without imagery or outside the area of interest."
    )
    area_km2: float = Field(description="Area to search, in square kilometres.")
    skipped_km2: float = Field(
        description="Area without imagery or outside the area of interest, in square kilometres."
    )
    estimated_seconds: float = Field(description="Estimated wall time of the run, in seconds.")
    seconds_per_tile: float = Field(description="Measured wall time of a tile, in seconds.")
    memory_mb: float = Field(description="Estimated peak memory, in megabytes (10^6 bytes).")
    by_raster: tuple[RasterPlan, ...] = Field(description="Plan of each raster.")


class ResultCounts(JsonValues):
    """Number of objects by result at the score threshold that a report starts with."""

    tp: Count = Field(description="Number of true positives: predictions that match an object.")
    fp: Count = Field(description="Number of false positives: predictions that match none.")
    fn: Count = Field(description="Number of false negatives: objects without a prediction.")
    loose: Count = Field(
        description="Number of predictions whose box is off: they overlap an object, but less than "
        "`--iou`; with `--distance` they are among `tp`, else among `fp`."
    )


class ReportOutput(JsonOutput):
    """Output of ``report``."""

    command: Literal["report"] = Field("report", description="Name of the command.")
    output: PathText = Field(description="The page.")
    objects: Count = Field(description=OBJECTS)
    objects_outside: Count = Field(
        description="Number of detected objects outside the imagery, which were left out."
    )
    counts: dict[str, Count] | None = Field(
        description="Number of changes by status, as in the JSON of `compare`; null: predictions."
    )
    results: ResultCounts | None = Field(
        description="Number of objects by result; null: no ground truth."
    )
    zones: Count | None = Field(description="Number of zones on the page; null: none were named.")
    rasters: Count = Field(description="Number of rasters shown.")
    page_bytes: Count = Field(description="Size of the page, in bytes.")
    folder: PathText | None = Field(
        description="Folder of image tiles beside the page; null: none."
    )
    image_tiles: Count = Field(description="Number of image tiles.")
    image_bytes: Count = Field(description="Size of all image tiles, in bytes.")
    imagery_gsd_m: float | None = Field(
        description="Ground resolution of the finest imagery shown, in metres per pixel; null: "
        "unknown."
    )


class PreviewOutput(JsonOutput):
    """Output of ``preview``."""

    command: Literal["preview"] = Field("preview", description="Name of the command.")
    output: PathText = Field(description="The image.")
    width: Count = Field(description="Width of the image, in pixels.")
    height: Count = Field(description="Height of the image, in pixels.")
