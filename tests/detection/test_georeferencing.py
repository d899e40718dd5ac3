"""Painted objects come back where they were painted, on any grid and through any format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.features import shapes

import geodetect
from geodetect import CallableDetector, PredictSettings
from tests.conftest import METRES, Save
from tests.helpers.painted_scenes import Canvas, ellipse, read_colours, rectangle

Float = NDArray[np.float64]

COLOURS = CallableDetector(read_colours, tile_px=128)
SMALL_TILES = PredictSettings(tile_size=128, overlap=48)

ROTATED = Affine.translation(2_600_000, 1_200_000) @ Affine.rotation(30) @ Affine.scale(0.2, -0.2)
GRIDS = {
    "north-up": ("EPSG:2154", METRES),
    "south-up": ("EPSG:2154", Affine(0.2, 0, 700_000, 0, 0.2, 6_600_000)),
    "mirrored": ("EPSG:2154", Affine(-0.2, 0, 700_000, 0, -0.2, 6_600_000)),
    "upside down": ("EPSG:2154", Affine(-0.2, 0, 700_000, 0, 0.2, 6_600_000)),
    "rows along y": ("EPSG:2154", Affine(0, 0.2, 700_000, 0.2, 0, 6_600_000)),
    "rotated": ("EPSG:2056", ROTATED),
    "sheared": ("EPSG:2056", ROTATED @ Affine.shear(20, 0)),
    "non-square": ("EPSG:2056", Affine(0.1, 0, 2_600_000, 0, -0.3, 1_200_000)),
    "degrees": ("EPSG:4326", Affine(2e-6, 0, 7.44, 0, -2e-6, 46.95)),
    "degrees south-east": ("EPSG:4326", Affine(2e-6, 0, 178.9, 0, -2e-6, -44.2)),
    "US feet": ("EPSG:2263", Affine(0.5, 0, 990_000, 0, -0.5, 200_000)),
    "Web Mercator": ("EPSG:3857", Affine(0.3, 0, 828_000, 0, -0.3, 5_930_000)),
    "Swiss LV95": ("EPSG:2056", Affine(0.1, 0, 2_600_000, 0, -0.1, 1_200_000)),
}
FORMATS = ["geojson", "geojsonl", "gpkg", "fgb", "parquet", "shp", "csv"]


def grid_of_shapes(side: int = 300) -> Canvas:
    canvas = Canvas(side)
    rng = np.random.default_rng(5)
    for y in range(5, side - 45, 50):
        for x in range(5, side - 45, 50):
            shape = (rectangle, ellipse)[canvas.count % 2](*rng.integers(5, 41, 2).tolist())
            canvas.paint(shape, x + int(rng.integers(0, 5)), y + int(rng.integers(0, 5)))
    return canvas


def to_px(table: gpd.GeoDataFrame, transform: Affine) -> Float:
    """Bounds of polygons in pixels by rasterio's affine, sorted like the truth."""
    boxes = []
    for polygon in table.geometry:
        corners = np.array([~transform @ corner for corner in polygon.exterior.coords])
        boxes.append([*corners.min(axis=0), *corners.max(axis=0)])
    return in_order(np.array(boxes, dtype=np.float64).reshape(-1, 4))


def in_order(boxes: Float) -> Float:
    return boxes[np.lexsort((np.round(boxes[:, 0]), np.round(boxes[:, 1])))]


@pytest.mark.parametrize("name", GRIDS)
def test_painted_objects_come_back_exactly_on_every_grid(name: str, save: Save) -> None:
    crs, transform = GRIDS[name]
    canvas = grid_of_shapes()
    path = save(canvas.pixels, crs=crs, transform=transform)
    detections = geodetect.predict(path, COLOURS, settings=SMALL_TILES)
    with rasterio.open(path) as dataset:
        assert detections.crs == dataset.crs.to_wkt()
        np.testing.assert_allclose(
            to_px(detections, dataset.transform), in_order(canvas.truth), atol=1e-5
        )
    assert detections.geometry.is_valid.all()
    assert shapely.is_ccw(shapely.get_exterior_ring(np.asarray(detections.geometry))).all()


def read_back(path: Path) -> gpd.GeoDataFrame:
    if path.suffix == ".parquet":
        return gpd.read_parquet(path)
    if path.suffix == ".csv":
        rows = gpd.pd.read_csv(path)
        return gpd.GeoDataFrame(rows, geometry=shapely.from_wkt(rows["WKT"].to_numpy()))
    return gpd.read_file(path)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", ["rotated", "US feet", "degrees", "south-up"])
def test_every_format_keeps_objects_within_a_twentieth_of_a_pixel(
    name: str, suffix: str, save: Save, tmp_path: Path
) -> None:
    crs, transform = GRIDS[name]
    canvas = grid_of_shapes()
    detections = geodetect.predict(save(canvas.pixels, crs=crs, transform=transform), COLOURS)
    table = read_back(geodetect.write(detections, tmp_path / f"out.{suffix}"))
    if table.crs is None:  # CSV states the CRS nowhere: it is the table's
        table = table.set_crs(detections.crs)
    boxes = to_px(table.to_crs(crs), transform)
    np.testing.assert_allclose(boxes, in_order(canvas.truth), atol=0.05)


def control_points(transform: Affine, side: int, bend: float = 0.0) -> list[GroundControlPoint]:
    """A lattice of control points; ``bend`` shifts them along x by that many pixels at most."""
    points = []
    for row in np.linspace(0, side, 5):
        for col in np.linspace(0, side, 5):
            x, y = transform @ (col + bend * np.sin(row / side * np.pi), row)
            points.append(GroundControlPoint(row=row, col=col, x=x, y=y))
    return points


@pytest.mark.parametrize("name", ["north-up", "rotated", "sheared", "degrees", "south-up"])
def test_control_points_on_an_affine_are_used_without_resampling(name: str, save: Save) -> None:
    crs, transform = GRIDS[name]
    canvas = grid_of_shapes()
    path = save(canvas.pixels, crs=crs, transform=None, gcps=control_points(transform, 300))
    detections = geodetect.predict(path, COLOURS, settings=SMALL_TILES)
    np.testing.assert_allclose(to_px(detections, transform), in_order(canvas.truth), atol=1e-3)


def test_bent_control_points_are_warped(save: Save) -> None:
    side, bend = 300, 4.0
    pixels = np.full((3, side, side), 64, np.uint8)
    truth = np.array([[x, y, x + 24, y + 18] for y in range(20, 270, 50) for x in (30, 150, 240)])
    for x1, y1, x2, y2 in truth:
        pixels[:, y1:y2, x1:x2] = 192
    path = save(pixels, transform=None, gcps=control_points(METRES, side, bend))
    detections = geodetect.predict(path, CallableDetector(soft_blobs))
    boxes = to_px(detections, METRES)
    middle = (truth[:, 1] + truth[:, 3]) / 2
    expected = truth + np.outer(bend * np.sin(middle / side * np.pi), [1, 0, 1, 0])
    np.testing.assert_allclose(boxes, in_order(expected), atol=0.5)
    assert abs((boxes - in_order(expected)).mean()) < 0.15


def soft_blobs(image: NDArray[np.uint8], dark: int = 64, bright: int = 192) -> Any:
    """Boxes of bright objects to a fraction of a pixel, from the light along their middle.

    The distance from the middle to an edge is the sum of relative brightness on the way beyond
    it: interpolation spreads an edge, but keeps its light.
    """
    brightness = (image.mean(axis=0) - dark) / (bright - dark)
    boxes = []
    for ring, _ in shapes((brightness > 0.5).astype(np.uint8), mask=brightness > 0.5):
        (x1, y1), (x2, y2) = (f(np.array(ring["coordinates"][0]), axis=0) for f in (np.min, np.max))
        x1, y1, x2, y2 = (int(v) for v in (x1, y1, x2, y2))
        row = brightness[y1 + (y2 - y1) // 4 : y2 - (y2 - y1) // 4].mean(axis=0)
        column = brightness[:, x1 + (x2 - x1) // 4 : x2 - (x2 - x1) // 4].mean(axis=1)
        left, right = edges(row, x1, x2)
        top, bottom = edges(column, y1, y2)
        boxes.append([left, top, right, bottom])
    return boxes, np.full(len(boxes), 0.9), np.zeros(len(boxes), int)


def edges(brightness: Float, start: int, stop: int, reach: int = 5) -> tuple[float, float]:
    middle = (start + stop) // 2
    before, after = brightness[max(start - reach, 0) : middle], brightness[middle : stop + reach]
    return middle - before.sum(), middle + after.sum()


def paint_rectangles(
    width: int, height: int, size: int, pitch: int
) -> tuple[NDArray[np.uint8], Float]:
    """Bright rectangles anywhere on a dark raster, far enough from each other and the border."""
    rng = np.random.default_rng(11)
    pixels = np.full((3, height, width), 64, np.uint8)
    truth = []
    for y in range(30, height - pitch, pitch):
        for x in range(30, width - pitch, pitch):
            x1, y1 = x + int(rng.integers(0, 9)), y + int(rng.integers(0, 9))
            x2, y2 = x1 + size + int(rng.integers(0, 9)), y1 + size + int(rng.integers(0, 9))
            pixels[:, y1:y2, x1:x2] = 192
            truth.append([x1, y1, x2, y2])
    return pixels, np.array(truth, np.float64)


@pytest.mark.parametrize(
    ("ratio", "overviews"),
    [*((r, None) for r in (0.5, 0.73, 1.24, 2.0, 3.3, 4.6)),
     *((r, o) for r in (2.0, 3.3, 4.6) for o in ("average", "cubic", "nearest"))],
)  # fmt: skip
@pytest.mark.parametrize("transform", [METRES, METRES @ Affine.scale(1.0, 1.5)])
def test_resampling_moves_nothing(
    ratio: float, overviews: str | None, transform: Affine, save: Save
) -> None:
    """No half-pixel shift, at any ratio, with overviews of odd sizes, with fractional windows.

    An edge in the resampled image is known to about a tenth of one of its pixels (8-bit rounding
    and the ripple of sampling a cubic kernel), which is ``ratio`` pixels of the raster; errors of
    a shift would be half of a pixel and alike for all objects. Nearest-neighbour overviews would
    bring one, so they must not be read from.
    """
    pixels, truth = paint_rectangles(1021, 757, size=40, pitch=90)
    path = save(
        pixels,
        transform=transform,
        overviews=overviews and ([2, 4], rasterio.enums.Resampling[overviews]),
    )
    detector = CallableDetector(soft_blobs, gsd_m=0.2 * ratio, tile_px=256)
    settings = PredictSettings(overlap=120, gsd=0.2 * ratio)
    detections = geodetect.predict(path, detector, settings=settings)
    error = to_px(detections, transform) - in_order(truth)
    assert np.abs(error).max() < 0.12 * max(1.0, ratio)
    assert np.abs(error.mean(axis=0)).max() < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (1, 500), (500, 1), (17, 1009)])
@pytest.mark.parametrize("ratio", [0.37, 0.73, 3.3, 7.7])
def test_a_raster_of_any_size_is_covered_when_resampled(
    shape: tuple[int, int], ratio: float, save: Save
) -> None:
    """The whole raster as one bright object comes back as the whole raster."""

    def whole(image: NDArray[np.uint8]) -> Any:
        assert (image == 192).all()
        return [[0, 0, image.shape[2], image.shape[1]]], [0.9], [0]

    path = save(np.full((3, *shape), 192, np.uint8))
    settings = PredictSettings(gsd=0.2 * ratio, tile_size=64, overlap=20)
    detections = geodetect.predict(path, CallableDetector(whole), settings=settings)
    expected = [[0, 0, shape[1], shape[0]]]
    np.testing.assert_allclose(to_px(detections, METRES), expected, atol=1e-5)
    assert detections["truncated"].all()


def test_the_area_is_that_of_the_ground(save: Save) -> None:
    canvas = Canvas(100)
    canvas.paint(rectangle(40, 20), 30, 30)
    for name in ("rotated", "US feet", "Web Mercator", "degrees", "Swiss LV95"):
        crs, transform = GRIDS[name]
        path = save(canvas.pixels, f"{name}.tif", crs=crs, transform=transform)
        detections = geodetect.predict(path, COLOURS)
        centre = gpd.GeoSeries([shapely.Point(transform @ (50, 40))], crs=crs)
        lon, lat = centre.to_crs("EPSG:4326").get_coordinates().to_numpy()[0]
        local = f"+proj=laea +lon_0={lon} +lat_0={lat} +datum=WGS84"
        area = detections.to_crs(local).area[0]
        assert detections["area_m2"][0] == pytest.approx(area, rel=1e-4, abs=0.006)


def test_an_object_in_two_zones_comes_out_once(save: Save) -> None:
    canvas = Canvas(100)
    canvas.paint(rectangle(40, 20), 30, 30)
    here = Affine(0.2, 0, 740_000, 0, -0.2, 5_200_000)
    west, north = Transformer.from_crs(32631, 32632).transform(740_010, 5_199_990)
    there = Affine(0.2, 0, west - 10, 0, -0.2, north + 10)
    first = save(canvas.pixels, "a.tif", crs="EPSG:32631", transform=here)
    second = save(canvas.pixels, "b.tif", crs="EPSG:32632", transform=there)
    detections = geodetect.predict([first, second], COLOURS)
    assert detections["raster"].tolist() == ["a.tif"]  # the object is that of the first named
    assert detections.crs.to_epsg() == 32631
    second_first = geodetect.predict([second, first], COLOURS)
    assert second_first["raster"].tolist() == ["b.tif"]
    assert second_first.crs.to_epsg() == 32632
