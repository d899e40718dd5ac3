"""``geodetect export``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from geodetect.settings import ExportSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command

EXAMPLES = """\b
Examples:
  geodetect export pools -o pools.onnx --for deepness
  geodetect export my.safetensors -o my.onnx --for geodeep
  geodetect export my.safetensors -o my.mlm.json --for mlm"""


class ExportFiles(Settings):
    """Input and output of ``export``."""

    model: Annotated[str, CommandLine("MODEL", short="m", positional=True, reads="model")] = Field(
        description="Built-in model or model file. See `geodetect models`."
    )
    output: options.OutputFile = Field(description="The file: .onnx, or .json for mlm.")


@settings_command
def command(
    files: ExportFiles, settings: ExportSettings, result: ResultOptions, messages: ConsoleOptions
) -> None:
    """Export a model for Deepness, GeoDeep, ONNX Runtime or STAC.

    The ONNX file takes an image in 0 to 1 and returns boxes after non-maximum suppression, with
    calibrated scores.
    """
    from geodetect.model.export.export import export_model

    card = export_model(files.model, files.output, settings=settings, overwrite=result.overwrite)
    ending.suggest(next_commands.after_export(files.model))
    if result.as_json:
        from geodetect_cli.json_output.models import ExportOutput

        console.print_json(ExportOutput.from_values(output=files.output, card=card.model_dump()))
    elif not messages.quiet:
        size = f"{files.output.stat().st_size / 1e6:.1f} MB"
        rows = [
            ("Exported", f"{files.output}, {size}"),
            ("For", settings.target),
            ("Images", f"{settings.tile_size or card.tile_px} px"),
            ("Classes", f"{len(card.classes)}"),
        ]
        console.show_table("", rows[: 2 if settings.target == "mlm" else None])
