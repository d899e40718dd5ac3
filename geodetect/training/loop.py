"""Training loop: steps, learning rate schedule, validations, metrics and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from geodetect.errors import InputError, LostProcessError, OutputError
from geodetect.interrupts import hold_signals
from geodetect.model.card import ModelCard
from geodetect.progress import Progress, announce, phase
from geodetect.settings import TrainSettings
from geodetect.training.data.chip_sampler import Chip, ChipSampler, HardNegative
from geodetect.training.data.hard_negatives import HardNegativeMiner
from geodetect.training.data.prefetch import prefetch
from geodetect.training.learner import Learner
from geodetect.training.lr_schedule import learning_rate, validation_cost, validation_interval
from geodetect.training.model_selection import ModelSelection
from geodetect.training.run.checkpoint import check_same_training, read_state, write_state
from geodetect.training.run.folder import VALIDATION_METRICS, IntervalSums, RunFolder
from geodetect.training.run.tensorboard import TensorBoardLog
from geodetect.training.validation.metrics import ValidationResult
from geodetect.training.validation.start import Start
from geodetect.training.validation.validator import Validator

CHECKPOINT_SECONDS = 60.0
MAX_ROWS, MAX_ROW_STEPS, MAX_ROW_SECONDS = 200, 50, 20.0  # of metrics.csv


@dataclass(frozen=True)
class _Validation:
    """Validation of a step, with the mining of hard negatives.

    Args:
        selection: Best state so far; its weights only in the main process.
        hard_negatives: Hard negatives from now on.
        seconds: Duration.
        end: Seconds of the training when it ended.
        result: Figures; None: nothing is held out, or in another process.
    """

    selection: ModelSelection
    hard_negatives: tuple[HardNegative, ...]
    seconds: float
    end: float
    result: ValidationResult | None = None


@dataclass
class TrainingLoop:
    """Training in progress.

    If ``settings`` limit the ``steps``, a training depends on the number of steps alone: one that
    is interrupted and resumed gives bit-identical weights. If they limit the ``minutes``, it
    depends on the clock. An interrupt waits for the end of the step, and the loss of another
    process leaves the state of the step before; both write a checkpoint.

    Only the main process validates, mines hard negatives and measures the time; the others use
    validator and miner only to estimate how long these take.

    Args:
        learner: Network in training.
        sampler: Source of chips.
        settings: Settings of the training.
        validator: Validates the averaged weights; None: nothing is held out.
        folder: Run folder for the checkpoint, about once a minute, and the metrics; None in all
            processes but the main one.
        miner: Mines hard negatives after each validation; None: they are not mined.
        tensorboard: Log of the metrics for TensorBoard; None: not written.
        initial_card: Card of the model that the training starts from, to validate it before the
            first step; None: it starts from no model that could be compared.
        data_fingerprint: Fingerprint of the training data, to compare with that of a checkpoint.
        seconds: Duration so far.
        selection: Best state so far.
        start: Validation of the model that the training starts from.
        results: Validations of the start, of the best and of the last state, by step.
    """

    learner: Learner
    sampler: ChipSampler
    settings: TrainSettings
    validator: Validator | None = None
    folder: RunFolder | None = None
    miner: HardNegativeMiner | None = None
    tensorboard: TensorBoardLog | None = None
    data_fingerprint: str = ""
    initial_card: ModelCard | None = None
    seconds: float = 0.0
    selection: ModelSelection = field(default_factory=ModelSelection)
    start: Start | None = None
    results: dict[int, ValidationResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._processes = self.learner.processes
        self._interval = IntervalSums()  # since the last row of the metrics
        self._smoothed_loss = math.nan
        self._start_time = self._checkpoint_time = time.monotonic()
        self._row_seconds = 0.0  # of the training, when the last row was written
        self._validation_end = 0.0  # seconds of the training, when the last validation ended
        self._validation_seconds = math.nan  # duration of the last validation
        self._mining_calls = 0
        self._is_step_complete = True  # with its validation and its row
        validated_px = 0.0 if self.validator is None else self.validator.pixels
        mined_px = 0.0 if self.miner is None else self.miner.pixels
        # training steps that take as long as a validation
        self._validation_steps = validation_cost(validated_px + mined_px, self.settings)

    @property
    def step(self) -> int:
        """Steps completed."""
        return self.learner.steps

    @property
    def is_stalled(self) -> bool:
        """True if the training ends because AP50 does not improve any more."""
        return self.selection.is_stalled(self.settings.patience)

    def run(self, progress: Progress) -> None:
        """Train until steps or minutes are over, or AP50 does not improve any more.

        Raises:
            DivergenceError: The loss is no longer finite.
            LostProcessError: Another process has ended; the checkpoint is written.
            KeyboardInterrupt: Likewise.
            OutputError: The checkpoint or the metrics cannot be written.
        """
        try:
            self._train(progress)
        except (KeyboardInterrupt, LostProcessError):
            with suppress(OutputError), hold_signals():  # the checkpoint before is intact
                self.save_checkpoint()
            raise
        with self._processes.fail_together():
            self.save_checkpoint()

    def _train(self, progress: Progress) -> None:
        self._measure_start(progress)
        self._checkpoint_time = time.monotonic()
        self._start_time = self._checkpoint_time - self.seconds
        if not self._is_step_complete:  # it was interrupted in its validation
            self._complete_step(progress)
        while not self._is_finished:
            hard_negatives = self.sampler.hard_negatives
            batches = prefetch(
                self.sampler,
                self.step,
                batch_size=self.settings.batch_size,
                processes=self._processes,
            )
            with closing(batches):  # prefetched chips are stale once hard negatives change
                while not self._is_finished and hard_negatives is self.sampler.hard_negatives:
                    self._train_step(batches)
                    self._complete_step(progress)

    def _measure_start(self, progress: Progress) -> None:
        """Validate the model that the training starts from, and write a checkpoint."""
        card = self.initial_card
        if card is None or self.validator is None or self.start is not None or self.step:
            return
        with self._processes.fail_together():
            if not self._processes.is_main:
                return
            weights = self.learner.weights()
            with phase("Validating the start"):
                result = self.validator.validate(weights)
            if result is None:
                return
            with hold_signals():
                self.start = Start.from_validation(result, card, weights)
                self.results = {self.step: result}
                self._write_row(result)
            ap50, ap30 = result.figures.values()
            announce(f"start: AP50 {ap50:.3f}, AP30 {ap30:.3f} ({card.name})")
            figures = {"step": self.step, "lr": self._lr} | result.figures
            progress(self._completed, self._total, **figures)
            self.save_checkpoint()

    def _train_step(self, batches: Iterator[list[Chip]]) -> None:
        """Make a step."""
        start = time.monotonic()
        with self._processes.fail_together():
            chips = next(batches)
        with hold_signals():
            losses = self.learner.train_step(chips, learning_rate(self._fraction))
            self._is_step_complete = False
            seconds = time.monotonic() - start
            self._interval.add(astuple(losses), seconds=seconds)
        loss = losses.total
        is_first = math.isnan(self._smoothed_loss)
        if is_first:
            of_steps = f" of {self._total}" if self.settings.minutes is None else ""
            announce(f"step {self.step}{of_steps}: loss {loss:.3f}")
        self._smoothed_loss = loss if is_first else 0.98 * self._smoothed_loss + 0.02 * loss

    def _complete_step(self, progress: Progress) -> None:
        """Validate, write metrics and a checkpoint if they are due after a step."""
        self.seconds = self._processes.broadcast(time.monotonic() - self._start_time)
        chips_per_s = self._interval.means(self.settings.batch_size)["chips_per_s"]
        is_validation_due = self._is_validation_due
        validation = self._validate() if is_validation_due else None
        result = None if validation is None else validation.result
        with self._processes.fail_together():
            with hold_signals():
                if validation is not None:
                    self._keep(validation)
                if result is not None or self._is_row_due:
                    self._write_row(result)
                self._is_step_complete = True
            figures = {} if math.isnan(self._smoothed_loss) else {"loss": self._smoothed_loss}
            figures |= {"step": self.step, "lr": self._lr, "chips_per_s": chips_per_s}
            if self.selection.validations:
                figures["best_ap50"] = self.selection.best_ap50
                figures["best_ap30"] = self.selection.best_ap30
            if result is not None:
                figures |= result.figures
            progress(self._completed, self._total, **figures)
            is_checkpoint_due = time.monotonic() - self._checkpoint_time > CHECKPOINT_SECONDS
            if is_validation_due or is_checkpoint_due:
                self.save_checkpoint()

    def _validate(self) -> _Validation:
        """Validate and mine hard negatives in the main process, for all of them."""
        start = time.monotonic()
        selection, result = self.selection, None
        negatives = self.sampler.hard_negatives
        with self._processes.fail_together():
            if self._processes.is_main:
                weights = self.learner.weights()
                if self.validator is not None:
                    with phase("Validating"):
                        result = self.validator.validate(weights)
                if result is not None:
                    ap50, ap30 = result.figures.values()
                    selection = selection.update(self.step, ap50, weights, ap30=ap30)
                    is_best = selection.best_step == self.step
                    announce(
                        f"step {self.step}: AP50 {ap50:.3f}, AP30 {ap30:.3f}"
                        f"{' (best so far)' if is_best else ''}"
                    )
                is_last = self._fraction >= 1 or selection.is_stalled(self.settings.patience)
                if self.miner is not None and not is_last:
                    with phase("Mining hard negatives"):
                        negatives = self.miner.mine(weights, negatives, call=self._mining_calls)
        end = time.monotonic()
        validation = _Validation(
            replace(selection, best_weights=None), negatives, end - start, end - self._start_time
        )
        shared = self._processes.broadcast(validation)
        if not self._processes.is_main:
            return shared
        return replace(shared, selection=selection, result=result)

    def _keep(self, validation: _Validation) -> None:
        """Take over what a validation has given."""
        self.selection = validation.selection
        self.sampler.hard_negatives = validation.hard_negatives
        self._validation_seconds, self._validation_end = validation.seconds, validation.end
        self._mining_calls += 1
        if validation.result is not None:
            kept_steps = (0, self.selection.best_step, self.step)
            results = self.results | {self.step: validation.result}
            self.results = {s: r for s, r in results.items() if s in kept_steps}

    @property
    def _is_validation_due(self) -> bool:
        if self.validator is None and self.miner is None:
            return False
        if self._fraction >= 1:
            return self.validator is not None
        if self.settings.val_every is not None:
            return self.step % self.settings.val_every == 0
        if self.settings.minutes is None:
            steps = max(1, math.ceil(validation_interval(self._validation_steps, self._total)))
            return self.step % steps == 0 and self._total - self.step >= steps / 2
        cost_s = self._validation_seconds  # before the first one, estimated from the steps so far
        if not math.isfinite(cost_s):
            cost_s = self._validation_steps * self.seconds / self.step
        interval_s = validation_interval(cost_s, self._total)
        has_time = self._total - self.seconds >= interval_s / 2
        return self.seconds - self._validation_end >= interval_s and has_time

    @property
    def _is_row_due(self) -> bool:
        if self._fraction >= 1:
            return True
        if self.settings.minutes is None:
            return self.step % min(MAX_ROW_STEPS, max(1, self._total // MAX_ROWS)) == 0
        return self.seconds - self._row_seconds >= min(MAX_ROW_SECONDS, self._total / MAX_ROWS)

    def _write_row(self, result: ValidationResult | None) -> None:
        row = {"step": self.step, "seconds": round(self.seconds, 1), "lr": self._lr}
        row |= self._interval.means(self.settings.batch_size)
        if result is not None:
            row |= {f"val_{n}": result.metrics.get(n, math.nan) for n in VALIDATION_METRICS}
        if self.folder is not None:
            self.folder.metrics.append(row)
        if self.tensorboard is not None:
            self.tensorboard.append(row)
        self._interval = IntervalSums()
        self._row_seconds = self.seconds

    def save_checkpoint(self) -> None:
        """Write the checkpoint atomically: the previous one is replaced by a complete file.

        Raises:
            OutputError: It cannot be written.
        """
        self._checkpoint_time = time.monotonic()
        if self.folder is None:
            return
        state = {
            "settings": self.settings.model_dump_json(),
            "data_fingerprint": self.data_fingerprint,
            "learner": self.learner.state(),
            "selection": self.selection.state(),
            "start": None if self.start is None else self.start.state(),
            "hard_negatives": [astuple(negative) for negative in self.sampler.hard_negatives],
            "seconds": self.seconds,
            "interval": vars(self._interval),
            "row_seconds": self._row_seconds,
            "validation_end": self._validation_end,
            "validation_seconds": self._validation_seconds,
            "mining_calls": self._mining_calls,
            "is_step_complete": self._is_step_complete,
        }
        write_state(self.folder.checkpoint, state)

    def resume(self) -> None:
        """Continue from the checkpoint.

        Raises:
            InputError: There is no checkpoint, it is damaged, or it is from a training with other
                settings or other data.
        """
        path = Path("the checkpoint") if self.folder is None else self.folder.checkpoint
        state: Mapping[str, Any] = {}
        with self._processes.fail_together():
            if self._processes.is_main:
                if self.folder is None:
                    raise InputError("there is no checkpoint; start without `resume`")
                state = read_state(path)
                settings, data = self.settings.model_dump_json(), self.data_fingerprint
                check_same_training(state, path, settings=settings, data_fingerprint=data)
        state = self._processes.broadcast(state)
        try:
            self.learner.restore(state["learner"])
            self.selection = ModelSelection.from_state(state["selection"])
            start = state["start"]
            self.start = None if start is None else Start.from_state(start)
            negatives = (HardNegative(*values) for values in state["hard_negatives"])
            self.sampler.hard_negatives = tuple(negatives)
            self.seconds, self._row_seconds = state["seconds"], state["row_seconds"]
            self._interval = IntervalSums(**state["interval"])
            self._validation_end = state["validation_end"]
            self._validation_seconds = state["validation_seconds"]
            self._mining_calls = state["mining_calls"]
            self._is_step_complete = state["is_step_complete"]
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{path} is of another network; were the classes of the labels changed? Start "
                f"without `resume`"
            ) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} cannot be read (it is from another version of geodetect); start without "
                f"`resume`"
            ) from error
        with self._processes.fail_together():
            if self.folder is not None:
                self.folder.remove_temporary_files()
                self.folder.metrics.truncate(self.step - (not self._is_step_complete))

    @property
    def _is_finished(self) -> bool:
        return self._fraction >= 1 or self.is_stalled

    @property
    def _fraction(self) -> float:
        """Fraction of the training that is completed, 0..1."""
        return min(1.0, self._completed / self._total)

    @property
    def _completed(self) -> int:
        """Steps completed, or seconds if the setting ``minutes`` limits the training."""
        return self.step if self.settings.minutes is None else round(self.seconds)

    @property
    def _total(self) -> int:
        """Steps of the whole training, or seconds likewise."""
        minutes = self.settings.minutes
        return self.settings.steps if minutes is None else max(1, round(minutes * 60))

    @property
    def _lr(self) -> float:
        return self.learner.lr * learning_rate(self._fraction)
