"""Work list: the order in which somebody goes through changes, and what comes first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geodetect.assessment.change_statuses import CONFIRMED
from geodetect.noun import Noun
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.types import BoolArray, IntArray


@dataclass(frozen=True)
class WorkList:
    """Order of work through a layer of changes.

    Args:
        order: ``int64[N]`` rows: by status, those without a permit first, then by score.
        headline: What comes first, as "18 new pools without a permit first"; blank if everything
            is confirmed, and nothing lacks a permit.
    """

    order: IntArray
    headline: str

    @classmethod
    def from_layer(cls, changes: CanvasLayer, noun: Noun, permitted: BoolArray | None) -> WorkList:
        """Return the order of work through changes.

        Args:
            changes: A layer of changes with at least one status.
            noun: Noun for its objects.
            permitted: ``bool[N]`` objects with a permit; None: nothing is known of permits.
        """
        codes, status = changes.status_codes, changes.statuses[0]
        is_first, suffix = codes == 0, ""
        if permitted is None:
            permitted = np.ones(len(changes), dtype=bool)
        order = np.lexsort((np.arange(len(changes)), permitted, codes))  # rows are by score
        without_permit = is_first & ~permitted
        if status.detected and without_permit.any():
            is_first, suffix = without_permit, " without a permit"
        elif status.name == CONFIRMED:
            return cls(order, "")
        number, name = noun.count(int(is_first.sum())).split(" ", 1)
        return cls(order, f"{number} {status.name} {name}{suffix} first")
