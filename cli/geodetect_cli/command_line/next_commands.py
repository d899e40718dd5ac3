"""Command that a user types next, by command; it runs as it is printed.

Each function returns the arguments of ``geodetect``: inputs are files of the command that has
ended, outputs get names that are free, and what was stated about reading the inputs is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geodetect.settings import (
    EvaluateSettings,
    PredictSettings,
    PreviewSettings,
    ReportSettings,
    SummarizeSettings,
    TrainSettings,
)
from geodetect.settings.base import Settings
from geodetect_cli.command_line.ending import ending
from geodetect_cli.derived_options import list_options
from geodetect_cli.options import stem_of

MOST_FILES = 4  # in one line, before a pattern stands for them
READING = (  # settings of reading the inputs, which mean the same in every command
    "bands",
    "src_crs",
    "external_sources",
    "value_range",
    "pixel_coords",
    "score_field",
    "pred_crs",
    "truth_crs",
    "class_field",
    "ignore_classes",
    "point_size",
    "labels_crs",
    "zones_crs",
)
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")  # mostly without georeference

Arguments = list[str]


def after_predict(output: str, rasters: Sequence[str], settings: Settings) -> Arguments | None:
    """Show the detections on their imagery; None if they went to a stream."""
    return None if output == "-" else _report(output, rasters, settings)


def after_plan(run: str) -> Arguments:
    """Compute the shards of the run."""
    return ["predict", "--plan", _file(run)]


def after_shards(run: str, *, is_complete: bool) -> Arguments:
    """Merge the shards of the run, or see which are absent."""
    return after_status(run, is_complete=True) if is_complete else ["status", _file(run)]


def after_status(run: str, *, is_complete: bool) -> Arguments:
    """Merge the shards of the run, or compute the absent ones."""
    if not is_complete:
        return after_plan(run)
    return ["merge", _file(run), "-o", _file(free_name(Path(f"{stem_of(run)}.gpkg")))]


def after_merge(output: Path) -> Arguments:
    """Show the detections."""
    return _report(str(output), (), Settings())


def after_dry_run(output: str | None, rasters: Sequence[str]) -> Arguments:
    """Run what was planned."""
    more: Arguments = []
    default = Path(f"{stem_of(rasters[0])}.geojson")
    if output is None and (len(rasters) > 1 or default.exists()):
        more = ["-o", _file(free_name(default))]
    return ending.again(without="dry_run", more=more)


def after_evaluate_model(
    model: str, rasters: Sequence[str], settings: Settings, *, conf: float | None
) -> Arguments:
    """Use the model, at the score threshold that was picked."""
    threshold = [] if conf is None else ["--conf", f"{conf:g}"]
    return [*_predict(rasters, model, settings), *threshold]


def after_evaluate(
    predictions: str, truth: str, settings: EvaluateSettings, *, conf: float | None
) -> Arguments:
    """Look at the errors, at the score threshold that was picked."""
    threshold = [] if conf is None else ["--conf", f"{conf:g}"]
    stated = _stated(settings, ReportSettings, "iou", "distance")
    return [*_report(predictions, (), Settings()), "--truth", _file(truth), *stated, *threshold]


def after_compare(output: str) -> Arguments | None:
    """Show the changes; None if they went to a stream."""
    return None if output == "-" else _report(output, (), Settings())


def after_summarize(
    predictions: str, zones: str, coverage: str | None, settings: Settings
) -> Arguments:
    """Show the zones and the detections in them."""
    more = [] if coverage is None else ["--coverage", _file(coverage)]
    return [*_report(predictions, (), settings), "--zones", _file(zones), *more]


def after_report(
    predictions: str,
    rasters: Sequence[str] | None,
    settings: ReportSettings,
    *,
    truth: str | None,
    zones: str | None,
) -> Arguments | None:
    """Put what the page shows into figures, or into an image; None without any further file."""
    layer = _file(predictions)
    if truth is not None:
        stated = _stated(settings, EvaluateSettings, "iou", "distance")
        return ["evaluate", layer, _file(truth), *stated]
    if zones is not None:
        output = free_name(Path(f"{stem_of(zones)}_counts.gpkg"))
        stated = _stated(settings, SummarizeSettings, "conf")
        return ["summarize", layer, "--zones", _file(zones), "-o", _file(output), *stated]
    if not rasters:
        return None
    image = free_name(Path(f"{stem_of(predictions)}.png"))
    stated = _stated(settings, PreviewSettings, "conf")
    return ["preview", *_files(rasters), layer, "-o", _file(image), *stated]


def after_preview(
    rasters: Sequence[str], predictions: str | None, settings: PreviewSettings
) -> Arguments:
    """Show the detections on a page, or make some."""
    if predictions is None:
        return _predict(rasters, None, settings)
    return _report(predictions, rasters, settings)


def after_train(model: Path, rasters: Sequence[str], settings: Settings) -> Arguments:
    """Use the new model."""
    return _predict(rasters, str(model), settings)


def after_check(rasters: Sequence[str], labels: Sequence[str], settings: Settings) -> Arguments:
    """Train on what was checked."""
    model = free_name(Path(f"{stem_of(labels[0])}.safetensors"))
    inputs = [*_repeat("--rasters", _files(rasters)), *_repeat("--labels", _files(labels))]
    return ["train", *inputs, "-o", _file(model), *_stated(settings, TrainSettings, "gsd")]


def after_tile(images: Path, labels: Path) -> Arguments:
    """Check the data set of chips."""
    return ["check", "--rasters", _file(images), "--labels", _file(labels)]


def after_convert(model: Path) -> Arguments:
    """Show the card of the converted model."""
    return ["info", _file(model)]


def after_export(model: str) -> Arguments:
    """Show the card of the exported model."""
    return ["info", model]


def after_quantize(model: Path, rasters: Sequence[str], settings: Settings) -> Arguments:
    """Use the int8-quantized network."""
    return [*_predict(rasters, str(model), settings), "--precision", "int8"]


def after_raster_info(raster: str, settings: Settings, *, has_crs: bool) -> Arguments:
    """Detect objects in the raster."""
    arguments = _predict([raster], None, settings)
    in_pixels = has_crs or "--pixel-coords" in arguments
    return arguments if in_pixels else [*arguments, "--pixel-coords"]


def after_model_info() -> Arguments:
    """Learn how a model is used."""
    return ["predict", "--help"]


def after_models(name: str) -> Arguments:
    """Show the card of a model."""
    return ["info", name]


def same_with_output(name: str) -> Arguments:
    """Run the command again, and write a file."""
    return ending.again(more=("-o", _file(free_name(Path(name)))))


def free_name(path: Path) -> Path:
    """Return a path, with a number if need be, that neither a file nor a run folder has."""
    free, number = path, 1
    while free.exists() or free.with_name(f"{free.stem}_run").exists():
        number += 1
        free = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return free


def _report(predictions: str, rasters: Sequence[str], settings: Settings) -> Arguments:
    page = free_name(Path(f"{stem_of(predictions)}.html"))
    imagery = _repeat("--raster", _files(rasters))
    stated = _stated(settings, ReportSettings)
    return ["report", _file(predictions), *imagery, "-o", _file(page), *stated]


def _predict(rasters: Sequence[str], model: str | None, settings: Settings) -> Arguments:
    output = free_name(Path(f"{stem_of(rasters[0])}.geojson"))
    chosen = [] if model is None else ["--model", _file(model)]
    stated = _stated(settings, PredictSettings)
    if Path(rasters[0]).suffix.lower() in IMAGES and "--pixel-coords" not in stated:
        stated.append("--pixel-coords")
    return ["predict", *_files(rasters), *chosen, "-o", _file(output), *stated]


def _stated(settings: Settings, target: type[Settings], *more: str) -> Arguments:
    """Return the options on reading that were stated, as far as the next command has them.

    Args:
        settings: Settings of the command that has ended.
        target: Settings of the next one.
        more: Further settings to repeat.
    """
    options = list_options(target)
    arguments: Arguments = []
    for name in (*READING, *more):
        value = getattr(settings, name, None)
        if name in settings.model_fields_set and value is not None and name in options:
            arguments += options[name].arguments(value if value is True else _text(value))
    return arguments


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _files(names: Sequence[str]) -> Arguments:
    """Return files as arguments; a pattern stands for many that are all of a folder's kind."""
    first = Path(names[0]) if names else Path()
    if len(names) > MOST_FILES:
        kind = first.parent / f"*{first.suffix}"
        if {Path(name) for name in names} == set(first.parent.glob(kind.name)):
            return [_file(kind)]
    return list(map(_file, names))


def _file(name: str | Path) -> str:
    """Return a file name as an argument, which no option looks like."""
    return f"./{name}" if str(name).startswith("-") else str(name)


def _repeat(flag: str, values: Sequence[str]) -> Arguments:
    return [argument for value in values for argument in (flag, value)]
