"""Backbones: the first stages of a ResNet, or of a network of the library timm."""

from __future__ import annotations

import copy
from functools import partial

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from geodetect.errors import InputError, suggest
from geodetect.model.card import NetworkConfig
from geodetect.model.network.resnet import (
    BASIC,
    BOTTLENECK,
    EXPANSION,
    FrozenBatchNorm,
    ResidualBlock,
    convolution,
    convolve,
)
from geodetect.model.network.timm_backbone import PREFIX, TimmBackbone, check_timm_backbone

# kernels of a block, and blocks per stage: table 1 of He et al. 2015
RESNETS = {
    "resnet18": (BASIC, (2, 2, 2, 2)),
    "resnet34": (BASIC, (3, 4, 6, 3)),
    "resnet50": (BOTTLENECK, (3, 4, 6, 3)),
    "resnet101": (BOTTLENECK, (3, 4, 23, 3)),
}
STEM_CHANNELS = 64
STAGE_STRIDES = (4, 8, 16, 32)


def check_backbone(name: str, *, stages: int) -> None:
    """Raise an error if there is no backbone of this name, or if it lacks the required features.

    Args:
        name: A key of ``RESNETS``, or ``timm:`` and the name of a network of timm.
        stages: Number of stages, 2..4.

    Raises:
        InputError: There is no such backbone, or it does not give features of every stage.
        MissingDependencyError: It is a network of timm, which is not installed.
    """
    if name.startswith(PREFIX):
        check_timm_backbone(name.removeprefix(PREFIX), STAGE_STRIDES[1:stages])
    elif name not in RESNETS:
        raise InputError(
            f"`backbone` {name}: unknown; expected one of {', '.join(RESNETS)}, or {PREFIX}NAME"
            f"{suggest(name, RESNETS)}"
        )


def build_backbone(config: NetworkConfig) -> ResNetBackbone | TimmBackbone:
    """Return the backbone of a network, with random weights.

    Raises:
        InputError: There is no such backbone.
        MissingDependencyError: It is a network of timm, which is not installed.
    """
    name, stages = config.backbone, config.trunk_stages
    finest = 1 if config.outline is None else 0
    if name.startswith(PREFIX):
        return TimmBackbone(name.removeprefix(PREFIX), STAGE_STRIDES[finest:stages])
    return ResNetBackbone(name, stages, finest=finest, norm_eps=config.norm_eps)


class ResNetBackbone(nn.Module):
    """The first stages of a ResNet, with one feature per stride.

    Parameter names are torchvision's, so its checkpoints load. Batch norms are frozen: batches of
    a few large tiles are too small to estimate statistics.

    Args:
        name: A key of ``RESNETS``.
        stages: Number of stages, 2..4.
        finest: Number of the first stage that is a feature, from 0; by default that of stride 8.
        norm_eps: Added to the variances of the batch norms.
    """

    def __init__(self, name: str, stages: int, *, finest: int = 1, norm_eps: float = 1e-5) -> None:
        super().__init__()
        if name not in RESNETS:
            raise InputError(f"unknown backbone {name!r}; expected one of {', '.join(RESNETS)}")
        kernels, depths = RESNETS[name]
        norm = partial(FrozenBatchNorm, eps=norm_eps)
        self.conv1, self.bn1 = convolution(3, STEM_CHANNELS, 7, 2), norm(STEM_CHANNELS)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2, padding=1)
        self._layers = [f"layer{number}" for number in range(1, stages + 1)]
        channels = [STEM_CHANNELS]
        for i, layer in enumerate(self._layers):
            inputs, width, stage = channels[-1], STEM_CHANNELS * 2**i, nn.Sequential()
            for number in range(depths[i]):
                stride = 2 if i > 0 and number == 0 else 1
                block = ResidualBlock(inputs, width, kernels=kernels, stride=stride, norm=norm)
                stage.append(block)
                inputs = width * EXPANSION[kernels]
            self.add_module(layer, stage)
            channels.append(inputs)
        self.channels = tuple(channels[1 + finest :])
        self.strides = STAGE_STRIDES[finest:stages]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features ``float[B, C, H / stride, W / stride]`` of ``float[B, 3, H, W]``."""
        x = self.maxpool(self.relu(convolve(self.conv1, self.bn1, image)))
        features = []
        for layer in self._layers:
            x = getattr(self, layer)(x)
            features.append(x)
        return features[-len(self.strides) :]


def fold_norms(backbone: ResNetBackbone | TimmBackbone) -> None:
    """Fold the frozen batch norms of a backbone into its convolutions, in place, for inference.

    The results are the same up to rounding; half of the memory and much of the time of the first
    stages goes into norms otherwise. Norms of timm's networks stay: their names do not say which
    convolution they follow.
    """
    if not isinstance(backbone, ResNetBackbone):
        return
    for parent in backbone.modules():
        pairs = [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1")]
        for conv_name, norm_name in pairs:
            conv, norm = getattr(parent, conv_name, None), getattr(parent, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, FrozenBatchNorm):
                fused = copy.deepcopy(conv)
                statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
                fused.weight, fused.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics)
                setattr(parent, conv_name, fused)
                setattr(parent, norm_name, nn.Identity())
