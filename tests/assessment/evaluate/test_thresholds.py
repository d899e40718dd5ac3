from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geodetect.assessment.evaluate.precision_recall import (
    PrecisionRecallCurve,
    precision_recall_curve,
)
from geodetect.assessment.evaluate.thresholds import bagged_f1_threshold, pick_threshold
from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.errors import InputError

SCORES = np.array([0.9, 0.8, 0.7, 0.62, 0.31])


def curve_of(scores: object, correct: object, n_truth: int) -> PrecisionRecallCurve:
    is_tp = np.array(correct, dtype=bool)
    truth_of = np.where(is_tp, np.cumsum(is_tp) - 1, -1)
    scores = np.array(scores, dtype=float)
    return precision_recall_curve(Matches(truth_of, is_tp * 1.0, scores, n_truth, 0.5))


CURVE = curve_of(SCORES, [1, 0, 1, 1, 0], 4)


@pytest.mark.parametrize(
    ("rule", "threshold", "detections"),
    [
        ("f1", 0.6, 4),
        ("count", 0.6, 4),
        ("precision=0.7", 0.6, 4),
        ("precision=1", 0.89, 1),
        ("recall=0.5", 0.6, 4),  # 3 in 4 are right there, 2 in 3 at 0.7
        ("recall=0.25", 0.89, 1),
        ("recall=0.75", 0.6, 4),
    ],
)
def test_each_rule_picks_its_threshold(rule: str, threshold: float, detections: int) -> None:
    point = pick_threshold(CURVE, rule)
    assert point.score_threshold == threshold
    assert point.tp + point.fp == detections
    assert point == CURVE.at(threshold)


def test_a_rule_that_cannot_be_kept_names_what_can() -> None:
    with pytest.raises(InputError, match=r"recall of 0\.9; the highest is 0\.7500.*recall=0\.75"):
        pick_threshold(CURVE, "recall=0.9")
    wrong_first = curve_of(SCORES[:2], [0, 1], 4)
    with pytest.raises(InputError, match=r"the highest is 0\.5000.*precision=0\.5"):
        pick_threshold(wrong_first, "precision=0.95")


def test_detections_of_one_score_are_let_through_together() -> None:
    """Two of them would be as many as the objects, but three share a score."""
    curve = curve_of([0.9, 0.5, 0.5, 0.5, 0.2], [1] * 5, 2)
    assert pick_threshold(curve, "count") == curve.at(0.8)


NO_OBJECTS = curve_of(SCORES, [0] * 5, 0)
NO_DETECTIONS = curve_of([], [], 3)


@pytest.mark.parametrize("curve", [NO_OBJECTS, NO_DETECTIONS])
def test_without_detections_or_objects_there_is_nothing_to_pick(
    curve: PrecisionRecallCurve,
) -> None:
    with pytest.raises(InputError, match="needs predictions and objects"):
        pick_threshold(curve, "f1")


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(InputError, match="unknown rule 'best'"):
        pick_threshold(CURVE, "best")


ranked = st.lists(
    st.tuples(st.floats(0, 1).map(lambda s: round(s, 4)), st.booleans()), min_size=1, max_size=30
)


@given(ranked, st.integers(0, 10), st.sampled_from(["f1", "count"]))
def test_no_other_threshold_is_better(
    rows: list[tuple[float, bool]], missed: int, rule: str
) -> None:
    correct = [hit for _, hit in rows]
    curve = curve_of([s for s, _ in rows], correct, sum(correct) + missed + 1)
    point = pick_threshold(curve, rule)
    points = [curve.at(score) for score, _ in rows]
    if rule == "f1":
        assert point.f1 == pytest.approx(max(other.f1 for other in points))
    else:
        assert abs(point.count_error) == pytest.approx(min(abs(o.count_error) for o in points))
    assert any((o.tp, o.fp) == (point.tp, point.fp) for o in points)


def uncertain_curve(
    rng: np.random.Generator, n_right: int, n_wrong: int, missed: int
) -> PrecisionRecallCurve:
    """Right detections with scores around 0.7, wrong ones around 0.3."""
    scores = np.concatenate([rng.beta(4, 2, n_right), rng.beta(2, 4, n_wrong)])
    return curve_of(scores, [1] * n_right + [0] * n_wrong, n_right + missed)


def test_a_steady_threshold_does_better_on_other_ground_than_the_best_one_of_few_objects() -> None:
    rng = np.random.default_rng(4)
    elsewhere = uncertain_curve(rng, 20_000, 20_000, 2_000)
    lost = {"best": 0.0, "steady": 0.0}
    for _ in range(100):
        here = uncertain_curve(rng, 10, 10, 1)
        best = here.best_f1().score_threshold
        lost["best"] += elsewhere.best_f1().f1 - elsewhere.at(best).f1
        steady = bagged_f1_threshold(here, least=0.05)
        lost["steady"] += elsewhere.best_f1().f1 - elsewhere.at(steady).f1
    assert lost["steady"] < 0.6 * lost["best"]


def test_with_many_objects_the_steady_threshold_is_where_f1_is_highest() -> None:
    curve = uncertain_curve(np.random.default_rng(5), 20_000, 20_000, 2_000)
    assert bagged_f1_threshold(curve, least=0) == pytest.approx(
        curve.best_f1().score_threshold, abs=0.02
    )


def test_the_steady_threshold_lies_midway_between_right_and_wrong() -> None:
    apart = curve_of(np.repeat([0.9, 0.3], 30), np.repeat([1, 0], 30), 30)
    assert bagged_f1_threshold(apart, least=0.05) == pytest.approx(0.6)
    none_wrong = curve_of(np.full(30, 0.9), [1] * 30, 30)
    assert bagged_f1_threshold(none_wrong, least=0.1) == pytest.approx(0.5)


@pytest.mark.parametrize("curve", [NO_OBJECTS, NO_DETECTIONS])
def test_where_nothing_is_right_there_is_no_steady_threshold(curve: PrecisionRecallCurve) -> None:
    assert math.isnan(bagged_f1_threshold(curve, least=0.05))


@example([(0.05, True)], 0)
@given(
    st.lists(st.tuples(st.floats(0.05, 1), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 5),
)
def test_the_steady_threshold_is_a_score(detections: list[tuple[float, bool]], missed: int) -> None:
    correct = [right for _, right in detections]
    curve = curve_of([s for s, _ in detections], correct, sum(correct) + missed)
    threshold = bagged_f1_threshold(curve, least=0.05)
    assert threshold == bagged_f1_threshold(curve, least=0.05) or not any(correct)
    assert 0.05 <= threshold <= max(detections)[0] or not any(correct)
