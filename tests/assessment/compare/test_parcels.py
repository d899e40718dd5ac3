"""Changes by parcel."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from geodetect import CompareSettings
from geodetect.assessment.compare.comparison import compare
from geodetect.assessment.compare.parcels import count_by_parcel
from geodetect.errors import GeodetectWarning, InputError

METRES = "EPSG:2154"
ORIGIN = np.array([700_000.0, 6_600_000.0])
STATUSES = ("new", "confirmed", "moved", "missing")


def changes(*rows: tuple[float, float, str]) -> gpd.GeoDataFrame:
    x, y, status = zip(*rows, strict=True)
    x, y = np.array(x) + ORIGIN[0], np.array(y) + ORIGIN[1]
    return gpd.GeoDataFrame(
        {"id": np.arange(1, len(rows) + 1), "status": status, "distance_m": np.nan, "own": 1},
        geometry=shapely.box(x - 3, y - 3, x + 3, y + 3),
        crs=METRES,
    )


def parcels(*shapes: Any, **columns: Any) -> gpd.GeoDataFrame:
    moved = shapely.transform(np.array(shapes), lambda p: p + ORIGIN)
    return gpd.GeoDataFrame(columns, geometry=moved, crs=METRES)


TWO = (shapely.box(0, 0, 100, 100), shapely.box(100, 0, 200, 100))


@pytest.mark.parametrize("crs", [METRES, "EPSG:4326", "EPSG:3035"])
def test_features_are_counted_where_their_centre_lies(crs: str) -> None:
    rows = [(98, 50, "new"), (50, 50, "missing"), (150, 50, "new"), (101, 50, "moved")]
    table, counts = count_by_parcel(changes(*rows), parcels(*TWO).to_crs(crs), statuses=STATUSES)
    assert table["parcel"].tolist() == [1, 1, 2, 2]
    assert counts.table["parcel"].tolist() == [1, 2]
    assert counts.table[list(STATUSES)].to_numpy().tolist() == [[1, 0, 0, 1], [1, 0, 1, 0]]
    assert list(table.columns) == ["id", "status", "distance_m", "parcel", "own", "geometry"]
    assert counts.outside == ()


def test_features_outside_all_parcels_are_named() -> None:
    table, counts = count_by_parcel(
        changes((500, 50, "new"), (50, 50, "new"), (-9, 0, "missing")),
        parcels(*TWO),
        statuses=STATUSES,
    )
    assert counts.outside == (1, 3)
    assert table["parcel"].isna().tolist() == [True, False, True]
    assert counts.table["new"].sum() == 1


def test_a_feature_counts_once_where_parcels_overlap_or_touch() -> None:
    overlapping = parcels(shapely.box(0, 0, 100, 100), shapely.box(50, 0, 200, 100))
    _, counts = count_by_parcel(
        changes((75, 50, "new"), (150, 50, "new")), overlapping, statuses=STATUSES
    )
    assert counts.table["new"].tolist() == [1, 1]
    assert counts.in_several == 1
    table, _ = count_by_parcel(changes((100, 50, "new")), parcels(*TWO), statuses=STATUSES)
    assert table["parcel"].tolist() == [1]


def test_parcels_keep_their_columns_and_can_be_named_by_one() -> None:
    named = parcels(*TWO, egrid=["CH1", "CH2"], new=[5, 6])
    table, counts = count_by_parcel(
        changes((150, 9, "new")), named, statuses=STATUSES, parcel_field="EGRID"
    )
    assert table["parcel"].tolist() == ["CH2"]
    assert counts.table["parcel"].tolist() == ["CH1", "CH2"]
    assert counts.table["new"].tolist() == [0, 1]
    assert counts.table["parcel_new"].tolist() == [5, 6]
    with pytest.raises(InputError, match=r"no column 'number', only egrid, new.*`parcel_field`"):
        count_by_parcel(changes((1, 1, "new")), named, statuses=STATUSES, parcel_field="number")


def test_a_parcel_that_crosses_itself_is_repaired_and_one_with_a_hole_is_not_filled() -> None:
    bow = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
    ring = shapely.Polygon(
        shapely.box(200, 0, 300, 100).exterior.coords,
        [shapely.box(240, 40, 260, 60).exterior.coords],
    )
    with pytest.warns(GeodetectWarning, match="the parcels: 1 of 2 polygons cross themselves"):
        table, counts = count_by_parcel(
            changes((90, 50, "new"), (50, 90, "new"), (250, 50, "new"), (210, 9, "new")),
            parcels(bow, ring),
            statuses=STATUSES,
        )
    assert table["parcel"].fillna(0).tolist() == [1, 0, 0, 2]
    assert counts.table.geometry.is_valid.all()


def test_points_are_no_parcels() -> None:
    with pytest.raises(InputError, match=r"holds Point; expected polygons"):
        count_by_parcel(changes((1, 1, "new")), parcels(shapely.Point(0, 0)), statuses=STATUSES)


def test_compare_rolls_up() -> None:
    predictions = changes((10, 10, "-"), (150, 10, "-")).drop(
        columns=["id", "status", "distance_m"]
    )
    register = changes((10, 10, "-"), (300, 10, "-")).drop(columns=["id", "status", "distance_m"])
    limits = CompareSettings(parcel_field="lot")
    result = compare(predictions, register, parcels=parcels(*TWO, lot=["A", "B"]), settings=limits)
    assert result.parcels is not None
    assert result.parcels.table["confirmed"].tolist() == [1, 0]
    assert result.parcels.table["new"].tolist() == [0, 1]
    assert result.parcels.outside == (3,)
    assert result.changes["parcel"].tolist()[:2] == ["A", "B"]
    assert pd.isna(result.changes["parcel"][2])
    assert "not_searched" not in result.parcels.table
