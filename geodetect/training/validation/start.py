"""Comparison of a trained model with the model that its training started from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from geodetect.assessment.evaluate.bootstrap import Interval
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.training.validation.metrics import ValidationResult
from geodetect.training.validation.uncertainty import ap50_draws
from geodetect.types import FloatArray

CERTAIN_OBJECTS = 6


@dataclass(frozen=True, eq=False)
class Start:
    """Validation of the model that a training starts from, before the first step.

    Args:
        model: Name of the model.
        classes: Its classes.
        metrics: Its figures on the holdout at the resolution of the training, see
            ``ValidationResult``.
        draws: Its AP50 in draws of blocks of the holdout, see ``ap50_draws``.
        weights: Its weights, as a model file holds them.
    """

    model: str
    classes: tuple[str, ...]
    metrics: dict[str, float]
    draws: FloatArray
    weights: Weights

    @classmethod
    def from_validation(cls, result: ValidationResult, card: ModelCard, weights: Weights) -> Start:
        """Return the start from its validation, card and weights."""
        return cls(card.name, card.classes, result.metrics, ap50_draws(result), weights)

    def compare(self, result: ValidationResult) -> Gain:
        """Compare the validation of a trained model with that of the start on the same holdout.

        The interval is undefined if a raster was left out between the two.
        """
        metrics = result.metrics
        difference = metrics.get("ap50", 0.0) - self.metrics.get("ap50", 0.0)
        interval = Interval(float("nan"), float("nan"))
        if metrics.get("objects") == self.metrics.get("objects"):
            interval = _paired_interval(ap50_draws(result) - self.draws, result.matches.n_truth)
        return Gain(self.model, self.metrics, metrics, round(difference, 4), interval)

    def state(self) -> dict[str, Any]:
        """Return texts, numbers and tensors for a checkpoint."""
        arrays = {key: torch.from_numpy(np.asarray(array)) for key, array in self.weights.items()}
        draws = torch.from_numpy(self.draws)
        return vars(self) | {"classes": list(self.classes), "draws": draws, "weights": arrays}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Start:
        """Restore a start from its ``state``."""
        weights = {key: tensor.numpy() for key, tensor in state["weights"].items()}
        values = {"classes": tuple(state["classes"]), "draws": state["draws"].numpy()}
        return cls(**{**state, **values, "weights": weights})


def _paired_interval(differences: FloatArray, n_truth: int) -> Interval:
    """Return the interval of a difference in many draws.

    All draws agree if one model finds everything and the other nothing: from six objects on that is
    no chance (a sign test, 2 to the power of -5).
    """
    defined = differences[np.isfinite(differences)]
    if len(defined) and np.ptp(defined) == 0 and defined[0] and n_truth >= CERTAIN_OBJECTS:
        return Interval(float(defined[0]), float(defined[0]))
    return Interval.from_draws(differences)


@dataclass(frozen=True)
class Gain:
    """Difference of a trained model and its start on the same holdout.

    Args:
        model: Name of the model that the training started from.
        start_metrics: Its figures.
        metrics: Those of the trained model.
        ap50: AP50 of the trained model less that of the start.
        interval: 95 % interval of this difference over draws of blocks of the holdout; NaN:
            undefined.
    """

    model: str
    start_metrics: dict[str, float]
    metrics: dict[str, float]
    ap50: float
    interval: Interval

    @property
    def is_loss(self) -> bool:
        """True if the trained model is worse than its start, beyond chance."""
        return self.interval.high < 0

    def __str__(self) -> str:
        ap50, start_ap50 = self.metrics.get("ap50", 0.0), self.start_metrics.get("ap50", 0.0)
        text = (
            f"AP50 {ap50:.3f} against {start_ap50:.3f} of its start {self.model} on "
            f"{self.metrics.get('objects', 0):,.0f} held-out objects"
        )
        if np.isfinite(self.interval.low):
            low, high = self.interval.low, self.interval.high
            text += f" (difference {self.ap50:+.3f}, 95 % interval {low:+.3f} to {high:+.3f})"
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        is_defined = np.isfinite(self.interval.low)
        interval = [round(self.interval.low, 4), round(self.interval.high, 4)]
        return {
            "model": self.model,
            "metrics": self.start_metrics,
            "ap50_gain": self.ap50,
            "ap50_gain_interval": interval if is_defined else None,
        }
