"""Which state of a training is the best so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from geodetect.model.file import Weights


@dataclass(frozen=True, eq=False)
class Selection:
    """The best state by its average precision (AP50) on the ground held out.

    Args:
        validations: How many states were measured.
        best_ap50: The best figure; NaN before the first validation.
        best_step: Steps after which it was measured.
        best: Averaged weights of that state.
        last_step: Steps after which the last state was measured; -1: none was.
        waited: Validations since the figure last became better.
    """

    validations: int = 0
    best_ap50: float = math.nan
    best_step: int = -1
    best: Weights | None = None
    last_step: int = -1
    waited: int = 0

    def after(self, step: int, ap50: float, weights: Weights) -> Selection:
        """What is best once another state was measured; of equal ones the later.

        Args:
            step: Steps that led to the state.
            ap50: Its average precision.
            weights: Its averaged weights.
        """
        better = self.best is None or ap50 > self.best_ap50
        noted = replace(
            self,
            validations=self.validations + 1,
            last_step=step,
            waited=0 if better else self.waited + 1,
        )
        if not better and ap50 != self.best_ap50:
            return noted
        return replace(noted, best_ap50=ap50, best_step=step, best=weights)

    def is_stalled(self, patience: int | None) -> bool:
        """Whether as many validations as one has patience for brought nothing better."""
        return bool(patience) and self.waited >= (patience or 0)

    def state(self) -> dict[str, Any]:
        """As numbers and tensors, for a checkpoint."""
        best = None
        if self.best is not None:
            best = {key: torch.from_numpy(np.asarray(value)) for key, value in self.best.items()}
        return vars(self) | {"best": best}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Selection:
        """The selection that gave a ``state``."""
        best = state["best"]
        if best is not None:
            best = {key: value.numpy() for key, value in best.items()}
        return cls(**{**state, "best": best})
