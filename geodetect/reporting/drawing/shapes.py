"""Shapes of objects on a canvas: outlines where these are known, else boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from PIL import ImageDraw
from pyproj import CRS

from geodetect.assessment.matching.outlines import POLYGON_TYPES, box_mask
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import densify, reproject_or_none
from geodetect.io.vector.qgis_style import Colour
from geodetect.reporting.drawing import primitives
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

TOLERANCE_PX = 0.1  # to which outlines are simplified, in pixels of the canvas


@dataclass(frozen=True)
class Shapes:
    """Shapes of objects in pixels of a canvas.

    Args:
        boxes: ``float64[N, 4]`` x1, y1, x2, y2.
        outlines: ``object[N]`` polygons and multipolygons; None for objects that are drawn as
            boxes.
    """

    boxes: FloatArray
    outlines: ObjectArray

    @classmethod
    def from_boxes(cls, boxes: FloatArray) -> Shapes:
        """Return objects of which only boxes ``float64[N, 4]`` are known."""
        return cls(boxes, np.full(len(boxes), None, dtype=object))

    @classmethod
    def from_geometries(
        cls, geometries: ObjectArray, boxes: FloatArray, *, crs: CRS | None, grid: Grid
    ) -> Shapes:
        """Return the shapes of objects.

        Args:
            geometries: ``object[N]`` of the objects; only polygons that are no boxes are outlines.
            boxes: ``float64[N, 4]`` their bounding boxes in pixels of the canvas.
            crs: CRS of the geometries; None: map coordinates of the canvas.
            grid: Grid of the canvas.
        """
        outlines = np.full(len(geometries), None, dtype=object)
        is_outline = np.isin(shapely.get_type_id(geometries), POLYGON_TYPES)
        is_outline &= ~shapely.is_empty(geometries)
        is_outline[is_outline] = ~box_mask(geometries[is_outline], crs)
        projected = geometries[is_outline]
        if crs is not None and grid.crs is not None:
            projected = reproject_or_none(densify(projected, crs), crs, grid.crs)
        moved = shapely.transform(projected, grid.to_px)
        outlines[is_outline] = shapely.simplify(moved, TOLERANCE_PX)
        return cls(boxes, outlines)

    @property
    def has_outlines(self) -> bool:
        """True if an object is drawn as its outline."""
        return any(outline is not None for outline in self.outlines)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: BoolArray | IntArray) -> Shapes:
        """Return some of the shapes."""
        return Shapes(self.boxes[index], self.outlines[index])

    def scaled(self, factor: FloatArray, shift: FloatArray | None = None) -> Shapes:
        """Return the shapes in other pixels.

        Args:
            factor: ``float64[2]`` other pixels per pixel, along x and y.
            shift: ``float64[2]`` origin in other pixels, subtracted; None: the same origin.
        """
        origin = np.zeros(2) if shift is None else shift
        boxes = self.boxes * np.tile(factor, 2) - np.tile(origin, 2)
        return Shapes(boxes, shapely.transform(self.outlines, lambda xy: xy * factor - origin))


def draw_shapes(
    draw: ImageDraw.ImageDraw, shapes: Shapes, colours: Sequence[Colour], *, small_as_dots: bool
) -> None:
    """Draw shapes, the last on top.

    Args:
        draw: Pillow's drawing interface of the image.
        shapes: Shapes in pixels of the image.
        colours: Colour of each.
        small_as_dots: Draw those that are too small for a line as dots.
    """
    for box, outline, colour in zip(shapes.boxes.tolist(), shapes.outlines, colours, strict=True):
        is_dot = small_as_dots and primitives.is_small(box)
        if outline is not None and not is_dot:
            primitives.draw_rings(draw, outline_rings(outline), colour)
        elif small_as_dots:
            primitives.draw_box(draw, box, colour)
        else:
            primitives.draw_outline(draw, box, colour)


def outline_rings(outline: shapely.Geometry) -> list[FloatArray]:
    """Return the rings of a polygon or multipolygon, each ``float64[K, 2]``, exteriors first."""
    polygons = shapely.get_parts(outline)
    polygons = polygons[shapely.get_dimensions(polygons) == 2]
    return [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygons)]
