"""Outline head: a mask for each box, on features of stride 4 (Fu et al. 2019, "RetinaMask")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodetect.model.card import OutlineConfig

PARAMETERS = "outline"  # beginning of the names of its parameters in a network
STRIDE = 4  # of its features: those of stride 8 alone blur the edges of small objects


class OutlineFeatures(nn.Module):
    """Features of stride 4 from the backbone's and the pyramid's finest ones.

    Args:
        config: The outline head.
        stage_channels: Channels of the backbone's features of stride 4.
        level_channels: Channels of the pyramid.
    """

    def __init__(self, config: OutlineConfig, stage_channels: int, level_channels: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(stage_channels, config.channels, 1)
        self.coarse = nn.Conv2d(level_channels, config.channels, 1)
        self.smooth = nn.Conv2d(config.channels, config.channels, 3, padding=1)
        for conv in (self.fine, self.coarse, self.smooth):
            _init_for_relu(conv)

    def forward(self, stage: Tensor, level: Tensor) -> Tensor:
        """Return ``float[B, H / 4, W / 4 * channels]``: row by row, the channels of each cell.

        Args:
            stage: ``float[B, C, H / 4, W / 4]`` features of the backbone.
            level: ``float[B, C, H / 8, W / 8]`` finest level of the pyramid.
        """
        coarse = F.interpolate(
            self.coarse(level), size=stage.shape[-2:], mode="bilinear", align_corners=False
        )
        smooth = self.smooth((self.fine(stage) + coarse).relu()).relu()
        return torch.as_tensor(smooth.permute(0, 2, 3, 1).flatten(2))


class OutlineHead(nn.Module):
    """Masks of boxes: RoIAlign of the features, convolutions, twice the resolution.

    After He et al. 2017, "Mask R-CNN", section 3, with a single mask for all classes: the class is
    that of the box.

    Args:
        config: Its architecture.
    """

    def __init__(self, config: OutlineConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        inputs = config.channels
        for _ in range(config.head_convs):
            layers += [nn.Conv2d(inputs, config.head_channels, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = config.head_channels
        layers += [nn.ConvTranspose2d(inputs, config.head_channels, 2, stride=2), nn.ReLU()]
        self.tower = nn.Sequential(*layers)
        self.output = nn.Conv2d(config.head_channels, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                _init_for_relu(module)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Return the logits of the masks, ``float[K, M, M]``.

        Args:
            features: ``float[1, H / 4, W / 4 * channels]`` of an image.
            boxes: ``float[K, 4]`` x1, y1, x2, y2 in its pixels, widened by the margin. The mask of
                a box covers it, row by row from its upper left corner.
        """
        return self.draw(self.pool(features, boxes))

    def pool(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Return features of boxes of one image by RoIAlign, ``float[K, channels, cells, cells]``.

        After He et al. 2017, section 3, with bilinear interpolation at the centre of each cell: the
        mean of four points draws no better and takes three times as long. Beyond the image,
        features are those at its edge. torchvision's ``roi_align`` is not used: importing it takes
        seconds, and it is exported to fewer runtimes. Nor is ``grid_sample``, which needs the
        features of each channel together: to reorder those of a whole image takes longer than to
        read the cells at the boxes. Coordinates in bf16 would be off by pixels, so the precision is
        that of the boxes.
        """
        channels = self.config.channels
        rows, columns = features.shape[1], features.shape[2] // channels
        cells = features.to(boxes.dtype).reshape(-1, channels)
        side = self.config.cells
        points = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5) / side

        def place(first: Tensor, last: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
            """Return the cells before and after points along one axis, and the latter's weight."""
            along = first[:, None] + (last - first)[:, None] * points
            position = (along / STRIDE - 0.5).clamp(0, length - 1)
            before = position.floor()
            after = (before + 1).clamp(max=length - 1)
            return before.long(), after.long(), position - before

        left, right, x_weight = place(boxes[:, 0], boxes[:, 2], columns)
        above, below, y_weight = place(boxes[:, 1], boxes[:, 3], rows)

        def along_row(row: Tensor) -> Tensor:
            """Return the features at the points of a row of cells, ``float[K, side, side, C]``."""
            first = row[:, :, None] * columns
            at_left, at_right = (
                F.embedding(first + column[:, None, :], cells) for column in (left, right)
            )
            return torch.lerp(at_left, at_right, x_weight[:, None, :, None])

        sampled = torch.lerp(along_row(above), along_row(below), y_weight[:, :, None, None])
        return sampled.permute(0, 3, 1, 2)

    def draw(self, pooled: Tensor) -> Tensor:
        """Return the logits of the masks ``float[K, M, M]`` of pooled features."""
        return torch.as_tensor(self.output(self.tower(pooled))[:, 0])


def _init_for_relu(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Initialise a convolution that a ReLU follows (He et al. 2015), except on the meta device."""
    if not conv.weight.is_meta:
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.zeros_(torch.as_tensor(conv.bias))
