"""Summary of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodetect.assessment.evaluate.bootstrap import Interval
from geodetect.display import Displayed, Rows
from geodetect.errors import list_names
from geodetect.model.card import ModelCard
from geodetect.progress import format_duration
from geodetect.training.advice.facts import Advice
from geodetect.training.validation.start import Gain

INTERVALS = ("ap50", "ap30", "f1", "precision", "recall")


@dataclass(frozen=True, repr=False)
class TrainingSummary(Displayed):
    """Summary of a training and the model it made.

    Args:
        output: The model file.
        card: Card of the model.
        run_dir: The run folder.
        opening_lines: Model, data and machine in two lines, as known before the first step.
        steps: Steps of the training.
        seconds: Time of the training as the setting ``minutes`` counts it.
        lr: Peak learning rate.
        validations: Number of validations.
        kept_state: ``best``, ``last`` or ``start``: the state in the model file.
        kept_step: Step of that state; 0 for the start.
        best_ap50: Best average precision (AP50) on the holdout; None: not validated.
        best_ap30: AP30 of the same validation.
        intervals: 95 % intervals of figures of the model in the file, by name, as far as they are
            defined, see ``metric_intervals``.
        gain: The trained weights compared with the model that the training started from; None: it
            started from no model that could be compared.
        advice: Next things to do, the greatest expected gain first; often none.
        stopped_early: True if the training ended because AP50 did not improve any more.
        left_out: Rasters that could not be read, in full or in part, with the reason, by path.
    """

    output: Path
    card: ModelCard
    run_dir: Path
    opening_lines: tuple[str, str]
    steps: int
    seconds: float
    lr: float
    validations: int
    kept_state: str
    kept_step: int
    best_ap50: float | None
    best_ap30: float | None
    intervals: dict[str, Interval]
    gain: Gain | None
    advice: tuple[Advice, ...]
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
        left_out = ("seconds", "gain", "intervals")
        values = {name: value for name, value in vars(self).items() if name not in left_out}
        return values | {
            "output": str(self.output),
            "card": self.card.model_dump(mode="json"),
            "run_dir": str(self.run_dir),
            "training_seconds": round(self.seconds, 1),
            **{f"{name}_interval": self._interval_of(name) for name in INTERVALS},
            "start": None if self.gain is None else self.gain.as_dict(),
            "advice": [advice.as_dict() for advice in self.advice],
        }

    def _interval_of(self, name: str) -> list[float] | None:
        """Return the ends of the interval of a figure; None: undefined."""
        interval = self.intervals.get(name)
        return None if interval is None else [round(interval.low, 4), round(interval.high, 4)]
