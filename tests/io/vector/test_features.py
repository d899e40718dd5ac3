"""Layers as the comparison of layers needs them."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geodetect.errors import GeodetectWarning, InputError
from geodetect.io.vector.features import box_centres, prefix_collisions, read_scores
from geodetect.io.vector.geopackage import Layer, write_layers
from geodetect.io.vector.read import PREDICTIONS, LayerRole, read_features
from geodetect.io.vector.write import write

SQUARE = shapely.box(0, 0, 2, 4)
THINGS = LayerRole("the things", "things_crs")


def square_table(crs: str | None = "EPSG:2154", **columns: object) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=[SQUARE], crs=crs)


@pytest.mark.parametrize("role", [PREDICTIONS, THINGS])
def test_detections_are_read_from_a_file_that_also_holds_the_coverage(
    tmp_path: Path, role: LayerRole
) -> None:
    layers = [Layer("coverage", square_table()), Layer("detections", square_table(score=[0.5]))]
    path = write_layers(layers, tmp_path / "out.gpkg")
    assert read_features(path, role)["score"].tolist() == [0.5]
    named = read_features(f"{path}|layername=coverage", PREDICTIONS)
    assert list(named.columns) == ["geometry"]


def test_of_several_layers_one_must_be_picked(tmp_path: Path) -> None:
    path = write_layers(
        [Layer("one", square_table()), Layer("two", square_table())], tmp_path / "two.gpkg"
    )
    with pytest.raises(InputError, match=r"has the layers one, two; pick one"):
        read_features(path, THINGS)


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "fgb", "shp", "parquet"])
def test_any_format_gives_the_same_features(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"things.{suffix}"
    things = square_table("EPSG:4326", number=[3])
    if suffix == "parquet":
        things.to_parquet(path)
    else:
        things.to_file(path)
    read = read_features(path, THINGS)
    assert read["number"].tolist() == [3]
    assert shapely.equals(read.geometry[0], SQUARE)


def test_the_name_of_the_geometry_column_and_heights_do_not_matter() -> None:
    solid = square_table().set_geometry(shapely.force_3d([SQUARE], 9)).rename_geometry("shape")
    read = read_features(solid.set_index(np.array([7])), THINGS)
    assert read.geometry.name == "geometry"
    assert not read.geometry.has_z.any()
    assert read.index.tolist() == [0]


def test_a_crs_can_be_stated_and_overrules_that_of_the_file(tmp_path: Path) -> None:
    assert read_features(square_table(None), THINGS, crs="EPSG:2056").crs.to_epsg() == 2056
    square_table("EPSG:2154").to_file(tmp_path / "t.gpkg")
    assert read_features(tmp_path / "t.gpkg", THINGS, crs="EPSG:2056").crs.to_epsg() == 2056
    with pytest.raises(InputError, match="`things_crs`: 'nowhere' is no coordinate"):
        read_features(square_table(None), THINGS, crs="nowhere")


def test_a_layer_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.gpkg does not exist"):
        read_features(tmp_path / "absent.gpkg", THINGS)
    (tmp_path / "empty.geojson").write_text("")
    with pytest.raises(InputError, match=r"empty\.geojson cannot be read"):
        read_features(tmp_path / "empty.geojson", THINGS)


def test_lines_of_geojson_without_any_are_read(tmp_path: Path) -> None:
    nothing = gpd.GeoDataFrame({"score": [0.0]}, geometry=[None], crs="EPSG:32632")[:0]
    lines = write(nothing, tmp_path / "a.geojsonl")  # as a file that was cut to nothing
    with pytest.warns(GeodetectWarning, match="a.geojsonl is an empty file: no features"):
        assert len(read_features(lines, PREDICTIONS)) == 0


def test_open_rings_are_closed_and_what_is_no_geometry_is_told(tmp_path: Path) -> None:
    rings = [[[7, 46], [8, 46], [8, 47]], [[7, 46]]]
    shapes = [{"type": "Polygon", "coordinates": [ring]} for ring in rings]
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in shapes]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.warns(GeodetectWarning, match="1 of 2 rows without a geometry are left out"):
        (geometry,) = read_features(path, PREDICTIONS).geometry
    assert geometry.equals(shapely.Polygon(rings[0]))


def test_a_collection_without_features_is_read(tmp_path: Path) -> None:
    path = tmp_path / "none.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    assert len(read_features(path, THINGS)) == 0


def test_centres_are_those_of_boxes() -> None:
    bend = shapely.Polygon([(0, 0), (4, 0), (4, 1), (1, 1), (1, 4), (0, 4)])
    things = gpd.GeoDataFrame(geometry=[bend], crs="EPSG:2154")
    assert box_centres(things).tolist() == [[2, 2]]


@pytest.mark.parametrize("name", ["score", "Confidence", "PROBABILITY"])
def test_scores_are_found_whatever_they_are_called(name: str) -> None:
    assert read_scores(square_table(**{name: [0.5]})).tolist() == [0.5]


def test_without_a_column_scores_are_missing() -> None:
    assert np.isnan(read_scores(square_table())).all()


def test_names_that_are_taken_get_a_prefix_as_often_as_needed() -> None:
    things = square_table(ID=[1], old_id=[2], fid=[3], name=[4])
    free = prefix_collisions(things, {"id"}, "old_")
    assert list(free.columns) == ["old_ID", "old_old_id", "old_fid", "name", "geometry"]
