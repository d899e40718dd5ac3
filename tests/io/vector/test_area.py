"""Areas of interest."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from pyproj import CRS

from geodetect.errors import InputError
from geodetect.io.vector.read import read_area

POOL = shapely.box(500_010, 5_249_980, 500_018, 5_249_990)


def save_geometries(
    path: Path, *geometries: shapely.Geometry | None, crs: str | None = "EPSG:32632"
) -> Path:
    gpd.GeoDataFrame(geometry=list(geometries), crs=crs).to_file(path)
    return path


def test_an_area_is_the_union_of_its_polygons(tmp_path: Path) -> None:
    squares = [shapely.box(0, 0, 10, 10), shapely.box(5, 0, 15, 10), shapely.box(20, 0, 21, 1)]
    area, crs = read_area(save_geometries(tmp_path / "area.gpkg", *squares, None), default_crs=None)
    assert area.area == 151
    assert crs.to_epsg() == 32632


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_an_area_without_crs_or_polygons_is_an_error(tmp_path: Path) -> None:
    path = save_geometries(tmp_path / "bare.shp", POOL, crs=None)
    lines = save_geometries(tmp_path / "lines.gpkg", shapely.LineString([(0, 0), (1, 1)]))
    with pytest.raises(InputError, match=r"bare\.shp has no coordinate.*save it with one"):
        read_area(path, default_crs=None)
    with pytest.raises(InputError, match=r"lines\.gpkg holds no polygons"):
        read_area(lines, default_crs=None)
    with pytest.raises(InputError, match=r"absent\.gpkg does not exist"):
        read_area(tmp_path / "absent.gpkg", default_crs=None)


def test_tables_columns_and_geometries_are_areas(tmp_path: Path) -> None:
    column = gpd.GeoSeries([POOL], crs="EPSG:32632")
    for source in (column, gpd.GeoDataFrame(geometry=column)):
        area, crs = read_area(source, default_crs=None)
        assert area.equals(POOL)
        assert crs.to_epsg() == 32632
    for source in (POOL, gpd.GeoSeries([POOL]), shapely.MultiPolygon([POOL])):
        area, crs = read_area(source, default_crs=CRS(3857))
        assert area.equals(POOL)
        assert crs.to_epsg() == 3857
        assert read_area(source, default_crs=None)[1] is None
    with pytest.raises(InputError, match="the area of interest holds no polygons"):
        read_area(shapely.Point(0, 0), default_crs=None)
