from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geodetect.assessment.compare.comparison import compare

CRS = "EPSG:25832"
X, Y = 500_000.0, 5_400_000.0


def discs(*radii_m: float, **columns: object) -> gpd.GeoDataFrame:
    outlines = [shapely.Point(X + 50 * k, Y).buffer(r, 32) for k, r in enumerate(radii_m)]
    return gpd.GeoDataFrame(columns, geometry=outlines, crs=CRS)


def test_areas_of_outlines_in_both_layers_are_compared() -> None:
    area = np.pi * 16
    limits = {"area_low_m2": [area * 0.9] * 3, "area_high_m2": [area * 1.1] * 3}
    predictions = discs(4, 4, 4, score=[0.9] * 3, **limits)
    register = discs(4, 2, address=["a", "b"])
    comparison = compare(predictions, register.to_crs("EPSG:4326"))
    changes = comparison.changes
    np.testing.assert_allclose(changes["area_ratio"], [1, 4, np.nan], rtol=1e-3)
    assert changes["area_differs"].tolist()[:2] == [False, True]
    assert changes["area_differs"].isna().tolist() == [False, False, True]
    assert comparison.as_dict()["areas"] == {
        "pairs": 2,
        "median_ratio": pytest.approx(2.5, abs=0.01),
        "differing": 1,
    }
    assert "1 differ by more than the 95 % interval" in dict(comparison.display_rows())["Areas"]


def test_boxes_and_points_have_no_area_to_compare() -> None:
    predictions = discs(4, 4, score=[0.9] * 2)
    boxes = predictions.assign(geometry=predictions.geometry.envelope)
    points = predictions.assign(geometry=predictions.geometry.centroid)
    for pair in ((boxes, boxes), (predictions, points), (boxes, predictions)):
        comparison = compare(*pair)
        assert "area_ratio" not in comparison.changes
        assert comparison.as_dict()["areas"] is None


def test_without_intervals_no_area_is_said_to_differ() -> None:
    comparison = compare(discs(4, score=[0.9]), before=discs(3, score=[0.8], area_ratio=[7.0]))
    assert comparison.changes["area_ratio"].tolist() == [pytest.approx(16 / 9, rel=1e-3)]
    assert comparison.changes["before_area_ratio"].tolist() == [7.0]
    assert comparison.as_dict()["areas"]["differing"] is None
