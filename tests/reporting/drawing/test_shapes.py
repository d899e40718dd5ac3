from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from PIL import Image, ImageDraw
from shapely.affinity import rotate

import geodetect
from geodetect.geo.bounds import bounds_px
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.vector.qgis_style import SCORE_COLOURS
from geodetect.reporting.drawing.shapes import Shapes, draw_shapes, outline_rings
from tests.helpers.square_scenes import CRS, write_raster

GRID = Grid(parse_crs(CRS), Affine(0.25, 0, 5e5, 0, -0.25, 5.2e6), 400, 300)
RED = (255, 0, 0)


def on_map(geometry: shapely.Geometry) -> shapely.Geometry:
    return shapely.transform(geometry, GRID.to_map)


def place(*geometries: shapely.Geometry, crs: str = CRS) -> Shapes:
    series = gpd.GeoSeries([on_map(geometry) for geometry in geometries], crs=CRS).to_crs(crs)
    outlines = series.to_numpy()
    return Shapes.from_geometries(
        outlines, bounds_px(outlines, series.crs, GRID), crs=series.crs, grid=GRID
    )


DISC = shapely.Point(100, 80).buffer(30)
RING = DISC - shapely.Point(100, 80).buffer(15)
BOX = shapely.box(200, 40, 260, 90)


@pytest.mark.parametrize("crs", [CRS, "EPSG:4326"])
def test_boxes_are_drawn_as_boxes_and_others_as_outlines(crs: str) -> None:
    shapes = place(DISC, *[shapely.affinity.translate(BOX, 0, 60 * k) for k in range(3)], crs=crs)
    assert [outline is None for outline in shapes.outlines] == [False, True, True, True]
    assert shapes.outlines[0].hausdorff_distance(DISC) < 0.2
    assert shapes.has_outlines
    assert not shapes[np.array([1, 2])].has_outlines


def test_points_have_no_outline_and_holes_are_kept() -> None:
    shapes = place(RING, shapely.Point(10, 10))
    assert len(outline_rings(shapes.outlines[0])) == 2
    assert shapes.outlines[1] is None


def test_shapes_are_scaled_and_shifted_with_their_boxes() -> None:
    shapes = place(DISC, BOX).scaled(np.array([2.0, 3.0]), np.array([10.0, 20.0]))
    np.testing.assert_allclose(shapes.outlines[0].bounds, shapes.boxes[0], atol=0.5)
    np.testing.assert_allclose(shapes.boxes[1], [390, 100, 510, 250], atol=0.01)
    assert shapes.outlines[1] is None


def test_an_outline_leaves_the_corners_of_its_box_free_and_a_small_one_is_a_dot() -> None:
    speck = shapely.Point(300, 200).buffer(2)
    image = Image.new("RGB", (400, 300))
    shapes = place(rotate(shapely.box(60, 60, 140, 100), 30), BOX, speck)
    draw_shapes(ImageDraw.Draw(image), shapes, [RED] * 3, small_as_dots=True)
    pixels = np.asarray(image)

    def is_red(x: float, y: float) -> bool:
        around = pixels[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3]
        return bool((around == RED).all(axis=2).any())

    x1, y1, x2, y2 = shapes.boxes[0]
    assert not any(is_red(x, y) for x in (x1, x2) for y in (y1, y2))
    assert all(is_red(x, y) for x, y in shapely.get_coordinates(shapes.outlines[0]))
    assert all(is_red(x, y) for x in (200, 260) for y in (40, 90))
    assert is_red(300, 200)


def test_previews_and_contact_sheets_show_outlines(tmp_path: Path) -> None:
    raster = write_raster(tmp_path / "scene.tif", np.full((3, 300, 400), 90, np.uint8))
    table = gpd.GeoDataFrame({"score": [0.95]}, geometry=[on_map(DISC)], crs=CRS)
    colour = np.array(SCORE_COLOURS[-1])
    overview = np.asarray(geodetect.preview(raster, table))[:1000]
    boxes = np.asarray(geodetect.preview(raster, table.assign(geometry=table.envelope)))[:1000]
    counts = [int((image == colour).all(axis=2).sum()) for image in (overview, boxes)]
    assert 0.6 < counts[0] / counts[1] < 0.95  # a circle is shorter than the square around it
    sheet = np.asarray(geodetect.preview(raster, table, sheet="best"))
    assert (sheet == colour).all(axis=2).sum() > 100
