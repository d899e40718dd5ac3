"""New, confirmed, moved and missing objects."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import geodetect
from geodetect import CompareSettings
from geodetect.assessment.compare.comparison import Comparison, compare
from geodetect.errors import GeodetectWarning, InputError
from tests.helpers.program import ROOT

METRES = "EPSG:2154"
ORIGIN, EAST = np.array([700_000.0, 6_600_000.0]), np.array([50.0, 0.0])


def boxes(*places: tuple[float, float], size: float = 8, **columns: Any) -> gpd.GeoDataFrame:
    """Squares around places, in metres."""
    x, y = (np.array([p[i] for p in places], float) + ORIGIN[i] for i in (0, 1))
    squares = shapely.box(x - size / 2, y - size / 2, x + size / 2, y + size / 2)
    return gpd.GeoDataFrame(columns, geometry=squares, crs=METRES)


def statuses(result: Comparison) -> list[str]:
    return result.changes["status"].tolist()


def test_every_feature_gets_its_status_distance_and_score() -> None:
    predictions = boxes((0, 0), (100, 0), (200, 0), score=[0.9, 0.8, 0.7])
    register = boxes((300, 0), (203, 0), (0.4, 0.3))
    changes = compare(predictions, register).changes
    assert changes["status"].tolist() == ["confirmed", "new", "moved", "missing"]
    assert changes["id"].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(changes["distance_m"], [0.5, np.nan, 3, np.nan], atol=0.005)
    np.testing.assert_allclose(changes["score"], [0.9, 0.8, 0.7, np.nan])
    assert shapely.equals(changes.geometry[3], register.geometry[0])
    assert shapely.equals(changes.geometry[2], predictions.geometry[2])


@pytest.mark.parametrize("angle", range(0, 360, 30))
def test_a_shift_of_three_metres_is_a_move_and_label_jitter_is_none(angle: int) -> None:
    step = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    register = boxes(tuple(3 * step), tuple(step + EAST), tuple(7 * step + 2 * EAST))
    predictions = boxes((0, 0), (50, 0), (100, 0))
    assert statuses(compare(predictions, register)) == ["moved", "confirmed", "new", "missing"]


def test_the_limits_can_be_set() -> None:
    predictions, register = boxes((0, 0)), boxes((6, 0))
    limits = CompareSettings(distance=6.05, moved_from=6.05)
    assert statuses(compare(predictions, register, settings=limits)) == ["confirmed"]
    limits = CompareSettings(distance=6.05, moved_from=0)
    assert statuses(compare(predictions, register, settings=limits)) == ["moved"]
    limits = CompareSettings(distance=5.9)
    assert statuses(compare(predictions, register, settings=limits)) == ["new", "missing"]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:2263", "EPSG:32661"])
def test_distances_are_true_metres_in_any_crs(crs: str) -> None:
    """At 60 degrees north, where a unit of Web Mercator is half a metre."""
    near_oslo = "+proj=tmerc +lat_0=60 +lon_0=10.5 +ellps=WGS84"
    crs = near_oslo if crs == "EPSG:2263" else crs
    offsets = [0.0, 1.9, 4.9, 5.1]
    places = gpd.GeoSeries(shapely.points(np.arange(4) * 100, 0), crs=near_oslo)
    moved = gpd.GeoSeries(shapely.points(np.arange(4) * 100, offsets), crs=near_oslo)
    predictions = gpd.GeoDataFrame(geometry=places.to_crs(crs))
    register = gpd.GeoDataFrame(geometry=moved.to_crs("EPSG:3857"))
    changes = compare(predictions, register).changes
    assert changes["status"].tolist() == ["confirmed", "confirmed", "moved", "new", "missing"]
    np.testing.assert_allclose(changes["distance_m"][:3], offsets[:3], atol=0.011)
    assert changes.crs == predictions.crs


def test_attributes_of_both_layers_are_kept_and_told_apart() -> None:
    predictions = boxes(
        (0, 0), (90, 0), id=[7, 8], score=[0.5, 0.6], area_m2=[64.0, 64.0], Status="x"
    )
    register = boxes((0, 1), (50, 0), ID=[70, 71], owner=["Müller", "Rossi"], AREA_M2=[1, 2], fid=3)
    changes = compare(predictions, register).changes
    assert list(changes.columns) == [
        *("id", "status", "class", "score", "distance_m"),
        *("detection_id", "area_m2", "detection_Status"),
        *("register_ID", "owner", "register_AREA_M2", "register_fid", "geometry"),
    ]
    assert changes["owner"].tolist()[0::2] == ["Müller", "Rossi"]
    assert pd.isna(changes["owner"][1])
    assert changes["register_ID"].tolist()[0::2] == [70, 71]  # whole numbers, in spite of the gap
    assert changes["detection_id"].tolist()[:2] == [7, 8]


def test_two_years_of_detections_have_words_of_their_own() -> None:
    columns = {"id": [1, 2], "class": ["pool"] * 2, "score": [0.9, 0.8]}
    earlier = boxes((0, 0), (60, 0), **columns)
    later = boxes((0, 0), (90, 0), **columns)
    result = compare(later, before=earlier)
    assert statuses(result) == ["confirmed", "appeared", "gone"]
    assert result.counts == {"appeared": 1, "confirmed": 1, "moved": 0, "gone": 1}
    assert {"before_id", "before_class", "before_score"} <= set(result.changes.columns)
    assert result.changes["before_score"].tolist()[0::2] == [0.9, 0.8]


@pytest.mark.parametrize(("n_found", "n_register"), [(0, 0), (0, 2), (2, 0)])
def test_empty_layers_are_legal(n_found: int, n_register: int) -> None:
    places = [(0.0, 0.0), (50.0, 0.0)]
    predictions, register = boxes(*places[:n_found]), boxes(*places[:n_register])
    result = compare(predictions, register)
    assert statuses(result) == ["new"] * n_found + ["missing"] * n_register
    assert result.changes["score"].isna().all()


def test_points_and_polygons_go_together() -> None:
    register = boxes((1, 0), (60, 0))
    register = register.set_geometry(register.geometry.centroid)
    changes = compare(boxes((0, 0), (90, 0)), register).changes
    assert changes["status"].tolist() == ["confirmed", "new", "missing"]
    assert changes.geom_type.tolist() == ["Polygon", "Polygon", "Point"]


def test_holes_parts_and_self_crossings_change_nothing_but_the_box() -> None:
    ring = shapely.Polygon([(-4, -4), (4, -4), (4, 4), (-4, 4)], [[(-1, -1), (1, -1), (0, 1)]])
    bow = shapely.Polygon([(-4, -4), (4, 4), (4, -4), (-4, 4)])
    parts = shapely.MultiPolygon([shapely.box(-4, -4, -2, 4), shapely.box(2, -4, 4, 4)])
    shapes = [
        shapely.transform(shape, lambda p, i=i: p + ORIGIN + i * EAST)
        for i, shape in enumerate((ring, bow, parts))
    ]
    register = gpd.GeoDataFrame(geometry=shapes, crs=METRES)
    assert statuses(compare(boxes((0, 0), (50, 0), (100, 0)), register)) == ["confirmed"] * 3


def test_rows_without_a_geometry_are_left_out_and_said() -> None:
    register = gpd.GeoDataFrame(
        geometry=[None, shapely.Polygon(), *boxes((0, 0)).geometry], crs=METRES
    )
    with pytest.warns(GeodetectWarning, match="the register: 2 of 3 rows without a geometry"):
        assert statuses(compare(boxes((0, 0)), register)) == ["confirmed"]


def test_lines_are_no_register() -> None:
    lines = gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (1, 1)])], crs=METRES)
    with pytest.raises(InputError, match=r"holds LineString; expected points or polygons"):
        compare(boxes((0, 0)), lines)


@pytest.mark.parametrize("side", ["predictions", "register", "before"])
def test_a_layer_without_a_crs_is_an_error_that_names_the_option(side: str) -> None:
    plain = boxes((0, 0)).set_crs(None, allow_override=True)
    layers = {"predictions": boxes((0, 0)), "register": boxes((0, 0))} | {side: plain}
    if side == "before":
        del layers["register"]
    option = "`pred_crs`" if side == "predictions" else "`register_crs`"
    with pytest.raises(InputError, match=f"no coordinate reference system; name it with {option}"):
        compare(**layers)
    stated = CompareSettings(pred_crs=METRES, register_crs=METRES)
    assert statuses(compare(**layers, settings=stated)) == ["confirmed"]


def test_one_layer_to_compare_with_is_needed() -> None:
    with pytest.raises(InputError, match="expected `register` or `before`, found neither"):
        compare(boxes((0, 0)))
    with pytest.raises(InputError, match="found both"):
        compare(boxes((0, 0)), boxes((0, 0)), before=boxes((0, 0)))


def test_layers_in_different_places_are_compared_with_a_warning() -> None:
    far = boxes((80_000, 0))
    with pytest.warns(
        GeodetectWarning, match=r"the predictions .* the register .* lie 80 km apart"
    ):
        assert statuses(compare(boxes((0, 0)), far)) == ["new", "missing"]


# Classes


def test_features_of_different_classes_are_different_objects() -> None:
    predictions = boxes((0, 0), (50, 0), (90, 0), **{"class": ["pool", "Pool", "pool"]})
    register = boxes((0, 0), (50, 0), (90, 0), category=["tank", "pool", None])
    result = compare(predictions, register)
    assert result.by_class
    assert statuses(result) == ["new", "confirmed", "confirmed", "missing"]
    assert result.changes["class"].tolist() == ["pool", "Pool", "pool", "tank"]
    ignoring = compare(predictions, register, settings=CompareSettings(ignore_classes=True))
    assert statuses(ignoring) == ["confirmed"] * 3


def test_classes_that_mean_something_else_are_ignored() -> None:
    predictions = boxes((0, 0), **{"class": ["pool"]})
    result = compare(predictions, boxes((0, 0), kind=["in ground"]))
    assert not result.by_class
    assert statuses(result) == ["confirmed"]


def test_several_classes_on_both_sides_without_a_common_one_are_an_error() -> None:
    predictions = boxes((0, 0), (9, 0), **{"class": ["pool", "car"]})
    register = boxes((0, 0), (9, 0), **{"class": ["piscine", "voiture"]})
    with pytest.raises(InputError, match=r"no class in common.*`class_field`.*`ignore_classes`"):
        compare(predictions, register)


def test_the_column_of_classes_can_be_named() -> None:
    predictions = boxes((0, 0), **{"class": ["pool"]})
    register = boxes((0, 0), **{"class": ["pool"], "use": ["tank"]})
    named = CompareSettings(class_field="use")
    assert not compare(predictions, register, settings=named).by_class
    with pytest.raises(InputError, match=r"no column 'usage'.*`class_field`"):
        compare(predictions, register, settings=CompareSettings(class_field="usage"))


# Scores, and ground that was not searched


def test_detections_below_a_score_do_not_count() -> None:
    predictions = boxes((0, 0), (50, 0), score=[0.4, 0.6])
    result = compare(predictions, boxes((0, 0)), settings=CompareSettings(conf=0.5))
    assert statuses(result) == ["new", "missing"]
    with pytest.raises(InputError, match="no column 'score', which `conf` needs"):
        compare(boxes((0, 0)), boxes((0, 0)), settings=CompareSettings(conf=0.5))


def test_the_column_of_scores_can_be_named() -> None:
    predictions = boxes((0, 0), (50, 0), score=[0.1, 0.1], quality=[0.4, 0.6])
    limits = CompareSettings(score_field="Quality", conf=0.5)
    changes = compare(predictions, boxes((50, 0)), settings=limits).changes
    assert changes["score"].tolist() == [0.6]
    assert "quality" not in changes
    with pytest.raises(InputError, match=r"no column 'sure', only score, quality.*`score_field`"):
        compare(predictions, boxes((0, 0)), settings=CompareSettings(score_field="sure"))


def test_the_layers_are_written_with_their_styles(tmp_path: Path) -> None:
    result = compare(boxes((0, 0)), boxes((50, 0)), parcels=boxes((0, 0), size=30))
    path = result.write(tmp_path / "changes.gpkg", crs="EPSG:4326")
    assert len(gpd.read_file(path, layer="changes").to_crs(METRES)) == 2
    assert len(gpd.read_file(path, layer="parcels")) == 1
    with pytest.raises(InputError, match="holds one layer"):
        result.write(tmp_path / "changes.geojson")


def test_scores_that_are_texts_of_numbers_count() -> None:
    predictions = boxes((0, 0), Score=["0.25"])
    assert compare(predictions, boxes((0, 0))).changes["score"].tolist() == [0.25]
    with pytest.raises(InputError, match="column 'score' holds no numbers"):
        compare(boxes((0, 0), score=["high"]), boxes((0, 0)))


@pytest.mark.parametrize("status", ["no imagery", "blank"])
def test_what_lies_outside_the_coverage_is_not_missing(status: str) -> None:
    coverage = boxes((0, 0), (500, 0), size=200, status=["searched", status])
    register = boxes((0, 0), (50, 0), (500, 0), (900, 0))
    result = compare(boxes((0, 0), (501, 0)), register, coverage=coverage)
    assert statuses(result) == ["confirmed", "confirmed", "missing", "not searched"]
    assert result.counts["not searched"] == 1


# Everything at once


def test_of_equally_good_assignments_the_same_one_is_chosen_whatever_the_order_of_rows() -> None:
    """Two pairs of 3 m, or one of 1 m and one of 5 m: as far in all, but not equally moved."""
    predictions, register = boxes((0, 0), (4, 0)), boxes((1, 0), (5, 0), (-1, 0), (3, 0))
    results = {
        str(compare(predictions.iloc[rows], register.iloc[register_rows]).as_dict())
        for rows in ([0, 1], [1, 0])
        for register_rows in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1])
    }
    assert len(results) == 1


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_changes_no_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predictions, register = (boxes(*rng.uniform(0, 60, (12, 2)).tolist()) for _ in range(2))
    mixed = (table.sample(frac=1, random_state=seed) for table in (predictions, register))
    first, second = compare(predictions, register), compare(*mixed)
    assert first.counts == second.counts
    assert first.as_dict() == second.as_dict()
    np.testing.assert_allclose(
        first.changes["distance_m"].sum(), second.changes["distance_m"].sum(), atol=0.2
    )


@pytest.fixture
def registers(monkeypatch: pytest.MonkeyPatch) -> Any:
    return importlib.import_module("benchmarks.accuracy.compare")


def test_an_altered_register_of_the_sample_is_read_back(registers: Any) -> None:
    labels = gpd.read_file(ROOT / "sample_data/neighbourhood.geojson").to_crs("EPSG:2154")
    accuracy, _ = registers.compare_labels(labels, registers.alter_labels(labels, seed=0))
    assert accuracy >= 0.99


def test_an_altered_register_of_real_labels_is_read_back(registers: Any, shared_data: Path) -> None:
    labels = gpd.read_file(shared_data / "pools/california_west.geojson")
    register = registers.alter_labels(labels, seed=1, metres_per_unit=np.cos(np.radians(34)))
    accuracy, changes = registers.compare_labels(labels, register)
    assert accuracy >= 0.99
    assert changes["status"].value_counts()["missing"] == registers.ADDED


def test_the_library_offers_it() -> None:
    assert geodetect.compare is compare


def shifted_register(
    *, east_m: float = 0.0, noise_m: float = 0.0, count: int = 60
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Scattered predictions and a register of 9 in 10 of them, which is shifted as a whole."""
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 30 * np.sqrt(count), (count, 2))
    moved = corners[: int(0.9 * count)] + np.array([east_m, 0])
    moved += rng.normal(0, noise_m, moved.shape)
    return boxes(*corners.tolist()), boxes(*moved.tolist())


def test_a_register_that_is_shifted_as_a_whole_is_named_with_the_options_that_help() -> None:
    predictions, register = shifted_register(east_m=3.1, noise_m=0.5)
    with pytest.warns(GeodetectWarning) as warned:
        comparison = compare(predictions, register)
    (text,) = [str(warning.message) for warning in warned]
    assert text.startswith("the register lies about 3.")
    assert "m to the east of the predictions, so 5" in text
    assert "`align`, or try `moved_from` 5" in text
    assert comparison.counts["confirmed"] < 5
    offset = comparison.as_dict()["offset"]
    assert offset["distance_m"] == pytest.approx(3.1, abs=0.2)
    assert (offset["direction"], offset["taken_out"]) == ("east", False)


def test_the_options_that_are_named_end_the_warning() -> None:
    predictions, register = shifted_register(east_m=3.1, noise_m=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GeodetectWarning)
        comparison = compare(predictions, register, settings=CompareSettings(moved_from=5))
        assert comparison.counts["confirmed"] == 54
        compare(predictions, register, settings=CompareSettings(align=True))


def test_align_takes_the_offset_out_of_the_distances_and_moves_no_geometry() -> None:
    for east_m in (3.1, 18.0):  # the second is larger than the tolerance
        predictions, register = shifted_register(east_m=east_m, noise_m=0.3)
        comparison = compare(predictions, register, settings=CompareSettings(align=True))
        assert comparison.counts == {"new": 6, "confirmed": 54, "moved": 0, "missing": 0}
        assert comparison.changes["distance_m"].median() < 1
        assert comparison.changes.geometry.iloc[0].equals(predictions.geometry.iloc[0])
        assert comparison.as_dict()["offset"]["taken_out"]


def test_earlier_predictions_may_be_shifted_too() -> None:
    predictions, earlier = shifted_register(east_m=-8, noise_m=0.3)
    with pytest.warns(GeodetectWarning, match="the earlier predictions lie about 8.* to the west"):
        compare(predictions, before=earlier)


@pytest.mark.parametrize(("noise_m", "count"), [(0.0, 60), (1.0, 60), (3.0, 60), (1.0, 6)])
def test_a_register_that_is_only_inexact_is_not_taken_for_shifted(
    noise_m: float, count: int
) -> None:
    predictions, register = shifted_register(noise_m=noise_m, count=count)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GeodetectWarning)
        comparison = compare(predictions, register, settings=CompareSettings(align=True))
    assert comparison.offset is None
    assert not comparison.aligned


def scattered_register(*, noise_m: float, spacing_m: float) -> list[gpd.GeoDataFrame]:
    """Predictions in rows, and a register of all of them whose positions scatter."""
    rng = np.random.default_rng(5)
    points = np.stack(np.meshgrid(*[np.arange(15) * spacing_m] * 2), axis=-1).reshape(-1, 2)
    points = points + rng.uniform(-0.2, 0.2, points.shape) * spacing_m
    return [
        boxes(*coordinates.tolist())
        for coordinates in (points, points + rng.normal(0, noise_m, points.shape))
    ]


def test_a_register_that_scatters_beyond_the_limit_is_named_with_limits_that_hold_it() -> None:
    predictions, register = scattered_register(noise_m=3, spacing_m=40)
    with pytest.warns(GeodetectWarning) as warned:
        comparison = compare(predictions, register)
    (text,) = [str(warning.message) for warning in warned]
    deviation_m, lost, distance, moved_from = re.match(
        r"positions differ from those of the register by about (\S+) m in each direction, so about "
        r"(\d+)% .* count as new and missing: try `distance` (\d+) with `moved_from` (\d+)$",
        text,
    ).groups()  # type: ignore[union-attr]
    assert float(deviation_m) == pytest.approx(3, rel=0.1)
    assert int(lost) == pytest.approx(100 * comparison.counts["new"] / 225, abs=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GeodetectWarning)
        wider = compare(
            predictions, register, distance=float(distance), moved_from=float(moved_from)
        )
    assert wider.counts["new"] <= 0.04 * 225
    assert wider.counts["confirmed"] >= 0.92 * 225


@pytest.mark.parametrize(("noise_m", "spacing_m"), [(1.0, 40), (1.5, 15), (3.0, 8), (30.0, 12)])
def test_exact_registers_and_pairs_of_chance_are_not_taken_for_scatter(
    noise_m: float, spacing_m: float
) -> None:
    predictions, register = scattered_register(noise_m=noise_m, spacing_m=spacing_m)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GeodetectWarning)
        compare(predictions, register)


def test_doubled_predictions_say_nothing_of_the_scatter() -> None:
    predictions, register = scattered_register(noise_m=3, spacing_m=40)
    doubled = pd.concat([predictions, predictions], ignore_index=True)
    assert compare(doubled, register).counts["missing"] > 0
