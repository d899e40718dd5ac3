"""Vector layers of squares, of boxes and of detections."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import ArrayLike

from geodetect.detection.detection_layer import GroundDetections
from geodetect.detection.detections import Detections
from geodetect.geo.grid import Grid

CRS = "EPSG:32632"
ORIGIN_M = (500_000.0, 5_000_000.0)


def square_layer(
    *corners: ArrayLike,
    side_m: float = 10,
    crs: str | None = CRS,
    origin_m: tuple[float, float] = ORIGIN_M,
    **columns: object,
) -> gpd.GeoDataFrame:
    """Squares whose lower left corners are given in metres east and north of an origin."""
    low = np.array(corners, np.float64).reshape(-1, 2) + origin_m
    squares = shapely.box(*low.T, *(low + side_m).T)
    return gpd.GeoDataFrame(columns, geometry=squares, crs=crs)


def box_layer(boxes: ArrayLike, grid: Grid, **columns: object) -> gpd.GeoDataFrame:
    """Boxes in pixels of a raster, as polygons on the map."""
    outlines = grid.boxes_to_map(np.array(boxes, np.float64).reshape(-1, 4))
    return gpd.GeoDataFrame(columns, geometry=shapely.polygons(outlines), crs=grid.crs)


def raster_detections(
    grid: Grid,
    boxes: ArrayLike,
    scores: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    classes: Sequence[str] = ("pool",),
    raster: str = "scene.tif",
    **columns: ArrayLike,
) -> GroundDetections:
    """Detections with boxes in pixels of a raster; scores fall from 0.9 to 0.5 by default."""
    if scores is None:
        scores = np.linspace(0.9, 0.5, len(np.reshape(boxes, (-1, 4))))
    detections = Detections.from_arrays(boxes, scores, labels, **columns)
    return GroundDetections.from_detections(detections, grid, classes=classes, rasters=[raster])
