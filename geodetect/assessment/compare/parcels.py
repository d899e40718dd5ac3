"""Changes counted by parcel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from geodetect.assessment.spatial_join import places_in, with_valid_polygons
from geodetect.errors import InputError
from geodetect.io.vector.features import (
    Role,
    box_centres,
    named_column,
    read_features,
    without_collisions,
)
from geodetect.io.vector.qgis_style import GREY, Symbol, single_qml
from geodetect.types import IntArray, ObjectArray, PathLike

PARCELS = Role("the parcels", "--parcels", layers=("parcels",), points=False)
LAYER = "parcels"
PARCEL_STYLE = single_qml(Symbol(GREY, width_mm=0.3, casing=False))


@dataclass(frozen=True)
class ParcelCounts:
    """Changes counted by parcel.

    Args:
        table: The parcels: ``parcel`` (its number in the file, or its name), one int64 column for
            each status (with ``_`` for spaces), and their own columns.
        outside: ``id`` of the features that lie in no parcel.
        in_several: How many features lie in more than one; the first one in the file has them.
    """

    table: gpd.GeoDataFrame
    outside: tuple[int, ...]
    in_several: int


def count_by_parcel(
    changes: gpd.GeoDataFrame,
    parcels: PathLike | gpd.GeoDataFrame,
    *,
    statuses: Sequence[str],
    parcel_id: str | None = None,
) -> tuple[gpd.GeoDataFrame, ParcelCounts]:
    """Count features by the parcel that the centre of their box lies in or on.

    Args:
        changes: Features with ``id`` and ``status``.
        parcels: Polygons; those that cross themselves are repaired.
        statuses: What is counted.
        parcel_id: Column of the parcels that names them; None: they are numbered from 1.

    Returns:
        The changes with a column ``parcel`` after ``distance_m``, missing outside all parcels, and
        the counts.

    Raises:
        InputError: The parcels cannot be read, or lack the column.
    """
    table = with_valid_polygons(read_features(parcels, PARCELS), PARCELS.name)
    names = _names(table, parcel_id)
    centres = box_centres(changes, table.crs)
    pairs = places_in(centres, np.asarray(table.geometry.array, dtype=object))
    rows, first, times = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    home = np.full(len(changes), -1)
    home[rows] = pairs[first, 1]
    outside = tuple(changes["id"].to_numpy()[home < 0].tolist())
    numbered = changes.copy()
    numbered.insert(list(changes.columns).index("distance_m") + 1, "parcel", _at(names, home))
    status = changes["status"].to_numpy()
    counts = _counts(table, names, home, status=status, statuses=statuses)
    return numbered, ParcelCounts(counts, outside, int((times > 1).sum()))


def _names(table: gpd.GeoDataFrame, parcel_id: str | None) -> pd.Series:
    """What each parcel is called."""
    if parcel_id is None:
        return pd.Series(np.arange(1, len(table) + 1), dtype="Int64")
    column = named_column(table, parcel_id)
    if column is None:
        others = ", ".join(str(c) for c in table.columns if c != "geometry")
        raise InputError(
            f"the parcels have no column {parcel_id!r}, only {others or 'geometries'}; "
            f"name the one that names them with --parcel-id"
        )
    whole = table[column].dtype.kind in "iu"
    return table[column].astype("Int64") if whole else table[column]


def _at(names: pd.Series, rows: IntArray) -> pd.Series:
    return names.reindex(rows).reset_index(drop=True)


def _counts(
    table: gpd.GeoDataFrame,
    names: pd.Series,
    home: IntArray,
    *,
    status: ObjectArray,
    statuses: Sequence[str],
) -> gpd.GeoDataFrame:
    own: dict[str, object] = {"parcel": names}
    for word in statuses:
        inside = home[(home >= 0) & (status == word)]
        own[word.replace(" ", "_")] = np.bincount(inside, minlength=len(table))
    same = [name for name in table if str(name).lower() == "parcel" and table[name].equals(names)]
    kept = without_collisions(table.drop(columns=same), set(own), "parcel_")
    columns = pd.DataFrame(kept.drop(columns="geometry"))
    return gpd.GeoDataFrame(
        pd.concat([pd.DataFrame(own), columns], axis=1), geometry=table.geometry.array
    )
