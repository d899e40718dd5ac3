"""Published ONNX files, not part of the repository, against formulas of their programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import geodetect
from geodetect.detection.detectors.load import load_detector
from tests.conftest import SHARED
from tests.helpers.published_detectors import SIDE_PX, nanodet_boxes, yolox_boxes

MIN_SCORE = 0.005
MAX_BOX_PX, MAX_SCORE = 0.5, 1e-3  # differences


@pytest.fixture
def published(request: pytest.FixtureRequest) -> Path:
    path = SHARED.parent / "weights" / "onnx" / request.param
    if not path.is_file():
        pytest.skip(f"needs ../shared/weights/onnx/{request.param}")
    return path


@pytest.mark.parametrize(
    ("published", "layout", "decode"),
    [
        ("yolox_nano.onnx", "yolox", yolox_boxes),
        ("nanodet_m.onnx", "nanodet", nanodet_boxes),
    ],
    indirect=["published"],
)
def test_detections_are_those_of_the_program_that_wrote_the_file(
    published: Path, layout: str, decode: object, tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    card = geodetect.convert(published, model)
    assert card.imported is not None
    assert (card.imported.layout, len(card.classes)) == (layout, 80)
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE_PX, SIDE_PX), np.uint8)
    pixels[:, 100:260, 80:300] = np.array([30, 120, 200], np.uint8)[:, None, None]
    detector = load_detector(model, conf=MIN_SCORE, iou=1.0)  # of equal boxes one remains
    (detections,) = detector(pixels[None], np.ones((1, SIDE_PX, SIDE_PX), bool))
    boxes, scores = decode(published, pixels)  # type: ignore[operator]
    boxes = np.clip(boxes, 0, SIDE_PX)
    assert len(detections) > 5
    for label in np.unique(detections.labels):
        of_class = detections[detections.labels == label]
        distances = cdist(of_class.boxes, boxes, "chebyshev") / MAX_BOX_PX
        distances += np.abs(of_class.scores[:, None] - scores[:, label]) / MAX_SCORE
        assert (distances.min(axis=1) < 1).all()
