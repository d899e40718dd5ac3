"""How well a layer of detections agrees with a layer of truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from geodetect.assessment.curves import (
    OperatingPoint,
    PrecisionRecallCurve,
    average_precision,
    precision_recall_curve,
)
from geodetect.assessment.matching import Matches, match_boxes_at
from geodetect.errors import AnnotationError, GeoreferenceError
from geodetect.geo.bounds import densified, projected_bounds
from geodetect.geo.reproject import reproject

__all__ = [
    "COCO_IOUS",
    "ClassMetrics",
    "DetectionMetrics",
    "OperatingPoint",
    "PrecisionRecallCurve",
    "average_precision",
    "evaluate_tables",
    "precision_recall_curve",
]

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Objects = NDArray[np.object_]

COCO_IOUS = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))
EVERY_CLASS = "all"


@dataclass(frozen=True)
class ClassMetrics:
    """How well one class is detected.

    Args:
        class_name: Name of the class.
        n_predicted: Number of detections.
        n_truth: Number of objects.
        ap50: Average precision at an IoU of 0.5; NaN without objects.
        ap50_95: Mean of the average precisions at 0.50, 0.55, ... 0.95; NaN without objects.
        at_threshold: Counts at the score threshold asked for; at ``best_f1``'s if none was.
        best_f1: Counts at the score threshold with the highest F1.
    """

    class_name: str
    n_predicted: int
    n_truth: int
    ap50: float
    ap50_95: float
    at_threshold: OperatingPoint
    best_f1: OperatingPoint


@dataclass(frozen=True)
class DetectionMetrics:
    """How well detections agree with truth.

    Args:
        classes: Metrics by class, in alphabetical order; one entry if classes were ignored.
        overall: All detections together, matched within their classes.
        mean_ap50: Mean of ``ap50`` over the classes that have objects.
        mean_ap50_95: Mean of ``ap50_95`` over the classes that have objects.
        iou: Least IoU of a match in operating points and in ``truth_of``.
        truth_of: ``int64[N]`` for each row of the predictions the row of the truth it matches;
            -1 for a false alarm, -2 for a row outside the area.
        truth_inside: ``bool[M]`` which rows of the truth are inside the area.
    """

    classes: tuple[ClassMetrics, ...]
    overall: ClassMetrics
    mean_ap50: float
    mean_ap50_95: float
    iou: float
    truth_of: Int
    truth_inside: Bool


def evaluate_tables(
    predicted: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    *,
    iou: float = 0.5,
    conf: float | None = None,
    area: shapely.Geometry | None = None,
    area_crs: str | None = None,
    by_class: bool | None = None,
) -> DetectionMetrics:
    """Compare two layers by the bounding boxes of their geometries.

    Boxes are compared in the CRS of the predictions; write predictions in the CRS of their raster
    for the sharpest comparison, because boxes that are turned against it come out larger.

    Classes are compared (by name, whatever its case) if the layers share a name and together have
    several. If they share none, as "object" and "pool", classes are ignored, unless both layers
    have several: that is an error. A layer without a column ``class`` has one class. Average
    precision always uses all detections, whatever ``conf``.

    Args:
        predicted: Detections: geometry and, if present, ``score`` (else all are equally sure) and
            ``class``.
        truth: Objects: geometry and, if present, ``class``.
        iou: Least IoU of a match in counts.
        conf: Score threshold of the counts; None: the one with the highest F1.
        area: Count only what has the centre of its box in or on this polygon.
        area_crs: WKT of the area's CRS; None: that of the predictions.
        by_class: Compare classes, or ignore them; None: by the rule above.

    Raises:
        AnnotationError: A geometry has no extent, or the layers share none of their classes.
        GeoreferenceError: Only one of the layers has a CRS.
    """
    wkt = _common_crs(predicted, truth)
    if area is not None and area_crs is not None and wkt is not None:
        area = reproject(densified(np.array([area]), area_crs), area_crs, wkt)[0]
    found = _Side.of(predicted, "predictions", wkt=wkt, area=area)
    wanted = _Side.of(truth, "truth", wkt=wkt, area=area)
    groups = _groups(found, wanted, by_class)
    ious = (*COCO_IOUS, iou)
    matches = [
        match_boxes_at(found.boxes[p], found.scores[p], wanted.boxes[t], ious=ious)
        for p, t in groups.values()
    ]
    pooled = _pooled(list(groups.values()), matches, found.scores, n_truth=len(wanted.boxes))
    classes = tuple(
        _class_metrics(name, of_class, conf) for name, of_class in zip(groups, matches, strict=True)
    )
    return DetectionMetrics(
        classes,
        _class_metrics(EVERY_CLASS, pooled, conf),
        _mean([c.ap50 for c in classes]),
        _mean([c.ap50_95 for c in classes]),
        iou,
        _in_table_rows(pooled[-1].truth_of, found, wanted),
        wanted.inside,
    )


@dataclass(frozen=True)
class _Side:
    """What one of the two layers has inside the area."""

    boxes: Float
    scores: Float
    names: Objects
    inside: Bool  # of all rows of the layer

    @classmethod
    def of(
        cls,
        table: gpd.GeoDataFrame,
        which: str,
        *,
        wkt: str | None,
        area: shapely.Geometry | None,
    ) -> _Side:
        source = None if table.crs is None else table.crs.to_wkt()
        boxes = projected_bounds(np.asarray(table.geometry), source, wkt)
        flat = np.asarray(~(boxes[:, :2] < boxes[:, 2:]).all(axis=1))  # NaN compares false
        if flat.any():
            raise AnnotationError(
                f"{flat.sum()} of {len(flat)} rows of the {which} have no extent; expected polygons"
            )
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = np.ones(len(boxes), bool)
        if area is not None:
            inside = np.asarray(shapely.intersects_xy(area, centres[:, 0], centres[:, 1]))
        scores = np.asarray(table["score"], float) if "score" in table else np.ones(len(table))
        names = list(table["class"]) if "class" in table else [EVERY_CLASS] * len(table)
        texts = np.array([str(name).strip() for name in names], dtype=object)
        return cls(boxes[inside], scores[inside], texts[inside], inside)


def _common_crs(predicted: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> str | None:
    """WKT of the CRS in which boxes are compared; None if neither layer has one."""
    if (predicted.crs is None) != (truth.crs is None):
        which = "predictions" if predicted.crs is None else "truth"
        raise GeoreferenceError(f"only the {which} have no CRS; save them with one")
    return None if predicted.crs is None else str(predicted.crs.to_wkt())


def _groups(found: _Side, wanted: _Side, by_class: bool | None) -> dict[str, tuple[Int, Int]]:
    """Rows of both sides that may match each other, by class in alphabetical order."""
    spelling = {name.lower(): name for name in (*found.names, *wanted.names)}  # truth's wins
    if not _is_by_class(found.names, wanted.names, by_class):
        name = next(iter(spelling.values())) if len(spelling) == 1 else EVERY_CLASS
        return {name: (np.arange(len(found.names)), np.arange(len(wanted.names)))}
    keys = [np.array([name.lower() for name in side.names], object) for side in (found, wanted)]
    rows = {
        key: (np.flatnonzero(keys[0] == key), np.flatnonzero(keys[1] == key))
        for key in sorted(spelling)
    }
    return {spelling[key]: pair for key, pair in rows.items()}


def _is_by_class(found: Objects, wanted: Objects, by_class: bool | None) -> bool:
    """The rule of ``evaluate_tables``."""
    ours, theirs = ({name.lower() for name in names} for names in (found, wanted))
    if by_class is not None:
        return by_class and bool(ours | theirs)
    if ours and theirs and not ours & theirs:
        if len(ours) > 1 and len(theirs) > 1:
            raise AnnotationError(
                f"the predictions ({', '.join(sorted(ours))}) and the truth "
                f"({', '.join(sorted(theirs))}) have no class in common; rename classes, or "
                f"ignore them (by_class=False)"
            )
        return False
    return len(ours | theirs) > 1


def _pooled(
    groups: Sequence[tuple[Int, Int]],
    matches: Sequence[tuple[Matches, ...]],
    scores: Float,
    *,
    n_truth: int,
) -> tuple[Matches, ...]:
    """The matches of all groups as one, at each IoU threshold."""
    pooled = []
    for at_iou in zip(*matches, strict=True):
        truth_of, iou = np.full(len(scores), -1), np.zeros(len(scores))
        for (predicted, truth), part in zip(groups, at_iou, strict=True):
            truth_of[predicted[part.correct]] = truth[part.truth_of[part.correct]]
            iou[predicted] = part.iou
        pooled.append(Matches(truth_of, iou, scores, n_truth, at_iou[0].threshold))
    return tuple(pooled)


def _class_metrics(name: str, matches: Sequence[Matches], conf: float | None) -> ClassMetrics:
    """Metrics of one class from its matches at the IoUs of COCO and the one asked for."""
    *coco, chosen = matches
    precisions = [average_precision(at_iou) for at_iou in coco]
    curve = precision_recall_curve(chosen)
    best = curve.best_f1()
    return ClassMetrics(
        name,
        len(chosen.scores),
        chosen.n_truth,
        precisions[0],
        float(np.mean(precisions)),
        best if conf is None else curve.at(conf),
        best,
    )


def _in_table_rows(truth_of: Int, found: _Side, wanted: _Side) -> Int:
    """Matches of what is inside the area, as rows of the two whole layers."""
    rows = np.full(len(found.inside), -2, dtype=np.int64)
    table_row = np.append(np.flatnonzero(wanted.inside), -1)  # -1, no match, picks the last
    rows[found.inside] = table_row[truth_of]
    return rows


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; NaN if none is."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")
