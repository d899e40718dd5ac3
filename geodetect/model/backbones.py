"""Trunks: the first stages of torchvision's residual networks."""

from __future__ import annotations

import copy
from functools import partial

import torchvision
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops.misc import FrozenBatchNorm2d

from geodetect.errors import InputError

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
STAGE_STRIDES = (4, 8, 16, 32)


class ResNetTrunk(nn.Module):
    """The stages of a ResNet up to ``stages``, giving the output of each from stride 8 on.

    Parameter names are torchvision's, so its checkpoints load. Batch norms are frozen: batches of
    a few large tiles are too small to estimate statistics.

    Args:
        name: One of ``RESNETS``.
        stages: Residual stages kept, 2..4.
        norm_eps: Added to the variances of the batch norms.
    """

    def __init__(self, name: str, stages: int, *, norm_eps: float = 1e-5) -> None:
        super().__init__()
        if name not in RESNETS:
            raise InputError(f"unknown backbone {name!r}; expected one of {', '.join(RESNETS)}")
        norm = partial(FrozenBatchNorm2d, eps=norm_eps)
        full = torchvision.models.get_model(name, weights=None, norm_layer=norm)
        self.conv1, self.bn1 = full.conv1, full.bn1
        self.relu, self.maxpool = full.relu, full.maxpool
        kept = [f"layer{stage}" for stage in range(1, stages + 1)]
        for stage in kept:
            self.add_module(stage, getattr(full, stage))
        self._kept = tuple(kept)
        block = full.layer1[-1]
        expansion = block.expansion
        self.channels = tuple(64 * 2 ** (i - 1) * expansion for i in range(2, stages + 1))
        self.strides = STAGE_STRIDES[1:stages]

    def forward(self, image: Tensor) -> list[Tensor]:
        """``float[B, 3, H, W]`` to one ``float[B, C, H / stride, W / stride]`` per stage."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        features = []
        for stage in self._kept:
            x = getattr(self, stage)(x)
            features.append(x)
        return features[1:]


def fold_norms(trunk: ResNetTrunk) -> None:
    """Fold the frozen batch norms of a trunk into its convolutions, in place, for inference.

    The results are the same up to rounding; half of the memory and much of the time of the first
    stages goes into norms otherwise.
    """
    for parent in trunk.modules():
        pairs = [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1")]
        for conv_name, norm_name in pairs:
            conv, norm = getattr(parent, conv_name, None), getattr(parent, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, FrozenBatchNorm2d):
                setattr(parent, conv_name, _folded(conv, norm))
                setattr(parent, norm_name, nn.Identity())


def _folded(conv: nn.Conv2d, norm: FrozenBatchNorm2d) -> nn.Conv2d:
    fused = copy.deepcopy(conv)
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    fused.weight, fused.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics)
    return fused
