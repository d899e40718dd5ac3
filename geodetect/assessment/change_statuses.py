"""Statuses of changes, by the kind of layer that predictions are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np

from geodetect.io.vector.features import find_column
from geodetect.io.vector.read import PREDICTIONS, LayerRole
from geodetect.types import BoolArray

CONFIRMED, MOVED, NOT_SEARCHED = "confirmed", "moved", "not searched"


@dataclass(frozen=True)
class ReferenceKind:
    """Kind of the layer that predictions are compared with, and the names of its statuses.

    Args:
        role: Role of the layer.
        added: Status of features that only the predictions have.
        removed: Status of features that only the reference has.
        prefix: Put before columns of the reference whose name is taken.
    """

    role: LayerRole
    added: str
    removed: str
    prefix: str

    @property
    def statuses(self) -> tuple[str, ...]:
        """Statuses in the order of tables, without ``NOT_SEARCHED``."""
        return self.added, CONFIRMED, MOVED, self.removed


REGISTER = ReferenceKind(
    LayerRole("the register", "register_crs"), added="new", removed="missing", prefix="register_"
)
EARLIER = ReferenceKind(
    LayerRole("the earlier predictions", "register_crs", PREDICTIONS.layer_names),
    added="appeared",
    removed="gone",
    prefix="before_",
)


def without_prediction(table: gpd.GeoDataFrame) -> BoolArray:
    """Return True for rows of a layer of changes that only the reference has, ``bool[N]``.

    A layer without the columns of changes has none.
    """
    status = find_column(table, "status")
    if status is None or find_column(table, "distance_m") is None:
        return np.zeros(len(table), dtype=bool)
    return table[status].isin([REGISTER.removed, EARLIER.removed, NOT_SEARCHED]).to_numpy(bool)
