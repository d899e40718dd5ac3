"""The program ``geodetect``: one module per command, imported when the command runs."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from geodetect.version import __version__
from geodetect_cli.processes import silence_other_ranks

COMMANDS = {  # first lines of their help, so that no command is imported to list them
    "predict": "Detect objects in rasters and write them as a map layer.",
    "train": "Train a model on labelled rasters.",
    "check": "Check labels and rasters before a training.",
    "evaluate": "Measure the accuracy of predictions, or of a model.",
    "compare": "List objects that are new, confirmed, moved or missing.",
    "summarize": "Count predictions by zone, corrected for known errors.",
    "report": "Show predictions on their imagery in a page that works offline.",
    "preview": "Draw a raster with its predictions, or thumbnails of some of them.",
    "convert": "Convert weights of torchvision or DeepForest to a model file.",
    "quantize": "Add an int8-quantized network to a model.",
    "info": "Show the properties of a raster or a model.",
    "models": "List the built-in models.",
    "tile": "Cut rasters and labels into chips for training elsewhere.",
}
PLAIN: dict[str, Any] = {  # help and errors without frames: one line that starts with "Error:"
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


def load_command(name: str) -> TyperCommand:
    """Import a command."""
    from geodetect_cli.derived_options import SectionedCommand

    module = import_module(f"geodetect_cli.commands.{name}")
    program = typer.Typer(add_completion=False, **PLAIN)
    program.command(
        name, cls=SectionedCommand, epilog=module.EXAMPLES, no_args_is_help=name != "models"
    )(module.command)
    command = typer.main.get_command(program)
    assert isinstance(command, TyperCommand)
    return command


class LazyGroup(TyperGroup):
    """A group that imports a command when it is called, and lists all without importing them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, summary in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command and the rest of the arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else command, rest


app = typer.Typer(
    cls=LazyGroup,
    name="geodetect",
    help="Object detection on aerial imagery: GeoTIFF in, map layer out.",
    epilog="Start with:  geodetect predict scene.tif",
    no_args_is_help=True,
    **PLAIN,
)


def _show_version(is_set: bool) -> None:
    if is_set:
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
    with silence_other_ranks():
        app()
