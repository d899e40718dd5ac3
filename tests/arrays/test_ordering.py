"""Orders and groups of rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geodetect.arrays.ordering import group_rows, order_rows

number = st.integers(0, 3)


@given(st.lists(st.tuples(number, number, number), max_size=20))
def test_ties_are_broken_as_by_all_keys_at_once(rows: list[tuple[int, int, int]]) -> None:
    a, b, c = np.array(rows, np.int64).reshape(-1, 3).T
    order = order_rows([a, b], lambda tied: [c[tied]])
    keys = [(b[row], a[row], c[row]) for row in order]
    assert keys == sorted(keys)
    assert sorted(order) == list(range(len(rows)))


@given(st.lists(number, max_size=20))
def test_groups_hold_the_rows_of_each_value(values: list[int]) -> None:
    groups = group_rows(np.array(values, np.int64))
    expected = [[i for i, v in enumerate(values) if v == value] for value in sorted(set(values))]
    assert [group.tolist() for group in groups] == expected
