"""Five anchors in two places, and what a chip holds."""

from __future__ import annotations

import torch

from geodetect.training.anchors.assignment import Target

ANCHORS = torch.tensor(
    [[0, 0, 10, 10], [4, 0, 14, 10], [7, 0, 17, 10], [50, 50, 60, 60], [52, 50, 62, 60]],
    dtype=torch.float32,
)
LEVELS = [ANCHORS[:, None]]  # one level, one anchor for each cell


def target(
    boxes: list[list[float]], ignored: list[list[float]] | None = None, label: int = 0
) -> Target:
    """Objects of one class."""
    return Target(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.full((len(boxes),), label),
        torch.tensor(ignored or [], dtype=torch.float32).reshape(-1, 4),
    )
