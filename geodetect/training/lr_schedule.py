"""Learning rate over the course of a training, and the interval between validations."""

from __future__ import annotations

import math

from geodetect.settings import TrainSettings

WARM_UP_FRACTION = 0.03
INITIAL_FACTOR, FINAL_FACTOR = 0.05, 0.01
MAX_VALIDATIONS = 20
VALIDATION_FRACTION = 0.1  # of the training time
PASSES_PER_STEP = 3.0  # a backward pass costs twice as much as a forward pass


def learning_rate(fraction: float) -> float:
    """Return the learning rate over its peak: linear warm-up, then a cosine down to a hundredth.

    Loshchilov and Hutter (2017), "SGDR", without restarts.

    Args:
        fraction: Fraction of the training that is completed, 0..1.
    """
    if fraction < WARM_UP_FRACTION:
        return INITIAL_FACTOR + (1 - INITIAL_FACTOR) * fraction / WARM_UP_FRACTION
    phase = (fraction - WARM_UP_FRACTION) / (1 - WARM_UP_FRACTION)
    return FINAL_FACTOR + (1 - FINAL_FACTOR) * (1 + math.cos(math.pi * phase)) / 2


def validation_cost(pixels: float, settings: TrainSettings) -> float:
    """Return the number of training steps that take as long as one forward pass over pixels."""
    return pixels / (PASSES_PER_STEP * settings.batch_size * settings.tile_size**2)


def validation_interval(cost: float, total: float) -> float:
    """Return the minimum interval between two validations.

    They take at most a tenth of the time, and there are at most 20.

    Args:
        cost: Cost of a validation, in steps or seconds.
        total: Length of the training, in the same unit, which is also that of the interval.
    """
    return max(cost * (1 - VALIDATION_FRACTION) / VALIDATION_FRACTION, total / MAX_VALIDATIONS)
