"""Layers of changes, as ``geodetect compare`` writes them."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import shapely

import geodetect
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.settings import CompareSettings
from tests.conftest import METRES

SIDE = 300  # of the scene, in pixels of 0.2 m
NEW, CONFIRMED, MOVED, MISSING = (
    (20, 30, 60, 50),
    (100, 100, 130, 140),
    (200, 220, 220, 260),
    (*(20, 220, 60, 250),),
)


def squares_table(boxes: Any, *, crs: str = "EPSG:2154", **columns: Any) -> gpd.GeoDataFrame:
    """Return boxes in pixels of the scene as a table of polygons."""
    array = np.array(boxes, float).reshape(-1, 4)
    rings = Grid(parse_crs(crs), METRES, SIDE, SIDE).boxes_to_map(array)
    return gpd.GeoDataFrame(columns, geometry=shapely.polygons(rings), crs=crs)


def pool_predictions() -> gpd.GeoDataFrame:
    """Three pools with scores."""
    return squares_table(
        [NEW, CONFIRMED, MOVED], **{"class": "pool", "score": [0.6, 0.9, 0.7], "id": [1, 2, 3]}
    )


def pool_register() -> gpd.GeoDataFrame:
    """A confirmed pool, one 3 m beside its prediction, and one that was not detected."""
    moved = np.array(MOVED) + np.array([15, 0, 15, 0])
    return squares_table(
        [CONFIRMED, moved, MISSING],
        permit=["P-1", "P-2", "P-3"],
        adresse=["1 rue Haute", "2 rue Haute", "3 rue Basse"],
    )


def pool_changes(**options: Any) -> Any:
    """Return the comparison of the pools with their register."""
    return geodetect.compare(
        pool_predictions(), pool_register(), settings=CompareSettings(), **options
    )
