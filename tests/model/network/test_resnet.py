"""The residual networks and the pyramid are those of torchvision, to the last bit."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.misc import FrozenBatchNorm2d

from geodetect.model.network.backbones import RESNETS, ResNetBackbone, fold_norms
from geodetect.model.network.retinanet import FeaturePyramid
from tests.helpers.program import modules_after


@pytest.fixture(scope="module", params=sorted(RESNETS))
def pair(request: pytest.FixtureRequest) -> tuple[ResNetBackbone, torch.nn.Module]:
    """A backbone, and torchvision's network with the same weights and lively norms."""
    generator = torch.Generator().manual_seed(0)
    theirs = torchvision.models.get_model(
        request.param, weights=None, norm_layer=FrozenBatchNorm2d
    ).eval()
    for buffer in theirs.buffers():
        buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    ours = ResNetBackbone(request.param, 4).eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")})
    return ours, theirs


def test_the_stages_give_what_torchvision_gives(
    pair: tuple[ResNetBackbone, torch.nn.Module],
) -> None:
    ours, theirs = pair
    image = torch.rand(2, 3, 70, 97, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        expected = []
        for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            x = stage(x)
            expected.append(x)
        features = ours(image)
    assert [feature.shape[1] for feature in features] == list(ours.channels)
    for feature, reference in zip(features, expected[1:], strict=True):
        assert torch.equal(feature, reference)


def test_folded_norms_change_nothing_but_the_rounding() -> None:
    backbone = ResNetBackbone("resnet18", 3).eval()
    for buffer in backbone.buffers():
        buffer.copy_(torch.rand(buffer.shape) + 0.5)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before = backbone(image)
        fold_norms(backbone)
        after = backbone(image)
    assert not list(backbone.buffers())
    for feature, folded in zip(before, after, strict=True):
        torch.testing.assert_close(
            feature, folded, rtol=1e-4, atol=1e-4 * float(feature.detach().abs().max())
        )


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_in_training_norms_scale_the_kernels_and_results_and_gradients_are_the_same(
    name: str,
) -> None:
    backbone = ResNetBackbone(name, 3).double()
    for buffer in backbone.buffers():
        buffer.copy_(torch.rand(buffer.shape, dtype=torch.float64) + 0.5)
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    results = []
    for training in (False, True):
        backbone.train(training).zero_grad()
        features = backbone(image)
        sum(feature.square().mean() for feature in features).backward()
        gradients = [parameter.grad.clone() for parameter in backbone.parameters()]
        results.append([*features, *gradients])
    for evaluated, trained in zip(*results, strict=True):
        torch.testing.assert_close(
            evaluated, trained, rtol=1e-9, atol=1e-9 * float(evaluated.detach().abs().max())
        )


def test_the_pyramid_gives_what_torchvision_gives() -> None:
    theirs, ours = FeaturePyramidNetwork([8, 16, 32], 12), FeaturePyramid((8, 16, 32), 12)
    ours.load_state_dict(theirs.state_dict())
    sizes = ((8, 17, 23), (16, 9, 12), (32, 5, 6))
    features = [torch.rand(2, *size) for size in sizes]
    expected = theirs({str(number): level for number, level in enumerate(features)}).values()
    for level, reference in zip(ours(features), expected, strict=True):
        assert torch.equal(level, reference)


def test_a_network_is_built_without_torchvision() -> None:
    assert "torchvision" not in modules_after("import geodetect.model.runtimes.export")
