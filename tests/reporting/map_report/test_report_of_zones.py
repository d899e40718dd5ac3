"""Zones on the page: the counts of ``summarize``, and layers that are mistaken for zones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

import geodetect
from geodetect import ErrorRates, SummarizeSettings
from geodetect.errors import GeodetectWarning, InputError
from tests.conftest import Save
from tests.helpers.change_layers import (
    SIDE,
    pool_changes,
    pool_predictions,
    pool_register,
    squares_table,
)
from tests.helpers.report_pages import report_data

RATES = ErrorRates(80, 20, 20, score_threshold=0.65, source="a test")


@pytest.fixture
def imagery(save: Save) -> Path:
    return save(np.full((3, SIDE, SIDE), 60, np.uint8))


def communes(*boxes: tuple[int, int, int, int]) -> gpd.GeoDataFrame:
    """Zones in pixels of the scene: by default its left and its right half."""
    boxes = boxes or ((0, 0, 150, SIDE), (150, 0, SIDE, SIDE))
    return squares_table(
        boxes, code=range(len(boxes)), name=[f"Zone {n}" for n in range(len(boxes))]
    )


def by_name(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {zone["name"]: zone for zone in data["zones"]["list"]}


def test_zones_have_the_counts_of_summarize(tmp_path: Path, imagery: Path):
    ground = squares_table([(0, 0, 150, 150)])
    summary = geodetect.summarize(pool_predictions(), communes(), coverage=ground, rates=RATES)
    data = report_data(
        tmp_path, pool_predictions(), raster=imagery, zones=communes(), coverage=ground, rates=RATES
    )
    for zone, record in zip(data["zones"]["list"], summary.records(), strict=True):
        assert (zone["name"], zone["count"]) == (record["name"], record["count"])
        assert zone["density"] == record["density_per_km2"]
        assert [zone["expected"], zone["low"], zone["high"]] == [
            record[f"corrected_{name}"] for name in ("count", "low", "high")
        ]
        assert (zone["searched"], zone["searched_fraction"]) == (
            record["searched"],
            record["covered_fraction"],
        )
    assert data["zones"]["score_threshold"] == data["score_threshold"] == 0.65
    assert data["zones"]["counted"] == 2
    assert data["zones"]["corrected"]["source"] == "a test"


def test_outlines_are_in_pixels_of_the_map_and_densities_are_shaded(tmp_path: Path, imagery: Path):
    data = report_data(tmp_path, pool_predictions(), raster=imagery, zones=communes())
    ring = np.array(data["zones"]["list"][0]["rings"][0]).reshape(-1, 2) / 10
    np.testing.assert_allclose([ring.min(axis=0), ring.max(axis=0)], [[0, 0], [150, 300]], atol=0.1)
    assert [zone["shade"] for zone in data["zones"]["list"]] == [4, 0]
    assert len(data["palette"]["zones"]) == 5
    assert data["zones"]["breaks"][0] == data["zones"]["list"][1]["density"]


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "csv"])
def test_the_layer_that_summarize_wrote_is_taken_as_it_is(
    tmp_path: Path, imagery: Path, suffix: str
):
    ground = squares_table([(0, 0, 150, 150)])
    summary = geodetect.summarize(pool_predictions(), communes(), coverage=ground, rates=RATES)
    path = summary.write(tmp_path / f"zones.{suffix}")
    crs = "EPSG:2154" if suffix == "csv" else None
    data = report_data(tmp_path, pool_predictions(), raster=imagery, zones=path, zones_crs=crs)
    zones = by_name(data)
    assert (zones["Zone 0"]["count"], zones["Zone 1"]["count"]) == (1, 1)
    assert zones["Zone 0"]["searched"] == "part"
    assert zones["Zone 1"]["searched_fraction"] == 0
    assert zones["Zone 0"]["high"] == summary.records()[0]["corrected_high"]


def write_with_coverage(path: Path, layer: str, table: gpd.GeoDataFrame) -> Path:
    """A GeoPackage as ``predict`` and ``compare`` write it: the left half was searched."""
    table.to_file(path, layer=layer)
    squares_table([(0, 0, 150, SIDE)], status=["searched"]).to_file(path, layer="coverage")
    return path


def test_the_coverage_beside_the_predictions_counts_unless_zones_are_counted(
    tmp_path: Path, imagery: Path
):
    path = write_with_coverage(tmp_path / "pools.gpkg", "detections", pool_predictions())
    data = report_data(tmp_path, path, raster=imagery, zones=communes())
    assert [zone["searched"] for zone in data["zones"]["list"]] == ["all", "none"]
    counted = geodetect.summarize(path, communes()).write(tmp_path / "zones.gpkg")
    data = report_data(tmp_path, path, raster=imagery, zones=counted)
    assert [zone["searched"] for zone in data["zones"]["list"]] == ["all", "none"]


def test_the_coverage_goes_with_the_changes(tmp_path: Path, imagery: Path):
    predictions = pool_predictions().iloc[:2]  # in the searched half
    path = write_with_coverage(tmp_path / "pools.gpkg", "detections", predictions)
    register = pool_register()
    register["geometry"] = register.centroid
    changes = geodetect.compare(path, register).write(tmp_path / "changes.gpkg")
    data = report_data(tmp_path, changes, raster=imagery, zones=communes())
    names = {status["name"]: status["count"] for status in data["statuses"]}
    assert names == {"new": 1, "missing": 1, "not searched": 1, "confirmed": 1}
    assert [zone["searched"] for zone in data["zones"]["list"]] == ["all", "none"]
    assert [zone["count"] for zone in data["zones"]["list"]] == [2, None]
    assert geodetect.summarize(changes, communes()).n_predictions == 2


def test_counts_of_other_predictions_are_doubted(tmp_path: Path, imagery: Path):
    zones = geodetect.summarize(pool_predictions(), communes()).zones
    with pytest.warns(GeodetectWarning, match="'Zone 0' counts 2 predictions, but 1 lie in it"):
        report_data(tmp_path, pool_predictions().iloc[1:], raster=imagery, zones=zones)


def test_counted_zones_are_not_counted_again(tmp_path: Path, imagery: Path):
    zones = geodetect.summarize(pool_predictions(), communes()).zones
    with pytest.raises(InputError, match="counted already"):
        report_data(tmp_path, pool_predictions(), raster=imagery, zones=zones, rates=RATES)
    with pytest.raises(InputError, match="name `zones`, too"):
        report_data(tmp_path, pool_predictions(), raster=imagery, rates=RATES)


def test_of_changes_those_with_a_prediction_count_and_each_status_is_listed(
    tmp_path: Path, imagery: Path
):
    data = report_data(tmp_path, pool_changes().changes, raster=imagery, zones=communes())
    zones = by_name(data)
    assert [status["name"] for status in data["statuses"]] == [
        *("new", "missing", "moved", "confirmed"),
    ]
    assert (zones["Zone 0"]["count"], zones["Zone 0"]["statuses"]) == (2, [1, 1, 0, 1])
    assert (zones["Zone 1"]["count"], zones["Zone 1"]["statuses"]) == (1, [0, 0, 1, 0])


def test_overlapping_zones_are_told_and_count_in_each(tmp_path: Path, imagery: Path):
    overlapping = communes((0, 0, 200, SIDE), (100, 0, SIDE, SIDE))
    data = report_data(tmp_path, pool_predictions(), raster=imagery, zones=overlapping)
    assert data["zones"]["overlapping_pairs"] == 1
    assert data["zones"]["in_several"] == 1
    assert data["zones"]["in_zones"] == 3
    assert [zone["count"] for zone in data["zones"]["list"]] == [2, 2]


def test_zones_beyond_the_imagery_need_a_coverage(tmp_path: Path, imagery: Path):
    wide = communes((0, 0, 150, SIDE), (150, 0, 2 * SIDE, SIDE))
    with pytest.warns(GeodetectWarning, match=r"1 of 2 zones reach beyond scene\.tif"):
        report_data(tmp_path, pool_predictions(), raster=imagery, zones=wide)
    ground = squares_table([(0, 0, SIDE, SIDE)])
    data = report_data(tmp_path, pool_predictions(), raster=imagery, zones=wide, coverage=ground)
    assert [zone["searched"] for zone in data["zones"]["list"]] == ["all", "part"]


def test_zones_in_another_crs_lie_where_they_are(tmp_path: Path, imagery: Path):
    data = report_data(
        tmp_path, pool_predictions(), raster=imagery, zones=communes().to_crs("EPSG:4326")
    )
    ring = np.array(data["zones"]["list"][1]["rings"][0]).reshape(-1, 2) / 10
    np.testing.assert_allclose(ring.max(axis=0), [300, 300], atol=1)
    assert [zone["count"] for zone in data["zones"]["list"]] == [2, 1]


@pytest.mark.parametrize("kind", ["detections", "changes", "points"])
def test_detections_are_no_zones(tmp_path: Path, imagery: Path, kind: str):
    points = pool_predictions()
    points["geometry"] = points.centroid
    zones = {"detections": pool_predictions(), "changes": pool_changes().changes, "points": points}
    match = {"detections": "detections with 'score'", "changes": "changes", "points": "polygons"}
    with pytest.raises(InputError, match=match[kind]):
        report_data(tmp_path, pool_predictions(), raster=imagery, zones=zones[kind])
    assert not (tmp_path / "report.html").exists()


def test_zones_are_no_detections(tmp_path: Path, imagery: Path):
    counted = geodetect.summarize(pool_predictions(), communes()).zones
    with pytest.raises(InputError, match="zones that `summarize` counted; name them as `zones`"):
        report_data(tmp_path, counted, raster=imagery)
    blocks = communes().set_geometry(communes().buffer(400))
    with pytest.raises(InputError, match=r"as zones have; name them as `zones`"):
        report_data(tmp_path, blocks, raster=imagery)
    named = blocks.assign(**{"class": "lake"})
    assert len(report_data(tmp_path, named, raster=imagery)["predictions"]["x"]) == 2


def test_zones_of_another_area_are_an_error(tmp_path: Path, imagery: Path):
    far = communes().set_geometry(communes().translate(5e4, 0))
    with (
        pytest.warns(GeodetectWarning, match="apart"),
        pytest.raises(InputError, match=r"none of the 2 zones lies on scene\.tif"),
    ):
        report_data(tmp_path, pool_predictions(), raster=imagery, zones=far)


def test_detailed_outlines_and_zones_of_a_whole_country_leave_the_page_small(
    tmp_path: Path, imagery: Path
):
    centre = communes((0, 0, SIDE, SIDE)).centroid.iloc[0]
    detailed = shapely.Point(centre.x, centre.y).buffer(25, quad_segs=100_000)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(1, 21), np.arange(20)))
    others = shapely.box(
        centre.x + 1e4 * x, centre.y + 1e4 * y, centre.x + 1e4 * x + 9e3, centre.y + 1e4 * y + 9e3
    )
    zones = gpd.GeoDataFrame(geometry=[detailed, *others], crs="EPSG:2154")
    with pytest.warns(GeodetectWarning, match="400 of 401 zones reach beyond"):
        data = report_data(tmp_path, pool_predictions(), raster=imagery, zones=zones)
    assert (len(data["zones"]["list"]), data["zones"]["left_out"]) == (1, 400)
    assert sum(len(ring) for ring in data["zones"]["list"][0]["rings"]) < 400


def test_summarize_refuses_detections_as_zones_too():
    with pytest.raises(InputError, match="detections with 'score'"):
        geodetect.summarize(pool_predictions(), pool_predictions(), settings=SummarizeSettings())
