from __future__ import annotations

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from numpy.typing import NDArray

from geodetect.assessment.evaluate.evaluation import evaluate
from geodetect.assessment.evaluate.metrics import DetectionMetrics
from geodetect.assessment.evaluate.precision_recall import OperatingPoint, average_precision
from geodetect.assessment.matching.class_matching import COCO_IOUS
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError, LabelError
from geodetect.settings import EvaluateSettings
from tests.helpers.layers import CRS, square_layer
from tests.helpers.table_metrics import evaluate_tables


def evaluate_in(
    area: gpd.GeoSeries, predicted: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, folder: Path
) -> DetectionMetrics:
    """Metrics of the layers in an area, which is written to a folder."""
    path = folder / f"{area.crs.to_epsg()}.gpkg"
    area.to_file(path)
    return evaluate(predicted, truth, EvaluateSettings(aoi=path, resamples=0)).metrics


def test_layers_are_compared_by_their_boxes() -> None:
    truth = square_layer((0, 0), (50, 0), (100, 0))
    predicted = square_layer((1, 0), (50, 1), (200, 0), score=[0.9, 0.8, 0.7])
    result = evaluate_tables(predicted, truth)
    assert result.truth_of.tolist() == [0, 1, -1]
    assert result.overall.best_f1 == OperatingPoint(0.8, 2, 0, 1)
    assert result.overall.at_threshold == OperatingPoint(0.7, 2, 1, 1)
    assert result.overall.ap50 == pytest.approx(67 / 101)
    passed = sum(threshold <= 90 / 110 for threshold in COCO_IOUS)
    assert result.overall.ap50_95 == pytest.approx(67 / 101 * passed / 10)
    assert evaluate_tables(predicted, truth, conf=0.6).overall.at_threshold == OperatingPoint(
        0.6, 2, 1, 1
    )


def test_the_iou_asked_for_decides_the_counts_but_not_the_average_precision() -> None:
    truth, predicted = square_layer((0, 0)), square_layer((2, 0), score=[0.9])  # IoU 0.667
    strict = evaluate_tables(predicted, truth, iou=0.7, conf=0.5)
    assert strict.overall.at_threshold == OperatingPoint(0.5, 0, 1, 1)
    assert strict.truth_of.tolist() == [-1]
    assert strict.overall.ap50 == 1


def test_truth_in_another_crs_is_brought_to_the_predictions() -> None:
    corners = [(0.0, 0.0), (50.0, 0.0)]
    truth = square_layer(*corners).to_crs("OGC:CRS84")
    result = evaluate_tables(square_layer(*corners), truth, iou=0.95)
    assert result.truth_of.tolist() == [0, 1]
    assert result.overall.ap50_95 == 1


def test_an_area_limits_both_layers_by_their_centres(tmp_path: Path) -> None:
    truth = square_layer((0, 0), (94, 0), (96, 0), (300, 0))
    predicted = square_layer((0, 0), (96, 0), (300, 0), (94, 0), score=[0.9, 0.8, 0.7, 0.6])
    area = gpd.GeoSeries([shapely.box(5e5, 5e6 - 50, 5e5 + 100, 5e6 + 50)], crs=CRS)
    result = evaluate_in(area, predicted, truth, tmp_path)
    assert result.truth_of.tolist() == [0, -2, -2, 1]
    assert result.truth_inside.tolist() == [True, True, False, False]
    assert (result.overall.n_predicted, result.overall.n_truth) == (2, 2)
    again = evaluate_in(area.to_crs("EPSG:4326"), predicted, truth, tmp_path)
    np.testing.assert_array_equal(again.truth_of, result.truth_of)


def test_shared_classes_are_compared_one_by_one() -> None:
    truth = square_layer((0, 0), (50, 0), (100, 0), **{"class": ["pool", "tank", "pool"]})
    predicted = square_layer(
        (0, 0), (50, 0), (100, 0), **{"class": ["Pool", "pool", "pool"]}, score=[0.9, 0.8, 0.7]
    )
    result = evaluate_tables(predicted, truth, conf=0.5)
    pool, tank = result.classes
    assert (pool.class_name, pool.n_predicted, pool.n_truth) == ("pool", 3, 2)
    assert (tank.class_name, tank.n_predicted, tank.n_truth) == ("tank", 0, 1)
    assert pool.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert tank.ap50 == 0
    assert result.overall.ap50 == pytest.approx(pool.ap50 / 2)
    assert result.truth_of.tolist() == [0, -1, 2]
    assert result.overall.at_threshold == OperatingPoint(0.5, 2, 1, 1)
    agnostic = evaluate_tables(predicted, truth, by_class=False)
    assert agnostic.overall.ap50 == 1
    assert [c.class_name for c in agnostic.classes] == ["all"]


def test_a_class_without_objects_does_not_count_in_the_mean() -> None:
    truth = square_layer((0, 0), **{"class": ["pool"]})
    predicted = square_layer((0, 0), (50, 0), **{"class": ["pool", "tank"]})
    result = evaluate_tables(predicted, truth)
    assert [c.class_name for c in result.classes] == ["pool", "tank"]
    assert math.isnan(result.classes[1].ap50)
    assert result.overall.ap50 == 1


@pytest.mark.parametrize("names", [["object", "object"], ["basin", "tank"]])
def test_a_single_class_of_another_name_is_compared_without_classes(names: list[str]) -> None:
    predicted = square_layer((0, 0), (50, 0), **{"class": names})
    truth = square_layer((0, 0), (50, 0), **{"class": ["pool", "pool"]})
    assert evaluate_tables(predicted, truth).overall.ap50 == 1
    assert evaluate_tables(predicted, truth.drop(columns="class")).overall.ap50 == 1


def test_layers_with_several_classes_but_none_in_common_are_an_error() -> None:
    predicted = square_layer((0, 0), (50, 0), **{"class": ["a", "b"]})
    truth = square_layer((0, 0), (50, 0), **{"class": ["c", "d"]})
    with pytest.raises(LabelError, match=r"\(a, b\) and the truth \(c, d\) have no class"):
        evaluate_tables(predicted, truth)


def test_empty_layers_give_counts_not_errors() -> None:
    some = square_layer((0, 0), (50, 0), **{"class": ["pool", "tank"]})
    nothing = some.iloc[:0]
    missed = evaluate_tables(nothing, some)
    assert [c.class_name for c in missed.classes] == ["pool", "tank"]
    assert missed.overall.ap50 == 0
    assert missed.overall.at_threshold == OperatingPoint(0.0, 0, 0, 2)
    invented = evaluate_tables(some, nothing, conf=0.5)
    assert math.isnan(invented.overall.ap50)
    assert invented.overall.at_threshold == OperatingPoint(0.5, 0, 2, 0)
    assert math.isnan(evaluate_tables(nothing, nothing).overall.best_f1.f1)


def test_boxes_count_not_outlines() -> None:
    circle = shapely.Point(5e5 + 5, 5e6 + 5).buffer(5, quad_segs=64)
    truth = gpd.GeoDataFrame(geometry=[circle], crs=CRS)
    assert evaluate_tables(square_layer((0, 0)), truth, iou=0.99).truth_of.tolist() == [0]


def test_layers_that_cannot_be_compared_are_errors() -> None:
    with pytest.raises(GeoreferenceError, match=r"only the truth have no CRS.*`truth_crs`"):
        evaluate_tables(square_layer((0, 0)), square_layer((0, 0), crs=None))
    with pytest.raises(GeoreferenceError, match=r"only the predictions have no CRS.*`pred_crs`"):
        evaluate_tables(square_layer((0, 0), crs=None), square_layer((0, 0)))
    points = gpd.GeoDataFrame(geometry=[shapely.Point(5e5, 5e6), None], crs=CRS)
    with pytest.raises(LabelError, match=r"2 of 2 rows of the truth.*`distance`"):
        evaluate_tables(square_layer((0, 0)), points)
    with pytest.raises(InputError, match="IoU"):
        evaluate_tables(square_layer((0, 0)), square_layer((0, 0)), iou=0)
    unsure = square_layer((0, 0), (50, 0), score=[0.5, math.nan])
    with pytest.raises(LabelError, match="1 of 2 predictions have no score"):
        evaluate_tables(unsure, square_layer((0, 0)))


def test_rows_without_extent_are_left_out_with_a_warning() -> None:
    truth = square_layer((0, 0), (50, 0))
    truth.loc[1, "geometry"] = shapely.Point(5e5, 5e6)
    with pytest.warns(GeodetectWarning, match="1 of 2 rows of the truth have no extent"):
        result = evaluate_tables(square_layer((0, 0)), truth)
    assert result.truth_inside.tolist() == [True, False]
    assert result.overall.n_truth == 1


def test_points_are_matched_by_true_distance_whatever_the_crs() -> None:
    """Web Mercator stretches 2.9 m at 45 degrees north to 4.1 m."""
    truth = square_layer((0, 0), (50, 0)).set_geometry(square_layer((0, 0), (50, 0)).centroid)
    predicted = square_layer((2.9, 0), (53.1, 0), score=[0.9, 0.8])
    for crs in (CRS, "EPSG:3857", "OGC:CRS84", "EPSG:2154"):
        result = evaluate_tables(predicted.to_crs(crs), truth, distance_m=3)
        assert result.truth_of.tolist() == [0, -1]
        assert result.overall.ap == pytest.approx(51 / 101)
        assert math.isnan(result.overall.ap50)
        assert result.overall.sizes == ()


def test_polygons_matched_by_distance_have_the_precision_of_coco_too() -> None:
    result = evaluate_tables(square_layer((4, 0)), square_layer((0, 0)), distance_m=4.1)
    assert (result.overall.ap, result.overall.ap50) == (1, 0)


def test_distances_need_a_crs() -> None:
    with pytest.raises(GeoreferenceError, match="distances on the ground"):
        evaluate_tables(
            square_layer((0, 0), crs=None), square_layer((0, 0), crs=None), distance_m=3
        )


def test_the_edge_of_the_area_makes_no_errors(tmp_path: Path) -> None:
    """Centres of a pair on both sides of the edge: only the object's place decides."""
    area = gpd.GeoSeries([shapely.box(5e5, 5e6, 5e5 + 105, 5e6 + 10)], crs=CRS)
    truth = square_layer((99, 0), (200, 0))
    assert evaluate_in(area, square_layer((101, 0)), truth, tmp_path).truth_of.tolist() == [0]
    truth = square_layer((101, 0), (200, 0))
    result = evaluate_in(area, square_layer((99, 0)), truth, tmp_path)
    assert result.truth_of.tolist() == [-2]
    assert (result.overall.n_predicted, result.overall.n_truth) == (0, 0)


def test_recall_by_size_is_in_metres_on_the_ground() -> None:
    truth = gpd.GeoDataFrame(
        pd.concat([square_layer((0, 0), side_m=5), square_layer((50, 0), (100, 0), side_m=10)]),
        crs=CRS,
    )
    predicted = square_layer((0, 0), side_m=5, score=[0.9])
    predicted = gpd.GeoDataFrame(
        pd.concat([predicted, square_layer((50, 0), score=[0.2])]), crs=CRS
    )
    for crs in (CRS, "EPSG:3857", "OGC:CRS84"):
        result = evaluate_tables(predicted.to_crs(crs), truth.to_crs(crs), conf=0.5)
        sizes = [(s.low_m, s.high_m, s.n_truth, s.tp) for s in result.overall.sizes]
        assert sizes == [(4, 6, 1, 1), (6, 8, 0, 0), (8, 12, 2, 0)]


def test_layers_in_pixels_without_crs_are_compared_as_they_are() -> None:
    result = evaluate_tables(square_layer((0, 0), crs=None), square_layer((1, 0), crs=None))
    assert result.truth_of.tolist() == [0]


def test_scene_and_matches_agree() -> None:
    rng = np.random.default_rng(3)
    corners: NDArray[np.float64] = rng.uniform(0, 300, (200, 2)).round(2)
    noise = corners + rng.normal(0, 2, corners.shape)
    predicted = square_layer(*map(tuple, noise), score=rng.uniform(size=200))
    truth = square_layer(*map(tuple, corners))
    matches = match_boxes(
        predicted.bounds.to_numpy(), predicted["score"].to_numpy(), truth.bounds.to_numpy()
    )
    result = evaluate_tables(predicted, truth)
    np.testing.assert_array_equal(result.truth_of, matches.truth_of)
    assert result.overall.ap50 == average_precision(matches)
