"""A learning rate found by a range test.

Smith (2017), "Cyclical learning rates for training neural networks" (arXiv:1506.01186), section
3.3: the rate grows from step to step, and the loss shows which ones are too high.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from geodetect.errors import DivergenceError
from geodetect.model.card import ModelCard
from geodetect.model.network.retinanet import RetinaNet
from geodetect.training.data.chip_sampler import ChipSampler
from geodetect.training.data.prefetch import draw_batch
from geodetect.training.distributed import ALONE, Processes
from geodetect.training.learner import Learner
from geodetect.types import FloatArray

LOWEST_LR, HIGHEST_LR = 1e-5, 1e-1
STEPS = 48
SMOOTHING = 0.8
HOPELESS = 4.0  # times the lowest loss: no higher rate will do better
TOLERANCE = 1.1
MARGIN = 10.0


@dataclass(frozen=True, eq=False)
class RangeTest:
    """What a range test saw.

    Args:
        rates: ``float64[N]`` learning rates, each higher than the one before.
        losses: ``float64[N]`` loss of the step with this rate.
    """

    rates: FloatArray
    losses: FloatArray

    @property
    def smoothed(self) -> FloatArray:
        """Running mean of the losses, ``float64[N]``, corrected for its start at nothing."""
        mean, means = 0.0, []
        for number, loss in enumerate(self.losses.tolist(), start=1):
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            means.append(mean / (1 - SMOOTHING**number))
        return np.array(means)

    @property
    def lr(self) -> float:
        """The rate to train with, two digits.

        A tenth of the highest rate at which the running mean of the loss is within a tenth of its
        lowest value. A tenth is the margin that fastai's ``lr_find`` takes from the lowest loss
        (Howard and Gugger 2020, "fastai: a layered API for deep learning"); the highest such rate
        is less a matter of chance than the lowest loss where the curve is flat, as it is for
        networks that are trained already.
        """
        smoothed = self.smoothed
        edge = self.rates[np.flatnonzero(smoothed <= TOLERANCE * smoothed.min())[-1]]
        return float(f"{edge / MARGIN:.1e}")


def run_range_test(
    network: RetinaNet,
    card: ModelCard,
    sampler: ChipSampler,
    *,
    device: str,
    chip_px: int,
    batch_size: int,
    assignment: str,
    processes: Processes = ALONE,
) -> RangeTest:
    """Train a copy of a network for a few dozen steps with ever higher rates.

    Args:
        network: Stays as it is.
        card: Its card.
        sampler: Where chips come from.
        device: Where the network runs.
        chip_px: Side of a chip.
        batch_size: Chips of a step.
        assignment: See ``Learner``.
        processes: Those that share each step; all find the same.

    Raises:
        DivergenceError: Even the lowest rate is too high.
    """
    learner = Learner(
        deepcopy(network),
        card,
        device=device,
        lr=HIGHEST_LR,
        chip_px=chip_px,
        assignment=assignment,
        processes=processes,
    )
    rates = np.geomspace(LOWEST_LR, HIGHEST_LR, STEPS)
    seen = RangeTest(np.empty(0), np.empty(0))
    for step, rate in enumerate(rates.tolist()):
        with processes.together():
            chips = draw_batch(sampler, step, batch_size=batch_size, processes=processes)
        try:
            loss = learner.learn(chips, rate / HIGHEST_LR).total
        except DivergenceError:
            if not step:
                raise
            break
        seen = RangeTest(rates[: step + 1], np.append(seen.losses, loss))
        if seen.smoothed[-1] > HOPELESS * seen.smoothed.min():
            break
    return seen
