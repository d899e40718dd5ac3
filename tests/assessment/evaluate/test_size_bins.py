from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geodetect.assessment.evaluate.size_bins import (
    MOST_BINS,
    assign_bins,
    count_by_size,
    detected_mask,
    size_edges,
)
from geodetect.assessment.matching.greedy_matching import Matches


def test_bins_have_round_limits_from_the_smallest_to_the_largest_object() -> None:
    assert size_edges(np.array([3.1, 7.0, 11.9])) == (3, 4, 6, 8, 12)
    assert size_edges(np.array([4.0, 8.0])) == (4, 6, 8, 12)
    assert size_edges(np.array([np.nan])) == ()
    assert size_edges(np.empty(0)) == ()


def test_a_wide_range_of_sizes_gets_coarser_bins() -> None:
    assert size_edges(np.array([1.0, 200.0])) == (1, 2, 4, 8, 16, 32, 64, 128, 256)


@given(st.lists(st.floats(0.001, 1e5), min_size=1, max_size=20))
def test_every_object_has_a_bin_and_there_are_few_bins(sizes: list[float]) -> None:
    sizes_m = np.array(sizes)
    edges = size_edges(sizes_m)
    bins = assign_bins(sizes_m, edges)
    assert 1 <= len(edges) - 1 <= MOST_BINS
    assert (bins >= 0).all()
    assert all(edges[b] <= s < edges[b + 1] for b, s in zip(bins, sizes, strict=True))
    assert sum(b.n_truth for b in count_by_size(bins, bins >= 0, edges)) == len(sizes)


def test_objects_beyond_the_limits_have_no_bin() -> None:
    assert assign_bins(np.array([1.0, 2.0, 3.9, 4.0, np.nan]), (2, 4)).tolist() == [
        -1,
        0,
        0,
        -1,
        -1,
    ]


def test_an_object_is_found_if_its_detection_is_sure_enough() -> None:
    matches = Matches(np.array([2, -1, 0]), np.ones(3), np.array([0.9, 0.8, 0.3]), 3, 0.5)
    assert detected_mask(matches, 0.5).tolist() == [False, False, True]
    assert detected_mask(matches, 0.3).tolist() == [True, False, True]
