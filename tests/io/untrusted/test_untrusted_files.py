"""Files from strangers: what they name is not read, and no server hears of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import geopandas as gpd
import pytest
import rasterio
from rasterio.shutil import copy

from geodetect.errors import GeodetectError, InputError, RasterError
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import RasterOptions
from geodetect.io.vector.read import AREA, has_layer, read_layer
from tests.helpers.disguised_files import (
    BAIT_PIXEL,
    BAIT_TEXT,
    LAYERS,
    POLYGON,
    RASTERS,
    SIDE,
    geojson,
    tile_service,
    vrt,
    write_image,
    write_layer,
)
from tests.helpers.program import check_failure, invoke, run_command
from tests.helpers.silent_server import SilentServer, silent_server

READ_WITHOUT_REFERENCE = {"vrt, srs"} | {name for name in RASTERS if "in an archive: " in name}


@pytest.fixture(scope="module")
def server() -> Iterator[SilentServer]:
    with silent_server() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "2")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    path = tmp_path / "stranger"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", RASTERS)
def test_a_raster_in_disguise_shows_no_other_file_and_asks_no_server(
    name: str, folder: Path, server: SilentServer
) -> None:
    bait = write_image(folder.parent / "bait.tif", BAIT_PIXEL)
    path = RASTERS[name](folder, bait, server.url)
    server.requests.value = 0
    values = []
    for options in ({}, {"pixel_coords": True, "bands": (1,)}):
        with suppress(GeodetectError), open_raster(path, RasterOptions(**options)) as raster:
            raster.read_valid()
            values.append(raster.read().values)
            values.append(raster.read(grid=raster.grid.resampled(1 / 4, 1 / 4)).values)
    code, _, stderr = run_command("info", path)
    assert server.requests.value == 0
    assert not any((array == BAIT_PIXEL).any() for array in values)
    assert "Traceback" not in stderr
    if name not in READ_WITHOUT_REFERENCE:
        assert not values
        assert code == 1
        assert stderr.count("Error:") == stderr.count("\n") == 1
        assert "--external-sources" in stderr


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_in_disguise_shows_no_other_file_and_asks_no_server(
    name: str, folder: Path, server: SilentServer
) -> None:
    bait = write_layer(folder.parent / "bait.gpkg")
    path = LAYERS[name](folder, bait, server.url)
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    server.requests.value = 0
    text = ""
    with warnings.catch_warnings(action="ignore"):
        with suppress(InputError):
            text = read_layer(path, AREA).to_csv()
        has_layer(path, "bait")
    _, stdout, stderr = run_command("summarize", path, "--zones", path, "--json")
    assert server.requests.value == 0
    assert BAIT_TEXT not in text + stdout
    assert "Traceback" not in stderr
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_external_sources_opens_what_the_user_trusts(folder: Path, server: SilentServer) -> None:
    bait = write_image(folder.parent / "bait.tif", BAIT_PIXEL)
    path = RASTERS["vrt, absolute"](folder, bait, server.url)
    with open_raster(path, RasterOptions(external_sources=True)) as raster:
        assert (raster.read().values == BAIT_PIXEL).all()
    assert run_command("info", path, "--external-sources")[0] == 0
    path = RASTERS["overviews: wms"](folder, bait, server.url)
    options = RasterOptions(external_sources=True)
    with suppress(RasterError), open_raster(path, options) as raster:
        raster.read(grid=raster.grid.resampled(1 / 4, 1 / 4))
    assert server.requests.value > 0


def test_a_web_service_that_is_named_as_such_is_asked(folder: Path, server: SilentServer) -> None:
    path = folder / "tiles.xml"
    path.write_text(tile_service(server.url))
    server.requests.value = 0
    with open_raster(path) as raster, suppress(RasterError):
        raster.read()
    assert server.requests.value > 0


@pytest.mark.parametrize("name", ["scene.vrt", "below/scene.vrt"])
def test_the_error_of_a_source_elsewhere_names_it_and_the_option(folder: Path, name: str) -> None:
    bait = write_image(folder.parent / "bait.tif")
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(vrt(str(bait)))
    code, _, stderr = run_command("preview", path, "-o", folder / "a.png")
    assert code == 1
    assert f"refers to {bait}, which lies outside its folder {path.parent.resolve()}" in stderr
    assert "--external-sources" in stderr


def test_sources_beside_and_below_a_vrt_are_read_with_their_side_files(folder: Path) -> None:
    (folder / "below").mkdir()
    for name in ("a.tif", "below/b.tif"):
        image = write_image(folder / name)
        with rasterio.open(image, "r+") as dataset, rasterio.Env(TIFF_USE_OVR=True):
            dataset.build_overviews([2])
        assert Path(f"{image}.ovr").exists()
    inner, outer = folder / "below/inner.vrt", folder / "outer.vrt"
    inner.write_text(vrt("../a.tif", relative=True))
    outer.write_text(vrt("below/inner.vrt", relative=True) + "<!-- made by hand -->")
    with open_raster(outer) as raster:
        assert (raster.read().values == 9).all()
    shallow = folder / "shallow.vrt"
    shallow.write_text(vrt(str(folder / "below/b.tif")))  # absolute, but below
    with open_raster(shallow) as raster:
        assert (raster.read(grid=raster.grid.resampled(1 / 4, 1 / 4)).values == 9).all()


@pytest.mark.parametrize(
    ("driver", "suffix"),
    [("GTiff", "tif"), ("COG", "tif"), ("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"),
     ("BMP", "bmp"), ("HFA", "img"), ("ENVI", "dat"), ("EHdr", "bil"),
     ("JP2OpenJPEG", "jp2"), ("GPKG", "gpkg"), ("PNM", "ppm"), ("RST", "rst")],
)  # fmt: skip
def test_usual_formats_of_imagery_are_opened(driver: str, suffix: str, tmp_path: Path) -> None:
    source = write_image(tmp_path / "source.tif")
    path = tmp_path / f"scene.{suffix}"
    with rasterio.open(source) as dataset, warnings.catch_warnings(action="ignore"):
        copy(dataset, path, driver=driver)
    with open_raster(path, RasterOptions(pixel_coords=True)) as raster:
        assert raster.read().valid.shape == (SIDE, SIDE)


@pytest.mark.parametrize(
    "driver",
    ["GPKG", "GeoJSON", "GeoJSONSeq", "FlatGeobuf", "ESRI Shapefile", "GML", "KML", "LIBKML",
     "GPX", "MapInfo File", "SQLite", "DXF", "OGR_GMT", "OpenFileGDB", "GeoRSS"],
)  # fmt: skip
def test_usual_formats_of_layers_are_opened(driver: str, tmp_path: Path) -> None:
    suffix = {"GPKG": "gpkg", "GeoJSON": "geojson", "GeoJSONSeq": "geojsonl", "FlatGeobuf": "fgb",
              "ESRI Shapefile": "shp", "GML": "gml", "KML": "kml", "LIBKML": "kml", "GPX": "gpx",
              "MapInfo File": "tab", "SQLite": "sqlite", "DXF": "dxf", "OGR_GMT": "gmt",
              "OpenFileGDB": "gdb", "GeoRSS": "xml"}[driver]  # fmt: skip
    points = driver in ("GPX", "GeoRSS")
    table = gpd.GeoDataFrame(geometry=[POLYGON.centroid if points else POLYGON], crs="EPSG:4326")
    if driver not in ("GPX", "DXF", "GeoRSS"):
        table["name"] = "inside"
    path = tmp_path / f"zones.{suffix}"
    with warnings.catch_warnings(action="ignore"):
        table.to_file(path, driver=driver, layer="waypoints" if driver == "GPX" else None)
        rows = read_layer(
            f"{path}|layername=waypoints" if driver == "GPX" else path, AREA, crs="EPSG:4326"
        )
    assert len(rows) == 1
    assert not list(tmp_path.glob("*.gfs"))


def test_a_schema_beside_a_gml_file_still_gives_the_types_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "zones.gml"
    table = gpd.GeoDataFrame({"code": ["007"]}, geometry=[POLYGON], crs="EPSG:4326")
    table.to_file(path, driver="GML")
    assert read_layer(path, AREA)["code"].tolist() == ["007"]


def test_a_crs_by_name_and_columns_called_crs_are_no_links(tmp_path: Path) -> None:
    path = tmp_path / "zones.geojson"
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    text = geojson(crs=crs).replace(
        '{"n": 1}', '{"crs": "link", "CRS": null, "x": "crs", "y": ["crs"], "url": "http://a"}'
    )
    path.write_text(text)
    assert read_layer(path, AREA).crs == "EPSG:2154"


@pytest.fixture
def web_folder(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and its address on a web server."""
    handler = partial(QuietHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def test_text_on_a_web_server_is_checked_like_a_local_file(
    web_folder: tuple[Path, str], server: SilentServer
) -> None:
    folder, url = web_folder
    bait = write_layer(folder / "bait.gpkg")
    for name in ("vrt as geojson", "pipeline as gpkg", "crs link", "wfs as geojson"):
        file = LAYERS[name](folder, bait, server.url).name
        server.requests.value = 0
        with pytest.raises(InputError, match=f"{url}/{file} cannot be read") as caught:
            read_layer(f"{url}/{file}?sig=S3CR3T", AREA)
        assert "S3CR3T" not in str(caught.value)
        assert server.requests.value == 0
    (folder / "plain.geojson").write_text(geojson())
    (folder / "plain.csv").write_text('WKT,n\n"POINT (2 48)",1\n')
    host = url.removeprefix("http://")
    assert len(read_layer(f"{url}/plain.geojson?sig=1", AREA)) == 1
    assert len(read_layer(f"http://me:pass@{host}/plain.geojson", AREA)) == 1
    assert len(read_layer(f"/vsicurl/{url}/plain.csv", AREA, crs="EPSG:4326")) == 1
    with pytest.raises(InputError, match=r"none\.geojson cannot be read .*404"):
        read_layer(f"{url}/none.geojson", AREA)


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "IMAGE", "--aoi", "ZONES", "-o", "OUT.geojson"),
        ("evaluate", "ZONES", "LAYER"),
        ("evaluate", "LAYER", "ZONES"),
        ("evaluate", "LAYER", "LAYER", "--aoi", "ZONES"),
        ("compare", "ZONES", "--register", "LAYER", "-o", "OUT.gpkg"),
        ("compare", "LAYER", "--register", "ZONES", "-o", "OUT.gpkg"),
        ("compare", "LAYER", "--register", "LAYER", "--parcels", "ZONES"),
        ("summarize", "LAYER", "--zones", "ZONES", "-o", "OUT.gpkg"),
        ("summarize", "LAYER", "--zones", "OTHER", "--coverage", "ZONES"),
        ("report", "ZONES", "-o", "OUT.html"),
        ("report", "LAYER", "--truth", "ZONES", "-o", "OUT.html"),
        ("preview", "IMAGE", "ZONES", "-o", "OUT.png"),
        ("check", "--rasters", "IMAGE", "--labels", "ZONES"),
        ("tile", "IMAGE", "--labels", "ZONES", "-o", "OUT"),
        ("train", "--rasters", "IMAGE", "--labels", "ZONES", "-o", "OUT.safetensors"),
    ],
    ids=" ".join,
)
def test_every_command_refuses_a_layer_in_disguise_and_writes_nothing(
    arguments: tuple[str, ...], folder: Path
) -> None:
    bait = write_layer(folder.parent / "bait.gpkg")
    files = {
        "IMAGE": write_image(folder / "scene.tif"),
        "LAYER": write_layer(folder / "layer.gpkg", "inside"),
        "OTHER": write_layer(folder / "other.gpkg", "inside"),
        "ZONES": LAYERS["vrt as geojson"](folder, bait, ""),
    }
    before = set(folder.parent.rglob("*"))
    output = str(folder.parent / "OUT")
    named = [str(files.get(a, a)).replace("OUT", output, a.startswith("OUT")) for a in arguments]
    check_failure(invoke(*named), "zones.geojson", "holds OGRVRTDataSource")
    assert set(folder.parent.rglob("*")) == before
