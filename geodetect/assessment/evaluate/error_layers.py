"""What is right, what is wrong and what is missed, as layers for a GIS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geodetect.assessment.evaluate.read_layers import on_map_of
from geodetect.assessment.matching.alignment import Side
from geodetect.assessment.matching.class_matching import NO_NAMES
from geodetect.geo import boxes as box_ops
from geodetect.io.vector.geopackage import Layer, check_layers, write_layers
from geodetect.io.vector.qgis_style import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    GeometryKind,
    Symbol,
    single_qml,
)
from geodetect.io.vector.write import check_target
from geodetect.types import FloatArray, IntArray, ObjectArray

if TYPE_CHECKING:
    from geodetect.assessment.evaluate.evaluation import Evaluation


LOOKS = {
    "true": Symbol(TRUE_POSITIVE),
    "false": Symbol(FALSE_POSITIVE, width_mm=0.7),
    "missed": Symbol(FALSE_NEGATIVE, width_mm=0.7),
}
RESERVED = ("fid", "geom", "geometry")  # names that a GeoPackage uses itself


def error_tables(evaluation: Evaluation) -> dict[str, gpd.GeoDataFrame]:
    """The detections that count and the objects that none of them shows.

    Returns:
        In the CRS of the predictions, with the columns of their layers and

        - ``true``: detections that show an object, with ``class``, ``score``, ``iou`` and
          ``distance_m`` (of the centres, true metres), ``truth_class``, and ``truth_row``, the row
          of the object in its layer, counted from 0
        - ``false``: detections that show none, with the highest ``iou`` with any object
        - ``missed``: objects, with the highest ``iou`` with any detection whatever its score, and
          the ``score`` of that detection
    """
    sides = evaluation.pairing.sides
    found, wanted = sides.predicted, sides.truth
    matches = evaluation.pairing.pooled.chosen
    sure = found.scores >= evaluation.metrics.score_threshold
    right, wrong = (np.flatnonzero(sure & kind) for kind in (matches.correct, ~matches.correct))
    shown = matches.truth_of[right]
    missed = np.setdiff1d(np.arange(len(wanted)), shown)
    best_object, best_detection = _best_overlaps(evaluation)
    scores = found.scores if evaluation.scored else np.full(len(found), np.nan)
    truth = on_map_of(evaluation.truth, evaluation.predicted)
    names = [_names(side, evaluation) for side in (found, wanted)]
    rows_of_truth = evaluation.truth["truth_row"].to_numpy()[wanted.rows]
    return {
        "true": _layer(
            evaluation.predicted.iloc[found.rows[right]],
            {
                "class": names[0][right],
                "score": scores[right],
                "iou": _iou(found.boxes[right], wanted.boxes[shown]),
                "distance_m": _distances(evaluation, right, shown),
                "truth_class": names[1][shown],
                "truth_row": rows_of_truth[shown],
            },
        ),
        "false": _layer(
            evaluation.predicted.iloc[found.rows[wrong]],
            {"class": names[0][wrong], "score": scores[wrong], "iou": best_object[0][wrong]},
        ),
        "missed": _layer(
            truth.iloc[wanted.rows[missed]],
            {
                "class": names[1][missed],
                "score": np.append(scores, np.nan)[best_detection[1][missed]],
                "iou": best_detection[0][missed],
                "truth_row": rows_of_truth[missed],
            },
        ),
    }


def check_errors(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise now what `write_errors` would raise later.

    Raises:
        InputError: No GeoPackage.
        OutputError: The file exists, or its folder is missing or cannot be written to.
    """
    check_layers(path, len(LOOKS))
    check_target(Path(path), overwrite=overwrite)


def write_errors(
    evaluation: Evaluation, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write these layers to a GeoPackage, each with a style for QGIS.

    Raises:
        InputError: No GeoPackage.
        OutputError: The file exists, or it cannot be written.
    """
    tables = error_tables(evaluation)
    layers = [Layer(name, table, _style(name, table)) for name, table in tables.items()]
    return write_layers(layers, path, overwrite=overwrite)


def _style(name: str, table: gpd.GeoDataFrame) -> str:
    has_points = len(table) and (shapely.get_dimensions(np.asarray(table.geometry)) == 0).all()
    geometry: GeometryKind = "point" if has_points else "polygon"
    return single_qml(LOOKS[name], geometry=geometry)


def _layer(rows: gpd.GeoDataFrame, columns: dict[str, NDArray[np.generic]]) -> gpd.GeoDataFrame:
    """Rows with more columns, which take the place of those with the same names."""
    taken = {*columns, *RESERVED}  # the names of columns in a GeoPackage have no case
    kept = [name for name in rows.columns if str(name).lower() not in taken]
    new = pd.DataFrame(columns, index=rows.index)
    values = new.join(pd.DataFrame(rows[kept]))
    blank = [name for name in values if values[name].dtype == object and values[name].isna().all()]
    typed = values.astype(dict.fromkeys(blank, "string"))  # else nothing says that it is text
    return gpd.GeoDataFrame(typed, geometry=rows.geometry).reset_index(drop=True)


def _names(side: Side, evaluation: Evaluation) -> ObjectArray:
    """Classes; in layers that state none, that of the figures."""
    silent = np.isin(side.names.astype(str), NO_NAMES)
    return np.where(silent, evaluation.metrics.classes[0].class_name, side.names)


def _best_overlaps(
    evaluation: Evaluation,
) -> tuple[tuple[FloatArray, IntArray], tuple[FloatArray, IntArray]]:
    """The highest IoU of each detection and of each object, and with which one; -1 for none."""
    found, wanted = evaluation.pairing.sides.predicted, evaluation.pairing.sides.truth
    pairs = box_ops.overlap_pairs(found.boxes, wanted.boxes)
    overlap = _iou(found.boxes[pairs[:, 0]], wanted.boxes[pairs[:, 1]])
    return (
        _best(pairs[:, 0], pairs[:, 1], overlap, len(found)),
        _best(pairs[:, 1], pairs[:, 0], overlap, len(wanted)),
    )


def _best(
    rows: IntArray, others: IntArray, overlap: FloatArray, count: int
) -> tuple[FloatArray, IntArray]:
    """Of each row the highest overlap, and the other one it is with."""
    highest, which = np.zeros(count), np.full(count, -1, dtype=np.int64)
    order = np.argsort(overlap, kind="stable")  # the last one written, the highest, stays
    highest[rows[order]], which[rows[order]] = overlap[order], others[order]
    return highest, which


def _iou(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.round(box_ops.iou(a, b), 4)


def _distances(evaluation: Evaluation, detections: IntArray, objects: IntArray) -> FloatArray:
    """Metres between the centres of pairs, to the centimetre; NaN without a CRS."""
    if evaluation.pairing.sides.grid.crs is None:
        return np.full(len(detections), np.nan)
    found, wanted = evaluation.pairing.sides.ground_centres()
    return np.round(np.linalg.norm(found[detections] - wanted[objects], axis=1), 2)
