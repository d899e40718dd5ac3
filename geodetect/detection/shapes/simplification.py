"""Outlines with fewer vertices and the same area."""

from __future__ import annotations

import numpy as np
import shapely

from geodetect.types import ObjectArray

CHORD = 0.6  # fraction of the tolerance for the chords; the rest is for the shift that follows


def simplify_outlines(outlines: ObjectArray, tolerance: float) -> ObjectArray:
    """Remove vertices from outlines.

    Chords (Douglas and Peucker 1973, so that rings do not cross) lie inside of round outlines,
    which would cost a small pool a tenth of its area; so all edges are shifted outwards until the
    area is what it was.

    Args:
        outlines: ``object[N]`` valid polygons and multipolygons; None for rows without one.
        tolerance: Largest distance between an outline and the simplified one, in their unit.

    Returns:
        ``object[N]`` valid polygons and multipolygons.
    """
    simple: ObjectArray = shapely.simplify(outlines, CHORD * tolerance, preserve_topology=True)
    loss = shapely.area(outlines) - shapely.area(simple)
    shift = np.divide(loss, shapely.length(simple), out=np.zeros_like(loss), where=loss != 0)
    limit = (1 - CHORD) * tolerance
    shift = np.clip(np.nan_to_num(shift), -limit, limit)
    return np.asarray(shapely.buffer(simple, shift, join_style="mitre"))
