"""``geodetect info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.inputs import ExternalSources
from geodetect_cli import console
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.command_line.file_kinds import file_kind
from geodetect_cli.options import AsJson
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables.values import show_values, without_wkt

EXAMPLES = """\b
Examples:
  geodetect info scene.tif
  geodetect info pools
  geodetect info scene.tif --json"""


class InfoOptions(Settings):
    """Options of ``info``."""

    section: ClassVar[str] = "General"

    file: Annotated[str, CommandLine("FILE", positional=True)] = Field(
        description="A raster, a model file or the name of a model."
    )
    as_json: AsJson = False
    external_sources: ExternalSources = False


@settings_command
def command(options: InfoOptions) -> None:
    """Show the properties of a raster or a model."""
    from geodetect.errors import InputError, RasterError, list_names, suggest
    from geodetect.io.raster.info import inspect_raster
    from geodetect.model.file import draws_outlines, list_models, load_card
    from geodetect.model.runtimes.stored_networks import list_networks

    file = options.file
    is_model = file in list_models() or file.endswith((".safetensors", ".onnx"))
    is_word = file.replace("-", "").replace("_", "").isalnum()  # no path, address or suffix
    if is_word and not is_model and not Path(file).exists():
        raise InputError(
            f"{file}: neither a file nor a built-in model ({list_names(list_models()) or 'none'})"
            f"{suggest(file, list_models())}"
        )
    try:
        if is_model:
            card = load_card(file)
            facts = {"draws_outlines": draws_outlines(card), "networks": list_networks(file)}
            values = card.model_dump(mode="json") | facts
        else:
            values = inspect_raster(file, external_sources=options.external_sources)
    except RasterError as error:
        if file_kind(file) == "layer" and Path(file).is_file():
            raise InputError(f"{file} holds no raster; info shows rasters and models") from error
        raise
    if is_model:
        ending.suggest(next_commands.after_model_info())
    else:
        has_crs = values["crs"] is not None
        ending.suggest(next_commands.after_raster_info(file, options, has_crs=has_crs))
    if options.as_json:
        from geodetect_cli.json_output.models import ModelInfoOutput
        from geodetect_cli.json_output.rasters import RasterInfoOutput

        output = ModelInfoOutput if is_model else RasterInfoOutput
        console.print_json(output.from_values(**values))
    else:
        show_values(file, without_wkt(values))
