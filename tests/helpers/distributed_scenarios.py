"""Scenarios of two processes that train together, for ``tests/training/test_distributed.py``.

Each process is started with a folder as its argument and writes ``RANK.json`` there: the result of
each scenario in this process.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from geodetect.errors import GeodetectError, OutputError, RasterError
from geodetect.progress import Progress, no_progress
from geodetect.training import loop as loop_module
from geodetect.training import lr_finder
from geodetect.training.data.chip_sampler import Chip, crop_target
from geodetect.training.data.prefetch import draw_batch
from geodetect.training.distributed import Processes, join_processes
from geodetect.training.learner import Learner
from geodetect.training.loop import TrainingLoop
from tests.helpers.square_scenes import SQUARE_PX, squares_image
from tests.helpers.training_loops import (
    CARD,
    CHIP_PX,
    ScriptedMiner,
    ScriptedValidator,
    SquareChips,
    loop_weights,
    new_learner,
    new_loop,
)

COUNTS = (3, 0, 1, 2, 0)  # squares on a chip
OPTIONS = {"val_every": 2, "steps": 5, "batch_size": 3}
Found = dict[str, object]


class UnevenChips:
    """Chips with different numbers of squares."""

    def __getitem__(self, number: int) -> Chip:
        rng = np.random.default_rng(number)
        places = rng.permutation(9)[: COUNTS[number % len(COUNTS)]]
        corners = [(int(p % 3) * 20 + 3, int(p // 3) * 20 + 1) for p in places]
        boxes = np.array([[x, y, x + SQUARE_PX, y + SQUARE_PX] for x, y in corners], np.float64)
        target = crop_target(
            boxes.reshape(-1, 4),
            np.zeros(len(boxes), np.int64),
            np.array([0.0, 0, CHIP_PX, CHIP_PX]),
        )
        return Chip(squares_image(CHIP_PX, corners), np.ones((CHIP_PX, CHIP_PX), bool), target)


def bits(loop: TrainingLoop) -> str:
    """A checksum of all weights."""
    digest = hashlib.sha256()
    for name, value in sorted(loop_weights(loop).items()):
        if not name.startswith("best."):
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def outcome(loop: TrainingLoop, run: Callable[[], None]) -> Found:
    try:
        run()
        error = ""
    except GeodetectError as problem:
        error = f"{type(problem).__name__}: {problem}"
    return {"error": error, "step": loop.step, "bits": bits(loop)}


def gradients(learner: Learner) -> torch.Tensor:
    tensors = [p.grad.reshape(-1) for p in learner.network.parameters() if p.grad is not None]
    return torch.cat(tensors).clone()


def one_step(processes: Processes, batch_size: int) -> tuple[torch.Tensor, list[float]]:
    """Gradients and losses of a step."""
    torch.manual_seed(0)
    learner = new_learner(new_loop().settings, processes=processes, in_bf16=False)
    chips = draw_batch(UnevenChips(), 0, batch_size=batch_size, processes=processes)  # type: ignore[arg-type]
    losses = learner.train_step(chips, 1.0)
    return gradients(learner), [losses.class_loss, losses.box_loss]


def steps_in_single_precision(processes: Processes, folder: Path) -> Found:
    """Difference between a step of two processes and one of a single process, with unlike chips."""
    results: Found = {}
    for batch_size in (2, 5):  # of two chips the second has no object
        (alone, losses), (both, shared) = (
            one_step(group, batch_size) for group in (Processes(device="cpu"), processes)
        )
        results[f"gradient {batch_size}"] = float((alone - both).abs().max() / alone.abs().max())
        results[f"loss {batch_size}"] = float(np.abs(np.subtract(losses, shared)).max())
    return results


def several_steps(processes: Processes, folder: Path) -> Found:
    """A whole training, with measurements and mining by the first process alone."""
    validator, calls = ScriptedValidator(0.5, 0.3, 0.4), []
    run_folder = folder / "whole" if processes.is_main else None
    loop = new_loop(run_folder, validator, ScriptedMiner(), processes=processes, **OPTIONS)
    result = outcome(
        loop, lambda: loop.run(lambda completed, total, /, **_: calls.append(completed))
    )
    return result | {
        "measured": validator.count,
        "calls": calls,
        "best_step": loop.selection.best_step,
        "negatives": [place.x for place in loop.sampler.hard_negatives],
    }


def cut_off_and_resumed(processes: Processes, folder: Path) -> Found:
    """The same training, cut off by a full disk that only the first process sees."""

    def fill(completed: int, total: int, /, **figures: float) -> None:
        if completed == 4:
            raise OutputError("the disk is full")

    progress: Progress = fill if processes.is_main else no_progress
    run_folder = folder / "cut" if processes.is_main else None
    options = {"processes": processes, **OPTIONS}
    with mock.patch.object(loop_module, "CHECKPOINT_SECONDS", 0.0):
        loop = new_loop(run_folder, ScriptedValidator(0.5, 0.3, 0.4), ScriptedMiner(), **options)
        first = outcome(loop, lambda: loop.run(progress))
    again = new_loop(run_folder, ScriptedValidator(0.3, 0.4), ScriptedMiner(), **options)
    again.resume()
    since = again.step
    return outcome(again, lambda: again.run(no_progress)) | {"cut": first["error"], "since": since}


def out_of_patience(processes: Processes, folder: Path) -> Found:
    loop = new_loop(
        None, ScriptedValidator(0.5, 0.3), processes=processes, val_every=1, steps=40, patience=2
    )
    return outcome(loop, lambda: loop.run(no_progress))


def by_the_clock(processes: Processes, folder: Path) -> Found:
    """Minutes, while the clock of the second process stands still."""
    loop = new_loop(None, ScriptedValidator(0.5), processes=processes, steps=10**6, minutes=0.02)
    if processes.is_main:
        return outcome(loop, lambda: loop.run(no_progress))
    with mock.patch.object(loop_module.time, "monotonic", return_value=0.0):
        return outcome(loop, lambda: loop.run(no_progress))


def damaged_for_one(processes: Processes, folder: Path) -> Found:
    """Chips that the second process cannot read."""

    class Damaged(SquareChips):
        def __getitem__(self, number: int) -> Chip:
            if number >= 5 and not processes.is_main:
                raise RasterError(f"chip {number} cannot be read")
            return super().__getitem__(number)

    loop = new_loop(None, processes=processes, steps=9)
    loop.sampler = Damaged()  # type: ignore[assignment]
    return outcome(loop, lambda: loop.run(no_progress))


def diverging(processes: Processes, folder: Path) -> Found:
    """A loss that is no number in the second process only."""
    loop = new_loop(None, processes=processes)
    if not processes.is_main:
        loop.learner.network.classification.output.weight.data.mul_(float("inf"))
    result = outcome(loop, lambda: loop.run(no_progress))
    return result | {"bits": ""}


def range_test(processes: Processes, folder: Path) -> Found:
    """A learning rate that all find."""
    torch.manual_seed(0)
    settings = new_loop().settings
    network, chips = new_learner(settings).network, SquareChips()
    with mock.patch.object(lr_finder, "STEPS", 6):
        result = lr_finder.run_range_test(network, CARD, chips, settings, processes=processes)  # type: ignore[arg-type]
    return {"losses": result.losses.tolist(), "lr": result.lr}


def left_alone(processes: Processes, folder: Path) -> Found:
    """The second process ends without a word."""
    if not processes.is_main:
        os._exit(0)
    try:
        processes.all_gather(1)
    except GeodetectError as problem:
        return {"error": f"{type(problem).__name__}: {problem}"}
    return {"error": ""}


SCENARIOS = (
    steps_in_single_precision,
    several_steps,
    cut_off_and_resumed,
    out_of_patience,
    by_the_clock,
    damaged_for_one,
    diverging,
    range_test,
    left_alone,
)


def main(folder: Path) -> None:
    results: dict[str, Found] = {}
    with join_processes("cpu") as processes:
        for scenario in SCENARIOS:
            (folder / f"{processes.rank}.json").write_text(json.dumps(results))
            results[scenario.__name__] = scenario(processes, folder)
        (folder / f"{processes.rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
