"""``geodetect convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geodetect_cli import console, options

if TYPE_CHECKING:
    from geodetect.model.card import ModelCard

EXAMPLES = """\b
Examples:
  geodetect convert retinanet_resnet50_fpn_coco.pth -o coco.safetensors
  geodetect convert my-trees.ckpt -o trees.safetensors --classes tree --gsd 10cm
  geodetect convert cars.pt -o cars.safetensors --classes car --no-resize"""


def command(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS",
            help="State dict or checkpoint: .pt .pth .pl .ckpt .bin .safetensors. No code in it "
            "is run.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Model file, .safetensors.")
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Class names, without the background. Default: the checkpoint's, or COCO's.",
        ),
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            parser=options.parse_gsd,
            help="Ground resolution it was trained at, e.g. 0.1 or 10cm. Default: rasters are "
            "taken as they are.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model. Default: the file's.")
    ] = None,
    tile_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="PX", help="Side of a tile. Default: 512; DeepForest's 400."),
    ] = None,
    resize: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="PX",
            help="Enlarge tiles to this side before the network, as torchvision.",
        ),
    ] = 800,
    no_resize: Annotated[
        bool, typer.Option("--no-resize", help="Give tiles to the network as they are: faster.")
    ] = False,
    anchor_sizes: Annotated[
        str | None,
        typer.Option(
            metavar="PX,PX,...",
            help="Smallest anchor of each of the five levels, if changed from 32,64,128,256,512.",
        ),
    ] = None,
    norm_eps: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="NUMBER",
            help="Constant of the batch norms. Default: 1e-5; 0 for weights from COCO.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a model file of a RetinaNet of torchvision or DeepForest."""
    from geodetect.model.checkpoints.convert import convert
    from geodetect.model.network.presets import PAPER_ANCHORS_PX

    sizes = options.parse_numbers(anchor_sizes, "--anchor-sizes", len(PAPER_ANCHORS_PX))
    card = convert(
        weights,
        output,
        classes=options.parse_names(classes),
        gsd=gsd,
        name=name,
        tile_size=tile_size,
        resize=None if no_resize else resize,
        norm_eps=norm_eps,
        anchor_sizes=sizes or PAPER_ANCHORS_PX,
        overwrite=overwrite,
    )
    if as_json:
        console.print_json(card.model_dump(mode="json"))
    elif not quiet:
        console.show_table("", _rows(card, output))


def _rows(card: ModelCard, output: Path) -> list[tuple[str, str]]:
    shown = ", ".join(card.classes[:8]) + (" ..." if len(card.classes) > 8 else "")
    size = f"{card.tile_px} px"
    if card.input_scale != 1:
        size += f", enlarged to {round(card.tile_px * card.input_scale)} px for the network"
    return [
        ("Model", str(output)),
        ("Converted", card.training.initial_weights),
        ("Classes", f"{len(card.classes)}: {shown}"),
        ("Resolution", "the rasters' own" if card.gsd_m is None else f"{card.gsd_m:g} m per pixel"),
        ("Tiles", size),
        ("Default --conf", f"{card.conf:g}"),
        ("Default --iou", f"{card.iou:g}"),
    ]
