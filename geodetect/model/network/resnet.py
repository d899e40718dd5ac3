"""Building blocks of residual networks (He et al. 2015), with frozen batch norms.

Parameter names are torchvision's, so its weights load. torchvision's own blocks are not used
because importing it takes as long as importing PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASIC = (3, 3)  # kernel sizes of a block's convolutions
BOTTLENECK = (1, 3, 1)
EXPANSION = {BASIC: 1, BOTTLENECK: 4}  # of the channels, in the last convolution of a block

Norm = Callable[[int], nn.Module]


class FrozenBatchNorm(nn.Module):
    """Batch norm of constant statistics, scale and offset; ``eps`` is added to the variances."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            self.register_buffer(name, torch.full((channels,), float(value)))

    def forward(self, feature: Tensor) -> Tensor:
        """Return ``float[B, C, H, W]``, scaled and shifted per channel."""
        scale, offset = self.scale_and_offset()
        return feature * scale[:, None, None] + offset[:, None, None]

    def scale_and_offset(self) -> tuple[Tensor, Tensor]:
        """Return scale and offset of each channel, ``float[C]`` each."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale


def convolve(conv: nn.Module, norm: nn.Module, feature: Tensor) -> Tensor:
    """Apply a convolution and the norm after it.

    In training a frozen norm scales the kernels instead of their results: the same up to rounding,
    and it saves a sixth of the time of a step, since kernels are small and features are not.

    Args:
        conv: Convolution, without bias if the norm is frozen.
        norm: The norm after it.
        feature: ``float[B, inputs, H, W]``.

    Returns:
        ``float[B, outputs, H / stride, W / stride]``.
    """
    if norm.training and isinstance(norm, FrozenBatchNorm) and isinstance(conv, nn.Conv2d):
        scale, offset = norm.scale_and_offset()
        kernels = conv.weight * scale[:, None, None, None]
        return F.conv2d(feature, kernels, offset, conv.stride, conv.padding)
    return torch.as_tensor(norm(conv(feature)))


class ResidualBlock(nn.Module):
    """Convolutions with norms, and a shortcut around all of them.

    Args:
        inputs: Input channels.
        width: Channels of the convolutions, except the last one of a bottleneck.
        kernels: ``BASIC`` or ``BOTTLENECK``.
        stride: 2 to halve the resolution, in the first convolution of 3 x 3.
        norm: Makes a norm for a number of channels.
    """

    def __init__(
        self, inputs: int, width: int, *, kernels: tuple[int, ...], stride: int, norm: Norm
    ) -> None:
        super().__init__()
        outputs = width * EXPANSION[kernels]
        channels = (inputs, *[width] * (len(kernels) - 1), outputs)
        self._names = [(f"conv{i}", f"bn{i}") for i in range(1, len(kernels) + 1)]
        for i, (conv, bn) in enumerate(self._names):
            step = stride if i == kernels.index(3) else 1
            self.add_module(conv, convolution(channels[i], channels[i + 1], kernels[i], step))
            self.add_module(bn, norm(channels[i + 1]))
        has_same_shape = stride == 1 and inputs == outputs
        projection = nn.Sequential(convolution(inputs, outputs, 1, stride), norm(outputs))
        self.downsample = None if has_same_shape else projection
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``float[B, outputs, H / stride, W / stride]`` of ``float[B, inputs, H, W]``."""
        shortcut = x
        if self.downsample is not None:
            shortcut = convolve(self.downsample[0], self.downsample[1], x)
        for conv, bn in self._names[:-1]:
            x = self.relu(convolve(getattr(self, conv), getattr(self, bn), x))
        conv, bn = self._names[-1]
        x = convolve(getattr(self, conv), getattr(self, bn), x)
        return torch.as_tensor(self.relu(x + shortcut))


def convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    """Return a convolution with "same" padding and without bias, since a norm follows."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    init_normal(conv.weight, std=math.sqrt(2 / (outputs * kernel**2)))  # He et al. 2015, for ReLU
    return conv


def init_normal(weight: Tensor, *, std: float) -> None:
    """Draw weights from a normal distribution, except on the meta device, where it takes 1 s."""
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)
