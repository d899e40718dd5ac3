"""The layer of changes: what users see of a comparison."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
from pyproj import CRS

from geodetect.geo.bounds import densified
from geodetect.geo.reproject import reproject
from geodetect.io.vector.features import (
    PREDICTIONS,
    Role,
    named_column,
    score_column,
    scores_of,
    without_collisions,
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
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

CONFIRMED, MOVED, NOT_LOOKED_AT = "confirmed", "moved", "not looked at"
LAYER = "changes"
DISTANCE_DECIMALS = 2
# the columns of the comparison itself; "parcel" is added with parcels
OWN_COLUMNS = ("id", "status", "class", "score", "distance_m", "parcel")
_NULLABLE = {"i": "Int64", "u": "UInt64", "b": "boolean"}  # kinds of numpy that hold no gaps


@dataclass(frozen=True)
class Words:
    """How a comparison speaks of what it compares.

    Args:
        role: The layer that detections are compared with.
        found: Status of what only the detections have.
        gone: Status of what only the other layer has.
        prefix: Put before columns of the other layer whose name is taken.
    """

    role: Role
    found: str
    gone: str
    prefix: str

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses, in the order in which they are told; with a coverage ``NOT_LOOKED_AT``."""
        return self.found, CONFIRMED, MOVED, self.gone


@dataclass(frozen=True)
class Side:
    """One of the two layers.

    Args:
        table: Its features.
        places: ``float64[N, 2]`` their centres on the map of the detections.
        names: ``object[N]`` their classes, blank where they have none.
    """

    table: gpd.GeoDataFrame
    places: FloatArray
    names: ObjectArray


@dataclass(frozen=True)
class Pairs:
    """Which features are the same object.

    Args:
        rows: ``int64[P, 2]`` rows of the detections and of the other layer.
        distances_m: ``float64[P]`` between their centres.
        by_class: Whether only features of one class could be the same object.
    """

    rows: IntArray
    distances_m: FloatArray
    by_class: bool


def change_table(
    ours: Side,
    theirs: Side,
    pairs: Pairs,
    *,
    moved_from: float,
    unseen: BoolArray,
    words: Words,
) -> gpd.GeoDataFrame:
    """One row per feature: all detections, then what no detection shows.

    Args:
        ours: Detections.
        theirs: The other layer.
        pairs: Which features are the same object.
        moved_from: Distance in metres from which on the object has moved.
        unseen: ``bool[M]`` which features of the other layer lie where nobody looked.
        words: How to call what.

    Returns:
        In the CRS of the detections

        - ``id`` int64, 1..N
        - ``status`` str: one of ``words.statuses`` or "not looked at"
        - ``class`` str, ``score`` float64: of the detection; what only the other layer has, has
          its class there if classes were compared
        - ``distance_m`` float64: how far the centres of both layers are apart; NaN for one alone
        - the other columns of the detections, with ``detection_`` before names that are taken
        - the columns of the other layer, with ``words.prefix`` before names that are taken
        - ``geometry``: of the detection if there is one
    """
    partner = np.full(len(ours.table), -1)
    partner[pairs.rows[:, 0]] = pairs.rows[:, 1]
    alone = np.setdiff1d(np.arange(len(theirs.table)), pairs.rows[:, 1])
    distance = np.full(len(ours.table) + len(alone), np.nan)
    distance[pairs.rows[:, 0]] = np.round(pairs.distances_m, DISTANCE_DECIMALS)
    found = np.append(np.arange(len(ours.table)), np.full(len(alone), -1))
    other = np.append(partner, alone)
    sides, rows = (ours, theirs), (found, other)
    nobody_looked = np.append(unseen, False)[other]
    status = _statuses(distance, found, nobody_looked, moved_from=moved_from, words=words)
    own = {
        "id": np.arange(1, len(found) + 1),
        "status": pd.Series(status, dtype=str),
        "class": pd.Series(_classes(sides, rows, by_class=pairs.by_class), dtype=object),
        "score": _scores(ours, found),
        "distance_m": distance,
    }
    attributes = _attributes(sides, rows, words.prefix)
    crs = ours.table.crs
    geometry = np.concatenate([_geometry(ours.table, crs), _geometry(theirs.table, crs)[alone]])
    return gpd.GeoDataFrame(
        pd.concat([pd.DataFrame(own), attributes], axis=1),
        geometry=gpd.array.from_shapely(geometry, crs=crs),
    )


def change_style(changes: gpd.GeoDataFrame, words: Words) -> str:
    """How QGIS draws the layer: a colour for each status, what is not there dashed."""
    symbols = {
        NOT_LOOKED_AT: Symbol(GREY, line="dot", casing=False),
        CONFIRMED: Symbol(TRUE_POSITIVE),
        MOVED: Symbol(YELLOW),
        words.gone: Symbol(FALSE_NEGATIVE, line="dash", width_mm=0.7),
        words.found: Symbol(FALSE_POSITIVE, width_mm=0.7),
    }
    points = np.asarray(changes.geom_type.isin(("Point", "MultiPoint")))
    kind: GeometryKind = "point" if len(points) and points.all() else "polygon"
    return categorised_qml("status", symbols, geometry=kind)


def _statuses(
    distance: FloatArray, found: IntArray, unseen: BoolArray, *, moved_from: float, words: Words
) -> ObjectArray:
    status = np.full(len(found), words.found, dtype=object)
    status[distance < moved_from] = CONFIRMED
    status[distance >= moved_from] = MOVED
    status[found < 0] = words.gone
    status[(found < 0) & unseen] = NOT_LOOKED_AT
    return status


def _classes(
    sides: tuple[Side, Side], rows: tuple[IntArray, IntArray], *, by_class: bool
) -> ObjectArray:
    """The class of the detection, else, if they mean the same, of the other layer, else None."""
    names, other = (np.append(side.names, "")[row] for side, row in zip(sides, rows, strict=True))
    if by_class:
        names = np.where(names != "", names, other)
    known = names.astype(object)
    known[names == ""] = None
    return known


def _scores(ours: Side, found: IntArray) -> FloatArray:
    return np.append(scores_of(ours.table, PREDICTIONS), np.nan)[found]


def _attributes(
    sides: tuple[Side, Side], rows: tuple[IntArray, IntArray], prefix: str
) -> pd.DataFrame:
    """The columns of both layers side by side."""
    ours, theirs = sides
    shown = [named_column(ours.table, "class"), score_column(ours.table)]
    first = ours.table.drop(columns=[name for name in shown if name is not None])
    first = without_collisions(first, {*OWN_COLUMNS}, "detection_")
    second = without_collisions(theirs.table, {*OWN_COLUMNS, *first.columns}, prefix)
    return pd.concat([_rows(first, rows[0]), _rows(second, rows[1])], axis=1)


def _rows(table: gpd.GeoDataFrame, rows: IntArray) -> pd.DataFrame:
    """Attributes of some rows; those of row -1 are missing."""
    columns = pd.DataFrame(table.drop(columns=table.geometry.name))
    kinds = {n: getattr(d, "kind", "O") for n, d in columns.dtypes.items()}
    types = {name: _NULLABLE[kind] for name, kind in kinds.items() if kind in _NULLABLE}
    return columns.astype(types).reindex(rows).reset_index(drop=True)


def _geometry(table: gpd.GeoDataFrame, crs: CRS) -> ObjectArray:
    geometry = np.asarray(table.geometry.array, dtype=object)
    return reproject(densified(geometry, table.crs), table.crs, crs)
