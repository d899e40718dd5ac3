"""Summary of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodetect.model.card import ModelCard


@dataclass(frozen=True)
class TrainingSummary:
    """Summary of a training and the model it made.

    Args:
        output: The model file.
        card: Card of the model.
        run_dir: The run folder.
        steps: Steps of the training.
        seconds: Time of the training as the setting ``minutes`` counts it.
        lr: Peak learning rate.
        validations: Number of validations.
        kept_state: ``best`` or ``last``: the state in the model file.
        kept_step: Step of that state.
        best_ap50: Best average precision (AP50) on the holdout; None: not validated.
        stopped_early: True if the training ended because AP50 did not improve any more.
        left_out: Rasters that could not be read, in full or in part, with the reason, by path.
    """

    output: Path
    card: ModelCard
    run_dir: Path
    steps: int
    seconds: float
    lr: float
    validations: int
    kept_state: str
    kept_step: int
    best_ap50: float | None
    stopped_early: bool
    left_out: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the summary for JSON."""
        return vars(self) | {
            "output": str(self.output),
            "card": self.card.model_dump(mode="json"),
            "run_dir": str(self.run_dir),
            "seconds": round(self.seconds, 1),
        }
