"""Several rasters are one map: every sheet at its place, whatever its CRS and pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import Resampling, calculate_default_transform, reproject

from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError
from geodetect.geo.tiles import Window
from geodetect.reporting.drawing.mosaic import Mosaic, open_imagery
from geodetect.settings import DrawingSettings
from tests.conftest import METRES, Save

SIDE = 120


def pattern(height: int = 2 * SIDE, width: int = 3 * SIDE) -> Any:
    """A smooth picture that differs everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [40 * np.sin(x / 17) + 120, 40 * np.cos(y / 13) + 120, 0.3 * x + 0.3 * y]
    return np.stack(waves).astype(np.uint8)


def sheets(save: Save, pixels: Any, *, side: int = SIDE, **options: Any) -> list[Path]:
    """Cut a picture into sheets of one grid."""
    paths = []
    for y in range(0, pixels.shape[1], side):
        for x in range(0, pixels.shape[2], side):
            part = pixels[:, y : y + side, x : x + side]
            transform = METRES @ Affine.translation(x, y)
            paths.append(save(part, f"s_{y}_{x}.tif", transform=transform, **options))
    return paths


@contextmanager
def opened(paths: Any, **settings: Any) -> Iterator[Mosaic]:
    with open_imagery(paths, DrawingSettings.model_validate(settings)) as mosaic:
        assert isinstance(mosaic, Mosaic)
        yield mosaic


def test_sheets_of_one_grid_are_the_picture_they_were_cut_from(save: Save):
    pixels = pattern()
    with opened(sheets(save, pixels)) as mosaic:
        assert (mosaic.grid.width, mosaic.grid.height) == (3 * SIDE, 2 * SIDE)
        assert mosaic.grid.transform.almost_equals(METRES)
        read = mosaic.read()
        window = mosaic.read(Window(50, 70, 200, 120))
    np.testing.assert_array_equal(read.values, pixels)
    assert read.valid.all()
    np.testing.assert_array_equal(window.values, pixels[:, 70:190, 50:250])


@pytest.mark.parametrize("scale", [0.5, 0.37, 0.2])
def test_at_a_lower_resolution_there_are_no_seams(save: Save, scale: float):
    pixels = pattern()
    with opened(sheets(save, pixels)) as mosaic:
        read = mosaic.read(None, mosaic.grid.resampled(scale, scale))
    with rasterio.open(save(pixels, "whole.tif")) as whole:
        shape = (3, *read.valid.shape)
        expected = whole.read(out_shape=shape, resampling=Resampling.cubic).astype(int)
    assert read.valid.all()
    assert np.abs(read.values.astype(int) - expected).max() <= 12
    assert np.abs(read.values.astype(int) - expected).mean() < 1.5


def test_gaps_are_blank_and_the_first_named_is_on_top(save: Save):
    low, high = np.full((3, 100, 100), 50, np.uint8), np.full((3, 100, 100), 200, np.uint8)
    a = save(low, "a.tif")
    b = save(high, "b.tif", transform=METRES @ Affine.translation(60, 60))
    with opened([a, b]) as mosaic:
        read = mosaic.read()
    assert (read.values[0, :100, :100] == 50).all()
    assert (read.values[0, 100:, 100:] == 200).all()
    assert not read.valid[:59, 101:].any()
    with opened([b, a]) as mosaic:
        assert (mosaic.read().values[0, 60:, 60:] == 200).all()


def test_where_the_first_has_nodata_the_next_is_seen(save: Save):
    mask = np.zeros((100, 100), np.uint8)
    mask[:, :50] = 255
    a = save(np.full((3, 100, 100), 50, np.uint8), "a.tif", mask=mask)
    b = save(np.full((3, 100, 100), 200, np.uint8), "b.tif")
    with opened([a, b]) as mosaic:
        read = mosaic.read()
    assert read.valid.all()
    assert (read.values[0, :, :50] == 50).all()
    assert (read.values[0, :, 50:] == 200).all()


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326", "EPSG:3857"])
def test_a_sheet_in_another_crs_is_warped_to_its_place(save: Save, crs: str):
    pixels = pattern()
    left, right = pixels[:, :, :180], pixels[:, :, 180:]
    a = save(left, "a.tif")
    source = {"src_crs": "EPSG:2154", "src_transform": METRES @ Affine.translation(180, 0)}
    bounds = rasterio.transform.array_bounds(240, 180, source["src_transform"])
    transform, width, height = calculate_default_transform("EPSG:2154", crs, 180, 240, *bounds)
    warped = np.zeros((3, height, width), np.uint8)
    reproject(
        right, warped, dst_crs=crs, dst_transform=transform, resampling=Resampling.cubic, **source
    )
    b = save(warped, "b.tif", transform=transform, crs=crs, nodata=0)
    with opened([a, b]) as mosaic:
        assert mosaic.grid.crs.to_epsg() == 2154
        read = mosaic.read()
        corner = np.round(mosaic.grid.to_px(np.array([700_000.0, 6_600_000.0]))).astype(int)
        scale = mosaic.grid.gsd_m / 0.2
    assert scale == pytest.approx(1, abs=0.02) or scale < 1
    if abs(scale - 1) < 1e-6:
        x, y = corner.tolist()
        inner = (slice(None), slice(y + 10, y + 230), slice(x + 10, x + 350))
        difference = np.abs(read.values[inner].astype(int) - pixels[:, 10:230, 10:350])
        assert read.valid[inner[1:]].mean() > 0.99
        assert np.median(difference) <= 2
    else:  # finer than the first: the grid has more pixels
        assert read.valid.mean() > 0.8


def test_a_rotated_sheet_lies_where_it_is(save: Save):
    rotated = METRES @ Affine.translation(100, 100) @ Affine.rotation(30)
    a = save(np.full((3, 100, 100), 50, np.uint8), "a.tif")
    b = save(np.full((3, 60, 80), 200, np.uint8), "b.tif", transform=rotated)
    with opened([a, b]) as mosaic:
        assert mosaic.grid.transform.b == 0
        read = mosaic.read()
        centre = mosaic.grid.to_px(np.array(rotated @ (40, 30))).astype(int)
        outside = mosaic.grid.to_px(np.array(rotated @ (40, -4))).astype(int)
    assert read.values[0, centre[1], centre[0]] == 200
    assert not read.valid[outside[1], outside[0]]


def test_parallel_rotated_sheets_keep_their_own_pixels(save: Save):
    rotated, pixels = METRES @ Affine.rotation(30), pattern(100, 200)
    a = save(pixels[:, :, :100], "a.tif", transform=rotated)
    b = save(pixels[:, :, 100:], "b.tif", transform=rotated @ Affine.translation(100, 0))
    with opened([a, b]) as mosaic:
        np.testing.assert_array_equal(mosaic.read().values, pixels)


def test_the_finest_sheet_decides_the_resolution(save: Save):
    coarse = save(np.full((3, 50, 50), 50, np.uint8), "a.tif", transform=METRES @ Affine.scale(2))
    fine = save(pattern(100, 100), "b.tif", transform=METRES @ Affine.translation(100, 0))
    with opened([coarse, fine]) as mosaic:
        assert mosaic.grid.gsd_m == pytest.approx(0.2, rel=0.01)
        read = mosaic.read()
    np.testing.assert_array_equal(read.values[:, :, 100:], pattern(100, 100))
    assert np.abs(read.values[:, :, :100].astype(int) - 50).max() <= 1


def test_grey_and_16_bit_sheets_are_shown_beside_rgb(save: Save):
    a = save(np.full((3, 40, 40), 50, np.uint8), "a.tif")
    b = save(
        np.full((1, 40, 40), 90, np.uint8), "b.tif", transform=METRES @ Affine.translation(40, 0)
    )
    y, x = np.mgrid[0:40, 0:40]
    c = save((x * y * 20).astype(np.uint16), "c.tif", transform=METRES @ Affine.translation(80, 0))
    with opened([a, b, c]) as mosaic:
        read = mosaic.read()
    assert (read.values[:, :, 40:80] == 90).all()
    assert read.valid.all()
    assert read.values[0, 39, 119] == 255


def test_a_folder_and_a_repeated_file_are_read_once(save: Save, tmp_path: Path):
    paths = sheets(save, pattern(SIDE, 2 * SIDE))
    with pytest.warns(GeodetectWarning, match="used once"), opened([tmp_path, paths[0]]) as mosaic:
        assert len(mosaic.rasters) == 2
    with open_imagery([paths[0]], DrawingSettings()) as raster:
        assert not isinstance(raster, Mosaic)


def test_many_sheets_are_read_with_few_open_files(save: Save, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("geodetect.reporting.drawing.mosaic.MAX_OPEN", 2)
    pixels = pattern()
    with opened(sheets(save, pixels, side=60)) as mosaic:
        np.testing.assert_array_equal(mosaic.read().values, pixels)
        assert (
            sum(raster._open is not None and bool(raster._open.items) for raster in mosaic.rasters)
            == 2
        )


def test_a_sheet_far_from_all_others_is_doubted(save: Save):
    paths = sheets(save, pattern(SIDE, 2 * SIDE))
    far = save(pattern(50, 50), "far.tif", transform=METRES @ Affine.translation(500_000, 0))
    with pytest.warns(GeodetectWarning, match=r"far\.tif lies 100 km from the other rasters"):  # noqa: SIM117
        with opened([*paths, far]) as mosaic:
            assert mosaic.covered_fraction < 0.01


def test_sheets_without_a_place_are_refused(save: Save):
    a = save(np.full((3, 40, 40), 50, np.uint8), "a.tif")
    b = save(np.full((3, 40, 40), 50, np.uint8), "b.tif", crs=None, transform=None)
    c = save(np.full((3, 40, 40), 50, np.uint8), "c.tif", crs=None)
    with pytest.raises(GeoreferenceError, match=r"b\.tif: no georeference .*leave it out"):
        opened([a, b]).__enter__()
    with pytest.raises(GeoreferenceError, match=r"c\.tif: no coordinate .*`src_crs`.*leave it out"):
        opened([a, c]).__enter__()
    with pytest.raises(InputError, match="`pixel_coords` is for the pixels of one raster, found 2"):
        opened([a, b], pixel_coords=True).__enter__()
