"""How fast ``predict`` is: against the network alone, and against other programs.

    python -m benchmarks.speed.predict --part pipeline
    python -m benchmarks.speed.predict --part peers --peers-python peers/bin/python
    python -m benchmarks.speed.predict --raster scene.tif  # instead of the repeated sample

pipeline: ``predict`` end to end, the written layer included, over the bare forward passes of the
same tiles, read before, in the same runtime; the built-in model and a stock ResNet-50 RetinaNet.
``file read`` is how often ``predict`` reads the bytes of the raster, and so decodes its blocks.

peers: DeepForest's ``predict_tile``, SAHI's sliced prediction and GeoDeep with the same stock
weights on one raster, tiles of 512 px that the network enlarges to 800 px, 10 % overlap; and the
built-in model with its own tiles on the same raster. Each run is a process of its own. The truth
of the average precision is what PyTorch finds in single precision in ``predict``, at a score of
0.7; everybody looks from 0.5 on. Other programs do not join what tile edges cut.

Runs of all programs take turns, and medians count. The load is that of the machine in the last
minute before the first run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

import geodetect
from benchmarks.harness.tables import machine, save_table
from benchmarks.peers.programs import HELP, TITLES, Run, find_peers, run_program
from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.detection.retinanet_detector import RetinaNetDetector
from geodetect.io.vector.write import write
from geodetect.model.file import read_model_file
from geodetect.model.runtimes.open import open_runtime

SAMPLE = Path(__file__).parents[2] / "sample_data/neighbourhood.tif"
TILE_PX, INPUT_PX, OVERLAP = 512, 800, 0.1
CONF, TRUE_CONF, IOU = 0.5, 0.7, 0.5
CALIBRATION_TILES = 24  # of the sample, half of them to check
BARE_BATCH = 64  # so many that processors hardly wait for the last one
PIPELINE_WANTED = 1.15
STOCK_WANTED = {"deepforest": 4.0, "sahi": 2.5, "geodeep": 1.8}
BUILT_IN_WANTED = {"deepforest": 25.0, "sahi": 15.0, "geodeep": 11.0}
STOCK_TILES = {"tile_size": TILE_PX, "overlap": OVERLAP}


@dataclass(frozen=True)
class Setup:
    """Files that the measurements need.

    Args:
        weights: Stock weights as torchvision's state dict.
        stock: The same as a model file of ours.
        onnx: The same as GeoDeep takes them.
        int8: The model file with a network in 8 bit; None: the weights are synthetic, whose scores
            lie too close together for it.
    """

    weights: Path
    stock: Path
    onnx: Path
    int8: Path | None = None


def prepare(folder: Path, weights: Path | None = None) -> Setup:
    """Write the stock weights, or those given, in the formats of all."""
    from benchmarks.peers.weights import geodeep_model, stock_weights

    names = ("stock.pt", "stock.safetensors", "stock.onnx")
    setup = Setup(*(folder.absolute() / name for name in names))
    if weights is None:
        stock_weights(setup.weights)
    else:
        shutil.copyfile(weights, setup.weights)
    geodeep_model(setup.weights, setup.onnx, conf=CONF, iou=IOU, overlap=OVERLAP)
    geodetect.convert(setup.weights, setup.stock, tile_size=TILE_PX, resize=INPUT_PX)
    if weights is None:
        return setup
    int8 = folder.absolute() / "int8.safetensors"
    settings = geodetect.QuantizeSettings(tiles=CALIBRATION_TILES, least_ap=0)  # the table shows it
    geodetect.quantize(setup.stock, SAMPLE, int8, settings=settings)
    return replace(setup, int8=int8)


def repeated_sample(file: Path, side: int, *, strips: bool = False) -> Path:
    """The drawn sample, mirrored to and fro until it fills a square of ``side`` pixels.

    Args:
        file: To write.
        side: Of the square.
        strips: Store it row by row instead of in blocks of 512 px.
    """
    with rasterio.open(SAMPLE) as scene:
        pixels = scene.read()
        beyond = [(0, 0), (0, max(0, side - scene.height)), (0, max(0, side - scene.width))]
        pixels = np.pad(pixels, beyond, mode="symmetric")[:, :side, :side]
        shape = {"count": 3, "height": side, "width": side, "dtype": "uint8"}
        tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512}
        blocks = {**({} if strips else tiled), "compress": "deflate"}
        place = {"crs": scene.crs, "transform": scene.transform}
        with rasterio.open(file, "w", "GTiff", **shape, **place, **blocks) as target:
            target.write(pixels)
    return file


def bare(detector: Any, tiles: Sequence[Any]) -> None:
    """All tiles through the network and nothing else; ``detector`` is a runtime."""
    for start in range(0, len(tiles), BARE_BATCH):
        part = tiles[start : start + BARE_BATCH]
        detector.forward(np.stack([one.values for one in part]), np.stack([o.valid for o in part]))


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock and of all processors."""
    clock, processors = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processors


def bytes_read() -> int:
    """What this process has read from files so far; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return int(lines[0].removeprefix("rchar: "))


def sheets_of(raster: Path, folder: Path, across: int = 4) -> Path:
    """The raster cut into sheets, as it is in its blocks; give their folder."""
    folder.mkdir()
    with rasterio.open(raster) as source:
        side = source.width // across
        for number in range(across**2):
            window = Window(number % across * side, number // across * side, side, side)
            shape = {"width": side, "height": side, "transform": source.window_transform(window)}
            with rasterio.open(folder / f"{number}.tif", "w", **source.profile | shape) as target:
                target.write(source.read(window=window))
    return folder


def pipeline(source: Path, model: Path | str, folder: Path, *, repeats: int) -> dict[str, str]:
    """One row: a model end to end and bare.

    Args:
        source: A raster, or a folder of them.
        model: Name or file.
        folder: For the result.
        repeats: How often.
    """
    rasters = sorted(source.iterdir()) if source.is_dir() else [source]
    card, weights = read_model_file(model)
    runtime = open_runtime(card, weights, device="cpu")
    detector = RetinaNetDetector(runtime)
    settings = geodetect.PredictSettings(**(STOCK_TILES if isinstance(model, Path) else {}))
    tiles = []
    for plan in geodetect.plan(rasters, detector, settings=settings):
        with plan.raster:
            tiles += [plan.raster.read(tile, plan.grid) for row in plan.rows() for tile in row]
    bytes_of_all = sum(raster.stat().st_size for raster in rasters)
    reads: list[float] = []

    def whole() -> None:
        before = bytes_read()
        write(geodetect.predict_layer(rasters, detector, settings=settings), folder / "found.gpkg")
        (folder / "found.gpkg").unlink()
        reads.append((bytes_read() - before) / bytes_of_all)

    bare(runtime, tiles[:BARE_BATCH])
    pairs = [(timed(whole), timed(lambda: bare(runtime, tiles))) for _ in range(repeats)]
    whole_s, bare_s = (statistics.median(pair[i][0] for pair in pairs) for i in (0, 1))
    whole_cpu, bare_cpu = (statistics.median(pair[i][1] for pair in pairs) for i in (0, 1))
    with rasterio.open(rasters[0]) as first:
        megapixels = len(rasters) * first.width * first.height / 1e6
        height, width = first.block_shapes[0]
    return {
        "model": "built-in" if model == "pools" else "stock ResNet-50",
        "rasters": f"{len(rasters)}",
        "blocks": f"{width} x {height} px",
        "runtime": runtime.title,
        "tiles": f"{len(tiles)} of {plan.scheme.tile_px} px",
        "bare forward": f"{bare_s:.1f} s",
        "end to end": f"{whole_s:.1f} s",
        "ratio": f"{statistics.median(w[0] / b[0] for w, b in pairs):.3f}",
        "wanted": f"<= {PIPELINE_WANTED}",
        "ratio of processor seconds": f"{whole_cpu / bare_cpu:.3f}",
        "Mpx/s of the raster": f"{megapixels / whole_s:.2f}",
        "file read": f"{statistics.median(reads):.2f} x",
    }


def measure_peers(
    raster: Path, setup: Setup, pythons: dict[str, str], *, repeats: int
) -> dict[str, list[Run]]:
    """Runs of every program, which take turns."""
    shared = {"raster": str(raster), "conf": CONF, "iou": IOU, "overlap": OVERLAP}
    shared |= {"tile_px": TILE_PX, "weights": str(setup.weights), "onnx": str(setup.onnx)}
    shared |= {"torch_home": str(setup.weights.parent), "model": str(setup.stock)}
    built_in = {"raster": str(raster), "model": "pools"}
    reference = {**shared, "runtime": "torch", "precision": "fp32"}
    for task in (shared, built_in):  # fills the cache of converted networks
        run_program("geodetect", task)
    ours = {"stock": shared, "stock fp32": {**shared, "precision": "fp32"}, "built-in": built_in}
    if setup.int8 is not None:
        ours["stock int8"] = {**shared, "model": str(setup.int8), "precision": "int8"}
    turns = [(name, name, shared, python) for name, python in pythons.items()]
    turns += [(name, "geodetect", task, sys.executable) for name, task in ours.items()]
    runs: dict[str, list[Run]] = {}
    for name, program, task, python in [
        ("reference", "geodetect", reference, sys.executable),
        *(turns * repeats),
    ]:
        run = run_program(program, task, python=python)
        print(f"{name}: {run.seconds:.1f} s, {run.processor_s:.1f} processor s", flush=True)
        runs.setdefault(name, []).append(run)
    return runs


def peers_rows(runs: dict[str, list[Run]]) -> list[dict[str, str]]:
    """The table of all programs."""
    titles = {name: f"{TITLES[name]} {runs[name][0].version}" for name in TITLES if name in runs}
    titles |= {
        "stock fp32": "geodetect --precision fp32",
        "stock": "geodetect",
        "stock int8": "geodetect --precision int8",
        "built-in": "geodetect, built-in model",
        "reference": "geodetect --runtime torch --precision fp32",
    }
    titles = {name: title for name, title in titles.items() if name in runs}
    seconds = {name: statistics.median(run.seconds for run in runs[name]) for name in titles}
    (truth,) = runs["reference"]
    sure = truth.boxes[truth.scores >= TRUE_CONF]
    return [
        {
            "program": title,
            "seconds": f"{seconds[name]:.1f}",
            "range": f"{min(r.seconds for r in runs[name]):.1f} to "
            f"{max(r.seconds for r in runs[name]):.1f}",
            "processor seconds": f"{statistics.median(r.processor_s for r in runs[name]):.1f}",
            "peak memory": f"{max(r.peak_bytes for r in runs[name]) / 1e9:.2f} GB",
            "boxes": f"{len(runs[name][0].boxes)}",
            "AP at IoU 0.5, 0.75": "-" if name == "built-in" else _ap(runs[name][0], sure),
            "geodetect is faster by": _factor(name, seconds, "stock", STOCK_WANTED),
            "built-in model by": _factor(name, seconds, "built-in", BUILT_IN_WANTED),
        }
        for name, title in titles.items()
    ]


def _ap(run: Run, truth: Any) -> str:
    aps = (average_precision(match_boxes(run.boxes, run.scores, truth, iou=i)) for i in (0.5, 0.75))
    return ", ".join(f"{ap:.3f}" for ap in aps)


def _factor(name: str, seconds: dict[str, float], ours: str, wanted: dict[str, float]) -> str:
    if name not in wanted:
        return "-"
    return f"{seconds[name] / seconds[ours]:.2f} (wanted {wanted[name]:g})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("pipeline", "peers", "all"), default="all")
    parser.add_argument("--raster", type=Path, help="default: the sample, repeated")
    parser.add_argument(
        "--weights", type=Path, help="state dict of torchvision's network with one class"
    )
    parser.add_argument("--side", type=int, help="of the repeated sample, in px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers-python", action="append", default=[], metavar="PATH", help=HELP)
    options = parser.parse_args()
    given = options.raster.absolute() if options.raster else None
    load = f"load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    with TemporaryDirectory() as name:
        folder = Path(name)
        setup = prepare(folder, options.weights)
        if options.part != "peers":
            side = options.side or 8192
            raster = given or repeated_sample(folder / "large.tif", side)
            works: list[tuple[Path, Path | str]] = [(raster, "pools"), (raster, setup.stock)]
            if not given:
                striped = repeated_sample(folder / "strips.tif", side, strips=True)
                works[1:1] = [(striped, "pools"), (sheets_of(raster, folder / "sheets"), "pools")]
            rows = [pipeline(*work, folder, repeats=options.repeats) for work in works]
            title = f"End to end over bare forward, {_size(raster)} px, {machine()}, {load}"
            save_table("speed/predict_pipeline", title, rows)
        if options.part != "pipeline":
            side = options.side or 4096
            raster = given or repeated_sample(folder / "raster.tif", side)
            pythons = find_peers(options.peers_python)
            for missing in TITLES.keys() - pythons.keys():
                print(f"{TITLES[missing]} left out. --peers-python: {HELP}")
            runs = measure_peers(raster, setup, pythons, repeats=options.repeats)
            title = f"Programs on one raster, {_size(raster)} px, {machine()}, {load}"
            save_table("speed/predict_peers", title, peers_rows(runs))


def _size(raster: Path) -> str:
    with rasterio.open(raster) as source:
        return f"{source.width} x {source.height}"


if __name__ == "__main__":
    main()
