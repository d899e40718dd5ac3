from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio import windows
from rasterio.enums import ColorInterp

from geodetect.errors import GeodetectError
from geodetect.geo.tiles import Window
from geodetect.io.raster.empty_blocks import MAX_DECODED, EmptyBlocks
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Raster, RasterOptions
from tests.conftest import METRES

SIDE, BLOCK = 300, 64
WRITTEN = windows.Window(130, 70, 40, 30)
BANDS = (1, 2, 3)


def save_sparse(path: Path, *, count: int = 3, **options: Any) -> Path:
    options = {"nodata": 0, "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK} | options
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=SIDE,
        height=SIDE,
        count=count,
        dtype="uint8",
        crs="EPSG:2154",
        transform=METRES,
        **{"SPARSE_OK": True, **options},
    ) as dataset:
        dataset.write(np.full((count, 30, 40), 7, np.uint8), window=WRITTEN)
    return path


class Counted:
    """A dataset that counts what is decoded."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.reads = 0

    def read(self, *args: Any, **options: Any) -> Any:
        self.reads += 1
        return self._dataset.read(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def blocks_of(dataset: Any, bands: Sequence[int] = BANDS, **options: Any) -> EmptyBlocks:
    return EmptyBlocks(dataset.name, bands, **options)


@pytest.fixture(scope="module", params=["pixel", "band"])
def sparse(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("sparse") / "sparse.tif"
    with rasterio.open(save_sparse(path, interleave=request.param)) as dataset:
        yield dataset


@pytest.fixture(scope="module", params=["pixel", "band"])
def dense_raster(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """The same with all blocks in the file."""
    path = tmp_path_factory.mktemp("written") / "written.tif"
    options = {"interleave": request.param, "compress": "deflate", "SPARSE_OK": False}
    with rasterio.open(save_sparse(path, **options)) as dataset:
        yield dataset


edges = st.floats(0, SIDE - 1)
sides = st.floats(0.5, SIDE)


def on_blocks(window: Window) -> bool:
    """Return True if a window touches the blocks that WRITTEN lies on."""
    x, y = window.col_off, window.row_off
    return x < 192 and x + window.width > 128 and y < 128 and y + window.height > 64


@given(x=edges, y=edges, width=sides, height=sides)
def test_what_was_never_written_is_nodata_and_the_rest_is_looked_at(
    sparse: Any, x: float, y: float, width: float, height: float
) -> None:
    window = windows.Window(x, y, min(width, SIDE - x), min(height, SIDE - y))
    assert blocks_of(sparse).covers(sparse, window) == (not on_blocks(window))
    if not on_blocks(window):
        assert not sparse.read(window=window).any()


@given(x=edges, y=edges, width=sides, height=sides)
def test_blocks_that_are_stored_as_an_empty_one_are_empty(
    dense_raster: Any, x: float, y: float, width: float, height: float
) -> None:
    blocks = blocks_of(dense_raster)
    window = windows.Window(x, y, min(width, SIDE - x), min(height, SIDE - y))
    assert not blocks.covers(dense_raster, window)  # nothing is known yet
    blocks.learn(dense_raster, windows.Window(0, 0, 70, 50))
    assert blocks.covers(dense_raster, window) == (not on_blocks(window))
    whole = windows.Window(0, 0, SIDE, SIDE)
    blocks.learn(dense_raster, whole)  # the block of WRITTEN turns out not to be empty
    assert blocks.covers(dense_raster, window) == (not on_blocks(window))


def test_nothing_is_learned_of_blocks_that_stick_out(dense_raster: Any) -> None:
    """Pixels beyond the edge of the raster are unknown, and may be imagery elsewhere."""
    blocks, corner = blocks_of(dense_raster), (260, 260, 40, 40)
    blocks.learn(dense_raster, windows.Window(*corner))
    assert not blocks.covers(dense_raster, windows.Window(*corner))


def test_large_blocks_are_not_compared(tmp_path: Path) -> None:
    path = save_sparse(tmp_path / "plain.tif", SPARSE_OK=False, blockxsize=128, blockysize=128)
    with rasterio.open(path) as dataset:
        blocks = blocks_of(dataset)
        blocks.learn(dataset, windows.Window(0, 0, 128, 64))
        assert not blocks.covers(dataset, windows.Window(0, 0, 128, 64))


def test_few_blocks_are_looked_at_where_none_are_alike(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(1, 255, (3, SIDE, SIDE)).astype(np.uint8)
    options = {"blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    with rasterio.open(save_sparse(tmp_path / "noise.tif", **options), "r+") as dataset:
        dataset.write(noise)
    with rasterio.open(tmp_path / "noise.tif") as dataset:
        blocks, decoded = blocks_of(dataset), Counted(dataset)
        for _ in range(2):
            blocks.learn(decoded, windows.Window(0, 0, SIDE, SIDE))
    assert decoded.reads == MAX_DECODED


@pytest.mark.parametrize("sparse_ok", [True, False])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_blocks_that_are_transparent_are_empty(
    tmp_path: Path, sparse_ok: bool, interleave: str
) -> None:
    options = {"interleave": interleave, "nodata": None, "compress": "lzw", "ALPHA": "YES"}
    path = save_sparse(tmp_path / "a.tif", count=4, SPARSE_OK=sparse_ok, **options)
    with rasterio.open(path) as dataset:
        blocks = blocks_of(dataset, alpha=4)
        blocks.learn(dataset, windows.Window(0, 0, 64, 64))
        assert blocks.covers(dataset, windows.Window(200, 200, 50, 50))
        assert not blocks.covers(dataset, WRITTEN)


RED_GREEN_BLUE = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("nodata", [None, 0, 255])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_whatever_makes_a_block_empty_says_nothing_of_others(
    tmp_path: Path, interleave: str, nodata: int | None, mask: bool, alpha: bool
) -> None:
    """Blocks that are alike in some band, empty for one reason or another: never imagery lost."""
    path, count = tmp_path / "mixed.tif", 3 + alpha
    size = {"width": 5 * BLOCK, "height": 5 * BLOCK, "count": count, "dtype": "uint8"}
    blocks = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate"}
    options = {"interleave": interleave, "nodata": nodata, "transform": METRES, "crs": "EPSG:2154"}
    chance = np.random.default_rng(0)
    values, opaque, shown = (
        np.kron(chance.choice([0, 255], shape), np.ones((BLOCK, BLOCK))).astype(np.uint8)
        for shape in ((3, 5, 5), (1, 5, 5), (5, 5))
    )
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", "GTiff", **size, **blocks, **options) as dataset,
    ):
        dataset.colorinterp = RED_GREEN_BLUE[:count]
        dataset.write(np.concatenate([values, opaque])[:count])
        if mask:
            dataset.write_mask(shown)
    tiles = [Window(n % 5 * BLOCK, n // 5 * BLOCK, BLOCK, BLOCK) for n in range(25)]
    expected = []
    for tile in tiles:
        with open_raster(path) as raster:  # one that knows nothing yet
            expected.append(raster.read(tile).valid)
    with open_raster(path) as raster:
        for _ in range(2):
            for tile, valid in zip(tiles, expected, strict=True):
                np.testing.assert_array_equal(raster.read(tile).valid, valid)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("rows", [1, 7, 2600])
@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_strips_of_any_height_hold_what_they_hold(
    tmp_path: Path, interleave: str, rows: int, compress: str
) -> None:
    """GDAL gives out one large strip as rows, most of which have no place in the file."""
    path = tmp_path / "strips.tif"
    size = {"width": 40, "height": 2600, "count": 3, "dtype": "uint8", "nodata": 0}
    layout = {"blockysize": rows, "interleave": interleave, "compress": compress}
    with rasterio.open(path, "w", "GTiff", **size, **layout, transform=METRES) as dataset:
        dataset.write(np.full((3, 2600, 40), 100, np.uint8))
    with open_raster(path, RasterOptions(src_crs="EPSG:2154")) as raster:
        for y in (0, 1000, 2500):
            assert raster.read(Window(0, y, 40, 60)).valid.all()


def test_an_index_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = save_sparse(tmp_path / "cut.tif", compress="deflate")
    whole = path.read_bytes()
    empty_blocks = 0
    for end in range(len(whole) - 1, 200, -7):
        path.write_bytes(whole[:end])
        try:
            with open_raster(path) as raster:
                tile = raster.read(Window(130, 70, 40, 30))
        except GeodetectError:
            empty_blocks += 1
        else:
            assert tile.valid.all()
    assert empty_blocks > 0


def test_one_band_that_was_written_is_enough(tmp_path: Path) -> None:
    path = save_sparse(tmp_path / "one.tif", interleave="band")
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.full((5, 5), 9, np.uint8), 3, window=windows.Window(0, 0, 5, 5))
    with rasterio.open(path) as dataset:
        assert not blocks_of(dataset).covers(dataset, windows.Window(0, 0, 10, 10))
        assert blocks_of(dataset, (1, 2)).covers(dataset, windows.Window(0, 0, 10, 10))


def test_without_a_nodata_value_zeros_are_imagery(tmp_path: Path) -> None:
    with rasterio.open(save_sparse(tmp_path / "plain.tif", nodata=None)) as dataset:
        blocks = blocks_of(dataset)
        blocks.learn(dataset, windows.Window(0, 0, SIDE, SIDE))
        assert not blocks.covers(dataset, windows.Window(0, 0, 10, 10))


@pytest.mark.parametrize("sparse_ok", [True, False])
def test_a_tile_on_them_holds_no_imagery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sparse_ok: bool
) -> None:
    path = save_sparse(tmp_path / "sparse.tif", compress="deflate", SPARSE_OK=sparse_ok)
    with open_raster(path) as raster:
        for number in range(2):
            if number == 1:  # from now on nothing is looked at twice
                monkeypatch.setattr(Raster, "_read_mask", None)
            empty = raster.read(Window(0, 0, 64, 50))
            assert empty.values.shape == (3, 50, 64)
            assert not empty.valid.any()
        monkeypatch.undo()
        assert raster.read(Window(120, 60, 64, 50)).valid.sum() == 40 * 30
