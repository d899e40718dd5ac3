"""``geodetect info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import console, options
from geodetect_cli.tables import run as summaries

EXAMPLES = """\b
Examples:
  geodetect info scene.tif
  geodetect info pools
  geodetect info scene.tif --json"""


def command(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A raster, a model file or a model's name.")
    ],
    as_json: options.AsJson = False,
) -> None:
    """Show what a raster or a model is."""
    from geodetect.errors import InputError
    from geodetect.io.raster.info import inspect_raster
    from geodetect.model.file import list_models, load_card

    is_model = file in list_models() or file.endswith(".safetensors")
    is_word = file.replace("-", "").replace("_", "").isalnum()  # no path, address or suffix
    if is_word and not is_model and not Path(file).exists():
        raise InputError(
            f"{file}: neither a file nor a built-in model ({', '.join(list_models()) or 'none'})"
        )
    values = load_card(file).model_dump(mode="json") if is_model else inspect_raster(file)
    if as_json:
        console.print_json(values)
    else:
        summaries.show_values(file, summaries.without_wkt(values))
