"""Labels drawn on a map as one table, areas, and boxes on a raster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geodetect.errors import GeoreferenceError, InputError, LabelError
from geodetect.geo.bounds import bounds_px, densified
from geodetect.geo.grid import Grid, parse_crs
from geodetect.geo.reproject import reproject, same_crs
from geodetect.io.labels.label_set import AnnotationReport, LabelOptions, MapLabels
from geodetect.io.labels.read import read_labels
from geodetect.io.labels.vector import connected_parts, valid_geometries
from geodetect.io.vector.read import AREA, read_layer
from geodetect.types import FloatArray, IntArray, ObjectArray, PathLike

__all__ = ["AnnotationReport", "annotations_on", "boxes_on_grid", "read_annotations", "read_area"]


def read_annotations(
    path: PathLike | Sequence[PathLike],
    *,
    class_field: str | None = None,
    default_class: str | None = None,
    crs: str | None = None,
    point_size_m: float | None = None,
) -> gpd.GeoDataFrame:
    """Read labelled objects on a map from one vector file or several, as one table.

    Any format GDAL reads, and GeoParquet. ``FILE|layername=NAME`` picks a layer, as in QGIS.
    An object is what hangs together: parts of a multipolygon that touch are one object, disjoint
    parts are objects of their own (a layer dissolved by class would otherwise be one huge box).
    For data sets in pixels of images as well, see ``geodetect.io.labels.read.read_labels``.

    Args:
        path: File or files. Several are brought to the CRS of the first.
        class_field: Column of class names. Without it, the first text or integer column of
            ``CLASS_FIELDS`` with any values, else a text column of ``VAGUE_CLASS_FIELDS`` whose
            values repeat and have no gaps, whatever their case.
        default_class: Class of rows that have none; "object" where a file has no class column.
        crs: CRS of the coordinates, whatever the files say.
        point_size_m: Diameter on the ground, in metres, of objects that are given as points.

    Returns:
        Columns ``class`` (str) and ``geometry`` (two-dimensional valid polygons), rows numbered
        from 0. No rows is legal: ground without objects. ``AnnotationReport.of(table)`` tells
        what was dropped, repaired or split; a ``GeodetectWarning`` says so if the number of
        objects is not that of the rows.

    Raises:
        LabelError: No such file, layer or column, no CRS, lines, points without a size,
            missing classes, boxes in pixels.
    """
    labels = read_labels(path, LabelOptions(class_field, default_class, crs, point_size_m))
    layers = [source for source in labels.sources if isinstance(source, MapLabels)]
    for other in set(labels.sources) - set(layers):
        raise LabelError(
            f"{other.source} is a data set with boxes in pixels of images; expected a map layer"
        )
    target = layers[0].crs
    geometries = [_geometries_in(layer, target) for layer in layers]
    table = gpd.GeoDataFrame(
        {"class": pd.Series(labels.names, dtype=object)},
        geometry=np.concatenate(geometries),
        crs=target,
    )
    labels.warn_of_changes()
    table.attrs["report"] = asdict(
        labels.report
    )  # plain values: attrs are written as JSON to Parquet
    return table


def read_area(path: PathLike, *, crs: str | None = None) -> tuple[shapely.Geometry, str]:
    """Read an area of interest: the union of the polygons of a vector file.

    Args:
        path: Any format GDAL reads, and GeoParquet.
        crs: CRS of the coordinates, whatever the file says.

    Returns:
        A polygon or multipolygon, and the WKT of its CRS.

    Raises:
        InputError: No such file, no CRS, or no polygons.
    """
    table, wkt = read_layer(path, parse_crs(crs) if crs else None, AREA)
    objects, _ = connected_parts(valid_geometries(np.asarray(table.geometry))[0])
    if len(objects) == 0:
        raise InputError(f"{path} holds no polygons; an area of interest needs at least one")
    return shapely.union_all(objects), wkt


def boxes_on_grid(annotations: gpd.GeoDataFrame, grid: Grid) -> FloatArray:
    """Bounding boxes of map geometries in the pixels of a grid.

    Args:
        annotations: Geometries with a CRS; every vertex is projected, long edges in steps.
        grid: The raster.

    Returns:
        ``float64[N, 4]`` x1, y1, x2, y2 in pixel edges of the grid, not cut at its border; NaN
        where there is no geometry or the grid's CRS does not reach.

    Raises:
        GeoreferenceError: The labels or the raster have no CRS.
    """
    if grid.crs is None:
        raise GeoreferenceError("the raster has no CRS to place labels on; name it with --src-crs")
    if annotations.crs is None:
        raise GeoreferenceError("the labels have no CRS; name it with --labels-crs")
    return bounds_px(np.asarray(annotations.geometry), annotations.crs.to_wkt(), grid)


def annotations_on(
    annotations: gpd.GeoDataFrame, grid: Grid
) -> tuple[FloatArray, ObjectArray, IntArray]:
    """The labels of a table whose boxes share ground with a grid.

    Returns:
        Their boxes ``float64[K, 4]`` in pixels of the grid (not cut at its border), their class
        names ``object[K]`` and their row numbers ``int64[K]`` in the table.
    """
    boxes = boxes_on_grid(annotations, grid)
    touching = (boxes[:, :2] < [grid.width, grid.height]).all(axis=1)  # NaN compares false
    touching &= (boxes[:, 2:] > 0).all(axis=1)
    rows = np.flatnonzero(touching)
    return boxes[rows], np.asarray(annotations["class"], dtype=object)[rows], rows


def _geometries_in(layer: MapLabels, crs: str) -> ObjectArray:
    if same_crs(layer.crs, crs):
        return layer.geometries
    return reproject(densified(layer.geometries, layer.crs), layer.crs, crs)
