"""Connected components of graphs of boxes, polygons and pairs."""

from __future__ import annotations

import numpy as np

from geodetect.types import IntArray


def connected_components(count: int, a: IntArray, b: IntArray) -> IntArray:
    """Return the lowest member of the connected component of each node.

    SciPy documents no order of its numbers; the lowest member depends on the graph alone.

    Args:
        count: Number of nodes ``N``.
        a: ``int64[E]`` one end of each edge.
        b: ``int64[E]`` the other end; the direction does not matter.

    Returns:
        ``int64[N]``.
    """
    if not len(a):  # before SciPy, whose import takes as long as detection on a small image
        return np.arange(count)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components as label_components

    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(count, count))
    component = label_components(graph, directed=False)[1]
    return np.asarray(np.unique(component, return_index=True)[1][component], np.int64)
