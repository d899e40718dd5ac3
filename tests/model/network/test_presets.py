"""Networks by name."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection import retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2
from torchvision.models.detection.image_list import ImageList

from geodetect.errors import InputError
from geodetect.model.network.anchors import anchors_of_image
from geodetect.model.network.presets import NETWORKS, network_config
from geodetect.model.network.retinanet import RetinaNet


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gives_an_output_for_each_anchor(name: str) -> None:
    config = network_config(name, backbone="resnet18")
    network = RetinaNet(config, 2).eval()
    with torch.inference_mode():
        logits, deltas = network(torch.rand(1, 3, 64, 96))
    anchors = len(anchors_of_image(config, 64, 96))
    assert logits.shape == (1, anchors, 2)
    assert deltas.shape == (1, anchors, 4)
    assert logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.5)


def test_torchvisions_networks_are_as_large_as_torchvisions() -> None:
    with torch.device("meta"):
        for name, build in (
            ("torchvision", retinanet_resnet50_fpn),
            ("torchvision-v2", retinanet_resnet50_fpn_v2),
        ):
            peer = build(weights=None, weights_backbone=None, num_classes=7)
            frozen = sum(
                p.numel()
                for name, p in peer.named_parameters()
                if ".bn" in name or "downsample.1" in name
            )
            assert parameters(RetinaNet(network_config(name), 7)) == parameters(peer) - frozen


@pytest.mark.parametrize(("height", "width"), [(800, 800), (224, 352), (32, 64)])
def test_torchvisions_anchors_are_laid_as_torchvision_lays_them(height: int, width: int) -> None:
    config = network_config("torchvision")
    with torch.device("meta"):
        generator = retinanet_resnet50_fpn(weights=None, weights_backbone=None).anchor_generator
    generator.cell_anchors = [
        generator.generate_anchors(s, r)
        for s, r in zip(generator.sizes, generator.aspect_ratios, strict=True)
    ]
    features = [torch.zeros(1, 1, -(-height // s), -(-width // s)) for s in config.strides]
    images = ImageList(torch.zeros(1, 3, height, width), [(height, width)])
    expected = generator(images, features)[0].reshape(-1, 3, 3, 4)  # by ratio, then size
    anchors = torch.from_numpy(anchors_of_image(config, height, width)).reshape(-1, 3, 3, 4)
    torch.testing.assert_close(anchors.transpose(1, 2), expected, rtol=0, atol=0)


def test_the_papers_network_takes_p6_from_c5_and_has_no_norm_in_its_heads() -> None:
    network = RetinaNet(network_config("paper", backbone="resnet18"), 1)
    assert network.pyramid.coarser[0].in_channels == 512
    assert network.pyramid.coarser[1].in_channels == 256
    kinds = {type(module).__name__ for module in network.classification.modules()}
    assert kinds == {"Head", "Sequential", "Conv2d", "ReLU"}
    assert network.config.strides == (8, 16, 32, 64, 128)
    assert network.config.anchor_sizes_px[0] == pytest.approx((32, 40.32, 50.80), abs=0.01)
    assert network.config.anchor_sizes_px[-1][0] == 512


def test_the_backbone_can_be_chosen() -> None:
    assert network_config("paper").backbone == "resnet50"
    assert network_config("paper", backbone="resnet101").backbone == "resnet101"
    assert network_config("geodetect", backbone="resnet34").backbone == "resnet34"


@pytest.mark.parametrize(
    ("name", "backbone", "message"),
    [
        ("yolo", None, "`network` yolo: unknown; expected one of geodetect, paper, torchvision"),
        ("paper", "vgg16", "`backbone` vgg16: unknown; expected one of resnet18"),
    ],
)
def test_unknown_names_list_what_there_is(name: str, backbone: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        network_config(name, backbone=backbone)
