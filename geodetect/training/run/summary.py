"""What a training did, for summaries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TrainingSummary:
    """What a training did; filled by ``train``.

    Args:
        run_dir: The run folder.
        steps: Steps done.
        seconds: Time of the training as ``minutes`` counts it.
        lr: Peak learning rate.
        validations: How often the ground held out was looked at.
        kept: ``best`` or ``last``: which state the model file holds.
        kept_step: Steps that led to it.
        best_ap50: The best average precision (AP50) on the ground held out; None: not measured.
        stopped_early: Whether it ended because nothing got better.
        left_out: Rasters that could not be read, wholly or in places, with the reason, by path.
    """

    run_dir: str = ""
    steps: int = 0
    seconds: float = 0.0
    lr: float = 0.0
    validations: int = 0
    kept: str = "last"
    kept_step: int = 0
    best_ap50: float | None = None
    stopped_early: bool = False
    left_out: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return vars(self) | {"seconds": round(self.seconds, 1)}
