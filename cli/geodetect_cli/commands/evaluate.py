"""``geodetect evaluate``."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field

from geodetect.errors import list_names
from geodetect.settings import EvaluateSettings, ModelSettings, PredictSettings
from geodetect.settings.base import FormerNames, Settings
from geodetect.settings.value_types import FolderPath
from geodetect_cli import options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables import evaluation as tables

EXAMPLES = """\b
Examples:
  geodetect evaluate pools.geojson truth.gpkg
  geodetect evaluate pools.gpkg truth.shp --conf 0.5 -o errors.gpkg --plots plots
  geodetect evaluate pools.gpkg truth.gpkg --pick-threshold precision=0.95
  geodetect evaluate pools.gpkg outlines.gpkg --match outline
  geodetect evaluate trees.gpkg stems.csv --truth-crs EPSG:25832 --distance 3
  geodetect evaluate --model pools --rasters scene.tif --truth truth.geojson
  geodetect evaluate --model pools --rasters images/ --truth coco.json"""


class EvaluateFiles(Settings):
    """Two layers, or a model with rasters and ground truth; and the output."""

    predictions: options.Predictions | None = Field(None, description=options.PREDICTIONS)
    truth: Annotated[options.TruthArguments | None, FormerNames("labels")] = Field(
        None,
        description="Ground truth: polygons or points of any vector format and CRS. With `model`, "
        "as an option, repeatable, also labels of the kinds that `geodetect train` takes.",
    )
    model: options.Model | None = Field(
        None, description="Model to run on `rasters`, instead of PRED."
    )
    rasters: options.RasterList | None = Field(
        None, description="With `model`: rasters, or folders of them. Repeatable."
    )
    output: options.OutputFile | None = Field(
        None,
        description="GeoPackage for true positives, false positives and false negatives, styled "
        "for QGIS.",
    )
    plots: FolderPath | None = Field(None, description="Folder for plots of the curves, as PNG.")

    def check_input(self) -> None:
        """Raise a usage error unless there are two layers, or a model with rasters and truth."""
        paths = [os.path.realpath(path) for path in (self.output, self.plots) if path is not None]
        if len(paths) > len(set(paths)):
            raise UsageError(f"--output and --plots are both {self.plots}; rename one")
        if self.model is None and self.rasters:
            raise UsageError("--rasters needs --model; without it name PRED and TRUTH")
        if self.model is not None and self.predictions is not None:
            raise UsageError(
                f"with --model, rasters and ground truth are named with --rasters and --truth; "
                f"found {self.predictions} as PRED"
            )
        if self.model is not None and not (self.rasters and self.truth):
            raise UsageError(f"--model needs {'--truth' if self.rasters else '--rasters'} too")
        if self.model is None and (self.predictions is None or self.truth is None):
            raise UsageError(
                f"{'TRUTH' if self.predictions else 'PRED'} is missing: name a file of predictions "
                f"and one of ground truth, or use --model"
            )
        if self.model is None and self.truth is not None and len(self.truth) > 1:
            raise UsageError(
                f"expected one file as TRUTH, found {len(self.truth)}: {list_names(self.truth)}"
            )


@settings_command
def command(
    files: EvaluateFiles,
    settings: EvaluateSettings,
    model_settings: ModelSettings,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Measure the accuracy of predictions, or of a model."""
    files.check_input()
    from geodetect.assessment.evaluate import error_layers, plots
    from geodetect.assessment.evaluate.evaluation import evaluate, evaluate_model

    if files.output is not None:
        error_layers.check_errors(files.output, overwrite=result.overwrite)
    if files.plots is not None:
        plots.check_plots(files.plots, overwrite=result.overwrite)
    if files.model is None:
        evaluation = evaluate(files.predictions or "", (files.truth or [""])[0], settings)
    else:
        evaluation = evaluate_model(
            files.model,
            files.rasters or (),
            files.truth or (),
            settings,
            predict_settings=PredictSettings.resolve(model_settings, {}),
        )
    if files.output is not None:
        evaluation.write_errors(files.output, overwrite=result.overwrite)
    if files.plots is not None:
        evaluation.write_plots(files.plots, overwrite=result.overwrite)
    picked = evaluation.picked
    conf = None if picked is None else picked.score_threshold
    if files.model is None:
        predictions, truth = files.predictions or "", (files.truth or ("",))[0]
        ending.suggest(next_commands.after_evaluate(predictions, truth, settings, conf=conf))
    else:
        rasters = files.rasters or ()
        ending.suggest(
            next_commands.after_evaluate_model(files.model, rasters, model_settings, conf=conf)
        )
    tables.show(
        evaluation,
        errors=files.output,
        plots=files.plots,
        as_json=result.as_json,
        quiet=messages.quiet,
    )
