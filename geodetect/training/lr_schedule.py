"""How the learning rate runs over a training, and how often its result is measured."""

from __future__ import annotations

import math

WARM_UP_SHARE = 0.03
FIRST_LR_SHARE, FINAL_LR_SHARE = 0.05, 0.01
MOST_VALIDATIONS = 20
VALIDATION_SHARE = 0.1  # of the time
PASSES_PER_STEP = 3.0  # a step costs a pass forward and one, twice as costly, backward


def learning_rate(share: float) -> float:
    """Learning rate over its peak: linear warm-up, then a cosine down to a hundredth.

    Loshchilov and Hutter (2017), "SGDR", without restarts.

    Args:
        share: How much of the training is done, 0..1.
    """
    if share < WARM_UP_SHARE:
        return FIRST_LR_SHARE + (1 - FIRST_LR_SHARE) * share / WARM_UP_SHARE
    phase = (share - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)
    return FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * (1 + math.cos(math.pi * phase)) / 2


def validation_cost(pixels: float, *, batch_size: int, chip_px: int) -> float:
    """How many steps of training take as long as looking at some pixels once."""
    return pixels / (PASSES_PER_STEP * batch_size * chip_px**2)


def validation_interval(cost: float, total: float) -> float:
    """How much of a training lies between two validations, at least.

    Args:
        cost: What one costs, in steps or seconds.
        total: How long the training is, in the same unit.

    Returns:
        So much that they take at most a tenth of the time, and that there are at most 20.
    """
    return max(cost * (1 - VALIDATION_SHARE) / VALIDATION_SHARE, total / MOST_VALIDATIONS)
