"""Detections and truth as files hold them, brought to one form."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geodetect.errors import GeodetectWarning, InputError, LabelError
from geodetect.geo.bounds import densified
from geodetect.geo.crs import normalize_crs, parse_crs, same_crs
from geodetect.geo.polygons import connected_parts, repair_polygons
from geodetect.geo.reproject import reproject
from geodetect.io.labels.class_column import read_class_names
from geodetect.io.labels.label_set import DEFAULT_CLASS, LabelOptions, ReadReport
from geodetect.io.vector.read import Wording, read_layer
from geodetect.types import PathLike

Layer: TypeAlias = PathLike | gpd.GeoDataFrame

PREDICTIONS = Wording(InputError, "name it with --pred-crs")
TRUTH = Wording(LabelError, "name it with --truth-crs")
DETECTION_LAYERS = ("detections",)  # of files that also hold the ground that was covered
SCORE_FIELDS = ("score", "scores", "confidence", "conf", "probability")
POINTS = (0, 4)  # GEOS type numbers of points and multipoints


def read_predictions(
    source: Layer, *, crs: str | None = None, score_field: str | None = None
) -> gpd.GeoDataFrame:
    """Detections of any program.

    Args:
        source: A vector file of any format, or a table.
        crs: CRS of the coordinates, whatever the file says.
        score_field: Column of scores; None: the first of ``SCORE_FIELDS``, whatever its case.

    Returns:
        All columns, ``score`` (float64) and ``class`` (str) if there is one that means it, and
        ``geometry``.

    Raises:
        InputError: It cannot be read, has no CRS, or its scores are no numbers.
    """
    table = _opened(source, crs, PREDICTIONS, option="--pred-crs")
    name = _name(source, "the predictions")
    field = _score_field(table, score_field, name)
    if field is not None:
        table["score"] = _numbers(table[field], name)
    classes = read_class_names(table, name, LabelOptions(default_class=DEFAULT_CLASS))
    if classes is not None:
        table["class"] = classes
    return table


def read_truth(
    sources: Layer | Sequence[Layer], *, crs: str | None = None, class_field: str | None = None
) -> gpd.GeoDataFrame:
    """Objects from one layer or several, as ``read_labels`` splits them.

    Polygons that cross themselves are repaired; disjoint parts of a multipolygon are objects of
    their own; rows without an area are left out. A layer of points stays one.

    Args:
        sources: Vector files of any format, or tables; several are brought to the CRS of the first.
        crs: CRS of the coordinates, whatever the files say.
        class_field: Column of class names; None: the obvious one.

    Returns:
        All columns, ``class`` (str) if there is one that means it, ``geometry``, and
        ``truth_row``: which row of its layer an object comes from, counted from 0.

    Raises:
        LabelError: No such file, layer or column, no CRS, or nothing but lines.
    """
    layers = _listed(sources)
    if not layers:
        raise LabelError("no truth was given; name a file")
    tables = [_objects(layer, crs, class_field) for layer in layers]
    without = [n for n, table in enumerate(tables) if len(table) and "class" not in table]
    if without and any("class" in table for table in tables):
        raise LabelError(
            f"{_name(layers[without[0]], 'a table of truth')} has no column of classes, but other "
            f"truth has one; name it with --class-field"
        )
    placed = [on_map_of(table, tables[0]) for table in tables]
    return gpd.GeoDataFrame(pd.concat(placed, ignore_index=True), crs=tables[0].crs)


def is_scored(predicted: gpd.GeoDataFrame) -> bool:
    """Whether detections have scores, or are all equally sure."""
    return "score" in predicted


def _listed(sources: Any) -> list[Layer]:
    """One layer or several, as several."""
    is_one = isinstance(sources, str | os.PathLike | gpd.GeoDataFrame)
    return [sources] if is_one else list(sources)


def _opened(source: Layer, crs: str | None, wording: Wording, *, option: str) -> gpd.GeoDataFrame:
    """A table of its own with a column ``geometry``, without heights."""
    stated = normalize_crs(parse_crs(crs, option=option)) if crs else None
    if not isinstance(source, gpd.GeoDataFrame):
        return read_layer(source, stated, wording, preferred=DETECTION_LAYERS)
    columns = pd.DataFrame(source.drop(columns=source.geometry.name)).reset_index(drop=True)
    flat = shapely.force_2d(np.asarray(source.geometry))
    return gpd.GeoDataFrame(columns, geometry=flat, crs=stated or source.crs)


def _name(source: Layer, otherwise: str) -> str:
    return otherwise if isinstance(source, gpd.GeoDataFrame) else os.fspath(source)


def _score_field(table: gpd.GeoDataFrame, wanted: str | None, name: str) -> str | None:
    by_lower = {str(column).lower(): str(column) for column in reversed(table.columns)}
    if wanted is None:
        return next((by_lower[field] for field in SCORE_FIELDS if field in by_lower), None)
    if wanted.lower() not in by_lower:
        found = ", ".join(str(c) for c in table.columns if c != "geometry") or "geometries"
        raise InputError(
            f"{name} has no column {wanted!r}, only {found}; name the column of scores with "
            f"--score-field"
        )
    return by_lower[wanted.lower()]


def _numbers(values: pd.Series[float], name: str) -> pd.Series[float]:
    try:
        numbers = pd.to_numeric(values).astype(np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{name}: the column {values.name!r} holds no numbers ({error}); name the column of "
            f"scores with --score-field"
        ) from error
    missing = ~np.isfinite(numbers)
    if missing.any():
        raise InputError(
            f"{name}: {missing.sum():,} of {len(numbers):,} rows have no score in column "
            f"{values.name!r}; fill them, or name another column with --score-field"
        )
    return numbers


def _objects(source: Layer, crs: str | None, class_field: str | None) -> gpd.GeoDataFrame:
    """The objects of one layer."""
    table = _opened(source, crs, TRUTH, option="--truth-crs")
    name = _name(source, "the truth")
    classes = read_class_names(table, name, LabelOptions(class_field))
    if classes is not None:
        table["class"] = classes
    table["truth_row"] = np.arange(len(table))
    geometries = np.asarray(table.geometry)
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    points = np.isin(shapely.get_type_id(geometries), POINTS) & there
    if points.any() and points.sum() == there.sum():
        return _points(table[points])
    valid, repaired = repair_polygons(geometries)
    objects, rows = connected_parts(valid)
    if there.any() and not len(rows):
        kinds = ", ".join(sorted({str(g.geom_type) for g in geometries[there]}))
        raise LabelError(
            f"{name} holds nothing with an area ({kinds}); expected polygons, or points with "
            f"--distance METRES"
        )
    kept = len(np.unique(rows))
    _warn_of(ReadReport(len(table), len(table) - kept, int(repaired.sum()), len(rows) - kept))
    columns = pd.DataFrame(table.drop(columns="geometry")).iloc[rows].reset_index(drop=True)
    return gpd.GeoDataFrame(columns, geometry=objects, crs=table.crs)


def _points(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Every point of a layer of points and multipoints as a row."""
    return table.explode(ignore_index=True)


def _warn_of(report: ReadReport) -> None:
    if report.dropped or report.split:  # the number of objects is not the number of rows
        warnings.warn(str(report), GeodetectWarning, stacklevel=2)


def on_map_of(table: gpd.GeoDataFrame, other: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """A table in the CRS of another one, if both have one."""
    if table.crs is None or other.crs is None:
        return table
    source, target = table.crs, other.crs
    if same_crs(source, target):
        return table.set_crs(target, allow_override=True)
    moved = reproject(densified(np.asarray(table.geometry), source), source, target)
    return table.set_geometry(gpd.array.from_shapely(moved, crs=target))
