"""Reading of vector layers, from files or tables, by the role of the layer."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from pyproj import CRS

from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError, LabelError
from geodetect.geo.crs import WGS84, horizontal_crs, parse_crs, unit_factor
from geodetect.geo.polygons import connected_parts, repair_polygons
from geodetect.io.vector.geojson import LINES
from geodetect.types import PathLike

PREDICTION_LAYERS = ("detections", "coverage")  # of a GeoPackage that ``predict`` writes
# GEOS type numbers: simple, multiple
POINT_TYPES, POLYGON_TYPES, COLLECTION_TYPE = (0, 4), (3, 6), 7

LayerSource: TypeAlias = PathLike | gpd.GeoDataFrame


@dataclass(frozen=True)
class LayerRole:
    """Role that a layer plays in a function.

    Args:
        name: Noun phrase for messages, such as "the predictions".
        crs_parameter: Parameter that overrides the CRS of the layer; empty: none does.
        layer_names: Layers to read from a file of several layers: the first of them it has.
        points: Points are accepted beside polygons.
        error: Class of the errors that are raised.
    """

    name: str
    crs_parameter: str = ""
    layer_names: tuple[str, ...] = ()
    points: bool = True
    error: type[InputError] = InputError

    @property
    def crs_advice(self) -> str:
        """Advice for a layer without CRS, as part of a message."""
        if self.crs_parameter:
            return f"name it with `{self.crs_parameter}`"
        return "save it with one, e.g. as GeoPackage"


PREDICTIONS = LayerRole("the predictions", "pred_crs", PREDICTION_LAYERS[:1])
LABELS = LayerRole("the labels", "labels_crs", error=LabelError)
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
        table, name, is_file = _read_file(source, role), os.fspath(source), True
    # GeoPackage's "Undefined Cartesian SRS" and the like are no CRS
    if layer_crs is None and table.crs and not table.crs.name.lower().startswith("undefined"):
        layer_crs = table.crs
    geometry = shapely.force_2d(np.asarray(table.geometry))
    if layer_crs is not None:
        layer_crs = horizontal_crs(layer_crs)
        if is_file and layer_crs.is_geographic:
            bounds = shapely.bounds(geometry).reshape(-1, 2, 2)
            limit = np.array([2 * np.pi, np.pi / 2]) / unit_factor(layer_crs) * 1.0001
            if (np.abs(bounds) > limit).any():  # often metres in GeoJSON
                raise role.error(
                    f"{name} has coordinates up to {np.nanmax(np.abs(bounds)):.0f}, which are no "
                    f"degrees of its CRS {layer_crs.name}; {role.crs_advice}"
                )
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


def read_area(path: PathLike, *, crs: str | None = None) -> tuple[shapely.Geometry, CRS]:
    """Read an area of interest: the union of the polygons of a vector file.

    Args:
        path: Any format GDAL reads, and GeoParquet; ``FILE|layername=NAME`` picks a layer.
        crs: CRS of the coordinates, whatever the file says.

    Returns:
        A polygon or multipolygon, and its CRS.

    Raises:
        InputError: No such file, no CRS, or no polygons.
    """
    table = read_layer(path, AREA, crs=crs)
    polygons, _ = connected_parts(repair_polygons(np.asarray(table.geometry))[0])
    if len(polygons) == 0:
        raise InputError(f"{path} holds no polygons; an area of interest needs at least one")
    return shapely.union_all(polygons), table.crs


def has_layer(path: PathLike, name: str) -> bool:
    """Return True if the file has a layer of this name."""
    try:
        return name in {str(layer) for layer, _ in pyogrio.list_layers(os.fspath(path))}
    except (OSError, RuntimeError, ValueError):
        return False


def _read_file(source: PathLike, role: LayerRole) -> gpd.GeoDataFrame:
    file, _, layer = os.fspath(source).partition("|layername=")
    path = Path(file)
    if "://" not in file and not file.startswith("/vsi") and not path.exists():
        raise role.error(f"{file} does not exist; expected a vector file")
    try:
        if file.lower().endswith((".parquet", ".geoparquet")):
            table = gpd.read_parquet(file)
        elif path.suffix.lower() in LINES and path.is_file() and path.stat().st_size == 0:
            # newline-delimited GeoJSON without features, which GDAL does not recognise
            table = gpd.GeoDataFrame(geometry=[], crs=WGS84)
        else:
            table = pyogrio.read_dataframe(
                file,
                layer=layer or _choose_layer(file, role),
                on_invalid="fix",  # rings that are left open are closed
            )
    except (OSError, RuntimeError, ValueError, NotImplementedError) as error:
        if isinstance(error, InputError):
            raise
        raise role.error(f"{file} cannot be read as a vector file: {error}") from error
    if not isinstance(table, gpd.GeoDataFrame):
        raise role.error(f"{os.fspath(source)} has no geometries; expected polygons")
    return table


def _choose_layer(file: str, role: LayerRole) -> str | None:
    """Return the name of the layer to read if the user names none; None: GDAL's default."""
    layers = [(str(name), kind) for name, kind in pyogrio.list_layers(file)]
    spatial = {name: kind for name, kind in layers if kind is not None}
    polygons = [name for name, kind in spatial.items() if "Polygon" in kind]
    preferred = [name for name in role.layer_names if name in spatial][:1]
    candidates = preferred or polygons or list(spatial)
    if sorted(candidates) == sorted(PREDICTION_LAYERS):
        return PREDICTION_LAYERS[0]
    if len(candidates) > 1:
        raise role.error(
            f"{file} has the layers {', '.join(candidates)}; pick one as "
            f"{file}|layername={candidates[0]}"
        )
    return candidates[0] if candidates else None
