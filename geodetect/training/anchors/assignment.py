"""Assignment of anchors to ground-truth objects: ATSS, or by IoU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor
from torchvision.ops import box_iou

BACKGROUND, IGNORED = -1, -2
POSITIVE_IOU, BACKGROUND_IOU = 0.5, 0.4  # Lin et al. 2017, section 4
NEAREST_CELLS = 9  # of each level: Zhang et al. 2020, section 4.2
IGNORED_FRACTION = 0.5


@dataclass(frozen=True)
class MaskTarget:
    """Ground truth of the outline head in one chip.

    Args:
        boxes: ``float32[K, 4]`` boxes to draw masks in, in chip pixels.
        masks: ``float32[K, M, M]`` fraction of each cell of such a box that the object covers.
    """

    boxes: Tensor
    masks: Tensor

    @classmethod
    def empty(cls) -> MaskTarget:
        """Return a target without masks."""
        return cls(torch.empty(0, 4), torch.empty(0, 1, 1))

    def to(self, device: torch.device) -> MaskTarget:
        """Return the target on a device."""
        return MaskTarget(self.boxes.to(device), self.masks.to(device))


@dataclass(frozen=True)
class Target:
    """Ground truth of one chip.

    Args:
        boxes: ``float32[N, 4]`` in chip pixels, clipped to the chip.
        labels: ``int64[N]`` class indices.
        ignored: ``float32[M, 4]`` regions that are neither object nor background: objects of which
            too little is visible.
        masks: Masks of the objects whose outline is known.
    """

    boxes: Tensor
    labels: Tensor
    ignored: Tensor
    masks: MaskTarget = field(default_factory=lambda: MaskTarget.empty())

    def to(self, device: torch.device) -> Target:
        """Return the target on a device."""
        boxes, labels = self.boxes.to(device), self.labels.to(device)
        return Target(boxes, labels, self.ignored.to(device), self.masks.to(device))


def assign_anchors(target: Target, levels: Sequence[Tensor], assignment: str) -> Tensor:
    """Assign each anchor to an object or to the background.

    torchvision's ``Matcher`` knows neither ATSS nor ignored regions.

    Args:
        target: Ground truth of one chip.
        levels: Anchors, ``float32[cells, A, 4]`` for each pyramid level.
        assignment: A name in ``ASSIGNMENTS``.

    Returns:
        ``int64[N]`` for all anchors: row of the object, ``BACKGROUND``, or ``IGNORED``.
    """
    anchors = flatten_levels(levels)
    assigned = torch.full((len(anchors),), BACKGROUND, dtype=torch.int64, device=anchors.device)
    if len(target.ignored):
        is_ignored = _fraction_inside(anchors, target.ignored).amax(dim=1) > IGNORED_FRACTION
        assigned[is_ignored] = IGNORED
    if len(target.boxes) == 0:
        return assigned
    ious = box_iou(anchors, target.boxes)
    return ASSIGNMENTS[assignment](assigned, ious, target.boxes, levels)


def iou_assignment(
    assigned: Tensor, ious: Tensor, boxes: Tensor, levels: Sequence[Tensor]
) -> Tensor:
    """Assign anchors by highest IoU (Lin et al. 2017).

    Every object also gets its best anchors, however low their IoU.

    Args:
        assigned: ``int64[N]`` ``BACKGROUND`` or ``IGNORED`` for each anchor; changed in place.
        ious: ``float32[N, M]`` IoU of anchors and objects.
        boxes: ``float32[M, 4]`` objects.
        levels: Anchors of each pyramid level.
    """
    best_iou, best_object = ious.max(dim=1)
    assigned[best_iou >= BACKGROUND_IOU] = IGNORED
    assigned = torch.where(best_iou >= POSITIVE_IOU, best_object, assigned)
    best_of_object = ious.amax(dim=0)
    rows, objects = torch.where((ious == best_of_object) & (best_of_object > 0))
    assigned[rows] = objects
    return assigned


def atss_assignment(
    assigned: Tensor, ious: Tensor, boxes: Tensor, levels: Sequence[Tensor]
) -> Tensor:
    """Assign anchors by adaptive training sample selection (ATSS).

    After Zhang et al. 2020, "Bridging the Gap Between Anchor-based and Anchor-free Detection via
    Adaptive Training Sample Selection", algorithm 1. The candidates of an object are the anchors of
    the cells nearest to it, on every level. Positive are candidates centred in the object whose IoU
    is at least the mean plus the standard deviation over all candidates. So small objects, and
    those that no anchor fits well, get about as many anchors as others. An object left without a
    positive anchor gets its best one.

    Args:
        assigned: ``int64[N]`` ``BACKGROUND`` or ``IGNORED`` for each anchor.
        ious: ``float32[N, M]`` IoU of anchors and objects.
        boxes: ``float32[M, 4]`` objects.
        levels: Anchors of each pyramid level.
    """
    candidates = _nearest_anchors(levels, boxes)
    candidate_ious = ious.gather(0, candidates)
    centres = _centres(flatten_levels(levels))[candidates]
    is_inside = ((centres > boxes[:, :2]) & (centres < boxes[:, 2:])).all(dim=-1)
    threshold = candidate_ious.mean(dim=0) + candidate_ious.std(dim=0)
    is_candidate_positive = (candidate_ious >= threshold) & is_inside & (candidate_ious > 0)
    is_positive = torch.zeros_like(ious, dtype=torch.bool)
    is_positive.scatter_(0, candidates, is_candidate_positive)
    best_iou, best_object = torch.where(is_positive, ious, -1).max(dim=1)
    assigned = torch.where(best_iou >= 0, best_object, assigned)
    best_of_object, best_anchor = ious.max(dim=0)
    objects = torch.arange(len(boxes), device=assigned.device)
    is_unassigned = ~torch.isin(objects, assigned) & (best_of_object > 0)
    assigned[best_anchor[is_unassigned]] = objects[is_unassigned]
    return assigned


Assignment = Callable[[Tensor, Tensor, Tensor, Sequence[Tensor]], Tensor]
ASSIGNMENTS: Mapping[str, Assignment] = MappingProxyType(
    {"atss": atss_assignment, "overlap": iou_assignment}
)


def flatten_levels(levels: Sequence[Tensor]) -> Tensor:
    """Return the anchors of all levels, ``float32[N, 4]``, in the order of the network's output."""
    return torch.cat([level.flatten(0, 1) for level in levels])


def _nearest_anchors(levels: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Return the rows of the anchors of each level's cells nearest to boxes, ``int64[K, M]``."""
    rows, first = [], 0
    for level in levels:
        cells, per_cell = level.shape[:2]
        distances = torch.cdist(_centres(level[:, 0]), _centres(boxes))
        nearest = distances.topk(min(NEAREST_CELLS, cells), dim=0, largest=False).indices
        anchor = torch.arange(per_cell, device=boxes.device)[None, :, None]
        rows.append((first + nearest[:, None] * per_cell + anchor).flatten(0, 1))
        first += cells * per_cell
    return torch.cat(rows)


def _centres(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _fraction_inside(boxes: Tensor, regions: Tensor) -> Tensor:
    """Return the fraction of each box's area inside each region, ``float32[N, M]``."""
    upper_left = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    lower_right = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    intersection = (lower_right - upper_left).clamp(min=0).prod(dim=-1)
    return intersection / (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1).clamp(min=1e-6)[:, None]
