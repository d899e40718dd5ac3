"""Hard negatives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodetect.io.raster.open_raster import open_raster
from geodetect.settings import TrainSettings
from geodetect.training.data import hard_negatives
from geodetect.training.data.chip_sampler import HardNegative
from geodetect.training.data.hard_negatives import HardNegativeMiner
from geodetect.training.data.training_raster import TrainingRaster
from tests.helpers.square_scenes import (
    SQUARE_PX,
    grid_corners,
    square_boxes,
    squares_image,
    write_raster,
)
from tests.helpers.tiny_model import tiny_card, tiny_network, weights_of
from tests.helpers.training_rasters import training_raster

SIDE = 256
CORNERS = grid_corners(SIDE)
CENTRES = {(x + SQUARE_PX / 2, y + SQUARE_PX / 2) for x, y in CORNERS}
CARD = tiny_card()
WEIGHTS = weights_of(tiny_network(CARD))
HELD = [128.0, 0.0, SIDE, SIDE]


def partly_labelled(
    path: Path, labelled: list[tuple[int, int]], holdout: list[list[float]]
) -> TrainingRaster:
    raster = open_raster(write_raster(path, squares_image(SIDE, CORNERS)))
    return training_raster(raster, square_boxes(labelled), holdout=holdout)


def miner(*grounds: TrainingRaster, count: int = 100) -> HardNegativeMiner:
    settings = TrainSettings(mine_negatives=count, seed=3)
    return HardNegativeMiner(grounds, CARD, settings, device="cpu")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard_negatives, "WINDOW_PX", 96)
    monkeypatch.setattr(hard_negatives, "WINDOWS", 12)


def test_what_is_seen_and_touches_no_label_is_a_negative(tmp_path: Path) -> None:
    labelled = CORNERS[::2]
    places = miner(partly_labelled(tmp_path / "a.tif", labelled, [])).mine(WEIGHTS, (), call=0)
    unlabelled = CENTRES - {(x + SQUARE_PX / 2, y + SQUARE_PX / 2) for x, y in labelled}
    assert len(places) >= 5
    for place in places:
        assert min(np.hypot(place.x - x, place.y - y) for x, y in unlabelled) < SQUARE_PX
    assert [p.score for p in places] == sorted((p.score for p in places), reverse=True)


def test_where_all_is_labelled_there_are_none(tmp_path: Path) -> None:
    assert miner(partly_labelled(tmp_path / "a.tif", CORNERS, [])).mine(WEIGHTS, (), call=0) == ()


def test_ground_that_is_held_out_is_not_looked_at(tmp_path: Path) -> None:
    mining = miner(partly_labelled(tmp_path / "a.tif", [], [HELD]))
    places = [place for call in range(3) for place in mining.mine(WEIGHTS, (), call=call)]
    assert places
    assert all(place.x < HELD[0] for place in places)


def test_the_same_turn_finds_the_same_and_another_looks_elsewhere(tmp_path: Path) -> None:
    mining = miner(partly_labelled(tmp_path / "a.tif", [], []))
    first = mining.mine(WEIGHTS, (), call=0)
    assert mining.mine(WEIGHTS, (), call=0) == first
    assert mining.mine(WEIGHTS, (), call=1) != first


def test_only_so_many_are_kept_and_known_ones_fill_up(tmp_path: Path) -> None:
    some = miner(partly_labelled(tmp_path / "a.tif", [], []), count=3).mine(WEIGHTS, (), call=0)
    assert len(some) == 3
    earlier = tuple(HardNegative(0, float(n), 0.0, 0.9 - n / 10) for n in range(5))
    nothing_new = miner(partly_labelled(tmp_path / "b.tif", CORNERS, []), count=3)
    assert nothing_new.mine(WEIGHTS, earlier, call=0) == earlier[:3]


def test_places_are_in_the_pixels_of_their_raster(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "fine.tif", squares_image(SIDE, CORNERS).repeat(2, 1).repeat(2, 2)
    )
    half = training_raster(open_raster(path), [])
    places = miner(half).mine(WEIGHTS, (), call=0)
    assert places
    for place in places:
        distance = min(np.hypot(place.x - 2 * x, place.y - 2 * y) for x, y in CENTRES)
        assert distance < 2 * SQUARE_PX


def test_a_raster_that_cannot_be_read_brings_none(tmp_path: Path) -> None:
    raster = partly_labelled(tmp_path / "a.tif", [], [])
    path = tmp_path / "a.tif"
    path.write_bytes(path.read_bytes()[:2000])
    assert miner(raster).mine(WEIGHTS, (), call=0) == ()
