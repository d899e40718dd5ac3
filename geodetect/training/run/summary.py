"""Summary of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodetect.display import Displayed, Rows
from geodetect.errors import list_names
from geodetect.model.card import ModelCard
from geodetect.progress import format_duration


@dataclass(frozen=True, repr=False)
class TrainingSummary(Displayed):
    """Summary of a training and the model it made.

    Args:
        output: The model file.
        card: Card of the model.
        run_dir: The run folder.
        description: Model, data and machine in two lines, as they were known before the first step.
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
    description: tuple[str, str]
    steps: int
    seconds: float
    lr: float
    validations: int
    kept_state: str
    kept_step: int
    best_ap50: float | None
    stopped_early: bool
    left_out: dict[str, str]

    def display_rows(self) -> Rows:
        """Return the model, its data, the state that was kept and the figures."""
        card, state = self.card, "the last; nothing was held out"
        if self.best_ap50 is not None:
            state = f"the {self.kept_state}, of step {self.kept_step:,}"
        yield "Model", str(self.output)
        yield "Classes", list_names(card.classes)
        yield "Trained on", f"{card.training.objects:,} objects in {self.steps:,} steps"
        yield "State kept", state
        yield "Score threshold", f"{card.conf:.2f}"
        if self.best_ap50 is not None:
            yield "AP50", f"{self.best_ap50:.3f} on the holdout, {self.validations:,} validations"
        yield "Time", format_duration(self.seconds)
        yield "Run folder", str(self.run_dir)
        yield from (("Left out", reason) for reason in self.left_out.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the summary for JSON."""
        values = {name: value for name, value in vars(self).items() if name != "seconds"}
        return values | {
            "output": str(self.output),
            "card": self.card.model_dump(mode="json"),
            "run_dir": str(self.run_dir),
            "training_seconds": round(self.seconds, 1),
        }
