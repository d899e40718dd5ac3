"""``geodetect train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import options
from geodetect_cli.tables import training as training_display

EXAMPLES = """\b
Examples:
  geodetect train --rasters tiles/ --labels pools.geojson -o my-pools.safetensors
  geodetect train --rasters a.tif --rasters b.tif --labels trees.gpkg -o t.safetensors
  geodetect train --rasters tiles/ --labels pools.geojson -o p.safetensors --minutes 45
  geodetect train --rasters a/ --labels a.shp --val-rasters b/ -o p.safetensors
  geodetect train --rasters tiles/ --labels pools.geojson -o my-pools.safetensors --resume"""


def command(
    rasters: Annotated[
        list[str], typer.Option(metavar="PATH", help="Rasters or folders of them. Repeatable.")
    ],
    labels: options.Labels,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Model file, .safetensors.")
    ],
    run_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Metrics, split, validation and checkpoint. Default: NAME_run beside the output.",
        ),
    ] = None,
    network: Annotated[
        str,
        typer.Option(metavar="NAME", help="geodetect, paper, torchvision or torchvision-v2."),
    ] = "geodetect",
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="resnet18, resnet34, resnet50, resnet101 or timm:NAME, such as "
            "timm:convnext_tiny. Default: the network's.",
        ),
    ] = None,
    anchors: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="default, fitted to the objects, or auto: of the model to start from, else "
            "fitted where the default ones find few objects.",
        ),
    ] = "auto",
    assignment: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Anchors that answer for an object: atss, or those that overlap it by half.",
        ),
    ] = "atss",
    init: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="Start from imagenet, none, a model, or a trunk."),
    ] = "pools",
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps of the optimiser.")] = 2000,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Time to train, instead of --steps: from the first step to the last, with the "
            "validations between; the label check and the last validation come on top.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Look over the labels before the first step.")
    ] = True,
    gsd: options.ChipGsd = None,
    bands: options.Bands = None,
    src_crs: options.SrcCrs = None,
    class_field: options.ClassField = None,
    point_size: options.PointSize = None,
    labels_crs: options.LabelsCrs = None,
    val_share: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of objects to hold out, in blocks of ground."),
    ] = 0.2,
    val_area: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Polygons of the ground to hold out, instead."),
    ] = None,
    val_rasters: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Rasters to hold out, instead. Repeatable."),
    ] = None,
    val_labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="Labels of --val-rasters. Repeatable. Default: those of --labels."
        ),
    ] = None,
    val_every: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Steps between validations. Default: a tenth of the time for them."
        ),
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Model to write: best (AP50 on held-out ground) or last."
        ),
    ] = "best",
    patience: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="End after N validations without a better AP50. Default: never."
        ),
    ] = None,
    mine_negatives: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Show the N surest false alarms of the moment more often."
        ),
    ] = 0,
    batch_size: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Chips per step, of all processes together."),
    ] = 8,
    chip_px: Annotated[int, typer.Option(min=64, metavar="PX", help="Side of a chip.")] = 384,
    lr: Annotated[
        str,
        typer.Option(
            metavar="RATE", help="Peak learning rate, or auto: found by a few dozen steps."
        ),
    ] = "8e-4",
    augment: Annotated[
        float, typer.Option(metavar="0..1", help="How often chips are recoloured or shaded.")
    ] = 0.3,
    turn: Annotated[
        bool, typer.Option("--turn/--no-turn", help="Show chips in all eight orientations.")
    ] = True,
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
        bool, typer.Option("--resume", help="Go on from the checkpoint in the run folder.")
    ] = False,
    overwrite: options.Overwrite = False,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Write the metrics for TensorBoard too, into the run folder. Needs the extra: "
            "pip install 'geodetect[tensorboard]'.",
        ),
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a model on labelled rasters.

    In N processes, each on a GPU of its own, or all on the processor:
    torchrun --nproc-per-node N -m geodetect_cli train --rasters ...
    """
    from geodetect.reporting.training_report.page import write_training_page
    from geodetect.settings import TrainSettings
    from geodetect.training.distributed import is_first_process
    from geodetect.training.run.summary import TrainingSummary
    from geodetect.training.train import train

    settings = options.parse_settings(
        TrainSettings,
        {
            "name": name,
            "description": description,
            "licence": licence,
            "data": tuple(data or ()),
            "network": network,
            "backbone": backbone,
            "anchors": anchors,
            "assignment": assignment,
            "init": init,
            "steps": steps,
            "minutes": minutes,
            "check": check,
            "gsd": gsd,
            "bands": options.parse_bands(bands),
            "src_crs": src_crs,
            "class_field": class_field,
            "point_size": point_size,
            "labels_crs": labels_crs,
            "val_share": val_share,
            "val_area": val_area,
            "val_rasters": tuple(val_rasters) if val_rasters else None,
            "val_labels": tuple(val_labels) if val_labels else None,
            "val_every": val_every,
            "keep": keep,
            "patience": patience,
            "mine_negatives": mine_negatives,
            "batch_size": batch_size,
            "chip_px": chip_px,
            "lr": lr,
            "augment": augment,
            "turn": turn,
            "device": device,
            "seed": seed,
        },
    )
    tally = TrainingSummary()
    with training_display.shown(by_clock=minutes is not None, quiet=quiet) as progress:
        card = train(
            rasters,
            labels,
            output,
            settings=settings,
            run_dir=run_dir,
            resume=resume,
            overwrite=overwrite,
            tensorboard=tensorboard,
            progress=progress,
            tally=tally,
        )
    if not is_first_process():
        return
    page = write_training_page(tally.run_dir, model=output, overwrite=True)
    training_display.summarize(card, tally, output, page=page, as_json=as_json, quiet=quiet)
