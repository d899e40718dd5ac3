"""Repeated validation of a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from geodetect.errors import GeodetectWarning
from geodetect.io.raster.open_raster import open_raster
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.validation.validator import Validator
from tests.helpers.square_scenes import (
    GSD_M,
    grid_corners,
    square_boxes,
    squares_image,
    write_raster,
)
from tests.helpers.tiny_model import tiny_card, tiny_network, weights_of
from tests.helpers.training_rasters import training_raster

SIDE = 256
CORNERS = grid_corners(SIDE)
BOXES = square_boxes(CORNERS)
CARD = tiny_card()
WEIGHTS = weights_of(tiny_network(CARD))


def held_out_squares(path: Path, held_out: list[list[float]]) -> TrainingRaster:
    raster = open_raster(write_raster(path, squares_image(SIDE, CORNERS)))
    return training_raster(raster, BOXES, holdout=held_out)


def test_weights_are_measured_on_what_is_held_out(tmp_path: Path) -> None:
    raster = held_out_squares(tmp_path / "a.tif", [[0, 0, 128, SIDE]])
    free = held_out_squares(tmp_path / "b.tif", [])
    validator = Validator([raster, free], CARD, device="cpu")
    assert validator.objects == (~raster.is_trainable).sum() > 0
    assert validator.pixels == pytest.approx(128 * SIDE, rel=0.02)
    result = validator.validate(WEIGHTS)
    assert result is not None
    assert result.metrics["ap50"] == 1


def test_pixels_are_those_of_the_network(tmp_path: Path) -> None:
    raster = held_out_squares(tmp_path / "a.tif", [[0, 0, 100, 100]])
    coarse = Validator([raster], tiny_card(gsd_m=2 * GSD_M), device="cpu")
    assert coarse.pixels == pytest.approx(50 * 50, rel=1e-3)


def test_ground_that_cannot_be_read_is_left_out_with_a_warning(tmp_path: Path) -> None:
    whole, broken = (
        held_out_squares(tmp_path / name, [[0, 0, 128, SIDE]])
        for name in ("whole.tif", "broken.tif")
    )
    path = tmp_path / "broken.tif"
    path.write_bytes(path.read_bytes()[:2000])
    validator = Validator([whole, broken], CARD, device="cpu")
    with pytest.warns(GeodetectWarning, match=r"left out of the validation: .*broken\.tif"):
        result = validator.validate(WEIGHTS)
    assert result is not None
    assert result.metrics["objects"] == (~whole.is_trainable).sum()
    assert list(validator.unreadable) == [str(path)]
    again = validator.validate(WEIGHTS)
    assert again is not None
    assert again.metrics == result.metrics


def test_nothing_is_measured_where_nothing_is_held_out(tmp_path: Path) -> None:
    validator = Validator([held_out_squares(tmp_path / "a.tif", [])], CARD, device="cpu")
    assert (validator.objects, validator.pixels) == (0, 0)
    assert validator.validate(WEIGHTS) is None
