"""Scores become shares of right detections."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from geodetect.assessment.evaluate.reliability import (
    FEW,
    LEAST_SLOPE,
    apply_calibration,
    fit_calibration,
    reliability,
)
from geodetect.model.card import Calibration
from tests.helpers.program import modules_after

Float = NDArray[np.float64]
ONE_CLASS = 0


def sigmoid(values: Float) -> Float:
    return 1 / (1 + np.exp(-values))


def draw_scores(
    slope: float, intercept: float, *, count: int = 4000, seed: int = 0
) -> tuple[Float, NDArray[np.bool_]]:
    """Scores whose detections are right as often as sigmoid(slope * logit + intercept) says."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, count)
    return sigmoid(logits), rng.random(count) < sigmoid(slope * logits + intercept)


def repeat_label(count: int, label: int = ONE_CLASS) -> NDArray[np.int64]:
    return np.full(count, label)


@pytest.mark.parametrize(("slope", "intercept"), [(2.4, -0.7), (0.5, 0.4), (1.0, 0.0)])
def test_the_law_that_scores_were_drawn_by_is_found(slope: float, intercept: float) -> None:
    scores, correct = draw_scores(slope, intercept)
    calibration = fit_calibration(scores, repeat_label(len(scores)), correct, classes=1)
    assert calibration is not None
    assert calibration.slope[0] == pytest.approx(slope, abs=0.2)
    assert calibration.intercept[0] == pytest.approx(intercept, abs=0.15)


def test_calibrated_scores_say_the_truth_about_detections_not_seen_before() -> None:
    scores, correct = draw_scores(2.4, -0.7)
    calibration = fit_calibration(scores, repeat_label(len(scores)), correct, classes=1)
    new, new_correct = draw_scores(2.4, -0.7, seed=1)
    better = apply_calibration(new, repeat_label(len(new)), calibration)
    assert reliability(new, new_correct).expected_calibration_error > 0.1
    assert reliability(better, new_correct).expected_calibration_error < 0.025


def test_each_class_has_its_own_and_one_with_few_detections_that_of_all() -> None:
    (a, a_right), (b, b_right), (c, c_right) = (
        draw_scores(2.5, -1.0, seed=1),
        draw_scores(0.8, 1.0, seed=2),
        draw_scores(1.0, 0.0, count=30, seed=3),
    )
    label = np.repeat([0, 1, 2], [len(a), len(b), len(c)])
    scores, correct = np.concatenate([a, b, c]), np.concatenate([a_right, b_right, c_right])
    calibration = fit_calibration(scores, label, correct, classes=4)
    together = fit_calibration(scores, repeat_label(len(scores)), correct, classes=1)
    assert calibration is not None
    assert together is not None
    assert calibration.slope[:2] == pytest.approx((2.5, 0.8), abs=0.2)
    assert calibration.slope[2:] == together.slope * 2  # the last one has no detection at all
    assert calibration.intercept[2:] == together.intercept * 2


def test_a_calibration_records_the_scores_that_it_was_fitted_on_but_for_the_few_highest() -> None:
    scores, correct = draw_scores(2.0, -0.5)
    labels = repeat_label(len(scores))
    calibration = fit_calibration(scores, labels, correct, classes=1)
    assert calibration is not None
    calibrated = np.sort(apply_calibration(scores, labels, calibration))
    assert calibration.score_range == pytest.approx((calibrated[0], calibrated[-FEW]), abs=1e-6)


@pytest.mark.parametrize(("right", "wrong"), [(19, 500), (500, 19), (0, 0), (100, 0)])
def test_too_few_of_a_kind_give_no_calibration(right: int, wrong: int) -> None:
    correct = np.repeat([True, False], [right, wrong])
    scores = np.linspace(0.9, 0.1, right + wrong)
    assert fit_calibration(scores, repeat_label(len(scores)), correct, classes=1) is None


def test_scores_that_part_right_from_wrong_completely_give_a_finite_calibration() -> None:
    scores = np.r_[np.linspace(0.6, 1.0, 30), np.linspace(0.0, 0.4, 30)]
    correct = scores > 0.5
    calibration = fit_calibration(scores, repeat_label(60), correct, classes=1)
    assert calibration is not None
    assert np.isfinite([*calibration.slope, *calibration.intercept]).all()
    better = apply_calibration(np.array([0.7, 0.3]), repeat_label(2), calibration)
    assert better[0] > 0.8
    assert better[1] < 0.2


def test_scores_that_are_higher_for_wrong_detections_keep_their_order() -> None:
    scores, correct = draw_scores(-1.0, 0.0)
    calibration = fit_calibration(scores, repeat_label(len(scores)), correct, classes=1)
    assert calibration is not None
    assert calibration.slope == (LEAST_SLOPE,)


def test_reliability_counts_detections_in_bins() -> None:
    scores = np.array([0.05, 0.15, 0.15, 0.95, 1.0, 0.0])
    correct = np.array([False, True, False, True, True, False])
    diagram = reliability(scores, correct)
    assert diagram.counts.tolist() == [2, 2, 0, 0, 0, 0, 0, 0, 0, 2]
    assert diagram.scores[[0, 1, 9]] == pytest.approx([0.025, 0.15, 0.975])
    assert diagram.precision[[0, 1, 9]] == pytest.approx([0, 0.5, 1])
    assert np.isnan(diagram.precision[2])
    assert diagram.expected_calibration_error == pytest.approx(
        (2 * 0.025 + 2 * 0.35 + 2 * 0.025) / 6
    )


def test_detections_below_the_least_score_do_not_count() -> None:
    diagram = reliability(np.array([0.04, 0.05, 0.9]), np.array([True, True, False]), least=0.05)
    assert diagram.counts.sum() == 2
    assert diagram.expected_calibration_error == pytest.approx((0.95 + 0.9) / 2)


def test_without_detections_there_is_no_error() -> None:
    assert np.isnan(reliability(np.empty(0), np.empty(0, bool)).expected_calibration_error)


def test_scores_of_exactly_0_and_1_stay_numbers() -> None:
    line = Calibration(slope=(2.0,), intercept=(0.0,))
    ends = apply_calibration(np.array([0.0, 1.0]), repeat_label(2), line)
    assert ends == pytest.approx([0, 1], abs=1e-6)
    assert apply_calibration(ends, repeat_label(2), None) is ends


def test_calibration_needs_no_torch() -> None:
    assert "torch" not in modules_after("import geodetect.assessment.evaluate.reliability")
