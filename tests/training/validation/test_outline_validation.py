"""Validation of outlines on the holdout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from scipy import ndimage

from geodetect.detection.detectors.detector import CallableDetector
from geodetect.io.raster.open_raster import open_raster
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.validation.outlines import OutlineValidation, validate_outlines
from tests.helpers.square_scenes import (
    GSD_M,
    SQUARE_PX,
    LabelledScene,
    grid_corners,
    labelled_scene,
    square_boxes,
)
from tests.helpers.tiny_model import tiny_card
from tests.helpers.training_rasters import training_raster

SIDE = 384
CORNERS = grid_corners(SIDE)
HELD = [[0.0, 0, 200, SIDE]]
RADIUS = SQUARE_PX / 2

squares = labelled_scene(SIDE, CORNERS)


def discs(boxes: np.ndarray, radius: float) -> list[shapely.Geometry]:
    return [shapely.Point((x1 + x2) / 2, (y1 + y2) / 2).buffer(radius) for x1, y1, x2, y2 in boxes]


def outlined(scene: LabelledScene) -> TrainingRaster:
    """Squares whose outlines are the discs in them; that of the first is not known."""
    boxes = square_boxes(CORNERS)
    labelled = training_raster(open_raster(scene.raster), boxes, holdout=HELD)
    outlines = np.array(discs(boxes, RADIUS), dtype=object)
    outlines[0] = None
    return replace(labelled, outlines=outlines)


def detector(radius: float) -> CallableDetector:
    """Finds the squares, and discs of a radius in them."""

    def detect(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, list]:
        slices = ndimage.find_objects(ndimage.label(image[0] > 127)[0])
        boxes = np.array([[x.start, y.start, x.stop, y.stop] for y, x in slices], float)
        boxes = boxes.reshape(-1, 4)
        return boxes, np.full(len(boxes), 0.9), np.zeros(len(boxes)), discs(boxes, radius)

    return CallableDetector(detect, tile_px=128)


@pytest.mark.parametrize("radius", [RADIUS, 0.9 * RADIUS])
def test_outlines_are_compared_with_those_of_the_labels(
    squares: LabelledScene, radius: float
) -> None:
    labelled = outlined(squares)
    measured = validate_outlines(detector(radius), [labelled], conf=0.5)
    assert len(measured.iou) == int(labelled.is_held_out.sum()) - 1
    ratio = (radius / RADIUS) ** 2
    assert np.median(measured.iou) == pytest.approx(ratio, abs=0.01)
    assert measured.detected_m2 / measured.true_m2 == pytest.approx(ratio, abs=0.02)
    assert np.median(measured.true_m2) == pytest.approx(np.pi * (RADIUS * GSD_M) ** 2, rel=0.02)


def test_the_card_gets_medians_and_the_error_of_areas() -> None:
    detected, true = np.full(50, 20.0), np.linspace(18, 22, 50)
    card = OutlineValidation(np.full(50, 0.8), detected, true).add_to_card(tiny_card())
    assert card.metrics["outline_iou"] == 0.8
    assert card.metrics["area_ratio"] == pytest.approx(1, abs=0.01)
    assert card.metrics["area_error"] == pytest.approx(0.05, abs=0.01)
    assert card.area_error is not None
    assert card.area_error.low[0] < 0.92 < 1.08 < card.area_error.high[0]


def test_without_outlines_nothing_is_measured(squares: LabelledScene) -> None:
    labelled = replace(outlined(squares), outlines=None)
    measured = validate_outlines(detector(RADIUS), [labelled], conf=0.5)
    assert len(measured.iou) == 0
    assert measured.add_to_card(tiny_card()) == tiny_card()
