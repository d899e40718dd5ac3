"""Several layers in one file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import rasterio
import shapely

from geodetect.errors import InputError, OutputError
from geodetect.io.vector import geopackage
from geodetect.io.vector.chunks import MappedChunks, TableChunks
from geodetect.io.vector.gdal import check_geopackage
from geodetect.io.vector.geopackage import Layer, check_layers, write_layers
from geodetect.io.vector.qgis_style import ORANGE, Symbol, single_qml
from geodetect.io.vector.write import check_target, write
from tests.helpers.layers import square_layer
from tests.helpers.program import program_environment

SQUARE, PARTS = shapely.box(0, 0, 1, 1), shapely.MultiPolygon([shapely.box(2, 2, 3, 3)])


def numbered_table(*shapes: shapely.Geometry, crs: str = "EPSG:2154") -> gpd.GeoDataFrame:
    numbers = list(range(len(shapes)))
    return gpd.GeoDataFrame({"number": numbers}, geometry=list(shapes), crs=crs)


def two_layers() -> list[Layer]:
    style = single_qml(Symbol(ORANGE))
    other = numbered_table(SQUARE, SQUARE, crs="EPSG:4326")
    return [Layer("first", numbered_table(SQUARE), style), Layer("second", other)]


def styled_layers(path: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT f_table_name, useAsDefault FROM layer_styles").fetchall()


def test_layers_are_read_back_in_their_crs_with_their_styles(tmp_path: Path) -> None:
    path = write_layers(two_layers(), tmp_path / "out.gpkg")
    assert [name for name, _ in pyogrio.list_layers(path)] == ["first", "second", "layer_styles"]
    first, second = (gpd.read_file(path, layer=name) for name in ("first", "second"))
    assert (len(first), first.crs.to_epsg()) == (1, 2154)
    assert (len(second), second.crs.to_epsg()) == (2, 4326)
    assert styled_layers(path) == [("first", 1)]
    assert list(tmp_path.iterdir()) == [path]


def test_all_layers_can_be_brought_to_one_crs(tmp_path: Path) -> None:
    path = write_layers(two_layers(), tmp_path / "out.gpkg", crs="EPSG:3035")
    for name in ("first", "second"):
        assert gpd.read_file(path, layer=name).crs.to_epsg() == 3035


def test_simple_and_multiple_geometries_become_multiple_ones(tmp_path: Path) -> None:
    path = write_layers([Layer("mixed", numbered_table(SQUARE, PARTS))], tmp_path / "out.gpkg")
    assert pyogrio.read_info(path, layer="mixed")["geometry_type"] == "MultiPolygon"
    read = gpd.read_file(path, layer="mixed")
    assert shapely.equals(read.geometry.to_numpy(), [SQUARE, PARTS]).all()


def test_an_empty_layer_is_written(tmp_path: Path) -> None:
    path = write_layers([Layer("none", numbered_table())], tmp_path / "out.gpkg")
    assert len(gpd.read_file(path, layer="none")) == 0


def test_another_format_holds_one_layer(tmp_path: Path) -> None:
    path = write_layers([Layer("only", numbered_table(SQUARE))], tmp_path / "out.fgb")
    assert len(gpd.read_file(path)) == 1
    with pytest.raises(InputError, match=r"out\.fgb: flatgeobuf holds one layer.*2 to write.*gpkg"):
        write_layers(two_layers(), tmp_path / "out.fgb", overwrite=True)
    with pytest.raises(InputError, match="holds one layer"):
        check_layers("changes.geojson", 2)


def test_nothing_is_replaced_unless_asked(tmp_path: Path) -> None:
    path = write_layers(two_layers(), tmp_path / "out.gpkg")
    with pytest.raises(OutputError, match="already exists"):
        write_layers(two_layers(), path)
    first = Layer("first", numbered_table(SQUARE))
    write_layers([first, replace(first, name="second")], path, overwrite=True)
    assert [name for name, _ in pyogrio.list_layers(path)] == ["first", "second"]


FULL = """
import resource, sys
import geopandas, shapely
from geodetect.errors import OutputError
from geodetect.io.vector.gdal import check_geopackage
from geodetect.io.vector.geopackage import Layer, write_layers
squares = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)] * 2000, crs="EPSG:2154")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_layers([Layer("first", squares), Layer("second", squares)], sys.argv[1])
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX systems do")
@pytest.mark.parametrize("limit", [1000, 100_000, 300_000])
def test_a_full_disk_is_one_line_without_sql_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    process = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "out.gpkg"), str(limit)],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=True,
    )
    assert process.stdout.startswith("cannot write ")
    assert process.stdout.count("\n") == 1
    assert "INSERT" not in process.stdout
    assert "CREATE" not in process.stdout
    assert list(tmp_path.iterdir()) == []


def test_rows_that_did_not_arrive_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk fills up, of which GDAL says nothing."""
    write = geopackage.write_layer

    def lose_rows(rows: TableChunks, *args: object, **options: object) -> None:
        write(MappedChunks(rows, lambda chunk: chunk.iloc[:1], rows.crs), *args, **options)

    monkeypatch.setattr(geopackage, "write_layer", lose_rows)
    with pytest.raises(OutputError, match=r"out\.gpkg: only 1 of 2 rows were written"):
        write_layers(two_layers(), tmp_path / "out.gpkg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", ["rows", "entries of the index"])
def test_a_geopackage_that_is_not_whole_is_noticed(tmp_path: Path, lost: str) -> None:
    shapes = [SQUARE, SQUARE, shapely.Polygon(), None]
    path = write_layers([Layer("some", numbered_table(*shapes))], tmp_path / "out.gpkg")
    check_geopackage(path, {"some": 4})  # what is empty or missing is in no index
    statement = {
        "rows": "DROP TRIGGER rtree_some_geom_delete; DELETE FROM some WHERE fid = 1",
        "entries of the index": "DELETE FROM rtree_some_geom WHERE id = 1",
    }
    with closing(sqlite3.connect(path)) as database:
        database.create_function("ST_IsEmpty", 1, lambda _: 0)
        database.executescript(statement[lost])
    with pytest.raises(OSError, match="only"):
        check_geopackage(path, {"some": 4})


def add_table(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE TABLE owners (name TEXT)", "owners"),
        ("CREATE VIEW large AS SELECT * FROM detections", "large"),
        ("CREATE TABLE qgis_projects (name TEXT)", "qgis_projects"),
        (
            "INSERT INTO layer_styles (f_table_name, styleName, styleQML, description)"
            " VALUES ('Detections', 'mine', '', 'by hand')",
            "style mine of Detections",
        ),
    ],
)
def test_other_contents_of_a_geopackage_are_not_lost(
    tmp_path: Path, statement: str, name: str
) -> None:
    path = tmp_path / "out.gpkg"
    table = square_layer((0, 0), score=[0.5])
    write(table, path, style=True)
    write(table, path, style=True, overwrite=True)  # the layer and style of the same function
    add_table(path, statement)
    before = path.read_bytes()
    for refused in (
        lambda: write(table, path, overwrite=True),
        lambda: write(table, path, overwrite=True, format="geojson"),
        lambda: check_target(path, overwrite=True),
    ):
        with pytest.raises(OutputError, match=name):
            refused()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out.gpkg"]


def test_layers_and_rasters_of_others_are_named(tmp_path: Path) -> None:
    path = tmp_path / "city.gpkg"
    table = square_layer((0, 0), score=[0.5])
    write_layers([Layer(f"roads {i}", table) for i in range(12)], path)
    with rasterio.open(
        path, "w", driver="GPKG", width=64, height=64, count=3, dtype="uint8", crs="EPSG:3857",
        transform=rasterio.Affine(1, 0, 0, 0, -1, 0), APPEND_SUBDATASET="YES", RASTER_TABLE="photo",
    ):  # fmt: skip
        pass
    with pytest.raises(OutputError, match="also holds roads 11"):
        write_layers([Layer(f"Roads {i}", table) for i in range(11)], path, overwrite=True)
    with pytest.raises(OutputError, match=r"also holds roads 0, roads 1.*and 5 more"):
        check_target(path, overwrite=True)


def test_a_layer_that_is_still_in_the_journal_of_another_program_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    write(square_layer((0, 0), score=[0.5]), path)
    with closing(sqlite3.connect(path)) as qgis:
        qgis.execute("PRAGMA journal_mode = WAL")
        qgis.execute("CREATE TABLE notes (text TEXT)")
        qgis.commit()
        assert path.with_name("out.gpkg-wal").stat().st_size
        with pytest.raises(OutputError, match="notes"):
            write(square_layer((0, 0), score=[0.5]), path, overwrite=True)


def test_a_geopackage_is_built_elsewhere_where_files_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    connect = sqlite3.connect

    def refuse(database: object, *arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(str(database))
        if str(database).endswith("probe.sqlite"):  # as SQLite does on CIFS
            raise sqlite3.OperationalError("database is locked")
        return connect(database, *arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    for number in range(2):
        table = square_layer((0, 0), score=[0.5])
        write(table, tmp_path / f"{number}.gpkg", style=True)
        write_layers(two_layers(), tmp_path / f"{number} layers.gpkg")
    assert not [path for path in opened if str(tmp_path) in path and "probe" not in path]
    assert (tmp_path / "0.gpkg").read_bytes() == (tmp_path / "1.gpkg").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_geopackage_with_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 250}.gpkg"
    for _ in range(2):
        write(square_layer((0, 0), score=[0.5]), path, style=True, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
