"""The training loop: schedule, clock, validations, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Protocol

from geodetect.errors import InputError
from geodetect.model.file import Weights
from geodetect.progress import Progress
from geodetect.settings import TrainSettings
from geodetect.training.data.chip_sampler import Chip, ChipSampler, Place
from geodetect.training.data.prefetch import drawn_ahead
from geodetect.training.distributed import ALONE, Processes
from geodetect.training.learner import Learner
from geodetect.training.lr_schedule import learning_rate, validation_cost, validation_interval
from geodetect.training.model_selection import Selection
from geodetect.training.run.checkpoint import read_state, write_state
from geodetect.training.run.folder import RunFolder, Window
from geodetect.training.run.tensorboard import TensorBoardLog
from geodetect.training.validation.metrics import Validation

CHECKPOINT_SECONDS = 60.0
ROWS, MOST_ROW_STEPS, MOST_ROW_SECONDS = 200, 50, 20.0  # of metrics.csv


class Validator(Protocol):
    """Measures weights on ground that is held out, see ``HeldOut``."""

    @property
    def pixels(self) -> float:
        """Pixels it looks at."""

    def measure(self, weights: Weights) -> Validation | None:
        """How good weights are; None: there is nothing to measure."""


class Miner(Protocol):
    """Finds places to look at more often, see ``NegativeMiner``."""

    @property
    def pixels(self) -> float:
        """Pixels it looks at."""

    def mine(self, weights: Weights, known: Sequence[Place], *, turn: int) -> tuple[Place, ...]:
        """False alarms of weights."""


@dataclass
class Loop:
    """A training in progress.

    With ``steps``, all it does depends on the number of steps alone, so that a training that was
    cut off and resumed ends as if it had not been. With ``minutes``, it depends on the clock.

    Of several processes the first one measures, looks for false alarms and keeps the time; the
    others need a validator and a miner too, but only ask them how long they take.

    Args:
        learner: What learns.
        sampler: Where chips come from.
        settings: Steps or minutes, batch size, validations.
        validator: Measures the averaged weights; None: nothing is held out.
        folder: Where the checkpoint, about once a minute, and the metrics go; None: nowhere.
        miner: Finds false alarms whenever the weights are measured; None: nobody looks.
        processes: Those that train together. All but the first have no folder.
        board: Where the metrics go as well; None: nowhere.
        ground: Fingerprint of what is learned from and measured on, the same as of a checkpoint.
    """

    learner: Learner
    sampler: ChipSampler
    settings: TrainSettings
    validator: Validator | None = None
    folder: RunFolder | None = None
    miner: Miner | None = None
    processes: Processes = ALONE
    board: TensorBoardLog | None = None
    ground: str = ""
    seconds: float = 0.0
    selection: Selection = field(default_factory=Selection)
    measured: dict[int, Validation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._window = Window()
        self._loss = math.nan
        self._started = self._saved = time.monotonic()
        self._row_seconds = 0.0
        self._validated = 0.0  # seconds on the clock when the last validation was over
        self._validation_seconds = math.nan
        self._reviews = 0
        pixels = sum(one.pixels for one in (self.validator, self.miner) if one is not None)
        size = {"batch_size": self.settings.batch_size, "chip_px": self.settings.chip_px}
        self._validation_steps = validation_cost(pixels, **size)  # that take as long as a review

    @property
    def step(self) -> int:
        """Steps done."""
        return self.learner.steps

    @property
    def stalled(self) -> bool:
        """Whether the training ended, or ends, because nothing gets better."""
        return self.selection.is_stalled(self.settings.patience)

    def run(self, progress: Progress) -> None:
        """Train until steps or minutes are over, or nothing gets better any more.

        Raises:
            DivergenceError: The loss is no longer a number.
            LostProcessError: Another process has ended.
            OutputError: The checkpoint or the metrics cannot be written.
        """
        self._saved = time.monotonic()
        self._started = self._saved - self.seconds
        while not self._finished:
            negatives = self.sampler.negatives
            batches = drawn_ahead(
                self.sampler,
                self.step,
                batch_size=self.settings.batch_size,
                processes=self.processes,
            )
            with closing(batches):  # anew when chips change
                while not self._finished and negatives is self.sampler.negatives:
                    self._one_step(batches)
                    self._after_step(progress)
        with self.processes.together():
            self.save()

    def _one_step(self, batches: Iterator[list[Chip]]) -> None:
        began = time.monotonic()
        with self.processes.together():
            chips = next(batches)
        losses = self.learner.learn(chips, learning_rate(self._share))
        last = losses.total
        self._loss = last if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * last
        self._window.add(losses.classes, losses.boxes, seconds=time.monotonic() - began)

    def _after_step(self, progress: Progress) -> None:
        self.seconds = self.processes.from_first(time.monotonic() - self._started)
        figures = {"loss": self._loss, "step": self.step, "lr": self._lr}
        figures["chips_per_s"] = self._speed()["chips_per_s"]
        is_due = self._validation_is_due
        measured = self._review() if is_due else None
        if self.selection.validations:
            figures["best_ap50"] = self.selection.best_ap50
        if measured is not None:
            figures["val_ap50"] = _ap50(measured)
        with self.processes.together():
            if measured is not None or self._row_is_due:
                self._write_row(measured)
            progress(self._done, self._total, **figures)
            if is_due or time.monotonic() - self._saved > CHECKPOINT_SECONDS:
                self.save()

    def _review(self) -> Validation | None:
        """Measure the averaged weights, and find what they get wrong: the first process, for all.

        Returns:
            What was measured; None in the other processes too.
        """
        began = time.monotonic()
        measured = None
        with self.processes.together():
            if self.processes.is_first:
                measured = self._look()
        self._reviews += 1
        self._validation_seconds = time.monotonic() - began
        self._validated = time.monotonic() - self._started
        self._take_over()
        return measured

    def _look(self) -> Validation | None:
        weights = self.learner.weights()
        measured = None if self.validator is None else self.validator.measure(weights)
        if measured is not None:
            self._select(measured, weights)
        if self.miner is not None and not self._finished:
            known, turn = self.sampler.negatives, self._reviews
            self.sampler.negatives = self.miner.mine(weights, known, turn=turn)
        return measured

    def _take_over(self) -> None:
        """Have what the first process found in all of them, but for the best weights."""
        if self.processes.count == 1:
            return
        light = replace(self.selection, best=None)
        own = (light, self.sampler.negatives, self._validation_seconds, self._validated)
        found, negatives, self._validation_seconds, self._validated = self.processes.from_first(own)
        if not self.processes.is_first:
            self.selection, self.sampler.negatives = found, negatives

    def _select(self, measured: Validation, weights: Weights) -> None:
        """Keep the state if it is the best."""
        self.selection = self.selection.after(self.step, _ap50(measured), weights)
        kept = {self.selection.best_step, self.step}
        earlier = {step: one for step, one in self.measured.items() if step in kept}
        self.measured = earlier | {self.step: measured}

    @property
    def _validation_is_due(self) -> bool:
        if self.validator is None and self.miner is None:
            return False
        if self._share >= 1:
            return self.validator is not None
        if self.settings.val_every is not None:
            return self.step % self.settings.val_every == 0
        if self.settings.minutes is None:
            every = max(1, math.ceil(validation_interval(self._validation_steps, self._total)))
            return self.step % every == 0 and self._total - self.step >= every / 2
        every_s = validation_interval(self._validation_time, self._total)
        left = self._total - self.seconds
        return self.seconds - self._validated >= every_s and left >= every_s / 2

    @property
    def _validation_time(self) -> float:
        """How many seconds a validation takes: as the last one did, or as steps let expect."""
        if math.isfinite(self._validation_seconds):
            return self._validation_seconds
        return self._validation_steps * self.seconds / self.step

    @property
    def _row_is_due(self) -> bool:
        if self._share >= 1:
            return True
        if self.settings.minutes is None:
            return self.step % min(MOST_ROW_STEPS, max(1, self._total // ROWS)) == 0
        return self.seconds - self._row_seconds >= min(MOST_ROW_SECONDS, self._total / ROWS)

    def _write_row(self, measured: Validation | None) -> None:
        row = {"step": self.step, "seconds": round(self.seconds, 1), "lr": self._lr}
        row |= self._speed()
        if measured is not None:
            names = ("ap50", "f1", "precision", "recall")
            row |= {f"val_{n}": measured.metrics.get(n, math.nan) for n in names}
        if self.folder is not None:
            self.folder.metrics.append(row)
        if self.board is not None:
            self.board.append(row)
        self._window = Window()
        self._row_seconds = self.seconds

    def _speed(self) -> dict[str, float]:
        return self._window.figures(self.settings.batch_size)

    def save(self) -> None:
        """Write the checkpoint; the one before stays whole until the new one is.

        Raises:
            OutputError: It cannot be written.
        """
        self._saved = time.monotonic()
        if self.folder is None:
            return
        state = {
            "settings": self.settings.model_dump_json(),
            "ground": self.ground,
            "learner": self.learner.state(),
            "lr": self.learner.lr,
            "seconds": self.seconds,
            "selection": self.selection.state(),
            "window": vars(self._window),
            "row_seconds": self._row_seconds,
            "validated": self._validated,
            "validation_seconds": self._validation_seconds,
            "reviews": self._reviews,
            "negatives": [astuple(place) for place in self.sampler.negatives],
        }
        write_state(self.folder.checkpoint, state)

    def discard(self) -> None:
        """Remove the checkpoint of a training that is finished."""
        if self.folder is not None:
            self.folder.checkpoint.unlink(missing_ok=True)

    def resume(self) -> None:
        """Go on from the checkpoint.

        Raises:
            InputError: There is none, or it is damaged or from a training with other settings or on
                other ground.
        """
        with self.processes.together():
            state = self._read() if self.processes.is_first else {}
        state = self.processes.from_first(state)
        path = "the checkpoint" if self.folder is None else self.folder.checkpoint
        try:
            self._restore(state)
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"--resume: {path} is of another network; were the classes of the labels changed?"
            ) from error
        except (KeyError, TypeError) as error:
            raise InputError(
                f"--resume: {path} cannot be read (it is from another version of geodetect); "
                f"start without --resume"
            ) from error
        with self.processes.together():
            if self.folder is not None:
                self.folder.tidy()
                self.folder.metrics.cut(self.step)

    def _read(self) -> dict[str, Any]:
        if self.folder is None:
            raise InputError("--resume: there is no checkpoint; start without --resume")
        path = self.folder.checkpoint
        state = read_state(path)
        if state["settings"] != self.settings.model_dump_json():
            raise InputError(f"--resume: {path} is from a training with other settings")
        if state.get("ground", self.ground) != self.ground:
            raise InputError(
                f"--resume: {path} is from a training on other rasters, labels or held-out ground; "
                f"name those that it began with, or start anew without --resume"
            )
        return state

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.learner.restore(state["learner"])
        self.learner.lr = state["lr"]
        self.selection = Selection.of_state(state["selection"])
        self._window = Window(**state["window"])
        self.sampler.negatives = tuple(Place(*values) for values in state["negatives"])
        self.seconds, self._row_seconds = state["seconds"], state["row_seconds"]
        self._validated, self._reviews = state["validated"], state["reviews"]
        self._validation_seconds = state["validation_seconds"]

    @property
    def _finished(self) -> bool:
        return self._share >= 1 or self.stalled

    @property
    def _share(self) -> float:
        """How much of the training is done, 0..1."""
        return min(1.0, self._done / self._total)

    @property
    def _done(self) -> int:
        return self.step if self.settings.minutes is None else round(self.seconds)

    @property
    def _total(self) -> int:
        minutes = self.settings.minutes
        return self.settings.steps if minutes is None else max(1, round(minutes * 60))

    @property
    def _lr(self) -> float:
        return self.learner.lr * learning_rate(self._share)


def _ap50(measured: Validation) -> float:
    return measured.metrics.get("ap50", 0.0)
