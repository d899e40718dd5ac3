"""From logits to calibrated scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from geodetect.model.calibration import (
    calibrated_score,
    calibrated_scores,
    find_threshold_doubt,
    logit_thresholds,
)
from geodetect.model.card import Calibration, ModelCard

LINE = st.tuples(st.floats(0.05, 10), st.floats(-8, 8))


def calibration(*lines: tuple[float, float]) -> Calibration:
    return Calibration(slope=tuple(a for a, _ in lines), intercept=tuple(b for _, b in lines))


def test_each_detection_is_calibrated_by_its_class() -> None:
    two = calibration((1.0, 0.0), (2.0, -1.0))
    scores = calibrated_scores(np.array([0.0, 0.0, 0.5]), np.array([0, 1, 1]), two)
    assert scores == pytest.approx([0.5, 1 / (1 + np.e), 0.5])


def test_without_a_calibration_scores_are_the_sigmoid_of_logits() -> None:
    scores = calibrated_scores(np.array([-2000.0, -1, 0, 1, 2000]), np.zeros(5, int), None)
    assert scores == pytest.approx([0, 0.268941, 0.5, 0.731059, 1], abs=1e-6)


@given(LINE, st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=20))
def test_the_order_of_scores_stays(line: tuple[float, float], logits: list[float]) -> None:
    values = np.sort(np.array(logits, np.float32))
    scores = calibrated_scores(values, np.zeros(len(values), int), calibration(line))
    assert (np.diff(scores) >= 0).all()


@given(
    st.none() | LINE,
    st.floats(0, 1),
    st.lists(st.floats(-25, 25, width=32), min_size=1, max_size=30),
)
def test_no_score_that_is_high_enough_is_sorted_out(
    line: tuple[float, float] | None, conf: float, logits: list[float]
) -> None:
    chosen = None if line is None else calibration(line)
    values = np.array(logits, np.float32)
    scores = calibrated_scores(values, np.zeros(len(values), int), chosen).astype(np.float32)
    assert (values >= logit_thresholds(conf, chosen))[scores >= conf].all()


def test_low_logits_are_sorted_out_by_class() -> None:
    least = logit_thresholds(0.5, calibration((1.0, 0.0), (2.0, -4.0)))
    assert least == pytest.approx([0.0, 2.0], abs=1e-5)
    assert logit_thresholds(0.0, None) == -np.inf


def test_a_score_after_calibration_is_the_least_of_all_classes() -> None:
    two = calibration((1.0, 0.0), (2.0, -1.0))
    assert calibrated_score(0.5, two) == pytest.approx(1 / (1 + np.e))
    assert calibrated_score(0.5, None) == 0.5


CARD = ModelCard(
    name="ponds",
    classes=("pond",),
    conf=0.4,
    calibration=Calibration(slope=(2.0,), intercept=(0.0,), score_range=(0.002, 0.96)),
)


@pytest.mark.parametrize("conf", [0.97, 0.001])
def test_a_threshold_that_the_calibration_has_not_seen_is_named(conf: float) -> None:
    text = find_threshold_doubt(conf, CARD)
    assert text is not None
    assert text.startswith(
        f"`conf` {conf} lies outside the scores of 0.002 to 0.96 that the calibration of model "
        f"ponds was fitted on"
    )
    assert "such as its own 0.4" in text


@pytest.mark.parametrize("conf", [0.002, 0.05, 0.4, 0.9, 0.96])
def test_a_threshold_among_the_scores_of_the_calibration_raises_no_doubt(conf: float) -> None:
    assert find_threshold_doubt(conf, CARD) is None


def test_without_a_calibration_or_its_scores_no_threshold_is_doubted() -> None:
    older = CARD.model_copy(update={"calibration": calibration((2.0, 0.0))})
    for card in (older, CARD.model_copy(update={"calibration": None})):
        assert find_threshold_doubt(0.99, card) is None


def test_a_range_of_scores_ascends() -> None:
    with pytest.raises(ValidationError, match="score_range must be ascending"):
        Calibration(slope=(1.0,), intercept=(0.0,), score_range=(0.9, 0.1))
