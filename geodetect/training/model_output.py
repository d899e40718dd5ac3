"""The model that a training leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geodetect.model.card import ModelCard, TrainingRecord
from geodetect.model.file import Weights, write_model_file
from geodetect.settings import TrainSettings
from geodetect.training.data.training_data import TrainingGround
from geodetect.training.distributed import Processes
from geodetect.training.loop import Loop
from geodetect.training.run.folder import RunFolder
from geodetect.training.run.summary import TrainingSummary
from geodetect.training.validation.metrics import Validation, calibrated
from geodetect.training.validation.validator import HeldOut

PATHS = ("val_area", "val_rasters", "val_labels", "init")


@dataclass(frozen=True, eq=False)
class Plan:
    """What a training starts from, and where its model goes.

    Args:
        target: Model file to write.
        folder: The run folder.
        settings: Of the training.
        card: The card as far as it is known.
        start: What the weights are at first, in words.
        grounds: Rasters and their objects.
        held_out: What is measured on.
        processes: Those that train together.
    """

    target: Path
    folder: RunFolder
    settings: TrainSettings
    card: ModelCard
    start: str
    grounds: TrainingGround
    held_out: HeldOut
    processes: Processes


def write_model(loop: Loop, plan: Plan, tally: TrainingSummary) -> ModelCard:
    """Write the model that is kept, and what was measured of it.

    Returns:
        Its card.

    Raises:
        OutputError: It cannot be written.
    """
    step, weights, measured = _kept(loop, plan)
    card = plan.card.model_copy(update={"training": _record(plan, step, loop)})
    if measured is not None:
        gsd_range_m = plan.held_out.gsd_range_m(weights, measured)
        card = calibrated(card, measured).model_copy(update={"gsd_range_m": gsd_range_m})
        measured.save(plan.folder.path)
    write_model_file(plan.target, card, weights)
    tally.kept_step = step
    tally.kept = "last" if step == loop.step else "best"
    return card


def _kept(loop: Loop, plan: Plan) -> tuple[int, Weights, Validation | None]:
    """Steps, weights and figures of the state that is kept."""
    best = loop.selection.best
    if best is None:
        return loop.step, loop.learner.weights(), None
    if plan.settings.keep == "last" and loop.selection.last_step == loop.step:
        step, best = loop.step, loop.learner.weights()
    else:
        step = loop.selection.best_step
    measured = loop.measured.get(step)
    if measured is None:  # before the training was resumed
        measured = plan.held_out.measure(best)
    return step, best, measured


def save_best(loop: Loop, plan: Plan, tally: TrainingSummary) -> str:
    """Keep what a training that went wrong has brought.

    Returns:
        Where it is, in words.

    Raises:
        OutputError: It cannot be written.
    """
    if loop.selection.best is not None:
        write_model(loop, plan, tally)
        best = loop.selection
        return (
            f"the best model so far (step {best.best_step}, AP50 {best.best_ap50:.3f}) is written "
            f"to {plan.target}"
        )
    if plan.folder.checkpoint.exists():
        return f"the last good checkpoint is {plan.folder.checkpoint}"
    return "no checkpoint was written yet"


def _record(plan: Plan, step: int, loop: Loop) -> TrainingRecord:
    settings = plan.settings
    dumped = settings.model_dump(mode="json", exclude={"data", "licence", "description", "name"})
    dumped["lr"] = loop.learner.lr
    for key in PATHS:  # the card says what, not where it lay
        dumped[key] = _names(dumped[key])
    plain = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in dumped.items()}
    return TrainingRecord(
        data=settings.data,
        licence=settings.licence,
        initial_weights=plan.start,
        objects=sum(int(ground.trainable.sum()) for ground in plan.grounds.distinct),
        steps=step,
        settings=plain,
    )


def _names(paths: str | list[str] | None) -> str | list[str] | None:
    if isinstance(paths, list):
        return [Path(path).name for path in paths]
    return Path(paths).name if paths else paths
