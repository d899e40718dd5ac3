"""Objects across sheets: each comes out once, as from one raster of the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.errors import GeodetectWarning
from geodetect.geo.tiles import TileScheme
from tests.conftest import METRES, Save
from tests.helpers.painted_scenes import (
    Canvas,
    at_the_seams,
    count_errors,
    mixed,
    read_colours,
    rectangle,
)
from tests.helpers.sheets import bright_rectangles, cut_into_sheets, find_bright

COLOURS = CallableDetector(read_colours, tile_px=256)
BRIGHT = CallableDetector(find_bright, tile_px=256)
SETTINGS = PredictSettings(tile_size=256, overlap=64)
SIDE = 1500


def boxes_px(table: gpd.GeoDataFrame) -> NDArray[np.float64]:
    bounds = shapely.bounds(np.asarray(table.geometry))
    x1, y2 = ~METRES @ (bounds[:, 0], bounds[:, 1])
    x2, y1 = ~METRES @ (bounds[:, 2], bounds[:, 3])
    return np.stack([x1, y1, x2, y2], axis=1).round(6)


def without_raster(table: gpd.GeoDataFrame) -> str:
    return str(table.drop(columns="raster").to_json())


@pytest.fixture(scope="module")
def painted() -> Canvas:
    """Objects of 5 to 1,000 px anywhere, and on all borders and corners of 5 x 5 sheets."""
    canvas = mixed(SIDE, seed=7, largest=1000)
    side = SIDE // 5
    for row in range(5):
        for column in range(5):
            for size in (5, 17, 40, 90):
                for x, y in ((column * side, row * side + 130), (column * side, row * side)):
                    left, top = x - size // 2, y - size // 3
                    if min(left, top) >= 0 and canvas.is_free(left, top, size, size, boxes=True):
                        canvas.paint(rectangle(size, size), left, top)
    return canvas


@pytest.mark.parametrize("overlap_px", [0, 40, 300, -25])
def test_objects_across_sheets_come_out_once_as_from_one_raster(
    overlap_px: int, painted: Canvas, save: Save
) -> None:
    paths = cut_into_sheets(save, painted.pixels, overlap_px=overlap_px)
    mask = None
    if overlap_px < 0:
        mask = np.zeros((SIDE, SIDE), bool)
        cut_into_sheets(lambda part, name, transform: mark(mask, part, transform), painted.pixels,
                        overlap_px=overlap_px)  # fmt: skip
    options = {} if mask is None else {"mask": mask}
    whole = save(painted.pixels, "whole.tif", **options)
    from_sheets = geodetect.predict(paths, COLOURS, settings=SETTINGS)
    from_whole = geodetect.predict(whole, COLOURS, settings=SETTINGS)
    assert without_raster(from_sheets) == without_raster(from_whole)
    if overlap_px >= 0:
        errors = count_errors(painted.truth, boxes_px(from_sheets))
        assert (errors.lost, errors.doubled, errors.inexact) == (0, 0, 0)
        assert painted.count > 60
        check_raster_column(from_sheets, overlap_px)


def mark(mask: NDArray[np.bool_], part: Any, transform: Affine) -> Path:
    x, y = (round(v) for v in ~METRES @ (transform.c, transform.f))
    mask[y : y + part.shape[1], x : x + part.shape[2]] = True
    return Path()


def check_raster_column(table: gpd.GeoDataFrame, overlap_px: int) -> None:
    """The first sheet, row by row, that shows the centre."""
    boxes = boxes_px(table)
    x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    side, after = SIDE // 5, overlap_px - overlap_px // 2
    column, row = ((np.ceil((v - after + 1e-9) / side) - 1).clip(0, 4).astype(int) for v in (x, y))
    expected = [f"{r}_{c}.tif" for r, c in zip(row, column, strict=True)]
    on_border = np.minimum(np.abs((x - after) % side), np.abs((y - after) % side)) < 1
    names = np.array(table["raster"])
    np.testing.assert_array_equal(names[~on_border], np.array(expected)[~on_border])


def test_objects_that_end_at_borders_of_sheets_stay_apart(save: Save) -> None:
    scheme = TileScheme(600, 600, 120, 0)  # its seams are the borders of the sheets
    canvas = at_the_seams(scheme, seed=3, largest=40)
    paths = cut_into_sheets(save, canvas.pixels)
    table = geodetect.predict(paths, COLOURS, settings=SETTINGS)
    errors = count_errors(canvas.truth, boxes_px(table))
    assert (errors.lost, errors.doubled, errors.inexact) == (0, 0, 0)


@pytest.mark.parametrize("overlap_px", [0, 40])
def test_sheets_of_two_resolutions_lose_and_double_nothing(overlap_px: int, save: Save) -> None:
    pixels, truth = bright_rectangles(SIDE, seed=5)
    finer = {(row, column): 2 for row in (0, 2, 3) for column in (1, 4)}
    paths = cut_into_sheets(save, pixels, overlap_px=overlap_px, finer=finer)
    table = geodetect.predict(paths, BRIGHT, settings=SETTINGS)
    errors = count_errors(truth, boxes_px(table))
    assert (errors.lost, errors.doubled) == (0, 0)
    assert errors.objects > 50


def test_a_raster_that_shows_only_ground_of_earlier_ones_is_named(save: Save) -> None:
    pixels = mixed(300, seed=1, largest=40).pixels
    paths = [save(pixels, f"{year}.tif") for year in (2019, 2020)]
    with pytest.warns(GeodetectWarning, match=r"2020\.tif: all of its ground .*2019\.tif"):
        table = geodetect.predict(paths, COLOURS, settings=SETTINGS)
    assert set(table["raster"]) == {"2019.tif"}
    assert len(table) == len(geodetect.predict(paths[0], COLOURS, settings=SETTINGS))


def test_sheets_far_apart_give_what_each_gives_by_itself(save: Save) -> None:
    paths = [
        save(mixed(400, seed=n, largest=60).pixels, f"{n}.tif",
             transform=METRES @ Affine.translation(5000 * n, 300 * n))
        for n in range(3)
    ]  # fmt: skip
    together = geodetect.predict(paths, COLOURS, settings=SETTINGS)
    alone = [geodetect.predict(path, COLOURS, settings=SETTINGS) for path in paths]
    assert together["raster"].tolist() == [name for t in alone for name in t["raster"]]
    assert [g.wkb for g in together.geometry] == [g.wkb for t in alone for g in t.geometry]


def test_a_real_raster_cut_into_sheets_gives_the_same_objects(
    shared_data: Path, save: Save
) -> None:
    """A part of it, resampled; the whole takes minutes."""
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(shared_data / "pools" / "california_west.tif") as source:
        window = Window(5000, 5000, 1500, 1200)
        pixels = source.read(window=window)
        place = {"crs": source.crs, "transform": source.window_transform(window)}
    whole = save(pixels, "whole.tif", **place)
    paths = cut_into_sheets(save, pixels, columns=3, **place)
    expected = geodetect.predict(whole)
    table = geodetect.predict(paths)
    assert len(expected) > 10
    assert without_raster(table) == without_raster(expected)


ZONE_31 = Affine(0.2, 0, 728_000, 0, -0.2, 5_100_000)  # beside its border with zone 32


def warp_to_zone_32(pixels: Any, left_px: int) -> tuple[Any, Affine]:
    """A scene in zone 31 from about a column on, in zone 32, and its transform there."""
    corners = np.array([[left_px, 0], [left_px, SIDE], [SIDE, 0], [SIDE, SIDE]], float)
    x, y = ZONE_31 @ (corners[:, 0], corners[:, 1])
    east, north = Transformer.from_crs(32631, 32632, always_xy=True).transform(x, y)
    left, right = max(east[:2]) - abs(east[0] - east[1]), max(east)
    place = Affine(0.2, 0, left, 0, -0.2, max(north))
    width, height = round((right - left) / 0.2), round((max(north) - min(north)) / 0.2)
    warped = np.zeros((3, height, width), np.uint8)
    reproject(
        pixels, warped, src_transform=ZONE_31, src_crs="EPSG:32631",
        dst_transform=place, dst_crs="EPSG:32632", resampling=Resampling.nearest,
    )  # fmt: skip
    return warped, place


@pytest.mark.parametrize(("border_px", "largest"), [(600, 1000), (700, 60), (800, 300)])
def test_objects_across_two_zones_come_out_once(border_px: int, largest: int, save: Save) -> None:
    """Sheets of zone 31 on the left, of zone 32 on the right, turned by four degrees."""
    pixels, truth = bright_rectangles(SIDE, seed=9, largest=largest, most_elongated=1.3)
    half = SIDE * 3 // 5
    west = cut_into_sheets(save, pixels[:, :, :half], transform=ZONE_31, crs="EPSG:32631")
    warped, place = warp_to_zone_32(pixels, border_px)
    east = save(warped, "east.tif", transform=place, crs="EPSG:32632", nodata=0)
    table = geodetect.predict([*west, east], BRIGHT, settings=SETTINGS)
    bounds = shapely.bounds(np.asarray(table.geometry))
    x1, y2 = ~ZONE_31 @ (bounds[:, 0], bounds[:, 1])
    x2, y1 = ~ZONE_31 @ (bounds[:, 2], bounds[:, 3])
    errors = count_errors(truth, np.stack([x1, y1, x2, y2], axis=1))
    assert (errors.lost, errors.doubled) == (0, 0)
    assert 5 < sum(table["raster"] == "east.tif") < len(table) - 5


def test_a_ground_that_its_crs_stretches_is_named(save: Save) -> None:
    """From 45 to 54 degrees north in Web Mercator."""
    pixels = np.full((3, 900, 10), 9, np.uint8)
    north_up = Affine(1000, 0, 0, 0, -1000, 7_400_000)
    paths = [
        save(
            pixels, f"{n}.tif", crs="EPSG:3857", transform=north_up @ Affine.translation(0, 900 * n)
        )
        for n in range(2)
    ]
    with pytest.warns(GeodetectWarning, match=r"2 rasters: pixels of one size in WGS 84 / Pseudo"):
        plans = geodetect.plan(paths, COLOURS)
    assert len(plans) == 1
    assert len(geodetect.plan(paths[0], COLOURS)) == 1
