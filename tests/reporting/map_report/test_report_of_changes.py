"""Reports of what ``compare`` wrote: statuses, the order of work, addresses."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import geodetect
from geodetect.errors import GeodetectWarning, InputError
from geodetect.reporting.map_report import gallery
from geodetect.settings import CompareSettings, ReportSettings
from tests.conftest import Save
from tests.helpers.change_layers import (
    SIDE,
    pool_changes,
    pool_predictions,
    pool_register,
    squares_table,
)
from tests.helpers.report_pages import report_data


@pytest.fixture
def imagery(save: Save) -> Path:
    return save(np.full((3, SIDE, SIDE), 60, np.uint8))


def names_of(data: dict[str, Any]) -> list[str]:
    """The status of each row on the page."""
    return [data["statuses"][code]["name"] for code in data["predictions"]["status"]]


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "parquet", "shp", "fgb", "csv"])
def test_changes_of_every_format_are_shown_by_status_with_the_new_ones_first(
    tmp_path: Path, imagery: Path, suffix: str
):
    path = pool_changes().write(tmp_path / f"changes.{suffix}")
    crs = "EPSG:2154" if suffix == "csv" else None  # the format holds none
    data = report_data(tmp_path, path, raster=imagery, pred_crs=crs)
    assert [s["name"] for s in data["statuses"]] == ["new", "missing", "moved", "confirmed"]
    assert [s["count"] for s in data["statuses"]] == [1, 1, 1, 1]
    assert names_of(data) == ["confirmed", "moved", "new", "missing"]  # in the order of scores
    assert data["predictions"]["score"] == [0.9, 0.7, 0.6, None]
    assert data["predictions"]["order"] == [2, 3, 1, 0]
    assert data["classes"] == ["pool"]
    assert data["noun"] == {"singular": "pool", "plural": "pools"}
    assert data["work"] == "1 new pool without a permit first"


def test_colours_and_dashes_are_those_of_the_style_for_qgis(tmp_path: Path, imagery: Path):
    data = report_data(tmp_path, pool_changes().changes, raster=imagery)
    style = pool_changes().layers()[0].style
    for status in data["statuses"]:
        red, green, blue = (int(status["colour"][n : n + 2], 16) for n in (1, 3, 5))
        assert f"{red},{green},{blue},255" in style
    assert [s["name"] for s in data["statuses"] if s["dashed"]] == ["missing"]


def test_thumbnails_have_the_colours_of_the_statuses(
    tmp_path: Path, imagery: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gallery, "MAX_THUMBNAILS", 3)
    data = report_data(tmp_path, pool_changes().changes, raster=imagery, gsd=0.8)
    assert set(data["thumbnails"]) == {"1", "2", "3"}  # all but the confirmed one
    for row, uri in data["thumbnails"].items():
        image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
        status = data["statuses"][data["predictions"]["status"][int(row)]]
        colour = np.array(list(bytes.fromhex(status["colour"][1:])))
        assert (np.abs(np.asarray(image).astype(int) - colour).max(axis=2) < 60).sum() > 50


def test_a_geopackage_with_parcels_is_read_by_its_layer_of_changes(tmp_path: Path, imagery: Path):
    parcels = squares_table([(0, 0, SIDE, SIDE)], number=["AB 12"])
    comparison = geodetect.compare(pool_predictions(), pool_register(), parcels=parcels)
    data = report_data(tmp_path, comparison.write(tmp_path / "c.gpkg"), raster=imagery)
    assert len(data["predictions"]["x"]) == 4


def test_changes_since_an_earlier_year_have_their_own_words(tmp_path: Path, imagery: Path):
    earlier = pool_predictions().iloc[1:]
    changes = geodetect.compare(pool_predictions(), before=earlier).changes
    data = report_data(tmp_path, changes, raster=imagery)
    assert [s["name"] for s in data["statuses"]] == ["appeared", "confirmed"]
    assert data["work"] == "1 appeared pool first"


def test_columns_of_the_register_are_kept_and_the_address_is_recognised(
    tmp_path: Path, imagery: Path
):
    data = report_data(tmp_path, pool_changes().changes, raster=imagery)
    columns = {column["name"]: column for column in data["predictions"]["columns"]}
    assert columns["permit"]["values"] == ["P-1", "P-2", "", "P-3"]
    assert (data["address"], data["permit"]) == ("adresse", "permit")
    assert "status" not in columns


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Address", ["1 High Street"]),
        ("addr:full", ["1 High Street"]),
        ("register_Dirección", ["Calle Mayor 1"]),
        ("Endereço", ["Rua A"]),
        ("STRASSE", ["Hauptstr. 1"]),
        ("id_parcelle", ["061000AB12"]),
        ("Flurstück", ["12/3"]),
        ("ref_catastral", ["9872023"]),
    ],
)
def test_usual_names_of_addresses_and_parcels_are_recognised(
    tmp_path: Path, name: str, values: list[str]
):
    table = pool_predictions().iloc[:1].assign(**{name: values})
    assert report_data(tmp_path, table)["address"] == name


def test_an_address_is_preferred_to_a_parcel_an_empty_one_is_not_and_another_can_be_named(
    tmp_path: Path,
):
    table = pool_predictions().assign(parcel="AB 12", address="1 High Street", place="North")
    assert report_data(tmp_path, table)["address"] == "address"
    assert report_data(tmp_path, table.assign(address=" "))["address"] == "parcel"
    assert report_data(tmp_path, table, address_field="Place")["address"] == "place"
    assert report_data(tmp_path, pool_predictions())["address"] is None
    with pytest.raises(InputError, match="`address_field`"):
        report_data(tmp_path, table, address_field="home")


def test_a_parcel_that_new_objects_have_is_preferred_to_an_address_that_they_lack(
    tmp_path: Path, imagery: Path
):
    parcels = squares_table([(0, 0, SIDE, SIDE)], number=["AB 12"])
    comparison = geodetect.compare(pool_predictions(), pool_register(), parcels=parcels)
    data = report_data(tmp_path, comparison.changes, raster=imagery)
    assert data["address"] == "parcel"


def test_objects_of_the_register_stay_whatever_the_score_threshold(tmp_path: Path, imagery: Path):
    data = report_data(tmp_path, pool_changes().changes, raster=imagery, conf=0.8)
    assert data["score_threshold"] == 0.8
    assert len(data["predictions"]["x"]) == 4


def test_changes_of_points_without_scores_have_none(tmp_path: Path, imagery: Path):
    points = pool_predictions().drop(columns="score")
    points = points.set_geometry(points.centroid)
    changes = geodetect.compare(points, pool_register(), settings=CompareSettings()).changes
    data = report_data(tmp_path, changes, raster=imagery)
    assert data["predictions"]["score"] is None
    assert len(data["predictions"]["status"]) == 4


def test_words_of_somebody_else_follow_in_grey(tmp_path: Path, imagery: Path):
    changes = pool_changes().changes
    changes.loc[0, "status"] = "checked by hand"
    changes.loc[1, "status"] = None
    data = report_data(tmp_path, changes, raster=imagery)
    names = [s["name"] for s in data["statuses"]]
    assert names == ["missing", "moved", "checked by hand", ""]


def test_a_status_of_another_program_is_a_column_like_others(tmp_path: Path, imagery: Path):
    data = report_data(tmp_path, pool_predictions().assign(status="open"), raster=imagery)
    assert data["statuses"] is None
    assert "status" in {column["name"] for column in data["predictions"]["columns"]}


def test_rows_without_a_geometry_are_counted_and_nothing_else_is_an_error(
    tmp_path: Path, imagery: Path
):
    changes = pool_changes().changes
    changes.loc[[0], "geometry"] = None
    with pytest.warns(GeodetectWarning, match="1 of 4 rows have no geometry"):
        data = report_data(tmp_path, changes, raster=imagery)
    assert len(data["predictions"]["x"]) == 3
    empty = gpd.GeoDataFrame(
        pd.DataFrame(changes.drop(columns="geometry")), geometry=[None] * 4, crs="EPSG:2154"
    )
    with pytest.raises(InputError, match="none of the 4 rows has a geometry"):
        report_data(tmp_path, empty, raster=imagery)


def test_predictions_without_a_status_still_need_a_score_in_each_row(tmp_path: Path):
    table = pool_predictions()
    table.loc[0, "score"] = np.nan
    with pytest.raises(InputError, match="1 of 3 rows have no score"):
        report_data(tmp_path, table)


def test_changes_are_not_compared_with_ground_truth_again(tmp_path: Path, imagery: Path):
    with pytest.raises(InputError, match="leave `truth` away"):
        report_data(tmp_path, pool_changes().changes, raster=imagery, truth=pool_register())


@pytest.mark.parametrize(
    ("permits", "permitted"),
    [
        (["P-1", " ", "P-3"], [True, False, True]),
        ([True, False, None], [True, False, False]),
        (["yes", "No", "non"], [True, False, False]),
        ([7, 0, None], [True, False, False]),
    ],
)
def test_a_permit_is_neither_blank_nor_no_nor_0(
    tmp_path: Path, imagery: Path, permits: list[Any], permitted: list[bool]
):
    register = pool_register().assign(permit=permits)  # confirmed, moved, missing
    changes = geodetect.compare(pool_predictions(), register).write(tmp_path / "changes.gpkg")
    data = report_data(tmp_path, changes, raster=imagery)
    assert names_of(data) == ["confirmed", "moved", "new", "missing"]
    confirmed, moved, new, missing = data["predictions"]["permitted"]
    assert [confirmed, moved, missing] == permitted
    assert not new


def test_where_all_are_confirmed_those_without_a_permit_come_first(tmp_path: Path, imagery: Path):
    register = pool_predictions().drop(columns=["score", "id", "class"])
    register["permit"] = ["P-1", None, "P-3"]
    changes = geodetect.compare(pool_predictions(), register).changes
    assert report_data(tmp_path, changes, raster=imagery)["work"] == (
        "1 confirmed pool without a permit first"
    )
    changes["permit"] = "P-1"
    assert report_data(tmp_path, changes, raster=imagery)["work"] is None


def test_without_a_column_of_permits_there_are_none(tmp_path: Path, imagery: Path):
    changes = pool_changes().changes.drop(columns="permit")
    data = report_data(tmp_path, changes, raster=imagery)
    assert data["permit"] is None
    assert data["predictions"]["permitted"] is None
    assert data["work"] == "1 new pool first"


def test_a_column_of_permits_can_be_named_for_predictions_too(tmp_path: Path, imagery: Path):
    table = pool_predictions().assign(dossier=["", "17/4", "no"], permit="P-1")
    assert report_data(tmp_path, table)["permit"] is None  # "permit" may mean anything there
    data = report_data(tmp_path, table, permit_field="Dossier")
    assert (data["permit"], data["predictions"]["permitted"]) == ("dossier", [1, 0, 0])
    assert data["predictions"]["order"] is None
    changes = pool_changes().changes.assign(dossier="")
    data = report_data(tmp_path, changes, raster=imagery, permit_field="dossier")
    assert data["predictions"]["permitted"] == [0] * 4
    with pytest.raises(InputError, match="`permit_field`"):
        report_data(tmp_path, table, permit_field="licence")


def test_the_headline_is_read_without_a_script(tmp_path: Path, imagery: Path):
    page = tmp_path / "page.html"
    geodetect.report(pool_changes().changes, page, raster=imagery)
    text = '<p id="headline">4 pools: 1 new, 1 missing, 1 moved, 1 confirmed</p>'
    assert text in page.read_text("utf-8")
    geodetect.report(
        pool_predictions(), page, raster=imagery, truth=pool_register(), overwrite=True
    )
    assert '<p id="headline">3 detections, 1 pool missed</p>' in page.read_text("utf-8")


def test_the_heading_names_changes(tmp_path: Path, imagery: Path):
    page = tmp_path / "page.html"
    geodetect.report(pool_changes().changes, page, raster=imagery, settings=ReportSettings())
    assert "<title>Changes in scene.tif" in page.read_text("utf-8")
