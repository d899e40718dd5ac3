"""One YOLO network in geodetect and in other programs, and the built-in model against YOLO.

    python -m benchmarks.speed.yolo --part programs --peers-python peers/bin/python
    python -m benchmarks.speed.yolo --part programs --onnx painted.onnx --peers-python ...
    python -m benchmarks.speed.yolo --part built-in --peers-python peers/bin/python

programs: GeoDeep, SAHI, Ultralytics and ``predict`` run the same ONNX file, a YOLO11n of 640 px
(see ``benchmarks.peers.painted_objects``), on one raster of painted objects, with tiles of 640 px,
10 % overlap and the same thresholds. An object is detected if a box has an IoU of 0.5 with it, one
to one. Other boxes lie on an object by more than half, or elsewhere; the first on an object that is
not detected is inaccurate, all further ones are doubled. SAHI reads the file by Ultralytics, and
runs with its default merging and with non-maximum suppression. Ultralytics has no tiles: a loop
passes them, and torchvision's suppression joins their boxes. The other programs run the file in
fp32, in ONNX Runtime. ``predict`` does so in OpenVINO, and in bf16; and in int8 after ``geodetect
quantize`` on another scene, which is not timed.

built-in: the built-in model with its default tiles, and YOLO11n and YOLO26n with random weights on
tiles of 1,024 px, exported for OpenVINO and run by Ultralytics, on the drawn sample, repeated.
Megapixels are those of the raster. Random weights find nothing, which costs YOLO no time.

Each run is a separate process. All take turns, and medians count. The load is that of the machine
in the last minute before the first run.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.processes import load_average
from benchmarks.harness.rasters import repeat_sample, size_text
from benchmarks.harness.tables import machine, save_table
from benchmarks.peers.painted_objects import (
    CONF,
    INPUT_PX,
    IOU,
    OVERLAP,
    paint_objects,
    write_network,
    write_scene,
)
from benchmarks.peers.programs import (
    TITLES,
    Run,
    Turn,
    add_peers_option,
    find_peer,
    find_peers,
    make_yolo,
    median_cpu_s,
    median_seconds,
    run_columns,
    run_in_turns,
)
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.detection.detectors.load import load_detector
from geodetect.geo import boxes as box_ops
from geodetect.model.runtimes.openvino_library import open_core

SEED = 1
PRECISIONS = ("fp32", "bf16", "int8")
CALIBRATION_SEED, CALIBRATION_PX = 2, 2048  # of the scene that the network is quantized on
TARGETS = {"geodeep": 2.0, "sahi": 3.0, "sahi nms": 3.0}
ARCHITECTURES = {"yolo11n": "YOLO11n", "yolo26n": "YOLO26n"}
YOLO_PX, BUILT_IN_TARGET = 1024, 1.5
DETECTED_IOU = 0.5
ON_OBJECT_SHARE = 0.5  # of a box


def run_programs(
    raster: Path, onnx: Path, folder: Path, pythons: Mapping[str, str], *, repeats: int
) -> dict[str, list[Run]]:
    """Return the runs of every program on the same ONNX file."""
    model = folder / "painted.safetensors"
    geodetect.convert(onnx, model)
    pixels, _ = paint_objects(CALIBRATION_PX, seed=CALIBRATION_SEED)
    scene = write_scene(folder / "calibration.tif", pixels)
    geodetect.quantize(model, scene, model, overwrite=True)
    task: dict[str, Any] = {"raster": str(raster), "conf": CONF, "iou": IOU, "overlap": OVERLAP}
    task |= {"tile_px": INPUT_PX, "onnx": str(onnx), "yolo": str(onnx), "model": str(model)}
    turns = [Turn(name, name, task, python) for name, python in pythons.items()]
    if "sahi" in pythons:
        nms = {"postprocess_type": "NMS", "postprocess_match_metric": "IOU"}
        turns.append(Turn("sahi nms", "sahi", {**task, "merging": nms}, pythons["sahi"]))
    turns += [Turn(name, "geodetect", {**task, "precision": name}) for name in PRECISIONS]
    return run_in_turns(turns, repeats=repeats)


def count_boxes(truth: NDArray[np.float64], run: Run) -> dict[str, str]:
    """Return the cells of a table: objects that boxes detect and double, and other boxes."""
    matches = match_boxes(run.boxes, run.scores, truth, iou=DETECTED_IOU)
    pairs = box_ops.overlap_pairs(run.boxes, truth)
    share = box_ops.fraction_inside(run.boxes[pairs[:, 0]], truth[pairs[:, 1]])
    on_object = pairs[(share > ON_OBJECT_SHARE) & ~matches.is_tp[pairs[:, 0]]]
    is_detected = matches.prediction_of >= 0
    boxes_of = np.bincount(on_object[:, 1], minlength=len(truth)) + is_detected
    return {
        "objects detected": f"{is_detected.sum()} of {len(truth)}",
        "inaccurate": f"{(~is_detected & (boxes_of > 0)).sum()}",
        "doubled": f"{np.maximum(boxes_of - 1, 0).sum()}",
        "elsewhere": f"{len(run.boxes) - boxes_of.sum()}",
    }


def format_programs(
    runs: Mapping[str, list[Run]], truth: NDArray[np.float64]
) -> list[dict[str, str]]:
    """Return the table of all programs."""
    titles = {name: f"{TITLES[name]} {runs[name][0].version}" for name in TITLES if name in runs}
    if "sahi" in titles:
        titles["sahi nms"] = f"{titles['sahi']}, non-maximum suppression"
    titles |= {name: f"geodetect --precision {name}" for name in PRECISIONS}
    rows = []
    for name, title in titles.items():
        row = {"program": title, "precision": name if name in PRECISIONS else "fp32"}
        row |= run_columns(runs[name]) | count_boxes(truth, runs[name][0])
        for precision in PRECISIONS:
            ratio = median_seconds(runs[name]) / median_seconds(runs[precision])
            target = f" (target {TARGETS[name]:g})" if name in TARGETS else ""
            is_peer = name not in PRECISIONS
            row[f"time / geodetect {precision}"] = f"{ratio:.2f}{target}" if is_peer else "-"
        rows.append(row)
    return rows


def run_built_in(
    raster: Path, folder: Path, python: str, *, repeats: int
) -> tuple[dict[str, list[Run]], dict[str, tuple[str, str]]]:
    """Return the runs of the built-in model and of YOLO, and the title and precision of each."""
    turns, titles = [], dict[str, tuple[str, str]]()
    for architecture, title in ARCHITECTURES.items():
        network = {"architecture": architecture, "input_px": YOLO_PX}
        exported = make_yolo(network, folder / f"{architecture}_openvino_model", python=python)
        task: dict[str, Any] = {"raster": str(raster), "yolo": str(exported), "tile_px": YOLO_PX}
        task |= {"conf": CONF, "iou": IOU, "overlap": OVERLAP}
        turns.append(Turn(architecture, "ultralytics", task, python))
        titles[architecture] = (f"{title}, Ultralytics", _default_precision(exported))
    for outlines in (False, True):
        detector = load_detector("pools", device="cpu", outlines=outlines)
        if outlines and not detector.has_outlines:
            continue
        shape = "outline" if outlines else "box"
        task = {"raster": str(raster), "model": "pools", "outlines": outlines}
        turns.append(Turn(shape, "geodetect", task))
        titles[shape] = (f"built-in model --geometry {shape}", detector.runs_on.split()[1])
    return run_in_turns(turns, repeats=repeats), titles


def _default_precision(exported: Path) -> str:
    """Return the precision in which OpenVINO runs a network unless another is asked for."""
    (file,) = exported.glob("*.xml")
    core = open_core()
    compiled = core.compile_model(core.read_model(file), "CPU")
    name = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return {"f32": "fp32", "f16": "fp16"}.get(name, name)


def format_built_in(
    runs: Mapping[str, list[Run]], titles: Mapping[str, tuple[str, str]], raster: Path
) -> list[dict[str, str]]:
    """Return the table of the built-in model and YOLO."""
    with rasterio.open(raster) as source:
        megapixels = source.width * source.height / 1e6
    speeds = {name: megapixels / median_cpu_s(runs[name]) for name in titles}
    rows = []
    for name, (title, precision) in titles.items():
        row = {"model": title, "precision": precision} | run_columns(runs[name])
        row["Mpx per CPU second"] = f"{speeds[name]:.2f}"
        for architecture, other in ARCHITECTURES.items():
            ratio = f"{speeds[name] / speeds[architecture]:.2f} (target {BUILT_IN_TARGET:g})"
            row[f"relative to {other}"] = "-" if name in ARCHITECTURES else ratio
        rows.append(row)
    return rows


def main() -> None:
    """Measure one part or both and print a table of each."""
    parser = new_parser(__doc__)
    parser.add_argument("--part", choices=("programs", "built-in", "all"), default="all")
    parser.add_argument(
        "--onnx", type=Path, help="of benchmarks.peers.painted_objects; default: it is trained"
    )
    parser.add_argument("--side", type=int, default=8192, help="of the rasters in pixels")
    parser.add_argument("--repeats", type=int, default=3)
    add_peers_option(parser)
    options = parser.parse_args()
    load = f"{load_average()} before"
    with TemporaryDirectory() as name:
        folder = Path(name)
        if options.part != "built-in":
            onnx = folder / "painted.onnx"
            if options.onnx:
                shutil.copyfile(options.onnx, onnx)
            else:
                write_network(onnx, python=find_peer(options.peers_python, "ultralytics"))
            pixels, truth = paint_objects(options.side, seed=SEED)
            raster = write_scene(folder / "painted.tif", pixels)
            pythons = find_peers(options.peers_python, ["geodeep", "sahi", "ultralytics"])
            runs = run_programs(raster, onnx, folder, pythons, repeats=options.repeats)
            title = f"One YOLO11n, {size_text(raster)}, {machine()}, {load}"
            save_table("speed/yolo_programs", title, format_programs(runs, truth))
        if options.part != "programs":
            raster = repeat_sample(folder / "sample.tif", options.side)
            python = find_peer(options.peers_python, "ultralytics")
            runs, titles = run_built_in(raster, folder, python, repeats=options.repeats)
            title = f"The built-in model and YOLO, {size_text(raster)}, {machine()}, {load}"
            save_table("speed/yolo_built_in", title, format_built_in(runs, titles, raster))


if __name__ == "__main__":
    main()
