"""``geodetect calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from geodetect.settings import CalibrateSettings, ModelSettings, PredictSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.value_types import Labels
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command

if TYPE_CHECKING:
    from geodetect.model.card import ModelCard

Truth = Annotated[Labels, CommandLine("TRUTH", short="t", repeatable=True, reads="labels")]
EXAMPLES = """\b
Examples:
  geodetect calibrate cars.safetensors --rasters tiles/ --truth cars.gpkg -o calibrated.safetensors
  geodetect calibrate pools --rasters town.tif --truth t.gpkg --aoi area.gpkg -o town.safetensors"""


class CalibrateFiles(Settings):
    """Input and output of ``calibrate``."""

    model: Annotated[str, CommandLine("MODEL", short="m", positional=True, reads="model")] = Field(
        description="Built-in model or model file. See `geodetect models`."
    )
    rasters: options.RasterList = Field(
        description="Rasters with ground truth, or folders of them, that the model was not trained "
        "on. Repeatable."
    )
    truth: Truth = Field(
        description="Complete ground truth of the rasters, or of `aoi`: vector files of any "
        "format and CRS, or labels of the kinds that `geodetect train` takes. Repeatable."
    )
    output: options.OutputFile = Field(
        description="Model file, .safetensors: the whole model with calibrated scores."
    )


@settings_command
def command(
    files: CalibrateFiles,
    settings: CalibrateSettings,
    model_settings: ModelSettings,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Make the scores of a model fractions of true positives.

    A score of 0.8 then means that eight of ten such detections are right, on ground like that of
    the truth. The order of detections stays; the score threshold is the one with the highest F1.
    """
    from geodetect.assessment.calibrate import calibrate

    card = calibrate(
        files.model,
        files.rasters,
        files.truth,
        files.output,
        settings=settings,
        predict_settings=PredictSettings.resolve(model_settings, {}),
        overwrite=result.overwrite,
    )
    ending.suggest(next_commands.after_train(files.output, files.rasters, model_settings))
    if result.as_json:
        from geodetect_cli.json_output.models import CalibrateOutput

        console.print_json(CalibrateOutput.from_values(output=files.output, card=card.model_dump()))
    elif not messages.quiet:
        console.show_table("", _rows(card, files.output))


def _rows(card: ModelCard, output: Path) -> list[tuple[str, str]]:
    figures = card.metrics
    before, after = figures["ece_uncalibrated"], figures["ece"]
    return [
        ("Model", str(output)),
        ("Objects", f"{figures['objects']:,.0f}"),
        ("Error of scores", f"{before:.3f} before, {after:.3f} after (ECE)"),
        ("Default --conf", f"{card.conf:g}"),
        *((name.capitalize(), f"{figures[name]:.3f}") for name in ("precision", "recall", "f1")),
    ]
