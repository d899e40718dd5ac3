"""A network as a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from geodetect.detection.detectors.load import load_detector
from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.errors import GeodetectWarning, ModelFileError
from geodetect.model.card import Calibration, ModelCard
from geodetect.model.network.anchors import anchors_of_image
from geodetect.model.network.anchors_torch import encode
from geodetect.model.runtimes.base import NetworkOutput
from geodetect.model.runtimes.torch import TorchRuntime
from tests.helpers.square_scenes import SQUARE_PX, squares_image
from tests.helpers.tiny_model import save_tiny_model, tiny_card, tiny_network, weights_of

CORNERS = [(4, 4), (36, 20), (100, 100), (20, 76), (108, 4)]


@pytest.fixture(scope="module")
def tiny_detector() -> RetinaNetDetector:
    card = tiny_card()
    return RetinaNetDetector(TorchRuntime(card, weights_of(tiny_network(card)), "cpu"))


def all_valid(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.ones((len(pixels), *pixels.shape[2:]), bool)


class ScriptedRuntime(TorchRuntime):
    """Runtime whose outputs stand for given boxes, scores and labels."""

    title, streams, batch_size, depends_on_batch, bytes_per_px = "scripted", 1, 1, False, 0

    has_outlines = False

    def __init__(self, card: ModelCard, outputs: list[tuple[list[float], float, int]]) -> None:
        self.card = card
        self._outputs = outputs

    def forward(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NetworkOutput:
        assert self.card.network is not None
        height, width = (-(-n // 8) * 8 for n in pixels.shape[2:])
        anchors = torch.from_numpy(anchors_of_image(self.card.network, height, width))
        logits = torch.full((len(pixels), len(anchors), len(self.card.classes)), -20.0)
        deltas = torch.zeros(len(pixels), len(anchors), 4)
        for row, (box, score, label) in enumerate(self._outputs):
            logits[:, row, label] = torch.logit(torch.tensor(score))
            deltas[:, row] = encode(torch.tensor([box]), anchors[row : row + 1])[0]
        return NetworkOutput(logits.numpy(), deltas.numpy(), (height, width))


def decode_outputs(
    outputs: list[tuple[list[float], float, int]],
    side: int = 64,
    calibration: Calibration | None = None,
    vote_iou: float | None = None,
    **options: float,
) -> list:
    card = tiny_card(classes=("a", "b"), iou=0.5, calibration=calibration, vote_iou=vote_iou)
    detector = RetinaNetDetector(ScriptedRuntime(card, outputs), **options)
    pixels = np.zeros((1, 3, side, side), np.uint8)
    detections = detector(pixels, all_valid(pixels))[0]
    rows = zip(
        detections.boxes.round(2).tolist(), detections.scores, detections.labels, strict=True
    )
    return [(box, round(float(score), 3), int(label)) for box, score, label in rows]


def test_every_square_is_found_once_at_its_place(tiny_detector: RetinaNetDetector) -> None:
    image = squares_image(128, CORNERS)[None]
    detections = tiny_detector(image, all_valid(image))[0]
    expected = sorted([x, y, x + SQUARE_PX, y + SQUARE_PX] for x, y in CORNERS)
    np.testing.assert_allclose(sorted(detections.boxes.tolist()), expected, atol=1e-3)
    assert (detections.scores > 0.9).all()


def test_an_image_without_squares_has_no_detections(tiny_detector: RetinaNetDetector) -> None:
    image = squares_image(128, [])[None]
    assert [len(detections) for detections in tiny_detector(image, all_valid(image))] == [0]


def test_the_batch_does_not_matter(tiny_detector: RetinaNetDetector) -> None:
    images = np.stack([squares_image(128, CORNERS[i:]) for i in range(4)])
    together = tiny_detector(images, all_valid(images))
    for image, detections in zip(images, together, strict=True):
        alone = tiny_detector(image[None], all_valid(image[None]))[0]
        assert len(alone) == len(detections) > 0
        np.testing.assert_allclose(alone.boxes, detections.boxes, atol=1e-4)
        np.testing.assert_allclose(alone.scores, detections.scores, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(60, 93), (30, 30), (21, 128), (5, 5), (1, 1)])
def test_nothing_is_found_outside_an_image_that_is_no_multiple_of_the_stride(
    height: int, width: int
) -> None:
    card = tiny_card(conf=0.0)
    every_anchor = RetinaNetDetector(TorchRuntime(card, weights_of(tiny_network(card)), "cpu"))
    image = squares_image(128, CORNERS)[None, :, :height, :width]
    boxes = every_anchor(image, all_valid(image))[0].boxes
    assert len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [width, height]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_padding_finds_what_is_there_and_no_more(tiny_detector: RetinaNetDetector) -> None:
    image = squares_image(128, [(4, 4), (36, 20)])[None, :, :37, :53]
    detections = tiny_detector(image, all_valid(image))[0]
    assert sorted(detections.boxes.round().tolist()) == [[4, 4, 20, 20], [36, 20, 52, 36]]


def test_pixels_outside_the_imagery_hold_no_objects(tiny_detector: RetinaNetDetector) -> None:
    image = squares_image(128, CORNERS)[None]
    valid = all_valid(image)
    valid[:, :, 64:] = False
    detections = tiny_detector(image, valid)[0]
    expected = sorted([x, y, x + SQUARE_PX, y + SQUARE_PX] for x, y in CORNERS if x < 64)
    np.testing.assert_allclose(sorted(detections.boxes.tolist()), expected, atol=1e-3)


def test_of_too_many_boxes_the_best_are_looked_at() -> None:
    apart = [([float(x), 4.0, x + 8.0, 12.0], 0.9 - x / 100, 0) for x in range(0, 50, 10)]
    assert decode_outputs(apart, conf=0.1) == [(box, round(score, 3), 0) for box, score, _ in apart]
    limited = decode_outputs(apart, conf=0.1, max_boxes_per_px=3 / 64**2)
    assert [score for _, score, _ in limited] == [0.9, 0.8, 0.7]


def test_of_two_boxes_of_a_class_that_overlap_the_better_one_stays() -> None:
    detections = decode_outputs([([4, 4, 20, 20], 0.7, 0), ([5, 4, 21, 20], 0.9, 0)])
    assert detections == [([5, 4, 21, 20], 0.9, 0)]


def test_boxes_of_different_classes_never_suppress_each_other() -> None:
    detections = decode_outputs([([4, 4, 20, 20], 0.7, 0), ([4, 4, 20, 20], 0.9, 1)])
    assert sorted(label for _, _, label in detections) == [0, 1]


def test_boxes_that_overlap_less_than_the_threshold_both_stay() -> None:
    pair = [([4.0, 4, 20, 20], 0.7, 0), ([12.0, 4, 28, 20], 0.9, 0)]
    assert len(decode_outputs(pair)) == 2
    assert len(decode_outputs(pair, iou=0.3)) == 1


def test_detections_below_the_threshold_are_dropped() -> None:
    pair = [([4.0, 4, 20, 20], 0.6, 0), ([40.0, 4, 56, 20], 0.4, 0)]
    assert len(decode_outputs(pair)) == 1
    assert len(decode_outputs(pair, conf=0.3)) == 2
    assert decode_outputs(pair, conf=0.9) == []


def test_the_place_of_a_box_does_not_depend_on_the_threshold() -> None:
    """Boxes below the threshold vote, too."""
    voters = [([4.0, 4, 20, 20], 0.8, 0), ([4.0, 4, 20, 24], 0.5, 0), ([4.0, 4, 20, 23], 0.45, 0)]
    results = [decode_outputs(voters, conf=conf, vote_iou=0.6) for conf in (0.1, 0.47, 0.7)]
    assert results[0] == results[1] == results[2]
    ((box, score, _),) = results[0]
    assert score == 0.8
    assert 20 < box[3] < 23


def test_scores_are_calibrated_by_class_before_the_threshold() -> None:
    four = [
        ([4.0, 4, 20, 20], 0.6, 0),  # logit 0.405: becomes 0.453
        ([24.0, 4, 40, 20], 0.7, 0),  # logit 0.847: becomes 0.667
        ([4.0, 40, 20, 56], 0.3, 1),  # logit -0.847: becomes 0.538
        ([24.0, 40, 40, 56], 0.2, 1),  # logit -1.386: becomes 0.405
    ]
    shifted = Calibration(slope=(2.0, 1.0), intercept=(-1.0, 1.0))
    detections = [([24, 4, 40, 20], 0.667, 0), ([4, 40, 20, 56], 0.538, 1)]
    assert decode_outputs(four, calibration=shifted) == detections  # 0.5 or more, by the card
    assert [score for _, score, _ in decode_outputs(four, calibration=shifted, conf=0.4)] == [
        0.667,
        0.538,
        0.453,
        0.405,
    ]


def test_calibration_does_not_change_which_of_two_boxes_stays() -> None:
    pair = [([4.0, 4, 20, 20], 0.7, 0), ([5.0, 4, 21, 20], 0.9, 0)]
    flat = Calibration(slope=(0.1, 0.1), intercept=(1.0, 1.0))
    (detections,) = decode_outputs(pair, calibration=flat)
    assert detections[0] == [5, 4, 21, 20]


def test_boxes_are_clipped_to_the_image_and_those_beside_it_dropped() -> None:
    pair = [([-8.0, 4, 20, 20], 0.9, 0), ([70.0, 4, 90, 20], 0.9, 0)]
    assert decode_outputs(pair) == [([0, 4, 20, 20], 0.9, 0)]


def test_there_is_no_cap_on_the_number_of_detections() -> None:
    side = 384
    cells = [(x, y) for y in range(0, side, 8) for x in range(0, side, 8)]
    detections = decode_outputs([([x, y, x + 7.0, y + 7.0], 0.9, 0) for x, y in cells], side=side)
    assert len(detections) == len(cells) == 2304


def test_a_model_file_becomes_a_detector(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "m.safetensors")
    image = squares_image(128, CORNERS)[None]
    assert len(load_detector(path, device="cpu")(image, all_valid(image))[0]) == len(CORNERS)
    strict = load_detector(path, device="cpu", conf=1.0)
    assert len(strict(image, all_valid(image))[0]) == 0


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(ModelFileError, match="giraffes"):
        load_detector("giraffes")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (([4.0, 4, 20, 20], float("nan"), 0), "returns scores that are NaN or infinite"),
        (([4.0, 4, 20, 20], 1.0, 0), "returns scores that are NaN or infinite"),  # logit infinity
        (([4.0, float("nan"), 20, 20], 0.9, 0), "returns boxes that are NaN or infinite"),
    ],
)
def test_outputs_that_are_no_numbers_are_not_taken_for_nothing_found(
    output: tuple[list[float], float, int], message: str
) -> None:
    with pytest.raises(ModelFileError, match=f"model squares: with scripted it {message}"):
        decode_outputs([output])


def test_boxes_that_are_mostly_noise_are_counted_once(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "m.safetensors")
    detector = load_detector(path, runtime="torch", device="cpu", conf=0.0, iou=1.0)
    pixels = np.zeros((1, 3, 32, 32), np.uint8)  # one anchor for 64 px
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MANY_BOXES", "MANY_BOXES_PER_PX"):
            patch.setattr(f"geodetect.detection.detectors.retinanet_detector.{name}", 0.01)
        with pytest.warns(
            GeodetectWarning, match=r"squares: 16 boxes of a tile of 32 x 32.*`conf`"
        ):
            detector(pixels, all_valid(pixels))
        detector(pixels, all_valid(pixels))
