"""Outline heads, run by each runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from geodetect.detection.detectors.load import load_detector
from geodetect.errors import InputError, ModelFileError
from geodetect.model.card import Int8Record, ModelCard, NetworkConfig, OutlineConfig
from geodetect.model.file import Weights, read_model_file, write_model_file
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes import openvino as openvino_module
from geodetect.model.runtimes.conversion import add_networks, convert_network
from geodetect.model.runtimes.open import open_runtime
from geodetect.model.runtimes.openvino import OpenVinoRuntime
from geodetect.model.runtimes.stored_networks import (
    INT8,
    NETWORK,
    OUTLINE,
    holds_network,
    store_network,
)
from tests.helpers.square_scenes import squares_image
from tests.helpers.tiny_model import tiny_card, tiny_network, weights_of

SIDE = 96
BOXES = np.array([[10, 12, 40, 44], [50, 20, 90, 30], [-4, 60, 20, 100]], np.float32)


@pytest.fixture(scope="module")
def model() -> tuple[ModelCard, Weights]:
    """A network that finds bright squares, with an outline head of random weights."""
    plain = tiny_card()
    assert plain.network is not None
    config = plain.network.model_copy(update={"outline": OutlineConfig(channels=8)})
    card = tiny_card(network=NetworkConfig.model_validate(config.model_dump()))
    torch.manual_seed(1)
    network = RetinaNet(card.network, 1)
    network.load_state_dict(tiny_network(plain).state_dict(), strict=False)
    return card, weights_of(network)


def image() -> tuple[np.ndarray, np.ndarray]:
    pixels = squares_image(SIDE, [(20, 20), (60, 36)])[None]
    return pixels, np.ones((1, SIDE, SIDE), bool)


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_masks_are_those_of_pytorch(model: tuple[ModelCard, Weights], runtime: str) -> None:
    if runtime == "onnx":
        pytest.importorskip("onnxruntime", reason="needs the extra onnx")
        pytest.importorskip("onnx", reason="needs the extra onnx")
    options = {"precision": "fp32", "device": "cpu", "outlines": True}
    expected = open_runtime(*model, runtime="torch", **options)
    opened = open_runtime(*model, runtime=runtime, **options)
    ours, theirs = opened.forward(*image()), expected.forward(*image())
    assert ours.features is not None
    assert theirs.features is not None
    assert ours.features.shape == theirs.features.shape == (1, SIDE // 4, SIDE // 4 * 8)
    np.testing.assert_allclose(ours.features, theirs.features, atol=1e-3, rtol=1e-3)
    masks = opened.draw_masks(ours.features[0], BOXES)
    assert masks.shape == (3, 28, 28)
    np.testing.assert_allclose(masks, expected.draw_masks(ours.features[0], BOXES), atol=1e-4)
    assert opened.draw_masks(ours.features[0], BOXES[:1]).shape == (1, 28, 28)


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_half_precision_does_not_move_outlines(
    model: tuple[ModelCard, Weights], runtime: str
) -> None:
    features = np.zeros((256, 256 * 8), np.float32)  # of an image of 1024 px
    features[:, 250 * 8 :] = 1
    boxes = np.array([[980, 900, 1019, 941]], np.float32)
    expected = open_runtime(*model, runtime="torch", precision="fp32", device="cpu", outlines=True)
    try:
        half = open_runtime(*model, runtime=runtime, precision="bf16", device="cpu", outlines=True)
    except InputError:
        pytest.skip("this processor does not compute in bf16")
    masks, true_masks = half.draw_masks(features, boxes), expected.draw_masks(features, boxes)
    assert np.ptp(true_masks) > 0.01
    np.testing.assert_allclose(masks, true_masks, atol=0.005)


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_without_outlines_boxes_are_the_same_and_features_are_not_computed(
    model: tuple[ModelCard, Weights], runtime: str
) -> None:
    with_head = open_runtime(*model, runtime=runtime, device="cpu", outlines=True)
    plain = open_runtime(*model, runtime=runtime, device="cpu")
    assert (with_head.has_outlines, plain.has_outlines) == (True, False)
    ours, theirs = with_head.forward(*image()), plain.forward(*image())
    assert theirs.features is None
    np.testing.assert_allclose(ours.logits, theirs.logits, atol=0.05)
    np.testing.assert_allclose(ours.deltas, theirs.deltas, atol=0.05)


def test_a_model_file_holds_the_head_and_its_detections_have_outlines(
    model: tuple[ModelCard, Weights], tmp_path: Path
) -> None:
    card, weights = model
    path = tmp_path / "m.safetensors"
    write_model_file(path, card, add_networks(card, weights))
    _, arrays = read_model_file(path)
    assert holds_network(arrays, OUTLINE)
    detector = load_detector(path, device="cpu", outlines=True)
    assert detector.has_outlines
    (detections,) = detector(*image())
    assert len(detections) == 2
    assert {type(outline).__name__ for outline in detections.outlines} <= {
        "Polygon",
        "MultiPolygon",
        "NoneType",
    }
    plain = load_detector(path, device="cpu")
    assert not plain.has_outlines
    (boxes,) = plain(*image())
    assert not boxes.has_outlines
    np.testing.assert_allclose(boxes.boxes, detections.boxes, atol=0.05)
    assert plain.identity != detector.identity


def test_an_int8_network_made_before_the_head_is_taken_for_boxes_alone(
    model: tuple[ModelCard, Weights], monkeypatch: pytest.MonkeyPatch
) -> None:
    card, weights = model
    plain = tiny_card()
    boxes_only = convert_network(plain, weights_of(tiny_network(plain)), NETWORK)
    record = Int8Record(
        calibration_tiles=1, checked_tiles=1, objects=1, ap50=1, ap75=1, made_with="nncf"
    )
    card = card.model_copy(update={"int8": record})
    arrays = store_network(card, weights, INT8, boxes_only)
    monkeypatch.setattr(openvino_module, "has_int8_units", lambda: True)
    assert OpenVinoRuntime(card, arrays).precision == "int8"
    assert OpenVinoRuntime(card, arrays, outlines=True).precision != "int8"
    with pytest.raises(ModelFileError, match=r"made without its outline head; .*quantize"):
        OpenVinoRuntime(card, arrays, precision="int8", outlines=True)
