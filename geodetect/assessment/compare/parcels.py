"""Changes counted by parcel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from geodetect.assessment.spatial_join import join_points, repair_table
from geodetect.io.vector.features import box_centres, prefix_collisions, require_column
from geodetect.io.vector.geopackage import Layer
from geodetect.io.vector.qgis_style import GREY, Symbol, single_qml
from geodetect.io.vector.read import LayerRole, LayerSource, read_features
from geodetect.progress import phase

LAYER = "parcels"
PARCELS = LayerRole("the parcels", layer_names=(LAYER,), points=False)
PARCEL_STYLE = single_qml(Symbol(GREY, width_mm=0.3, casing=False))


@dataclass(frozen=True)
class ParcelCounts:
    """Changes counted by parcel.

    Args:
        table: The parcels: ``parcel`` (its number in the file, or its name), one int64 column for
            each status (with ``_`` for spaces), and the columns of the file.
        outside: ``id`` of the features that lie in no parcel.
        in_several: Number of features in more than one parcel; they count in the first of the file.
    """

    table: gpd.GeoDataFrame
    outside: tuple[int, ...]
    in_several: int

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for JSON."""
        return {
            "parcels": len(self.table),
            "outside_parcels": list(self.outside),
            "in_several_parcels": self.in_several,
        }

    def layer(self) -> Layer:
        """Return the parcels as a layer with a QGIS style."""
        return Layer(LAYER, self.table, PARCEL_STYLE)


@phase("Counting by parcel")
def count_by_parcel(
    changes: gpd.GeoDataFrame,
    parcels: LayerSource,
    *,
    statuses: Sequence[str],
    parcel_field: str | None = None,
) -> tuple[gpd.GeoDataFrame, ParcelCounts]:
    """Count features by the parcel that the centre of their box lies in or on.

    Args:
        changes: Features with ``id`` and ``status``.
        parcels: Polygons; those that cross themselves are repaired.
        statuses: Statuses to count.
        parcel_field: Column of the parcels that names them; None: they are numbered from 1.

    Returns:
        The changes with a column ``parcel`` after ``distance_m``, missing outside all parcels, and
        the counts.

    Raises:
        InputError: The parcels cannot be read, or lack the column.
    """
    table = repair_table(read_features(parcels, PARCELS), PARCELS.name)
    names = _read_parcel_names(table, parcel_field)
    centres = box_centres(changes, table.crs)
    pairs = join_points(centres, table.geometry.to_numpy())
    rows, first, times = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    parcel = np.full(len(changes), -1)
    parcel[rows] = pairs[first, 1]
    numbered = changes.copy()
    column = names.reindex(parcel).reset_index(drop=True)
    numbered.insert(list(changes.columns).index("distance_m") + 1, "parcel", column)

    counts: dict[str, object] = {"parcel": names}
    for status in statuses:
        inside = parcel[(parcel >= 0) & (changes["status"].to_numpy() == status)]
        counts[status.replace(" ", "_")] = np.bincount(inside, minlength=len(table))
    repeated = [
        name for name in table if str(name).lower() == "parcel" and table[name].equals(names)
    ]
    attributes = prefix_collisions(table.drop(columns=repeated), counts, "parcel_")
    counted = gpd.GeoDataFrame(pd.DataFrame(counts).join(attributes))
    outside = tuple(changes["id"].to_numpy()[parcel < 0].tolist())
    return numbered, ParcelCounts(counted, outside, int((times > 1).sum()))


def _read_parcel_names(table: gpd.GeoDataFrame, parcel_field: str | None) -> pd.Series:
    if parcel_field is None:
        return pd.Series(np.arange(1, len(table) + 1), dtype="Int64")
    names = table[require_column(table, parcel_field, PARCELS, parameter="parcel_field")]
    return names.astype("Int64") if names.dtype.kind in "iu" else names
