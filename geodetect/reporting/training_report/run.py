"""What a training left in its run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from geodetect.assessment.evaluate.metrics import ClassMetrics
from geodetect.assessment.evaluate.precision_recall import average_precision, precision_recall_curve
from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.errors import InputError
from geodetect.io.vector.features import Role, read_features
from geodetect.model.card import ModelCard
from geodetect.model.file import load_card
from geodetect.types import PathLike

HISTORY, VALIDATION, SPLIT, LABELS = (
    "metrics.csv",
    "validation.gpkg",
    "split.geojson",
    "labels.json",
)
BEST_MODEL = "best.safetensors"
ALL_CLASSES = "all classes"
IOU = 0.5  # of the matches in the file
COLUMNS = {
    "detections": ("class", "score", "correct", "raw_score", "raster"),
    "truth": ("class", "found_score", "raster"),
    "split": ("raster", "role", "area_m2", "objects"),
}


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A run folder, as far as it is filled.

    Args:
        folder: Where it is.
        card: The card of the model.
        history: One row per log entry: ``step`` and what was measured there.
        detections: Detections on held-out ground, the surest first, with ``correct``,
            ``raw_score``, ``source``.
        truth: Objects on held-out ground with ``found_score``, ``source``.
        split: Ground that was learned from and held out.
        labels: What the label check found.
    """

    folder: Path
    card: ModelCard | None
    history: pd.DataFrame | None
    detections: gpd.GeoDataFrame | None
    truth: gpd.GeoDataFrame | None
    split: gpd.GeoDataFrame | None
    labels: dict[str, Any] | None

    @property
    def conf(self) -> float:
        """The threshold of the model; without its card, that of the highest F1."""
        if self.card is not None:
            return self.card.conf
        figures = self.class_figures(threshold=1.0)
        return figures[-1].best_f1.score_threshold if figures else 1.0

    def class_figures(self, *, threshold: float | None = None) -> list[ClassMetrics]:
        """Figures of each class on held-out ground; last of all if there are several.

        Args:
            threshold: Score from which detections count; None: ``conf``.
        """
        if self.detections is None or self.truth is None:
            return []
        conf = self.conf if threshold is None else threshold
        names = sorted({*self.truth["class"], *self.detections["class"]})
        figures = [self._figures(name, conf) for name in names]
        if len(names) > 1:
            figures.append(self._figures(None, conf))
        return figures

    def _figures(self, name: str | None, conf: float) -> ClassMetrics:
        assert self.detections is not None
        assert self.truth is not None
        found, truth = self.detections, self.truth
        if name is not None:
            found, truth = found[found["class"] == name], truth[truth["class"] == name]
        correct = found["correct"].to_numpy(bool)
        truth_of = np.where(correct, 0, -1)  # which object it was plays no role here
        scores = found["score"].to_numpy(np.float64)
        matches = Matches(truth_of, np.zeros(len(found)), scores, len(truth), IOU)
        curve, ap = precision_recall_curve(matches), average_precision(matches)
        return ClassMetrics(
            class_name=ALL_CLASSES if name is None else name,
            n_predicted=len(found),
            n_truth=len(truth),
            ap=ap,
            ap50=ap,
            ap75=float("nan"),
            ap50_95=float("nan"),
            at_threshold=curve.at(conf),
            best_f1=curve.best_f1(),
            curve=curve,
        )


def read_run(folder: PathLike, model: PathLike | None = None) -> TrainingRun:
    """Read what is there of a run folder.

    Args:
        folder: The run folder.
        model: File of the model; None: ``best.safetensors`` or the latest one in the folder, else
            the one beside it that the folder is named after.

    Raises:
        InputError: There is no such folder, or a file in it is damaged.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; expected the run folder of a training")
    file = model if model is not None else model_file(path)
    detections, truth = (_layer(path / VALIDATION, name) for name in ("detections", "truth"))
    if detections is not None:
        detections = detections.sort_values("score", ascending=False, kind="stable")
        detections = detections.reset_index(drop=True)
    return TrainingRun(
        path,
        None if file is None else load_card(file),
        _history(path / HISTORY),
        detections,
        truth,
        _layer(path / SPLIT, "split"),
        _labels(path / LABELS),
    )


def model_file(folder: Path) -> Path | None:
    """The model of a run folder such as ``NAME_run``: in it, or ``NAME.safetensors`` beside it."""
    inside = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
    if inside:
        return folder / BEST_MODEL if (folder / BEST_MODEL) in inside else inside[-1]
    beside = folder.resolve().parent.glob("*.safetensors")
    name = folder.resolve().name
    named = [f for f in beside if f.stem == name or name.startswith((f"{f.stem}_", f"{f.stem}."))]
    return max(named, key=lambda f: len(f.stem), default=None)


def _layer(path: Path, name: str) -> gpd.GeoDataFrame | None:
    if not path.exists():
        return None
    source = f"{path}|layername={name}" if path.suffix == ".gpkg" else path
    table = read_features(source, Role(f"the {name}", ""))
    lacking = [column for column in COLUMNS[name] if column not in table]
    if lacking:
        raise InputError(f"{path}: the layer {name} has no column {lacking[0]!r}")
    return table if "source" in table else table.assign(source=table["raster"])


def _history(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path)
        numbers = table.apply(pd.to_numeric, errors="coerce")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a table of numbers ({error})") from error
    if "step" not in numbers:
        raise InputError(f"{path} has no column 'step'; found {', '.join(map(str, numbers))}")
    return numbers[numbers["step"].notna()].sort_values("step", kind="stable")


def _labels(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no JSON ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no report of a label check")
    return values
