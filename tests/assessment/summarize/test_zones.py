"""Detections counted by zone."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import geodetect
from geodetect import ErrorRates, SummarizeSettings
from geodetect.assessment.summarize.zones import summarize
from geodetect.errors import GeodetectWarning, InputError

METRES = "EPSG:25832"  # true metres, but for 0.04 %
ORIGIN = np.array([500_000.0, 5_400_000.0])
KM = 1000.0


def pools(*places: tuple[float, float], **columns: Any) -> gpd.GeoDataFrame:
    """Squares of 8 m around places, in metres."""
    x, y = (np.array([p[i] for p in places], float) + ORIGIN[i] for i in (0, 1))
    squares = shapely.box(x - 4, y - 4, x + 4, y + 4)
    return gpd.GeoDataFrame(columns, geometry=squares, crs=METRES)


def zones(*shapes: shapely.Geometry, **columns: Any) -> gpd.GeoDataFrame:
    moved = shapely.transform(np.array(shapes), lambda points: points + ORIGIN)
    return gpd.GeoDataFrame(columns, geometry=moved, crs=METRES)


WEST, EAST = shapely.box(0, 0, KM, KM), shapely.box(KM, 0, 3 * KM, KM)
THREE = ((100.0, 100.0), (999.0, 500.0), (2000.0, 500.0))


@pytest.mark.parametrize("crs", [METRES, "EPSG:4326", "EPSG:3857", "EPSG:3035"])
def test_counts_densities_and_areas_are_true_in_any_crs(crs: str) -> None:
    predictions = pools(*THREE, score=[0.5, 0.7, 0.9])
    table = summarize(predictions, zones(WEST, EAST, name=["W", "E"]).to_crs(crs)).zones
    assert table["name"].tolist() == ["W", "E"]
    assert table["count"].tolist() == [2, 1]
    np.testing.assert_allclose(table["area_km2"], [1, 2], rtol=2e-3)
    np.testing.assert_allclose(table["density_per_km2"], [2, 0.5], rtol=2e-3)
    np.testing.assert_allclose(table["object_area_m2"], [128, 64], rtol=2e-3)
    np.testing.assert_allclose(table["mean_score"], [0.6, 0.9])
    assert table["searched"].tolist() == ["assumed"] * 2
    assert table.crs == crs
    assert "corrected_count" not in table


@pytest.mark.parametrize("turn", [0, 360])
def test_zones_and_detections_may_lie_beyond_180_degrees(turn: int) -> None:
    places = [(longitude, -17.0) for longitude in (177.5, 179, 180, -179 + turn, -177 + turn)]
    detections = gpd.GeoDataFrame(geometry=[shapely.Point(at) for at in places], crs=4326)
    for west in (178, -182):
        zone = gpd.GeoDataFrame(geometry=[shapely.box(west, -18, west + 4, -16)], crs=4326)
        assert summarize(detections, zone).zones["count"].tolist() == [3]


def test_a_detection_counts_in_each_zone_it_lies_in_and_that_is_said() -> None:
    overlapping = zones(WEST, shapely.box(500, 0, 1500, KM), EAST)
    result = summarize(pools((700, 500), (10, 10), (5000, 0)), overlapping)
    assert result.zones["count"].tolist() == [2, 1, 0]
    assert (result.n_predictions, result.in_zones, result.in_several) == (3, 2, 1)
    assert result.overlapping_pairs == 2


def test_zones_that_only_touch_do_not_overlap() -> None:
    assert summarize(pools(*THREE), zones(WEST, EAST)).overlapping_pairs == 0


@pytest.mark.parametrize("status", ["no imagery", "blank", "not read"])
def test_where_nothing_was_searched_the_count_is_unknown(status: str) -> None:
    coverage = zones(shapely.box(0, 0, KM, 250), status=["searched"])
    both = pd.concat([coverage, zones(shapely.box(0, 250, KM, KM), status=[status])])
    predictions, ground = pools((100, 100), (300, 200)), zones(WEST, EAST)
    table = summarize(predictions, ground, coverage=both, rates=ErrorRates(90, 10, 10)).zones
    assert table["searched"].tolist() == ["part", "none"]
    np.testing.assert_allclose(table["covered_fraction"], [0.25, 0], atol=1e-3)
    np.testing.assert_allclose(table["covered_km2"], [0.25, 0], rtol=1e-2)
    np.testing.assert_allclose(table["density_per_km2"][0], 8, rtol=1e-2)
    assert table["count"].tolist()[0] == 2
    unknown = ["count", "density_per_km2", "object_area_m2", "mean_score"]
    assert table.loc[1, [*unknown, "corrected_count", "corrected_low"]].isna().all()


def test_a_zone_that_was_seen_and_is_empty_has_none() -> None:
    everything = zones(shapely.box(-KM, -KM, 4 * KM, 2 * KM)).to_crs("EPSG:4326")
    result = summarize(pools((100, 100)), zones(WEST, EAST), coverage=everything)
    assert result.zones["count"].tolist() == [1, 0]
    assert result.zones["searched"].tolist() == ["all", "all"]
    assert result.zones["covered_fraction"].tolist() == [1, 1]


def test_a_detection_on_ground_that_was_not_searched_counts_all_the_same() -> None:
    coverage = zones(shapely.box(2500, 0, 2600, KM))
    table = summarize(pools((100, 100)), zones(WEST), coverage=coverage).zones
    assert table["count"].tolist() == [1]
    assert table["density_per_km2"].isna().all()


def test_a_layer_with_other_words_is_no_coverage() -> None:
    words = zones(WEST, status=["done"])
    with pytest.raises(
        InputError, match=r"column 'status' holds done; expected blank, no imagery, not"
    ):
        summarize(pools((1, 1)), zones(WEST), coverage=words)


def test_counts_are_corrected_by_the_errors_that_are_known() -> None:
    rates = ErrorRates.from_rates(0.8, 0.5, 200, source="a test")
    result = summarize(pools(*THREE), zones(WEST, EAST), rates=rates)
    np.testing.assert_allclose(result.zones["corrected_count"], [3.2, 1.6])
    assert (result.zones["corrected_low"] < result.zones["corrected_high"]).all()
    assert result.corrected is not None
    estimate, low, high = result.corrected
    assert estimate == pytest.approx(4.8)
    assert low < estimate < high


def test_the_score_threshold_of_the_errors_is_taken_over() -> None:
    predictions = pools(*THREE, score=[0.5, 0.7, 0.9])
    rates = ErrorRates(90, 10, 10, score_threshold=0.6)
    assert summarize(predictions, zones(WEST), rates=rates).zones["count"].tolist() == [1]
    stricter = SummarizeSettings(conf=0.95)
    with pytest.warns(GeodetectWarning, match="error rates") as caught:
        result = summarize(predictions, zones(WEST), rates=rates, settings=stricter)
    assert "those of scores from 0.6 on, but the predictions that count begin at 0.95" in str(
        caught[0].message
    )
    assert result.zones["count"].tolist() == [0]
    assert result.conf == 0.95
    without = summarize(pools(*THREE), zones(WEST), rates=rates)
    assert (without.zones["count"].tolist(), without.conf) == ([2], None)


@pytest.mark.parametrize("conf", [None, 0.6, 0.62])
def test_counts_at_about_the_threshold_of_the_errors_raise_no_doubt(conf: float | None) -> None:
    predictions = pools(*THREE * 20, score=np.linspace(0.1, 0.9, 60))
    rates = ErrorRates(90, 10, 10, score_threshold=0.6)
    summarize(predictions, zones(WEST), rates=rates, settings=SummarizeSettings(conf=conf))


def test_predictions_that_begin_above_the_threshold_of_the_errors_are_named() -> None:
    predictions = pools(*THREE * 20, score=np.linspace(0.7, 0.9, 60))
    rates = ErrorRates(90, 10, 10, score_threshold=0.6, source="the card of model pools")
    with pytest.warns(GeodetectWarning, match=r"card of model pools .*0\.6 on, .* begin at 0\.7"):
        summarize(predictions, zones(WEST), rates=rates)


def test_without_scores_there_is_no_mean_score() -> None:
    assert summarize(pools(*THREE), zones(WEST)).zones["mean_score"].isna().all()


def test_points_have_no_area() -> None:
    predictions = pools(*THREE)
    predictions = predictions.set_geometry(predictions.geometry.centroid)
    table = summarize(predictions, zones(WEST)).zones
    assert table["count"].tolist() == [2]
    assert table["object_area_m2"].isna().all()


def test_empty_layers_are_legal() -> None:
    table = summarize(pools(), zones(WEST), rates=ErrorRates(90, 10, 10)).zones
    assert table["count"].tolist() == [0]
    assert table["corrected_low"].tolist() == [0]
    assert len(summarize(pools(*THREE), zones()).zones) == 0


def test_only_some_classes_are_counted() -> None:
    predictions = pools(*THREE, **{"class": ["pool", "tank", "pool"]})
    some = SummarizeSettings(classes=("pool",))
    assert summarize(predictions, zones(WEST, EAST), settings=some).zones["count"].tolist() == [
        1,
        1,
    ]
    with pytest.raises(InputError, match=r"`classes`: the predictions have no 'car', only pool"):
        summarize(predictions, zones(WEST), settings=SummarizeSettings(classes=("car",)))


def test_the_columns_of_scores_and_classes_can_be_named(tmp_path: Path) -> None:
    predictions = pools(*THREE, score=[0.1] * 3, quality=[0.4, 0.6, 0.8], use=["a", "a", "b"])
    limits = SummarizeSettings(score_field="quality", conf=0.5, class_field="use", classes=("a",))
    result = summarize(predictions, zones(WEST, EAST), settings=limits)
    assert result.zones["count"].tolist() == [1, 0]
    assert result.zones["mean_score"].tolist()[0] == 0.6
    written = gpd.read_file(result.write(tmp_path / "zones.gpkg"), layer="zones")
    assert written["count"].tolist() == [1, 0]


def test_of_changes_those_with_a_detection_count() -> None:
    register = pools(*THREE[:2], (700, 700)).drop(columns=["score", "class"], errors="ignore")
    changes = geodetect.compare(pools(*THREE), register).changes
    assert len(changes) == 4  # one is missing
    assert summarize(changes, zones(WEST, EAST)).n_predictions == 3
    earlier = geodetect.compare(pools(*THREE[:1]), before=pools(*THREE)).changes
    assert summarize(earlier, zones(WEST, EAST)).n_predictions == 1


def test_zones_keep_their_columns() -> None:
    named_zones = zones(WEST, Count=[7], status=["x"], area_km2=[3.0])
    table = summarize(pools(*THREE), named_zones).zones
    assert list(table.columns)[:4] == ["zone_Count", "status", "zone_area_km2", "count"]
    assert table["zone_Count"].tolist() == [7]


def test_zones_that_cross_themselves_are_repaired_and_holes_stay_open() -> None:
    bow = shapely.Polygon([(0, 0), (KM, KM), (KM, 0), (0, KM)])
    ring = shapely.difference(EAST, shapely.box(1900, 400, 2100, 600))
    parts = shapely.MultiPolygon([shapely.box(0, 0, 200, 200), shapely.box(990, 0, 1010, KM)])
    with pytest.warns(GeodetectWarning, match="the zones: 1 of 3 polygons cross themselves"):
        table = summarize(pools(*THREE, (500, 900)), zones(bow, ring, parts)).zones
    assert table["count"].tolist() == [2, 0, 2]
    np.testing.assert_allclose(table["area_km2"], [0.5, 1.96, 0.06], rtol=2e-3)


@pytest.mark.parametrize("side", ["predictions", "zones"])
def test_a_layer_without_a_crs_is_an_error_that_names_the_option(side: str) -> None:
    layers = {"predictions": pools(*THREE), "zones": zones(WEST)}
    layers[side] = layers[side].set_crs(None, allow_override=True)
    option = "`pred_crs`" if side == "predictions" else "`zones_crs`"
    with pytest.raises(InputError, match=f"no coordinate reference system; name it with {option}"):
        summarize(**layers)
    stated = SummarizeSettings(pred_crs=METRES, zones_crs=METRES)
    assert summarize(**layers, settings=stated).zones["count"].tolist() == [2]


def test_points_are_no_zones() -> None:
    with pytest.raises(InputError, match=r"holds Point; expected polygons"):
        summarize(pools(*THREE), zones(shapely.Point(0, 0)))


def test_intervals_cover_the_truth_on_real_ground(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that are dropped, doubled and added in clusters stand for a detector."""
    benchmark = importlib.import_module("benchmarks.accuracy.summarize")
    labels = gpd.read_file(shared_data / "pools/california_west.geojson")
    rng = np.random.default_rng(0)
    centres = labels.geometry.centroid
    street = (centres.x // 150 + 1000 * (centres.y // 150)).to_numpy()
    shift = dict(zip(np.unique(street), rng.normal(0, 0.05, len(np.unique(street))), strict=True))
    recall = 0.87 + np.array([shift[s] for s in street])
    detected = labels[rng.random(len(labels)) < recall]
    false = labels.sample(110, random_state=0).translate(40, 25)
    predictions = pd.concat(
        [detected, gpd.GeoDataFrame(geometry=false, crs=labels.crs)], ignore_index=True
    )
    predictions["score"] = 0.9
    with_dispersion, _ = benchmark.measure(predictions, labels, 0.3, 4)
    assert float(with_dispersion["interval coverage"].rstrip("%")) >= 90


def test_the_library_offers_it() -> None:
    assert geodetect.summarize is summarize
