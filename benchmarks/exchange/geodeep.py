"""Detections of GeoDeep with an exported model, against those of ``predict``, on single tiles.

    python -m benchmarks.exchange.geodeep --peers-python peers/bin/python

Each tile is a raster of its own, so that no seam is merged, resampled to the resolution of the
model: GeoDeep reads coarser rasters as they are. The detections of ``predict`` are the ground truth
of the average precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
import shapely
from affine import Affine

import geodetect
from benchmarks.harness.datasets import Dataset, list_datasets, model_title
from benchmarks.harness.options import new_parser
from benchmarks.harness.rasters import write_raster
from benchmarks.harness.tables import save_table
from benchmarks.peers.programs import add_peers_option, find_peers, run_peer
from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.assessment.matching.greedy_matching import SCENE_OFFSET_PX, match_boxes
from geodetect.detection.plan import working_grid
from geodetect.geo.tiles import Window
from geodetect.io.raster.open_raster import open_raster
from geodetect.model.file import load_card
from geodetect.types import Float32Array, FloatArray

IOU = 0.5
MAX_TILES = 12  # of a raster, those with most objects


def main() -> None:
    """Compare the detections on tiles of each data set."""
    parser = new_parser(__doc__, model=True, data=True)
    add_peers_option(parser)
    options = parser.parse_args()
    peers = find_peers(options.peers_python, ["geodeep"])
    if not peers:
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        network = folder / "model.onnx"
        geodetect.export_model(options.model, network, target="geodeep")
        rows = [
            compare(dataset, network, options.model, python=peers["geodeep"], folder=folder)
            for dataset in list_datasets(options.data)
        ]
    save_table("exchange/geodeep", f"{model_title(options.model)}, exported for GeoDeep", rows)


def compare(
    dataset: Dataset, network: Path, model: str, *, python: str, folder: Path
) -> dict[str, str]:
    """Return the row of a data set in the table."""
    card = load_card(model)
    ours, theirs, scores = list[FloatArray](), list[FloatArray](), list[Float32Array]()
    tiles, version = 0, ""
    for tile in cut_tiles(dataset, model, folder):
        run = run_peer(
            "geodeep",
            {"raster": str(tile), "onnx": str(network), "conf": card.conf},
            python=python,
        )
        apart = tiles * SCENE_OFFSET_PX  # boxes of different tiles never overlap
        ours.append(find_boxes(tile, model) + apart)
        theirs.append(run.boxes + apart)
        scores.append(run.scores)
        tiles, version = tiles + 1, run.version
    truth, boxes = np.concatenate(ours), np.concatenate(theirs)
    matches = match_boxes(boxes, np.concatenate(scores), truth, iou=IOU)
    shift_px = np.abs(boxes[matches.is_tp] - truth[matches.truth_of[matches.is_tp]]).max(initial=0)
    return {
        "data": dataset.name,
        "tiles": f"{tiles}",
        "predict": f"{len(truth)}",
        f"GeoDeep {version}": f"{len(boxes)}",
        "both": f"{np.count_nonzero(matches.is_tp)}",
        "AP50": f"{average_precision(matches):.4f}",
        "largest difference": f"{shift_px:.2f} px",
    }


def cut_tiles(dataset: Dataset, model: str, folder: Path) -> Iterator[Path]:
    """Yield rasters of one tile each: those of a data set in which the model finds most."""
    card = load_card(model)
    table = geodetect.predict(dataset.raster, model, bbox=dataset.bbox, geometry="box")
    with open_raster(dataset.raster) as raster:
        grid = working_grid(raster.grid, card, gsd_m=None, path=str(dataset.raster))
        points = shapely.get_coordinates(table.geometry.centroid)
        places = grid.to_px(points)[:, ::-1] // card.tile_px
        whole = np.array([grid.height, grid.width]) // card.tile_px  # smaller: other edges
        places = places[(places < whole).all(axis=1)]
        tiles, counts = np.unique(places.astype(int), axis=0, return_counts=True)
        for row, column in tiles[np.argsort(-counts, kind="stable")[:MAX_TILES]].tolist():
            x, y = column * card.tile_px, row * card.tile_px
            pixels = raster.read(Window(x, y, card.tile_px, card.tile_px), grid)
            yield write_raster(
                folder / "tile.tif",
                pixels.values,
                crs=raster.grid.crs,
                transform=grid.transform @ Affine.translation(x, y),
                photometric="RGB",
            )


def find_boxes(tile: Path, model: str) -> FloatArray:
    """Return what ``predict`` finds, as ``float64[N, 4]`` in pixel edges of the tile."""
    table = geodetect.predict(tile, model, precision="fp32", geometry="box")
    with rasterio.open(tile) as raster:
        inverse = ~raster.transform
    x1, y1, x2, y2 = table.geometry.bounds.to_numpy().T
    left, top = inverse @ (x1, y2)
    right, bottom = inverse @ (x2, y1)
    return np.stack([left, top, right, bottom], axis=1)


if __name__ == "__main__":
    main()
