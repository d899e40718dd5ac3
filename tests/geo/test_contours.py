"""Outlines of masks."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity

from geodetect.geo.boxes import widen
from geodetect.geo.contours import outline_masks
from geodetect.training.data.mask_targets import draw_mask
from geodetect.types import FloatArray

CELLS, MARGIN = 28, 0.15


def drawn_again(outline: shapely.Geometry) -> shapely.Geometry:
    """The outline of the mask of an outline, in its bounds and a margin."""
    boxes = widen(np.array([outline.bounds]), MARGIN)
    mask = draw_mask(outline, boxes[0], CELLS, CELLS)
    return outline_masks(mask[None], boxes)[0]


def iou(a: shapely.Geometry, b: shapely.Geometry) -> float:
    return a.intersection(b).area / a.union(b).area


@settings(deadline=None, max_examples=60)
@given(
    width=st.floats(8, 400),
    height=st.floats(8, 400),
    degrees=st.floats(0, 180),
    x=st.floats(-1000, 1000),
)
def test_the_mask_of_a_turned_rectangle_gives_it_back(
    width: float, height: float, degrees: float, x: float
) -> None:
    narrow, wide = sorted((width, height))
    outline = affinity.rotate(shapely.box(x, 5, x + wide, 5 + max(narrow, wide / 3)), degrees)
    again = drawn_again(outline)
    assert again.is_valid
    assert iou(again, outline) > 0.95
    assert again.area == pytest.approx(outline.area, rel=0.03)


def test_a_ring_keeps_its_hole_and_an_l_its_bay() -> None:
    ring = shapely.Point(50, 50).buffer(30) - shapely.Point(50, 50).buffer(15)
    assert len(drawn_again(ring).interiors) == 1
    corner = shapely.box(20, 20, 80, 80) - shapely.box(45, 45, 90, 90)
    for shape in (ring, corner):
        assert iou(drawn_again(shape), shape) > 0.96


def test_parts_stay_together_but_specks_and_pinholes_are_left_out() -> None:
    mask = np.zeros((1, CELLS, CELLS), np.float32)
    mask[0, 2:12, 2:26] = 1
    mask[0, 16:26, 2:26] = 1
    mask[0, 6, 6] = 0
    boxes = np.array([[0.0, 0, CELLS, CELLS]])
    (halves,) = outline_masks(mask, boxes)
    assert halves.geom_type == "MultiPolygon"
    assert halves.area == pytest.approx(2 * 10 * 24, rel=0.02)
    assert not any(part.interiors for part in halves.geoms)
    mask[0, 16:26] = 0
    mask[0, 20, 20] = 1
    assert outline_masks(mask, boxes)[0].geom_type == "Polygon"


def test_a_mask_without_an_object_has_no_outline_and_a_full_one_its_box() -> None:
    masks = np.stack([np.full((CELLS, CELLS), value, np.float32) for value in (0.4, 1.0)])
    boxes: FloatArray = np.array([[0.0, 0, 10, 10], [5, 5, 19, 33]])
    nothing, everything = outline_masks(masks, boxes)
    assert nothing is None
    assert iou(everything, shapely.box(*boxes[1])) > 0.99
    assert len(outline_masks(masks[:0], boxes[:0])) == 0
