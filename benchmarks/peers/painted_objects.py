"""Painted objects, and a YOLO11n of Ultralytics that is trained on them.

    python -m benchmarks.peers.painted_objects -o painted.onnx --peers-python peers/bin/python
    python -m benchmarks.speed.yolo --onnx painted.onnx --peers-python peers/bin/python

Rectangles and ellipses of bright colours lie on a dark, uneven ground. Their places are known to
the pixel, so that objects which a program doubles at the edges of its tiles are counted without a
doubt. Ultralytics trains and exports the network; the file also has the metadata of GeoDeep, which
``geodetect convert`` reads as well.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import from_origin
from scipy.ndimage import zoom

from benchmarks.harness.options import new_parser
from benchmarks.harness.rasters import BLOCKS, write_raster
from benchmarks.peers.programs import add_peers_option, find_peer, make_yolo
from geodetect.geo import boxes as box_ops
from tests.helpers import painted_scenes

GSD_M, WEST_M, NORTH_M = 0.1, 400_000, 5_200_000
MIN_OBJECT_PX, MAX_OBJECT_PX, APART_PX = 16, 128, 8
PLACES_PER_PX = 1 / 10_000  # tried, some of which are taken
GROUND_CELL_PX = 64
ARCHITECTURE, INPUT_PX = "yolo11n", 640
CONF, IOU, OVERLAP = 0.5, 0.5, 0.1
CROP_PX, TRAINING_SIDE_PX, BATCH, EPOCHS = 256, 4096, 4, 8
MIN_LABEL_PX = 4.0  # side of an object cut by the edge of a crop


def paint_objects(side: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return a square scene ``uint8[3, H, W]`` and the boxes of its objects ``float64[N, 4]``."""
    rng = np.random.default_rng(seed)
    canvas = painted_scenes.Canvas(side)
    count = int(side * side * PLACES_PER_PX)
    sizes = np.exp(rng.uniform(np.log(MIN_OBJECT_PX), np.log(MAX_OBJECT_PX), (count, 2)))
    for width, height in sizes.astype(int).tolist():
        x, y = rng.integers(0, side - width), rng.integers(0, side - height)
        around = x - APART_PX, y - APART_PX, width + 2 * APART_PX, height + 2 * APART_PX
        if canvas.is_free(*map(int, around), boxes=True):
            canvas.paint(painted_scenes.random_shape(rng, width, height), int(x), int(y))
    cells = side // GROUND_CELL_PX + 2
    colours = rng.integers(140, 256, (3, canvas.count + 1), dtype=np.uint8)
    pixels = np.empty((3, side, side), np.uint8)
    for band in range(3):
        ground = zoom(rng.uniform(20, 100, (cells, cells)), GROUND_CELL_PX, order=1)[:side, :side]
        ground += rng.normal(0, 8, ground.shape)
        is_object = canvas.colour > 0
        pixels[band] = np.where(is_object, colours[band][canvas.colour], ground.clip(0, 120))
    return pixels, canvas.truth


def write_scene(file: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write a scene as a georeferenced raster; return the file."""
    grid = {"crs": "EPSG:32633", "transform": from_origin(WEST_M, NORTH_M, GSD_M, GSD_M)}
    return write_raster(file, pixels, **grid, **BLOCKS, photometric="RGB", compress="deflate")


def write_crops(folder: Path, side: int) -> None:
    """Write crops of a scene and their labels in the format of YOLO."""
    pixels, objects = paint_objects(side, seed=0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for y in range(0, side - CROP_PX + 1, CROP_PX):
        for x in range(0, side - CROP_PX + 1, CROP_PX):
            frame = np.array([0, 0, CROP_PX, CROP_PX], np.float64)
            boxes = box_ops.clip(objects - [x, y, x, y], frame)
            boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= MIN_LABEL_PX).all(axis=1)] / CROP_PX
            centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
            rows = np.hstack([np.zeros((len(boxes), 1)), centres, sizes])
            np.savetxt(folder / "labels" / f"{y}_{x}.txt", rows, fmt=["%d"] + 4 * ["%.6f"])
            crop = pixels[:, y : y + CROP_PX, x : x + CROP_PX].transpose(1, 2, 0)
            Image.fromarray(crop).save(folder / "images" / f"{y}_{x}.png")


def write_network(file: Path, *, python: str, epochs: int = EPOCHS) -> Path:
    """Train a network on painted objects; return its ONNX file.

    Args:
        file: To write.
        python: The Python in which Ultralytics is installed.
        epochs: Of the training.
    """
    from benchmarks.peers.weights import add_geodeep_metadata

    with TemporaryDirectory() as name:
        folder = Path(name)
        write_crops(folder, TRAINING_SIDE_PX)
        task = {"architecture": ARCHITECTURE, "input_px": INPUT_PX, "crop_px": CROP_PX}
        task |= {"images": str(folder), "epochs": epochs, "batch": BATCH}
        make_yolo(task, file, python=python)
    add_geodeep_metadata(
        file, det_type="YOLO_v8", conf=CONF, iou=IOU, overlap=OVERLAP, resolution_cm=100 * GSD_M
    )
    return file


def main() -> None:
    """Train and write the network."""
    parser = new_parser(__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="ONNX file to write")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    add_peers_option(parser)
    options = parser.parse_args()
    python = find_peer(options.peers_python, "ultralytics")
    write_network(options.output, python=python, epochs=options.epochs)


if __name__ == "__main__":
    main()
