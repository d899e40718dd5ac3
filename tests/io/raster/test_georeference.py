from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS, Transformer
from rasterio.control import GroundControlPoint as Gcp

from geodetect.errors import GeoreferenceError, RasterError
from geodetect.geo.crs import horizontal_crs, parse_crs
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import RasterOptions
from tests.conftest import METRES, Save

BLANK = np.full((3, 50, 60), 99, np.uint8)
ROTATED = Affine.translation(700_000, 6_600_000) @ Affine.rotation(25) @ Affine.scale(0.2, -0.2)


def to_crs(crs: str, lon: float, lat: float) -> tuple[float, float]:
    flat = horizontal_crs(parse_crs(crs))
    x, y = Transformer.from_crs("EPSG:4326", flat, always_xy=True).transform(lon, lat)
    return x, y


def gcps(transform: Affine, places: list[tuple[float, float]]) -> list[Gcp]:
    return [Gcp(row=r, col=c, x=(transform @ (c, r))[0], y=(transform @ (c, r))[1])
            for c, r in places]  # fmt: skip


@pytest.mark.parametrize("transform", [METRES, ROTATED, METRES @ Affine.scale(1, -1)])
def test_a_transform_is_taken_as_it_is(transform: Affine, save: Save) -> None:
    grid = open_raster(save(BLANK, transform=transform)).grid
    assert grid.transform.almost_equals(transform, 1e-9)
    assert (grid.width, grid.height) == (60, 50)
    assert horizontal_crs(grid.crs).to_epsg() == 2154


@pytest.mark.parametrize(
    "crs",
    ["EPSG:2154+5720", "EPSG:4979", "EPSG:27572", "EPSG:2263",
     "+proj=tmerc +lon_0=9 +k=1 +x_0=3500000 +ellps=bessel +towgs84=598,73,418,0.2,0,-2.4,6.7",
     "+proj=laea +lat_0=47 +lon_0=8 +ellps=GRS80 +units=us-ft",
     'LOCAL_CS["site",UNIT["metre",1]]'],
)  # fmt: skip
def test_any_crs_that_a_file_holds_is_understood(crs: str, save: Save) -> None:
    """Compound, 3D, in feet, without an EPSG code, with a datum shift, not tied to the Earth."""
    degrees = crs == "EPSG:4979"
    pixel = 1e-6 if degrees else 1.0
    lon, lat = (-74.0, 40.7) if crs == "EPSG:2263" else (8.0, 47.0)
    x, y = (0.0, 0.0) if "LOCAL" in crs else to_crs(crs, lon, lat)
    path = save(BLANK, crs=crs, transform=Affine(pixel, 0, x, 0, -pixel, y))
    grid = open_raster(path).grid
    unit = horizontal_crs(parse_crs(crs)).axis_info[0].unit_conversion_factor
    if degrees:
        assert grid.gsd_xy_m == pytest.approx((0.0761, 0.1112), abs=1e-4)
    else:
        assert grid.gsd_m == pytest.approx(unit, rel=5e-3)


def test_the_users_crs_comes_before_the_files(save: Save) -> None:
    path = save(BLANK, crs="EPSG:4326")
    grid = open_raster(path, RasterOptions(src_crs="EPSG:2154")).grid
    assert horizontal_crs(grid.crs).to_epsg() == 2154
    assert grid.gsd_m == pytest.approx(0.2, rel=2e-3)


def test_pixel_coordinates_need_no_georeference(save: Save) -> None:
    path = save(BLANK, crs=None, transform=None)
    grid = open_raster(path, RasterOptions(pixel_coords=True)).grid
    assert grid.crs is None
    assert grid.transform == Affine.identity()


@pytest.mark.parametrize("keys", [{"crs": None}, {"crs": None, "transform": None}])
def test_without_a_crs_the_error_names_both_ways_out(keys: dict[str, None], save: Save) -> None:
    with pytest.raises(GeoreferenceError, match=r"scene\.tif: no .*`pixel_coords`") as caught:
        open_raster(save(BLANK, **keys))
    assert ("`src_crs`" in str(caught.value)) == ("transform" not in keys)


def test_a_crs_that_is_none_is_an_error(save: Save) -> None:
    with pytest.raises(GeoreferenceError, match="'EPSG:0' is no coordinate reference system"):
        open_raster(save(BLANK), RasterOptions(src_crs="EPSG:0"))


@pytest.mark.parametrize(
    "transform", [Affine(0, 0, 5, 0, 0, 5), Affine(1, 1, 5, 1, 1, 5), Affine(1, 0, np.nan, 0, 1, 5)]
)
def test_a_transform_without_area_is_an_error(transform: Affine, save: Save) -> None:
    with pytest.raises(GeoreferenceError, match="gives pixels no area"):
        open_raster(save(BLANK, transform=transform))


@pytest.mark.parametrize("transform", [METRES, ROTATED, ROTATED @ Affine.shear(15, 0)])
def test_control_points_on_an_affine_are_that_affine(transform: Affine, save: Save) -> None:
    points = gcps(transform, [(0, 0), (60, 0), (60, 50), (0, 50), (20, 30)])
    raster = open_raster(save(BLANK, transform=None, gcps=points))
    ends = np.array([[0.0, 0], [60, 50], [0, 50]])
    expected = [transform @ tuple(end) for end in ends]
    np.testing.assert_allclose(raster.grid.to_map(ends), expected, atol=1e-4)
    assert (raster.grid.width, raster.grid.height) == (60, 50)


def test_three_control_points_are_enough(save: Save) -> None:
    points = gcps(ROTATED, [(0, 0), (60, 0), (60, 50)])
    grid = open_raster(save(BLANK, transform=None, gcps=points)).grid
    np.testing.assert_allclose(grid.to_map(np.array([0.0, 50])), ROTATED @ (0, 50), atol=1e-4)


@pytest.mark.parametrize("places", [[(0, 0)], [(0, 0), (60, 50)], [(0, 0), (20, 20), (50, 50)]])
def test_control_points_on_one_line_are_an_error(
    places: list[tuple[float, float]], save: Save
) -> None:
    path = save(BLANK, transform=None, gcps=gcps(METRES, places))
    with pytest.raises(GeoreferenceError, match="lie on one line"):
        open_raster(path)
    assert open_raster(path, RasterOptions(pixel_coords=True)).grid.crs is None


def test_a_world_file_and_a_stated_crs_are_enough(save: Save, tmp_path: Path) -> None:
    path = save(BLANK, crs=None, transform=None)
    (tmp_path / "scene.tfw").write_text("0.2\n0\n0\n-0.2\n700000.1\n6599999.9\n")  # first centre
    grid = open_raster(path, RasterOptions(src_crs="EPSG:2154")).grid
    assert grid.transform.almost_equals(METRES, 1e-6)


def test_tiffs_that_state_pixel_centres_lie_where_others_do(save: Save) -> None:
    """``AREA_OR_POINT=Point`` says how the file counts; rasterio's transform is of edges."""
    path = save(BLANK, "point.tif", AREA_OR_POINT="Point")
    assert open_raster(path).grid.transform.almost_equals(METRES, 1e-9)


def _replace_bytes(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize("has_gcps", [False, True])
@pytest.mark.parametrize(
    "crs",
    ['LOCAL_CS["Grille XX",UNIT["metre",1]]',
     CRS("+proj=tmerc +lon_0=9 +ellps=GRS80 +units=m").to_wkt("WKT1_GDAL")
     .replace("unknown", "Grille XX")],
)  # fmt: skip
def test_a_crs_name_in_latin_1_is_an_error_of_one_line(
    crs: str, has_gcps: bool, save: Save
) -> None:
    options: dict[str, object] = {"crs": crs}
    if has_gcps:
        options |= {"transform": None, "gcps": gcps(METRES, [(0, 0), (60, 0), (0, 50)])}
    path = _replace_bytes(save(BLANK, **options), b"Grille XX", b"Grille \xe9\xe8")
    with pytest.raises(RasterError, match=r"scene\.tif: .*(not in UTF-8|'utf-8' codec)") as error:
        open_raster(path)
    assert "\n" not in str(error.value)


def test_latin_1_in_the_name_of_a_crs_with_a_code_does_no_harm(save: Save) -> None:
    path = _replace_bytes(save(BLANK), b"Lambert-93", b"Lambert\xe993")
    assert horizontal_crs(open_raster(path).grid.crs).to_epsg() == 2154
