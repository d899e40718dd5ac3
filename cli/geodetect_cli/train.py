"""``geodetect train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import console, options, summaries

EXAMPLES = """\b
Examples:
  geodetect train --rasters tiles/ --labels pools.geojson -o my-pools.safetensors
  geodetect train --rasters a.tif --rasters b.tif --labels trees.gpkg -o trees.safetensors
  geodetect train --rasters tiles/ --labels pools.geojson -o my-pools.safetensors --resume"""


def command(
    rasters: Annotated[
        list[str], typer.Option(metavar="PATH", help="Rasters or folders of them. Repeatable.")
    ],
    labels: options.Labels,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Model file, .safetensors.")
    ],
    network: Annotated[
        str,
        typer.Option(metavar="NAME", help="geodetect, paper, torchvision or torchvision-v2."),
    ] = "geodetect",
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="resnet18, resnet34, resnet50 or resnet101. Default: the network's.",
        ),
    ] = None,
    init: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="Start from imagenet, none, a model, or a trunk."),
    ] = "pools",
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps of the optimiser.")] = 2000,
    minutes: Annotated[
        float | None, typer.Option(metavar="N", help="Time to train, instead of --steps.")
    ] = None,
    gsd: options.ChipGsd = None,
    bands: options.Bands = None,
    src_crs: options.SrcCrs = None,
    class_field: options.ClassField = None,
    val_area: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Polygons of the ground to hold out.")
    ] = None,
    val_share: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of objects to hold out, in blocks of ground."),
    ] = 0.2,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Chips per step.")] = 8,
    chip_px: Annotated[int, typer.Option(min=64, metavar="PX", help="Side of a chip.")] = 384,
    lr: Annotated[float, typer.Option(metavar="RATE", help="Peak learning rate.")] = 8e-4,
    augment: Annotated[
        float, typer.Option(metavar="0..1", help="How often chips are recoloured or shaded.")
    ] = 1.0,
    device: options.Device = "auto",
    seed: Annotated[int, typer.Option(metavar="N", help="Start of all randomness.")] = 0,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model. Default: the file's.")
    ] = None,
    description: Annotated[
        str, typer.Option(metavar="TEXT", help="One sentence, for the card.")
    ] = "",
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="Terms of the weights, for the card.")
    ] = "",
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Source of the data, for the card. Repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint beside the output.")
    ] = False,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a model on labelled rasters."""
    from geodetect.learning.training import train
    from geodetect.settings import TrainSettings

    settings = options.parse_settings(
        TrainSettings,
        {
            "name": name,
            "description": description,
            "licence": licence,
            "data": tuple(data or ()),
            "network": network,
            "backbone": backbone,
            "init": init,
            "steps": steps,
            "minutes": minutes,
            "gsd": gsd,
            "bands": options.parse_bands(bands),
            "src_crs": src_crs,
            "class_field": class_field,
            "val_area": val_area,
            "val_share": val_share,
            "batch_size": batch_size,
            "chip_px": chip_px,
            "lr": lr,
            "augment": augment,
            "device": device,
            "seed": seed,
        },
    )
    unit = "steps" if minutes is None else "seconds"
    with console.progress_bar(unit, quiet=quiet) as progress:
        card = train(
            rasters,
            labels,
            output,
            settings=settings,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
        )
    summaries.show_training(card, output, as_json=as_json, quiet=quiet)
