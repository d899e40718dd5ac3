"""Matches of predictions and ground truth, and the order of the errors."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely

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
