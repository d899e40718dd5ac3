"""What the errors of anchors cost."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from geodetect.model.network.anchors_torch import decode
from geodetect.training.anchors.assignment import NOT_COUNTED, Target, assign, flat
from geodetect.training.distributed import ALONE, Processes

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0  # Lin et al. 2017, section 4
BOX_WEIGHT = 2.0


def retinanet_loss(
    logits: Tensor,
    deltas: Tensor,
    targets: list[Target],
    *,
    levels: Sequence[Tensor],
    assignment: str,
    processes: Processes = ALONE,
) -> tuple[Tensor, Tensor]:
    """Focal loss of the classes and GIoU loss of the boxes, per positive anchor of the batch.

    Args:
        logits: ``float32[B, A, classes]``.
        deltas: ``float32[B, A, 4]``.
        targets: Objects of each chip.
        levels: Anchors, ``float32[cells, A, 4]`` for each pyramid level.
        assignment: Which of them answer for which object, a name in ``ASSIGNMENTS``.
        processes: Those that share the batch. Positive anchors are counted in all of them, so that
            the losses of all, and their gradients, add up to those of the whole batch.

    Returns:
        Classification loss and weighted box loss, scalars.
    """
    owners = torch.stack([assign(target, levels, assignment) for target in targets])
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
    counted = owners != NOT_COUNTED
    focal = sigmoid_focal_loss(
        logits[counted], wanted[counted], alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, reduction="sum"
    )
    found = decode(deltas[positive], flat(levels).expand(len(targets), -1, -1)[positive])
    box = generalized_box_iou_loss(found, torch.cat(boxes), reduction="sum")
    return focal / count, BOX_WEIGHT * box / count
