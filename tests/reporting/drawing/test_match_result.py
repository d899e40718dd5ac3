"""Which errors are the worst."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely

from geodetect.reporting.drawing.layers import Objects
from geodetect.reporting.drawing.match_result import Judgement, judge


def objects(boxes: Sequence[Sequence[float]], scores: Sequence[float] | None = None) -> Objects:
    array = np.array(boxes, float).reshape(-1, 4)
    columns = {"class": ["pool"] * len(array)} | ({} if scores is None else {"score": scores})
    return Objects(
        gpd.GeoDataFrame(columns, geometry=shapely.box(*array.T), crs="EPSG:2154"), array
    )


def square(x: float, side: float = 10) -> list[float]:
    return [x, 0, x + side, side]


def example() -> Judgement:
    truth = objects([square(0), square(100, 20), square(200), square(300, 40), square(400)])
    found = objects([square(0), square(50), square(401), square(200), square(60)],
                    [0.9, 0.8, 0.7, 0.4, 0.3])  # fmt: skip
    return judge(found, truth, iou=0.5)


def test_each_detection_knows_its_object_and_each_object_its_detection():
    judgement = example()
    assert judgement.truth_of.tolist() == [0, -1, 4, 2, -1]
    assert judgement.found_by.tolist() == [0, -1, 3, -1, 2]


def test_false_alarms_come_the_surest_first():
    assert example().worst_false_alarms(5, 10).tolist() == [1, 4]
    assert example().worst_false_alarms(5, 1).tolist() == [1]
    assert example().worst_false_alarms(1, 10).tolist() == []


def test_misses_come_the_largest_first_and_those_found_unsurely_last():
    assert example().worst_misses(5, 10).tolist() == [3, 1]
    assert example().worst_misses(3, 10).tolist() == [3, 1, 2]
    assert example().worst_misses(0, 10).tolist() == [3, 1, 2, 4, 0]
    assert example().worst_misses(0, 2).tolist() == [3, 1]


def test_layers_without_objects_can_be_judged():
    nothing = objects([], [])
    assert judge(nothing, objects([square(0)]), iou=0.5).worst_misses(0, 9).tolist() == [0]
    assert judge(objects([square(0)], [0.5]), objects([]), iou=0.5).truth_of.tolist() == [-1]
