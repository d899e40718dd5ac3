"""The program ``geodetect``: one command per file."""

from __future__ import annotations

from typing import Annotated

import typer

from geodetect.version import __version__
from geodetect_cli.commands import (
    check,
    compare,
    convert,
    evaluate,
    info,
    models,
    predict,
    preview,
    quantize,
    report,
    summarize,
    tile,
    train,
)
from geodetect_cli.console import reports_errors
from geodetect_cli.processes import one_voice

app = typer.Typer(
    name="geodetect",
    help="Object detection on aerial imagery: GeoTIFF in, map layer out.",
    epilog="Start with:  geodetect predict scene.tif -o pools.geojson",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help and errors: one line that starts with "Error:"
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    predict,
    train,
    check,
    evaluate,
    compare,
    summarize,
    report,
    preview,
    convert,
    quantize,
    info,
    models,
    tile,
):
    name = module.__name__.rpartition(".")[2]
    app.command(name, epilog=module.EXAMPLES, no_args_is_help=module is not models)(
        reports_errors(module.command)
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"geodetect {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Object detection on aerial imagery: GeoTIFF in, map layer out."""


def main() -> None:
    """Run the program."""
    with one_voice():
        app()
