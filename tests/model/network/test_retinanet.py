"""The network and its backbone."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torchvision
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from geodetect.errors import InputError
from geodetect.model.card import NetworkConfig
from geodetect.model.network.anchors import anchors_of_image
from geodetect.model.network.backbones import ResNetBackbone
from geodetect.model.network.retinanet import CLASSIFICATION_PRIOR, RetinaNet

SHARED_RESNET = Path(__file__).parents[4] / "shared/weights/resnet18_imagenet_to_layer3.safetensors"
CONFIG = NetworkConfig(
    trunk_stages=3,
    fpn_channels=16,
    strides=(8, 16, 32),
    head_convs=1,
    anchor_sizes_px=((20, 25), (40, 50), (80, 100)),
)


@pytest.fixture(scope="module")
def random_network() -> RetinaNet:
    torch.manual_seed(0)
    return RetinaNet(CONFIG, 3).eval()


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.integers(1, 4), columns=st.integers(1, 4), batch=st.integers(1, 2))
@example(rows=1, columns=1, batch=1)
def test_there_is_one_output_for_each_anchor(
    random_network: RetinaNet, rows: int, columns: int, batch: int
) -> None:
    height, width = rows * 32, columns * 32
    with torch.inference_mode():
        logits, deltas = random_network(torch.zeros(batch, 3, height, width))
    anchors = len(anchors_of_image(CONFIG, height, width))
    assert logits.shape == (batch, anchors, 3)
    assert deltas.shape == (batch, anchors, 4)


def test_outputs_are_in_the_order_of_the_anchors(random_network: RetinaNet) -> None:
    """A bright spot moves the outputs of the anchors around it most."""
    dark = torch.zeros(1, 3, 256, 256)
    lit = dark.clone()
    lit[:, :, 190:198, 60:68] = 5
    with torch.inference_mode():
        change = (random_network(lit)[0] - random_network(dark)[0]).abs().amax(dim=2)[0]
    anchors = anchors_of_image(CONFIG, 256, 256)
    finest = slice(0, 32 * 32 * 6)
    x1, y1, x2, y2 = anchors[finest][change[finest].argmax()].tolist()
    assert math.dist(((x1 + x2) / 2, (y1 + y2) / 2), (64, 194)) < 40


def test_every_anchor_starts_at_the_prior() -> None:
    torch.manual_seed(0)
    fresh = RetinaNet(CONFIG, 2).eval()
    with torch.inference_mode():
        scores = fresh(torch.rand(1, 3, 64, 64))[0].sigmoid()
    assert scores.mean().item() == pytest.approx(CLASSIFICATION_PRIOR, rel=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (4, 8, 16)}, "strides"),
        ({"strides": (8, 16, 64)}, "strides"),
        ({"strides": (8,), "anchor_sizes_px": ((20,),)}, "strides"),
        ({"backbone": "vgg16"}, "unknown backbone 'vgg16'"),
        ({"anchor_sizes_px": ((20,), (40, 50), (80,))}, "same number of anchor sizes"),
    ],
)
def test_a_network_that_cannot_be_built_is_an_input_error(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        RetinaNet(CONFIG.model_copy(update=changes), 1)


@pytest.mark.parametrize(("name", "stages"), [("resnet18", 2), ("resnet34", 4), ("resnet50", 3)])
def test_a_backbone_gives_one_feature_map_for_each_stage(name: str, stages: int) -> None:
    backbone = ResNetBackbone(name, stages).eval()
    with torch.inference_mode():
        features = backbone(torch.zeros(1, 3, 64, 96))
    assert len(features) == len(backbone.strides) == len(backbone.channels) == stages - 1
    for feature, stride, channels in zip(
        features, backbone.strides, backbone.channels, strict=True
    ):
        assert feature.shape == (1, channels, 64 // stride, 96 // stride)


def test_a_backbone_computes_what_torchvision_computes() -> None:
    torch.manual_seed(1)
    full = torchvision.models.resnet18(weights=None).eval()
    backbone = ResNetBackbone("resnet18", 3).eval()
    names = backbone.state_dict().keys()
    backbone.load_state_dict({k: v for k, v in full.state_dict().items() if k in names})
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        stem = full.layer1(full.maxpool(full.relu(full.bn1(full.conv1(image)))))
        expected = full.layer3(full.layer2(stem))
        torch.testing.assert_close(backbone(image)[-1], expected, rtol=1e-3, atol=1e-3)


def test_backbone_weights_under_the_names_of_torchvision_fit() -> None:
    if not SHARED_RESNET.is_file():
        pytest.skip("needs ../shared/weights, which is not part of the repository")
    weights = load_file(SHARED_RESNET)
    backbone = ResNetBackbone("resnet18", 3)
    names = backbone.state_dict().keys()
    assert names <= weights.keys()
    backbone.load_state_dict({name: weights[name] for name in names})
