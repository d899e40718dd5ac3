from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import geodetect
from geodetect.assessment.evaluate.areas.outline_errors import weighted_medians
from geodetect.assessment.evaluate.result import Evaluation
from geodetect.errors import GeodetectWarning, InputError, LabelError
from tests.helpers.layers import CRS, ORIGIN_M

X, Y = ORIGIN_M
RADII_M = (1.0, 2.5, 4.0, 8.0)


def discs(radii_m: tuple[float, ...], *, factor: float = 1.0, count: int = 5) -> gpd.GeoDataFrame:
    """Rows of discs 50 m apart, one row for each radius."""
    outlines = [
        shapely.Point(X + 50 * column, Y + 50 * row).buffer(factor * radius, quad_segs=32)
        for row, radius in enumerate(radii_m)
        for column in range(count)
    ]
    return gpd.GeoDataFrame(geometry=outlines, crs=CRS)


def evaluate(
    predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, **values: object
) -> Evaluation:
    return geodetect.evaluate(predictions, truth, match="outline", **values)


def test_outlines_a_tenth_too_wide_have_areas_a_fifth_too_large() -> None:
    predictions = discs(RADII_M, factor=1.1).assign(score=0.9)
    overall = evaluate(predictions, discs(RADII_M)).metrics.overall
    assert overall.outlines is not None
    errors = overall.outlines.errors
    assert errors.pairs == 20
    assert errors.area_ratio == pytest.approx(1.21, abs=1e-3)
    assert errors.total_ratio == pytest.approx(1.21, abs=1e-3)
    assert errors.relative_area_error == pytest.approx(0.21, abs=1e-3)
    assert errors.iou == pytest.approx(1 / 1.21, abs=1e-3)
    assert (overall.ap50, overall.ap75) == (1, 1)
    assert np.isnan(errors.interval_coverage)


def test_errors_are_told_by_the_size_of_the_true_outline() -> None:
    truth = discs((2.0, 8.0))
    predictions = discs((2.0, 8.0 * 1.1)).assign(score=0.9)
    result = evaluate(predictions, truth, size_bins=(6,))
    assert result.metrics.overall.outlines is not None
    small, large = result.metrics.overall.outlines.sizes
    assert (small.low_m, small.high_m, large.high_m) == (0, 6, np.inf)
    assert (small.errors.pairs, large.errors.pairs) == (5, 5)
    assert small.errors.relative_area_error == pytest.approx(0, abs=1e-6)
    assert large.errors.relative_area_error == pytest.approx(0.21, abs=1e-3)
    assert large.errors.absolute_area_error_m2 == pytest.approx(0.21 * np.pi * 64, rel=0.005)


def test_the_coverage_is_the_fraction_of_intervals_that_hold_the_true_area() -> None:
    truth = discs((4.0,), count=8)
    area = np.pi * 16
    low = [area * 0.9] * 6 + [area * 1.1] * 2
    predictions = truth.assign(score=0.9, area_low_m2=low, area_high_m2=area * 1.2)
    result = evaluate(predictions, truth)
    assert result.metrics.overall.outlines is not None
    assert result.metrics.overall.outlines.errors.interval_coverage == 0.75
    values = json.loads(json.dumps(result.as_dict()))
    assert values["match"] == "outline"
    assert values["overall"]["outline_errors"]["interval_coverage"] == 0.75


def test_boxes_among_outlines_count_as_objects_and_not_for_areas() -> None:
    truth = discs((4.0, 4.0), count=12)
    bounds = shapely.bounds(truth.geometry[:12].to_numpy())
    mixed = truth.copy()
    mixed.loc[:11, "geometry"] = shapely.box(*bounds.T)
    result = evaluate(truth.assign(score=0.9), mixed)
    assert result.metrics.overall.outlines is not None
    assert result.metrics.overall.at_threshold.tp == 24
    assert result.metrics.overall.outlines.errors.pairs == 12
    assert result.metrics.overall.outlines.errors.area_ratio == pytest.approx(1)
    assert any("12 of 24 objects of the truth are boxes" in text for text in result.caveats)


def test_predictions_that_are_boxes_are_told() -> None:
    truth = discs((4.0,))
    boxes = truth.assign(geometry=truth.geometry.envelope)
    result = evaluate(boxes, truth)
    assert any("5 of 5 predictions are boxes" in text for text in result.caveats)
    assert result.metrics.overall.outlines is not None
    assert result.metrics.overall.outlines.errors.area_ratio == pytest.approx(4 / np.pi, abs=0.002)


def test_touching_halves_stay_two_and_parts_of_one_row_are_objects() -> None:
    halves = [shapely.box(X, Y, X + 5, Y + 8), shapely.box(X + 5, Y, X + 9, Y + 8)]
    halves = [shapely.union(half, shapely.Point(X + 5, Y).buffer(0.5) & half) for half in halves]
    truth = gpd.GeoDataFrame(geometry=[shapely.MultiPolygon([halves[0]]), halves[1]], crs=CRS)
    assert evaluate(truth.assign(score=0.9), truth).metrics.overall.at_threshold.tp == 2
    apart = shapely.MultiPolygon([shapely.Point(X + 30 * k, Y).buffer(4) for k in range(3)])
    parts = gpd.GeoDataFrame(geometry=[apart], crs=CRS)
    with pytest.warns(GeodetectWarning):
        result = evaluate(parts.explode(ignore_index=True).assign(score=0.9), parts)
    assert result.metrics.overall.at_threshold.tp == 3


def test_an_evaluation_without_outlines_has_no_errors_of_outlines() -> None:
    truth = discs((4.0,))
    result = geodetect.evaluate(truth.assign(score=0.9), truth)
    assert result.metrics.overall.outlines is None
    assert result.as_dict()["overall"]["outline_errors"] is None
    assert any("with `match` outline" in text for text in result.caveats)
    boxes = truth.assign(geometry=truth.geometry.envelope)
    with_boxes = geodetect.evaluate(boxes.assign(score=0.9), truth)
    assert not any("with `match` outline" in text for text in with_boxes.caveats)
    assert result.area_error is None


def test_outlines_and_a_distance_do_not_go_together_and_points_have_no_outline() -> None:
    truth = discs((4.0,))
    with pytest.raises(InputError, match="`distance` 3 matches centres"):
        evaluate(truth, truth, distance=3)
    with pytest.raises(LabelError, match="`distance` in metres"):
        evaluate(truth.assign(geometry=truth.geometry.centroid), truth)


def test_true_positives_tell_the_true_area() -> None:
    predictions = discs((4.0,), factor=1.1).assign(score=0.9)
    table = evaluate(predictions, discs((4.0,))).error_tables()["true_positives"]
    np.testing.assert_allclose(table["area_ratio"], 1.21, atol=1e-3)
    np.testing.assert_allclose(table["true_area_m2"], np.pi * 16, rtol=0.005)
    np.testing.assert_allclose(table["iou"], 1 / 1.21, atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.integers(0, 99))
def test_weighted_medians_are_those_of_repeated_values(values: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    array, block = np.array(values), rng.integers(0, 4, len(values))
    weights = rng.integers(0, 3, (5, 4)).astype(float)
    medians = weighted_medians(array, block, weights)
    for median, counts in zip(medians, weights, strict=True):
        drawn = np.repeat(array, counts[block].astype(int))
        if len(drawn):
            assert median == np.quantile(drawn, 0.5, method="inverted_cdf")
        else:
            assert np.isnan(median)


def test_medians_of_many_values_are_exact_to_a_thousandth() -> None:
    values = np.random.default_rng(0).normal(size=25_000)
    block = np.arange(len(values)) % 50
    medians = weighted_medians(values, block, np.ones((2, 50)))
    assert abs((values < medians[0]).mean() - 0.5) < 0.001
