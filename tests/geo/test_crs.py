from __future__ import annotations

import pytest
import rasterio.crs
from pyproj import CRS

from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import (
    WGS84,
    horizontal_crs,
    normalize_crs,
    parse_crs,
    same_crs,
    transformer_between,
)


def test_a_compound_crs_is_used_by_its_horizontal_part():
    assert same_crs(CRS("EPSG:2056+5728"), CRS("EPSG:2056"))
    assert not same_crs(CRS("EPSG:2056"), CRS("EPSG:21781"))


def test_the_horizontal_part_has_no_height() -> None:
    assert len(horizontal_crs(parse_crs("EPSG:4979")).axis_info) == 2
    assert horizontal_crs(parse_crs("EPSG:2154+5720")).to_epsg() == 2154


@pytest.mark.parametrize("code", [4326, 25832, 9518])
def test_the_horizontal_part_is_the_same_whether_named_by_code_or_read_from_a_file(code) -> None:
    by_code, from_file = CRS(code), parse_crs(rasterio.crs.CRS.from_epsg(code))
    first, second = (horizontal_crs(normalize_crs(crs)) for crs in (by_code, from_file))
    assert horizontal_crs(by_code).to_json() == first.to_json()
    assert first.equals(second, ignore_axis_order=True)


def test_crs_that_proj_does_not_know_is_refused() -> None:
    with pytest.raises(GeoreferenceError, match="'EPSG:999999' is no coordinate reference system"):
        parse_crs("EPSG:999999")


@pytest.mark.parametrize(
    "wkt",
    ['LOCAL_CS["Site grid",UNIT["metre",1]]',
     'ENGCRS["Site grid",EDATUM["Site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
     'LENGTHUNIT["metre",1]]'],
)  # fmt: skip
def test_local_crs_have_no_conversion(wkt: str) -> None:
    local = CRS(wkt)
    for pair in ((local, WGS84), (WGS84, local)):
        with pytest.raises(
            GeoreferenceError, match=r"no conversion .*; Site grid is local, without"
        ):
            transformer_between(*pair)


def test_crs_of_other_planets_have_no_conversion() -> None:
    with pytest.raises(GeoreferenceError, match=r"no conversion from Moon.* to WGS 84"):
        transformer_between(CRS("IAU_2015:30100"), WGS84)
