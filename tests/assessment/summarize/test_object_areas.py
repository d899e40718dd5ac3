from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geodetect.assessment.summarize.object_areas import ObjectAreas
from geodetect.assessment.summarize.zones import summarize
from geodetect.io.vector.features import read_area_limits
from geodetect.io.vector.write import write

CRS = "EPSG:25832"
X, Y = 500_000.0, 5_400_000.0


def discs(count: int, **columns: object) -> gpd.GeoDataFrame:
    outlines = [shapely.Point(X + 20 * k + 10, Y + 10).buffer(4) for k in range(count)]
    return gpd.GeoDataFrame({"score": [0.9] * count, **columns}, geometry=outlines, crs=CRS)


def zones(*widths_m: float) -> gpd.GeoDataFrame:
    edges = X + np.cumsum([0, *widths_m])
    return gpd.GeoDataFrame(geometry=shapely.box(edges[:-1], Y, edges[1:], Y + 20), crs=CRS)


def test_the_interval_of_one_object_is_its_own_and_of_several_narrower() -> None:
    limits = {"area_low_m2": [40.0] * 5, "area_high_m2": [62.0] * 5}
    result = summarize(discs(5, **limits), zones(20, 80, 50))
    table = result.zones
    assert table["count"].tolist() == [1, 4, 0]
    assert table["object_area_low_m2"].tolist()[::2] == [40, 0]
    assert table["object_area_high_m2"].tolist()[::2] == [62, 0]
    low, high = table["object_area_low_m2"][1], table["object_area_high_m2"][1]
    assert 4 * 40 < low < 4 * 50 < high < 4 * 62
    assert high - low < 0.75 * 4 * (62 - 40)
    values = result.as_dict()
    assert values["object_area_interval"] is not None
    assert values["object_area_m2"] == pytest.approx(5 * 16 * np.pi, rel=0.01)
    assert "(95 %: " in str(result.object_area)


def test_intervals_of_sums_hold_the_true_sum_in_19_of_20_cases() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        detected = rng.lognormal(3.5, 0.5, 30)
        common = rng.normal(0, np.sqrt(0.1) * 0.15)
        true = detected * np.exp(common + rng.normal(0, np.sqrt(0.9) * 0.15, 30))
        limits = detected[:, None] * np.exp(0.15 * 1.96 * np.array([-1, 1]))
        areas = ObjectAreas(detected, limits)
        total = areas.total(np.arange(30))
        held += total.low_m2 <= true.sum() <= total.high_m2
    assert 0.92 < held / 300 <= 0.99


def test_without_intervals_there_are_no_columns_of_them() -> None:
    result = summarize(discs(3), zones(60))
    assert "object_area_low_m2" not in result.zones
    assert result.as_dict()["object_area_interval"] is None
    assert "95" not in str(result.object_area)


def test_an_object_without_an_interval_leaves_that_of_its_zone_open() -> None:
    limits = {"area_low_m2": [40.0, np.nan, 40.0], "area_high_m2": [62.0, 62.0, 62.0]}
    table = summarize(discs(3, **limits), zones(20, 40)).zones
    assert np.isfinite(table["object_area_low_m2"]).tolist() == [True, False]
    assert np.isfinite(table["object_area_m2"]).all()


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".shp", ".parquet"])
def test_intervals_are_read_from_files_of_any_format(tmp_path: Path, suffix: str) -> None:
    table = discs(2, area_low_m2=[40.0, 41.5], area_high_m2=[62.0, 63.5])
    path = write(table, tmp_path / f"pools{suffix}")
    summed = summarize(path, zones(20, 20)).zones
    assert summed["object_area_low_m2"].tolist() == [40.0, 41.5]


def test_a_table_without_both_ends_has_no_intervals() -> None:
    assert read_area_limits(discs(2, area_low_m2=[1.0, 2.0])) is None
    limits = read_area_limits(discs(2, AREA_LOW_M2=["1", ""], area_high_m2=[2, 3]))
    assert limits is not None
    np.testing.assert_array_equal(limits, [[1, 2], [np.nan, 3]])
