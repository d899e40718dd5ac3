"""A holdout that is no other ground than that of the training is doubted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import shapely
from pyproj import CRS

from geodetect.io.raster.open_raster import open_raster
from geodetect.model.card import ModelCard, TrainingRecord
from geodetect.model.trained_ground import are_on_trained_ground, ground_as_text
from geodetect.settings import TrainSettings
from geodetect.training.data.holdout_doubts import list_holdout_doubts, trained_ground
from geodetect.training.data.holdout_split import split_table
from tests.helpers.square_scenes import ORIGIN_M, square_boxes, squares_image, write_raster
from tests.helpers.training_rasters import training_raster

SIDE, STEP = 800, 40
PLACES = [(x, y) for y in range(8, SIDE, STEP) for x in range(8, SIDE, STEP)]
CHOSEN = TrainSettings(val_aoi="area.gpkg")
HALF = [(0, 0, 400, SIDE)]
TILES = [(x, y, x + 100, y + 100) for y in range(0, SIDE, 200) for x in range(0, SIDE, 200)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ground of 200 m, with an object of 4 m every 10 m."""
    return write_raster(tmp_path_factory.mktemp("x") / "scene.tif", squares_image(SIDE, []))


def doubts(
    scene: Path,
    holdout: Sequence[tuple[int, int, int, int]],
    settings: TrainSettings = CHOSEN,
    start: ModelCard | None = None,
) -> list[str]:
    with ExitStack() as stack:
        raster = stack.enter_context(open_raster(scene))
        rasters = [training_raster(raster, square_boxes(PLACES), holdout=holdout)]
        return list(list_holdout_doubts(rasters, split_table(rasters), settings, start=start))


def card_of(scene: Path, holdout: Sequence[tuple[int, int, int, int]]) -> ModelCard:
    """Card of a model that was trained on the rest of the scene."""
    with open_raster(scene) as raster:
        split = split_table([training_raster(raster, square_boxes(PLACES), holdout=holdout)])
    record = TrainingRecord(ground=trained_ground(split, None))
    return ModelCard(name="ponds", classes=("square",), training=record)


def test_tiles_of_one_scene_that_are_split_at_random_are_named(scene: Path) -> None:
    (text,) = doubts(scene, TILES)
    assert text.startswith("half of 144 held-out objects lie within 1 m of training ground")
    assert "`val_aoi`" in text
    assert "`val_rasters`" in text


@pytest.mark.parametrize("holdout", [HALF, TILES[:4]], ids=["half", "few tiles"])
def test_a_few_areas_raise_no_doubt(
    holdout: Sequence[tuple[int, int, int, int]], scene: Path
) -> None:
    assert doubts(scene, holdout) == []


def test_blocks_that_the_program_draws_raise_no_doubt(scene: Path) -> None:
    assert doubts(scene, TILES, TrainSettings()) == []


def test_a_start_that_was_trained_on_the_holdout_is_named(scene: Path) -> None:
    other_half = card_of(scene, [(400, 0, SIDE, SIDE)])
    (text,) = doubts(scene, HALF, TrainSettings(), other_half)
    assert text.startswith(
        "200 of 200 held-out objects lie on ground that the start ponds was trained on"
    )


def test_a_start_that_does_not_know_the_holdout_raises_no_doubt(scene: Path) -> None:
    for start in (card_of(scene, HALF), ModelCard(name="unknown ground", classes=("a",)), None):
        assert doubts(scene, HALF, TrainSettings(), start) == []


def test_the_ground_of_the_start_is_ground_of_the_model_that_it_became(scene: Path) -> None:
    start = card_of(scene, [(400, 0, SIDE, SIDE)])
    with open_raster(scene) as raster:
        split = split_table([training_raster(raster, square_boxes(PLACES), holdout=HALF)])
    both = TrainingRecord(ground=trained_ground(split, start))
    places = np.add(ORIGIN_M, [[50, -100], [150, -100]])
    card = ModelCard(name="both", classes=("a",), training=both)
    assert are_on_trained_ground(card, places, CRS("EPSG:32632")).all()
    assert are_on_trained_ground(start, places, CRS("EPSG:32632")).tolist() == [
        True, False,
    ]  # fmt: skip


def test_very_many_small_areas_are_joined_or_left_away() -> None:
    places = np.random.default_rng(0).uniform(0, 1, (1300, 2))
    crowded = shapely.box(*(places * 1e-2).T, *(places * 1e-2 + 1e-4).T)
    text = ground_as_text(crowded)
    assert 0 < len(text) < 200_000
    assert shapely.from_wkt(text).buffer(1e-4).covers(shapely.union_all(crowded))
    apart = shapely.box(*(places * 50).T, *(places * 50 + 1e-4).T)
    assert ground_as_text(apart) == ""
    assert ground_as_text(np.empty(0, object)) == ""
