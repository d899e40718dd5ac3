"""Which anchors answer for which object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torchvision.ops import box_iou

BACKGROUND, NOT_COUNTED = -1, -2
POSITIVE_IOU, BACKGROUND_IOU = 0.5, 0.4  # Lin et al. 2017, section 4
NEAREST_CELLS = 9  # of each level: Zhang et al. 2020, section 4.2
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


def assign(target: Target, levels: Sequence[Tensor], assignment: str) -> Tensor:
    """The object each anchor answers for.

    Args:
        target: Objects of one chip.
        levels: Anchors, ``float32[cells, A, 4]`` for each pyramid level.
        assignment: A name in ``ASSIGNMENTS``.

    Returns:
        ``int64[N]`` for all anchors: row of the object, ``BACKGROUND``, or ``NOT_COUNTED``.
    """
    anchors = flat(levels)
    owner = torch.full((len(anchors),), BACKGROUND, dtype=torch.int64, device=anchors.device)
    if len(target.ignored):
        on_ignored = _share_inside(anchors, target.ignored).amax(dim=1) > IGNORED_SHARE
        owner[on_ignored] = NOT_COUNTED
    if len(target.boxes) == 0:
        return owner
    overlap = box_iou(anchors, target.boxes)
    return ASSIGNMENTS[assignment](owner, overlap, target.boxes, levels)


def _by_overlap(owner: Tensor, overlap: Tensor, boxes: Tensor, levels: Sequence[Tensor]) -> Tensor:
    """By highest IoU (Lin et al. 2017).

    The best anchors of every object are added, so that none goes unanswered.
    """
    best, best_object = overlap.max(dim=1)
    owner[best >= BACKGROUND_IOU] = NOT_COUNTED
    owner = torch.where(best >= POSITIVE_IOU, best_object, owner)
    highest = overlap.amax(dim=0)
    rows, columns = torch.where((overlap == highest) & (highest > 0))
    owner[rows] = columns
    return owner


def _by_statistics(
    owner: Tensor, overlap: Tensor, boxes: Tensor, levels: Sequence[Tensor]
) -> Tensor:
    """By adaptive training sample selection (ATSS).

    After Zhang et al. 2020, "Bridging the Gap Between Anchor-based and Anchor-free Detection via
    Adaptive Training Sample Selection", algorithm 1: of the anchors of the cells nearest to an
    object, on every level, those centred in it answer whose IoU is at least the mean of all these
    plus their standard deviation. So small objects, and those that no anchor fits well, get about
    as many anchors as others. An object that would go unanswered has its best anchor.
    """
    near = _nearest(levels, boxes)
    found = overlap.gather(0, near)
    centres = _centres(flat(levels))[near]
    inside = (centres > boxes[:, :2]) & (centres < boxes[:, 2:])
    enough = found >= found.mean(dim=0) + found.std(dim=0)
    suitable = torch.zeros_like(overlap, dtype=torch.bool)
    suitable.scatter_(0, near, enough & inside.all(dim=-1) & (found > 0))
    best, best_object = torch.where(suitable, overlap, -1).max(dim=1)
    owner = torch.where(best >= 0, best_object, owner)
    highest, highest_row = overlap.max(dim=0)
    rows = torch.arange(len(boxes), device=owner.device)
    unanswered = ~torch.isin(rows, owner) & (highest > 0)
    owner[highest_row[unanswered]] = rows[unanswered]
    return owner


Rule = Callable[[Tensor, Tensor, Tensor, Sequence[Tensor]], Tensor]
ASSIGNMENTS: Mapping[str, Rule] = MappingProxyType({"atss": _by_statistics, "overlap": _by_overlap})


def flat(levels: Sequence[Tensor]) -> Tensor:
    """The anchors of all levels, ``float32[N, 4]``, in the order of the network's results."""
    return torch.cat([level.flatten(0, 1) for level in levels])


def _nearest(levels: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Rows of the anchors of each level's cells nearest to boxes, ``int64[K, N]``."""
    rows, begin = [], 0
    for level in levels:
        cells, per_cell = level.shape[:2]
        away = torch.cdist(_centres(level[:, 0]), _centres(boxes))
        near = away.topk(min(NEAREST_CELLS, cells), dim=0, largest=False).indices
        anchor = torch.arange(per_cell, device=boxes.device)[None, :, None]
        rows.append((begin + near[:, None] * per_cell + anchor).flatten(0, 1))
        begin += cells * per_cell
    return torch.cat(rows)


def _centres(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _share_inside(boxes: Tensor, places: Tensor) -> Tensor:
    """Share of each box's area inside each place, ``float32[N, M]``."""
    upper_left = torch.maximum(boxes[:, None, :2], places[None, :, :2])
    lower_right = torch.minimum(boxes[:, None, 2:], places[None, :, 2:])
    shared = (lower_right - upper_left).clamp(min=0).prod(dim=-1)
    return shared / (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1).clamp(min=1e-6)[:, None]
