"""Backbones of timm."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from geodetect.errors import InputError, MissingDependencyError, ModelFileError
from geodetect.model.card import NetworkConfig
from geodetect.model.checkpoints.initialization import initialise
from geodetect.model.network.backbones import build_backbone, check_backbone
from geodetect.model.network.presets import network_config
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.network.timm_backbone import TimmBackbone
from geodetect.model.runtimes.open import open_runtime
from tests.helpers.square_scenes import squares_image
from tests.helpers.tiny_model import tiny_card, weights_of

pytestmark = pytest.mark.usefixtures("timm")
SMALL = "timm:mobilenetv3_small_050"  # has batch norms
SHIFTED = "timm:tf_mobilenetv3_small_075"  # pretrained on images between -1 and 1


def config_of(backbone: str) -> NetworkConfig:
    network = tiny_card().network
    assert network is not None
    return network.model_copy(update={"backbone": backbone})


@pytest.mark.parametrize(
    ("name", "stages"),
    [(SMALL, 2), (SMALL, 4), ("timm:convnext_atto", 3), ("timm:dla34", 3), ("timm:resnet10t", 3)],
)
def test_a_backbone_gives_one_feature_for_each_stride(name: str, stages: int) -> None:
    config = network_config("paper").model_copy(update={"backbone": name, "trunk_stages": stages})
    backbone = build_backbone(config).eval()
    assert backbone.strides == (8, 16, 32)[: stages - 1]
    with torch.inference_mode():
        features = backbone(torch.rand(2, 3, 96, 160))
    shapes = [tuple(feature.shape) for feature in features]
    expected = zip(backbone.channels, backbone.strides, strict=True)
    assert shapes == [(2, channels, 96 // s, 160 // s) for channels, s in expected]


def test_a_network_whose_features_end_in_channels_is_turned_around() -> None:
    backbone = TimmBackbone("swin_tiny_patch4_window7_224", (8, 16)).eval()
    with torch.inference_mode():
        features = backbone(torch.rand(1, 3, 64, 96))
    assert [tuple(f.shape) for f in features] == [(1, 192, 8, 12), (1, 384, 4, 6)]


def test_batch_norms_are_frozen() -> None:
    backbone = TimmBackbone("mobilenetv3_small_050", (8,)).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    images = torch.rand(2, 3, 64, 64)
    together = backbone(images)[0]
    torch.testing.assert_close(together[:1], backbone(images[:1])[0])
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert not [m for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_images_are_normalised_as_the_network_was_pretrained() -> None:
    backbone = TimmBackbone(SHIFTED.removeprefix("timm:"), (8,))
    mean, std = (torch.tensor(v)[:, None, None] for v in (tiny_means(), tiny_deviations()))
    values = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(backbone.adapt((values - mean) / std), values * 2 - 1)
    assert isinstance(TimmBackbone("resnet10t", (8,)).adapt, torch.nn.Identity)


def tiny_means() -> tuple[float, ...]:
    return (0.485, 0.456, 0.406)  # of ImageNet, as cards have them


def tiny_deviations() -> tuple[float, ...]:
    return (0.229, 0.224, 0.225)


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_a_network_on_it_gives_the_same_in_every_runtime_at_any_size(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEODETECT_CACHE_DIR", str(tmp_path))
    torch.manual_seed(0)
    card = tiny_card(network=config_of(SHIFTED))
    assert card.network is not None
    weights = weights_of(RetinaNet(card.network, 1))
    image = squares_image(120, [(4, 4), (36, 20)], height=72)[None]
    valid = np.ones((1, 72, 120), bool)
    options = {"precision": "fp32", "device": "cpu"}
    expected = open_runtime(card, weights, runtime="torch", **options).forward(image, valid)
    outputs = open_runtime(card, weights, runtime=runtime, **options).forward(image, valid)
    assert np.ptp(expected[0]) > 0
    for output, reference in zip(outputs[:2], expected[:2], strict=True):
        np.testing.assert_allclose(output, reference, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:convnext_tny", r"has no network of this name; .* such as timm:convnext_tiny"),
        ("timm:resnet10t.other", r"gives no features of its stages \(Invalid pretrained tag"),
        ("timm:vit_tiny_patch16_224", "of strides 16, 16, 16, expected 8, 16 among them"),
        ("timm:mobilevit_xxs", "takes images of one size only"),
    ],
)
def test_networks_that_cannot_be_backbones_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_backbone(name, stages=3)


def test_without_timm_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'geodetect\[timm\]'"):
        network_config("geodetect", backbone="timm:convnext_tiny")
    with pytest.raises(MissingDependencyError, match="`backbone`"):
        RetinaNet(config_of(SMALL), 1)


def test_without_a_connection_it_is_told_what_to_do_instead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    network = RetinaNet(config_of(SMALL), 1)
    with pytest.raises(ModelFileError, match=r"cannot be downloaded .* as `init`.*`init` none"):
        initialise(network, "imagenet")


def test_weights_as_published_are_taken_from_a_file(timm, tmp_path: Path) -> None:
    torch.manual_seed(1)
    full = timm.create_model("mobilenetv3_small_050", pretrained=False)
    save_file(full.state_dict(), tmp_path / "published.safetensors")
    network = RetinaNet(config_of(SMALL), 1)
    description = initialise(network, str(tmp_path / "published.safetensors"))
    assert description == f"{SMALL} backbone from published.safetensors"
    state = network.trunk.body.state_dict()
    assert torch.equal(state["conv_stem.weight"], full.conv_stem.weight)
    last = full.blocks[1][0].conv_pw.weight
    assert any(torch.equal(value, last) for value in state.values() if value.shape == last.shape)


def test_weights_of_another_network_are_refused(timm, tmp_path: Path) -> None:
    network = RetinaNet(config_of(SMALL), 1)
    file = tmp_path / "other.safetensors"
    for weights in (
        timm.create_model("resnet10t", pretrained=False).state_dict(),
        {"blocks.0.weight": torch.zeros(3)},
    ):
        save_file(weights, file)
        with pytest.raises(
            ModelFileError, match=r"timm:mobilenetv3_small_050 (do not fit|are not)"
        ):
            initialise(network, str(file))
