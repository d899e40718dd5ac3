"""Constant pixels: of a lost mask, or of sheets that were never filled."""

from __future__ import annotations

import numpy as np

from geodetect.types import AnyArray, BoolArray

PROBES = 64  # pixels along the shorter side that are compared first


def find_constant_pixels(values: AnyArray) -> BoolArray | None:
    """Find the pixels that equal their neighbours to the right and below in all bands.

    Most imagery has no constant areas, which a comparison of every 16th pixel or so shows.

    Args:
        values: ``[C, H, W]`` values of the file, before they are stretched and clipped.

    Returns:
        ``bool[H, W]``; None: there is no constant area of a 16th of the shorter side.
    """
    step = max(1, min(values.shape[1:]) // PROBES)
    is_equal = _equal_neighbours(values[:, ::step, ::step])
    if step > 1:
        in_row = is_equal[:, 2:] & is_equal[:, 1:-1] & is_equal[:, :-2]
        if not (in_row[2:] & in_row[1:-1] & in_row[:-2]).any():
            return None
        is_equal = _equal_neighbours(values)
    return is_equal if is_equal.any() else None


def _equal_neighbours(values: AnyArray) -> BoolArray:
    is_equal = np.ones(values.shape[1:], bool)
    for band in values:  # one after the other: less memory
        is_equal[:, :-1] &= band[:, 1:] == band[:, :-1]
        is_equal[:-1] &= band[1:] == band[:-1]
    return is_equal
