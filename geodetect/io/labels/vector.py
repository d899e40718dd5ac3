"""Labels drawn on a map (GeoJSON, GeoPackage, Shapefile, GeoParquet, ...), as objects."""

from __future__ import annotations

import os

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import LabelError
from geodetect.geo.crs import parse_crs
from geodetect.geo.discs import discs
from geodetect.geo.polygons import connected_parts, repair_polygons
from geodetect.io.labels.class_column import class_names
from geodetect.io.labels.label_set import (
    DEFAULT_CLASS,
    AnnotationReport,
    Fault,
    LabelOptions,
    MapLabels,
)
from geodetect.io.vector.read import LABELS, read_layer
from geodetect.types import BoolArray, IntArray, ObjectArray, PathLike

_MISSING, _POINT, _POLYGON, _MULTIPOINT, _MULTIPOLYGON, _COLLECTION = -1, 0, 3, 4, 6, 7  # GEOS


def read_map_labels(path: PathLike, options: LabelOptions) -> MapLabels:
    """Read the objects of one vector file.

    Polygons are repaired and taken apart: an object is what hangs together. Points become discs of
    ``point_size_m`` on the ground.

    Args:
        path: Any format GDAL reads, or GeoParquet; ``FILE|layername=NAME`` picks a layer.
        options: What the user says of labels.

    Raises:
        LabelError: No such file, layer or column, no CRS, lines, points without a size,
            missing classes.
    """
    stated = parse_crs(options.crs, option="--labels-crs") if options.crs else None
    table = read_layer(path, stated, LABELS)
    drawn = np.asarray(table.geometry, dtype=object)
    points = _points(drawn, path, options)
    areas = drawn.copy()
    areas[points] = None
    valid, repaired = repair_polygons(areas)
    objects, rows = _in_order(
        connected_parts(valid), _discs_at(drawn, points, options.point_size_m, crs=table.crs)
    )
    kept = len(np.unique(rows))
    names = class_names(table, path, options)
    blank = np.full(len(table), options.default_class or DEFAULT_CLASS, object)
    return MapLabels(
        source=os.fspath(path),
        geometries=objects,
        names=(blank if names is None else names)[rows],
        rows=rows,
        crs=table.crs,
        has_classes=names is not None,
        report=AnnotationReport(
            len(table), len(table) - kept, int(repaired.sum()), len(rows) - kept
        ),
        faults=_faults(drawn, repaired, rows),
    )


def _points(geometries: ObjectArray, path: PathLike, options: LabelOptions) -> BoolArray:
    """Which geometries are points with a size; what cannot be an object is an error."""
    types, empty = shapely.get_type_id(geometries), shapely.is_empty(geometries)
    points = np.isin(types, [_POINT, _MULTIPOINT]) & ~empty
    usable = np.isin(types, [_MISSING, _POLYGON, _MULTIPOLYGON, _COLLECTION]) | points | empty
    if not usable.all():
        found = ", ".join(sorted({str(g.geom_type) for g in geometries[~usable]}))
        raise LabelError(
            f"{path} holds {found}; expected polygons around the objects, or points with "
            f"--point-size"
        )
    if points.any() and options.point_size_m is None:
        raise LabelError(
            f"{path} holds {points.sum()} points; say how large the objects are on the ground "
            f"with --point-size METRES, or draw polygons around them"
        )
    return points


def _discs_at(
    geometries: ObjectArray, points: BoolArray, size_m: float | None, *, crs: CRS
) -> tuple[ObjectArray, IntArray]:
    """A disc for each point, and the row it comes from (ascending)."""
    which = np.flatnonzero(points)
    if size_m is None or not len(which):
        return np.empty(0, object), np.empty(0, np.int64)
    coordinates, owner = shapely.get_coordinates(geometries[which], return_index=True)
    return discs(coordinates, size_m, crs), which[owner].astype(np.int64)


def _in_order(*parts: tuple[ObjectArray, IntArray]) -> tuple[ObjectArray, IntArray]:
    """Objects of several kinds in the order of their rows."""
    objects = np.concatenate([part[0] for part in parts])
    rows = np.concatenate([part[1] for part in parts])
    order = np.argsort(rows, kind="stable")
    return objects[order], rows[order]


def _faults(drawn: ObjectArray, repaired: BoolArray, rows: IntArray) -> tuple[Fault, ...]:
    """What is wrong with rows: those that gave no object, and those that were repaired."""
    without = np.ones(len(drawn), bool)
    without[rows] = False
    empty = without & (shapely.is_missing(drawn) | shapely.is_empty(drawn))
    reasons = (
        (empty, "no geometry"),
        (without & ~empty, "no area"),
        (repaired & ~without, "crosses itself"),
    )
    return tuple(
        Fault(int(row), reason, None if reason == "no geometry" else drawn[row])
        for chosen, reason in reasons
        for row in np.flatnonzero(chosen)
    )
