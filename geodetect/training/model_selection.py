"""Selection of the best state of a training by its average precision on the holdout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from geodetect.model.file import Weights


@dataclass(frozen=True, eq=False)
class ModelSelection:
    """Best state so far.

    Args:
        validations: Number of validations.
        best_ap50: Best average precision (AP50); NaN before the first validation.
        best_ap30: AP30 of the same validation.
        best_step: Step of the best validation.
        best_weights: Averaged weights at that step.
        last_step: Step of the last validation; -1 before the first.
        without_gain: Validations since AP50 last improved.
    """

    validations: int = 0
    best_ap50: float = math.nan
    best_ap30: float = math.nan
    best_step: int = -1
    best_weights: Weights | None = None
    last_step: int = -1
    without_gain: int = 0

    def update(
        self, step: int, ap50: float, weights: Weights, *, ap30: float = math.nan
    ) -> ModelSelection:
        """Return the selection after another validation; ties go to the later state.

        Args:
            step: Step of the validation.
            ap50: Average precision, which decides.
            weights: Averaged weights.
            ap30: Average precision at an IoU of 0.3.
        """
        is_better = self.best_weights is None or ap50 > self.best_ap50
        updated = replace(
            self,
            validations=self.validations + 1,
            last_step=step,
            without_gain=0 if is_better else self.without_gain + 1,
        )
        if not is_better and ap50 != self.best_ap50:
            return updated
        return replace(
            updated, best_ap50=ap50, best_ap30=ap30, best_step=step, best_weights=weights
        )

    def is_stalled(self, patience: int | None) -> bool:
        """Return True if AP50 has not improved for ``patience`` validations; None or 0: never."""
        return bool(patience) and self.without_gain >= (patience or 0)

    def state(self) -> dict[str, Any]:
        """Return numbers and tensors for a checkpoint."""
        if self.best_weights is None:
            return dict(vars(self))
        arrays = self.best_weights.items()
        tensors = {key: torch.from_numpy(np.asarray(array)) for key, array in arrays}
        return vars(self) | {"best_weights": tensors}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ModelSelection:
        """Restore a selection from its ``state``."""
        tensors = state["best_weights"]
        weights = None if tensors is None else {key: t.numpy() for key, t in tensors.items()}
        return cls(**{**state, "best_weights": weights})
