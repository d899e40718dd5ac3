"""Coarsest ground resolution that a model works on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.detection.detections import Detections
from geodetect.io.raster.open_raster import open_raster
from geodetect.model.card import ModelCard
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.validation import validator as validator_module
from geodetect.training.validation.metrics import ValidationResult
from geodetect.training.validation.resolution_range import (
    FACTORS,
    CoarseImageryDetector,
)
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


class RecordingDetector:
    """A detector that keeps what it sees."""

    card = ModelCard(name="onlooker", classes=("thing",))

    def __call__(self, pixels: np.ndarray, valid: np.ndarray) -> list[Detections]:
        self.pixels = pixels
        return [Detections.empty() for _ in pixels]


def validation(detected: int, *, of: int = 100) -> ValidationResult:
    """All that is found is right, with a score of 0.9."""
    matches = Matches(
        np.arange(detected), np.ones(detected), np.full(detected, 0.9, np.float32), of, 0.5
    )
    return ValidationResult(0.5, {}, None, (), (), matches, matches)


def test_what_is_finer_than_the_coarser_pixels_is_gone_and_nodata_stays_black() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2
    image = np.broadcast_to(board * 200, (2, 3, 64, 64)).astype(np.uint8)
    valid = np.ones((2, 64, 64), bool)
    valid[1, :, :20] = False
    detector = RecordingDetector()
    CoarseImageryDetector(detector, 3.0)(image, valid)
    assert detector.pixels.shape == image.shape
    assert detector.pixels.dtype == np.uint8
    assert np.ptp(detector.pixels[0, :, 8:-8, 8:-8].astype(int)) < 30
    assert (detector.pixels[1, :, :, :20] == 0).all()


def labelled_squares(path: Path) -> TrainingRaster:
    corners = grid_corners(SIDE)
    raster = open_raster(write_raster(path, squares_image(SIDE, corners)))
    return training_raster(raster, square_boxes(corners), holdout=[[0, 0, SIDE, SIDE]])


def scripted_range(
    path: Path, monkeypatch: pytest.MonkeyPatch, script: Callable[[int], ValidationResult | None]
) -> tuple[float, list[float]]:
    """The coarsest resolution over that of the raster, and the factors that were validated at."""
    factors: list[float] = []

    def validate(detector: CoarseImageryDetector, _: object) -> ValidationResult | None:
        factors.append(detector.factor)
        return script(len(factors))

    monkeypatch.setattr(validator_module, "validate", validate)
    labelled = labelled_squares(path)
    card = tiny_card(gsd_m=labelled.gsd_m)
    validator = Validator([labelled], card, device="cpu")
    _, coarsest_m = validator.gsd_range_m(weights_of(tiny_network(card)), validation(90))
    return coarsest_m / labelled.gsd_m, factors


@pytest.mark.parametrize(
    ("good", "expected"), [(0, 1.0), (2, FACTORS[1]), (len(FACTORS), FACTORS[-1])]
)
def test_it_ends_where_f1_falls_by_more_than_a_twentieth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int, expected: float
) -> None:
    def script(call: int) -> ValidationResult:
        return validation(86 if call <= good else 70)  # F1 of 90 of 100: 0.947; 86: 0.925

    coarsest, factors = scripted_range(tmp_path / "a.tif", monkeypatch, script)
    assert coarsest == pytest.approx(expected, rel=2e-3)
    assert factors == list(FACTORS[: good + 1])


def test_ground_that_cannot_be_read_any_more_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarsest, factors = scripted_range(tmp_path / "a.tif", monkeypatch, lambda _: None)
    assert coarsest == pytest.approx(1.0, rel=2e-3)
    assert len(factors) == 1


def test_the_range_begins_at_the_finest_pixels_and_ends_where_squares_are_blurred(
    tmp_path: Path,
) -> None:
    card = tiny_card()
    weights = weights_of(tiny_network(card))
    validator = Validator([labelled_squares(tmp_path / "a.tif")], card, device="cpu")
    result = validator.validate(weights)
    assert result is not None
    finest, coarsest = validator.gsd_range_m(weights, result)
    assert finest == GSD_M
    assert GSD_M <= coarsest <= GSD_M * FACTORS[-1]
