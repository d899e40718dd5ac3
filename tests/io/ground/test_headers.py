"""Headers of rasters in a Parquet file, and rasters that are made of them without being opened."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.shutil import copy

from geodetect.errors import GeodetectWarning, InputError, RasterError
from geodetect.io.ground import header_index
from geodetect.io.ground.header_index import open_rasters
from geodetect.io.ground.headers import changed_rasters, decode_headers, encode_headers
from geodetect.io.raster.dataset import read_dataset
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Raster, RasterOptions
from geodetect.io.user_cache import FOLDER_VARIABLE
from tests.conftest import METRES, Save

OPENING = "geodetect.io.raster.open_raster"  # the module
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(1, 255, (3, 40, 50)).astype(np.uint8)


def write_palette(save: Save) -> Path:
    path = save(PIXELS[:1] % 4, "palette.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {n: (60 * n, 10, 20, 255 * (n > 0)) for n in range(4)})
        dataset.colorinterp = [ColorInterp.palette]
    return path


def write_curved(save: Save) -> Path:
    points = [(0, 0, 0), (0, 50, 9), (40, 0, 5), (40, 50, 60), (20, 25, -8)]
    gcps = [
        GroundControlPoint(row, col, 500_000 + 0.3 * col + 0.05 * bend, 5_200_000 - 0.3 * row)
        for row, col, bend in points
    ]
    path = save(PIXELS, "curved.tif", transform=None, crs=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = gcps, rasterio.CRS.from_epsg(32632)
    return path


def write_vrt(save: Save) -> Path:
    path = save(PIXELS, "source.tif").with_name("mosaic.vrt")
    copy(path.with_name("source.tif"), path, driver="VRT")
    return path


KINDS: dict[str, Any] = {
    "bytes": lambda save: save(PIXELS, "bytes.tif"),
    "sixteen bits": lambda save: save(PIXELS.astype(np.uint16) * 100, "sixteen.tif", nodata=0),
    "numbers": lambda save: save(PIXELS.astype(np.float32), "numbers.tif", nodata=np.nan),
    "mask": lambda save: save(PIXELS, "mask.tif", mask=PIXELS[0] > 90),
    "rotated": lambda save: save(PIXELS, "rotated.tif", transform=METRES @ Affine.rotation(20)),
    "palette": write_palette,
    "curved": write_curved,
    "mosaic": write_vrt,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_raster_made_of_its_header_reads_as_one_that_was_opened(kind: str, save: Save) -> None:
    opened = open_raster(KINDS[kind](save))
    (decoded,) = decode_headers(encode_headers([opened]))
    assert decoded._open is None
    assert decoded.grid == opened.grid
    assert decoded.grid.crs == opened.grid.crs
    assert decoded.state == opened.state
    assert repr(opened) == repr(decoded)
    with opened, decoded:
        expected, pixels = opened.read(), decoded.read()
    np.testing.assert_array_equal(pixels.values, expected.values)
    np.testing.assert_array_equal(pixels.valid, expected.valid)


def test_bands_values_and_warnings_are_kept(save: Save) -> None:
    options = RasterOptions(bands=(3, 1), value_range=(0.1, 1000.7))
    opened = open_raster(save(PIXELS.astype(np.uint16)), options)
    opened.doubts = ("first", "second")
    (decoded,) = decode_headers(encode_headers([opened]))
    assert (decoded.bands, decoded.value_range) == ((3, 1), (0.1, 1000.7))
    assert decoded.doubts == ("first", "second")


def test_changed_and_missing_rasters_are_named(save: Save) -> None:
    paths = [save(PIXELS, f"{n}.tif") for n in range(3)]
    rasters = decode_headers(encode_headers(map(open_raster, paths)))
    assert changed_rasters(rasters) == {}
    os.utime(paths[0], (1, 1))
    paths[1].unlink()
    assert changed_rasters(rasters) == {
        str(paths[0]): "has changed since its header was read",
        str(paths[1]): "is missing",
    }


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_a_damaged_file_of_headers_is_one_line(damage: str, save: Save) -> None:
    data = encode_headers([open_raster(save(PIXELS))])
    with pytest.raises(InputError, match="no headers of rasters"):
        decode_headers(data[:-9] if damage == "cut" else b"no Parquet")


# The index


@pytest.fixture
def index_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(header_index, "MIN_RASTERS", 2)
    return tmp_path / "cache"


@pytest.fixture
def sheets(save: Save) -> list[str]:
    return [str(save(PIXELS, f"{n}.tif")) for n in range(4)]


class Opened:
    """Paths of the rasters that were opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = list[str]()

        def counted(path: str, *arguments: Any, **options: Any) -> Any:
            self.paths.append(Path(path).name)
            return read_dataset(path, *arguments, **options)

        monkeypatch.setattr(f"{OPENING}.read_dataset", counted)

    def take(self) -> list[str]:
        paths, self.paths = self.paths, []
        return paths


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    return Opened(monkeypatch)


def open_all(paths: list[str], **options: Any) -> list[Raster]:
    return open_rasters(paths, RasterOptions(**options), needed_bands=None)


def test_a_second_time_only_changed_and_new_rasters_are_opened(
    index_folder: Path, sheets: list[str], save: Save, opened: Opened
) -> None:
    first = open_all(sheets)
    assert opened.take() == ["0.tif", "1.tif", "2.tif", "3.tif"]
    again = open_all(sheets)
    assert opened.take() == []
    assert list(map(repr, again)) == list(map(repr, first))
    os.utime(sheets[1], (1, 1))
    sheets.append(str(save(PIXELS, "4.tif")))
    open_all(sheets)
    assert opened.take() == ["1.tif", "4.tif"]
    open_all(sheets[::-1])
    assert opened.take() == []
    assert [path.name for path in index_folder.rglob("*.*")] == ["headers.parquet"]


def test_a_world_file_that_is_added_has_the_header_read_again(
    index_folder: Path, sheets: list[str], opened: Opened
) -> None:
    open_all(sheets)
    Path(sheets[2]).with_suffix(".tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    opened.take()
    open_all(sheets)
    assert opened.take() == ["2.tif"]


def test_other_bands_have_rows_of_their_own(
    index_folder: Path, sheets: list[str], opened: Opened
) -> None:
    open_all(sheets)
    opened.take()
    assert {raster.bands for raster in open_all(sheets, bands=(2,))} == {(2,)}
    assert len(opened.take()) == 4
    assert {raster.bands for raster in open_all(sheets)} == {(1, 2, 3)}
    assert {raster.bands for raster in open_all(sheets, bands=(2,))} == {(2,)}
    assert opened.take() == []


def test_a_stated_range_of_values_needs_no_other_rows(
    index_folder: Path, sheets: list[str], opened: Opened
) -> None:
    open_all(sheets, value_range=(3.0, 9.0))
    opened.take()
    assert {raster.value_range for raster in open_all(sheets, value_range=(0.0, 1.0))} == {
        (0.0, 1.0)
    }
    assert {raster.value_range for raster in open_all(sheets)} == {None}
    assert opened.take() == []


def test_names_relative_to_another_folder_are_the_same_rasters(
    index_folder: Path, sheets: list[str], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_all(sheets)
    opened.take()
    monkeypatch.chdir(Path(sheets[0]).parent)
    rasters = open_all([Path(sheet).name for sheet in sheets])
    assert opened.take() == []
    assert [raster.path for raster in rasters] == [Path(sheet).name for sheet in sheets]


@pytest.mark.parametrize("damage", [b"", b"no Parquet", None])
def test_a_damaged_index_is_written_anew(
    damage: bytes | None, index_folder: Path, sheets: list[str], opened: Opened
) -> None:
    open_all(sheets)
    file = index_folder / "headers" / "headers.parquet"
    file.write_bytes(file.read_bytes()[:-30] if damage is None else damage)
    opened.take()
    open_all(sheets)
    assert len(opened.take()) == 4
    open_all(sheets)
    assert opened.take() == []


def test_warnings_about_a_raster_come_again(
    index_folder: Path, sheets: list[str], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{OPENING}.has_damaged_directories", lambda path: path.name == "2.tif")
    for _ in range(2):
        with pytest.warns(GeodetectWarning, match=r"2\.tif: the list of its masks"):
            open_all(sheets)
    assert len(opened.take()) == 4


def test_few_rasters_are_opened_without_an_index(tmp_path: Path, sheets: list[str]) -> None:
    cache = tmp_path / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(cache))
        open_all(sheets)
    assert not cache.exists()


def test_a_raster_made_of_its_header_takes_two_kilobytes(save: Save) -> None:
    count, raster = 2000, open_raster(save(PIXELS))
    data = encode_headers([raster] * count)
    tracemalloc.start()
    try:
        rasters = decode_headers(data)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rasters) == count
    assert size / count < 2200


@pytest.mark.parametrize("count", [2, 40], ids=["without an index", "with one"])
def test_rasters_that_cannot_be_opened_are_left_out_where_they_may(count: int, save: Save) -> None:
    paths = [str(save(PIXELS, f"{number}.tif")) for number in range(count)]
    Path(paths[1]).write_bytes(b"no raster at all")
    left_out: dict[str, str] = {}
    for _ in range(2):
        opened = open_rasters(paths, RasterOptions(), needed_bands=3, left_out=left_out)
        assert [raster.path for raster in opened] == [paths[0], *paths[2:]]
        assert list(left_out) == [paths[1]]
        assert "not a raster that GDAL can open" in left_out[paths[1]]
    with pytest.raises(RasterError, match=r"1\.tif: not a raster"):
        open_rasters(paths, RasterOptions(), needed_bands=3)
    with pytest.raises(RasterError, match=r"1\.tif: not a raster"):
        open_rasters(paths[1:2], RasterOptions(), needed_bands=3, left_out=left_out)
    with pytest.raises(RasterError, match="no such file"):
        open_rasters([*paths, f"{paths[0]}f"], RasterOptions(), needed_bands=3, left_out=left_out)
