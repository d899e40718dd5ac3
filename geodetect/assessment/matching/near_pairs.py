"""Pairs of points within a distance, the candidates of both ways of matching by distance."""

from __future__ import annotations

import numpy as np

from geodetect.errors import InputError
from geodetect.types import FloatArray, IntArray

MAX_PAIRS = 20_000_000  # about 0.5 GB


def near_pairs(
    a: FloatArray, b: FloatArray, distance: float, *, parameter: str, max_pairs: int = MAX_PAIRS
) -> tuple[IntArray, FloatArray]:
    """Return all pairs of points within a distance, by two k-d trees.

    Args:
        a: ``float64[N, D]`` points in coordinates where straight lines are distances.
        b: ``float64[M, D]``.
        distance: Greatest distance of a pair, included.
        parameter: Parameter that holds the distance, for messages.
        max_pairs: More pairs are an error.

    Returns:
        ``int64[P, 2]`` row numbers in ``a`` and ``b`` in ascending order, and ``float64[P]`` their
        distances.

    Raises:
        InputError: There are more pairs than ``max_pairs``: the distance is a mistake.
    """
    from scipy.spatial import KDTree

    if len(a) == 0 or len(b) == 0:
        return np.empty((0, 2), np.int64), np.empty(0)
    trees = KDTree(a), KDTree(b)
    count = int(trees[0].count_neighbors(trees[1], distance))
    if count > max_pairs:
        raise InputError(
            f"a distance of {distance:g} m pairs each feature with {count / len(a):,.0f} others on "
            f"average; expected less than their spacing: lower `{parameter}`"
        )
    near = trees[0].sparse_distance_matrix(trees[1], distance, output_type="ndarray")
    order = np.lexsort((near["j"], near["i"]))
    pairs = np.stack([near["i"], near["j"]], axis=1).astype(np.int64)[order]
    return pairs, np.asarray(near["v"], dtype=np.float64)[order]


def nearest_spacing(points: FloatArray) -> float:
    """Return the median distance of points (at least two) to their nearest neighbour.

    Args:
        points: ``float64[N, D]`` Cartesian coordinates in metres.
    """
    from scipy.spatial import KDTree

    return float(np.median(KDTree(points).query(points, k=2)[0][:, 1]))
