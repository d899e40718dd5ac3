from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodetect.assessment.matching.greedy_matching import match_boxes, match_boxes_at, match_points
from geodetect.errors import InputError
from geodetect.geo import boxes as box_ops
from tests.helpers.square_scenes import square_boxes

Float = NDArray[np.float64]


def greedy_reference(predicted: Float, scores: Float, truth: Float, iou: float) -> list[int]:
    """The loop of the COCO evaluation, written down plainly, for scores without ties."""
    truth_of = [-1] * len(predicted)
    for row in np.argsort(-scores, kind="mergesort"):
        best, chosen = min(iou, 1 - 1e-10), -1
        for target in range(len(truth)):
            overlap = box_ops.iou(predicted[row : row + 1], truth[target : target + 1])[0]
            if target not in truth_of and overlap >= best:
                best, chosen = overlap, target
        truth_of[row] = chosen
    return truth_of


coordinate = st.integers(0, 12)
box = st.tuples(coordinate, coordinate, st.integers(1, 6), st.integers(1, 6)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def distinct_scores(rng: np.random.Generator, count: int) -> Float:
    return rng.permutation(np.arange(1, count + 1)) / (count + 1)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(box, max_size=12),
    st.lists(box, max_size=12).map(sorted),
    st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]),
    st.integers(0, 1000),
)
def test_matches_are_those_of_the_plain_greedy_loop(
    detections: list[tuple[int, ...]], objects: list[tuple[int, ...]], iou: float, seed: int
) -> None:
    predicted = np.array(detections, dtype=float).reshape(-1, 4)
    scores = distinct_scores(np.random.default_rng(seed), len(predicted))
    truth = np.array(objects, dtype=float).reshape(-1, 4)
    matches = match_boxes(predicted, scores, truth, iou=iou)
    assert matches.truth_of.tolist() == greedy_reference(predicted, scores, truth, iou)
    right = matches.is_tp
    expected = box_ops.iou(predicted[right], truth[matches.truth_of[right]])
    np.testing.assert_array_equal(matches.iou[right], expected)
    assert (matches.iou[~right] == 0).all()
    prediction_of = matches.prediction_of
    assert (prediction_of >= 0).sum() == right.sum()
    assert all(
        matches.truth_of[prediction_of[target]] == target
        for target in np.flatnonzero(prediction_of >= 0)
    )


def test_the_surer_detection_takes_the_object_even_if_the_other_fits_better() -> None:
    truth = np.array([[0.0, 0, 10, 10]])
    predicted = np.array([[0.0, 0, 10, 10], [0, 0, 10, 9]])
    matches = match_boxes(predicted, np.array([0.4, 0.9], np.float32), truth)
    assert matches.truth_of.tolist() == [-1, 0]
    assert matches.iou.tolist() == [0, 0.9]


def test_a_detection_whose_best_object_is_taken_gets_the_next_best() -> None:
    truth = np.array([[0.0, 0, 10, 10], [0, 1, 10, 11]])
    predicted = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10.2]])
    assert match_boxes(predicted, np.array([0.9, 0.8]), truth).truth_of.tolist() == [0, 1]


def test_of_equally_sure_detections_the_one_that_fits_best_takes_the_object() -> None:
    truth = np.array([[0.0, 0, 10, 10], [0, 4, 10, 14]])
    predicted = np.array([[0.0, 2, 10, 12], [0, 1, 10, 11]])
    for order in ([0, 1], [1, 0]):
        matches = match_boxes(predicted[order], np.ones(2), truth, iou=0.5)
        assert matches.truth_of[np.argsort(order)].tolist() == [1, 0]


scored_box = st.tuples(box, st.sampled_from([0.25, 0.5, 0.75]))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(scored_box, max_size=12, unique=True),
    st.lists(box, max_size=12, unique=True),
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    st.integers(0, 1000),
)
def test_the_order_of_rows_changes_no_match(
    detections: list[tuple[tuple[int, ...], float]],
    objects: list[tuple[int, ...]],
    iou: float,
    seed: int,
) -> None:
    predicted = np.array([b for b, _ in detections], dtype=float).reshape(-1, 4)
    scores = np.array([s for _, s in detections])
    truth = np.array(objects, dtype=float).reshape(-1, 4)
    rng = np.random.default_rng(seed)
    rows, truth_rows = rng.permutation(len(predicted)), rng.permutation(len(truth))
    boxes = match_boxes, {"iou": iou}, predicted, truth
    points = match_points, {"distance": 10 * iou}, predicted[:, :2], truth[:, :2]
    # points may coincide, and which of two equal objects is matched does not matter
    for match, limit, a, b in (boxes, points):
        matches = match(a, scores, b, **limit)
        shuffled = match(a[rows], scores[rows], b[truth_rows], **limit)
        np.testing.assert_array_equal(shuffled.is_tp.sum(), matches.is_tp.sum())
        if match is match_boxes:
            matched = np.append(truth_rows, -1)[shuffled.truth_of]
            np.testing.assert_array_equal(matched, matches.truth_of[rows])


def test_identical_boxes_match_at_an_iou_of_one() -> None:
    boxes = np.array([[0.1, 0.2, 0.4, 0.7], [1 / 3, 2 / 3, 7 / 3, 11 / 3]])
    assert match_boxes(boxes, np.ones(2), boxes, iou=1.0).is_tp.all()


def test_touching_boxes_do_not_match() -> None:
    matches = match_boxes(
        np.array([[0.0, 0, 1, 1]]), np.ones(1), np.array([[1.0, 0, 2, 1]]), iou=0.01
    )
    assert matches.truth_of.tolist() == [-1]


def test_several_thresholds_agree_with_one_at_a_time() -> None:
    rng = np.random.default_rng(4)
    truth = square_boxes(rng.uniform(0, 60, (80, 2)), side_px=8)
    predicted = truth[rng.integers(0, 80, 200)] + rng.normal(0, 1.5, (200, 4))
    scores = rng.uniform(size=200).round(1)
    ious = [0.3, 0.5, 0.9]
    for threshold, matches in zip(
        ious, match_boxes_at(predicted, scores, truth, ious=ious), strict=True
    ):
        alone = match_boxes(predicted, scores, truth, iou=threshold)
        np.testing.assert_array_equal(matches.truth_of, alone.truth_of)
        np.testing.assert_array_equal(matches.iou, alone.iou)
        assert matches.threshold == threshold


def test_the_matches_above_a_score_do_not_depend_on_those_below() -> None:
    rng = np.random.default_rng(7)
    truth = square_boxes(rng.uniform(0, 40, (50, 2)), side_px=9)
    predicted = truth[rng.integers(0, 50, 120)] + rng.normal(0, 1, (120, 4))
    scores = rng.uniform(size=120)
    is_above = scores >= 0.5
    part = match_boxes(predicted[is_above], scores[is_above], truth, iou=0.4)
    whole = match_boxes(predicted, scores, truth, iou=0.4)
    np.testing.assert_array_equal(part.truth_of, whole.truth_of[is_above])


@pytest.mark.parametrize("iou", [0.0, -0.5, 1.5, float("nan")])
def test_an_iou_outside_its_range_is_an_error(iou: float) -> None:
    with pytest.raises(InputError, match="IoU thresholds must be above 0 and at most 1"):
        match_boxes(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4)), iou=iou)


def test_scores_must_be_as_many_as_boxes() -> None:
    with pytest.raises(InputError, match="2 scores for 1 predictions"):
        match_boxes(np.zeros((1, 4)), np.zeros(2), np.zeros((0, 4)))


def nearest_reference(predicted: Float, scores: Float, truth: Float, distance: float) -> list[int]:
    """The same loop with distances, for scores without ties."""
    truth_of = [-1] * len(predicted)
    for row in np.argsort(-scores, kind="mergesort"):
        best, chosen = distance, -1
        for target in range(len(truth)):
            away = float(np.hypot(*(predicted[row] - truth[target])))
            if target not in truth_of and away <= best:
                best, chosen = away, target
        truth_of[row] = chosen
    return truth_of


point = st.tuples(coordinate, coordinate)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(point, max_size=12),
    st.lists(point, max_size=12).map(sorted),
    st.sampled_from([1.0, 2.5, 5.0, 50.0]),
    st.integers(0, 1000),
)
def test_matches_of_points_are_those_of_the_plain_greedy_loop(
    detections: list[tuple[int, int]], objects: list[tuple[int, int]], distance: float, seed: int
) -> None:
    predicted = np.array(detections, dtype=float).reshape(-1, 2)
    scores = distinct_scores(np.random.default_rng(seed), len(predicted))
    truth = np.array(objects, dtype=float).reshape(-1, 2)
    matches = match_points(predicted, scores, truth, distance=distance)
    assert matches.truth_of.tolist() == nearest_reference(predicted, scores, truth, distance)
    assert np.isnan(matches.iou[matches.is_tp]).all()
    assert (matches.iou[~matches.is_tp] == 0).all()


@pytest.mark.parametrize("distance", [0.0, -1.0, float("nan"), float("inf")])
def test_a_distance_that_is_none_is_an_error(distance: float) -> None:
    with pytest.raises(InputError, match="distance of a match must be above 0"):
        match_points(np.zeros((1, 2)), np.ones(1), np.zeros((1, 2)), distance=distance)


def test_a_distance_that_makes_everything_a_candidate_is_an_error() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (5000, 2))
    with pytest.raises(
        InputError, match=r"1000 m pairs each feature with 5,000 others.*`distance`"
    ):
        match_points(points, np.ones(5000), points, distance=1000)
