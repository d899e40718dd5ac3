"""Features of any kind as the comparison of layers needs them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError
from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import projected_bounds
from geodetect.geo.crs import horizontal_crs, parse_crs
from geodetect.io.vector.read import Wording, read_layer
from geodetect.types import FloatArray, ObjectArray, PathLike

SCORE_COLUMNS = ("score", "scores", "confidence", "conf", "probability")
# what a GeoPackage keeps for itself
RESERVED = ("fid", "ogc_fid", "geom", "geometry")

_POINTS, _POLYGONS, _COLLECTION, _MISSING = (0, 4), (3, 6), 7, -1  # GEOS type numbers


@dataclass(frozen=True)
class Role:
    """What a layer is used for.

    Args:
        name: What messages call it.
        option: The option that names its file.
        crs_option: The option that states its CRS; empty: there is none.
        layers: Names of layers, the first of which is read where a file has several.
        points: Whether it may hold points.
    """

    name: str
    option: str
    crs_option: str = ""
    layers: tuple[str, ...] = ()
    points: bool = True

    @property
    def crs_advice(self) -> str:
        """What to do about a layer without CRS."""
        if self.crs_option:
            return f"name it with {self.crs_option}"
        return "save it with one, e.g. as GeoPackage"


PREDICTIONS = Role("the detections", "PRED", "--pred-crs", ("detections",))


def read_features(
    source: PathLike | gpd.GeoDataFrame, role: Role, *, crs: str | None = None
) -> gpd.GeoDataFrame:
    """Read a layer with all its columns.

    Args:
        source: Any format GDAL reads, GeoParquet, or a table. ``FILE|layername=NAME`` picks a
            layer.
        role: What it is used for.
        crs: CRS of the coordinates, whatever the file says.

    Returns:
        The rows that have a geometry, numbered from 0, two-dimensional, with its column called
        ``geometry``. A ``GeodetectWarning`` tells of rows without. Invalid polygons stay as they
        are.

    Raises:
        InputError: It cannot be read, has no CRS, or holds other geometries.
    """
    stated = parse_crs(crs, option=role.crs_option) if crs else None
    if isinstance(source, gpd.GeoDataFrame):
        table, name = _of_table(source, stated, role), role.name
    else:
        table = read_layer(
            source, stated, Wording(InputError, role.crs_advice), preferred=role.layers
        )
        name = str(source)
    others = table.select_dtypes("geometry").columns.drop(table.geometry.name)
    table = table.drop(columns=others)  # centroids and the like, which no format takes
    geometry = np.asarray(table.geometry.array)
    there = ~(shapely.is_missing(geometry) | shapely.is_empty(geometry))
    if not there.all():
        warnings.warn(
            f"{name}: {(~there).sum():,} of {len(there):,} rows without a geometry are left out",
            GeodetectWarning,
            stacklevel=2,
        )
    _check_kinds(geometry[there], name, role)
    return table[there].reset_index(drop=True)


def box_centres(table: gpd.GeoDataFrame, crs: CRS | None = None) -> FloatArray:
    """Centres of the bounding boxes of features.

    Args:
        table: Features with a CRS.
        crs: CRS of the map on which boxes are drawn; None: that of the table.

    Returns:
        ``float64[N, 2]`` map coordinates; NaN where the CRS does not reach.
    """
    geometries = np.asarray(table.geometry.array, dtype=object)
    boxes = projected_bounds(geometries, table.crs, crs or table.crs)
    return box_ops.centres(boxes)


def score_column(table: gpd.GeoDataFrame) -> str | None:
    """The column that holds scores: the first of ``SCORE_COLUMNS``, in any case."""
    found = (named_column(table, name) for name in SCORE_COLUMNS)
    return next((name for name in found if name is not None), None)


def scores_of(table: gpd.GeoDataFrame, role: Role) -> FloatArray:
    """Scores as ``float64[N]``, NaN where there is none.

    Raises:
        InputError: The column of scores holds something else than numbers.
    """
    column = score_column(table)
    if column is None:
        return np.full(len(table), np.nan)
    try:
        numbers = pd.to_numeric(table[column])  # a CSV file holds texts only
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{role.name}: column {column!r} holds something else than numbers ({error}); expected "
            f"scores from 0 to 1"
        ) from error
    return np.asarray(numbers, dtype=np.float64)


def sure_enough(table: gpd.GeoDataFrame, conf: float | None, role: Role) -> gpd.GeoDataFrame:
    """The rows with at least a score, numbered from 0; all rows if none is asked for.

    Raises:
        InputError: A score is asked for, but there are none.
    """
    if conf is None:
        return table
    if score_column(table) is None:
        raise InputError(f"{role.name} have no column 'score', which --conf needs; leave it away")
    return table[scores_of(table, role) >= conf].reset_index(drop=True)


def named_column(table: pd.DataFrame, name: str) -> str | None:
    """The column of this name, in any case if there is none in this case."""
    names = [str(column) for column in table.columns]
    in_any_case = [column for column in names if column.lower() == name.lower()]
    return name if name in names else next(iter(in_any_case), None)


def without_collisions(
    table: gpd.GeoDataFrame, taken: frozenset[str] | set[str], prefix: str
) -> gpd.GeoDataFrame:
    """A table whose columns can stand beside others: those that would collide get a prefix.

    Names are compared as databases do, whatever their case.

    Args:
        table: Features; the geometry keeps its name.
        taken: Names in use.
        prefix: What is put before a name, as often as needed.
    """
    used = {name.lower() for name in (*taken, *RESERVED)}
    renamed: dict[str, str] = {}
    for column in table.columns.drop(table.geometry.name):
        name = str(column)
        while name.lower() in used:
            name = f"{prefix}{name}"
        used.add(name.lower())
        renamed[column] = name
    return table.rename(columns=renamed)


def _of_table(source: gpd.GeoDataFrame, stated: CRS | None, role: Role) -> gpd.GeoDataFrame:
    crs = stated or source.crs
    if crs is None:
        raise GeoreferenceError(
            f"{role.name} ({role.option}) has no coordinate reference system; {role.crs_advice}"
        )
    flat = shapely.force_2d(np.asarray(source.geometry.array))
    columns = pd.DataFrame(source.drop(columns=source.geometry.name)).reset_index(drop=True)
    columns = columns.drop(columns="geometry", errors="ignore")
    geometry = gpd.array.from_shapely(flat, crs=horizontal_crs(crs))
    return gpd.GeoDataFrame(columns, geometry=geometry)


def _check_kinds(geometry: ObjectArray, name: str, role: Role) -> None:
    kinds = [_MISSING, *_POLYGONS, _COLLECTION, *(_POINTS if role.points else ())]
    strange = ~np.isin(shapely.get_type_id(geometry), kinds)
    if strange.any():
        found = ", ".join(sorted({str(g.geom_type) for g in geometry[strange]}))
        expected = "points or polygons" if role.points else "polygons"
        raise InputError(f"{name} holds {found}; expected {expected} ({role.option})")
