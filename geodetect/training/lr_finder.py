"""Learning rate range test: a few dozen steps that find a peak learning rate.

Smith (2017), "Cyclical learning rates for training neural networks" (arXiv:1506.01186), section
3.3: the rate grows from step to step, and the loss shows which rates are too high.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from geodetect.errors import DivergenceError
from geodetect.model.card import ModelCard
from geodetect.model.network.retinanet import RetinaNet
from geodetect.settings import TrainSettings
from geodetect.training.data.chip_sampler import ChipSampler
from geodetect.training.data.prefetch import draw_batch
from geodetect.training.distributed import Processes
from geodetect.training.learner import Learner
from geodetect.types import FloatArray

LOWEST_LR, HIGHEST_LR = 1e-5, 1e-1
STEPS = 48
SMOOTHING = 0.8
DIVERGENCE_FACTOR = 4.0  # times the lowest loss: no higher rate will do better
TOLERANCE = 1.1
MARGIN = 10.0


@dataclass(frozen=True, eq=False)
class RangeTest:
    """Losses of a learning rate range test.

    Args:
        rates: ``float64[N]`` learning rates, ascending.
        losses: ``float64[N]`` loss of the step with each rate.
    """

    rates: FloatArray
    losses: FloatArray

    @property
    def smoothed(self) -> FloatArray:
        """Exponential moving average of the losses, ``float64[N]``, corrected for its start at 0.

        Kingma and Ba (2015), "Adam", section 3, for the correction.
        """
        mean, means = 0.0, []
        for number, loss in enumerate(self.losses.tolist(), start=1):
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            means.append(mean / (1 - SMOOTHING**number))
        return np.array(means)

    @property
    def lr(self) -> float:
        """Suggested peak learning rate, to two significant digits.

        A tenth of the highest rate at which the smoothed loss is within a tenth of its lowest
        value. A tenth is the margin that fastai's ``lr_find`` takes from the lowest loss (Howard
        and Gugger 2020, "fastai: a layered API for deep learning"). Where the curve is flat, as for
        networks that are already trained, its minimum is random; the highest rate is more stable.
        """
        smoothed = self.smoothed
        highest = self.rates[np.flatnonzero(smoothed <= TOLERANCE * smoothed.min())[-1]]
        return float(f"{highest / MARGIN:.1e}")


def run_range_test(
    network: RetinaNet,
    card: ModelCard,
    sampler: ChipSampler,
    settings: TrainSettings,
    *,
    processes: Processes,
) -> RangeTest:
    """Train a copy of a network for a few dozen steps with ever higher learning rates.

    Args:
        network: Copied, not changed.
        card: Card of the network.
        sampler: Source of chips.
        settings: Settings of the training; ``steps`` and ``lr`` are not used.
        processes: Processes that share each step; all get the same result.

    Raises:
        DivergenceError: Even the lowest rate is too high.
    """
    learner = Learner(deepcopy(network), card, settings, lr=HIGHEST_LR, processes=processes)
    rates = np.geomspace(LOWEST_LR, HIGHEST_LR, STEPS)
    result = RangeTest(np.empty(0), np.empty(0))
    for step, rate in enumerate(rates.tolist()):
        with processes.fail_together():
            chips = draw_batch(sampler, step, batch_size=settings.batch_size, processes=processes)
        try:
            loss = learner.train_step(chips, rate / HIGHEST_LR).total
        except DivergenceError:
            if not step:
                raise
            break
        result = RangeTest(rates[: step + 1], np.append(result.losses, loss))
        if result.smoothed[-1] > DIVERGENCE_FACTOR * result.smoothed.min():
            break
    return result
