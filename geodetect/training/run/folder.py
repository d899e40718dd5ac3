"""The folder of a training: what it learns from, how it goes, and where it goes on."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from geodetect.errors import InputError, OutputError
from geodetect.io.atomic import PREFIX, SUFFIX, check_folder, release, write_atomically
from geodetect.settings import TrainSettings
from geodetect.settings.toml import to_toml
from geodetect.types import PathLike

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.csv"
SPLIT = "split.geojson"
LABELS = "labels.json"
SETTINGS = "settings.toml"
COLUMNS = (
    "step",
    "seconds",
    "lr",
    "loss",
    "class_loss",
    "box_loss",
    "chips_per_s",
    "val_ap50",
    "val_f1",
    "val_precision",
    "val_recall",
)
PAGE_FILES = (  # that ``reporting.training_page`` adds
    "index.html",
    "loss.png",
    "validation.png",
    "precision-recall.png",
    "f1.png",
    "reliability.png",
    "false-negatives.png",
    "false-positives.png",
)
TENSORBOARD = "events.out.tfevents.*"
# what a new training in place of another removes; all else in a folder stays
OWN_FILES = (
    CHECKPOINT,
    METRICS,
    SPLIT,
    LABELS,
    SETTINGS,
    "validation.gpkg",
    TENSORBOARD,
    *PAGE_FILES,
)
DIGITS = 6


class MetricsLog:
    """How a training goes, as a CSV file that grows by a row every few seconds.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self) -> None:
        """Make the file with its header."""
        with _writes(self.path):
            self.path.write_text(_line(COLUMNS), encoding="utf-8")

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row; columns that are missing or no number stay empty.

        Raises:
            OutputError: It cannot be written.
        """
        values = [_text(row.get(name, math.nan)) for name in COLUMNS]
        with _writes(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(_line(values))

    def cut(self, step: int) -> None:
        """Drop the rows of later steps, which a training that goes on will write again.

        Raises:
            OutputError: It cannot be written.
        """
        with _writes(self.path):
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
            kept = [line for line in lines if line.endswith("\n") and _step(line) <= step]
            with write_atomically(self.path, overwrite=True) as temporary:
                temporary.write_text(_line(COLUMNS) + "".join(kept), encoding="utf-8")

    def rows(self) -> list[dict[str, float]]:
        """All rows, with NaN for what is empty."""
        with self.path.open(newline="", encoding="utf-8") as file:
            return [
                {name: float(value) if value else math.nan for name, value in row.items()}
                for row in csv.DictReader(file)
            ]


@dataclass
class Window:
    """Sums since the last row of the metrics."""

    steps: int = 0
    class_loss: float = 0.0
    box_loss: float = 0.0
    seconds: float = 0.0

    def add(self, class_loss: float, box_loss: float, *, seconds: float) -> None:
        """Count a step."""
        self.steps += 1
        self.class_loss += class_loss
        self.box_loss += box_loss
        self.seconds += seconds

    def figures(self, batch_size: int) -> dict[str, float]:
        """Means as columns of the metrics; nothing before the first step."""
        if not self.steps:
            return {}
        classes, boxes = self.class_loss / self.steps, self.box_loss / self.steps
        speed = self.steps * batch_size / max(self.seconds, 1e-9)
        return {
            "loss": classes + boxes, "class_loss": classes, "box_loss": boxes, "chips_per_s": speed
        }  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training.

    Args:
        path: The folder.
    """

    path: Path

    @classmethod
    def beside(cls, output: Path) -> RunFolder:
        """The usual folder of the training of a model file."""
        return cls(output.with_name(f"{output.stem}_run"))

    @property
    def checkpoint(self) -> Path:
        """Where the training goes on."""
        return self.path / CHECKPOINT

    @property
    def metrics(self) -> MetricsLog:
        """How it goes."""
        return MetricsLog(self.path / METRICS)

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """See whether a training can use the folder, and loses nothing by it.

        Raises:
            InputError: There is nothing to go on from.
            OutputError: The folder cannot be made, or holds something.
        """
        if resume:
            if not self.checkpoint.is_file():
                raise InputError(
                    f"--resume: there is no checkpoint {self.checkpoint}; start without --resume"
                )
            return
        check_folder(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is no folder; choose another --run-dir")
        if overwrite or not self.path.exists() or not any(self.path.iterdir()):
            return
        if self.checkpoint.exists():
            raise OutputError(
                f"{self.path} holds a training that is not finished; go on from it with --resume, "
                f"or start again with --overwrite"
            )
        raise OutputError(
            f"the run folder {self.path} already holds files; replace those of an earlier training "
            f"with --overwrite, or choose another --run-dir"
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other trainings from the folder while the block lasts.

        Raises:
            InputError: Another training is using it.
            OutputError: No lock can be made beside it.
        """
        lock = FileLock(self.path.with_name(f"{self.path.name}.lock"), blocking=False)
        with _writes(Path(lock.lock_file)):
            try:
                lock.acquire()
            except Timeout as error:
                raise InputError(
                    f"{self.path} is in use by another training; wait for it, or choose another "
                    f"--run-dir"
                ) from error
        try:
            yield
        finally:
            release(lock)

    def tidy(self) -> None:
        """Remove what a process that was killed had only begun to write."""
        for begun in self.path.glob(f"{PREFIX}*{SUFFIX}"):
            shutil.rmtree(begun, ignore_errors=True)

    @contextmanager
    def made(self) -> Iterator[Path]:
        """A folder to fill, which becomes the run folder when the block ends well.

        Files of an earlier training in the run folder are removed, others stay.

        Raises:
            OutputError: It cannot be made.
        """
        temporary = self.path.with_name(f"{PREFIX}{uuid4().hex}{SUFFIX}")
        try:
            with _writes(self.path):
                temporary.mkdir()
                yield temporary
                self._take(temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _take(self, temporary: Path) -> None:
        if not self.path.exists():
            temporary.rename(self.path)
            return
        if self.metrics.path.exists():  # else they are not of a training
            for file in [file for name in OWN_FILES for file in self.path.glob(name)]:
                file.unlink(missing_ok=True)
        for file in temporary.iterdir():
            file.replace(self.path / file.name)


def write_settings(
    path: Path, settings: TrainSettings, **sources: PathLike | Sequence[PathLike]
) -> None:
    """Write what repeats a training as TOML.

    Args:
        path: The file.
        settings: Settings of the training.
        sources: Its rasters and labels.
    """
    values: dict[str, Any] = {
        name: [str(paths)] if isinstance(paths, str | os.PathLike) else list(map(str, paths))
        for name, paths in sources.items()
    }
    with _writes(path):
        path.write_text(to_toml(values | settings.stated_values()), encoding="utf-8")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Plain values as JSON."""
    with _writes(path):
        path.write_text(json.dumps(values, indent=2, ensure_ascii=False), encoding="utf-8")


@contextmanager
def _writes(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from error


def _line(values: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _text(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.{DIGITS}g}" if math.isfinite(value) else ""


def _step(line: str) -> float:
    """The step of a row; a row that is none belongs to no step that was reached."""
    try:
        return float(line.partition(",")[0])
    except ValueError:
        return math.inf
