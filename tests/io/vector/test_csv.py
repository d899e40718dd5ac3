"""Points, outlines and boxes in CSV, as other programs write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import shapely

from geodetect.assessment.evaluate.read_layers import read_truth
from geodetect.errors import GeodetectWarning, LabelError
from geodetect.io.vector.csv_table import read_csv_columns, read_csv_table
from geodetect.io.vector.read import LABELS, PREDICTIONS, read_layer

UTM = "EPSG:32632"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x,y,label\n3.5,4.25,pool\n", (3.5, 4.25)),
        ("X,Y,LABEL\n3.5,4.25,pool\n", (3.5, 4.25)),
        ('"X", "Y", label\n"3.5", 4.25, pool\n', (3.5, 4.25)),
        ("x;y;label\n3,5;4,25;pool\n", (3.5, 4.25)),
        ("label\tx\ty\npool\t3.5\t4.25\n", (3.5, 4.25)),
        ("x|y\n3.5|4.25\n", (3.5, 4.25)),
        ("sep=;\nx;y\n3,5;4,25\n", (3.5, 4.25)),
        ("easting,northing\n3.5,4.25\n", (3.5, 4.25)),
        ("x_coord,y_coord\n3.5,4.25\n", (3.5, 4.25)),
        ("POINT_X,POINT_Y\n3.5,4.25\n", (3.5, 4.25)),
        ("X [m],Y [m]\n3.5,4.25\n", (3.5, 4.25)),
        ('x,y\n"3,5","4,25"\n', (3.5, 4.25)),
        ("lon,lat\n3.5,4.25\n", (3.5, 4.25)),
        ("Latitude,Longitude\n4.25,3.5\n", (3.5, 4.25)),
        ("x,y,lon,lat\n3.5,4.25,1,2\n", (3.5, 4.25)),
        ("x,y\r\n3.5,4.25\r\n\r\n", (3.5, 4.25)),
        ("x,y,\n3.5,4.25,\n", (3.5, 4.25)),
        ("x,y\r3.5,4.25\r", (3.5, 4.25)),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_point_is_read_from_any_dialect(
    tmp_path: Path, text: str, encoding: str, expected: tuple[float, float]
) -> None:
    path = write(tmp_path / "stems.csv", text, encoding)
    layer = read_layer(path, LABELS, crs=UTM)
    assert shapely.get_coordinates(layer.geometry.iloc[0]).tolist() == [list(expected)]


@pytest.mark.parametrize(
    "text",
    [
        'geometry,label\n"POLYGON ((0 0, 2 0, 2 1, 0 1, 0 0))",pool\n',
        "WKT;label\nPOLYGON ((0 0, 2 0, 2 1, 0 1, 0 0));pool\n",
        'outline,label\n"SRID=32632;POLYGON Z ((0 0 1, 2 0 1, 2 1 1, 0 1 1, 0 0 1))",pool\n',
        f"the_geom,label\n{shapely.to_wkb(shapely.box(0, 0, 2, 1), hex=True)},pool\n",
        'geom|label\n{"type":"Polygon","coordinates":[[[0,0],[2,0],[2,1],[0,1],[0,0]]]}|pool\n',
        "xmin,ymin,xmax,ymax,label\n0,0,2,1,pool\n",
        "minx;miny;maxx;maxy;label\n0,0;0;2;1,0;pool\n",
    ],
)
def test_outlines_and_boxes_are_polygons(tmp_path: Path, text: str) -> None:
    truth = read_truth(write(tmp_path / "truth.csv", text), crs=UTM)
    assert truth.geometry.iloc[0].equals(shapely.box(0, 0, 2, 1))
    assert list(truth["class"]) == ["pool"]


def test_longitude_and_latitude_are_on_wgs84_and_an_srid_is_a_crs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "lon,lat\n9,45\n")
    assert read_layer(path, LABELS).crs.to_epsg() == 4326
    path = write(tmp_path / "b.csv", "geom\nSRID=25832;POINT (5 6)\n")
    assert read_layer(path, LABELS).crs.to_epsg() == 25832
    point = shapely.set_srid(shapely.Point(5, 6), 25832)
    path = write(
        tmp_path / "c.csv", f"geom\n{shapely.to_wkb(point, hex=True, include_srid=True)}\n"
    )
    assert read_layer(path, LABELS).crs.to_epsg() == 25832
    path = write(tmp_path / "d.csv", "x,y\n9,45\n")
    with pytest.raises(LabelError, match=r"d\.csv has no coordinate reference.*`labels_crs`"):
        read_layer(path, LABELS)


def test_texts_stay_as_they_are_written(tmp_path: Path) -> None:
    text = 'x,y,image,label,remark\n1,2,007,NA,"two\nlines"\n3,4,1e5,null,\n'
    layer = read_layer(write(tmp_path / "a.csv", text), LABELS, crs=UTM)
    assert list(layer["image"]) == ["007", "1e5"]
    assert list(layer["label"]) == ["NA", "null"]
    assert list(layer["remark"]) == ["two\nlines", None]


def test_rows_without_a_position_are_rows_without_a_geometry(tmp_path: Path) -> None:
    layer = read_layer(write(tmp_path / "a.csv", "x,y\n1,2\n,\nNaN,3\n"), LABELS, crs=UTM)
    assert layer.geometry.isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n3", r"line 3 has 1 fields, the header 2"),
        ("x,y\n1,2\n3,4,5\n", r"line 3 has 3 fields, the header 2"),
        ('x,y,label\n1,2,"pool\n', r"line \d is damaged or cut short"),
        ("x,y\n1,inf\n", r"line 2 has 'inf' in column 'y'; expected a number"),
        ("x,y\n1,here\n", r"line 2 has 'here' in column 'y'; expected a number"),
        ('x,y\n"1,234",5\n', r"line 2 has '1,234' in column 'x'; expected a number"),
        ("geometry\nPOINT (1 2)\nPOINT (1\n", r"line 3 has 'POINT \(1' in column 'geometry'"),
        ("a,b\n1,2\n", r"no geometries: its columns are a, b; expected x and y, lon and lat.*WKT"),
        ("x,X,y\n1,2,3\n", r"several columns x \(x, X\)"),
        ("", r"is empty"),
        ("x,y\n1,\0\0\n", r"line 2 holds null characters"),
        ("geom\nSRID=1;POINT (1 2)\nSRID=2;POINT (1 2)\n", r"several CRS: EPSG:1, EPSG:2"),
    ],
)
def test_what_a_csv_lacks_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=rf"a\.csv.*{message}") as error:
        read_layer(write(tmp_path / "a.csv", text), LABELS, crs=UTM)
    assert "\n" not in str(error.value)


def test_other_encodings_are_read_with_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x;y;label\n1;2;Bäume\n", "cp1252")
    with pytest.warns(GeodetectWarning, match="not in UTF-8; read as Windows-1252"):
        layer = read_layer(path, LABELS, crs=UTM)
    assert list(layer["label"]) == ["Bäume"]


def test_long_outlines_and_gzip_are_read(tmp_path: Path) -> None:
    angles = np.linspace(0, 2 * np.pi, 10_000)
    ring = shapely.Polygon(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(f'geometry\n"{ring.wkt}"\n'.encode()))
    layer = read_layer(path, PREDICTIONS, crs=UTM)
    assert shapely.get_num_coordinates(layer.geometry.iloc[0]) == 10_001


def test_columns_are_recognised_by_the_beginning_of_a_file() -> None:
    assert read_csv_columns('\ufeff"Image_Path";XMIN\n1;2') == ["imagepath", "xmin"]
    assert read_csv_columns("") == []
    assert read_csv_columns("x [m],y (m)") == ["x", "y"]
    deep = "[" * 100_000  # of JSON: in linear time
    assert read_csv_columns(deep) == [deep]


def test_the_table_tells_the_line_of_each_row(tmp_path: Path) -> None:
    table = read_csv_table(write(tmp_path / "a.csv", 'a,b\n\n"x\ny",1\n2,3\n'))
    assert table.lines.tolist() == [4, 5]
    assert table.find_column("B") == "b"
    assert table.numbers("b").tolist() == [1, 3]


def test_a_row_without_an_outline_has_no_geometry(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'geometry,class\n"POINT (1 2)",a\n,b\n')
    table = read_layer(path, LABELS, crs=UTM)
    assert table.geometry.isna().tolist() == [False, True]
