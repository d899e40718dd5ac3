"""Detections of networks of other programs, exported by these: theirs against ours.

    python -m benchmarks.exchange.layouts --peers-python peers/bin/python

Each program exports a network with random weights as an ONNX file and decodes its outputs itself,
in its own virtual environment. The file is converted with ``geodetect convert`` and run on the same
picture. For YOLOX and NanoDet, published files are expected in ``../shared/weights/onnx``, and
their programs' formulas are those of the tests.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from rasterio.windows import Window
from scipy.spatial.distance import cdist

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import SAMPLE, SHARED
from benchmarks.harness.tables import save_table
from benchmarks.peers.programs import add_peers_option
from geodetect.detection.detectors.load import load_detector
from geodetect.types import Float32Array, FloatArray, IntArray, UInt8Array
from tests.helpers.published_detectors import nanodet_boxes, yolox_boxes

EXPORTS = Path(__file__).with_name("exports.py")
PUBLISHED = SHARED / "weights/onnx"
SIDE_PX, PUBLISHED_PX = 320, 416
COMPARED = 300  # boxes of the highest scores
EQUAL_PX = 0.01  # boxes that one program merges, and another does not
MAX_BOX_PX, MAX_SCORE = 0.5, 1e-3  # differences
CLASSES = "a,b,c"  # of files without names
PROGRAMS = {
    "yolov5n": CLASSES,
    "yolov8n": None,
    "yolo11n": None,
    "yolo11n-nms": None,
    "yolo11n-obb": None,
    "yolov10n": None,
    "yolo26n": None,
    "yolo26n-obb": None,
    "rtdetr-resnet50": None,
    "rtdetr": CLASSES,
    "dfine": CLASSES,
    "rfdetr-nano": CLASSES,
    "retinanet": CLASSES,
    "fcos": CLASSES,
    "ssdlite": CLASSES,
}
FORMULAS = {"yolox_nano": yolox_boxes, "nanodet_m": nanodet_boxes}


@dataclass(frozen=True)
class Boxes:
    """Detections on a picture.

    Args:
        program: That decoded them.
        values: ``float64[N, 4]`` x1, y1, x2, y2, or ``float64[N, 8]`` corners of oriented boxes,
            in pixels.
        scores: ``float64[N]``.
        labels: ``int64[N]``.
    """

    program: str
    values: FloatArray
    scores: FloatArray | Float32Array
    labels: IntArray

    def above(self, score: float) -> Boxes:
        """Return those of at least this score."""
        return self.select(np.flatnonzero(self.scores >= score))

    def distinct(self) -> Boxes:
        """Return those that are not equal to one of their class with a higher score."""
        ordered = self.select(np.argsort(-self.scores, kind="stable"))
        is_equal = cdist(ordered.values, ordered.values, "chebyshev") < EQUAL_PX
        is_equal &= ordered.labels[:, None] == ordered.labels
        return ordered.select(np.flatnonzero(~np.tril(is_equal, -1).any(axis=1)))

    def inside(self, side_px: int) -> Boxes:
        """Return those on the picture, cut by its edges unless they are oriented.

        Boxes of random networks may be lines, or end before they begin: these are left out.
        """
        corners = self.values.reshape(*self.values.shape[:1], self.values.shape[1] // 2, 2)
        cut = corners.clip(0, side_px)
        values = self.values if corners.shape[1] > 2 else cut.reshape(-1, 4)
        cut_boxes = Boxes(self.program, values, self.scores, self.labels)
        last = cut.max(axis=1) if corners.shape[1] > 2 else cut[:, 1]
        is_shown = (last - cut.min(axis=1) > EQUAL_PX).all(axis=1)
        return cut_boxes.select(np.flatnonzero(is_shown))

    def select(self, rows: IntArray) -> Boxes:
        """Return those of these rows."""
        return Boxes(self.program, self.values[rows], self.scores[rows], self.labels[rows])


def main() -> None:
    """Compare all layouts, one after the other."""
    parser = new_parser(__doc__)
    add_peers_option(parser)
    parser.add_argument(
        "--published", type=Path, default=PUBLISHED, help="folder of published ONNX files"
    )
    parser.add_argument(
        "--exports", type=Path, help="folder to keep exports in; those in it are not made again"
    )
    parser.add_argument("--only", nargs="+", choices=[*PROGRAMS, *FORMULAS], help="these networks")
    options = parser.parse_args()
    rows = []
    with TemporaryDirectory() as temporary:
        folder = options.exports or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.only or [*PROGRAMS, *FORMULAS]:
            row = compare(name, folder, options.peers_python, options.published)
            if row is None:
                print(f"{name}: left out, its program or file is missing")
                continue
            rows.append(row)
            print(row, flush=True)
    if rows and not options.only:
        save_table("exchange/layouts", f"The {COMPARED} best boxes of a picture", rows)


def compare(
    name: str, folder: Path, pythons: Sequence[str], published: Path
) -> dict[str, str] | None:
    """Return the row of a network in the table; None: its program or file is missing."""
    if name in FORMULAS:
        source = published / f"{name}.onnx"
        if not source.exists():
            return None
        pixels = read_picture(PUBLISHED_PX)
        corners, scores = FORMULAS[name](source, pixels)
        if name == "yolox_nano":  # which gives each box its best class alone
            scores = np.where(scores == scores.max(axis=1, keepdims=True), scores, 0)
        box, label = np.nonzero(scores)
        theirs = Boxes("formulas of the tests", corners[box], scores[box, label], label)
        classes = None
    else:
        source, classes = folder / f"{name}.onnx", PROGRAMS[name]
        pixels = read_picture(SIDE_PX)
        exported = export(name, pixels, folder, pythons)
        if exported is None:
            return None
        theirs = exported
    theirs = theirs.inside(pixels.shape[1])
    lowest = float(np.sort(theirs.scores)[-COMPARED:][0])
    layout, ours = detect(source, pixels, classes, conf=max(lowest, 1e-4))
    ours, theirs = (
        ours.inside(pixels.shape[1]).distinct(),
        theirs.above(lowest - MAX_SCORE).distinct(),
    )
    forth = differences(ours, theirs)
    back = differences(theirs.above(lowest + MAX_SCORE), ours)
    box_px, score = np.vstack([forth, back]).T
    is_equal = (box_px <= MAX_BOX_PX) & (score <= MAX_SCORE)
    return {
        "network": name,
        "program": theirs.program,
        "layout": layout,
        "boxes": f"{len(ours.scores)}",
        "others": f"{np.count_nonzero(~is_equal)}",
        "largest difference of a box": f"{box_px[is_equal].max(initial=0):.4f} px",
        "of a score": f"{score[is_equal].max(initial=0):.0e}",
    }


def export(name: str, pixels: UInt8Array, folder: Path, pythons: Sequence[str]) -> Boxes | None:
    """Return what a program finds itself, once it has exported its network to the folder."""
    picture = folder / "picture.npy"
    np.save(picture, pixels)
    result = folder / f"{name}.npz"
    for python in pythons:
        if result.exists():
            break
        command = [python, str(EXPORTS), name, str(picture), str(folder)]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if process.returncode and "ModuleNotFoundError" not in process.stderr:
            raise SystemExit(f"{name}: export failed:\n{process.stderr[-3000:]}")
    if not result.exists():
        return None
    with np.load(result) as file:
        boxes, labels = file["boxes"].astype(np.float64), file["labels"].astype(np.int64)
        scores, program = file["scores"].astype(np.float64), str(file["program"])
    values = boxes.reshape(len(boxes), np.prod(boxes.shape[1:], dtype=int))
    if program.startswith("torchvision"):
        labels -= 1  # 0 is the background, which untrained networks find
    return Boxes(program, values, scores, labels).select(np.flatnonzero(labels >= 0))


def detect(
    source: Path, pixels: UInt8Array, classes: str | None, *, conf: float
) -> tuple[str, Boxes]:
    """Return the layout that is recognised, and what the converted network finds."""
    with TemporaryDirectory() as folder:
        model = Path(folder, "model.safetensors")
        card = geodetect.convert(source, model, classes=classes)
        detector = load_detector(model, conf=conf, iou=1.0, outlines=True)  # of equal boxes one
        (detections,) = detector(pixels[None], np.ones((1, *pixels.shape[1:]), bool))
    values = detections.boxes.astype(np.float64)
    if detector.has_outlines:
        corners = [np.array(o.exterior.coords)[:-1].ravel() for o in detections.outlines]
        values = np.array(corners).reshape(-1, 8)
    assert card.imported is not None
    return card.imported.layout, Boxes(
        "geodetect", values, detections.scores, detections.labels.astype(np.int64)
    )


def differences(boxes: Boxes, others: Boxes) -> FloatArray:
    """Return how far each box is from the nearest of the others of its class.

    Returns:
        ``float64[N, 2]``: largest difference of a coordinate in pixels, and of the scores.
    """
    box_px = cdist(boxes.values, others.values, "chebyshev")
    score = np.abs(boxes.scores[:, None] - others.scores)
    box_px[boxes.labels[:, None] != others.labels] = np.inf
    nearest = np.maximum(box_px / MAX_BOX_PX, score / MAX_SCORE).argmin(axis=1)
    rows = np.arange(len(nearest))
    return np.stack([box_px[rows, nearest], score[rows, nearest]], axis=1)


def read_picture(side_px: int) -> UInt8Array:
    """Return ``uint8[3, side, side]``, a part of the drawn sample."""
    with rasterio.open(SAMPLE) as scene:
        pixels: UInt8Array = scene.read([1, 2, 3], window=Window(0, 0, side_px, side_px))
    return pixels


if __name__ == "__main__":
    main()
