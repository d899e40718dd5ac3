"""The ground that was looked at, skipped and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.detection import coverage
from geodetect.detection.coverage import (
    BLANK,
    NO_IMAGERY,
    NOT_READ,
    OUTSIDE,
    SEARCHED,
    ImageryMask,
    coverage_table,
)
from geodetect.detection.run import cell_rows
from geodetect.detection.run.cell_rows import CellRows
from geodetect.errors import GeodetectWarning
from geodetect.geo.tiles import TileScheme
from geodetect.io.raster.reader import Pixels
from tests.conftest import METRES, Save
from tests.helpers.painted_scenes import detect_nothing

GSD_M = 0.2


def looked(paths: Any, *, gsd_m: float | None = None, **options: Any) -> gpd.GeoDataFrame:
    detector = CallableDetector(detect_nothing, tile_px=64, gsd_m=gsd_m)
    layer = geodetect.predict_layer(paths, detector, settings=PredictSettings(**options))
    return coverage_table(layer.coverage)


def areas(table: gpd.GeoDataFrame) -> dict[str, float]:
    """Areas on the map by status, in the pixels of ``METRES``."""
    area_px = table.geometry.area.groupby(table["status"]).sum() / GSD_M**2
    return {str(status): round(float(area), 1) for status, area in area_px.items()}


def image_with_hole(side: int = 200) -> NDArray[np.uint8]:
    pixels = np.full((3, side, side), 90, np.uint8)
    pixels[:, 40:120, 60:160] = 0
    return pixels


def texture(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(60, 120, (3, height, width)).astype(np.uint8)


def test_a_whole_raster_is_looked_at(save: Save) -> None:
    table = looked(save(texture(150, 200)))
    assert table["status"].tolist() == [SEARCHED]
    assert table["raster"].tolist() == ["scene.tif"]
    assert table["reason"].tolist() == [""]
    assert table.crs.to_epsg() == 2154
    corner = METRES @ (200, 150)
    assert table.geometry[0].bounds == pytest.approx((METRES.c, corner[1], corner[0], METRES.f))
    np.testing.assert_allclose(table["gsd_m"], 0.2, rtol=2e-3)
    np.testing.assert_allclose(table["area_m2"], 150 * 200 * table["gsd_m"] ** 2, rtol=1e-3)


def test_nodata_is_told_from_imagery_at_its_place(save: Save) -> None:
    table = looked(save(image_with_hole(), nodata=0))
    assert areas(table) == {SEARCHED: 32_000, NO_IMAGERY: 8_000}
    hole = table.geometry[table["status"] == NO_IMAGERY].iloc[0]
    west, north = METRES @ (60, 40)
    assert hole.bounds == pytest.approx((west, north - 16, west + 20, north))
    assert table["reason"].tolist() == ["", "nodata"]


def test_parts_make_up_the_raster_and_do_not_overlap(save: Save, tmp_path: Path) -> None:
    aoi = shapely.Point(METRES @ (100, 90)).buffer(16)
    gpd.GeoSeries([aoi], crs="EPSG:2154").to_file(tmp_path / "a.gpkg")
    table = looked(save(image_with_hole(), nodata=0), aoi=tmp_path / "a.gpkg")
    assert set(table["status"]) == {SEARCHED, NO_IMAGERY, OUTSIDE}
    assert sum(areas(table).values()) == pytest.approx(40_000, abs=0.5)
    whole = shapely.union_all(table.geometry)
    assert whole.area == pytest.approx(1600, rel=1e-6)
    inside = shapely.union_all(table.geometry[table["status"] != OUTSIDE])
    assert inside.symmetric_difference(aoi).area < 1e-6
    assert table.geometry.is_valid.all()


def test_a_raster_beside_the_area_was_not_searched(save: Save) -> None:
    paths = [save(texture(80, 80), "a.tif"),
             save(texture(80, 80), "b.tif",
                  transform=METRES @ Affine.translation(500, 0))]  # fmt: skip
    west, north = METRES @ (0, 0)
    table = looked(paths, bbox=(west, north - 16, west + 16, north))
    assert list(zip(table["raster"], table["status"], strict=True)) == [
        ("a.tif", SEARCHED),
        ("b.tif", OUTSIDE),
    ]


def test_the_part_of_a_raster_that_fails_is_not_read_with_its_error(save: Save) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (3, 300, 300)).astype(np.uint8)
    bad = save(noise, "bad.tif", compress="deflate", tiled=True, blockxsize=64, blockysize=64)
    content = bytearray(bad.read_bytes())
    content[len(content) // 3 : 2 * len(content) // 3] = bytes(len(content) // 3)
    bad.write_bytes(bytes(content))
    good = save(texture(80, 80), "good.tif", transform=METRES @ Affine.translation(300, 0))
    with pytest.warns(GeodetectWarning, match="left out"):
        table = looked([bad, good], tile_size=64, overlap=0)
    rows = set(zip(table["raster"], table["status"], strict=True))
    assert rows == {("bad.tif", SEARCHED), ("bad.tif", NOT_READ), ("good.tif", SEARCHED)}
    unread = table[table["status"] == NOT_READ].iloc[0]
    assert "cannot read" in unread["reason"]
    assert 90_000 / 4 < areas(table)[NOT_READ] < 90_000 * 3 / 4
    assert sum(areas(table).values()) == 90_000 + 6400


@pytest.mark.parametrize("gsd_m", [0.1, 0.4])
def test_the_resolution_worked_on_changes_no_ground(gsd_m: float, save: Save) -> None:
    table = looked(save(image_with_hole(), nodata=0), gsd_m=gsd_m)
    assert areas(table)[NO_IMAGERY] == pytest.approx(8_000, rel=0.05)  # cells of 8 px
    assert sum(areas(table).values()) == pytest.approx(40_000, abs=1)
    np.testing.assert_allclose(table["gsd_m"], 0.2, rtol=2e-3)
    np.testing.assert_allclose(table["working_gsd_m"], gsd_m, rtol=2e-2)


def test_rasters_in_other_crs_share_the_map_of_the_first(save: Save) -> None:
    pixels = np.full((3, 100, 100), 90, np.uint8)
    mercator = Affine(0.3, 0, 300_000, 0, -0.3, 5_900_000)
    paths = [save(pixels, "a.tif"), save(pixels, "b.tif", crs="EPSG:3857", transform=mercator)]
    table = looked(paths)
    assert table.crs.to_epsg() == 2154
    np.testing.assert_allclose(table["area_m2"], 1e4 * table["gsd_m"] ** 2, rtol=1e-3)
    assert table["gsd_m"][1] < 0.25


def test_pixel_coordinates_have_no_ground_area(save: Save) -> None:
    table = looked(save(image_with_hole(), nodata=0, crs=None, transform=None), pixel_coords=True)
    assert table.crs is None
    assert table["area_m2"].isna().all()
    assert table.geometry.area.tolist() == [32_000, 8_000]


def test_without_rasters_the_layer_is_empty() -> None:
    table = coverage_table([])
    assert len(table) == 0
    assert list(table.columns)[:4] == ["raster", "status", "reason", "area_m2"]


@pytest.mark.parametrize("value", [0, 255, 90])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("gsd_m", [None, 0.31])
def test_a_sheet_of_one_value_is_blank_and_named(
    value: int, dtype: str, gsd_m: float | None, save: Save
) -> None:
    apart = METRES @ Affine.translation(2000, 0)
    paths = [save(texture(120, 120).astype(dtype), "a.tif"),
             save(np.full((3, 120, 120), value, dtype), "b.tif", transform=apart)]  # fmt: skip
    with pytest.warns(GeodetectWarning, match=r"does not count as searched: b\.tif \(100\.0%\)"):
        table = looked(paths, gsd_m=gsd_m)
    assert list(zip(table["raster"], table["status"], table["reason"], strict=True)) == [
        ("a.tif", SEARCHED, ""),
        ("b.tif", BLANK, "one constant value"),
    ]
    assert table["area_m2"][1] == pytest.approx(table["area_m2"][0], rel=1e-3)


@pytest.mark.parametrize("tile_px", [128, 512, 1024])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_blank_ground_in_a_sheet_is_told_apart(tile_px: int, dtype: str, save: Save) -> None:
    pixels = texture(600, 1000).astype(dtype)
    pixels[:, 40:580, 300:870] = 0  # a lost mask
    pixels[:, 10:110, 10:110] = 255  # white roofs
    detector = CallableDetector(detect_nothing, tile_px=tile_px)
    with pytest.warns(GeodetectWarning, match=r"scene\.tif \(\d\d\.\d%\)"):
        layer = geodetect.predict_layer(
            save(pixels), detector, settings=PredictSettings(value_range=(0, 255))
        )
    table = coverage_table(layer.coverage)
    assert areas(table)[BLANK] == pytest.approx(540 * 570, rel=0.25)
    assert sum(areas(table).values()) == pytest.approx(600_000, abs=1)
    blank = table.geometry[table["status"] == BLANK].iloc[0]
    west, north = METRES @ (300, 40)
    assert shapely.box(west, north - 108, west + 114, north).contains(blank.buffer(-GSD_M))
    assert layer.blank == {"scene.tif": pytest.approx(0.51, abs=0.13)}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_dark_water_and_bright_snow_are_searched(dtype: str, save: Save) -> None:
    """Values beyond the estimated range become one byte; in the file they differ."""
    pixels = texture(600, 600).astype(np.float64)
    rng = np.random.default_rng(1)
    pixels[:, :300] = rng.integers(1, 3, (300, 600))  # one level of noise, the same in all bands
    pixels[:, 300:, :200] = 254 + rng.integers(0, 2, (300, 200))
    settings = PredictSettings(value_range=None if dtype == "uint8" else (10, 200))
    layer = geodetect.predict_layer(
        save(pixels.astype(dtype)), CallableDetector(detect_nothing, tile_px=256), settings=settings
    )
    assert coverage_table(layer.coverage)["status"].tolist() == [SEARCHED]


def test_nodata_beside_blank_ground_stays_nodata(save: Save) -> None:
    pixels = texture(300, 900)
    pixels[:, :, :300], pixels[:, :, 600:] = 7, 0
    table = looked(save(pixels, nodata=7))
    assert set(table["status"]) == {SEARCHED, NO_IMAGERY, BLANK}
    assert areas(table)[NO_IMAGERY] == 90_000


@settings(max_examples=30)
@given(
    width=st.integers(1, 150),
    height=st.integers(1, 150),
    tile_px=st.integers(1, 90),
    overlap=st.floats(0, 0.6),
    seed=st.integers(0, 99),
)
def test_cells_hold_what_most_of_their_pixels_are(
    width: int, height: int, tile_px: int, overlap: float, seed: int
) -> None:
    valid = np.random.default_rng(seed).random((height, width)) < 0.6
    scheme = TileScheme(width, height, tile_px, int(overlap * tile_px))
    cells = ImageryMask(scheme)
    for tile in scheme:
        valid_pixels = valid[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        pixels = Pixels(np.zeros((1, *valid_pixels.shape), np.uint8), valid_pixels)
        cells.update(tile, cells.cell_states(tile, pixels))
    step, state = cells.cell_px, cells._cells.read(slice(0, height), slice(0, width))
    whole = state[: height // step, : width // step]
    if overlap == 0 and tile_px % step == 0 and width % tile_px == height % tile_px == 0:
        blocks = valid.reshape(height // step, step, width // step, step).mean(axis=(1, 3))
        np.testing.assert_array_equal(whole == coverage._IMAGERY, blocks >= 0.5)
    assert (state != coverage._UNKNOWN).all()
    if step == 1:
        np.testing.assert_array_equal(state == coverage._IMAGERY, valid)


@settings(max_examples=20)
@given(
    width=st.integers(1, 150),
    height=st.integers(1, 150),
    tile_px=st.integers(16, 90),
    overlap=st.floats(0, 0.6),
    band_cells=st.integers(1, 400),
    seed=st.integers(0, 99),
)
def test_bands_that_are_kept_compressed_hold_the_same(
    width: int, height: int, tile_px: int, overlap: float, band_cells: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scheme = TileScheme(width, height, tile_px, int(overlap * tile_px))
    in_bands, whole = ImageryMask(scheme), ImageryMask(scheme)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_rows, "BAND_CELLS", band_cells)
        in_bands._cells = CellRows(whole._cells.shape)
    for tile in scheme:
        in_bands.close_above(tile.row)
        states = in_bands.cell_states(tile, None)
        states[:] = rng.choice([coverage._IMAGERY, coverage._CONSTANT], p=[0.02, 0.98])
        for mask in (in_bands, whole):
            mask.update(tile, states)
    in_bands.close_above(len(scheme.rows) - 1)
    points = rng.uniform(-9, 160, (50, 2))
    np.testing.assert_array_equal(in_bands.has_imagery_at(points), whole.has_imagery_at(points))
    rows, columns = (slice(0, length) for length in whole._cells.shape)
    expected = whole._final_states(rows, columns)
    for part in in_bands._cells.bands(0, rows.stop):
        np.testing.assert_array_equal(in_bands._final_states(part, columns), expected[part])


def test_coverage_in_bands_is_that_of_the_whole(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = texture(400, 500)
    pixels[:, 100:300, 150:400] = 0
    raster = save(pixels, nodata=0)
    expected = looked(raster)
    monkeypatch.setattr(cell_rows, "BAND_CELLS", 1000)
    table = looked(raster)
    assert table["status"].tolist() == expected["status"].tolist() == [SEARCHED, NO_IMAGERY]
    assert shapely.equals(table.geometry, expected.geometry).all()


def test_the_cells_of_a_country_take_memory_only_where_tiles_are() -> None:
    scheme = TileScheme(5_000_000, 5_000_000, 1024, 64)
    cells = ImageryMask(scheme)
    assert cells.cell_px == 36
    for row in (0, 3000, len(scheme.rows) - 1):
        cells.close_above(row)
        tile = scheme.tile(row, row)
        cells.update(tile, cells.cell_states(tile, None))
    assert len(cells._cells._open) <= 2
    assert sum(map(len, cells._cells._closed.values())) < 1_000_000
