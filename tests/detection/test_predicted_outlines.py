"""Outlines from a detector to the table and to files: shapes, measures, filters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.detection.detection_layer import COLUMNS
from geodetect.detection.sharding.merge import merge_to_file
from geodetect.detection.sharding.plan_run import plan_to_folder
from geodetect.detection.sharding.predict_shards import predict_shards
from geodetect.errors import InputError
from geodetect.model.card import AreaError
from tests.conftest import METRES, Save
from tests.helpers.painted_scenes import (
    TraceColours,
    least_outline_iou,
    outlined,
    read_colours,
)
from tests.helpers.sheets import cut_into_sheets

SIDE = 400
SETTINGS = PredictSettings(tile_size=128, overlap=32, simplify=0)
TRACE = CallableDetector(TraceColours(), identity="trace", tile_px=128)
BOXES = CallableDetector(read_colours, identity="boxes", tile_px=128)
SCENE = outlined(SIDE, seed=5, largest=250)
CENTRE = np.array([20.0, 20.0])  # of the bar below, in pixels


def truth(place: Affine = METRES) -> Any:
    *_, outlines = TraceColours()(SCENE.pixels)
    return shapely.transform(outlines, lambda xy: np.stack(place @ tuple(xy.T), axis=1))


def outlines_of(table: gpd.GeoDataFrame) -> Any:
    return np.asarray(table.geometry.array)


def bar(angle_deg: float, length_px: float = 24, width_px: float = 6) -> shapely.Polygon:
    """A bar whose long side is turned from the vertical, clockwise on a map that is north-up."""
    half = np.array([width_px, length_px]) / 2
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * half
    sin, cos = np.sin(np.deg2rad(angle_deg)), np.cos(np.deg2rad(angle_deg))
    return shapely.Polygon(corners @ np.array([[cos, sin], [-sin, cos]]) + CENTRE)


@dataclass(frozen=True)
class Fixed:
    """Returns the same outlines for each image."""

    outlines: tuple[shapely.Polygon | None, ...]

    def __call__(self, image: Any) -> tuple[Any, ...]:
        known = [outline or shapely.box(60, 60, 80, 70) for outline in self.outlines]
        count = len(self.outlines)
        return shapely.bounds(known), np.full(count, 0.9), np.zeros(count), self.outlines


def fixed(*outlines: shapely.Polygon | None) -> CallableDetector:
    return CallableDetector(Fixed(outlines), tile_px=128, identity="fixed")


def image() -> Any:
    return np.full((3, 100, 100), 90, np.uint8)


def test_painted_shapes_come_out_as_polygons_with_holes(save: Save) -> None:
    table = geodetect.predict(save(SCENE.pixels), TRACE, settings=SETTINGS)
    outlines = outlines_of(table)
    assert least_outline_iou(truth(), outlines) > 0.999
    assert shapely.is_valid(outlines).all()
    parts = shapely.get_parts(outlines)
    assert shapely.is_ccw(shapely.get_exterior_ring(parts)).all()
    assert shapely.get_num_interior_rings(parts).any()
    assert table.columns.tolist() == [
        *("id", "class", "score", "area_m2", "width_m", "length_m", "perimeter_m"),
        *("orientation_deg", "truncated", "raster", "geometry"),
    ]
    # Lambert 93 shrinks by at most 1 in 1,000 here
    np.testing.assert_allclose(table["area_m2"], shapely.area(outlines), rtol=4e-3, atol=0.01)
    np.testing.assert_allclose(table["perimeter_m"], shapely.length(outlines), rtol=2e-3)


def test_boxes_are_those_of_a_detector_without_outlines(save: Save) -> None:
    path = save(SCENE.pixels)
    boxes = {"settings": SETTINGS.model_dump() | {"simplify": None, "geometry": "box"}}
    table = geodetect.predict(path, TRACE, **boxes)
    assert table.columns.tolist() == list(COLUMNS)
    assert table.to_json() == geodetect.predict(path, BOXES, **boxes).to_json()


@pytest.mark.parametrize("columns", [2, 3])
def test_sheets_give_the_outlines_of_the_whole(columns: int, save: Save) -> None:
    paths = cut_into_sheets(save, SCENE.pixels, columns=columns, overlap_px=10)
    table = geodetect.predict(paths, TRACE, settings=SETTINGS)
    assert least_outline_iou(truth(), outlines_of(table)) > 0.999


def test_a_run_in_shards_gives_the_bytes_of_one_machine(save: Save, tmp_path: Path) -> None:
    path = save(SCENE.pixels)
    geodetect.predict_to_file(path, tmp_path / "one.gpkg", TRACE, settings=SETTINGS)
    plan_to_folder(path, tmp_path / "run", TRACE, settings=SETTINGS, shard_px=128.0**2 * 4)
    predict_shards(tmp_path / "run", TRACE)
    merge_to_file(tmp_path / "run", tmp_path / "merged.gpkg")
    assert (tmp_path / "merged.gpkg").read_bytes() == (tmp_path / "one.gpkg").read_bytes()


def test_an_outline_across_two_zones_is_whole(save: Save) -> None:
    """A disc on the border of two rasters, one of which is in the next zone of UTM."""
    zone_31 = Affine(0.2, 0, 728_000, 0, -0.2, 5_100_000)
    disc = shapely.Point(300, 150).buffer(80)
    pixels = np.full((3, 300, 600), 20, np.uint8)
    to_32 = Transformer.from_crs(32631, 32632, always_xy=True)
    on_map = shapely.transform(disc, lambda xy: np.stack(zone_31 @ tuple(xy.T), axis=1))
    in_32 = shapely.transform(on_map, to_32.transform, interleaved=False)
    x, y = to_32.transform(*(zone_31 @ (300, 0)))
    zone_32 = Affine(0.2, 0, x, 0, -0.2, y + 10)
    west = save(pixels[:, :, :310], "w.tif", crs="EPSG:32631", transform=zone_31)
    east = save(pixels[:, :, :300] + 1, "e.tif", crs="EPSG:32632", transform=zone_32)

    def seen(image: Any) -> tuple[Any, ...]:
        shape, place = (on_map, zone_31) if image.max() == 20 else (in_32, zone_32)
        frame = shapely.box(0, 0, image.shape[2], image.shape[1])
        shape = shapely.transform(shape, lambda xy: np.stack(~place @ tuple(xy.T), axis=1))
        part = shape.intersection(frame)
        return [part.bounds], [0.9], [0], [part]

    table = geodetect.predict([west, east], CallableDetector(seen, tile_px=600), tile_size=600)
    assert len(table) == 1
    outline = outlines_of(table.to_crs("EPSG:32631"))[0]
    assert outline.geom_type == "Polygon"
    assert shapely.intersection(outline, on_map).area / outline.union(on_map).area > 0.95


@pytest.mark.parametrize("crs", ["EPSG:2154", "EPSG:3857", "EPSG:4326", "EPSG:32631"])
@pytest.mark.parametrize("angle", [0, 25, 90, 160])
def test_sides_and_direction_are_those_on_the_ground(crs: str, angle: int, save: Save) -> None:
    """A bar of 24 x 6 pixels of half a metre on the ground, on a grid that is north-up."""
    lon, lat = 3.0, 46.5  # on the central meridian of Lambert 93
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    if crs == "EPSG:4326":
        size = 0.5 / 111_320 / np.cos(np.deg2rad(lat)), 0.5 / 111_151
    else:
        size = (0.5 / np.cos(np.deg2rad(lat)),) * 2 if crs == "EPSG:3857" else (0.5, 0.5)
    path = save(image(), crs=crs, transform=Affine(size[0], 0, x, 0, -size[1], y))
    (row,) = geodetect.predict(path, fixed(bar(angle))).itertuples()
    assert row.length_m == pytest.approx(12, rel=5e-3)
    assert row.width_m == pytest.approx(3, rel=5e-3)
    assert row.area_m2 == pytest.approx(36, rel=5e-3)
    assert row.perimeter_m == pytest.approx(30, rel=5e-3)
    turn = abs((row.orientation_deg - angle + 90) % 180 - 90)
    assert turn < 0.5
    assert 0 <= row.orientation_deg < 180


def test_each_geometry_shows_the_same_objects(save: Save) -> None:
    path, shape = save(image()), bar(30)
    tables = {
        geometry: geodetect.predict(path, fixed(shape, None), geometry=geometry)
        for geometry in ("auto", "outline", "box", "oriented", "centre")
    }
    on_map = shapely.transform(shape, lambda xy: np.stack(METRES @ tuple(xy.T), axis=1))
    assert tables["auto"].equals(tables["outline"])
    assert outlines_of(tables["box"])[0].bounds == pytest.approx(on_map.bounds)
    for geometry in ("outline", "oriented"):
        outline, box = outlines_of(tables[geometry])
        assert outline.intersection(on_map).area / outline.union(on_map).area > 0.99
        assert box.equals(outlines_of(tables["box"])[1])
    assert len(outlines_of(tables["oriented"])[0].exterior.coords) == 5
    centres = outlines_of(tables["centre"])
    assert centres[0].distance(on_map.centroid) < 0.01
    assert centres[1].distance(outlines_of(tables["box"])[1].centroid) < 1e-6
    assert tables["centre"]["area_m2"].equals(tables["outline"]["area_m2"])
    assert np.isnan(tables["outline"]["orientation_deg"][1])


def test_objects_are_left_out_by_their_area(save: Save) -> None:
    path = save(image())
    detector = fixed(bar(0), shapely.box(60, 10, 70, 20), shapely.box(40, 60, 80, 90))
    everything = geodetect.predict(path, detector)
    assert everything["area_m2"].round(1).tolist() == pytest.approx([5.8, 4, 48], rel=0.02)
    between = geodetect.predict(path, detector, min_area="5m2", max_area="0.004ha")
    assert between["area_m2"].round(1).tolist() == pytest.approx([5.8], rel=0.02)
    assert between["id"].tolist() == [1]
    nothing = geodetect.predict(path, detector, min_area=1000)
    assert nothing.columns.tolist() == everything.columns.tolist()
    assert len(nothing) == 0


def test_areas_have_the_interval_of_the_validation(save: Save) -> None:
    detector = fixed(shapely.box(10, 10, 20, 20), shapely.box(30, 30, 60, 60), None)
    error = AreaError(up_to_m2=(10,), low=(0.5, 0.8), high=(1.5, 1.25), bias=1)
    detector.card = detector.card.model_copy(update={"area_error": error})
    table = geodetect.predict(save(image()), detector)
    ratios = np.stack([table["area_low_m2"], table["area_high_m2"]]) / table["area_m2"].to_numpy()
    expected = [[0.5, 0.8, np.nan], [1.5, 1.25, np.nan]]
    np.testing.assert_allclose(ratios, expected, rtol=0.01)


def test_right_angles_are_given_to_outlines_that_have_them(save: Save) -> None:
    rounded = bar(20, 40, 20).buffer(-2).buffer(2)
    disc = shapely.Point(70, 70).buffer(12)
    table = geodetect.predict(save(image()), fixed(rounded, disc), regularize=True)
    shapes = sorted(outlines_of(table), key=lambda shape: len(shape.exterior.coords))
    assert len(shapes[0].exterior.coords) == 5
    assert len(shapes[1].exterior.coords) > 10


@pytest.mark.parametrize(
    ("detector", "options", "message"),
    [
        (BOXES, {"geometry": "box", "regularize": True}, "`regularize` is for outlines"),
        (BOXES, {"geometry": "box", "simplify": 0.1}, "`simplify` is for outlines"),
        (TRACE, {"min_area": 9, "max_area": "5 m²"}, "`min_area` of 9 m² is above `max_area`"),
        (TRACE, {"min_area": "9 acres"}, "`min_area`: expected an area, e.g. 10m2"),
        (TRACE, {"min_area": 0}, "`min_area`"),
        (TRACE, {"geometry": "outlines"}, "`geometry`: expected 'auto', 'outline'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    detector: CallableDetector, options: dict[str, Any], message: str, save: Save
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        geodetect.predict(save(image()), detector, **options)
    assert "\n" not in str(caught.value)


class BoxDetector:
    """A detector of boxes, as a network without a head for outlines."""

    card = BOXES.card

    def __call__(self, pixels: Any, valid: Any) -> Any:
        return BOXES(pixels, valid)


@pytest.mark.parametrize(
    "options", [{"geometry": "outline"}, {"geometry": "oriented"}, {"regularize": True}]
)
def test_a_model_of_boxes_asked_for_outlines_is_refused(
    options: dict[str, Any], save: Save
) -> None:
    with pytest.raises(InputError, match="needs outlines, but model callable finds boxes only"):
        geodetect.predict(save(image()), BoxDetector(), **options)
    with pytest.raises(InputError, match="needs outlines, but model callable finds boxes only"):
        plan_to_folder(save(image()), "run", BoxDetector(), **options)


@pytest.mark.parametrize("name", ["min_area", "max_area", "simplify"])
def test_sizes_in_metres_need_a_crs(name: str, save: Save) -> None:
    path = save(image(), crs=None, transform=None)
    with pytest.raises(InputError, match=rf"`{name}` is a size on the ground, but .* no CRS"):
        geodetect.predict(path, TRACE, pixel_coords=True, **{name: 5})


def test_without_a_crs_outlines_are_in_pixels(save: Save) -> None:
    path = save(image(), crs=None, transform=None)
    table = geodetect.predict(path, fixed(bar(30)), pixel_coords=True, regularize=True)
    outline = outlines_of(table)[0]
    assert outline.intersection(bar(30)).area / outline.union(bar(30)).area > 0.99
    assert table["area_m2"].isna().all()


@pytest.mark.parametrize(
    "name", ["a.geojson", "a.geojsonl", "a.gpkg", "a.fgb", "a.parquet", "a.shp", "a.csv"]
)
def test_every_format_holds_outlines_with_holes_and_parts(
    name: str, save: Save, tmp_path: Path
) -> None:
    ring = shapely.Point(30, 30).buffer(15).difference(shapely.Point(30, 30).buffer(8))
    parts = shapely.MultiPolygon([shapely.box(60, 60, 70, 70), shapely.box(75, 60, 80, 70)])
    layer = geodetect.predict_layer(save(image()), fixed(ring, parts, bar(0)), simplify=0)
    path = geodetect.write(layer, tmp_path / name)
    expected = layer.table()
    if name == "a.csv":
        text = gpd.pd.read_csv(path)
        geometry = shapely.from_wkt(text["WKT"].to_numpy())
    else:
        read = gpd.read_parquet(path) if name == "a.parquet" else gpd.read_file(path)
        if name == "a.fgb":  # ordered by place
            read = read.sort_values("id")
        geometry = outlines_of(read.to_crs(expected.crs))
    areas = shapely.area(outlines_of(expected))
    assert shapely.area(geometry) == pytest.approx(areas, rel=1e-3)
    assert shapely.area(shapely.symmetric_difference(geometry, outlines_of(expected))).max() < 0.02


@pytest.mark.parametrize(("geometry", "symbol"), [("centre", "marker"), ("outline", "fill")])
@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_styles_are_of_the_geometry_that_is_written(
    name: str, geometry: str, symbol: str, save: Save, tmp_path: Path
) -> None:
    layer = geodetect.predict_to_file(
        save(image()), tmp_path / name, fixed(bar(0)), style=True, geometry=geometry, journal=False
    )
    assert len(layer) == 1
    style = tmp_path / "a.qml" if name == "a.geojson" else tmp_path / name
    assert f'type="{symbol}"'.encode() in style.read_bytes()


def test_geojson_has_the_columns_of_outlines(save: Save, tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    geodetect.predict_to_file(save(image()), path, fixed(bar(0), None), journal=False)
    known, unknown = (f["properties"] for f in json.loads(path.read_text())["features"])
    assert known["orientation_deg"] < 3 or known["orientation_deg"] > 177
    assert unknown["orientation_deg"] is None
