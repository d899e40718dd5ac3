"""RetinaNet (Lin et al. 2017): a feature pyramid with two small heads shared by its levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodetect.errors import InputError
from geodetect.model.card import NetworkConfig
from geodetect.model.network.backbones import ResNetBackbone, build_backbone
from geodetect.model.network.outline_head import OutlineFeatures, OutlineHead
from geodetect.model.network.resnet import init_normal
from geodetect.model.network.timm_backbone import TimmBackbone

CLASSIFICATION_PRIOR = 0.01  # initial score of every anchor, section 4.1 of the paper


class FeaturePyramid(nn.Module):
    """Feature pyramid network: features of all strides, each enriched by the coarser ones.

    After Lin et al. 2017, "Feature Pyramid Networks for Object Detection". Parameter names are
    torchvision's; its own class is not used because importing it takes seconds.

    Args:
        inputs: Channels of each backbone feature, finest first.
        channels: Channels of all levels.
    """

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        lateral = [nn.Conv2d(count, channels, 1) for count in inputs]
        smooth = [nn.Conv2d(channels, channels, 3, padding=1) for _ in inputs]
        for conv in (*lateral, *smooth):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(torch.as_tensor(conv.bias))
        self.inner_blocks = nn.ModuleList(nn.Sequential(conv) for conv in lateral)
        self.layer_blocks = nn.ModuleList(nn.Sequential(conv) for conv in smooth)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return one ``float[B, channels, h, w]`` for each feature ``float[B, C, h, w]``."""
        levels = [block(x) for block, x in zip(self.inner_blocks, features, strict=True)]
        for finer in range(len(levels) - 2, -1, -1):
            size = levels[finer].shape[-2:]
            levels[finer] = levels[finer] + F.interpolate(levels[finer + 1], size=size)
        return [block(x) for block, x in zip(self.layer_blocks, levels, strict=True)]


class Pyramid(nn.Module):
    """Feature pyramid on the backbone, and coarser levels by strided convolutions (P6, P7)."""

    def __init__(self, backbone: ResNetBackbone | TimmBackbone, config: NetworkConfig) -> None:
        super().__init__()
        strides, channels = config.strides, config.fpn_channels
        first_feature = 0 if config.outline is None else 1  # the first is of the outline head
        feature_strides = backbone.strides[first_feature:]
        feature_channels = backbone.channels[first_feature:]
        count = len(feature_strides)
        expected = tuple(feature_strides[0] * 2**i for i in range(len(strides)))
        if strides != expected or len(strides) < count:
            raise InputError(
                f"a backbone with strides {feature_strides} gives levels {expected[:count]} and "
                f"coarser ones; found {strides}"
            )
        self.fpn = FeaturePyramid(feature_channels, channels)
        self._coarser_from = config.coarser_from
        first = feature_channels[-1] if config.coarser_from == "trunk" else channels
        inputs = [first, *[channels] * len(strides)]
        self.coarser = nn.ModuleList(
            nn.Conv2d(inputs[i], channels, 3, stride=2, padding=1)
            for i in range(len(strides) - count)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return ``float[B, channels, H / stride, W / stride]`` per level, of backbone features."""
        levels = self.fpn(features)
        coarsest = features[-1] if self._coarser_from == "trunk" else levels[-1]
        if self._coarser_from == "pyramid_relu":
            coarsest = coarsest.relu()
        for conv in self.coarser:  # P6 and P7 of the paper
            levels.append(conv(coarsest))
            coarsest = levels[-1].relu()
        return levels


class GroupNorm(nn.GroupNorm):
    """Group norm that accepts a single cell, the coarsest level of a very small image.

    PyTorch's own raises an error, though a group has several channels to normalise over.
    """

    def forward(self, feature: Tensor) -> Tensor:
        """Return ``float[B, C, H, W]``, normalised over each group of channels."""
        return torch.group_norm(feature, self.num_groups, self.weight, self.bias, self.eps)


class Head(nn.Module):
    """Classification or regression head: convolutions, then ``outputs`` values per cell."""

    def __init__(self, config: NetworkConfig, outputs: int) -> None:
        super().__init__()
        channels, groups = config.fpn_channels, config.head_norm_groups
        layers: list[nn.Module] = []
        for _ in range(config.head_convs):
            conv = nn.Conv2d(channels, channels, 3, padding=1, bias=groups == 0)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
            norm = [GroupNorm(math.gcd(groups, channels), channels)] if groups else []
            layers += [conv, *norm, nn.ReLU(inplace=True)]
        self.tower = nn.Sequential(*layers)
        self.output = nn.Conv2d(channels, outputs, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_normal(module.weight, std=0.01)

    def forward(self, feature: Tensor) -> Tensor:
        """Return ``float[B, outputs, H, W]`` of ``float[B, channels, H, W]``."""
        return torch.as_tensor(self.output(self.tower(feature)))


class RetinaNet(nn.Module):
    """RetinaNet: normalised images in, logits and box offsets of every anchor out.

    Args:
        config: Its architecture.
        classes: Number of classes, at least 1.
    """

    def __init__(self, config: NetworkConfig, classes: int) -> None:
        super().__init__()
        self.config = config
        self.classes = classes
        anchors = len(config.anchor_sizes_px[0]) * len(config.anchor_ratios)
        if any(len(sizes) != len(config.anchor_sizes_px[0]) for sizes in config.anchor_sizes_px):
            raise InputError("every pyramid level needs the same number of anchor sizes")
        self.trunk = build_backbone(config)
        self.pyramid = Pyramid(self.backbone, config)
        self.classification = Head(config, anchors * classes)
        self.regression = Head(config, anchors * 4)
        prior = -math.log((1 - CLASSIFICATION_PRIOR) / CLASSIFICATION_PRIOR)
        nn.init.constant_(torch.as_tensor(self.classification.output.bias), prior)
        if config.outline is not None:
            channels = self.backbone.channels[0], config.fpn_channels
            self.outline_features = OutlineFeatures(config.outline, *channels)
            self.outline = OutlineHead(config.outline)

    @property
    def backbone(self) -> ResNetBackbone | TimmBackbone:
        """Backbone of the network, whose parameters are named ``trunk.*`` in model files."""
        return self.trunk

    def forward(self, images: Tensor, *, with_outlines: bool = False) -> tuple[Tensor, ...]:
        """Run the network, but for the outline head.

        Args:
            images: ``float[B, C, H, W]`` normalised; H and W as ``padded_size`` gives them.
            with_outlines: Return the features of the outline head as well.

        Returns:
            Logits ``float[B, N, classes]`` and offsets ``float[B, N, 4]``, in the order of
            ``anchors_of_image``; then the features of ``outline``,
            ``float[B, H / 4, W / 4 * channels]``.
        """
        features = self.backbone(images)
        has_head = self.config.outline is not None
        levels = self.pyramid(features[1:] if has_head else features)

        def run(head: Head, values: int) -> Tensor:
            """Return ``[B, N, values]``; the head gives ``[B, A * values, H, W]`` of each level."""
            maps = [head(level).permute(0, 2, 3, 1) for level in levels]
            return torch.cat([x.reshape(x.shape[0], -1, values) for x in maps], dim=1)

        outputs = run(self.classification, self.classes), run(self.regression, 4)
        if not with_outlines:
            return outputs
        return *outputs, self.outline_features(features[0], levels[0])
