from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from pyproj import CRS, Transformer

from geodetect.detection.detection_layer import DetectionLayer, GroundDetections, empty_table
from geodetect.detection.detections import Detections
from geodetect.errors import GeoreferenceError, InputError, OutputError
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.vector.chunks import WholeTable
from geodetect.io.vector.csv_table import read_csv_table
from geodetect.io.vector.write import FORMATS, LAYER, check_target, write
from tests.helpers.layers import square_layer

SUFFIXES = ("geojson", "geojsonl", "gpkg", "fgb", "parquet", "shp", "csv")
PROJECTED = ("gpkg", "fgb", "parquet", "shp")
NAMES = ["id", "class", "score", "area_m2", "width_m", "length_m", "truncated", "raster"]


def placed(crs: str | None, x: float, y: float, linear: Affine) -> Grid:
    wkt = None if crs is None else parse_crs(crs)
    return Grid(wkt, Affine.translation(x, y) @ linear, 4000, 3000)


GRIDS = {
    "north-up": placed("EPSG:2154", 650000, 6860000, Affine.scale(0.1, -0.1)),
    "rotated": placed("EPSG:25832", 450000, 5300000, Affine.rotation(33) @ Affine.scale(0.1, -0.1)),
    "sheared": placed("EPSG:25833", 390000, 5820000, Affine(0.1, 0.03, 0, 0.02, -0.15, 0)),
    "datum shift": placed("EPSG:2056", 2600000, 1200000, Affine.scale(0.25, -0.25)),
    "south-up": placed("EPSG:32755", 690000, 6090000, Affine.scale(0.1, 0.1)),
    "degrees": placed("EPSG:4326", 7.5, 46.9, Affine.scale(1.5e-6, -1e-6)),
    "feet": placed("EPSG:2263", 980000, 190000, Affine.scale(0.5, -0.5)),
    "mercator": placed("EPSG:3857", 900000, 6500000, Affine.scale(0.2, -0.2)),
}


def random_detections(count: int = 40) -> Detections:
    random = np.random.default_rng(7)
    corner = random.uniform((0, 0), (3900, 2900), (count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 100, (count, 2))], axis=1)
    return Detections.from_arrays(
        boxes, random.uniform(0, 1, count), truncated=random.random(count) < 0.5
    )


def random_table(grid: Grid = GRIDS["north-up"], count: int = 40) -> gpd.GeoDataFrame:
    return GroundDetections.from_detections(
        random_detections(count), grid, classes=["pool"], rasters=["Zürich 東.tif"]
    ).table()


def random_layer(*names: str) -> DetectionLayer:
    """The detections on each of some grids."""
    options = {"classes": ["pool"], "rasters": ["Zürich 東.tif"]}
    return DetectionLayer(
        tuple(
            GroundDetections.from_detections(random_detections(), GRIDS[n], **options)
            for n in names
        )
    )


def read_written(path: Path) -> gpd.GeoDataFrame:
    """Return the rows of the file, in the order of the ids."""
    if path.suffix == ".parquet":
        table = gpd.read_parquet(path)
    elif path.suffix == ".csv":
        rows = pd.read_csv(path)
        table = gpd.GeoDataFrame(rows, geometry=shapely.from_wkt(rows["WKT"].to_numpy(object)))
    else:
        table = gpd.read_file(path)
    return table.sort_values("id", ignore_index=True)


def read_pixel_boxes(table: gpd.GeoDataFrame, grid: Grid) -> np.ndarray:
    """Boxes in pixels from the corners in a file."""
    points = shapely.get_coordinates(table.geometry.array)
    if grid.crs is not None and table.crs is not None:
        transformer = Transformer.from_crs(table.crs, CRS(grid.crs), always_xy=True)
        points = np.stack(transformer.transform(*points.T), axis=1)
    corners = grid.to_px(points).reshape(-1, 5, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", GRIDS)
def test_boxes_come_back_where_they_were(tmp_path: Path, name: str, suffix: str):
    grid = GRIDS[name]
    table = read_written(write(random_table(grid), tmp_path / f"out.{suffix}"))
    boxes = random_detections().boxes
    expected = boxes[np.lexsort((boxes[:, 0], boxes[:, 1]))]
    np.testing.assert_allclose(read_pixel_boxes(table, grid), expected, atol=0.01)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_column_comes_back(tmp_path: Path, suffix: str):
    written = random_table()
    table = read_written(write(written, tmp_path / f"out.{suffix}"))
    values = pd.DataFrame(table)[NAMES].astype({"id": "int64", "truncated": "bool"})
    pd.testing.assert_frame_equal(values, pd.DataFrame(written)[NAMES])


@pytest.mark.parametrize("suffix", PROJECTED)
@pytest.mark.parametrize("name", GRIDS)
def test_the_file_has_the_crs_of_the_table(tmp_path: Path, name: str, suffix: str):
    table = read_written(write(random_table(GRIDS[name]), tmp_path / f"out.{suffix}"))
    assert table.crs.to_epsg() == CRS(GRIDS[name].crs).to_epsg()


@pytest.mark.parametrize("suffix", PROJECTED)
def test_another_crs_can_be_chosen(tmp_path: Path, suffix: str):
    table = read_written(write(random_table(), tmp_path / f"out.{suffix}", crs="EPSG:3857"))
    assert table.crs == CRS("EPSG:3857")
    expected = random_table().to_crs("EPSG:3857")
    np.testing.assert_allclose(table.bounds, expected.bounds, atol=1e-6)


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "parquet"])
def test_a_crs_without_a_code_survives(tmp_path: Path, suffix: str):
    local = parse_crs("+proj=tmerc +lat_0=47.1 +lon_0=8.123 +k=0.99995 +ellps=bessel +units=m")
    grid = Grid(local, Affine(0.1, 0, 0, 0, -0.1, 0), 4000, 3000)
    table = read_written(write(random_table(grid), tmp_path / f"out.{suffix}"))
    moved = Transformer.from_crs(table.crs, CRS(local), always_xy=True).transform(100.0, 200.0)
    assert moved == pytest.approx((100.0, 200.0), abs=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("count", [0, 1])
def test_no_row_and_one_row_make_whole_files(tmp_path: Path, suffix: str, count: int):
    path = write(random_table(count=count), tmp_path / f"out.{suffix}")
    if suffix == "geojsonl":
        assert len(path.read_text(encoding="utf-8").splitlines()) == count
    elif suffix == "geojson":
        assert len(json.loads(path.read_text(encoding="utf-8"))["features"]) == count
    else:
        table = read_written(path)
        assert len(table) == count
        assert set(NAMES) <= set(table.columns)
    if suffix in PROJECTED:
        assert table.crs.to_epsg() == 2154


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "shp"])
def test_an_empty_file_keeps_the_types_of_its_fields(tmp_path: Path, suffix: str):
    full, empty = (
        pyogrio.read_info(write(rows, tmp_path / f"{number}.{suffix}"))
        for number, rows in enumerate((random_table(), empty_table("EPSG:2154")))
    )
    assert empty["dtypes"].tolist() == full["dtypes"].tolist()
    assert empty["geometry_type"] == full["geometry_type"] == "Polygon"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_column_that_holds_nothing_is_one_of_texts(tmp_path: Path, suffix: str):
    nothing = random_table(count=2).assign(note=pd.Series([None, None], dtype=object))
    for number, rows in enumerate((nothing, nothing.iloc[:0])):
        path = write(rows, tmp_path / f"{number}.{suffix}")
        if suffix in PROJECTED:
            table = read_written(path)
            assert len(table) == len(rows)
            assert table["note"].isna().all()


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "parquet", "shp", "csv"])
def test_a_box_across_the_antimeridian_is_cut_in_degrees(tmp_path: Path, suffix: str):
    at_edge = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True).transform(180, 60)
    squares = [shapely.Point(at_edge[0] + x, at_edge[1]).buffer(5, quad_segs=1) for x in (0, 90)]
    table = gpd.GeoDataFrame({"id": [1, 2]}, geometry=squares, crs="EPSG:32660")
    cut = read_written(write(table, tmp_path / f"out.{suffix}", crs="EPSG:4326"))
    assert cut.geom_type.tolist() == ["MultiPolygon", "Polygon"]
    widths = [part.bounds[2] - part.bounds[0] for part in cut.geometry.explode()]
    assert max(widths) < 0.001
    whole = read_written(write(table, tmp_path / f"own.{suffix}"))
    assert set(whole.geom_type) == {"Polygon"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_without_crs_makes_a_file_in_pixels_with_null_sizes(tmp_path: Path, suffix: str):
    grid = placed(None, 0, 0, Affine.identity())
    path = write(random_table(grid), tmp_path / f"out.{suffix}")
    table = read_written(path)
    assert table["area_m2"].isna().all()
    assert "NaN" not in path.read_bytes().decode("latin-1")
    expected = np.stack([*random_table(grid).bounds.to_numpy().T], axis=1)
    np.testing.assert_allclose(table.bounds, expected, atol=1e-8)
    if suffix in PROJECTED:
        assert table.crs is None


def test_rasters_in_two_crs_make_one_file(tmp_path: Path):
    layer = read_written(write(random_layer("north-up", "rotated"), tmp_path / "out.gpkg"))
    assert layer["id"].tolist() == list(range(1, 81))
    rows = layer.iloc[40:]
    boxes = random_detections().boxes
    expected = boxes[np.lexsort((boxes[:, 0], boxes[:, 1]))]
    np.testing.assert_allclose(read_pixel_boxes(rows, GRIDS["rotated"]), expected, atol=0.01)


def test_a_csv_has_the_centroid_in_degrees(tmp_path: Path):
    table = read_written(write(random_table(), tmp_path / "out.csv"))
    expected = random_table().centroid.to_crs("EPSG:4326")
    np.testing.assert_allclose(table[["lon", "lat"]], expected.get_coordinates(), atol=1e-8)


def test_a_csv_in_pixels_has_no_degrees(tmp_path: Path):
    grid = placed(None, 0, 0, Affine.identity())
    table = read_written(write(random_table(grid), tmp_path / "out.csv"))
    assert table[["lon", "lat"]].isna().all(axis=None)


def test_other_columns_and_kinds_of_geometry_can_be_written(tmp_path: Path):
    shapes = [shapely.box(0, 0, 1, 1), shapely.MultiPolygon([shapely.box(2, 2, 3, 3)])]
    zones = gpd.GeoDataFrame({"note": ["a", None]}, geometry=shapes, crs="EPSG:4326")
    for suffix in ("gpkg", "fgb", "geojson", "parquet"):
        table = (gpd.read_parquet if suffix == "parquet" else gpd.read_file)(
            write(zones, tmp_path / f"zones.{suffix}")
        )
        assert shapely.area(table.geometry.array).sum() == pytest.approx(2.0)
        assert table["note"].isna().sum() == 1


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_the_format_can_be_named_and_suffixes_have_any_case(tmp_path: Path, kind: object):
    by_name = tmp_path / ("a.shp" if kind.name == "shapefile" else "a.dat")
    by_suffix = tmp_path / f"a{kind.suffixes[0].upper()}"
    write(random_table(), by_name, format=kind.name.upper(), overwrite=True)
    write(random_table(), by_suffix, overwrite=True)
    if kind.name == "shapefile":
        assert len(gpd.read_file(by_suffix)) == len(gpd.read_file(by_name)) == 40
    elif kind.name in ("geojson", "geojsonseq", "csv"):
        assert by_name.read_bytes() == by_suffix.read_bytes()
    else:
        assert by_name.read_bytes()[:4] == by_suffix.read_bytes()[:4]


def test_the_same_table_gives_the_same_bytes(tmp_path: Path):
    """Whenever it is written: no file says when."""
    folders = [tmp_path / name for name in ("a", "b")]
    for number, folder in enumerate(folders):
        folder.mkdir()
        if number:
            time.sleep(1.1)  # GDAL's stamps are of seconds
        for suffix in SUFFIXES:
            write(random_table(), folder / f"out.{suffix}", style=suffix == "gpkg")
    names = sorted(file.name for file in folders[0].iterdir())
    assert len(names) == len(SUFFIXES) + 4  # parts of the Shapefile
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    dates = (folders[0] / "out.dbf").read_bytes()[1:4]  # years after 1900, month, day
    assert dates == bytes([100, 1, 1])


def test_several_columns_of_geometries_fit_a_geoparquet_only(tmp_path: Path):
    two = random_table().assign(middle=random_table().centroid)
    table = gpd.read_parquet(write(two, tmp_path / "out.parquet"))
    assert table["middle"].geom_equals(two["middle"]).all()
    for suffix in ("gpkg", "fgb", "shp"):
        with pytest.raises(InputError, match=r"several columns .*\(geometry, middle\).*GeoParquet"):
            write(two, tmp_path / f"out.{suffix}")


def test_a_column_may_be_called_as_the_geometry_is_in_the_file(tmp_path: Path):
    named = random_table().assign(geom="mine")
    assert set(read_written(write(named, tmp_path / "out.fgb"))["geom"]) == {"mine"}
    with pytest.raises(InputError, match=r"called 'geom', as one that .*another name"):
        write(named, tmp_path / "out.gpkg")


@pytest.mark.parametrize("name", ["GEOM", "fid"])
def test_a_name_that_a_geopackage_needs_is_refused(tmp_path: Path, name: str):
    with pytest.raises(InputError, match=f"called '{name}', as one that"):
        write(random_table().assign(**{name: "mine"}), tmp_path / "out.gpkg")


def test_columns_of_the_same_name_are_refused(tmp_path: Path):
    twice = random_table().assign(**{"1": "a"})
    twice[1] = "b"
    with pytest.raises(InputError, match="several columns are called 1"):
        write(twice, tmp_path / "out.gpkg")


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "fgb", "shp"])
def test_columns_may_be_numbered(tmp_path: Path, suffix: str):
    numbered = random_table(count=3).assign(id=[1, 2, 3])
    numbered[7] = ["a", "b", "c"]
    table = read_any(write(numbered, tmp_path / f"out.{suffix}"))
    assert sorted(table["7"]) == ["a", "b", "c"]


def test_categories_fit_a_geoparquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("geodetect.io.vector.chunks.CHUNK_ROWS", 2)
    kinds = {"number": pd.Categorical([3, 1, 3]), "text": pd.Categorical(["a", None, "b"])}
    table = gpd.read_parquet(write(random_table(count=3).assign(**kinds), tmp_path / "out.parquet"))
    assert table["number"].tolist() == [3, 1, 3]
    assert table["text"].astype(object).fillna("").tolist() == ["a", "", "b"]


def test_the_schema_of_a_geoparquet_names_the_geometry(tmp_path: Path):
    path = write(random_table(), tmp_path / "out.parquet")
    field = pq.read_schema(path).field("geometry")
    assert field.metadata[b"ARROW:extension:name"] == b"geoarrow.wkb"
    assert pq.ParquetFile(path).metadata.num_row_groups == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("crs", [None, "EPSG:4326"])
def test_pieces_make_the_file_of_the_whole_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, crs: str | None
):
    layer = random_layer("north-up", "rotated")
    whole = read_any(write(layer.table(), tmp_path / f"whole.{suffix}", crs=crs))
    monkeypatch.setattr("geodetect.io.vector.chunks.CHUNK_ROWS", 7)
    for number, rows in enumerate((layer, layer.table())):
        cut = read_any(write(rows, tmp_path / f"cut{number}.{suffix}", crs=crs))
        assert_geodataframe_equal(cut, whole)


def read_any(path: Path) -> gpd.GeoDataFrame:
    """Return the rows of the file, in their order."""
    return gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_types_are_those_of_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str):
    """The first chunk of a table may hold nothing where a later one holds text."""
    monkeypatch.setattr("geodetect.io.vector.chunks.CHUNK_ROWS", 2)
    notes = pd.Series([None, None, None, "late", None], dtype=object)
    sizes = pd.Series([1, 2, 3, 4, 5.5], dtype=object)
    frame = gpd.GeoDataFrame(
        {"note": notes, "size": sizes}, geometry=shapely.box(range(5), 0, 9, 9)
    )
    table = read_any(write(frame.set_crs("EPSG:4326"), tmp_path / f"out.{suffix}"))
    in_order = table.sort_values("size", ignore_index=True)  # a FlatGeobuf is ordered by place
    assert in_order["note"].fillna("").tolist() == ["", "", "", "late", ""]
    assert in_order["size"].astype(float).tolist() == [1, 2, 3, 4, 5.5]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, GeoreferenceError])
def test_what_goes_wrong_in_a_piece_comes_through(
    tmp_path: Path, suffix: str, error: type[BaseException]
):
    """Also where GDAL asks for the chunks, which knows texts of errors only."""

    class Broken(WholeTable):
        asked = 0

        def chunks(self) -> Iterator[gpd.GeoDataFrame]:
            self.__class__.asked += 1
            yield self.table
            if suffix in ("geojson", "geojsonl", "csv", "parquet") or self.asked == 2:
                raise error("in a chunk")

    with pytest.raises(error, match="in a chunk"):
        write(Broken(random_table()), tmp_path / f"out.{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_geopackage_has_one_layer_with_the_documented_name(tmp_path: Path):
    path = write(random_table(), tmp_path / "out.gpkg")
    assert pyogrio.list_layers(path).tolist() == [[LAYER, "Polygon"]]


def test_the_style_is_the_default_style_of_the_layer(tmp_path: Path):
    path = write(random_table(), tmp_path / "out.gpkg", style=True)
    with sqlite3.connect(path) as database:
        query = "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ((layer, column, default, style),) = database.execute(query)
        kind = database.execute(
            "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'"
        ).fetchone()
        geometry = database.execute("SELECT column_name FROM gpkg_geometry_columns").fetchone()
    assert (layer, column, default) == (LAYER, geometry[0], 1)
    assert kind == ("attributes",)
    assert 'attr="score"' in style


def test_the_style_of_a_geojson_lies_beside_it(tmp_path: Path):
    write(random_table(), tmp_path / "out.geojson", style=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.geojson", "out.qml"]
    with pytest.raises(OutputError, match=r"out.qml already exists"):
        check_target(tmp_path / "out.json", style=True)


REFUSALS = {
    "unknown suffix": ("out.kml", {}, InputError, r"'\.kml'; expected one of \.geojson.*`format`"),
    "no suffix": ("out", {}, InputError, "no suffix; expected one of"),
    "unknown format": (
        "out.gpkg",
        {"format": "dxf"},
        InputError,
        "'dxf'; `format` must be one of",
    ),
    "shapefile name": ("out.gpkg", {"format": "shp"}, InputError, r"must be called \*\.shp"),
    "geojson crs": ("o.geojson", {"crs": "EPSG:2056"}, InputError, "always on WGS 84.*`crs`"),
    "bad crs": ("out.gpkg", {"crs": "EPSG:999999"}, GeoreferenceError, "expected e.g. EPSG:2154"),
    "no style": ("out.fgb", {"style": True}, InputError, "omit `style`"),
    "no folder": ("missing/out.gpkg", {}, OutputError, "folder .*missing does not exist"),
    "exists": ("here.gpkg", {}, OutputError, "already exists; set `overwrite`"),
    "a folder": ("folder.gpkg", {"overwrite": True}, OutputError, "not a plain file"),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("act", [check_target, lambda *a, **k: write(random_table(), *a, **k)])
def test_what_cannot_be_written_is_refused_early_and_late(tmp_path: Path, act: object, case: str):
    name, options, error, message = REFUSALS[case]
    (tmp_path / "here.gpkg").write_text("mine")
    (tmp_path / "folder.gpkg").mkdir()
    with pytest.raises(error, match=message) as caught:
        act(tmp_path / name, **options)
    assert "\n" not in str(caught.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.gpkg", "here.gpkg"]
    assert (tmp_path / "here.gpkg").read_text() == "mine"


@pytest.mark.parametrize("crs", ["EPSG:4326", "OGC:CRS84", CRS(4326).to_wkt()])
def test_wgs84_may_be_named_for_geojson(tmp_path: Path, crs: str):
    assert len(read_written(write(random_table(), tmp_path / "out.geojson", crs=crs))) == 40


def test_a_crs_for_pixel_coordinates_is_refused(tmp_path: Path):
    with pytest.raises(GeoreferenceError, match="`src_crs`"):
        write(
            random_table(placed(None, 0, 0, Affine.identity())),
            tmp_path / "a.gpkg",
            crs="EPSG:4326",
        )


@pytest.mark.parametrize("nothing", [None, shapely.Polygon()])
@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_without_a_place_are_written_too(
    tmp_path: Path, suffix: str, count: int, nothing: shapely.Polygon | None
):
    rows = random_table(count=count + 1)
    rows.geometry = [*rows.geometry[:count], nothing]
    path = write(rows, tmp_path / f"out.{suffix}")
    if suffix == "csv":
        table = pd.read_csv(path)
        placed = table["lon"].notna()
        assert placed.equals(table["lat"].notna())
    else:
        table = read_written(path)
        placed = ~(table.geometry.isna() | table.geometry.is_empty)
    assert placed.tolist() == [True] * count + [False]
    assert table["id"].tolist() == rows["id"].tolist()


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="needs ogrinfo (GDAL's command line)")
@pytest.mark.parametrize("suffix", ["geojson", "geojsonl", "gpkg", "fgb", "shp", "csv"])
def test_ogrinfo_reads_every_format(tmp_path: Path, suffix: str):
    path = write(random_table(), tmp_path / f"out.{suffix}", style=suffix in ("gpkg", "geojson"))
    layer = LAYER if suffix == "gpkg" else "out"
    run = subprocess.run(
        ["ogrinfo", "-ro", "-so", str(path), layer], capture_output=True, text=True, check=True
    )
    assert "Feature Count: 40" in run.stdout
    assert "ERROR" not in run.stderr
    assert "Warning" not in run.stderr
    if suffix != "csv":
        assert "Geometry: Polygon" in run.stdout
        assert ("RGF93" if suffix in PROJECTED else "WGS 84") in run.stdout


def test_a_spreadsheet_computes_no_text_of_a_csv(tmp_path: Path) -> None:
    texts = ["=HYPERLINK(0)", "+a", "-b", "@c", "\tq", "-1.5", "a=b", None]
    table = square_layer(*[(0, 20 * i) for i in range(8)], **{"class": texts, "-n": range(-4, 4)})
    path = write(table, tmp_path / "out.csv")
    cells = pd.read_csv(path, keep_default_na=False)
    escaped = ["'=HYPERLINK(0)", "'+a", "'-b", "'@c", "'\tq", "-1.5", "a=b", ""]
    assert cells["class"].tolist() == escaped
    assert cells["'-n"].tolist() == list(range(-4, 4))  # numbers are no formulas
    rows = read_csv_table(path).rows  # our reader takes the apostrophe away
    assert rows["class"].tolist() == [text and text for text in texts]
    assert "-n" in rows


def test_a_csv_keeps_columns_called_as_those_of_the_geometry(tmp_path: Path) -> None:
    table = square_layer((0, 0), lon=[7], wkt=["a\r\nb\rc"], Lat=[8])
    cells = pd.read_csv(write(table, tmp_path / "out.csv"))
    assert cells.loc[0, ["lon_", "wkt_", "Lat_"]].tolist() == [7, "a\nb\nc", 8]
    assert {"lon", "lat", "WKT"} < set(cells)


def test_infinity_is_null_in_geojson(tmp_path: Path) -> None:
    table = square_layer((0, 0), depth=[np.inf], lists=[[1.0, np.nan]])
    values = json.loads(write(table, tmp_path / "out.geojson").read_text())
    assert values["features"][0]["properties"] == {"depth": None, "lists": [1.0, None]}


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".shp", ".parquet", ".csv"])
@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([{"a": 1}, 5, None], ['{"a":1}', "5", None]),
        ([{"a": 1}, "x", None], ['{"a":1}', "x", None]),
        ([1, "x", float("nan")], ["1", "x", None]),
        ([True, "x", None], ["true", "x", None]),
        ([[1, 2], 5, None], ["[1,2]", "5", None]),
        ([[1], {"a": [2]}, None], ["[1]", '{"a":[2]}', None]),
        ([[1, "x"], [2], None], ['[1,"x"]', "[2]", None]),
    ],
)
def test_a_column_of_several_types_becomes_text(
    tmp_path: Path, values: list[object], texts: list[str | None], suffix: str
) -> None:
    """As GeoJSON of others has them, or two layers in one table."""
    geometry = [shapely.box(n, 0, n + 1, 1) for n in range(3)]
    mixed = pd.Series(values, dtype=object)
    table = gpd.GeoDataFrame({"mixed": mixed, "name": list("abc")}, geometry=geometry, crs=32632)
    path = tmp_path / f"layer{suffix}"
    write(table, path)
    if suffix == ".parquet":
        columns = gpd.read_parquet(path)
    elif suffix == ".csv":
        columns = pd.read_csv(path, dtype=str)
    else:
        columns = pyogrio.read_dataframe(path)
    rows = columns.sort_values("name")["mixed"].astype(object)
    as_read = [
        None
        if pd.api.types.is_scalar(x) and pd.isna(x)
        else x
        if isinstance(x, str)
        else json.dumps(x, separators=(",", ":"))
        for x in rows
    ]
    assert as_read == texts
    assert [type(value) for value in table["mixed"]] == [type(value) for value in values]
