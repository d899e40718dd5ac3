"""Reading of predictions and truth: scores, class names, one object for each row."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geodetect.class_names import DEFAULT_CLASS
from geodetect.errors import GeodetectWarning, InputError, LabelError
from geodetect.geo.polygons import connected_parts, repair_polygons
from geodetect.io.labels.class_column import read_class_names
from geodetect.io.labels.image_set import describe_image_set
from geodetect.io.labels.label_set import LabelOptions, ReadReport
from geodetect.io.vector.features import find_score_column, read_scores, reproject_features
from geodetect.io.vector.read import POINT_TYPES, PREDICTIONS, LayerRole, LayerSource, read_layer
from geodetect.types import BoolArray, FloatArray, ObjectArray

TRUTH_VALUES = {"true": True, "false": False, "1": True, "0": False}  # in files of any format
TRUTH = LayerRole("the truth", "truth_crs", PREDICTIONS.layer_names, error=LabelError)


def read_predictions(
    source: LayerSource,
    *,
    crs: str | None = None,
    score_field: str | None = None,
    role: LayerRole = PREDICTIONS,
    require_scores: bool = True,
) -> gpd.GeoDataFrame:
    """Read the detections of any program.

    Args:
        source: A vector file of any format, or a table, which may lack a CRS.
        crs: CRS of the coordinates, whatever the file says.
        score_field: Column of scores; None: see ``find_score_column``.
        role: Role of the layer.
        require_scores: Raise an error for rows without a score; else these are NaN.

    Returns:
        All columns, ``score`` (float64) and ``class`` (str) if a column holds them, and
        ``geometry``.

    Raises:
        InputError: The layer cannot be read, has no CRS, or has rows without a score.
    """
    _refuse_image_set(source, role)
    table = read_layer(source, role, crs=crs, require_crs=False)
    column = find_score_column(table, score_field)
    if column is not None:
        scores = read_scores(table, score_field)
        if require_scores:
            check_scores(scores, column, role)
        table["score"] = scores
    names = read_class_names(table, role.name, LabelOptions(default_class=DEFAULT_CLASS))
    return _with_class_names(table, names)


def check_scores(scores: FloatArray, column: str, role: LayerRole) -> None:
    """Check that every row of a layer has a score.

    Args:
        scores: ``float64[N]`` NaN where there is none.
        column: The column that holds them, for the message.
        role: Role of the layer, for the message.

    Raises:
        InputError: Rows have no score.
    """
    missing = ~np.isfinite(scores)
    if missing.any():
        raise InputError(
            f"{role.name}: {missing.sum():,} of {len(scores):,} rows have no score in column "
            f"{column!r}; fill them, or name another column with `score_field`"
        )


def read_truncated(predictions: gpd.GeoDataFrame) -> BoolArray | None:
    """Return the column ``truncated`` of a detection table, ``bool[N]``.

    Returns:
        None if there is no such column, or one that holds other values than truth values.
    """
    if "truncated" not in predictions:
        return None
    texts = predictions["truncated"].astype(str).str.lower()
    return None if not set(texts) <= set(TRUTH_VALUES) else texts.map(TRUTH_VALUES).to_numpy(bool)


def read_truth(
    sources: LayerSource | Sequence[LayerSource],
    *,
    crs: str | None = None,
    class_field: str | None = None,
) -> gpd.GeoDataFrame:
    """Read true objects from one layer or several.

    Polygons that cross themselves are repaired; disjoint parts of a multipolygon are objects of
    their own; rows without an area are left out. A layer of points stays one.

    Args:
        sources: Vector files of any format, or tables; several are brought to the CRS of the first.
        crs: CRS of the coordinates, whatever the files say.
        class_field: Column of class names; None: the obvious one.

    Returns:
        All columns, ``class`` (str) if a column holds it, ``geometry``, and ``truth_row``: the row
        of its layer that an object comes from, counted from 0.

    Raises:
        LabelError: No such file, layer or column, no CRS, or nothing but lines.
    """
    if isinstance(sources, str | os.PathLike | gpd.GeoDataFrame):
        sources = [sources]
    layers: list[LayerSource] = list(sources)
    if not layers:
        raise LabelError("no truth; expected at least one file or table as `truth`")
    tables = [_read_objects(layer, crs, class_field) for layer in layers]
    unnamed = [n for n, table in enumerate(tables) if len(table) and "class" not in table]
    if unnamed and any("class" in table for table in tables):
        raise LabelError(
            f"{_layer_name(layers[unnamed[0]])} has no column of classes, but other truth has "
            f"one; name it with `class_field`"
        )
    crs_first = tables[0].crs
    if crs_first is not None:
        tables = [t if t.crs is None else reproject_features(t, crs_first) for t in tables]
    return gpd.GeoDataFrame(pd.concat(tables, ignore_index=True), crs=crs_first)


def _refuse_image_set(source: LayerSource, role: LayerRole) -> None:
    if not isinstance(source, gpd.GeoDataFrame) and (description := describe_image_set(source)):
        raise role.error(
            f"{os.fspath(source)}: {description}; expected a layer on the map for {role.name}, or "
            f"`model`, `rasters` and `truth` to evaluate a model on the images"
        )


def _layer_name(source: LayerSource) -> str:
    return TRUTH.name if isinstance(source, gpd.GeoDataFrame) else os.fspath(source)


def _read_objects(
    source: LayerSource, crs: str | None, class_field: str | None
) -> gpd.GeoDataFrame:
    """Read the objects of one layer."""
    _refuse_image_set(source, TRUTH)
    table = read_layer(source, TRUTH, crs=crs, require_crs=False)
    name = _layer_name(source)
    table = _with_class_names(table, read_class_names(table, name, LabelOptions(class_field)))
    table["truth_row"] = np.arange(len(table))
    geometries = np.asarray(table.geometry)
    has_geometry = shapely.get_num_coordinates(geometries) > 0
    is_point = np.isin(shapely.get_type_id(geometries), POINT_TYPES) & has_geometry
    if is_point.any() and is_point.sum() == has_geometry.sum():
        return table[is_point].explode(ignore_index=True)
    valid, is_repaired = repair_polygons(geometries, name)
    objects, rows = connected_parts(valid)
    if has_geometry.any() and not len(rows):
        types = ", ".join(sorted({str(shape.geom_type) for shape in geometries[has_geometry]}))
        raise LabelError(
            f"{name} holds nothing with an area ({types}); expected polygons, or points with "
            f"`distance` in metres"
        )
    n_used = len(np.unique(rows))
    report = ReadReport(len(table), len(table) - n_used, int(is_repaired.sum()), len(rows) - n_used)
    if report.dropped or report.split:  # the number of objects is not the number of rows
        warnings.warn(str(report), GeodetectWarning, stacklevel=2)
    columns = pd.DataFrame(table.drop(columns="geometry")).iloc[rows].reset_index(drop=True)
    return gpd.GeoDataFrame(columns, geometry=objects, crs=table.crs)


def _with_class_names(table: gpd.GeoDataFrame, names: ObjectArray | None) -> gpd.GeoDataFrame:
    """Return a table whose column ``class`` holds names; without any, such a column is left out."""
    if names is None:
        return table.drop(columns="class", errors="ignore")
    return table.assign(**{"class": names})
