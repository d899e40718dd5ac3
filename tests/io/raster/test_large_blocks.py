"""Rasters that are stored as few large blocks, each of which is decoded as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodetect import CallableDetector, PredictSettings
from geodetect.detection.plan import plan_ground
from geodetect.detection.run.concurrency import Concurrency
from geodetect.detection.run.tile_pipeline import TileReader
from geodetect.errors import OutOfMemoryError
from geodetect.geo.tiles import Window
from geodetect.io.ground.ground import Ground
from geodetect.io.raster import reader
from geodetect.io.raster.dataset import BLOCK_CACHE_BYTES
from geodetect.io.raster.open_raster import open_raster
from tests.conftest import Save

SIDE = 1024
BLOCK_BYTES = 3 * SIDE**2


@pytest.fixture(params=["pixel", "band"])
def large_block(save: Save, request: pytest.FixtureRequest) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (3, SIDE, 2 * SIDE)).astype(np.uint8)
    options = {"tiled": True, "blockxsize": SIDE, "blockysize": SIDE, "compress": "deflate"}
    return save(pixels, "scene.tif", interleave=request.param, **options)


def test_the_cache_holds_a_row_of_large_blocks(
    large_block: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_raster(large_block).cache_bytes == BLOCK_CACHE_BYTES
    monkeypatch.setattr(reader, "LARGE_BLOCK_BYTES", BLOCK_BYTES - 1)
    raster = open_raster(large_block)
    assert raster.block_bytes == BLOCK_BYTES
    assert raster.cache_bytes == BLOCK_CACHE_BYTES + 2 * BLOCK_BYTES


def test_one_thread_reads_large_blocks(large_block: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    for largest in (BLOCK_BYTES, BLOCK_BYTES - 1):
        monkeypatch.setattr(reader, "LARGE_BLOCK_BYTES", largest)
        card = CallableDetector(lambda image: ([], [], [])).card
        with open_raster(large_block) as raster:
            settings = PredictSettings(tile_size=128, overlap=0)
            plan = plan_ground(Ground.from_rasters([raster]), card, settings, area=None)
            tiles = TileReader(plan, Concurrency(batch_size=1, streams=1, workers=4))
            tiles.start()
            threads.append(len(tiles._threads))
            tiles.close()
    assert threads == [4, 1]


def test_a_block_that_does_not_fit_into_memory_is_refused_with_the_remedy(
    large_block: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LARGE_BLOCK_BYTES", BLOCK_BYTES - 1)
    monkeypatch.setattr(reader, "available_bytes", lambda: 2 * BLOCK_BYTES - 1)
    with pytest.raises(OutOfMemoryError, match=r"1,024 x 1,024 px.*gdal_translate -co TILED=YES"):
        open_raster(large_block)


def test_the_blocks_of_the_sources_of_a_vrt_count(
    large_block: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = (
        f"<SimpleSource><SourceFilename relativeToVRT='1'>scene.tif</SourceFilename>"
        f'<SourceProperties RasterXSize="{SIDE}" RasterYSize="{SIDE}" DataType="Byte" '
        f'BlockXSize="{SIDE}" BlockYSize="{SIDE}"/></SimpleSource>'
    )
    bands = "".join(
        f"<VRTRasterBand dataType='Byte' band='{band}'>{source}</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path = tmp_path / "scene.vrt"
    path.write_text(
        f"<VRTDataset rasterXSize='{SIDE}' rasterYSize='{SIDE}'><SRS>EPSG:2154</SRS>"
        f"<GeoTransform>600000, 0.2, 0, 6600000, 0, -0.2</GeoTransform>{bands}</VRTDataset>"
    )
    monkeypatch.setattr(reader, "LARGE_BLOCK_BYTES", BLOCK_BYTES - 1)
    with open_raster(path) as raster:
        assert raster.has_large_blocks
        assert raster.read(Window(0, 0, 9, 9)).valid.all()
