"""The ground that is held out, measured again and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodetect.errors import GeodetectWarning
from geodetect.io.raster.reader import open_raster
from geodetect.training.data.chip_sampler import Ground
from geodetect.training.validation.validator import HeldOut
from tests.helpers.tiny import (
    GSD_M,
    grid_corners,
    square_boxes,
    squares_image,
    tiny_card,
    tiny_network,
    weights_of,
    write_raster,
)

SIDE = 256
CORNERS = grid_corners(SIDE)
BOXES = square_boxes(CORNERS)
CARD = tiny_card()
WEIGHTS = weights_of(tiny_network(CARD))


def ground(path: Path, held_out: list[list[float]]) -> Ground:
    raster = open_raster(write_raster(path, squares_image(SIDE, CORNERS)))
    held = np.array(held_out, np.float64).reshape(-1, 4)
    return Ground(raster, BOXES, np.zeros(len(BOXES), np.int64), held, GSD_M)


def test_weights_are_measured_on_what_is_held_out(tmp_path: Path) -> None:
    one = ground(tmp_path / "a.tif", [[0, 0, 128, SIDE]])
    free = ground(tmp_path / "b.tif", [])
    held_out = HeldOut([one, free], CARD, device="cpu")
    assert held_out.objects == (~one.trainable).sum() > 0
    assert held_out.pixels == pytest.approx(128 * SIDE, rel=0.02)
    measured = held_out.measure(WEIGHTS)
    assert measured is not None
    assert measured.metrics["ap50"] == 1


def test_pixels_are_those_of_the_network(tmp_path: Path) -> None:
    one = ground(tmp_path / "a.tif", [[0, 0, 100, 100]])
    coarse = HeldOut([one], tiny_card(gsd_m=2 * GSD_M), device="cpu")
    assert coarse.pixels == pytest.approx(50 * 50)


def test_ground_that_cannot_be_read_is_left_out_with_a_warning(tmp_path: Path) -> None:
    whole, broken = (
        ground(tmp_path / name, [[0, 0, 128, SIDE]]) for name in ("whole.tif", "broken.tif")
    )
    path = tmp_path / "broken.tif"
    path.write_bytes(path.read_bytes()[:2000])
    held_out = HeldOut([whole, broken], CARD, device="cpu")
    with pytest.warns(GeodetectWarning, match=r"left out of the validation: .*broken\.tif"):
        measured = held_out.measure(WEIGHTS)
    assert measured is not None
    assert measured.metrics["objects"] == (~whole.trainable).sum()
    assert list(held_out.damaged) == [str(path)]
    again = held_out.measure(WEIGHTS)
    assert again is not None
    assert again.metrics == measured.metrics


def test_nothing_is_measured_where_nothing_is_held_out(tmp_path: Path) -> None:
    held_out = HeldOut([ground(tmp_path / "a.tif", [])], CARD, device="cpu")
    assert (held_out.objects, held_out.pixels) == (0, 0)
    assert held_out.measure(WEIGHTS) is None
