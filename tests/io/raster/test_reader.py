from __future__ import annotations

import gc
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio import windows
from rasterio.enums import ColorInterp as Colour
from rasterio.enums import Resampling
from rasterio.rpc import RPC
from rasterio.shutil import copy

from geodetect.errors import GeodetectError, RasterError
from geodetect.geo.tiles import TileScheme, Window
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import RasterOptions
from tests.conftest import Save

RGB = [Colour.red, Colour.green, Colour.blue]
HOLE = np.s_[10:30, 20:50]


def whole(side: int = 60) -> Window:
    return Window(0, 0, side, side)


def valid_of(path: Path, options: RasterOptions | None = None) -> NDArray[np.bool_]:
    with open_raster(path, options) as raster:
        pixels = raster.read(whole())
        if raster.dtype.startswith(("uint", "int")):
            np.testing.assert_array_equal(raster.read_valid(whole()), pixels.valid)
    assert (pixels.values[:, ~pixels.valid] == 0).all()
    return pixels.valid


def bands_with_hole(dtype: str, value: float, bands: int = 3) -> NDArray[np.generic]:
    pixels = np.random.default_rng(0).integers(1, 200, (bands, 60, 60)).astype(dtype)
    pixels[:, *HOLE] = value
    return pixels


@pytest.fixture
def hole() -> NDArray[np.bool_]:
    valid = np.ones((60, 60), bool)
    valid[HOLE] = False
    return valid


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 0), ("uint8", 255), ("uint16", 65535), ("int16", -9999), ("float32", -9999),
     ("float32", float("nan")), ("float64", -1e300), ("float32", -3.4028234663852886e38),
     ("int32", -2147483648)],
)  # fmt: skip
def test_nodata_is_not_imagery(
    dtype: str, nodata: float, hole: NDArray[np.bool_], save: Save
) -> None:
    np.testing.assert_array_equal(
        valid_of(save(bands_with_hole(dtype, nodata), nodata=nodata)), hole
    )


def test_nodata_that_bytes_cannot_hold_masks_nothing(save: Save, tmp_path: Path) -> None:
    path = save(bands_with_hole("uint8", 0))
    copy(path, tmp_path / "copy.vrt", driver="VRT")
    text = (tmp_path / "copy.vrt").read_text()
    text = text.replace("<ColorInterp>", "<NoDataValue>-9999</NoDataValue><ColorInterp>")
    (tmp_path / "copy.vrt").write_text(text)
    assert text.count("-9999") == 3
    assert valid_of(tmp_path / "copy.vrt").all()


@pytest.mark.parametrize("bands", [3, 4, 5, 7])
def test_alpha_is_found_wherever_it_lies(bands: int, hole: NDArray[np.bool_], save: Save) -> None:
    """GDAL itself connects alpha only in the last of 2 or 4 bands."""
    alpha = np.where(hole, 255, 0).astype(np.uint8)
    extra = [Colour.undefined] * (bands - 3)
    path = save(
        np.concatenate([bands_with_hole("uint8", 90, bands), alpha[None]]),
        colours=[*RGB, *extra, Colour.alpha],
        photometric="minisblack",
    )
    np.testing.assert_array_equal(valid_of(path), hole)
    np.testing.assert_array_equal(valid_of(path, RasterOptions(bands=(1, 2, 3))), hole)
    with open_raster(path, needed_bands=3) as raster:
        assert raster.bands == (1, 2, 3)


def test_an_internal_mask_is_read(hole: NDArray[np.bool_], save: Save) -> None:
    np.testing.assert_array_equal(valid_of(save(bands_with_hole("uint8", 90), mask=hole)), hole)
    path = save(bands_with_hole("uint16", 90), "deep.tif", mask=hole, compress="deflate")
    np.testing.assert_array_equal(valid_of(path), hole)


def test_a_pixel_is_imagery_where_any_band_holds_a_value(
    hole: NDArray[np.bool_], save: Save
) -> None:
    """Pure colours hold zeros, and zero is the usual nodata."""
    pixels = bands_with_hole("uint8", 0)
    pixels[0, :10], pixels[1:, 40:] = 0, 0
    np.testing.assert_array_equal(valid_of(save(pixels, nodata=0)), hole)


def test_infinite_and_missing_numbers_are_not_imagery(save: Save) -> None:
    pixels = np.random.default_rng(0).uniform(1, 200, (3, 60, 60)).astype(np.float32)
    pixels[0, 5, 5], pixels[1, 6, 6], pixels[2, 7, 7] = np.nan, np.inf, -np.inf
    valid = valid_of(save(pixels))
    assert np.argwhere(~valid).tolist() == [[5, 5], [6, 6], [7, 7]]


def test_nodata_in_one_band_does_not_spoil_the_rule_of_values(save: Save) -> None:
    pixels = np.random.default_rng(0).uniform(100, 200, (3, 60, 60)).astype(np.float32)
    pixels[0, :, :30] = -9999
    with open_raster(save(pixels, nodata=-9999)) as raster:
        assert raster.stretch.low == pytest.approx(100, abs=2)


@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask"])
@pytest.mark.parametrize("ratio", [0.37, 0.73, 1.24, 2.0, 3.3])
def test_the_mask_fits_the_pixels_when_resampled(kind: str, ratio: float, save: Save) -> None:
    """The ground that a pixel's centre lies on decides, whatever window it is read in; values
    of imagery are not mixed with what lies under the mask."""
    side = 61
    valid = np.ones((side, side), bool)
    valid[13:40, 20:45] = False
    pixels = np.where(valid, 200, 0).astype(np.uint8)[None].repeat(3, 0)
    options = {"nodata": {"nodata": 0}, "mask": {"mask": valid}, "alpha": {}}[kind]
    if kind == "alpha":
        pixels = np.concatenate([pixels, np.where(valid, 255, 0).astype(np.uint8)[None]])
        options = {"colours": [*RGB, Colour.alpha], "photometric": "minisblack"}
    with open_raster(save(pixels, **options)) as raster:
        grid = raster.grid.resampled(1 / ratio, 1 / ratio)
        centres = (np.arange(grid.width) + 0.5) * side / grid.width
        clear = np.abs(centres - np.rint(centres)) > 1e-6  # not on the edge between two pixels
        expected = valid[np.ix_(centres.astype(int), centres.astype(int))]
        for tile in TileScheme(grid.width, grid.height, 16, 3):
            pixels_read = raster.read(tile, grid)
            rows, columns = (slice(s, s + n) for s, n in ((tile.y, tile.height),
                                                          (tile.x, tile.width)))  # fmt: skip
            certain = clear[rows][:, None] & clear[columns][None]
            agrees = pixels_read.valid == expected[rows, columns]
            assert agrees[certain].all()
            assert (pixels_read.values[:3, pixels_read.valid] == 200).all()


@pytest.mark.parametrize("ratio", [0.5, 0.73, 1.24, 2.0, 3.3, 5.1])
def test_windows_are_cut_where_they_should_be(ratio: float, save: Save) -> None:
    """Brightness that grows with x (and y) tells where each pixel was taken from: interpolation
    is exact on a slope of 0.8 levels per pixel, rounded to levels."""
    side = 257
    slope = np.linspace(0, 60_000, side)
    pixels = np.stack([np.tile(slope, (side, 1)), np.tile(slope, (side, 1)).T]).astype(np.uint16)
    with open_raster(save(pixels), RasterOptions(value_range=(-5000, 70_000))) as raster:
        grid = raster.grid.resampled(1 / ratio, 1 / ratio)
        errors = []
        for tile in TileScheme(grid.width, grid.height, 48, 7):
            values = raster.read(tile, grid).values
            x, y = (
                (
                    ((np.arange(start, start + size) + 0.5) * side / grid.width - 0.5)
                    / (side - 1)
                    * 60_000
                    + 5000
                )
                / 75_000
                * 255
                for start, size in ((tile.x, tile.width), (tile.y, tile.height))
            )
            inner = slice(6, -6)  # at the raster's border the kernel bends the slope
            error_x = (values[0].mean(axis=0) - x)[inner]
            error_y = (values[1].mean(axis=1) - y)[inner]
            errors.append([error_x, error_y])
    assert np.abs(errors).max() < 0.6  # rounding to bytes
    assert np.abs(np.mean(errors, axis=(0, 2))).max() < 0.08


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (7, 13), (127, 131)])
@pytest.mark.parametrize("ratio", [0.31, 0.73, 1.0, 2.7, 9.0])
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}])
def test_all_of_a_raster_can_be_read_whatever_its_size(
    shape: tuple[int, int], ratio: float, layout: dict[str, object], save: Save
) -> None:
    path = save(np.full((3, *shape), 120, np.uint8), **layout)
    with open_raster(path) as raster:
        grid = raster.grid.resampled(1 / ratio, 1 / ratio)
        for tile in TileScheme(grid.width, grid.height, 64, 16):
            pixels = raster.read(tile, grid)
            assert pixels.values.shape == (3, tile.height, tile.width)
            assert pixels.valid.all()
            assert (pixels.values == 120).all()


@pytest.mark.parametrize("method", [Resampling.nearest, Resampling.average, Resampling.cubic])
def test_overviews_are_read_from_unless_they_are_shifted(method: Resampling, save: Save) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (1, 301, 421)).astype(np.uint8)
    path = save(pixels, overviews=([2, 4], method))
    plain = save(pixels, "plain.tif")
    with open_raster(path) as raster, open_raster(plain) as reference:
        grid = raster.grid.resampled(0.5, 0.5)
        tile = Window(20, 30, 100, 100)
        same = (raster.read(tile, grid).values == reference.read(tile, grid).values).all()
    assert same == (method == Resampling.nearest)


@pytest.mark.parametrize("size", [(300_000, 60), (60, 300_000)])
def test_long_narrow_rasters_are_sampled_from_end_to_end(size: tuple[int, int], save: Save) -> None:
    ramp = np.linspace(1000, 5000, max(size)).astype(np.uint16)
    pixels = np.broadcast_to(ramp[:, None] if size[0] > size[1] else ramp[None], size)
    with open_raster(save(pixels, compress="deflate")) as raster:
        assert raster.stretch.low == pytest.approx(1000, abs=60)
        assert raster.stretch.high == pytest.approx(5000, abs=60)


def test_imagery_between_the_places_that_are_sampled_is_found(tmp_path: Path) -> None:
    """8 x 8 places are looked at first; here they lie in the margin of the sheet."""
    path, side = tmp_path / "a.tif", 6000
    sheet = windows.Window(1100, 1100, 500, 500)
    storage = {"tiled": True, "compress": "deflate", "sparse_ok": True, "photometric": "rgb"}
    size = {"width": side, "height": side, "count": 3, "dtype": "uint16", "nodata": 0}
    place = {"crs": "EPSG:32631", "transform": Affine(0.2, 0, 500_000, 0, -0.2, 5_000_000)}
    with rasterio.open(path, "w", "GTiff", **size, **storage, **place) as raster:
        ramp = np.linspace(2000, 9000, 500).astype(np.uint16)
        raster.write(np.broadcast_to(ramp, (3, 500, 500)), window=sheet)
    with open_raster(path) as raster:
        assert raster.stretch.low == pytest.approx(2000, abs=200)
        assert raster.stretch.high == pytest.approx(9000, abs=200)
        values = raster.read(Window(1100, 1100, 500, 500)).values
    assert np.ptp(values) > 250


def test_files_are_closed_and_can_be_deleted(save: Save) -> None:
    path = save(np.zeros((3, 300, 300), np.uint8), overviews=([2], Resampling.nearest))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_raster(path) as raster, ThreadPoolExecutor(4) as pool:
            tiles = list(TileScheme(300, 300, 64, 8))
            half = raster.grid.resampled(0.5, 0.5)
            list(pool.map(raster.read, tiles))
            list(pool.map(lambda t: raster.read(t, half), TileScheme(150, 150, 64, 8)))
        gc.collect()
    open_files = Path("/proc/self/fd")
    if open_files.is_dir():
        held = [p.resolve() for p in open_files.iterdir()]
        assert path.resolve() not in held
    path.unlink()


def test_a_closed_raster_opens_again_when_it_is_read(save: Save) -> None:
    raster = open_raster(save(np.full((3, 60, 60), 9, np.uint8)))
    with raster:
        first = raster.read(whole()).values
    with raster:
        np.testing.assert_array_equal(raster.read(whole()).values, first)


def rpc_raster(save: Save) -> Path:
    """A view straight down on 100 x 80 px, without a tilt: columns along longitude."""
    one, line, sample = [1.0] + [0.0] * 19, [0.0] * 20, [0.0] * 20
    line[2], sample[1] = -1.0, 1.0
    rpc = RPC(
        line_off=40, samp_off=50, lat_off=46.0, long_off=7.0, height_off=0, line_scale=40,
        samp_scale=50, lat_scale=0.0008, long_scale=0.001, height_scale=500, line_num_coeff=line,
        line_den_coeff=one, samp_num_coeff=sample, samp_den_coeff=one, err_bias=0, err_rand=0,
    )  # fmt: skip
    pixels = np.full((3, 80, 100), 40, np.uint8)
    pixels[:, 30:50, 60:80] = 200
    return save(pixels, "rpc.tif", crs=None, transform=None, rpcs=rpc)


def test_a_raster_with_rpcs_is_warped_and_read_by_many_threads(save: Save) -> None:
    with open_raster(rpc_raster(save)) as raster, ThreadPoolExecutor(4) as pool:
        grid = raster.grid
        tiles = list(TileScheme(grid.width, grid.height, 16, 4))
        views = list(pool.map(raster.read, tiles * 3))
        covered = np.zeros((grid.height, grid.width), bool)
        for tile, view in zip(tiles * 3, views, strict=True):
            box = np.s_[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            covered[box] |= (view.values > 120).all(axis=0) & view.valid
    rows, columns = np.nonzero(covered)
    box = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], float)
    expected = [[7.0002, 46.0002], [7.0006, 45.9998]]  # (60, 30) and (80, 50) by the RPCs
    pixel = 2e-5  # degrees
    np.testing.assert_allclose(grid.to_map(box), expected, atol=1.1 * pixel)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"", "not a raster"), (b"hello", "not a raster"),
     (b"II*\0\xff\xff\xff\xff", "not a raster")],
)  # fmt: skip
def test_what_is_no_raster_is_an_error_of_one_line(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RasterError, match=message) as caught:
        open_raster(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compress", ["deflate", "lzw", "jpeg", None])
def test_a_file_that_was_cut_short_is_an_error_that_names_it(compress: str, save: Save) -> None:
    rng = np.random.default_rng(0)
    path = save(rng.integers(0, 255, (3, 512, 512)).astype(np.uint8), compress=compress)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RasterError, match=r"scene\.tif: .*") as caught, open_raster(path) as raster:
        raster.read(Window(0, 0, 512, 512))
    assert "\n" not in str(caught.value)


def test_the_damage_of_deep_rasters_shows_when_they_are_read(save: Save) -> None:
    """Opening reads headers only: a folder of sheets is planned without reading any of them."""
    rng = np.random.default_rng(0)
    path = save(rng.integers(0, 9999, (3, 512, 512)).astype(np.uint16), compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_raster(path) as raster, pytest.raises(RasterError, match="damaged or incomplete"):
        raster.read(whole())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_in_utf_8_is_an_error_of_one_line(save: Save) -> None:
    path = save(np.zeros((1, 9, 9), np.uint8))
    path = path.rename(path.with_name(os.fsdecode(b"caf\xe9.tif")))
    with pytest.raises(RasterError, match=r"its name is not in UTF-8.*rename it"):
        open_raster(path)


def test_names_of_urls_do_not_give_away_their_query(save: Save) -> None:
    path = save(np.zeros((3, 4, 4), np.uint8), "a#1?.tif")
    with open_raster(path) as raster:
        assert raster.name == "a#1?.tif"
        url = replace(raster, path="https://host/folder/scene.tif?sig=secret", name="")
        assert url.name == "scene.tif"


def test_every_shared_raster_reads_or_is_refused_in_one_line(shared_data: Path) -> None:
    refused, read = list[str](), 0
    for path in sorted((shared_data / "rasters").iterdir()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                with open_raster(path) as raster:
                    grid = raster.grid.resampled(0.43, 0.43)
                    width, height = min(64, grid.width), min(64, grid.height)
                    raster.read(Window(0, 0, width, height), grid)
                read += 1
            except GeodetectError as error:
                refused.append(str(error))
    assert read > len(refused) > 0
    assert not any("\n" in text for text in refused)
