"""Work list: the order in which somebody goes through changes, and what comes first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geodetect.assessment.compare.change_layer import CONFIRMED
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.reporting.map_report.column_names import find_permit, is_filled
from geodetect.reporting.map_report.noun import Noun
from geodetect.types import IntArray


@dataclass(frozen=True)
class WorkList:
    """Order of work through a layer of changes.

    Args:
        order: ``int64[N]`` rows: by status, those without a permit first, then by score.
        permit_column: Column of permits; None: there is none.
        headline: What comes first, as "18 new pools without a permit first"; blank if everything
            is confirmed.
    """

    order: IntArray
    permit_column: str | None
    headline: str

    @classmethod
    def from_layer(cls, changes: CanvasLayer, noun: Noun) -> WorkList:
        """Return the order of work through changes.

        Args:
            changes: A layer of changes with at least one status.
            noun: Noun for its objects.
        """
        column, codes = find_permit(changes.table), changes.status_codes
        has_permit = np.zeros(len(changes), dtype=bool)
        if column is not None:
            has_permit = is_filled(changes.table[column]).to_numpy(bool)
        order = np.lexsort((np.arange(len(changes)), has_permit, codes))  # rows are by score
        status = changes.statuses[0]
        if status.name == CONFIRMED:
            return cls(order, column, "")
        is_first = codes == 0
        without_permit = is_first & ~has_permit
        suffix = ""
        if column is not None and status.detected and without_permit.any():
            is_first, suffix = without_permit, " without a permit"
        count = int(is_first.sum())
        counted = noun.count(count).split(" ", 1)
        return cls(order, column, f"{counted[0]} {status.name} {counted[1]}{suffix} first")
