"""What residual networks (He et al. 2015) are made of, with batch norms that stay as they are.

Parameters have the names that torchvision gives them, so its weights load. They are built here
because importing torchvision takes as long as importing PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASIC = (3, 3)  # sides of a block's convolutions
BOTTLENECK = (1, 3, 1)
EXPANSION = 4  # of the channels, in the last convolution of a bottleneck

Norm = Callable[[int], nn.Module]


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics, scale and offset do not change.

    Args:
        channels: Channels.
        eps: Added to the variances.
    """

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
        """``float[B, C, H, W]``, scaled and shifted per channel."""
        scale, offset = self.scale_and_offset()
        return feature * scale[:, None, None] + offset[:, None, None]

    def scale_and_offset(self) -> tuple[Tensor, Tensor]:
        """What it does to each channel, ``float[C]`` twice."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale


def convolve(conv: nn.Module, norm: nn.Module, feature: Tensor) -> Tensor:
    """A convolution and the norm after it.

    In training a frozen norm scales the kernels instead of their results: the same up to rounding,
    and a sixth of the time of a step, since kernels are small and features are not.

    Args:
        conv: Without bias, if the norm is frozen.
        norm: What follows it.
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
    """Convolutions with norms, and a shortcut round all of them.

    Args:
        inputs: Channels that come in.
        width: Channels of the convolutions, but for the last one of a bottleneck.
        kernels: ``BASIC`` or ``BOTTLENECK``.
        stride: 2 to halve the resolution, in the first convolution of 3 x 3.
        norm: Makes a norm of so many channels.
    """

    def __init__(
        self, inputs: int, width: int, *, kernels: tuple[int, ...], stride: int, norm: Norm
    ) -> None:
        super().__init__()
        outputs = block_outputs(width, kernels)
        channels = (inputs, *[width] * (len(kernels) - 1), outputs)
        strided = kernels.index(3)
        self._names = [(f"conv{i}", f"bn{i}") for i in range(1, len(kernels) + 1)]
        for i, (conv, bn) in enumerate(self._names):
            step = stride if i == strided else 1
            self.add_module(conv, convolution(channels[i], channels[i + 1], kernels[i], step))
            self.add_module(bn, norm(channels[i + 1]))
        is_same = stride == 1 and inputs == outputs
        fit = nn.Sequential(convolution(inputs, outputs, 1, stride), norm(outputs))
        self.downsample = None if is_same else fit  # a convolution and its norm
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``float[B, inputs, H, W]`` to ``float[B, outputs, H / stride, W / stride]``."""
        shortcut = (
            x if self.downsample is None else convolve(self.downsample[0], self.downsample[1], x)
        )
        for conv, bn in self._names[:-1]:
            x = self.relu(convolve(getattr(self, conv), getattr(self, bn), x))
        conv, bn = self._names[-1]
        x = convolve(getattr(self, conv), getattr(self, bn), x)
        return torch.as_tensor(self.relu(x + shortcut))


def residual_stage(
    inputs: int, width: int, *, depth: int, kernels: tuple[int, ...], stride: int, norm: Norm
) -> nn.Sequential:
    """``depth`` blocks, see ``ResidualBlock``; the first one takes the stride."""
    outputs = block_outputs(width, kernels)
    shapes = [(inputs, stride), *[(outputs, 1)] * (depth - 1)]
    return nn.Sequential(
        *(ResidualBlock(n, width, kernels=kernels, stride=step, norm=norm) for n, step in shapes)
    )


def block_outputs(width: int, kernels: tuple[int, ...]) -> int:
    """Channels that a block gives."""
    return width * (EXPANSION if kernels == BOTTLENECK else 1)


def convolution(inputs: int, outputs: int, side: int, stride: int) -> nn.Conv2d:
    """A convolution that keeps the resolution but for its stride; a norm follows, so no bias."""
    conv = nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2, bias=False)
    draw_normal(conv.weight, std=math.sqrt(2 / (outputs * side**2)))  # He et al. 2015, for ReLU
    return conv


def draw_normal(weight: Tensor, *, std: float) -> None:
    """Fill with random numbers about 0, but on the meta device: it takes PyTorch a second there."""
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)
