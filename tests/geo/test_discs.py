"""Discs on the ground."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import parse_crs
from geodetect.geo.discs import ground_discs
from geodetect.geo.geodesic import ground_distances_m


@pytest.mark.parametrize(
    "crs", ["EPSG:4326", "EPSG:3857", "EPSG:2154", "EPSG:2263", "EPSG:3035", "EPSG:6933"]
)
def test_every_corner_of_a_disc_is_half_its_diameter_from_the_point(crs: str) -> None:
    system = parse_crs(crs)
    to_map = Transformer.from_crs("EPSG:4326", system, always_xy=True)
    point = np.array(
        [to_map.transform(-73.9, 40.7) if crs == "EPSG:2263" else to_map.transform(8, 50)]
    )
    (disc,) = ground_discs(point, 7.0, system)
    corners = shapely.get_coordinates(disc)
    distances = ground_distances_m(np.repeat(point, len(corners), axis=0), corners, system)
    np.testing.assert_allclose(distances, 3.5, rtol=1e-5)
    assert disc.is_valid


def test_a_disc_in_a_local_crs_has_the_unit_of_its_axes() -> None:
    feet = parse_crs('LOCAL_CS["site",UNIT["foot",0.3048],AXIS["x",EAST],AXIS["y",NORTH]]')
    (disc,) = ground_discs(np.array([[10.0, 20.0]]), 3.048, feet)
    np.testing.assert_allclose(disc.bounds, [5, 15, 15, 25], atol=1e-6)


def test_no_points_make_no_discs() -> None:
    assert len(ground_discs(np.empty((0, 2)), 5.0, parse_crs("EPSG:2154"))) == 0


def test_a_point_off_the_map_is_an_error() -> None:
    with pytest.raises(GeoreferenceError, match="outside the area where their CRS"):
        ground_discs(np.array([[0.0, 95.0]]), 5.0, parse_crs("EPSG:4326"))
