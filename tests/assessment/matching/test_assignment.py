"""The assignment is the best one, whatever solves it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodetect.assessment.matching import assignment
from geodetect.assessment.matching.assignment import assign
from geodetect.assessment.matching.near_pairs import near_pairs
from geodetect.errors import InputError

Float = NDArray[np.float64]


def on_a_line(*places: float) -> Float:
    return np.array([[x, 0.0] for x in places]).reshape(-1, 2)


def assigned(a: Float, b: Float, distance: float) -> dict[int, int]:
    pairs, costs = near_pairs(a, b, distance, parameter="tolerance")
    return dict(pairs[assign(pairs, costs)].tolist())


def best_by_trying_all(a: Float, b: Float, distance: float) -> tuple[int, float]:
    """The most pairs, and of these the least sum of distances."""
    if len(a) > len(b):
        a, b = b, a
    far = np.linalg.norm(a[:, None] - b[None], axis=2)
    best = (0, 0.0)
    for order in permutations(range(len(b)), len(a)):
        chosen = far[np.arange(len(a)), list(order)]
        chosen = chosen[chosen <= distance]
        best = min(best, (-len(chosen), float(chosen.sum())))
    return -best[0], best[1]


points = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=5).map(
    lambda places: np.array(places, float).reshape(-1, 2)
)


@pytest.mark.parametrize("dense", [assignment.DENSE, 0], ids=["full matrix", "sparse"])
@settings(max_examples=60)
@given(a=points, b=points, distance=st.sampled_from([1.5, 3.0, 6.0]))
def test_no_other_choice_has_more_pairs_or_lies_closer(
    dense: int, a: Float, b: Float, distance: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "DENSE", dense)
        pairs, costs = near_pairs(a, b, distance, parameter="tolerance")
        chosen = assign(pairs, costs)
    assert len(set(pairs[chosen, 0])) == len(set(pairs[chosen, 1])) == len(chosen)
    count, total = best_by_trying_all(a, b, distance)
    assert (len(chosen), float(costs[chosen].sum())) == (count, pytest.approx(total))


def test_the_nearest_pair_is_given_up_for_two_pairs() -> None:
    assert assigned(on_a_line(0, 4), on_a_line(3, 7), 3.5) == {0: 0, 1: 1}


def test_of_equally_many_pairs_the_closest_are_taken() -> None:
    assert assigned(on_a_line(0, 10), on_a_line(9, 1), 20) == {0: 1, 1: 0}


def test_a_long_row_moved_by_one_place_keeps_its_order() -> None:
    row = np.arange(3000.0) * 4
    pairs, costs = near_pairs(on_a_line(*row), on_a_line(*row + 3), 3.5, parameter="tolerance")
    chosen = assign(pairs, costs)
    assert (pairs[chosen, 0] == pairs[chosen, 1]).all()
    assert len(chosen) == 3000


def test_a_pair_at_exactly_the_distance_is_near() -> None:
    pairs, distances = near_pairs(on_a_line(0), on_a_line(5), 5.0, parameter="tolerance")
    assert pairs.tolist() == [[0, 0]]
    assert distances.tolist() == [5.0]


@pytest.mark.parametrize(("a", "b"), [((), ()), ((1,), ()), ((), (1,))])
def test_nothing_is_paired_with_nothing(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    assert assigned(on_a_line(*a), on_a_line(*b), 5) == {}


def test_places_that_coincide_are_paired_off() -> None:
    assert len(assigned(on_a_line(1, 1, 1), on_a_line(1, 1), 1)) == 2


def test_a_distance_that_pairs_everything_with_everything_is_an_error() -> None:
    places = np.random.default_rng(0).uniform(0, 10, (50, 2))
    with pytest.raises(InputError, match=r"1e\+06 m pairs each feature with 50.*lower `tolerance`"):
        near_pairs(places, places, 1e6, parameter="tolerance", max_pairs=100)
