"""Objects on the borders of rasters are counted, and named where they make a number wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.windows import Window

import geodetect
from geodetect import CallableDetector
from geodetect.detection.detection_layer import RasterDetections
from geodetect.detection.detections import Detections
from geodetect.detection.raster_borders import BorderObjects, find_border_objects
from geodetect.errors import GeodetectWarning
from geodetect.geo.grid import Grid
from tests.conftest import METRES, Save
from tests.helpers.painted_scenes import Canvas, read_colours, rectangle

COLOURS = CallableDetector(read_colours, tile_px=96)
SIDE = 200
HALVES = ((0, 0, 100, SIDE), (100, 0, 100, SIDE))
QUARTERS = tuple((x, y, 100, 100) for y in (0, 100) for x in (0, 100))
Boxes = Sequence[tuple[int, int, int, int]]


def paint(*boxes: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    canvas = Canvas(SIDE)
    for x1, y1, x2, y2 in boxes:
        canvas.paint(rectangle(x2 - x1, y2 - y1), x1, y1)
    return canvas.pixels


def cut_sheets(scene: Path, windows: Sequence[tuple[int, int, int, int]]) -> list[Path]:
    """Sheets of a raster, by column, row, columns and rows."""
    paths = []
    with rasterio.open(scene) as source:
        for number, window in enumerate(Window(*numbers) for numbers in windows):
            profile = source.profile | {"width": window.width, "height": window.height}
            profile["transform"] = source.window_transform(window)
            paths.append(scene.with_name(f"sheet{number}.tif"))
            with rasterio.open(paths[-1], "w", **profile) as target:
                target.write(source.read(window=window))
    return paths


def test_an_object_on_the_border_of_two_sheets_is_named_as_counted_twice(save: Save) -> None:
    sheets = cut_sheets(save(paint((80, 30, 130, 50), (20, 100, 40, 120))), HALVES)
    with pytest.warns(
        GeodetectWarning,
        match=r"of 3 objects 2 are cut by the border to another raster and 1 is counted again.*"
        r"gdalbuildvrt",
    ):
        layer = geodetect.predict_layer(sheets, COLOURS)
    assert (layer.summary.cut_by_borders, layer.summary.repeated, len(layer)) == (2, 1, 3)


def test_an_object_in_the_overlap_of_two_sheets_is_counted_twice(save: Save) -> None:
    scene = save(paint((90, 30, 105, 50), (20, 100, 40, 120)))
    sheets = cut_sheets(scene, [(0, 0, 120, SIDE), (80, 0, 120, SIDE)])
    with pytest.warns(GeodetectWarning, match=r"of 3 objects 1 is counted again") as caught:
        geodetect.predict(sheets, COLOURS)
    assert "cut" not in str(caught[0].message)


def test_an_object_on_the_corner_of_four_sheets_is_one(save: Save) -> None:
    sheets = cut_sheets(save(paint((80, 85, 120, 125))), QUARTERS)
    with pytest.warns(GeodetectWarning, match="4 are cut .* 3 are counted again"):
        geodetect.predict(sheets, COLOURS)


@pytest.mark.parametrize(
    "boxes",
    [((20, 30, 60, 50), (130, 30, 160, 70)),  # away from all borders
     ((0, 30, 40, 50), (150, 0, 180, 20), (150, 180, 170, 200)),  # cut by the outer edge
     ((80, 30, 90, 50), (110, 30, 120, 50))],  # beside the border, on both sides
    ids=["inside", "outer edge", "beside the border"],
)  # fmt: skip
def test_sheets_with_all_objects_away_from_their_common_border_raise_no_doubt(
    boxes: Boxes, save: Save
) -> None:
    layer = geodetect.predict_layer(cut_sheets(save(paint(*boxes)), HALVES), COLOURS)
    assert (layer.summary.cut_by_borders, layer.summary.repeated) == (0, 0)
    assert len(layer) == len(boxes)


def place(boxes: Boxes, grid: Grid, *, truncated: Sequence[bool] | None = None) -> RasterDetections:
    detections = Detections.from_arrays(boxes, np.full(len(boxes), 0.9), truncated=truncated)
    return RasterDetections.from_detections(detections, grid, classes=("pool",), raster="x.tif")


def test_sheets_of_other_resolution_and_direction_are_compared_on_the_map() -> None:
    crs = CRS("EPSG:2154")
    west = Grid(crs, METRES, 100, 100)
    # half the resolution, from south to north, beginning where the first one ends
    south = METRES @ (100, 100)
    east = Grid(crs, Affine(0.4, 0, south[0], 0, 0.4, south[1]), 50, 50)
    pieces = place([(80, 40, 100, 60)], west, truncated=[True])
    others = place([(0, 20, 8, 30)], east, truncated=[True])
    assert find_border_objects([pieces, others], conf=0.5) == BorderObjects(2, 2, 1)
    apart = place([(0, 2, 8, 12)], east, truncated=[True])
    assert find_border_objects([pieces, apart], conf=0.5) == BorderObjects(2, 2, 0)
    assert find_border_objects([pieces, others], conf=0.95) == BorderObjects(0, 0, 0)


def test_images_without_a_place_on_the_map_have_no_borders() -> None:
    grid = Grid(None, Affine.identity(), 100, 100)
    images = [place([(80, 40, 100, 60)], grid, truncated=[True])] * 2
    assert find_border_objects(images, conf=0.5) == BorderObjects(2, 0, 0)
