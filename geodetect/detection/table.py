"""The detection table: what users see of detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geodetect.detection.detections import Detections
from geodetect.errors import GeoreferenceError, InputError
from geodetect.geo.grid import Grid, ground_sizes, horizontal_crs
from geodetect.geo.reproject import reproject

DTYPES: dict[str, type] = {
    "id": np.int64,
    "class": str,
    "score": np.float64,
    "area_m2": np.float64,
    "width_m": np.float64,
    "length_m": np.float64,
    "truncated": np.bool_,
    "raster": str,
}
COLUMNS = (*DTYPES, "geometry")

SCORE_DECIMALS = 4
METRE_DECIMALS = 2  # a centimetre: finer than any pixel the boxes come from


def detection_table(
    detections: Detections, grid: Grid, *, classes: Sequence[str], raster: str
) -> gpd.GeoDataFrame:
    """Detections of one raster as a table of polygons on the map.

    Args:
        detections: Boxes in pixel edges of ``grid``.
        grid: The raster's pixels on the map.
        classes: Name of each label.
        raster: Name of the raster, for the column of that name.

    Returns:
        One row per detection, from top to bottom and left to right in the raster, with

        - ``id`` int64, 1..N
        - ``class`` str
        - ``score`` float64 in 0..1, four decimals
        - ``area_m2``, ``width_m`` (short side), ``length_m`` (long side): float64, true distances
          on the ground, to the centimetre; NaN without a CRS
        - ``truncated`` bool: cut by the edge of the imagery
        - ``raster`` str
        - ``geometry``: closed counter-clockwise polygon in the raster's CRS (its horizontal
          part), or in the raster's own coordinates without one

    Raises:
        InputError: A label has no name in ``classes``.
    """
    labels = detections.labels
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise InputError(
            f"labels {labels.min()} to {labels.max()} found, but the model names only "
            f"{len(classes)} classes: {', '.join(classes)}"
        )
    found = detections[canonical_order(detections)]
    rings = grid.boxes_to_map(found.boxes)
    width_m, length_m, area_m2 = ground_sizes(rings, grid.crs)
    columns = {
        "id": np.arange(1, len(found) + 1),
        "class": np.array([*classes, ""], dtype=object)[found.labels],
        "score": np.round(found.scores.astype(np.float64), SCORE_DECIMALS),
        "area_m2": np.round(area_m2, METRE_DECIMALS),
        "width_m": np.round(width_m, METRE_DECIMALS),
        "length_m": np.round(length_m, METRE_DECIMALS),
        "truncated": found.truncated,
        "raster": np.full(len(found), raster, dtype=object),
    }
    crs = None if grid.crs is None else str(horizontal_crs(grid.crs).to_wkt())
    return _table(columns, shapely.polygons(rings), crs)


def canonical_order(detections: Detections) -> NDArray[np.int64]:
    """Row numbers ``int64[N]``: top to bottom, left to right, ties broken by all the rest."""
    x1, y1, x2, y2 = detections.boxes.T
    rest = (detections.truncated, -detections.scores, detections.labels)
    return np.lexsort((*rest, x2, y2, x1, y1))


def concatenate_tables(
    tables: Sequence[gpd.GeoDataFrame], crs: str | None = None
) -> gpd.GeoDataFrame:
    """The tables of several rasters as one, in one CRS, with ids 1..N.

    Args:
        tables: Detection tables, in the order in which their rows shall follow.
        crs: WKT, or anything PROJ understands; by default the CRS of the first table.

    Returns:
        All rows. Sizes stay as measured in each raster's own CRS. No tables make an empty table.

    Raises:
        GeoreferenceError: Some tables have a CRS and others none.
    """
    if not tables:
        return empty_table(crs)
    if len({table.crs is None for table in tables}) > 1:
        raise GeoreferenceError(
            "some rasters have a CRS and others have none, so they share no map; "
            "name the missing one with --src-crs, or run them apart"
        )
    first = tables[0].crs
    target = None if first is None else crs or str(first.to_wkt())
    columns = {
        name: np.concatenate([table[name].to_numpy() for table in tables]) for name in DTYPES
    }
    columns["id"] = np.arange(1, len(columns["id"]) + 1)
    geometry = [_geometry_in(table, target) for table in tables]
    return _table(columns, np.concatenate(geometry), target)


def empty_table(crs: str | None = None) -> gpd.GeoDataFrame:
    """A table without rows, with all columns and their types."""
    return _table({name: [] for name in DTYPES}, np.empty(0, dtype=object), crs)


def _geometry_in(table: gpd.GeoDataFrame, crs: str | None) -> NDArray[Any]:
    geometry = np.asarray(table.geometry.array)
    return geometry if crs is None else reproject(geometry, table.crs.to_wkt(), crs)


def _table(columns: dict[str, Any], geometry: NDArray[Any], crs: str | None) -> gpd.GeoDataFrame:
    typed = {name: pd.Series(columns[name], dtype=dtype) for name, dtype in DTYPES.items()}
    return gpd.GeoDataFrame(typed, geometry=gpd.array.from_shapely(geometry, crs=crs))
