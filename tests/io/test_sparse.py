from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from geodetect.geo.tiles import Tile
from geodetect.io.raster import open_raster
from geodetect.io.sparse import MOST_LOOKED_AT, EmptyBlocks
from tests.conftest import METRES

SIDE, BLOCK = 300, 64
WRITTEN = Window(130, 70, 40, 30)
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


def blocks_of(dataset: Any, bands: Sequence[int] = BANDS, **options: Any) -> EmptyBlocks:
    return EmptyBlocks(dataset.name, bands, **options)


def learn(blocks: EmptyBlocks, dataset: Any, *window: int) -> None:
    blocks.learn(dataset, Window(*window), lambda frame: not dataset.read(window=frame).any())


@pytest.fixture(scope="module", params=["pixel", "band"])
def sparse(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("sparse") / "sparse.tif"
    with rasterio.open(save_sparse(path, interleave=request.param)) as dataset:
        yield dataset


@pytest.fixture(scope="module", params=["pixel", "band"])
def written(
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
    """Whether a window touches the blocks that WRITTEN lies on."""
    x, y = window.col_off, window.row_off
    return x < 192 and x + window.width > 128 and y < 128 and y + window.height > 64


@given(x=edges, y=edges, width=sides, height=sides)
def test_what_was_never_written_is_nodata_and_the_rest_is_looked_at(
    sparse: Any, x: float, y: float, width: float, height: float
) -> None:
    window = Window(x, y, min(width, SIDE - x), min(height, SIDE - y))
    assert blocks_of(sparse).cover(sparse, window) == (not on_blocks(window))
    if not on_blocks(window):
        assert not sparse.read(window=window).any()


@given(x=edges, y=edges, width=sides, height=sides)
def test_blocks_that_are_stored_as_an_empty_one_are_empty(
    written: Any, x: float, y: float, width: float, height: float
) -> None:
    blocks = blocks_of(written)
    window = Window(x, y, min(width, SIDE - x), min(height, SIDE - y))
    assert not blocks.cover(written, window)  # nothing is known yet
    learn(blocks, written, 0, 0, 70, 50)
    assert blocks.cover(written, window) == (not on_blocks(window))
    learn(blocks, written, 0, 0, SIDE, SIDE)  # that of WRITTEN turns out not to be empty
    assert blocks.cover(written, window) == (not on_blocks(window))


def test_nothing_is_learned_of_blocks_that_stick_out(written: Any) -> None:
    """What lies beyond the edge of the raster is unknown, and may be imagery elsewhere."""
    blocks, corner = blocks_of(written), (260, 260, 40, 40)
    learn(blocks, written, *corner)
    assert not blocks.cover(written, Window(*corner))


def test_large_blocks_are_not_compared(tmp_path: Path) -> None:
    path = save_sparse(tmp_path / "plain.tif", SPARSE_OK=False, blockxsize=128, blockysize=128)
    with rasterio.open(path) as dataset:
        blocks = blocks_of(dataset)
        learn(blocks, dataset, 0, 0, 128, 64)
        assert not blocks.cover(dataset, Window(0, 0, 128, 64))


def test_few_blocks_are_looked_at_where_none_are_alike(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(1, 255, (3, SIDE, SIDE)).astype(np.uint8)
    options = {"blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    with rasterio.open(save_sparse(tmp_path / "noise.tif", **options), "r+") as dataset:
        dataset.write(noise)
    looked_at: list[Window] = []
    with rasterio.open(tmp_path / "noise.tif") as dataset:
        for _ in range(2):
            blocks_of(dataset).learn(
                dataset, Window(0, 0, SIDE, SIDE), lambda frame: bool(looked_at.append(frame))
            )
    assert len(looked_at) == 2 * MOST_LOOKED_AT


@pytest.mark.parametrize("sparse_ok", [True, False])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_blocks_that_are_transparent_are_empty(
    tmp_path: Path, sparse_ok: bool, interleave: str
) -> None:
    options = {"interleave": interleave, "nodata": None, "compress": "lzw", "ALPHA": "YES"}
    path = save_sparse(tmp_path / "a.tif", count=4, SPARSE_OK=sparse_ok, **options)
    empty, full = Tile(0, 0, 0, 0, 0, 64, 64), Tile(0, 0, 0, 120, 60, 64, 50)
    with open_raster(path) as raster:
        for _ in range(2):
            assert not raster.read(empty).valid.any()
            assert raster.read(full).valid.sum() == 40 * 30
    with rasterio.open(path) as dataset:
        blocks = blocks_of(dataset, alpha=4)
        learn(blocks, dataset, 0, 0, 64, 64)
        assert blocks.cover(dataset, Window(200, 200, 50, 50))
        assert not blocks.cover(dataset, WRITTEN)


def test_one_band_that_was_written_is_enough(tmp_path: Path) -> None:
    path = save_sparse(tmp_path / "one.tif", interleave="band")
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.full((5, 5), 9, np.uint8), 3, window=Window(0, 0, 5, 5))
    with rasterio.open(path) as dataset:
        assert not blocks_of(dataset).cover(dataset, Window(0, 0, 10, 10))
        assert blocks_of(dataset, (1, 2)).cover(dataset, Window(0, 0, 10, 10))


def test_without_a_nodata_value_zeros_are_imagery(tmp_path: Path) -> None:
    with rasterio.open(save_sparse(tmp_path / "plain.tif", nodata=None)) as dataset:
        blocks = blocks_of(dataset)
        learn(blocks, dataset, 0, 0, SIDE, SIDE)
        assert not blocks.cover(dataset, Window(0, 0, 10, 10))


@pytest.mark.parametrize("sparse_ok", [True, False])
def test_a_tile_on_them_holds_no_imagery(tmp_path: Path, sparse_ok: bool) -> None:
    path = save_sparse(tmp_path / "sparse.tif", compress="deflate", SPARSE_OK=sparse_ok)
    with open_raster(path) as raster:
        for _ in range(2):
            empty = raster.read(Tile(0, 0, 0, 0, 0, 64, 50))
            full = raster.read(Tile(0, 0, 0, 120, 60, 64, 50))
            assert empty.values.shape == (3, 50, 64)
            assert not empty.valid.any()
            assert full.valid.sum() == 40 * 30
