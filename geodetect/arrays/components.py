"""Connected components of graphs of boxes, polygons and pairs."""

from __future__ import annotations

import numpy as np

from geodetect.types import IntArray


def connected_components(count: int, a: IntArray, b: IntArray) -> IntArray:
    """Return the lowest member of the connected component of each node.

    Hooks the higher root under the lower one and shortens paths until nothing changes (Shiloach
    and Vishkin 1982): about log(N) passes over the edges. Not ``scipy.sparse.csgraph``, because its
    import takes 0.2 s of every prediction, a twentieth of that of a small raster.

    Args:
        count: Number of nodes ``N``.
        a: ``int64[E]`` one end of each edge.
        b: ``int64[E]`` the other end; the direction does not matter.

    Returns:
        ``int64[N]``.
    """
    root = np.arange(count)
    while len(a):
        low, high = np.minimum(root[a], root[b]), np.maximum(root[a], root[b])
        is_apart = low != high
        a, b = a[is_apart], b[is_apart]
        np.minimum.at(root, high[is_apart], low[is_apart])
        while not np.array_equal(shorter := root[root], root):
            root = shorter
    return root
