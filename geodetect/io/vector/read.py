"""Reading of vector layers, from files or tables, by the role of the layer."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from pyogrio.errors import CRSError
from pyproj import CRS

from geodetect.errors import (
    GeodetectWarning,
    GeoreferenceError,
    InputError,
    LabelError,
    error_text,
    list_names,
    translate_errors,
)
from geodetect.geo.crs import WGS84, horizontal_crs, parse_crs, transformer_between, unit_factor
from geodetect.geo.polygons import connected_parts, repair_polygons, union_polygons
from geodetect.io.untrusted.vector_files import checked_vector_file, fetched
from geodetect.io.vector.archive import archived_name
from geodetect.io.vector.csv_table import is_csv, read_csv_layer
from geodetect.io.vector.geojson import LINES
from geodetect.io.vector.integrity import (
    check_database,
    check_features,
    check_lines,
    check_shapefile,
    check_text,
    has_lines,
)
from geodetect.progress import phase
from geodetect.types import AreaSource, ObjectArray, PathLike

COVERAGE_LAYER = "coverage"
# of a GeoPackage that ``predict`` writes, and of one that ``compare`` writes
PREDICTION_LAYERS = ("detections", COVERAGE_LAYER)
CHANGE_LAYERS = ("changes", COVERAGE_LAYER)
MAX_EXTENT_M = 1e8  # from the origin of a projected CRS; the Earth has a girth of 4e7
# GEOS type numbers: simple, multiple
POINT_TYPES, POLYGON_TYPES, COLLECTION_TYPE = (0, 4), (3, 6), 7

# messages of GDAL about what is mended, or is no damage
_HARMLESS = ("Non closed ring", "Measured (M) geometry types")

OptionalCrs = TypeVar("OptionalCrs", bound=CRS | None)
LayerSource: TypeAlias = PathLike | gpd.GeoDataFrame


@dataclass(frozen=True)
class LayerRole:
    """Role that a layer plays in a function.

    Args:
        name: Noun phrase for messages, such as "the predictions".
        crs_parameter: Parameter that overrides the CRS of the layer; empty: none does.
        layer_names: Layers to read from a file of several layers: the first of them it has.
        points: Points are accepted beside polygons.
        anywhere: Coordinates that the CRS does not reach are accepted: they lie on no raster.
        error: Class of the errors that are raised.
    """

    name: str
    crs_parameter: str = ""
    layer_names: tuple[str, ...] = ()
    points: bool = True
    anywhere: bool = False
    error: type[InputError] = InputError

    @property
    def crs_advice(self) -> str:
        """Advice for a layer without CRS, as part of a message."""
        if self.crs_parameter:
            return f"name it with `{self.crs_parameter}`"
        return "save it with one, e.g. as GeoPackage"


PREDICTIONS = LayerRole("the predictions", "pred_crs", (PREDICTION_LAYERS[0], CHANGE_LAYERS[0]))
LABELS = LayerRole("the labels", "labels_crs", anywhere=True, error=LabelError)
AREA = LayerRole("the area of interest", points=False)


def read_layer(
    source: LayerSource, role: LayerRole, *, crs: str | None = None, require_crs: bool = True
) -> gpd.GeoDataFrame:
    """Read one layer with all its columns and rows.

    Args:
        source: Any format GDAL reads, GeoParquet, or a table. ``FILE|layername=NAME`` picks a
            layer; of a file that ``predict`` wrote it is the detections, unless the role names
            another layer.
        role: Role of the layer.
        crs: CRS of the coordinates, whatever the file says.
        require_crs: Raise an error for a table without CRS, as always for a file.

    Returns:
        The rows, numbered from 0, without heights, in a horizontal CRS; the only geometry column
        is called ``geometry``. Geometries that GDAL cannot repair are missing.

    Raises:
        InputError: As ``role.error``: no such file or layer, no geometries, no CRS.
    """
    layer_crs = parse_crs(crs, parameter=role.crs_parameter) if crs else None
    if isinstance(source, gpd.GeoDataFrame):
        table, name, is_file = source, role.name, False
    else:
        with phase(f"Reading {role.name}"):
            table = _read_file(source, role, has_crs=crs is not None)
        name, is_file = os.fspath(source), True
    # GeoPackage's "Undefined Cartesian SRS" and the like are no CRS
    if layer_crs is None and table.crs and not table.crs.name.lower().startswith("undefined"):
        layer_crs = table.crs
    geometry = _check_coordinates(np.asarray(table.geometry), name, role)
    if layer_crs is not None:
        layer_crs = horizontal_crs(layer_crs)
        if is_file:
            _check_extent(geometry, layer_crs, name, role)
    elif is_file:
        raise role.error(f"{name} has no coordinate reference system; {role.crs_advice}")
    elif require_crs:
        raise GeoreferenceError(f"{name}: no coordinate reference system; {role.crs_advice}")
    geometry_columns = [*table.select_dtypes("geometry").columns, "geometry"]
    columns = pd.DataFrame(table.drop(columns=geometry_columns, errors="ignore"))
    return gpd.GeoDataFrame(columns.reset_index(drop=True), geometry=geometry, crs=layer_crs)


def read_features(
    source: LayerSource, role: LayerRole, *, crs: str | None = None
) -> gpd.GeoDataFrame:
    """Read the rows of a layer that have a geometry, with all columns.

    Args:
        source: As for ``read_layer``.
        role: Role of the layer.
        crs: CRS of the coordinates, whatever the file says.

    Returns:
        As of ``read_layer``, numbered from 0. A ``GeodetectWarning`` counts the rows that are left
        out. Invalid polygons stay as they are.

    Raises:
        InputError: The layer cannot be read, has no CRS, or holds other geometries.
    """
    table = read_layer(source, role, crs=crs)
    name = role.name if isinstance(source, gpd.GeoDataFrame) else os.fspath(source)
    geometry = np.asarray(table.geometry.array)
    has_geometry = shapely.get_num_coordinates(geometry) > 0
    if not has_geometry.all():
        warnings.warn(
            f"{name}: {(~has_geometry).sum():,} of {len(table):,} rows without a geometry are "
            f"left out",
            GeodetectWarning,
            stacklevel=2,
        )
    accepted = [*POLYGON_TYPES, COLLECTION_TYPE, *(POINT_TYPES if role.points else ())]
    is_other = has_geometry & ~np.isin(shapely.get_type_id(geometry), accepted)
    if is_other.any():
        types = ", ".join(sorted({str(shape.geom_type) for shape in geometry[is_other]}))
        expected = "points or polygons" if role.points else "polygons"
        raise role.error(f"{name} holds {types}; expected {expected}")
    return table[has_geometry].reset_index(drop=True)


def read_area(
    source: AreaSource, *, default_crs: OptionalCrs
) -> tuple[shapely.Geometry, CRS | OptionalCrs]:
    """Read an area of interest: the union of polygons.

    Args:
        source: Any format GDAL reads, and GeoParquet; ``FILE|layername=NAME`` picks a layer. Or a
            table, a column of geometries or a geometry.
        default_crs: CRS of what has none and is no file.

    Returns:
        A polygon or multipolygon, and its CRS.

    Raises:
        InputError: No such file, a file without CRS, or no polygons.
    """
    if isinstance(source, str | os.PathLike):
        table, name = read_layer(source, AREA), os.fspath(source)
    else:
        if not isinstance(source, gpd.GeoDataFrame):
            geometry = source if isinstance(source, gpd.GeoSeries) else [source]
            source = gpd.GeoDataFrame(geometry=geometry)
        table, name = read_layer(source, AREA, require_crs=False), AREA.name
    polygons, _ = connected_parts(repair_polygons(np.asarray(table.geometry), name)[0])
    if len(polygons) == 0:
        raise InputError(f"{name} holds no polygons; an area of interest needs at least one")
    return union_polygons(polygons), default_crs if table.crs is None else table.crs


def has_layer(path: PathLike, name: str) -> bool:
    """Return True if the file has a layer of this name."""
    file = os.fspath(path)
    with (
        suppress(InputError),
        translate_errors(file, InputError),
        checked_vector_file(file, file) as opened,
    ):
        return name in {str(layer) for layer, _ in pyogrio.list_layers(opened)}
    return False


def _check_coordinates(geometry: ObjectArray, name: str, role: LayerRole) -> ObjectArray:
    """Return geometries without heights; points without a position are missing.

    Raises:
        InputError: As ``role.error``: a coordinate is infinite, or not a number.
    """
    geometry = shapely.force_2d(geometry)
    points, rows = shapely.get_coordinates(geometry, return_index=True)
    is_finite = np.isfinite(points).all(axis=1)
    if is_finite.all():
        return geometry
    damaged = np.unique(rows[~is_finite])
    is_unplaced = (shapely.get_type_id(geometry[damaged]) == 0) & np.isnan(
        shapely.get_x(geometry[damaged])
    )
    geometry[damaged[is_unplaced]] = None
    damaged = damaged[~is_unplaced]
    if len(damaged):
        raise role.error(
            f"{name}: {len(damaged):,} of {len(geometry):,} geometries have coordinates that are "
            f"no numbers, the first in row {damaged[0] + 1:,}; expected finite ones"
        )
    return geometry


def _check_extent(geometry: ObjectArray, crs: CRS, name: str, role: LayerRole) -> None:
    """Check that coordinates can lie in their CRS: GeoJSON often holds metres.

    Raises:
        InputError: As ``role.error``: they are far beyond the Earth.
    """
    corners = shapely.bounds(geometry).reshape(-1, 2)
    corners = corners[np.isfinite(corners).all(axis=1)]
    limits = np.array([2 * np.pi, np.pi / 2]) * 1.0001 if crs.is_geographic else MAX_EXTENT_M
    is_beyond = (np.abs(corners) > limits / unit_factor(crs)).any(axis=1)
    if not (crs.is_geographic or role.anywhere or crs.geodetic_crs is None):
        to_degrees = transformer_between(crs, crs.geodetic_crs.to_2d())
        is_beyond |= ~np.isfinite(to_degrees.transform(*corners.T)).all(axis=0)
    if is_beyond.any():
        unit = "degrees" if crs.is_geographic else "place on the Earth"
        raise role.error(
            f"{name} has coordinates up to {np.abs(corners[is_beyond]).max():.10g}, which are no "
            f"{unit} in its CRS {crs.name}; {role.crs_advice}"
        )


def _read_file(source: PathLike, role: LayerRole, *, has_crs: bool) -> gpd.GeoDataFrame:
    file, _, layer = os.fspath(source).partition("|layername=")
    path = Path(file)
    if "://" not in file and not file.startswith("/vsi") and not path.exists():
        raise role.error(f"{file} does not exist; expected a vector file")
    with (
        translate_errors(f"{file} cannot be read as a vector file", role.error),
        fetched(file) as copy,
    ):
        if copy != file:
            try:
                return _read_file(f"{copy}|layername={layer}", role, has_crs=has_crs)
            except InputError as error:
                raise role.error(str(error).replace(copy, file)) from error
        if file.lower().endswith((".parquet", ".geoparquet")):
            table = gpd.read_parquet(file)
        elif is_csv(path) and path.is_file():
            try:
                table = read_csv_layer(path, prefer_xy=has_crs)
            except InputError as error:
                raise role.error(str(error)) from error
        elif path.suffix.lower() in LINES and path.is_file() and path.stat().st_size == 0:
            # newline-delimited GeoJSON without features, which GDAL does not recognise
            warnings.warn(f"{file} is an empty file: no features", GeodetectWarning, stacklevel=3)
            table = gpd.GeoDataFrame(geometry=[], crs=WGS84)
        else:
            table = _read_with_gdal(file, layer or None, role)
    if not isinstance(table, gpd.GeoDataFrame):
        raise role.error(f"{os.fspath(source)} has no geometries; expected polygons")
    return table


def _read_with_gdal(file: str, layer: str | None, role: LayerRole) -> gpd.GeoDataFrame:
    """Read a layer with GDAL, and check that none of its features are lost."""
    path = Path(file)
    if path.is_file():
        if path.suffix.lower() == ".shp":
            check_shapefile(path)
        check_database(path)
        check_text(path)
    name = archived_name(path) if path.is_file() else file
    with checked_vector_file(file, name) as name:
        layer = layer or _choose_layer(name, role, file)
        table = _read_rows(name, layer, role)
        if path.is_file() and isinstance(table, gpd.GeoDataFrame):
            if has_lines(path):
                check_lines(path, len(table))
            check_features(name, table, layer)
    return table


def _read_rows(name: str, layer: str | None, role: LayerRole) -> gpd.GeoDataFrame:
    """Read the rows of a layer with GDAL, whose warnings tell of damage."""
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        try:
            # rings that are left open are closed
            table = pyogrio.read_dataframe(name, layer=layer, on_invalid="fix")
        except CRSError as error:
            raise ValueError(
                f"its CRS is damaged: {error_text(error)}; mend or delete it, in a Shapefile the "
                f".prj, and {role.crs_advice}"
            ) from error
    texts = [error_text(m.message) for m in messages if isinstance(m.message, Warning)]
    texts = [text for text in texts if not text.startswith(_HARMLESS)]
    if not isinstance(table, gpd.GeoDataFrame):
        return table
    is_missing = np.asarray(table.geometry.isna())
    if is_missing.any() and texts:
        row = int(np.flatnonzero(is_missing)[0]) + 1
        raise ValueError(f"the geometry of row {row:,} is damaged: {texts[0]}")
    return table


def _choose_layer(name: str, role: LayerRole, file: str) -> str | None:
    """Return the layer to read of a file that GDAL calls ``name``; None: GDAL's default."""
    layers = [(str(layer), kind) for layer, kind in pyogrio.list_layers(name)]
    spatial = {name: kind for name, kind in layers if kind is not None}
    polygons = [name for name, kind in spatial.items() if "Polygon" in kind]
    preferred = [name for name in role.layer_names if name in spatial][:1]
    for names in (PREDICTION_LAYERS, CHANGE_LAYERS):
        if not preferred and sorted(spatial) == sorted(names):
            return names[0]
    candidates = preferred or polygons or list(spatial)
    if len(candidates) > 1:
        raise role.error(
            f"{file} has the layers {list_names(candidates)}; pick one as "
            f"{file}|layername={candidates[0]}"
        )
    return candidates[0] if candidates else None
