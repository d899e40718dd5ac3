"""Optimal one-to-one assignment of two sets of points (maximum cardinality, then least cost)."""

from __future__ import annotations

import numpy as np

from geodetect.arrays.components import connected_components
from geodetect.types import FloatArray, IntArray

DENSE = 40_000  # entries up to which a full cost matrix is fastest


def assign(pairs: IntArray, costs: FloatArray) -> IntArray:
    """Choose the most pairs without a row or column in two of them; of these the least cost.

    The graph of all pairs falls into connected components, each of which is solved by itself: by
    the shortest augmenting paths of Jonker and Volgenant (1987) on a full matrix (Crouse 2016) or,
    for large components, on a sparse one. It takes about as long as there are pairs unless the
    components are very large, as when points lie closer together than the pairs reach.

    Args:
        pairs: ``int64[P, 2]`` row and column of each pair, without repetitions.
        costs: ``float64[P]``, not negative.

    Returns:
        ``int64[K]`` numbers of the chosen pairs, ascending.
    """
    if len(pairs) == 0:
        return np.empty(0, np.int64)
    rows, columns = pairs[:, 0], pairs[:, 1] + pairs[:, 0].max() + 1
    component = connected_components(int(columns.max()) + 1, rows, columns)[rows]
    order = np.argsort(component, kind="stable")
    starts = np.flatnonzero(np.diff(component[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    chosen = [order[starts[sizes == 1]]]
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        members = order[start : start + size]
        chosen.append(members[_assign_component(pairs[members], costs[members])])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _assign_component(pairs: IntArray, costs: FloatArray) -> IntArray:
    """Return the numbers of the chosen pairs of one connected component."""
    rows, row = np.unique(pairs[:, 0], return_inverse=True)
    columns, column = np.unique(pairs[:, 1], return_inverse=True)
    fewest = min(len(rows), len(columns))
    if fewest == 1:
        return np.array([np.argmin(costs)])
    offset = float(costs.max()) + 1.0  # makes every cost positive
    forbidden = 2 * offset * (fewest + 1)  # more than all pairs together
    solve = _solve_dense if len(rows) * len(columns) <= DENSE else _solve_sparse
    return solve(np.stack([row, column]), costs + offset, forbidden)


def _solve_dense(positions: IntArray, costs: FloatArray, forbidden: float) -> IntArray:
    """Solve on a full matrix; ``positions`` ``[2, P]`` are row and column of each pair."""
    from scipy.optimize import linear_sum_assignment

    shape = tuple(positions.max(axis=1) + 1)
    matrix, number = np.full(shape, forbidden), np.full(shape, -1)
    matrix[tuple(positions)] = costs
    number[tuple(positions)] = np.arange(len(costs))
    chosen = number[linear_sum_assignment(matrix)]
    return np.asarray(chosen[chosen >= 0])


def _solve_sparse(positions: IntArray, costs: FloatArray, forbidden: float) -> IntArray:
    """Solve on a sparse matrix, in which each row also has a column that stands for no pair."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    n_rows, n_columns = (positions.max(axis=1) + 1).tolist()
    row, column = positions
    all_rows = np.arange(n_rows)
    entries = np.append(row, all_rows), np.append(column, n_columns + all_rows)
    weights = np.append(costs, np.full(n_rows, forbidden))
    graph = csr_array((weights, entries), shape=(n_rows, n_columns + n_rows))
    matched = min_weight_full_bipartite_matching(graph)
    column_of = np.full(n_rows, -1)
    column_of[matched[0]] = matched[1]
    return np.flatnonzero(column_of[row] == column)
