"""Training of the built-in model ``pools``, from the same data with the same settings.

    python -m benchmarks.training.pools -o first.safetensors --minutes 60 --augment 0.3 --lr 8e-4
    python -m benchmarks.training.pools -o mean.safetensors --average 1.safetensors 2.safetensors

``docs/experiments.md`` lists the commands of all trainings that led to the built-in model.

Trains on the outlines of the water: Cannes west of column 17,000, sheets of Sao Paulo in natural
colours, and drawn scenes. The first run starts from an ImageNet backbone, each other from the one
before, with stronger variations of colour, light and sharpness: without these, more steps made the
model worse on California, which is never trained on. The first six were on boxes, the sixth for
soft imagery and small pools. The mean of the weights of a model and one that continued its training
is better than either (Wortsman et al. 2022, "Model soups"); a model that is listed twice counts
twice. The first eight had heads of three convolutions, the default when the first was trained;
``--head-convs`` shortened them to one, as a training from a backbone makes now, and they learned
from the model before (``--teacher``); then ``--outline-channels`` halved the channels of the
outline features. An interrupted run continues with ``--resume``. Measure with ``python -m
benchmarks.accuracy.detection``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio

import geodetect
from benchmarks.harness.datasets import (
    SAO_PAULO_HOLDOUT,
    corrected_holdout,
    draw_into,
    draw_scenes,
)
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import BACKBONE_WEIGHTS, DATA, ROOT
from benchmarks.harness.rasters import BLOCKS
from benchmarks.training.cards import card_of_changed_weights
from benchmarks.training.distillation import (
    narrow_outline_head,
    outline_student_of,
    shorten_heads,
    student_of,
)
from benchmarks.training.label_correction import LEAST_SCORE, correct_labels
from geodetect.model.file import read_model_file, write_model_file
from geodetect.model.runtimes.conversion import add_networks
from geodetect.model.runtimes.stored_networks import network_parameters
from geodetect.progress import TqdmProgress
from geodetect.training import learner
from geodetect.training import train as training
from geodetect.training.anchors.assignment import ASSIGNMENTS
from geodetect.training.data import chip_sampler

BATCH_SIZE, CHIP_GSD_M = 8, 0.2
HEADS = ("regression", "outline")  # where an object ends; all else is where there is one
NMS_IOU = 0.3  # boxes of two pools hardly ever overlap: a higher overlap is one pool twice
GSD_RANGE_M = (0.15, 0.6)  # benchmarks.accuracy.resolution: F1 of California 0.924 to 0.927
CANNES = DATA / "cannes_north.tif"
OUTLINES = DATA / "cannes_north_outlines.geojson"
SCENE_OPTIONS = ("--count", "16", "--size", "1600", "--seed", "100", "--classes", "pool")
GARDEN_OPTIONS = ("--columns", "0", "17000", "--seed", "3")
SOURCES = (
    "Cannes, France: RGB orthophoto of IGN at 0.20 m, west of column 17,000; outlines of the water "
    "of K-Oussama/Swimming-Pool-Detection",
    "Sao Paulo, Brazil: near infrared, green, blue orthophoto GeoSampa 2020 at 0.20 m, its red "
    "band estimated from these; 16 of 20 sheets, outlines of rafael-b-g/sp-pools",
    f"drawn scenes: sample_data/generate.py {' '.join(SCENE_OPTIONS)}",
    "Cannes as above, above-ground pools drawn into it: "
    f"sample_data/draw_into.py {' '.join(GARDEN_OPTIONS)}",
)


def write_natural_colours(file: Path, folder: Path) -> None:
    """Write a raster of near infrared, green and blue as one of red, green and blue.

    Red is estimated from green and blue, as grey, brown and tiled surfaces reflect it; it is less
    on plants, which are bright in the near infrared; and on water, which is dark there, it is close
    to the near infrared.
    """
    with rasterio.open(file) as source:
        infrared, green, blue = source.read().astype(np.float32)
        ndwi = (green - infrared) / (green + infrared + 1)  # McFeeters (1996)
        plants, water = np.clip(-ndwi, 0, 1), np.clip(2.1 * ndwi - 0.2, 0, 0.7)
        dry = green + 1.2 * (green - blue) - 0.4 * plants * green
        wet = np.minimum(dry, infrared + 0.35 * (green - infrared))
        red = (1 - water) * dry + water * wet
        pixels = np.clip([red, green * (1 + 0.05 * plants), blue * (1 - 0.1 * plants)], 0, 255)
        profile = {**source.profile, **BLOCKS, "compress": "lzw", "photometric": "rgb"}
        with rasterio.open(folder / file.name, "w", **profile) as target:
            target.write(np.rint(pixels).astype(np.uint8))


def average(files: Sequence[Path], conf: float, output: Path) -> None:
    """Write the mean of the weights of models, each of which continued the training of another.

    Weights that only the later models have are the mean of theirs.
    """
    models = [(card, network_parameters(weights)) for card, weights in map(read_model_file, files)]
    weights = {
        name: np.stack(tensors).mean(axis=0, dtype=np.float32).astype(np.float16)
        for name in models[-1][1]
        for tensors in [[weights[name] for _, weights in models if name in weights]]
        if all(tensor.dtype == np.float16 for tensor in tensors)
    }
    trained = [(card, card.training) for card, _ in models if card.training]
    steps = " and ".join(f"{training.steps}" for _, training in trained)
    origin = f"mean of the weights after {steps} steps, the last from those before"
    data = tuple(dict.fromkeys(text for _, training in trained for text in training.data))
    broadest, broadest_training = max(trained, key=lambda pair: pair[1].objects)
    last, training = trained[-1]
    changes = {"initial_weights": origin, "data": data, "objects": broadest_training.objects}
    card = card_of_changed_weights(
        last,
        training=training.model_copy(update=changes),
        object_size_m=broadest.object_size_m,
        conf=conf,
        gsd_range_m=GSD_RANGE_M,
    )
    write_model_file(output, card, add_networks(card, weights))


def prepare(folder: Path, correct_with: str | None) -> None:
    """Write the inputs of a training into a folder: scenes, imagery, labels and the holdout.

    Scenes, labels and imagery with drawn pools take minutes: they are reused if they exist, and
    appear complete or not at all.

    Args:
        folder: Where to write.
        correct_with: Model by whose detections labels are corrected; None: they stay as they are.
    """
    natural, scenes, gardens = folder / "saopaulo", folder / "scenes", folder / "gardens.tif"
    natural.mkdir(parents=True, exist_ok=True)
    if not scenes.exists():
        partial = folder / "scenes.partial"
        draw_scenes(partial, *SCENE_OPTIONS)
        partial.rename(scenes)
    labels = folder / "cannes.gpkg"
    if not labels.exists():
        table = gpd.read_file(OUTLINES)
        if correct_with is not None:
            table = correct_labels(geodetect.predict(CANNES, correct_with, conf=LEAST_SCORE))
        partial = folder / "partial.gpkg"
        table.to_file(partial)
        partial.rename(labels)
    if not gardens.exists():
        partial = folder / "partial.tif"
        draw_into(CANNES, labels, partial, *GARDEN_OPTIONS)
        partial.with_suffix(".gpkg").replace(gardens.with_suffix(".gpkg"))
        partial.rename(gardens)
    area = gpd.GeoDataFrame(geometry=[corrected_holdout()[1]], crs="EPSG:2154")
    area.to_file(folder / "holdout.gpkg")
    for file in sorted((DATA / "saopaulo").glob("*.tif")):
        if file.stem not in SAO_PAULO_HOLDOUT:
            write_natural_colours(file, natural)


def join_heads(heads: str, finder: str, output: Path) -> Path:
    """Write a model with the box and outline heads of one, and all else of another; return it."""
    card, arrays = read_model_file(heads)
    weights, rest = network_parameters(arrays), network_parameters(read_model_file(finder)[1])
    joined = {
        name: values if name.startswith(HEADS) else rest[name] for name, values in weights.items()
    }
    write_model_file(output, card, add_networks(card, joined))
    return output


def train(options: argparse.Namespace) -> None:
    """Train on all datasets that are repeated at least once, and write the model."""
    folder, init = options.work_dir, options.init
    if not options.resume:
        prepare(folder, options.correct_with)
    if options.finder is not None:
        init = str(join_heads(init, options.finder, folder / "joined.safetensors"))
        learner.FROZEN = ("trunk", "pyramid", "classification")
    if options.head_convs is not None:
        init = str(shorten_heads(init, options.head_convs, folder / "shortened.safetensors"))
    student = student_of
    if options.outline_channels is not None:
        narrowed = folder / "narrowed.safetensors"
        init = str(narrow_outline_head(init, options.outline_channels, narrowed))
        learner.FROZEN = ("trunk", "pyramid", "classification", "regression")
        student = outline_student_of
    if options.teacher is not None:
        training.Learner = student(options.teacher)  # type: ignore[attr-defined]
    learner.AVERAGE_DECAY = options.decay
    chip_sampler.SCALE_RANGE = (options.min_scale, chip_sampler.SCALE_RANGE[1])
    natural = folder / "saopaulo"
    datasets = (
        (CANNES, [folder / "cannes.gpkg"]),
        (
            natural,
            [DATA / "saopaulo" / f"{file.stem}.geojson" for file in sorted(natural.iterdir())],
        ),
        (folder / "scenes", sorted((folder / "scenes").glob("*.geojson"))),
        (folder / "gardens.tif", [folder / "gardens.gpkg"]),
    )
    rasters, labels, sources = list[Path](), list[Path](), list[str]()
    for (raster, files), source, times in zip(datasets, SOURCES, options.repeats, strict=True):
        if times:
            rasters += [raster] * times
            labels += files
            sources.append(source)
    duration = {"steps": options.steps} if options.steps else {"minutes": options.minutes}
    settings = geodetect.TrainSettings(
        name="pools",
        description="Swimming pools on orthophotos of about 0.2 m.",
        licence="Apache-2.0",
        data_source=tuple(sources),
        gsd=CHIP_GSD_M,
        batch_size=BATCH_SIZE,
        init=init,
        **duration,
        val_aoi=folder / "holdout.gpkg",
        seed=options.seed,
        lr=options.lr,
        augment=options.augment,
        turn=not options.no_turn,
        assignment=options.assignment,
        keep=options.keep,
    )
    with TqdmProgress("training", unit="s") as progress:
        summary = geodetect.train(
            rasters,
            labels,
            options.output,
            settings=settings,
            resume=options.resume,
            overwrite=True,
            progress=progress,
        )
    _, weights = read_model_file(options.output)
    card = summary.card.model_copy(update={"iou": NMS_IOU})
    write_model_file(options.output, card, weights)
    print(card.model_dump_json(indent=2))


def main() -> None:
    """Train a model, or average trained ones."""
    parser = new_parser(__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="model file to write")
    parser.add_argument("--work-dir", type=Path, default=ROOT / "runs/pools", help="for the inputs")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    parser.add_argument("--init", default=str(BACKBONE_WEIGHTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument(
        "--decay", type=float, default=learner.AVERAGE_DECAY, help="of the moving average"
    )
    parser.add_argument("--augment", type=float, default=0.7)
    parser.add_argument("--assignment", choices=ASSIGNMENTS, default="overlap")
    parser.add_argument("--keep", choices=("best", "last"), default="best")
    parser.add_argument(
        "--min-scale", type=float, default=chip_sampler.SCALE_RANGE[0], help="of chips"
    )
    parser.add_argument(
        "--correct-with", metavar="MODEL", help="correct the labels of Cannes by its detections"
    )
    parser.add_argument(
        "--finder",
        metavar="MODEL",
        help="train box and outline heads alone; all else is of this model, and stays as it is",
    )
    parser.add_argument("--head-convs", type=int, help="shorten the heads of --init to so many")
    parser.add_argument(
        "--outline-channels",
        type=int,
        help="narrow the outline features of --init to so many, and train the outline head alone",
    )
    parser.add_argument(
        "--teacher",
        metavar="MODEL",
        help="learn its scores and boxes beside the labels, or its masks with --outline-channels",
    )
    parser.add_argument("--no-turn", action="store_true", help="do not rotate or mirror chips")
    parser.add_argument(
        "--repeats",
        type=int,
        nargs=4,
        default=(3, 2, 1, 0),
        help="times that each dataset counts: Cannes, Sao Paulo, drawn scenes, and Cannes with "
        "small pools drawn into it",
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted training")
    parser.add_argument("--average", type=Path, nargs="+", help="models, instead of a training")
    parser.add_argument("--conf", type=float, default=0.5, help="score threshold of their average")
    options = parser.parse_args()
    if options.average:
        average(options.average, options.conf, options.output)
    else:
        train(options)


if __name__ == "__main__":
    main()
