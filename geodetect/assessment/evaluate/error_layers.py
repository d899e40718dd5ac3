"""True positives, false positives and false negatives as layers for a GIS."""

from __future__ import annotations

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geodetect.assessment.matching.alignment import AlignedLayers
from geodetect.assessment.matching.class_matching import LayerMatches
from geodetect.class_names import PLACEHOLDERS
from geodetect.geo import boxes as box_ops
from geodetect.geo.polygons import polygon_iou
from geodetect.io.vector.features import reproject_features
from geodetect.io.vector.geopackage import Layer, check_layers
from geodetect.io.vector.qgis_style import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    GeometryKind,
    Symbol,
    single_qml,
)
from geodetect.io.vector.write import check_target
from geodetect.types import FloatArray, IntArray

SYMBOLS = {
    "true_positives": Symbol(TRUE_POSITIVE),
    "false_positives": Symbol(FALSE_POSITIVE, width_mm=0.7),
    "false_negatives": Symbol(FALSE_NEGATIVE, width_mm=0.7),
}


def error_tables(
    layer_matches: LayerMatches,
    predictions: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    *,
    score_threshold: float,
    default_class: str,
) -> dict[str, gpd.GeoDataFrame]:
    """Return the predictions that count, and the objects that none of them matches.

    Args:
        layer_matches: Matches of predictions and truth.
        predictions: Table that ``layer_matches`` refers to.
        truth: Table that ``layer_matches`` refers to, with ``truth_row``.
        score_threshold: Least score of a prediction that counts.
        default_class: Class of rows in layers without classes.

    Returns:
        In the CRS of the predictions, with the columns of their layers and

        - ``true_positives``: predictions that match an object, with ``class``, ``score``, ``iou``
          and ``distance_m`` (of the centres, true metres), ``truth_class``, and ``truth_row``, the
          row of the object in its layer, counted from 0; where outlines are compared, also
          ``true_area_m2``, and ``area_ratio``, the predicted area over it
        - ``false_positives``: predictions without object, with the highest ``iou`` with any object
        - ``false_negatives``: objects, with the highest ``iou`` with any prediction whatever its
          score, and the ``score`` of that prediction
    """
    layers = layer_matches.layers
    predicted, objects = layers.predictions, layers.truth
    matches = layer_matches.pooled.matches
    is_counted = predicted.scores >= score_threshold
    tp = np.flatnonzero(is_counted & matches.is_tp)
    fp = np.flatnonzero(is_counted & ~matches.is_tp)
    tp_objects = matches.truth_of[tp]
    fn = np.setdiff1d(np.arange(len(objects)), tp_objects)

    pairs = box_ops.overlap_pairs(predicted.boxes, objects.boxes)
    overlap = _measure_iou(layers, pairs[:, 0], pairs[:, 1])
    object_iou, _ = _find_best_overlaps(pairs[:, 0], pairs[:, 1], overlap, len(predicted))
    prediction_iou, best = _find_best_overlaps(pairs[:, 1], pairs[:, 0], overlap, len(objects))
    scores = predicted.scores if "score" in predictions else np.full(len(predicted), np.nan)
    class_names, truth_names = (
        np.where(
            np.isin(layer.class_names.astype(str), PLACEHOLDERS), default_class, layer.class_names
        )
        for layer in (predicted, objects)
    )
    distance = np.full(len(tp), np.nan)
    if layers.grid.crs is not None:
        centres, truth_centres = layers.geocentric_centres()
        distance = np.linalg.norm(centres[tp] - truth_centres[tp_objects], axis=1).round(2)
    truth_row = truth["truth_row"].to_numpy()[objects.rows]
    if predictions.crs is not None:
        truth = reproject_features(truth, predictions.crs)
    return {
        "true_positives": _put_columns_first(
            predictions.iloc[predicted.rows[tp]],
            {
                "class": class_names[tp],
                "score": scores[tp],
                "iou": _measure_iou(layers, tp, tp_objects),
                "distance_m": distance,
                "truth_class": truth_names[tp_objects],
                "truth_row": truth_row[tp_objects],
                **_area_columns(layers, tp, tp_objects),
            },
        ),
        "false_positives": _put_columns_first(
            predictions.iloc[predicted.rows[fp]],
            {"class": class_names[fp], "score": scores[fp], "iou": object_iou[fp]},
        ),
        "false_negatives": _put_columns_first(
            truth.iloc[objects.rows[fn]],
            {
                "class": truth_names[fn],
                "score": np.append(scores, np.nan)[best[fn]],  # -1, no overlap, picks the last
                "iou": prediction_iou[fn],
                "truth_row": truth_row[fn],
            },
        ),
    }


def style_error_tables(tables: dict[str, gpd.GeoDataFrame]) -> list[Layer]:
    """Return the tables as layers, each with a QGIS style."""
    layers = []
    for name, table in tables.items():
        dimensions = shapely.get_dimensions(table.geometry.to_numpy())
        geometry: GeometryKind = "point" if len(table) and (dimensions == 0).all() else "polygon"
        layers.append(Layer(name, table, single_qml(SYMBOLS[name], geometry=geometry)))
    return layers


def check_errors(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise the errors of ``Evaluation.write_errors`` before all the work.

    Raises:
        InputError: Not a GeoPackage.
        OutputError: The file exists, or its folder is missing or cannot be written to.
    """
    check_layers(path, len(SYMBOLS))
    check_target(Path(path), overwrite=overwrite, layers=SYMBOLS)


def _put_columns_first(
    rows: gpd.GeoDataFrame, columns: dict[str, NDArray[np.generic]]
) -> gpd.GeoDataFrame:
    """Put columns before those of rows, in which they replace the same names in any case."""
    taken = {*columns, "fid", "geom", "geometry"}  # the last three belong to the GeoPackage
    attributes = [name for name in rows.columns if str(name).lower() not in taken]
    values = pd.DataFrame(columns, index=rows.index).join(pd.DataFrame(rows[attributes]))
    empty = [name for name in values if values[name].dtype == object and values[name].isna().all()]
    typed = values.astype(dict.fromkeys(empty, "string"))  # else GDAL finds no type for them
    return gpd.GeoDataFrame(typed, geometry=rows.geometry).reset_index(drop=True)


def _find_best_overlaps(
    rows: IntArray, other_rows: IntArray, overlap: FloatArray, count: int
) -> tuple[FloatArray, IntArray]:
    """Return the highest overlap of each row, and the other row it is with, -1 for none."""
    highest, partner = np.zeros(count), np.full(count, -1, dtype=np.int64)
    order = np.argsort(overlap, kind="stable")  # the last one written, the highest, stays
    highest[rows[order]], partner[rows[order]] = overlap[order], other_rows[order]
    return highest, partner


def _measure_iou(layers: AlignedLayers, predicted: IntArray, truth: IntArray) -> FloatArray:
    """Return the IoU of pairs of predictions and objects, of outlines if these are compared."""
    if layers.predictions.outlines is None or layers.truth.outlines is None:
        iou = box_ops.iou(layers.predictions.boxes[predicted], layers.truth.boxes[truth])
    else:
        outlines = layers.predictions.outlines.polygons, layers.truth.outlines.polygons
        iou = polygon_iou(outlines[0][predicted], outlines[1][truth])
    return np.round(iou, 4)


def _area_columns(
    layers: AlignedLayers, predicted: IntArray, truth: IntArray
) -> dict[str, FloatArray]:
    """Return the columns of areas of true positives; none if outlines are not compared."""
    of_predictions, of_truth = layers.predictions.outlines, layers.truth.outlines
    if of_predictions is None or of_truth is None or layers.grid.crs is None:
        return {}
    true_m2 = of_truth[truth].areas_m2(layers.grid)
    ratio = np.full(len(true_m2), np.nan)
    np.divide(
        of_predictions[predicted].areas_m2(layers.grid), true_m2, out=ratio, where=true_m2 > 0
    )
    return {"true_area_m2": true_m2.round(2), "area_ratio": ratio.round(4)}
