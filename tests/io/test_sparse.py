from __future__ import annotations

from collections.abc import Iterator
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
from geodetect.io.sparse import never_written
from tests.conftest import METRES

SIDE, BLOCK = 300, 64
WRITTEN = Window(130, 70, 40, 30)
BANDS = (1, 2, 3)


def save_sparse(path: Path, **options: Any) -> Path:
    options = {"nodata": 0, "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK} | options
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=SIDE,
        height=SIDE,
        count=3,
        dtype="uint8",
        crs="EPSG:2154",
        transform=METRES,
        SPARSE_OK=True,
        **options,
    ) as dataset:
        dataset.write(np.full((3, 30, 40), 7, np.uint8), window=WRITTEN)
    return path


@pytest.fixture(scope="module", params=["pixel", "band"])
def sparse(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("sparse") / "sparse.tif"
    with rasterio.open(save_sparse(path, interleave=request.param)) as dataset:
        yield dataset


edges = st.floats(0, SIDE - 1)
sides = st.floats(0.5, SIDE)


@given(x=edges, y=edges, width=sides, height=sides)
def test_what_was_never_written_is_nodata_and_the_rest_is_looked_at(
    sparse: Any, x: float, y: float, width: float, height: float
) -> None:
    window = Window(x, y, min(width, SIDE - x), min(height, SIDE - y))
    on_blocks = (
        x < 192 and x + window.width > 128 and y < 128 and y + window.height > 64
    )  # those that WRITTEN lies on
    assert never_written(sparse, BANDS, window) == (not on_blocks)
    if not on_blocks:
        assert not sparse.read(window=window).any()


def test_one_band_that_was_written_is_enough(tmp_path: Path) -> None:
    path = save_sparse(tmp_path / "one.tif", interleave="band")
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.full((5, 5), 9, np.uint8), 3, window=Window(0, 0, 5, 5))
    with rasterio.open(path) as dataset:
        assert not never_written(dataset, BANDS, Window(0, 0, 10, 10))
        assert never_written(dataset, (1, 2), Window(0, 0, 10, 10))


def test_without_a_nodata_value_zeros_are_imagery(tmp_path: Path) -> None:
    with rasterio.open(save_sparse(tmp_path / "plain.tif", nodata=None)) as dataset:
        assert not never_written(dataset, BANDS, Window(0, 0, 10, 10))


def test_a_tile_on_them_holds_no_imagery(tmp_path: Path) -> None:
    with open_raster(save_sparse(tmp_path / "sparse.tif")) as raster:
        empty = raster.read(Tile(0, 0, 0, 0, 0, 64, 50))
        full = raster.read(Tile(0, 0, 0, 120, 60, 64, 50))
    assert empty.values.shape == (3, 50, 64)
    assert not empty.valid.any()
    assert full.valid.sum() == 40 * 30
