"""Run folder of a training: metrics, split, label check and checkpoint."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
from filelock import FileLock, Timeout

from geodetect.errors import GeodetectWarning, InputError, OutputError, short_repr
from geodetect.io.atomic import (
    PREFIX,
    SUFFIX,
    acquire_lock,
    check_folder,
    final_path,
    release_lock,
    staging_folder,
    write_atomically,
)
from geodetect.io.inputs import check_output
from geodetect.io.vector.read import LayerSource
from geodetect.json_text import finite
from geodetect.settings import TrainSettings
from geodetect.settings.toml import to_toml

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.csv"
SPLIT = "split.geojson"
LABELS = "labels.json"
SETTINGS = "settings.toml"
VALIDATION = "validation.gpkg"
SUMMARY = "summary.json"
LOSSES = ("class_loss", "box_loss", "outline_loss")
TRAINING_COLUMNS = ("step", "seconds", "lr", "loss", *LOSSES, "chips_per_s")
VALIDATION_METRICS = ("ap50", "ap30", "f1", "precision", "recall")
COLUMNS = (*TRAINING_COLUMNS, *(f"val_{name}" for name in VALIDATION_METRICS))
HEADER = ",".join(COLUMNS) + "\n"
COMPLETE_ROW = re.compile(r"(?P<step>\d+),.*\n")
PAGE_FILES = (  # that ``geodetect.reporting.training_report`` adds
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
# files of an earlier training, which a new one removes; all others stay
TRAINING_FILES = (CHECKPOINT, METRICS, SPLIT, LABELS, SETTINGS, VALIDATION, SUMMARY, TENSORBOARD)
DIGITS = 6


class MetricsLog:
    """Metrics of a training, as a CSV file that grows by a row every few seconds.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Create the file with its header."""
        with _output_errors(self.path):
            self.path.write_text(HEADER, encoding="utf-8")

    def append(self, row: Mapping[str, float]) -> None:
        """Append a row; columns that are missing or not finite stay empty.

        Raises:
            OutputError: The file cannot be written.
        """
        values = []
        for name in COLUMNS:
            value = row.get(name, math.nan)
            text = str(value) if isinstance(value, int) else f"{value:.{DIGITS}g}"
            values.append(text if math.isfinite(value) else "")
        with _output_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(",".join(values) + "\n")

    def truncate(self, step: int) -> None:
        """Drop the rows of later steps, which a resumed training will write again.

        Raises:
            OutputError: The file cannot be written.
        """
        with _output_errors(self.path):
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
            rows = [COMPLETE_ROW.fullmatch(line) for line in lines]
            text = HEADER + "".join(row[0] for row in rows if row and int(row["step"]) <= step)
            with write_atomically(self.path, overwrite=True) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def rows(self) -> list[dict[str, float]]:
        """Read all rows, with NaN for empty columns."""
        with self.path.open(newline="", encoding="utf-8") as file:
            return [
                {name: float(value) if value else math.nan for name, value in row.items()}
                for row in csv.DictReader(file)
            ]


@dataclass
class IntervalSums:
    """Sums over the steps since the last row of the metrics.

    Args:
        steps: Number of steps.
        losses: Sum of each of their ``LOSSES``.
        seconds: Sum of their durations.
    """

    steps: int = 0
    losses: tuple[float, ...] = (0.0,) * len(LOSSES)
    seconds: float = 0.0

    def add(self, losses: Sequence[float], *, seconds: float) -> None:
        """Add the ``LOSSES`` of a step."""
        self.steps += 1
        self.losses = tuple(a + b for a, b in zip(self.losses, losses, strict=True))
        self.seconds += seconds

    def means(self, batch_size: int) -> dict[str, float]:
        """Return means as columns of the metrics; nothing before the first step.

        A loss that is 0 throughout, as that of outlines without an outline head, is left out.
        """
        if not self.steps:
            return {}
        means = [loss / self.steps for loss in self.losses]
        return {
            "loss": sum(means),
            **{name: mean for name, mean in zip(LOSSES, means, strict=True) if mean},
            "chips_per_s": self.steps * batch_size / max(self.seconds, 1e-9),
        }


@dataclass(frozen=True)
class RunFolder:
    """Folder of one training.

    Args:
        path: The folder.
    """

    path: Path

    @classmethod
    def from_model_path(cls, path: Path) -> RunFolder:
        """Return the default run folder of a model file, beside it."""
        return cls(path.parent / f"{path.stem}_run")

    @property
    def checkpoint(self) -> Path:
        """Checkpoint file."""
        return self.path / CHECKPOINT

    @property
    def metrics(self) -> MetricsLog:
        """Metrics file."""
        return MetricsLog(self.path / METRICS)

    def check(self, *, resume: bool, overwrite: bool) -> bool:
        """Check that a training can use the folder, and that no files get lost.

        Args:
            resume: Continue from the checkpoint. Without one, a training that was killed before
                its first checkpoint starts over, with a ``GeodetectWarning``.
            overwrite: Replace the files of an earlier training.

        Returns:
            True if there is a checkpoint to continue from.

        Raises:
            OutputError: The folder cannot be created, or holds files.
        """
        if resume and self.checkpoint.is_file():
            return True
        check_folder(final_path(self.path))
        check_output(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is no folder; choose another `run_dir`")
        is_free = overwrite or not self.path.exists() or not any(self.path.iterdir())
        if resume and (is_free or self._is_before_first_checkpoint):
            warnings.warn(
                f"there is no checkpoint {self.checkpoint} to `resume` from: the training starts "
                f"from the beginning",
                GeodetectWarning,
                stacklevel=3,
            )
            return False
        if is_free:
            return False
        if self.checkpoint.exists() or self._is_before_first_checkpoint:
            raise OutputError(
                f"{self.path} holds a training that is not finished; set `resume` to continue it, "
                f"or `overwrite` to start again"
            )
        raise OutputError(
            f"the run folder {self.path} already holds files; set `overwrite` to replace those of "
            f"an earlier training, or choose another `run_dir`"
        )

    @property
    def _is_before_first_checkpoint(self) -> bool:
        """True for the folder of a training that was killed before its first checkpoint."""
        later_files = (CHECKPOINT, VALIDATION, SUMMARY, *PAGE_FILES)
        has_begun = all((self.path / name).is_file() for name in (METRICS, SETTINGS))
        return has_begun and not any((self.path / name).exists() for name in later_files)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder against other trainings during a ``with`` block.

        Raises:
            InputError: Another training is using it.
            OutputError: The lock file beside it cannot be created.
        """
        lock = FileLock(self.path.with_name(f"{self.path.name}.lock"), blocking=False)
        with _output_errors(Path(lock.lock_file)):
            try:
                acquire_lock(lock)
            except Timeout as error:
                raise InputError(
                    f"{self.path} is in use by another training; wait for it, or choose another "
                    f"`run_dir`"
                ) from error
        try:
            yield
        finally:
            release_lock(lock)

    def remove_temporary_files(self) -> None:
        """Remove incomplete files of a process that was killed."""
        for path in self.path.glob(f"{PREFIX}*{SUFFIX}"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def create(self) -> Iterator[Path]:
        """Yield a temporary folder to fill, which becomes the run folder when the block succeeds.

        Files of an earlier training in the run folder are removed, others stay.

        Raises:
            OutputError: The folder cannot be created.
        """
        with _output_errors(self.path), staging_folder(self.path) as staging:
            temporary = staging / self.path.name
            temporary.mkdir()
            yield temporary
            if not self.path.exists():
                temporary.rename(self.path)
                return
            if self.metrics.path.exists():  # else they are not of a training
                for file in [
                    file for name in (*TRAINING_FILES, *PAGE_FILES) for file in self.path.glob(name)
                ]:
                    file.unlink(missing_ok=True)
            for file in temporary.iterdir():
                file.replace(self.path / file.name)


def write_settings(
    path: Path, settings: TrainSettings, **sources: LayerSource | Sequence[LayerSource]
) -> None:
    """Write what repeats a training as TOML.

    Args:
        path: File to write.
        settings: Settings of the training.
        sources: Its rasters and labels.
    """
    values: dict[str, Any] = {
        name: [
            short_repr(item) if isinstance(item, gpd.GeoDataFrame) else str(item)
            for item in (value if isinstance(value, list | tuple) else [value])
        ]
        for name, value in sources.items()
    }
    with _output_errors(path):
        path.write_text(to_toml(values | settings.stated_values()), encoding="utf-8")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON."""
    with _output_errors(path):
        text = json.dumps(finite(values), indent=2, ensure_ascii=False, allow_nan=False)
        path.write_text(text, encoding="utf-8")


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    """Translate ``OSError`` to ``OutputError``."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from error
