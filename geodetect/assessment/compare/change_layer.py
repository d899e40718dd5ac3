"""Layer of changes: one row for each object in either of the compared layers."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from geodetect.assessment.change_statuses import (
    CONFIRMED,
    MOVED,
    NOT_SEARCHED,
    ReferenceKind,
)
from geodetect.assessment.compare.area_changes import compare_areas
from geodetect.geo.reproject import densify, reproject
from geodetect.io.vector.features import (
    find_column,
    find_score_column,
    prefix_collisions,
    read_scores,
)
from geodetect.io.vector.qgis_style import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    GREY,
    TRUE_POSITIVE,
    YELLOW,
    GeometryKind,
    Symbol,
    categorised_qml,
)
from geodetect.io.vector.read import CHANGE_LAYERS
from geodetect.settings import CompareSettings
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

LAYER = CHANGE_LAYERS[0]
DISTANCE_DECIMALS = 2
# columns of the comparison itself; "parcel" is added with parcels
CHANGE_COLUMNS = ("id", "status", "class", "score", "distance_m", "parcel")
_NULLABLE = {"i": "Int64", "u": "UInt64", "b": "boolean"}  # kinds of numpy that hold no gaps


@dataclass(frozen=True)
class ComparedLayer:
    """One of the two compared layers.

    Args:
        table: Features.
        centres: ``float64[N, 2]`` centres of their boxes, in the CRS of the predictions.
        class_names: ``object[N]`` blank where a feature has no class.
    """

    table: gpd.GeoDataFrame
    centres: FloatArray
    class_names: ObjectArray


@dataclass(frozen=True)
class FeaturePairs:
    """Pairs of features that are the same object.

    Args:
        rows: ``int64[P, 2]`` rows of the predictions and of the reference.
        distances_m: ``float64[P]`` between their centres on the ground, without an offset that was
            taken out.
        by_class: Only features of one class could be paired.
    """

    rows: IntArray
    distances_m: FloatArray
    by_class: bool


def change_table(
    predictions: ComparedLayer,
    reference: ComparedLayer,
    pairs: FeaturePairs,
    *,
    kind: ReferenceKind,
    is_searched: BoolArray,
    settings: CompareSettings,
) -> gpd.GeoDataFrame:
    """Return one row per object: all predictions, then reference features without a prediction.

    Args:
        predictions: Predictions.
        reference: Register, or earlier predictions.
        pairs: Pairs of features that are the same object.
        kind: Kind of the reference.
        is_searched: ``bool[M]`` features of the reference in the searched area.
        settings: ``moved_from`` and ``score_field`` are used.

    Returns:
        In the CRS of the predictions

        - ``id`` int64, 1..N
        - ``status`` str: one of ``kind.statuses`` or "not searched"
        - ``class`` str, ``score`` float64: of the prediction; without one, the class is that of the
          reference if classes were compared
        - ``distance_m`` float64: between the centres of both features, without an offset that was
          taken out; NaN for one alone
        - ``area_ratio``, ``area_differs``: where both layers have outlines, see ``compare_areas``
        - the other columns of the predictions, with ``detection_`` before names that are taken
        - the columns of the reference, with ``kind.prefix`` before names that are taken
        - ``geometry``: of the prediction if there is one
    """
    table, other = predictions.table, reference.table
    unpaired = np.setdiff1d(np.arange(len(other)), pairs.rows[:, 1])
    # for each row of the result the rows in both layers, -1 for none
    row = np.append(np.arange(len(table)), np.full(len(unpaired), -1))
    other_row = np.append(np.full(len(table), -1), unpaired)
    other_row[pairs.rows[:, 0]] = pairs.rows[:, 1]
    distance = np.full(len(row), np.nan)
    distance[pairs.rows[:, 0]] = np.round(pairs.distances_m, DISTANCE_DECIMALS)

    status = np.full(len(row), kind.added, dtype=object)
    status[distance < settings.moved_from] = CONFIRMED
    status[distance >= settings.moved_from] = MOVED
    status[row < 0] = kind.removed
    status[(row < 0) & ~np.append(is_searched, True)[other_row]] = NOT_SEARCHED

    class_names = np.append(predictions.class_names, "")[row]
    if pairs.by_class:
        reference_names = np.append(reference.class_names, "")[other_row]
        class_names = np.where(class_names != "", class_names, reference_names)
    columns = {
        "id": np.arange(1, len(row) + 1),
        "status": pd.Series(status, dtype=str),
        "class": pd.Series(np.where(class_names == "", None, class_names), dtype=object),
        "score": np.append(read_scores(table, settings.score_field), np.nan)[row],
        "distance_m": distance,
        **compare_areas(table, other, pairs.rows, n_rows=len(row)),
    }
    replaced = [find_column(table, "class"), find_score_column(table, settings.score_field)]
    attributes = table.drop(columns=[name for name in replaced if name is not None])
    taken = {*CHANGE_COLUMNS, *columns}
    attributes = prefix_collisions(attributes, taken, "detection_")
    other_attributes = prefix_collisions(other, {*taken, *attributes.columns}, kind.prefix)
    # densified here, as writing the layer in another CRS moves vertices only
    geometry = densify(table.geometry.to_numpy(), table.crs)
    other_geometry = reproject(densify(other.geometry.to_numpy(), other.crs), other.crs, table.crs)
    geometry = np.append(geometry, other_geometry[unpaired])
    return gpd.GeoDataFrame(
        pd.concat(
            [
                pd.DataFrame(columns),
                _take_rows(attributes, row),
                _take_rows(other_attributes, other_row),
            ],
            axis=1,
        ),
        geometry=gpd.array.from_shapely(geometry, crs=table.crs),
    )


def status_symbols(kind: ReferenceKind) -> dict[str, Symbol]:
    """Return the symbol of each status; those of features without a prediction are dashed."""
    return {
        NOT_SEARCHED: Symbol(GREY, line="dot", casing=False),
        CONFIRMED: Symbol(TRUE_POSITIVE),
        MOVED: Symbol(YELLOW),
        kind.removed: Symbol(FALSE_NEGATIVE, line="dash", width_mm=0.7),
        kind.added: Symbol(FALSE_POSITIVE, width_mm=0.7),
    }


def change_style(changes: gpd.GeoDataFrame, kind: ReferenceKind) -> str:
    """Return the QGIS style: a colour for each status, features without a prediction dashed."""
    is_point = changes.geom_type.isin(("Point", "MultiPoint"))
    geometry: GeometryKind = "point" if len(is_point) and is_point.all() else "polygon"
    return categorised_qml("status", status_symbols(kind), geometry=geometry)


def _take_rows(table: gpd.GeoDataFrame, rows: IntArray) -> pd.DataFrame:
    """Return the attributes of some rows; those of row -1 are missing."""
    columns = pd.DataFrame(table.drop(columns=table.geometry.name))
    kinds = {name: getattr(dtype, "kind", "O") for name, dtype in columns.dtypes.items()}
    types = {name: _NULLABLE[kind] for name, kind in kinds.items() if kind in _NULLABLE}
    return columns.astype(types).reindex(rows).reset_index(drop=True)
