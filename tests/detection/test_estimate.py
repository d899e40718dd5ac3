from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.detection.estimate import estimate
from tests.conftest import Save
from tests.helpers.mosaics import write_mosaic

SCENE = np.full((3, 200, 300), 99, np.uint8)
TILES = PredictSettings(tile_size=100, overlap=0)
calls: list[int] = []


def count_images(image: Any) -> Any:
    calls.append(1)
    return [], [], []


@pytest.fixture
def mosaic(save: Save, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """With copies that overlap, one of them beyond the edge, and one between four tiles."""
    save(SCENE, "scene.tif")
    places = [(0, 0, 300, 200), (100, 100, 300, 200), (850, 850, 300, 200), (450, 650, 100, 100)]
    return write_mosaic(tmp_path / "mosaic.vrt", 1000, places, nodata=request.param)


@pytest.mark.parametrize("mosaic", ["", "0"], indirect=True, ids=["plain", "nodata"])
def test_tiles_that_no_source_of_a_vrt_covers_are_neither_counted_nor_searched(
    mosaic: Path,
) -> None:
    detector = CallableDetector(count_images)
    expected = estimate(mosaic, detector, settings=TILES)
    assert (expected.tiles, expected.skipped_tiles) == (6 + 6 - 2 + 4 + 4, 100 - 18)
    calls.clear()
    summary = geodetect.predict_layer(mosaic, detector, settings=TILES).summary
    assert (summary.tiles, summary.empty_tiles, len(calls)) == (18, 82, 18)


def test_a_hundred_thousand_empty_tiles_cost_next_to_nothing(save: Save, tmp_path: Path) -> None:
    save(SCENE, "scene.tif")
    path = write_mosaic(tmp_path / "country.vrt", 43_100, [(0, 0, 300, 200)])
    start = time.monotonic()
    expected = estimate(path, CallableDetector(count_images), settings=TILES)
    assert (expected.tiles, expected.skipped_tiles) == (6, 431**2 - 6)
    assert time.monotonic() - start < 5


def test_a_resampled_vrt_is_searched_where_its_sources_lie(save: Save, tmp_path: Path) -> None:
    save(SCENE, "scene.tif")
    path = write_mosaic(tmp_path / "mosaic.vrt", 1000, [(700, 800, 300, 200)], nodata="0")
    settings = TILES.model_copy(update={"gsd": 0.4})
    expected = estimate(path, CallableDetector(count_images), settings=settings)
    assert (expected.tiles, expected.skipped_tiles) == (2, 23)
