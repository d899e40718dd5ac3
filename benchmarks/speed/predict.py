"""Time of ``predict`` against the network alone, and against other programs.

    python -m benchmarks.speed.predict --part pipeline
    python -m benchmarks.speed.predict --part peers --peers-python peers/bin/python
    python -m benchmarks.speed.predict --raster scene.tif  # instead of the repeated sample

pipeline: ``predict`` end to end, the written layer included, over the forward passes of the same
tiles alone, read before, in the same runtime; the built-in model and torchvision's ResNet-50
RetinaNet. ``bytes read`` is relative to the size of the files: how often blocks are decoded.

peers: DeepForest's ``predict_tile``, SAHI's sliced prediction and GeoDeep with the same weights of
torchvision's RetinaNet on one raster, tiles of 512 px that the network enlarges to 800 px, 10 %
overlap; and the built-in model with its default tiles on the same raster. Each run is a separate
process. The ground truth of the average precision is what ``predict`` returns in PyTorch in single
precision from a score of 0.7 up; all programs report boxes from 0.5 up. Other programs do not join
objects that tile edges cut.

Runs of all programs take turns, and medians count. The load is that of the machine in the last
minute before the first run.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import SAMPLE
from benchmarks.harness.processes import Stopwatch, load_average
from benchmarks.harness.rasters import BLOCKS, repeat_sample, size_text, write_window
from benchmarks.harness.tables import machine, save_table
from benchmarks.peers.programs import (
    TITLES,
    Run,
    Turn,
    add_peers_option,
    find_peers,
    median_seconds,
    run_columns,
    run_in_turns,
    run_peer,
)
from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.io.vector.write import write
from geodetect.model.file import read_model_file
from geodetect.model.runtimes.open import open_runtime

TILE_PX, INPUT_PX, OVERLAP = 512, 800, 0.1
CONF, TRUTH_CONF, IOU = 0.5, 0.7, 0.5
CALIBRATION_TILES = 24  # of the sample, half of them to check
FORWARD_BATCH = 64  # so large that processors hardly wait for the last tile
TARGET_RATIO = 1.15
STOCK_TARGETS = {"deepforest": 4.0, "sahi": 2.5, "geodeep": 1.8}
BUILT_IN_TARGETS = {"deepforest": 25.0, "sahi": 15.0, "geodeep": 11.0}
GEODETECT_TITLES = {
    "stock fp32": "geodetect --precision fp32",
    "stock": "geodetect",
    "stock int8": "geodetect --precision int8",
    "built-in": "geodetect, built-in model",
    "reference": "geodetect --runtime torch --precision fp32",
}


@dataclass(frozen=True)
class StockModel:
    """Torchvision's RetinaNet in the formats of all programs.

    Args:
        weights: State dict.
        model: Model file of geodetect.
        onnx: With the metadata of GeoDeep.
        int8: The model file with an int8-quantized network; None: the weights are synthetic, whose
            scores lie too close together for it.
    """

    weights: Path
    model: Path
    onnx: Path
    int8: Path | None = None


def prepare_stock_model(folder: Path, weights: Path | None = None) -> StockModel:
    """Write synthetic weights, or those of a file, in the formats of all programs."""
    from benchmarks.peers.weights import export_for_geodeep, write_fitted_weights

    names = ("stock.pt", "stock.safetensors", "stock.onnx")
    stock = StockModel(*(folder.absolute() / name for name in names))
    if weights is None:
        write_fitted_weights(stock.weights)
    else:
        shutil.copyfile(weights, stock.weights)
    export_for_geodeep(stock.weights, stock.onnx, conf=CONF, iou=IOU, overlap=OVERLAP)
    settings = geodetect.ConvertSettings(tile_size=TILE_PX, resize=INPUT_PX)
    geodetect.convert(stock.weights, stock.model, settings=settings)
    if weights is None:
        return stock
    int8 = folder.absolute() / "int8.safetensors"
    # any agreement is accepted: the table shows it
    quantize_settings = geodetect.QuantizeSettings(tiles=CALIBRATION_TILES, min_ap=0)
    geodetect.quantize(stock.model, SAMPLE, int8, settings=quantize_settings)
    return replace(stock, int8=int8)


def split_raster(raster: Path, folder: Path, columns: int = 4) -> Path:
    """Write a square raster as a mosaic of smaller ones; return their folder."""
    folder.mkdir()
    with rasterio.open(raster) as source:
        side = source.width // columns
        for number in range(columns**2):
            window = Window(number % columns * side, number // columns * side, side, side)
            write_window(source, window, folder / f"{number}.tif", **BLOCKS, compress="deflate")
    return folder


def run_forward(runtime: Any, tiles: Sequence[Any]) -> None:
    """Run all tiles through the network and nothing else."""
    for start in range(0, len(tiles), FORWARD_BATCH):
        batch = tiles[start : start + FORWARD_BATCH]
        runtime.forward(
            np.stack([tile.values for tile in batch]), np.stack([tile.valid for tile in batch])
        )


def bytes_read() -> int:
    """Return the bytes that this process has read from files; 0 where the system reports none."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return int(lines[0].removeprefix("rchar: "))


def measure_pipeline(
    source: Path, model: Path | str, folder: Path, *, repeats: int
) -> dict[str, str]:
    """Return the row of a model, end to end and forward passes alone.

    Args:
        source: A raster, or a folder of them.
        model: Name or file.
        folder: For the result.
        repeats: Number of measurements.
    """
    rasters = sorted(source.iterdir()) if source.is_dir() else [source]
    runtime = open_runtime(*read_model_file(model), device="cpu")
    detector = RetinaNetDetector(runtime)
    stock_tiles = {"tile_size": TILE_PX, "overlap": OVERLAP}
    settings = geodetect.PredictSettings(**(stock_tiles if isinstance(model, Path) else {}))
    tiles = []
    for plan in geodetect.plan(rasters, detector, settings=settings):
        with plan.ground:
            tiles += [plan.ground.read(t, plan.grid) for run in plan.runs() for t in run.tiles]
    run_forward(runtime, tiles[:FORWARD_BATCH])
    output = folder / "predictions.gpkg"
    file_bytes = sum(raster.stat().st_size for raster in rasters)
    totals, forwards, reads = list[Stopwatch](), list[Stopwatch](), list[float]()
    for _ in range(repeats):
        before = bytes_read()
        with Stopwatch() as total:
            write(geodetect.predict_layer(rasters, detector, settings=settings), output)
            output.unlink()
        reads.append((bytes_read() - before) / file_bytes)
        with Stopwatch() as forward:
            run_forward(runtime, tiles)
        totals.append(total)
        forwards.append(forward)
    total_s = statistics.median(total.seconds for total in totals)
    forward_s = statistics.median(forward.seconds for forward in forwards)
    total_cpu_s = statistics.median(total.cpu_s for total in totals)
    forward_cpu_s = statistics.median(forward.cpu_s for forward in forwards)
    ratios = [
        total.seconds / forward.seconds for total, forward in zip(totals, forwards, strict=True)
    ]
    with rasterio.open(rasters[0]) as first:
        megapixels = len(rasters) * first.width * first.height / 1e6
        height, width = first.block_shapes[0]
    return {
        "model": "built-in" if model == "pools" else "stock ResNet-50",
        "rasters": f"{len(rasters)}",
        "blocks": f"{width} x {height} px",
        "runtime": runtime.title,
        "tiles": f"{len(tiles)} of {plan.scheme.tile_px} px",
        "forward alone": f"{forward_s:.1f} s",
        "end to end": f"{total_s:.1f} s",
        "ratio": f"{statistics.median(ratios):.3f}",
        "target": f"<= {TARGET_RATIO}",
        "ratio of CPU seconds": f"{total_cpu_s / forward_cpu_s:.3f}",
        "Mpx/s of the raster": f"{megapixels / total_s:.2f}",
        "bytes read": f"{statistics.median(reads):.2f} x",
    }


def run_programs(
    raster: Path, stock: StockModel, pythons: dict[str, str], *, repeats: int
) -> dict[str, list[Run]]:
    """Return the runs of every program, which take turns."""
    task: dict[str, Any] = {"raster": str(raster), "conf": CONF, "iou": IOU, "overlap": OVERLAP}
    task |= {"tile_px": TILE_PX, "weights": str(stock.weights), "onnx": str(stock.onnx)}
    task |= {"torch_home": str(stock.weights.parent), "model": str(stock.model)}
    task["merging"] = {"postprocess_type": "NMS", "postprocess_match_metric": "IOU"}
    built_in = {"raster": str(raster), "model": "pools"}
    tasks = {"stock": task, "stock fp32": {**task, "precision": "fp32"}, "built-in": built_in}
    if stock.int8 is not None:
        tasks["stock int8"] = {**task, "model": str(stock.int8), "precision": "int8"}
    reference = {**task, "runtime": "torch", "precision": "fp32"}
    for model_task in (task, built_in):  # fills the cache of converted networks
        run_peer("geodetect", model_task)
    turns = [Turn(name, name, task, python) for name, python in pythons.items()]
    turns += [Turn(name, "geodetect", model_task) for name, model_task in tasks.items()]
    first = run_in_turns([Turn("reference", "geodetect", reference)])
    return first | run_in_turns(turns, repeats=repeats)


def format_programs(runs: dict[str, list[Run]]) -> list[dict[str, str]]:
    """Return the table of all programs."""
    titles = {name: f"{TITLES[name]} {runs[name][0].version}" for name in TITLES if name in runs}
    titles |= {name: title for name, title in GEODETECT_TITLES.items() if name in runs}
    medians = {name: median_seconds(runs[name]) for name in titles}
    (reference,) = runs["reference"]
    truth = reference.boxes[reference.scores >= TRUTH_CONF]

    def ratio(name: str, model: str, targets: dict[str, float]) -> str:
        if name not in targets:
            return "-"
        return f"{medians[name] / medians[model]:.2f} (target {targets[name]:g})"

    rows = []
    for name, title in titles.items():
        first = runs[name][0]
        matches = [match_boxes(first.boxes, first.scores, truth, iou=iou) for iou in (0.5, 0.75)]
        precisions = ", ".join(f"{average_precision(m):.3f}" for m in matches)
        rows.append({
            "program": title,
            **run_columns(runs[name]),
            "AP at IoU 0.5, 0.75": "-" if name == "built-in" else precisions,
            "time / geodetect": ratio(name, "stock", STOCK_TARGETS),
            "time / built-in model": ratio(name, "built-in", BUILT_IN_TARGETS),
        })  # fmt: skip
    return rows


def main() -> None:
    """Measure one part or both and print a table of each."""
    parser = new_parser(__doc__)
    parser.add_argument("--part", choices=("pipeline", "peers", "all"), default="all")
    parser.add_argument("--raster", type=Path, help="default: the sample, repeated")
    parser.add_argument(
        "--weights", type=Path, help="state dict of torchvision's network with one class"
    )
    parser.add_argument("--side", type=int, help="of the repeated sample in pixels")
    parser.add_argument("--repeats", type=int, default=3)
    add_peers_option(parser)
    options = parser.parse_args()
    load = f"{load_average()} before"
    with TemporaryDirectory() as name:
        folder = Path(name)
        stock = prepare_stock_model(folder, options.weights)
        if options.part != "peers":
            side = options.side or 8192
            raster = options.raster or repeat_sample(folder / "large.tif", side)
            inputs: list[tuple[Path, Path | str]] = [(raster, "pools")]
            if not options.raster:
                strips = repeat_sample(folder / "strips.tif", side, in_strips=True)
                inputs += [(strips, "pools"), (split_raster(raster, folder / "mosaic"), "pools")]
            rows = [
                measure_pipeline(source, model, folder, repeats=options.repeats)
                for source, model in [*inputs, (raster, stock.model)]
            ]
            title = (
                f"End to end over forward passes alone, {size_text(raster)}, {machine()}, {load}"
            )
            save_table("speed/predict_pipeline", title, rows)
        if options.part != "pipeline":
            raster = options.raster or repeat_sample(folder / "raster.tif", options.side or 4096)
            pythons = find_peers(options.peers_python, STOCK_TARGETS)
            runs = run_programs(raster.absolute(), stock, pythons, repeats=options.repeats)
            title = f"Programs on one raster, {size_text(raster)}, {machine()}, {load}"
            save_table("speed/predict_peers", title, format_programs(runs))


if __name__ == "__main__":
    main()
