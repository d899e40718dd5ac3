from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodetect.assessment.evaluate.precision_recall import (
    OperatingPoint,
    average_precision,
    precision_recall_curve,
)
from geodetect.assessment.evaluate.thresholds import bagged_f1_threshold
from geodetect.assessment.matching.greedy_matching import Matches


def matches_of(correct: list[bool], scores: list[float], n_truth: int) -> Matches:
    hits = np.array(correct, dtype=bool)
    truth_of = np.where(hits, np.cumsum(hits) - 1, -1).astype(np.int64)
    return Matches(truth_of, hits.astype(float), np.array(scores, float), n_truth, 0.5)


def coco_reference(correct: list[bool], scores: list[float], n_truth: int) -> float:
    """Average precision as ``COCOeval.accumulate`` steps through it, without numpy's helpers.

    Of predictions with equal scores the false positives come first.
    """
    ranked = [c for _, c in sorted(zip(scores, correct, strict=True), key=lambda p: (-p[0], p[1]))]
    recall, precision, right = [], [], 0
    for rank, hit in enumerate(ranked, start=1):
        right += hit
        recall.append(right / n_truth)
        precision.append(right / rank)
    for i in range(len(precision) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
    total = 0.0
    for recall_level in np.linspace(0.0, 1.0, 101):
        reached = [p for r, p in zip(recall, precision, strict=True) if r >= recall_level]
        total += reached[0] if reached else 0.0
    return total / 101


@st.composite
def ranked(draw: st.DrawFn) -> tuple[list[bool], list[float], int]:
    rows = draw(
        st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9])), max_size=40)
    )
    correct = [c for c, _ in rows]
    return correct, [s for _, s in rows], max(1, sum(correct) + draw(st.integers(0, 30)))


@settings(deadline=None)
@given(ranked())
def test_average_precision_is_that_of_coco_with_the_worst_order_of_ties(
    case: tuple[list[bool], list[float], int],
) -> None:
    assert average_precision(matches_of(*case)) == pytest.approx(coco_reference(*case), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_detections_without_scores_have_one_precision_whatever_their_order(seed: int) -> None:
    """32 of 40 are right, of 46 objects: precision 0.8 up to recall 0.69, then nothing."""
    correct = np.random.default_rng(seed).permutation([True] * 32 + [False] * 8).tolist()
    value = average_precision(matches_of(correct, [1.0] * 40, 46))
    assert value == pytest.approx(0.8 * 70 / 101)
    assert round(value, 3) == 0.554


@settings(deadline=None)
@given(ranked(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_curve(
    case: tuple[list[bool], list[float], int], random: Random
) -> None:
    correct, scores, n_truth = case
    rows = list(zip(correct, scores, strict=True))
    random.shuffle(rows)
    shuffled = matches_of([c for c, _ in rows], [s for _, s in rows], n_truth)
    curve, expected = precision_recall_curve(shuffled), precision_recall_curve(matches_of(*case))
    for name in ("scores", "counts", "tp", "f1"):
        np.testing.assert_array_equal(getattr(curve, name), getattr(expected, name))
    assert bagged_f1_threshold(curve, least=0.05) == pytest.approx(
        bagged_f1_threshold(expected, least=0.05), abs=0, nan_ok=True
    )


def test_average_precision_of_a_known_case() -> None:
    """Right, wrong, right of two objects: precision 1 up to recall 0.5, then 2/3."""
    value = average_precision(matches_of([True, False, True], [0.9, 0.8, 0.7], 2))
    assert value == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_perfect_absent_and_undefined_average_precision() -> None:
    assert average_precision(matches_of([True, True], [0.9, 0.8], 2)) == 1
    assert average_precision(matches_of([], [], 2)) == 0
    assert math.isnan(average_precision(matches_of([False], [0.9], 0)))


def test_an_operating_point_counts_scores_at_and_above_the_threshold() -> None:
    curve = precision_recall_curve(matches_of([True, False, True, False], [0.9, 0.8, 0.5, 0.4], 5))
    point = curve.at(0.5)
    assert point == OperatingPoint(0.5, 2, 1, 3)
    assert (point.precision, point.recall) == (2 / 3, 2 / 5)
    assert point.f1 == pytest.approx(2 * (2 / 3) * (2 / 5) / (2 / 3 + 2 / 5))
    assert curve.at(0.95) == OperatingPoint(0.95, 0, 0, 5)
    assert curve.at(0.0) == OperatingPoint(0.0, 2, 2, 3)


def test_rates_without_detections_or_objects_are_not_numbers() -> None:
    nothing = OperatingPoint(0.5, 0, 0, 0)
    assert all(math.isnan(v) for v in (nothing.precision, nothing.recall, nothing.f1))
    assert OperatingPoint(0.5, 0, 0, 3).f1 == 0
    assert math.isnan(OperatingPoint(0.5, 0, 0, 3).precision)


def test_the_curve_runs_from_the_surest_detection_down() -> None:
    curve = precision_recall_curve(matches_of([False, True, True], [0.2, 0.9, 0.5], 4))
    assert curve.scores.tolist() == [0.9, 0.5, 0.2]
    np.testing.assert_allclose(curve.precision, [1, 1, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 4, 2 / 4, 2 / 4])


@settings(deadline=None)
@given(ranked())
def test_no_threshold_has_a_higher_f1_than_the_best(
    case: tuple[list[bool], list[float], int],
) -> None:
    curve = precision_recall_curve(matches_of(*case))
    best = curve.best_f1()
    tried = [curve.at(score) for score in {*curve.scores.tolist(), 1.0}]
    assert best.f1 == pytest.approx(max(point.f1 for point in tried))
    equal = [p.score_threshold for p in tried if p.f1 == pytest.approx(best.f1, abs=1e-12)]
    assert best.score_threshold == pytest.approx(max(equal))
