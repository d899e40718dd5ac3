"""Reader of labels drawn on a map: GeoJSON, GeoPackage, Shapefile, GeoParquet, ..."""

from __future__ import annotations

import os

import geopandas as gpd
import numpy as np
import shapely

from geodetect.class_names import DEFAULT_CLASS
from geodetect.errors import LabelError
from geodetect.geo.discs import ground_discs
from geodetect.geo.polygons import are_upright_rectangles, connected_parts, repair_polygons
from geodetect.io.labels.class_column import read_class_names
from geodetect.io.labels.label_set import (
    NO_AREA,
    NO_GEOMETRY,
    SELF_INTERSECTION,
    LabelOptions,
    MapLabels,
    ReadReport,
    RowDefect,
)
from geodetect.io.vector.read import LABELS, LayerSource, read_layer
from geodetect.types import BoolArray, IntArray, ObjectArray, PathLike

_MISSING, _POINT, _POLYGON, _MULTIPOINT, _MULTIPOLYGON, _COLLECTION = -1, 0, 3, 4, 6, 7  # GEOS


def read_map_labels(source: LayerSource, options: LabelOptions) -> MapLabels:
    """Read the labels of one vector file or table.

    Polygons are repaired and split: each connected part is an object (a layer dissolved by class
    would otherwise be one huge box). Points become discs of ``point_size_m`` on the ground.
    Polygons other than upright rectangles are taken for outlines.

    Args:
        source: Any format GDAL reads, or GeoParquet; ``FILE|layername=NAME`` picks a layer. Or a
            table.
        options: Column of classes, CRS and size of points.

    Raises:
        LabelError: No such file, layer or column, no CRS, lines, points without a size,
            missing classes.
    """
    table = read_layer(source, LABELS, crs=options.crs)
    path = LABELS.name if isinstance(source, gpd.GeoDataFrame) else source
    geometries = np.asarray(table.geometry, dtype=object)
    is_point = _find_points(geometries, path, options)
    areas = geometries.copy()
    areas[is_point] = None
    valid, is_repaired = repair_polygons(areas, os.fspath(path))
    objects, rows = connected_parts(valid)
    if is_point.any() and options.point_size_m is not None:
        point_rows = np.flatnonzero(is_point)
        points, owner = shapely.get_coordinates(geometries[point_rows], return_index=True)
        objects = np.concatenate([objects, ground_discs(points, options.point_size_m, table.crs)])
        rows = np.concatenate([rows, point_rows[owner]])
        order = np.argsort(rows, kind="stable")
        objects, rows = objects[order], rows[order]
    used_rows = len(np.unique(rows))
    names = read_class_names(table, path, options)
    default = options.default_class or DEFAULT_CLASS
    row_names = np.full(len(table), default, object) if names is None else names
    return MapLabels(
        source=os.fspath(path),
        geometries=objects,
        names=row_names[rows],
        rows=rows,
        crs=table.crs,
        has_classes=names is not None,
        report=ReadReport(
            rows=len(table),
            dropped=len(table) - used_rows,
            repaired=int(is_repaired.sum()),
            split=len(rows) - used_rows,
        ),
        defects=_list_defects(geometries, is_repaired, rows),
        is_outline=~is_point[rows] & ~are_upright_rectangles(objects),
    )


def _find_points(geometries: ObjectArray, path: PathLike, options: LabelOptions) -> BoolArray:
    """Return True for points, ``bool[N]``; geometries that cannot be objects are an error."""
    types, is_empty = shapely.get_type_id(geometries), shapely.is_empty(geometries)
    is_point = np.isin(types, [_POINT, _MULTIPOINT]) & ~is_empty
    is_polygon = np.isin(types, [_MISSING, _POLYGON, _MULTIPOLYGON, _COLLECTION])
    is_usable = is_polygon | is_point | is_empty
    if not is_usable.all():
        kinds = ", ".join(sorted({str(g.geom_type) for g in geometries[~is_usable]}))
        raise LabelError(
            f"{path} holds {kinds}; expected polygons around the objects, or points and "
            f"`point_size`"
        )
    if is_point.any() and options.point_size_m is None:
        raise LabelError(
            f"{path} holds {is_point.sum()} points; set `point_size` to the size of the objects "
            f"on the ground in metres, or draw polygons around them"
        )
    return is_point


def _list_defects(
    geometries: ObjectArray, is_repaired: BoolArray, used_rows: IntArray
) -> tuple[RowDefect, ...]:
    """List the rows without an object, and those that were repaired."""
    is_unused = ~np.isin(np.arange(len(geometries)), used_rows)
    has_none = is_unused & (shapely.is_missing(geometries) | shapely.is_empty(geometries))
    reasons = (
        (has_none, NO_GEOMETRY),
        (is_unused & ~has_none, NO_AREA),
        (is_repaired & ~is_unused, SELF_INTERSECTION),
    )
    return tuple(
        RowDefect(int(row), reason, None if reason == NO_GEOMETRY else geometries[row])
        for mask, reason in reasons
        for row in np.flatnonzero(mask)
    )
