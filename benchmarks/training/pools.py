"""Train the built-in model ``pools`` again, from the same data with the same settings.

    python -m benchmarks.training.pools -o first.safetensors --minutes 60 --augment 0.3 --lr 8e-4
    python -m benchmarks.training.pools -o second.safetensors --minutes 25 \
        --init first.safetensors --augment 0.7 --lr 5e-4 --seed 3
    python -m benchmarks.training.pools -o third.safetensors --minutes 64 \
        --init second.safetensors --augment 1 --lr 6e-4 --seed 5
    python -m benchmarks.training.pools -o mean.safetensors --average second.safetensors \
        third.safetensors
    python -m benchmarks.training.pools -o fourth.safetensors --minutes 60 --init mean.safetensors \
        --augment 0.8 --lr 8e-4 --seed 11
    python -m benchmarks.training.pools -o second_mean.safetensors --average mean.safetensors \
        mean.safetensors fourth.safetensors --conf 0.51
    python -m benchmarks.training.pools -o fifth.safetensors --minutes 14 --augment 0.5 --lr 4e-4 \
        --init second_mean.safetensors --seed 21 --shares 1 0 0 0 --as-labelled --no-turn
    python -m benchmarks.training.pools -o third_mean.safetensors \
        --average second_mean.safetensors fifth.safetensors
    python -m benchmarks.training.pools -o sixth.safetensors --steps 1300 --augment 0.8 --lr 6e-4 \
        --init third_mean.safetensors --seed 51 --as-labelled --least-scale 0.45 --keep last
    python -m benchmarks.training.pools -o fourth_mean.safetensors \
        --average third_mean.safetensors sixth.safetensors
    python -m benchmarks.accuracy.calibration \
        --model fourth_mean.safetensors -o calibrated.safetensors
    geodetect quantize calibrated.safetensors -o pools.safetensors \
        --rasters ../shared/data/pools/cannes_north.tif --rasters runs/pools/saopaulo

Learns from Cannes west of column 17,000, its labels moved onto the water, from Sao Paulo in natural
colours, and from drawn scenes. The first run starts from an ImageNet trunk, each other from the one
before, with stronger variations of colour, light and sharpness: without it, more steps made the
model worse on California, which is never touched. The sixth is for soft imagery and small pools.
The mean of the weights of models that were trained one from the other is better than either
(Wortsman et al. 2022, "Model soups"); one named twice counts twice. The heads of the built-in model
have three convolutions, the default when it was first trained; a training from a trunk makes one
now. Interrupted, a run goes on with ``--resume``. Measure with
``python -m benchmarks.accuracy.detection``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio

import geodetect
from benchmarks.harness.datasets import (
    CANNES_HOLDOUT,
    dataset_named,
    predict_with_truth,
    write_holdout_area,
)
from geodetect.model.file import load_card, read_model_file, write_model_file
from geodetect.model.runtimes.int8 import drop_int8_network
from geodetect.progress import TqdmProgress
from geodetect.training.anchors.assignment import ASSIGNMENTS
from geodetect.training.data import chip_sampler as chips

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
IOU = 0.3  # boxes of two pools hardly ever overlap, so more of an overlap is one pool seen twice
CANNES_LABELS_OFF_M = (0.14, -0.22)  # its labels lie a pixel to the upper left of the water
TESTED_GSD_M = (0.15, 0.6)  # resolution.py: F1 of California 0.924 to 0.927
TRUNK = SHARED / "weights/resnet18_imagenet_to_layer3.safetensors"
SCENES = ("--count", "16", "--size", "1600", "--seed", "100", "--classes", "pool")
GARDENS = ("--columns", "0", "17000", "--seed", "3")
SOURCES = (
    "Cannes, France: RGB orthophoto of IGN at 0.20 m, west of column 17,000; labels of "
    "K-Oussama/Swimming-Pool-Detection",
    "Sao Paulo, Brazil: near infrared, green, blue orthophoto GeoSampa 2020 at 0.20 m, its red "
    "band estimated from these; labels of rafael-b-g/sp-pools",
    f"drawn scenes: sample_data/generate.py {' '.join(SCENES)}",
    "Cannes as above, above-ground pools drawn into it: "
    f"sample_data/draw_into.py {' '.join(GARDENS)}",
)


def natural_colours(sheet: Path, folder: Path) -> Path:
    """Write a sheet of near infrared, green and blue as one of red, green and blue.

    Red is what grey, brown and tiled surfaces have by their green and blue; less on plants, which
    are bright in the near infrared; and on water, which is dark there, close to the near infrared.
    """
    target = folder / sheet.name
    with rasterio.open(sheet) as source:
        infrared, green, blue = source.read().astype(np.float32)
        wetness = (green - infrared) / (green + infrared + 1)  # McFeeters (1996), NDWI
        plants, water = np.clip(-wetness, 0, 1), np.clip(2.1 * wetness - 0.2, 0, 0.7)
        dry = green + 1.2 * (green - blue) - 0.4 * plants * green
        wet = np.minimum(dry, infrared + 0.35 * (green - infrared))
        red = (1 - water) * dry + water * wet
        pixels = np.clip([red, green * (1 + 0.05 * plants), blue * (1 - 0.1 * plants)], 0, 255)
        tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "lzw"}
        with rasterio.open(target, "w", **{**source.profile, **tiled, "photometric": "rgb"}) as new:
            new.write(np.rint(pixels).astype(np.uint8))
    return target


def draw_scenes(folder: Path) -> None:
    """Draw all scenes; the folder appears complete."""
    partial = folder.with_suffix(".partial")
    draw = [sys.executable, str(ROOT / "sample_data/generate.py"), *SCENES, "-o", str(partial)]
    subprocess.run(draw, check=True)
    partial.rename(folder)


def draw_into(photo: Path, labels: Path, output: Path, options: Sequence[str]) -> None:
    """Write imagery with small pools drawn into it, and their labels beside it."""
    script = ROOT / "sample_data/draw_into.py"
    files = [str(photo), str(labels), "-o", str(output)]
    subprocess.run([sys.executable, str(script), *files, *options], check=True)


def draw_gardens(gardens: Path) -> None:
    """Draw pools into Cannes as it is labelled; the files appear complete, the imagery last."""
    cannes, partial = SHARED / "data/pools/cannes_north.tif", gardens.with_name("partial.tif")
    draw_into(cannes, cannes.with_suffix(".geojson"), partial, GARDENS)
    partial.with_suffix(".gpkg").replace(gardens.with_suffix(".gpkg"))
    partial.rename(gardens)


def average(files: Sequence[Path], conf: float, output: Path) -> None:
    """Write the mean of the weights of models that were trained one from the other."""
    models = [(card, drop_int8_network(weights)) for card, weights in map(read_model_file, files)]
    weights = {
        name: np.mean([w[name] for _, w in models], axis=0, dtype=np.float32).astype(np.float16)
        for name in models[0][1]
        if all(w[name].dtype == np.float16 for _, w in models)
    }
    trained = [(card, card.training) for card, _ in models if card.training]
    steps = " and ".join(f"{training.steps}" for _, training in trained)
    begin = f"mean of the weights after {steps} steps, the last from those before"
    data = tuple(dict.fromkeys(text for _, training in trained for text in training.data))
    broadest, most = max(trained, key=lambda pair: pair[1].objects)
    last, training = trained[-1]
    changes = {"initial_weights": begin, "data": data, "objects": most.objects}
    card = last.model_copy(
        update={
            "training": training.model_copy(update=changes),
            "object_size_m": broadest.object_size_m,
            "conf": conf,
            "calibration": None,
            "gsd_range_m": TESTED_GSD_M,
        }
    )
    write_model_file(output, card, weights)
    write_model_file(output, card.model_copy(update={"metrics": measure(output)}), weights)


def measure(model: Path) -> dict[str, float]:
    """What the card says of a model, on the ground held out, its own threshold for counts."""
    found, truth = predict_with_truth(dataset_named(CANNES_HOLDOUT, SHARED / "data/pools"), model)
    counted = geodetect.EvaluateSettings(
        conf=load_card(model).conf, resamples=0, ignore_classes=True
    )
    overall = geodetect.evaluate(found, truth, counted).metrics.overall
    point = overall.at_threshold
    values = (overall.n_truth, overall.ap50, overall.ap50_95, point.f1)
    names = ("objects", "ap50", "ap50_95", "f1", "precision", "recall")
    figures = zip(names, (*values, point.precision, point.recall), strict=True)
    return {name: round(float(value), 4) for name, value in figures}


def prepare(folder: Path) -> None:
    """Write into a folder what is made for training: scenes, colours, labels, held-out ground."""
    pools, natural, scenes = SHARED / "data/pools", folder / "saopaulo", folder / "scenes"
    natural.mkdir(parents=True, exist_ok=True)
    if not scenes.exists():  # a few minutes
        draw_scenes(scenes)
    gardens = folder / "gardens.tif"
    if not gardens.exists():
        draw_gardens(gardens)
    write_holdout_area(folder / "held_out.gpkg")
    cannes = gpd.read_file(pools / "cannes_north.geojson").to_crs("EPSG:2154")
    moved = cannes.set_geometry(cannes.translate(*CANNES_LABELS_OFF_M))
    moved.to_file(folder / "cannes.gpkg")
    for sheet in sorted((pools / "saopaulo").glob("*.tif")):
        natural_colours(sheet, natural)


def train(options: argparse.Namespace) -> None:
    """One training, on the grounds that have a share."""
    pools, folder = SHARED / "data/pools", options.work_dir
    if not options.resume:
        prepare(folder)
    chips.SCALE_RANGE = (options.least_scale, chips.SCALE_RANGE[1])
    moved, as_labelled = folder / "cannes.gpkg", pools / "cannes_north.geojson"
    grounds = (
        (pools / "cannes_north.tif", [as_labelled if options.as_labelled else moved]),
        (folder / "saopaulo", sorted((pools / "saopaulo").glob("*.geojson"))),
        (folder / "scenes", sorted((folder / "scenes").glob("*.geojson"))),
        (folder / "gardens.tif", [folder / "gardens.gpkg"]),
    )
    used = [row for row in zip(grounds, SOURCES, options.shares, strict=True) if row[-1]]
    length = {"steps": options.steps} if options.steps else {"minutes": options.minutes}
    settings = geodetect.TrainSettings(
        name="pools",
        description="Swimming pools on orthophotos of about 0.2 m.",
        licence="Apache-2.0",
        data=tuple(text for _, text, _ in used),
        gsd=0.2,
        init=options.init,
        **length,
        val_area=folder / "held_out.gpkg",
        seed=options.seed,
        lr=options.lr,
        augment=options.augment,
        turn=not options.no_turn,
        assignment=options.assignment,
        keep=options.keep,
    )
    with TqdmProgress("training", unit="s") as progress:
        summary = geodetect.train(
            [raster for (raster, _), _, share in used for _ in range(share)],
            [file for (_, files), _, _ in used for file in files],
            options.output,
            settings=settings,
            resume=options.resume,
            overwrite=True,
            progress=progress,
        )
    _, weights = read_model_file(options.output)
    card = summary.card.model_copy(update={"iou": IOU})
    write_model_file(options.output, card, weights)
    print(card.model_dump_json(indent=2))


def main() -> None:
    """Train, or average what was trained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, default=ROOT / "runs/pools")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    parser.add_argument("--init", default=str(TRUNK))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--augment", type=float, default=0.7)
    parser.add_argument("--assignment", choices=ASSIGNMENTS, default="overlap")
    parser.add_argument("--keep", choices=("best", "last"), default="best")
    parser.add_argument(
        "--least-scale", type=float, default=chips.SCALE_RANGE[0], help="at which chips are shown"
    )
    parser.add_argument("--no-turn", action="store_true", help="show chips only as they lie")
    parser.add_argument(
        "--as-labelled", action="store_true", help="leave the labels of Cannes where they are"
    )
    parser.add_argument(
        "--shares",
        type=int,
        nargs=4,
        default=(3, 2, 1, 0),
        help="how often chips are drawn from Cannes, Sao Paulo, drawn scenes, and Cannes with more "
        "pools drawn into it",
    )
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--average", type=Path, nargs="+", help="models, instead of a training")
    parser.add_argument("--conf", type=float, default=0.5, help="threshold of their average")
    options = parser.parse_args()
    if options.average:
        average(options.average, options.conf, options.output)
    else:
        train(options)


if __name__ == "__main__":
    main()
