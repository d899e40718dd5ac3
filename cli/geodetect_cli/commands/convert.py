"""``geodetect convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from geodetect.errors import list_names
from geodetect.hardware.torch_library import require_torch
from geodetect.progress import phase
from geodetect.settings import ConvertSettings
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
  geodetect convert retinanet_resnet50_fpn_coco.pth -o coco.safetensors
  geodetect convert my-trees.ckpt -o trees.safetensors --classes tree --gsd 10cm
  geodetect convert cars.pt -o cars.safetensors --classes car --no-resize
  geodetect convert old.safetensors -o new.safetensors"""


class ConvertFiles(Settings):
    """Input and output of ``convert``."""

    weights: Annotated[Path, CommandLine("WEIGHTS", positional=True, reads="weights")] = Field(
        description="State dict or checkpoint: .pt .pth .pl .ckpt .bin .safetensors. No code in "
        "it is run. Or a model file of an older version, which gets its network in OpenVINO's form."
    )
    output: options.OutputFile = Field(description="Model file, .safetensors.")


@settings_command
def command(
    files: ConvertFiles, settings: ConvertSettings, result: ResultOptions, messages: ConsoleOptions
) -> None:
    """Convert weights of torchvision or DeepForest to a model file."""
    require_torch("converting weights")
    with phase("Starting"):  # importing PyTorch takes seconds
        from geodetect.model.checkpoints.convert import convert

    card = convert(files.weights, files.output, settings=settings, overwrite=result.overwrite)
    ending.suggest(next_commands.after_convert(files.output))
    if result.as_json:
        from geodetect_cli.json_output.models import ConvertOutput

        console.print_json(ConvertOutput.from_values(output=files.output, card=card.model_dump()))
    elif not messages.quiet:
        console.show_table("", _rows(card, files.output))


def _rows(card: ModelCard, output: Path) -> list[tuple[str, str]]:
    names = list_names(card.classes)
    size = f"{card.tile_px} px"
    if card.input_scale != 1:
        size += f", enlarged to {round(card.tile_px * card.input_scale)} px for the network"
    return [
        ("Model", str(output)),
        ("Converted", card.training.initial_weights),
        ("Classes", f"{len(card.classes)}: {names}"),
        ("Resolution", "the rasters' own" if card.gsd_m is None else f"{card.gsd_m:g} m per pixel"),
        ("Tiles", size),
        ("Default --conf", f"{card.conf:g}"),
        ("Default --iou", f"{card.iou:g}"),
    ]
