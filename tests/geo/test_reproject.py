from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import CRS

from geodetect.errors import GeoreferenceError
from geodetect.geo.reproject import reproject


def test_the_same_crs_leaves_geometries_untouched():
    points = shapely.points([[7.0, 47.0]])
    assert reproject(points, CRS("EPSG:4326"), CRS("OGC:CRS84")) is points


def test_x_comes_first_whatever_the_axes_of_the_crs_say():
    moved = reproject(shapely.points([[7.438632, 46.951083]]), CRS("EPSG:4326"), CRS("EPSG:2056"))
    np.testing.assert_allclose(shapely.get_coordinates(moved), [[2600000, 1200000]], atol=2)


def test_coordinates_without_a_place_in_the_target_are_refused():
    with pytest.raises(GeoreferenceError, match=r"WGS 84.*`src_crs`"):
        reproject(shapely.points([[1e9, 1e9]]), CRS("EPSG:32632"), CRS("EPSG:4326"))


def test_no_geometries_stay_none():
    assert len(reproject(np.empty(0, dtype=object), CRS("EPSG:4326"), CRS("EPSG:2056"))) == 0
