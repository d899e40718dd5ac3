"""Matches of predictions and ground truth, and the order of the errors."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.reporting.drawing.match_result import MatchResult, match_layers


def layer_of_boxes(
    boxes: Sequence[Sequence[float]], scores: Sequence[float] | None = None
) -> CanvasLayer:
    array = np.array(boxes, float).reshape(-1, 4)
    columns = {"class": ["pool"] * len(array)} | ({} if scores is None else {"score": scores})
    return CanvasLayer(
        gpd.GeoDataFrame(columns, geometry=shapely.box(*array.T), crs="EPSG:2154"), array
    )


def square_box(x: float, side: float = 10) -> list[float]:
    return [x, 0, x + side, side]


def example() -> MatchResult:
    truth = layer_of_boxes(
        [square_box(0), square_box(100, 20), square_box(200), square_box(300, 40), square_box(400)]
    )
    predictions = layer_of_boxes(
        [square_box(0), square_box(50), square_box(401), square_box(200), square_box(60)],
        [0.9, 0.8, 0.7, 0.4, 0.3],
    )
    return match_layers(predictions, truth, iou=0.5)


def test_each_prediction_has_the_row_of_its_object_and_each_object_that_of_its_prediction():
    matches = example()
    assert matches.truth_rows.tolist() == [0, -1, 4, 2, -1]
    assert matches.prediction_rows.tolist() == [0, -1, 3, -1, 2]


def test_false_positives_come_in_descending_order_of_their_scores():
    assert example().false_positives(5).tolist() == [1, 4]
    assert example().false_positives(1).tolist() == []


def test_misses_come_the_largest_first_and_those_with_a_prediction_below_the_threshold_last():
    assert example().false_negatives(5).tolist() == [3, 1]
    assert example().false_negatives(3).tolist() == [3, 1, 2]
    assert example().false_negatives(0).tolist() == [3, 1, 2, 4, 0]


def test_layers_without_objects_can_be_matched():
    empty = layer_of_boxes([], [])
    assert match_layers(empty, layer_of_boxes([square_box(0)]), iou=0.5).false_negatives(
        0
    ).tolist() == [0]
    assert match_layers(
        layer_of_boxes([square_box(0)], [0.5]), layer_of_boxes([]), iou=0.5
    ).truth_rows.tolist() == [-1]


def test_a_box_that_is_off_is_neither_a_miss_nor_an_invention():
    truth = layer_of_boxes([square_box(0), square_box(100), square_box(200)])
    predictions = layer_of_boxes(
        [square_box(6), square_box(108.5), square_box(200), square_box(0)], [0.9, 0.8, 0.7, 0.3]
    )
    matches = match_layers(predictions, truth, iou=0.5)
    assert matches.truth_rows.tolist() == [-1, -1, 2, 0]  # as ``evaluate`` counts
    above = matches.loose_pairs(3)
    assert (above.predictions.tolist(), above.truth.tolist()) == ([0], [0])
    np.testing.assert_allclose(above.iou, [4 / 16])
    assert matches.false_positives(3).tolist() == [1]  # an IoU of 0.08 is no detection
    assert matches.false_negatives(3).tolist() == [1]
    assert len(matches.loose_pairs(4)) == 0  # the last prediction matches the object
    assert matches.false_positives(4).tolist() == [0, 1]


def test_by_distance_a_match_whose_box_is_off_is_still_a_match():
    truth = layer_of_boxes([square_box(0), square_box(100)])
    predictions = layer_of_boxes([square_box(6), square_box(100, 3)], [0.9, 0.8])
    matches = match_layers(predictions, truth, iou=0.5, distance_m=8)
    assert matches.truth_rows.tolist() == [0, 1]
    assert matches.loose_pairs(2).truth.tolist() == [0, 1]
    assert matches.false_positives(2).tolist() == []
    assert matches.loose_pairs(1).predictions.tolist() == [0]


def test_points_have_no_boxes_that_could_be_off():
    truth = layer_of_boxes([square_box(0, 0)])
    truth.table["geometry"] = truth.table.centroid
    matches = match_layers(layer_of_boxes([square_box(1)], [0.5]), truth, iou=0.5, distance_m=10)
    assert matches.truth_rows.tolist() == [0]
    assert len(matches.loose) == 0


def test_an_object_of_another_class_is_not_the_object_of_a_box_that_is_off():
    truth, predictions = layer_of_boxes([square_box(0)]), layer_of_boxes([square_box(6)], [0.9])
    truth.table["class"] = ["tree"]
    assert len(match_layers(predictions, truth, iou=0.5, by_class=True).loose) == 0
    assert len(match_layers(predictions, truth, iou=0.5, by_class=False).loose) == 1


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(2, 12)), max_size=12),
    st.lists(st.tuples(st.integers(0, 60), st.integers(2, 12)), max_size=12),
)
def test_loose_pairs_above_a_threshold_are_those_of_the_predictions_above_it_alone(
    predicted: list[tuple[int, int]], objects: list[tuple[int, int]]
):
    boxes = [square_box(x, side) for x, side in predicted]
    scores = list(np.linspace(0.9, 0.1, len(boxes)))
    truth = layer_of_boxes([square_box(x, side) for x, side in objects])
    matches = match_layers(layer_of_boxes(boxes, scores), truth, iou=0.5)
    for count in range(len(boxes) + 1):
        alone = match_layers(layer_of_boxes(boxes[:count], scores[:count]), truth, iou=0.5)
        pairs, expected = matches.loose_pairs(count), alone.loose_pairs(count)
        assert pairs.predictions.tolist() == expected.predictions.tolist()
        assert pairs.truth.tolist() == expected.truth.tolist()
