"""Thumbnails show their object in the middle, wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from geodetect.reporting.drawing.canvas import RasterCanvas, open_for_display
from geodetect.reporting.drawing.shapes import Shapes
from geodetect.reporting.drawing.thumbnails import (
    CONTEXT,
    MIN_WINDOW_M,
    MIN_WINDOW_PX,
    draw_thumbnail,
    thumbnail_window,
)
from geodetect.settings import DrawingSettings
from tests.conftest import Save

SIDE = 120
OBJECTS = {"middle": (100, 80, 140, 110), "corner": (0, 0, 30, 20), "edge": (270, 90, 300, 150)}


@pytest.fixture
def canvas(save: Save) -> Iterator[RasterCanvas]:
    """Bright objects on dark imagery, 0.2 m per pixel."""
    pixels = np.full((3, 200, 300), 40, np.uint8)
    for x1, y1, x2, y2 in OBJECTS.values():
        pixels[:, y1:y2, x1:x2] = 230
    with open_for_display(save(pixels), DrawingSettings()) as raster:
        yield RasterCanvas.from_raster(raster)


def is_bright(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The object: neither background nor the white beyond the raster."""
    return (image.max(axis=2) > 140) & (image.max(axis=2) < 250)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_lies_in_the_middle_of_its_thumbnail(canvas: RasterCanvas, name: str):
    box = np.array(OBJECTS[name], float)
    image = np.asarray(draw_thumbnail(canvas, box, size_px=SIDE))
    window = thumbnail_window(canvas, box)
    scale = SIDE / (window[2] - window[0])
    rows, columns = np.nonzero(is_bright(image))
    expected = (box - np.tile(window[:2], 2)) * scale
    drawn = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert drawn == pytest.approx(expected, abs=2)
    assert image.shape == (SIDE, SIDE, 3)


def test_beyond_the_raster_a_thumbnail_is_white(canvas: RasterCanvas):
    image = np.asarray(draw_thumbnail(canvas, np.array(OBJECTS["corner"], float), size_px=SIDE))
    assert (image[:10, :] == 255).all()
    assert (image[:, :10] == 255).all()
    assert not (image[-10:, -10:] == 255).all()


def test_outlines_are_drawn_on_their_boxes(canvas: RasterCanvas):
    box = np.array(OBJECTS["middle"], float)
    image = np.asarray(
        draw_thumbnail(
            canvas, box, size_px=SIDE, shapes=[(Shapes.from_boxes(box[None]), (255, 0, 0))]
        )
    )
    rows, columns = np.nonzero((image == (255, 0, 0)).all(axis=2))
    scale = SIDE / (CONTEXT * 40)
    assert columns.max() + 1 - columns.min() == pytest.approx(40 * scale, abs=2)
    assert rows.max() + 1 - rows.min() == pytest.approx(30 * scale, abs=2)


@pytest.mark.parametrize("side_px", [1.0, 30.0, 100.0])
def test_thumbnails_show_context_and_a_minimum_area(canvas: RasterCanvas, side_px: float):
    window = thumbnail_window(canvas, np.array([50, 50, 50 + side_px, 51]))
    assert canvas.grid.gsd_m is not None
    minimum = max(MIN_WINDOW_PX, MIN_WINDOW_M / canvas.grid.gsd_m)
    assert window[2] - window[0] == pytest.approx(max(minimum, CONTEXT * side_px))
    assert window[2] - window[0] == pytest.approx(window[3] - window[1])


def test_an_object_far_off_the_raster_has_a_white_thumbnail(canvas: RasterCanvas):
    image = np.asarray(draw_thumbnail(canvas, np.array([5000.0, 5000, 5010, 5010]), size_px=SIDE))
    assert (image == 255).all()
