"""Outlines of objects: their IoU, and outlines that are no more than boxes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import CRS

from geodetect.assessment.matching.comparison_grid import (
    LEAST_FILL,
    MAX_SAMPLE,
    comparison_grid,
)
from geodetect.errors import GeoreferenceError
from geodetect.geo.geodesic import ground_areas_m2
from geodetect.geo.grid import Grid
from geodetect.geo.polygons import repair_polygons
from geodetect.geo.reproject import densify, reproject, reproject_or_none
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

BOX_CORNERS = 4
LEAST_MIXED = 10  # boxes, and outlines
POLYGON_TYPES = (3, 6)  # type numbers of GEOS


@dataclass(frozen=True)
class Outlines:
    """Outlines of the objects of a layer.

    Args:
        polygons: ``object[N]`` valid polygons and multipolygons in pixels of the comparison grid;
            empty where there is none.
        is_box: ``bool[N]`` outlines that are no more than boxes, see ``box_mask``.
    """

    polygons: ObjectArray
    is_box: BoolArray

    @classmethod
    def from_geometries(
        cls, geometries: ObjectArray, crs: CRS | None, grid: Grid, *, name: str
    ) -> Outlines:
        """Return outlines in the pixels of a grid.

        Args:
            geometries: ``object[N]`` polygons; others have no area.
            crs: CRS of the coordinates; None: they are pixels of the grid.
            grid: Comparison grid.
            name: Noun phrase for the layer, for errors.

        Raises:
            InputError: A polygon crosses itself too often to be repaired.
        """
        polygons, _ = repair_polygons(geometries, name)
        is_polygon = np.isin(shapely.get_type_id(polygons), POLYGON_TYPES)
        polygons = np.where(is_polygon, polygons, shapely.Polygon())
        is_box = box_mask(polygons, crs)
        if crs is not None and grid.crs is not None:
            polygons = reproject_or_none(densify(polygons, crs), crs, grid.crs)
            polygons = np.asarray(shapely.transform(polygons, grid.to_px))
        is_polygon = np.isin(shapely.get_type_id(polygons), POLYGON_TYPES)
        return cls(np.where(is_polygon, polygons, shapely.Polygon()), is_box)

    def __len__(self) -> int:
        return len(self.polygons)

    def __getitem__(self, index: BoolArray | IntArray) -> Outlines:
        """Return some of the outlines."""
        return Outlines(self.polygons[index], self.is_box[index])

    @property
    def is_box_among_outlines(self) -> BoolArray:
        """Boxes in a layer that mixes them with outlines, ``bool[N]``; none in any other layer.

        A few rectangles along the axes may be true outlines, as of houses.
        """
        boxes = int(self.is_box.sum())
        return self.is_box & (min(boxes, len(self) - boxes) >= LEAST_MIXED)

    def areas_m2(self, grid: Grid) -> FloatArray:
        """Return the areas on the ellipsoid, ``float64[N]``.

        Without a CRS they are square units of the coordinates.

        Args:
            grid: Comparison grid.
        """
        if grid.crs is None:
            return np.asarray(shapely.area(self.polygons))
        return ground_areas_m2(shapely.transform(self.polygons, grid.to_map), grid.crs)


def box_mask(outlines: ObjectArray, crs: CRS | None) -> BoolArray:
    """Return True for outlines that are boxes: rectangles that all lie along the same axes.

    The axes are those of the coordinates, or for boxes that were drawn in another CRS those that
    the median rectangle lies along.

    Args:
        outlines: ``object[N]`` valid polygons.
        crs: CRS of the coordinates; None: there is none.

    Returns:
        ``bool[N]``.
    """
    is_box = np.zeros(len(outlines), dtype=bool)
    is_single = np.isin(shapely.get_type_id(outlines), POLYGON_TYPES)
    is_single &= shapely.get_num_geometries(outlines) == 1
    rows = np.flatnonzero(is_single & (shapely.area(outlines) > 0))
    shapes = np.asarray(shapely.get_geometry(outlines[rows], 0))
    corners = shapely.get_num_coordinates(shapely.get_exterior_ring(shapes)) - 1
    is_quadrilateral = (corners == BOX_CORNERS) & (shapely.get_num_interior_rings(shapes) == 0)
    rows, shapes = rows[is_quadrilateral], shapes[is_quadrilateral]
    if len(rows) == 0:
        return is_box
    is_aligned = _fill_bounds(shapes)
    is_box[rows] = is_aligned
    if crs is None or is_aligned.mean() > 0.5:
        return is_box
    grid = comparison_grid(shapes, crs, crs)
    with contextlib.suppress(GeoreferenceError):  # outside the area where the CRS is defined
        is_box[rows] |= _fill_bounds(
            shapely.transform(reproject(shapes, crs, grid.crs or crs), grid.to_px)
        )
    return is_box


def are_mostly_outlines(geometries: ObjectArray, crs: CRS | None) -> bool:
    """Return True if most of some geometries, of which a sample is looked at, are no boxes.

    Args:
        geometries: ``object[N]`` of any type.
        crs: CRS of the coordinates; None: there is none.
    """
    sample = geometries[:: len(geometries) // MAX_SAMPLE + 1]
    is_polygon = np.isin(shapely.get_type_id(sample), POLYGON_TYPES)
    return bool((is_polygon & ~box_mask(sample, crs)).sum() > len(sample) / 2)


def _fill_bounds(polygons: ObjectArray) -> BoolArray:
    """Return True for polygons that fill their bounding boxes, ``bool[N]``."""
    extent = shapely.area(shapely.box(*shapely.bounds(polygons).T))
    return np.asarray(shapely.area(polygons) >= LEAST_FILL * extent)
