"""Score columns, names of columns, box centres and reprojection of vector features."""

from __future__ import annotations

from collections.abc import Iterable

import geopandas as gpd
import numpy as np
import pandas as pd
from pyproj import CRS

from geodetect.class_names import normalize_class_name
from geodetect.errors import InputError, list_names, suggest
from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import projected_bounds
from geodetect.geo.crs import same_crs
from geodetect.geo.reproject import densify, reproject
from geodetect.io.vector.read import PREDICTIONS, LayerRole
from geodetect.types import FloatArray

SCORE_COLUMNS = ("score", "scores", "confidence", "conf", "probability")
AREA_LIMIT_COLUMNS = (("area_low_m2", "area_low_m"), ("area_high_m2", "area_high_"))
GEOPACKAGE_COLUMNS = ("fid", "ogc_fid", "geom", "geometry")  # names that the format reserves


def box_centres(table: gpd.GeoDataFrame, crs: CRS | None = None) -> FloatArray:
    """Return the centres of the bounding boxes of features.

    Args:
        table: Features with a CRS.
        crs: CRS of the bounding boxes; None: that of the table.

    Returns:
        ``float64[N, 2]`` map coordinates; NaN where the CRS does not reach.
    """
    boxes = projected_bounds(table.geometry.to_numpy(), table.crs, crs or table.crs)
    return box_ops.centres(boxes)


def reproject_features(table: gpd.GeoDataFrame, crs: CRS) -> gpd.GeoDataFrame:
    """Reproject features, with vertices along long edges, which ``to_crs`` leaves straight.

    Args:
        table: Features with a CRS.
        crs: CRS to project to.
    """
    if same_crs(table.crs, crs):
        return table.set_crs(crs, allow_override=True)
    moved = reproject(densify(table.geometry.to_numpy(), table.crs), table.crs, crs)
    return table.set_geometry(gpd.array.from_shapely(moved, crs=crs))


def find_column(table: pd.DataFrame, name: str) -> str | None:
    """Return the column of this name, in any case if there is none in this case."""
    names = [str(column) for column in table.columns]
    folded = normalize_class_name(name).lower()  # a name of macOS is decomposed
    in_any_case = [column for column in names if normalize_class_name(column).lower() == folded]
    return name if name in names else next(iter(in_any_case), None)


def require_column(table: gpd.GeoDataFrame, name: str, role: LayerRole, *, parameter: str) -> str:
    """Return the column of this name, as ``find_column``.

    Args:
        table: A layer.
        name: Name of the column.
        role: Role of the layer, for the message.
        parameter: Parameter that holds the name, for the message.

    Raises:
        InputError: There is no such column.
    """
    column = find_column(table, name)
    if column is None:
        columns = table.columns.drop(table.geometry.name)
        present = list_names(columns) or "geometries"
        raise InputError(
            f"{role.name} have no column {name!r}, only {present}; name another one with "
            f"`{parameter}`{suggest(name, map(str, columns))}"
        )
    return column


def find_score_column(table: gpd.GeoDataFrame, score_field: str | None = None) -> str | None:
    """Return the column of scores of predictions; None if there is none.

    Args:
        table: Predictions.
        score_field: Its name, in any case; None: the first of ``SCORE_COLUMNS``.

    Raises:
        InputError: There is no column ``score_field``.
    """
    if score_field is not None:
        return require_column(table, score_field, PREDICTIONS, parameter="score_field")
    columns = (find_column(table, name) for name in SCORE_COLUMNS)
    return next((column for column in columns if column is not None), None)


def read_scores(table: gpd.GeoDataFrame, score_field: str | None = None) -> FloatArray:
    """Return the scores of predictions, ``float64[N]``; NaN where there is none.

    Args:
        table: Predictions.
        score_field: As for ``find_score_column``.

    Raises:
        InputError: The column of scores is absent, or holds texts.
    """
    column = find_score_column(table, score_field)
    if column is None:
        return np.full(len(table), np.nan)
    values = table[column]
    try:
        if not pd.api.types.is_numeric_dtype(values):  # CSV holds texts only
            texts = values.astype("string").str.strip().str.replace(",", ".")
            is_percent = texts.str.endswith("%").fillna(False).to_numpy(bool)
            scale = np.where(is_percent, 0.01, 1.0)
            values = pd.to_numeric(texts.str.rstrip("% ").replace("", None)) * scale
        return values.to_numpy(np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{PREDICTIONS.name}: column {column!r} holds no numbers ({error}); expected scores "
            f"from 0 to 1, or another column as `score_field`"
        ) from error


def read_area_limits(table: gpd.GeoDataFrame) -> FloatArray | None:
    """Return the ends of the 95 % intervals of the areas of predictions.

    Args:
        table: Predictions, perhaps of a Shapefile, which cuts the names of columns.

    Returns:
        ``float64[N, 2]`` square metres, NaN where there is none; None without such columns.
    """
    columns = [
        next((c for name in names if (c := find_column(table, name)) is not None), None)
        for names in AREA_LIMIT_COLUMNS
    ]
    if any(column is None for column in columns):
        return None
    numbers = [pd.to_numeric(table[column], errors="coerce") for column in columns]
    return np.stack([n.to_numpy(np.float64, na_value=np.nan) for n in numbers], axis=1)


def filter_by_score(
    table: gpd.GeoDataFrame, conf: float | None, score_field: str | None = None
) -> gpd.GeoDataFrame:
    """Return the rows with at least this score, numbered from 0; all rows if ``conf`` is None.

    Raises:
        InputError: There is a least score, but no column of scores.
    """
    if conf is None:
        return table
    if find_score_column(table, score_field) is None:
        raise InputError(
            f"{PREDICTIONS.name} have no column 'score', which `conf` needs; name one with "
            f"`score_field`, or leave `conf` away"
        )
    return table[read_scores(table, score_field) >= conf].reset_index(drop=True)


def prefix_collisions(
    table: gpd.GeoDataFrame, taken: Iterable[str], prefix: str
) -> gpd.GeoDataFrame:
    """Put a prefix before names of columns that are taken or reserved.

    Names are compared as databases do, whatever their case.

    Args:
        table: Features; the geometry keeps its name.
        taken: Names in use.
        prefix: Put before a name, as often as needed.
    """
    used = {name.lower() for name in (*taken, *GEOPACKAGE_COLUMNS)}
    renamed: dict[str, str] = {}
    for column in table.columns.drop(table.geometry.name):
        name = str(column)
        while name.lower() in used:
            name = f"{prefix}{name}"
        used.add(name.lower())
        renamed[column] = name
    return table.rename(columns=renamed)
