"""Images without georeference that show the same ground are named."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import RasterOptions
from geodetect.settings import TrainSettings
from geodetect.training.data.holdout_doubts import list_holdout_doubts
from geodetect.training.data.holdout_split import split_table
from geodetect.training.data.training_raster import TrainingRaster
from tests.helpers.training_rasters import training_raster

SIDE, TILE_PX = 900, 200
CHOSEN = TrainSettings(val_rasters=("val",))


def tile_doubts(folder: Path, *, step: int, suffix: str = "png") -> list[str]:
    """Doubts about tiles of a scene, every third of which is held out."""
    rng = np.random.default_rng(1)
    scene = Image.fromarray(rng.integers(0, 255, (SIDE // 4, SIDE // 4, 3), np.uint8))
    pixels = np.asarray(scene.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    low = rng.integers(0, SIDE - 30, (250, 2))
    boxes = np.concatenate([low, low + rng.integers(8, 30, (250, 2))], axis=1)
    rasters: list[TrainingRaster] = []
    corners = [(x, y) for y in range(0, SIDE - TILE_PX + 1, step)
               for x in range(0, SIDE - TILE_PX + 1, step)]  # fmt: skip
    with ExitStack() as stack:
        for number, (x, y) in enumerate(corners):
            path = folder / f"{number}.{suffix}"
            tile = Image.fromarray(pixels[y : y + TILE_PX, x : x + TILE_PX])
            tile.save(path, **({"quality": 85} if suffix == "jpg" else {}))
            options = RasterOptions(pixels_allowed=True, pixel_size_m=0.2)
            raster = stack.enter_context(open_raster(path, options))
            moved = boxes - [x, y, x, y]
            is_here = ((moved[:, :2] > 0) & (moved[:, 2:] < TILE_PX)).all(axis=1)
            holdout = [] if number % 3 else [(0, 0, TILE_PX, TILE_PX)]
            rasters.append(training_raster(raster, moved[is_here], holdout=holdout))
        table = split_table(rasters)
        return list(list_holdout_doubts(rasters, table, CHOSEN, start=None))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_tiles_that_overlap_and_are_split_at_random_are_named(tmp_path: Path, suffix: str) -> None:
    (text,) = tile_doubts(tmp_path, step=100, suffix=suffix)
    assert "held-out objects are shown by training images, too" in text
    assert "`val_rasters`" in text


def test_tiles_side_by_side_raise_no_doubt(tmp_path: Path) -> None:
    assert tile_doubts(tmp_path, step=TILE_PX) == []
