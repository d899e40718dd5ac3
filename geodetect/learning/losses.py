"""Which anchors answer for which object, and what their errors cost."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou_loss, sigmoid_focal_loss

from geodetect.learning.distributed import ALONE, Processes
from geodetect.model.anchors import decode

POSITIVE_IOU, BACKGROUND_IOU = 0.5, 0.4  # Lin et al. 2017, section 4
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
BOX_WEIGHT = 2.0
IGNORED_SHARE = 0.5


@dataclass(frozen=True)
class Target:
    """What a chip holds.

    Args:
        boxes: ``float32[N, 4]`` in chip pixels, clipped to the chip.
        labels: ``int64[N]``.
        ignored: ``float32[M, 4]`` places that are neither object nor background: objects of which
            too little is visible.
    """

    boxes: Tensor
    labels: Tensor
    ignored: Tensor

    def to(self, device: torch.device) -> Target:
        """The same on another device."""
        return Target(self.boxes.to(device), self.labels.to(device), self.ignored.to(device))


def assign(target: Target, anchors: Tensor) -> Tensor:
    """The object each anchor answers for.

    By highest IoU, with the best anchors of every object added so that none goes unanswered.

    Args:
        target: Objects of one chip.
        anchors: ``float32[A, 4]``.

    Returns:
        ``int64[A]``: row of the object, -1 for background, -2 for anchors that are not counted.
    """
    owner = torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
    if len(target.ignored):
        owner[_share_inside(anchors, target.ignored).amax(dim=1) > IGNORED_SHARE] = -2
    if len(target.boxes) == 0:
        return owner
    overlap = box_iou(anchors, target.boxes)
    best, best_object = overlap.max(dim=1)
    owner[best >= BACKGROUND_IOU] = -2
    owner = torch.where(best >= POSITIVE_IOU, best_object, owner)
    highest = overlap.amax(dim=0)
    rows, columns = torch.where((overlap == highest) & (highest > 0))
    owner[rows] = columns
    return owner


def retinanet_loss(
    logits: Tensor,
    deltas: Tensor,
    targets: list[Target],
    *,
    anchors: Tensor,
    processes: Processes = ALONE,
) -> tuple[Tensor, Tensor]:
    """Focal loss of the classes and GIoU loss of the boxes, per positive anchor of the batch.

    Args:
        logits: ``float32[B, A, classes]``.
        deltas: ``float32[B, A, 4]``.
        targets: Objects of each chip.
        anchors: ``float32[A, 4]``.
        processes: Those that share the batch. Positive anchors are counted in all of them, so that
            the losses of all, and their gradients, add up to those of the whole batch.

    Returns:
        Classification loss and weighted box loss, scalars.
    """
    owners = torch.stack([assign(target, anchors) for target in targets])
    positive = owners >= 0
    count = processes.total(positive.sum()).clamp(min=1)
    wanted = torch.zeros_like(logits)
    boxes, labels = [], []
    for target, owner in zip(targets, owners, strict=True):
        rows = owner[owner >= 0]
        boxes.append(target.boxes[rows])
        labels.append(target.labels[rows])
    image, anchor = torch.where(positive)
    wanted[image, anchor, torch.cat(labels)] = 1
    counted = owners != -2
    focal = sigmoid_focal_loss(
        logits[counted], wanted[counted], alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, reduction="sum"
    )
    found = decode(deltas[positive], anchors.expand(len(targets), -1, -1)[positive])
    box = generalized_box_iou_loss(found, torch.cat(boxes), reduction="sum")
    return focal / count, BOX_WEIGHT * box / count


def _share_inside(boxes: Tensor, places: Tensor) -> Tensor:
    """Share of each box's area inside each place, ``float32[N, M]``."""
    upper_left = torch.maximum(boxes[:, None, :2], places[None, :, :2])
    lower_right = torch.minimum(boxes[:, None, 2:], places[None, :, 2:])
    shared = (lower_right - upper_left).clamp(min=0).prod(dim=-1)
    return shared / (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1).clamp(min=1e-6)[:, None]
