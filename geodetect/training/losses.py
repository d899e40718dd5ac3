"""Losses: focal loss of the classes, GIoU loss of the boxes, and loss of the masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from geodetect.model.network.anchors_torch import decode
from geodetect.model.network.outline_head import OutlineHead
from geodetect.training.anchors.assignment import IGNORED, Target, assign_anchors, flatten_levels
from geodetect.training.distributed import SINGLE_PROCESS, Processes

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0  # Lin et al. 2017, section 4
BOX_WEIGHT = 2.0


def retinanet_loss(
    logits: Tensor,
    deltas: Tensor,
    targets: list[Target],
    *,
    levels: Sequence[Tensor],
    assignment: str,
    processes: Processes = SINGLE_PROCESS,
) -> tuple[Tensor, Tensor]:
    """Return the class loss and the box loss per positive anchor of the batch.

    Args:
        logits: ``float32[B, A, classes]``.
        deltas: ``float32[B, A, 4]``.
        targets: Ground truth of each chip.
        levels: Anchors, ``float32[cells, A, 4]`` for each pyramid level.
        assignment: Assignment of anchors to objects, a name in ``ASSIGNMENTS``.
        processes: Processes that share the batch. Positive anchors are counted in all of them, so
            that their losses and gradients add up to those of the whole batch.

    Returns:
        Focal loss and weighted GIoU loss, scalars.
    """
    assigned = torch.stack([assign_anchors(target, levels, assignment) for target in targets])
    is_positive = assigned >= 0
    positives = is_positive.sum()
    processes.all_reduce([positives])
    positives = positives.clamp(min=1)

    rows = [row[row >= 0] for row in assigned]
    truth_boxes = torch.cat([t.boxes[row] for t, row in zip(targets, rows, strict=True)])
    truth_labels = torch.cat([t.labels[row] for t, row in zip(targets, rows, strict=True)])
    truth_classes = torch.zeros_like(logits)
    image, anchor = torch.where(is_positive)
    truth_classes[image, anchor, truth_labels] = 1
    is_counted = assigned != IGNORED
    class_loss = sigmoid_focal_loss(
        logits[is_counted],
        truth_classes[is_counted],
        alpha=FOCAL_ALPHA,
        gamma=FOCAL_GAMMA,
        reduction="sum",
    )
    anchors = flatten_levels(levels).expand(len(targets), -1, -1)[is_positive]
    boxes = decode(deltas[is_positive], anchors)
    box_loss = generalized_box_iou_loss(boxes, truth_boxes, reduction="sum")
    return class_loss / positives, BOX_WEIGHT * box_loss / positives


def outline_loss(
    head: OutlineHead,
    features: Tensor,
    targets: list[Target],
    *,
    processes: Processes = SINGLE_PROCESS,
) -> Tensor:
    """Return the loss of the masks per mask: binary cross-entropy plus Dice loss.

    The cross-entropy with covered fractions is least where the probability is that fraction, so
    that the contour of 0.5 is the outline to a fraction of a cell. The Dice loss (Milletari et al.
    2016, "V-Net") weighs small objects in a box as much as large ones.

    Args:
        head: The outline head.
        features: ``float[B, H / 4, W / 4 * channels]``.
        targets: Ground truth of each chip.
        processes: Processes that share the batch; masks are counted in all of them.

    Returns:
        A scalar; 0 without masks, with gradients of 0 for all parameters.
    """
    masks = [target.masks.masks for target in targets if len(target.masks.masks)]
    count = torch.tensor(sum(map(len, masks)), device=features.device)
    processes.all_reduce([count])
    if not masks:
        return torch.stack([0 * p.sum() for p in head.parameters()]).sum() + 0 * features.sum()
    truth = torch.cat(masks)
    pooled = [
        head.pool(image[None], target.masks.boxes)
        for image, target in zip(features, targets, strict=True)
        if len(target.masks.boxes)
    ]
    logits = head.draw(torch.cat(pooled)).float()
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=(1, 2))
    probability = logits.sigmoid()
    shared = (probability * truth).sum(dim=(1, 2))
    total = (probability**2).sum(dim=(1, 2)) + (truth**2).sum(dim=(1, 2))
    dice = 1 - (2 * shared + 1) / (total + 1)
    return (entropy + dice).sum() / count.clamp(min=1)
