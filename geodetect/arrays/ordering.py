"""Orders of rows whose ties are broken by further keys, and groups of rows of one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from geodetect.types import AnyArray, IntArray


def order_rows(
    keys: Sequence[AnyArray], tie_breakers: Callable[[IntArray], Sequence[AnyArray]]
) -> IntArray:
    """Return the row numbers in ascending order of keys, the last of which comes first.

    It is ``np.lexsort`` of all keys, but faster: most rows differ in the first few.

    Args:
        keys: One or more ``[N]``; the last one comes first, as in ``np.lexsort``.
        tie_breakers: Returns more keys ``[K]`` of rows ``int64[K]``, for rows that are equal so
            far; the last one comes first.
    """
    order = np.lexsort(keys)
    is_equal = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
    is_tied = np.zeros(len(order), bool)
    is_tied[1:] |= is_equal
    is_tied[:-1] |= is_equal
    rows = order[is_tied]
    order[is_tied] = rows[np.lexsort([*tie_breakers(rows), *(key[rows] for key in keys)])]
    return order


def group_rows(values: AnyArray) -> list[IntArray]:
    """Return the row numbers of each distinct value, ascending: one array for each value."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order])) + 1
    return np.split(order, starts) if len(values) else []
