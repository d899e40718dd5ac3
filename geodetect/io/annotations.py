"""Labels drawn on a map (GeoJSON, GeoPackage, Shapefile, GeoParquet, ...) as boxes on a raster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geodetect.errors import AnnotationError, GeodetectWarning, GeoreferenceError, InputError
from geodetect.geo.bounds import bounds_px, densified
from geodetect.geo.grid import Grid, parse_crs
from geodetect.geo.reproject import reproject, same_crs
from geodetect.io.layers import AREA, LABELS, Source, read_layer

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Objects = NDArray[np.object_]

DEFAULT_CLASS = "object"
CLASS_FIELDS = (
    *("class", "class_name", "classname", "class_label"),
    *("label", "category", "category_name"),
)
# May also be the name of a place or the kind of a geometry: a class only if its values repeat.
VAGUE_CLASS_FIELDS = ("type", "kind", "name")

_MISSING, _POLYGON, _MULTIPOLYGON, _COLLECTION = -1, 3, 6, 7  # GEOS type numbers


@dataclass(frozen=True)
class AnnotationReport:
    """What reading did to the rows of label files.

    Args:
        rows: Rows in the files.
        dropped: Rows without geometry, or with one that has no area.
        repaired: Rows whose polygon crossed itself.
        split: Objects that came from further, disjoint parts of a row.
    """

    rows: int = 0
    dropped: int = 0
    repaired: int = 0
    split: int = 0

    @classmethod
    def of(cls, annotations: gpd.GeoDataFrame) -> AnnotationReport:
        """The report that ``read_annotations`` left on its table."""
        return cls(**annotations.attrs.get("report", {"rows": len(annotations)}))

    def __add__(self, other: AnnotationReport) -> AnnotationReport:
        mine, theirs = asdict(self), asdict(other)
        return AnnotationReport(**{name: mine[name] + theirs[name] for name in mine})

    def __str__(self) -> str:
        parts = [
            (self.dropped, "without an area left out"),
            (self.repaired, "crossing itself repaired"),
            (self.split, "added from disjoint parts"),
        ]
        changes = [f"{count} {what}" for count, what in parts if count]
        return f"{self.rows} rows of labels" + (f": {', '.join(changes)}" if changes else "")


def read_annotations(
    path: Source | Sequence[Source],
    *,
    class_field: str | None = None,
    default_class: str | None = None,
    crs: str | None = None,
) -> gpd.GeoDataFrame:
    """Read labelled polygons from one vector file or several.

    Any format GDAL reads, and GeoParquet. ``FILE|layername=NAME`` picks a layer, as in QGIS.
    An object is what hangs together: parts of a multipolygon that touch are one object, disjoint
    parts are objects of their own (a layer dissolved by class would otherwise be one huge box).

    Args:
        path: File or files. Several are brought to the CRS of the first.
        class_field: Column of class names. Without it, the first text or integer column of
            ``CLASS_FIELDS`` with any values, else a text column of ``VAGUE_CLASS_FIELDS`` whose
            values repeat and have no gaps, whatever their case.
        default_class: Class of rows that have none; "object" where a file has no class column.
        crs: CRS of the coordinates, whatever the files say.

    Returns:
        Columns ``class`` (str) and ``geometry`` (two-dimensional valid polygons), rows numbered
        from 0. No rows is legal: ground without objects. ``AnnotationReport.of(table)`` tells
        what was dropped, repaired or split; a ``GeodetectWarning`` says so if the number of
        objects is not that of the rows.

    Raises:
        AnnotationError: No such file, layer or column, no CRS, lines or points, missing classes.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    if not paths:
        raise AnnotationError("no label file was given; name one with --labels")
    wkt = parse_crs(crs, option="--labels-crs") if crs else None
    layers = [_read_objects(p, class_field, default_class=default_class, crs=wkt) for p in paths]
    _check_same_schema(layers, default_class)
    target = layers[0].crs
    geometries = [layer.geometries_in(target) for layer in layers]
    names = [name for layer in layers for name in layer.named(default_class or DEFAULT_CLASS)]
    table = gpd.GeoDataFrame(
        {"class": pd.Series(names, dtype=object)}, geometry=np.concatenate(geometries), crs=target
    )
    report = sum((layer.report for layer in layers), AnnotationReport())
    if report.dropped or report.split:  # the number of objects is not the number of rows
        warnings.warn(str(report), GeodetectWarning, stacklevel=2)
    table.attrs["report"] = asdict(report)  # plain values: attrs are written as JSON to Parquet
    return table


def read_area(path: Source, *, crs: str | None = None) -> tuple[shapely.Geometry, str]:
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
    objects, _ = _connected_parts(_valid(np.asarray(table.geometry))[0])
    if len(objects) == 0:
        raise InputError(f"{path} holds no polygons; an area of interest needs at least one")
    return shapely.union_all(objects), wkt


def boxes_on_grid(annotations: gpd.GeoDataFrame, grid: Grid) -> Float:
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


def annotations_on(annotations: gpd.GeoDataFrame, grid: Grid) -> tuple[Float, Objects, Int]:
    """The labels whose boxes share ground with a grid.

    Returns:
        Their boxes ``float64[K, 4]`` in pixels of the grid (not cut at its border), their class
        names ``object[K]`` and their row numbers ``int64[K]`` in the table.
    """
    boxes = boxes_on_grid(annotations, grid)
    touching = (boxes[:, :2] < [grid.width, grid.height]).all(axis=1)  # NaN compares false
    touching &= (boxes[:, 2:] > 0).all(axis=1)
    rows = np.flatnonzero(touching)
    return boxes[rows], np.asarray(annotations["class"], dtype=object)[rows], rows


@dataclass(frozen=True)
class _Layer:
    path: Source
    geometries: Objects
    names: Objects | None
    crs: str
    report: AnnotationReport

    def geometries_in(self, crs: str) -> Objects:
        if same_crs(self.crs, crs):
            return self.geometries
        return reproject(densified(self.geometries, self.crs), self.crs, crs)

    def named(self, default: str) -> Objects:
        return np.full(len(self.geometries), default, object) if self.names is None else self.names


def _read_objects(
    path: Source, class_field: str | None, *, default_class: str | None, crs: str | None
) -> _Layer:
    """The objects of one file."""
    table, wkt = read_layer(path, crs, LABELS)
    geometries = np.asarray(table.geometry)
    types = shapely.get_type_id(geometries)
    usable = np.isin(types, [_MISSING, _POLYGON, _MULTIPOLYGON, _COLLECTION])
    usable |= shapely.is_empty(geometries)
    if not usable.all():
        found = ", ".join(sorted({str(g.geom_type) for g in geometries[~usable]}))
        raise AnnotationError(f"{path} holds {found}; expected polygons around the objects")
    valid, repaired = _valid(geometries)
    objects, rows = _connected_parts(valid)
    kept = len(np.unique(rows))
    report = AnnotationReport(len(table), len(table) - kept, repaired, len(rows) - kept)
    names = _class_names(table, path, class_field=class_field, default_class=default_class)
    return _Layer(path, objects, None if names is None else names[rows], wkt, report)


def _class_names(
    table: gpd.GeoDataFrame, path: Source, *, class_field: str | None, default_class: str | None
) -> Objects | None:
    """The class of each row; None where the table has no class column."""
    columns = table.drop(columns="geometry")
    field = _obvious_field(columns) if class_field is None else _named_field(columns, class_field)
    if field is None and class_field is not None and len(table):
        found = ", ".join(map(str, columns)) or "geometries"
        raise AnnotationError(
            f"{path} has no column {class_field!r}, only {found}; "
            f"name the column of classes with --class-field"
        )
    if field is None:
        return None
    names = np.array([_as_name(value) for value in columns[field]], dtype=object)
    blank = names == ""
    if blank.any() and default_class is None:
        raise AnnotationError(
            f"{path} has {blank.sum()} of {len(names)} rows without a class in column {field!r}; "
            f"fill them, or name another column with --class-field"
        )
    names[blank] = default_class
    return names


def _named_field(columns: pd.DataFrame, name: str) -> str | None:
    """The column of this name, in any case if there is none in this case."""
    names = [str(column) for column in columns]
    in_any_case = [column for column in names if column.lower() == name.lower()]
    return name if name in names else next(iter(in_any_case), None)


def _obvious_field(columns: pd.DataFrame) -> str | None:
    """The column that plainly holds classes, if there is one."""
    for name in CLASS_FIELDS:
        field = _named_field(columns, name)
        if field and _kind(columns[field]) in ("string", "integer"):
            return field
    for name in VAGUE_CLASS_FIELDS:
        field = _named_field(columns, name)
        if field and _kind(columns[field]) == "string" and _repeats(columns[field]):
            return field
    return None


def _repeats(values: pd.Series[str]) -> bool:
    """Whether values stand for kinds rather than for single things, without gaps."""
    return not values.isna().any() and values.nunique() <= max(1, len(values) // 2)


def _kind(values: pd.Series[str]) -> str:
    """What a column holds besides gaps: "string", "integer", "empty", ..."""
    return str(pd.api.types.infer_dtype(values.dropna().astype(object), skipna=True))


def _as_name(value: object) -> str:
    """A class name; blank for a gap. Integers next to gaps are read as floats: 2.0 is class 2."""
    if value is None or value is pd.NA or value != value:
        return ""
    return (
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    )


def _check_same_schema(layers: Sequence[_Layer], default_class: str | None) -> None:
    """Files with and without classes side by side would silently make a class "object"."""
    filled = [layer for layer in layers if len(layer.geometries)]
    without = [layer for layer in filled if layer.names is None]
    if default_class is None and without and len(without) < len(filled):
        raise AnnotationError(
            f"{without[0].path} has no column of classes, but other label files have one; "
            f"name it with --class-field"
        )


def _valid(geometries: Objects) -> tuple[Objects, int]:
    """Valid geometries, and how many had to be repaired."""
    invalid = ~(shapely.is_valid(geometries) | shapely.is_missing(geometries))
    repaired = geometries.copy()
    repaired[invalid] = shapely.make_valid(
        geometries[invalid], method="structure", keep_collapsed=False
    )
    return repaired, int(invalid.sum())


def _connected_parts(geometries: Objects) -> tuple[Objects, Int]:
    """Polygonal objects that hang together, and the row each comes from (ascending)."""
    outer, row_of_outer = shapely.get_parts(geometries, return_index=True)
    parts, outer_of = shapely.get_parts(outer, return_index=True)  # multis within collections
    solid = (shapely.get_type_id(parts) == _POLYGON) & (shapely.area(parts) > 0)
    parts, rows = parts[solid], row_of_outer[outer_of][solid].astype(np.int64)
    if len(parts) == len(np.unique(rows)):
        return parts, rows
    pairs = shapely.STRtree(parts).query(parts, predicate="intersects")
    first = _components(len(parts), pairs[:, rows[pairs[0]] == rows[pairs[1]]])
    _, group, size = np.unique(first, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    objects = np.asarray(shapely.multipolygons(parts[order], indices=group[order]))
    single = size == 1
    objects[single] = shapely.get_geometry(objects[single], 0)
    return objects, rows[np.unique(first)]


def _components(count: int, pairs: Int) -> Int:
    """Lowest member of each item's connected component; ``pairs`` ``[2, P]`` in both directions."""
    label = np.arange(count)
    while True:
        lowest = label.copy()
        np.minimum.at(lowest, pairs[0], label[pairs[1]])
        lowest = lowest[lowest]
        if np.array_equal(lowest, label):
            return label
        label = lowest
