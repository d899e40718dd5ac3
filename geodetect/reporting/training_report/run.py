"""Run folder of a training, as far as its files exist."""

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
from geodetect.errors import InputError, list_names
from geodetect.io.vector.read import LayerRole, read_layer
from geodetect.model.card import ModelCard
from geodetect.model.file import load_card
from geodetect.reporting.drawing.layers import PIXEL_CRS
from geodetect.types import PathLike

BEST_MODEL = "best.safetensors"
ALL_CLASSES = "all classes"
IOU = 0.5  # of the matches in validation.gpkg
COLUMNS = {
    "detections": ("class", "score", "tp", "raw_score", "raster"),
    "truth": ("class", "matched_score", "raster"),
    "split": ("raster", "role", "area_m2", "objects"),
}


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """Content of a run folder; None for files that do not exist.

    Args:
        folder: The run folder.
        card: The card of the model.
        log: ``metrics.csv``: one row per log entry, with ``step`` and the values at that step.
        detections: Detections on the holdout in descending order of their scores, with
            ``tp``, ``raw_score``, ``source``.
        truth: Objects of the ground truth on the holdout, with ``matched_score``, ``source``.
        split: Areas of training and holdout.
        labels: Report of the label check.
    """

    folder: Path
    card: ModelCard | None
    log: pd.DataFrame | None
    detections: gpd.GeoDataFrame | None
    truth: gpd.GeoDataFrame | None
    split: gpd.GeoDataFrame | None
    labels: dict[str, Any] | None

    @property
    def name(self) -> str:
        """Name of the model or, without its card, of the folder."""
        return self.card.name if self.card is not None else self.folder.resolve().name

    @property
    def score_threshold(self) -> float:
        """Score threshold of the model or, without its card, that of the highest F1."""
        if self.card is not None:
            return self.card.conf
        metrics = self.class_metrics(score_threshold=1.0)
        return metrics[-1].best_f1.score_threshold if metrics else 1.0

    def class_metrics(self, *, score_threshold: float | None = None) -> list[ClassMetrics]:
        """Compute the metrics of each class on the holdout, and last of all if there are several.

        Args:
            score_threshold: Of the counts; None: that of the model.
        """
        if self.detections is None or self.truth is None:
            return []
        threshold = self.score_threshold if score_threshold is None else score_threshold
        names = sorted({*self.truth["class"], *self.detections["class"]})
        classes = {name: [name] for name in names}
        if len(names) > 1:
            classes[ALL_CLASSES] = names
        metrics = []
        for class_name, members in classes.items():
            detections = self.detections[self.detections["class"].isin(members)]
            n_truth = int(self.truth["class"].isin(members).sum())
            # precision and recall depend on whether a detection matches an object, not on which one
            truth_rows = np.where(detections["tp"].to_numpy(bool), 0, -1)
            scores = detections["score"].to_numpy(np.float64)
            matches = Matches(truth_rows, np.zeros(len(detections)), scores, n_truth, IOU)
            curve, ap = precision_recall_curve(matches), average_precision(matches)
            metrics.append(
                ClassMetrics(
                    class_name=class_name,
                    n_predicted=len(detections),
                    n_truth=n_truth,
                    ap=ap,
                    ap50=ap,
                    ap75=float("nan"),
                    ap50_95=float("nan"),
                    at_threshold=curve.at(threshold),
                    best_f1=curve.best_f1(),
                    curve=curve,
                )
            )
        return metrics


def read_run(folder: PathLike, model: PathLike | None = None) -> TrainingRun:
    """Read a run folder.

    Args:
        folder: The run folder.
        model: The model file; None: ``best.safetensors`` or the latest one in the folder, else the
            one beside it that has the name of the folder.

    Raises:
        InputError: There is no such folder, or a file in it is damaged.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; expected the run folder of a training")
    file = model if model is not None else find_model(path)
    split = _read_layer(path / "split.geojson", "split")
    # of images without georeference the split has no geometries, and the objects are in pixels
    in_pixels = split is not None and len(split) > 0 and bool(split.geometry.isna().all())
    detections, truth = (
        _read_layer(path / "validation.gpkg", name, in_pixels=in_pixels)
        for name in ("detections", "truth")
    )
    if detections is not None:
        detections = detections.sort_values("score", ascending=False, kind="stable")
        detections = detections.reset_index(drop=True)
    return TrainingRun(
        path,
        None if file is None else load_card(file),
        _read_log(path / "metrics.csv"),
        detections,
        truth,
        split,
        _read_labels(path / "labels.json"),
    )


def find_model(folder: Path) -> Path | None:
    """Return the model of a run folder ``NAME_run``: in it, or ``NAME.safetensors`` beside it."""
    inside = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
    if inside:
        return folder / BEST_MODEL if (folder / BEST_MODEL) in inside else inside[-1]
    beside = folder.resolve().parent.glob("*.safetensors")
    name = folder.resolve().name
    candidates = [
        f for f in beside if f.stem == name or name.startswith((f"{f.stem}_", f"{f.stem}."))
    ]
    return max(candidates, key=lambda f: len(f.stem), default=None)


def _read_layer(path: Path, name: str, *, in_pixels: bool = False) -> gpd.GeoDataFrame | None:
    if not path.exists():
        return None
    source = f"{path}|layername={name}" if path.suffix == ".gpkg" else path
    table = read_layer(source, LayerRole(f"the {name}"), crs=PIXEL_CRS if in_pixels else None)
    if in_pixels:
        table = table.set_crs(None, allow_override=True)
    missing = [column for column in COLUMNS[name] if column not in table]
    if missing:
        raise InputError(f"{path}: the layer {name} has no column {missing[0]!r}")
    return table if "source" in table else table.assign(source=table["raster"])


def _read_log(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path)
        numbers = table.apply(pd.to_numeric, errors="coerce")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a table of numbers ({error})") from error
    if "step" not in numbers:
        raise InputError(f"{path} has no column 'step'; found {list_names(numbers)}")
    return numbers[numbers["step"].notna()].sort_values("step", kind="stable")


def _read_labels(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no JSON ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no report of a label check")
    return values
