"""Damaged vector files: each is refused with the reason, and none is read in part."""

from __future__ import annotations

import gzip
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from geodetect.errors import GeodetectWarning, InputError, LabelError
from geodetect.io.vector.read import LABELS, PREDICTIONS, read_area, read_layer
from tests.helpers.layers import square_layer

N_ROWS = 200
ORIGIN_M = (500_000.0, 5_000_000.0)


def many_squares() -> gpd.GeoDataFrame:
    corners = np.stack([np.arange(N_ROWS) * 20.0, np.zeros(N_ROWS)], axis=1)
    return square_layer(*corners, **{"class": ["pool"] * N_ROWS})


def save(path: Path, table: gpd.GeoDataFrame | None = None) -> Path:
    table = many_squares() if table is None else table
    if path.suffix == ".parquet":
        table.to_parquet(path)
        return path
    if path.suffix in (".geojson", ".geojsonl", ".geojsons", ".kml", ".gpx"):
        table = table.to_crs("OGC:CRS84")
    if path.suffix == ".gpx":
        table = gpd.GeoDataFrame(geometry=table.representative_point(), crs=table.crs)
    options = {"layer": "waypoints"} if path.suffix == ".gpx" else {}
    if path.suffix == ".kml":
        options = {"driver": "KML"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyogrio.write_dataframe(table, path, **options)
    path.with_suffix(".xsd").unlink(missing_ok=True)  # a GML file is often sent without it
    return path


def damage(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def cut(fraction: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * fraction)]


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.96])
@pytest.mark.parametrize(
    "name",
    [
        *("a.geojson", "a.geojsonl", "a.geojsons", "a.fgb", "a.gml", "a.gpkg", "a.shp"),
        *("a.kml", "a.gpx", "a.parquet", "a.sqlite"),
    ],
)
def test_a_file_that_is_cut_short_is_refused_in_one_line(
    tmp_path: Path, name: str, fraction: float
) -> None:
    path = damage(save(tmp_path / name), cut(fraction))
    with pytest.raises(LabelError, match=name) as error:
        read_layer(path, LABELS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.geojsonl", "a.geojsons", "a.json", "a.geojsonl.gz"])
def test_a_damaged_line_of_geojson_is_named(tmp_path: Path, name: str) -> None:
    lines = save(tmp_path / "b.geojsonl").read_text().splitlines()
    lines[56] = lines[56][:40]
    text = "\n".join(lines) + "\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    with pytest.raises(InputError, match="line 57 is no GeoJSON feature"):
        read_layer(path, PREDICTIONS)


def test_a_damaged_record_of_a_geojson_sequence_is_named(tmp_path: Path) -> None:
    lines = save(tmp_path / "b.geojsonl").read_text().splitlines()
    path = tmp_path / "a.geojsons"
    path.write_text("".join(f"\x1e{line}\n" for line in lines))
    assert len(read_layer(path, PREDICTIONS)) == N_ROWS
    lines[3] = lines[3][:30]
    path.write_text("".join(f"\x1e{line}\n" for line in lines))
    with pytest.raises(InputError, match="line 4 is no GeoJSON feature"):
        read_layer(path, PREDICTIONS)


def test_a_last_line_without_a_line_break_is_a_doubt(tmp_path: Path) -> None:
    text = save(tmp_path / "a.geojsonl").read_text()
    for path in (tmp_path / "a.geojsonl", tmp_path / "a.csv"):
        path.write_text(text[:-1] if path.suffix == ".geojsonl" else "x,y\n" + "1,2\n" * 30 + "3,4")
        with pytest.warns(GeodetectWarning, match=r"the last line, \d+, has no line break"):
            read_layer(path, PREDICTIONS, crs="EPSG:32632")


def test_blank_lines_and_collections_in_lines_are_no_damage(tmp_path: Path) -> None:
    lines = save(tmp_path / "b.geojsonl").read_text().splitlines()[:3]
    path = tmp_path / "a.geojsonl"
    path.write_text("\n\n".join(lines) + "\n\n")
    assert len(read_layer(path, PREDICTIONS)) == 3


def test_a_lost_position_in_geojson_is_refused_with_the_row(tmp_path: Path) -> None:
    rings = [[[0, 0], [1, 0], [1, 1], [0, 0]], [[0, 0], [1], [1, 1], [0, 0]]]
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [r]}}
        for r in rings
    ]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(InputError, match="geometry of row 2 is damaged"):
        read_layer(path, PREDICTIONS)


@pytest.mark.parametrize("suffix", [".shx", ".dbf"])
@pytest.mark.parametrize("state", ["missing", "cut short", "of another file"])
def test_a_shapefile_needs_all_of_its_parts(tmp_path: Path, suffix: str, state: str) -> None:
    path = save(tmp_path / "a.shp")
    part = path.with_suffix(suffix)
    if state == "missing":
        part.unlink()
    elif state == "cut short":
        damage(part, cut(0.6))
    else:
        other = save(tmp_path / "b.shp", many_squares().iloc[:50])
        part.write_bytes(other.with_suffix(suffix).read_bytes())
    with pytest.raises(InputError, match=r"a\.(shx|dbf|shp)"):
        read_layer(path, PREDICTIONS)


@pytest.mark.parametrize("suffix", [".shp", ".shx"])
def test_overwritten_records_of_a_shapefile_are_counted(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / "a.shp")
    damage(path.with_suffix(suffix), lambda data: data[:500] + bytes(300) + data[800:])
    with pytest.raises(InputError, match=r"of 200 geometries are damaged, the first in row \d+"):
        read_layer(path, PREDICTIONS)


@pytest.mark.parametrize("name", ["a.shp", "a.gpkg", "a.geojson", "a.fgb", "a.gml", "a.geojsonl"])
def test_rows_without_a_geometry_are_no_damage(tmp_path: Path, name: str) -> None:
    table = many_squares()
    table.loc[3, "geometry"] = None
    path = tmp_path / name
    if path.suffix == ".fgb":
        pyogrio.write_dataframe(table, path, SPATIAL_INDEX="NO")
    else:
        save(path, table)
    layer = read_layer(path, PREDICTIONS)
    assert len(layer) == N_ROWS
    assert layer.geometry.isna().sum() == 1


def test_a_damaged_geometry_of_a_geopackage_is_no_row_without_one(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gpkg")
    blob = shapely.to_wkb(many_squares().geometry.iloc[100])
    damage(path, lambda data: data.replace(blob, bytes(5) + blob[5:]))
    with pytest.raises(InputError, match=r"a\.gpkg cannot be read as a vector file"):
        read_layer(path, PREDICTIONS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 200_000, "cannot be read"),
        ('{"type":"FeatureCollection","features":' + "[" * 200_000, "cannot be read"),
        ("<gml>" * 100_000, "damaged XML"),
        ("", "cannot be read"),
        ("\0" * 1000, "cannot be read"),
    ],
)
@pytest.mark.parametrize("name", ["a.geojson", "a.gml"])
def test_nonsense_is_one_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(LabelError, match=message) as error:
        read_layer(path, LABELS)
    assert "\n" not in str(error.value)


def test_parquet_without_geo_metadata_is_one_line(tmp_path: Path) -> None:
    many_squares().drop(columns="geometry").to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet.*[Mm]issing geo metadata"):
        read_layer(tmp_path / "a.parquet", PREDICTIONS)


@pytest.mark.parametrize("text", ['PROJCS["WGS_1984_UTM_Zo', 'GEOGCS["x"]', "nonsense"])
def test_a_damaged_prj_is_one_line_that_names_the_way_out(tmp_path: Path, text: str) -> None:
    path = save(tmp_path / "a.shp")
    path.with_suffix(".prj").write_text(text)
    with pytest.raises(InputError, match=r"a\.shp.*(\.prj|no coordinate ref).*`pred_crs`") as error:
        read_layer(path, PREDICTIONS)
    assert "\n" not in str(error.value)
    path.with_suffix(".prj").unlink()
    assert len(read_layer(path, PREDICTIONS, crs="EPSG:32632")) == N_ROWS


@pytest.mark.parametrize("value", [np.inf, 1e300, np.nan])
def test_coordinates_that_are_no_places_are_refused(tmp_path: Path, value: float) -> None:
    ring = [(0, 0), (1, 0), (value, 1), (0, 0)]
    table = gpd.GeoDataFrame(geometry=[shapely.Polygon(ring)], crs="EPSG:32632")
    path = save(tmp_path / "a.gpkg", table)
    with pytest.raises(InputError, match=r"no numbers, the first in row 1|up to 1e\+300"):
        read_area(path, default_crs=None)


def test_a_zip_of_a_shapefile_and_gzip_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.shp")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for suffix in (".shp", ".shx", ".dbf", ".prj"):
            archive.write(path.with_suffix(suffix), f"folder/a{suffix}")
    assert len(read_layer(tmp_path / "a.zip", PREDICTIONS)) == N_ROWS
    packed = tmp_path / "a.geojson.gz"
    packed.write_bytes(gzip.compress(save(tmp_path / "a.geojson").read_bytes()))
    assert len(read_layer(packed, PREDICTIONS)) == N_ROWS
    damage(packed, cut(0.7))
    with pytest.raises(InputError, match="cannot be read"):
        read_layer(packed, PREDICTIONS)


@pytest.mark.parametrize("name", ["a.zip", "a.geojson.gz"])
def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(
    tmp_path: Path, name: str
) -> None:
    feature = (
        '{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}},\n'
    )
    text = '{"type":"FeatureCollection","features":[' + feature * 150_000 + "]}"
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.geojson", text)
    with pytest.raises(InputError, match="unpacks to 13 MB, more than 100 times its size"):
        read_layer(path, PREDICTIONS)


def test_coordinates_that_the_crs_does_not_reach_are_refused(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 9e7, 9e7)], crs="EPSG:32632")
    path = save(tmp_path / "a.gpkg", table)
    with pytest.raises(InputError, match=r"up to 90000000, which are no place on the Earth"):
        read_layer(path, PREDICTIONS)
