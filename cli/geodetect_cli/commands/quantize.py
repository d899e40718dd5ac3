"""``geodetect quantize``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from geodetect.progress import phase
from geodetect.settings import QuantizeSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command

if TYPE_CHECKING:
    from geodetect.model.card import ModelCard

EXAMPLES = """\b
Examples:
  geodetect quantize pools --rasters town.tif -o pools-int8.safetensors
  geodetect quantize my.safetensors --rasters tiles/ -o my-int8.safetensors"""


class QuantizeFiles(Settings):
    """Input and output of ``quantize``."""

    model: Annotated[
        str, CommandLine("MODEL", short="m", positional=True, reads="model", is_protected=False)
    ] = Field(description="Built-in model or model file. See `geodetect models`.")
    rasters: options.RasterList = Field(
        description="Rasters like those to predict on, with objects, or folders of them. "
        "Repeatable."
    )
    output: options.OutputFile = Field(
        description="Model file, .safetensors: the whole model and its int8-quantized network."
    )


@settings_command
def command(
    files: QuantizeFiles,
    settings: QuantizeSettings,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Add an int8-quantized network to a model.

    predict --precision int8 runs it.
    """
    with phase("Starting"):  # importing PyTorch takes seconds
        from geodetect.quantization.quantize import quantize

    card = quantize(
        files.model,
        files.rasters,
        files.output,
        settings=settings,
        overwrite=result.overwrite,
    )
    ending.suggest(next_commands.after_quantize(files.output, files.rasters, settings))
    if result.as_json:
        from geodetect_cli.json_output.models import QuantizeOutput

        console.print_json(QuantizeOutput.from_values(output=files.output, card=card.model_dump()))
    elif not messages.quiet:
        console.show_table("", _rows(card, files.output))


def _rows(card: ModelCard, output: Path) -> list[tuple[str, str]]:
    int8 = card.int8
    assert int8 is not None
    return [
        ("Model", f"{output}, {output.stat().st_size / 1e6:.1f} MB"),
        ("Calibrated on", f"{int8.calibration_tiles:,} tiles"),
        ("Checked on", f"{int8.checked_tiles:,} other tiles with {int8.objects:,} objects"),
        ("AP against full network", f"{int8.ap50:.3f} at IoU 0.5, {int8.ap75:.3f} at IoU 0.75"),
        ("Use it with", "geodetect predict --model FILE --precision int8"),
    ]
