"""Corrected counts and their intervals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodetect.assessment.summarize.count_correction import ErrorRates, corrected_counts
from geodetect.errors import InputError

GOOD = ErrorRates.from_rates(0.9, 0.88, 500)


def interval(n: int, rates: ErrorRates) -> tuple[float, float, float]:
    counts = corrected_counts(np.array([n]), rates)
    return float(counts.estimate[0]), float(counts.low[0]), float(counts.high[0])


def test_the_estimate_is_the_count_times_precision_over_recall() -> None:
    estimate = corrected_counts(np.array([0, 1, 100]), GOOD).estimate
    np.testing.assert_allclose(estimate, [0, 0.9 / 0.88, 90 / 0.88])


def test_a_detector_that_never_errs_leaves_nothing_open() -> None:
    estimate, low, high = interval(40, ErrorRates(1e6, 0, 0))
    assert estimate == 40
    assert (low, high) == (40, 40)


def test_where_nothing_is_found_something_may_have_been_missed() -> None:
    assert interval(0, ErrorRates(50, 5, 50))[:2] == (0, 0)
    assert interval(0, ErrorRates(50, 5, 50))[2] >= 1


@settings(max_examples=20)
@given(
    n=st.integers(0, 3000),
    right=st.integers(1, 2000),
    false=st.integers(0, 500),
    missed=st.integers(0, 500),
)
def test_the_interval_is_whole_numbers_around_the_estimate(
    n: int, right: int, false: int, missed: int
) -> None:
    estimate, low, high = interval(n, ErrorRates(right, false, missed))
    assert 0 <= low <= estimate <= high
    assert low == int(low)
    assert high == int(high)


def test_the_interval_narrows_with_what_is_known_and_widens_with_clusters() -> None:
    def width(rates: ErrorRates) -> float:
        _, low, high = interval(200, rates)
        return high - low

    few, many = ErrorRates.from_rates(0.9, 0.88, 40), ErrorRates.from_rates(0.9, 0.88, 40_000)
    assert width(few) > 1.5 * width(GOOD) > 1.5 * width(many)
    assert width(replace(GOOD, dispersion=4.0)) == pytest.approx(2 * width(GOOD), abs=2)


def test_equal_counts_have_equal_intervals_whatever_the_others() -> None:
    alone, together = corrected_counts(np.array([7]), GOOD), corrected_counts(
        np.array([3, 7, 100, 7]), GOOD
    )  # fmt: skip
    assert alone.low[0] == together.low[1] == together.low[3]
    assert alone.high[0] == together.high[1] == together.high[3]


@pytest.mark.parametrize(("precision", "recall"), [(0.9, 0.88), (0.97, 0.6), (0.5, 0.95)])
def test_the_interval_covers_the_truth_as_often_as_it_says(precision: float, recall: float) -> None:
    """Zones and the ground the rates come from are drawn from one and the same model."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(40):
        true = rng.poisson(40, 8)
        right = rng.binomial(true, recall)
        detected = right + rng.poisson(40 * recall * (1 - precision) / precision, 8)
        n_known, known_right = 400, int(rng.binomial(400, recall))
        false = int(rng.poisson(n_known * recall * (1 - precision) / precision))
        rates = ErrorRates(known_right, false, n_known - known_right)
        counts = corrected_counts(detected, rates)
        covered += ((counts.low <= true) & (true <= counts.high)).tolist()
    assert 0.91 <= np.mean(covered) <= 0.99


def test_rates_become_the_counts_behind_them() -> None:
    rates = ErrorRates.from_rates(0.8, 0.5, 100, score_threshold=0.4)
    assert (rates.tp, rates.fn) == (50, 50)
    assert rates.fp == pytest.approx(12.5)
    assert (rates.precision, rates.recall) == (pytest.approx(0.8), 0.5)
    assert rates.score_threshold == 0.4


@pytest.mark.parametrize(
    ("precision", "recall", "support"),
    [(0, 0.5, 9), (0.5, 0, 9), (1.1, 0.5, 9), (0.5, 0.5, 0), (math.nan, 0.5, 9)],
)
def test_rates_that_cannot_be_are_an_error(precision: float, recall: float, support: float) -> None:
    with pytest.raises(InputError, match="expected rates above 0 and up to 1"):
        ErrorRates.from_rates(precision, recall, support)


@pytest.mark.parametrize("numbers", [(0, 5, 5), (5, -1, 5), (5, 5, math.nan)])
def test_a_detector_that_finds_nothing_corrects_nothing(numbers: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="counts can only be corrected by a detector that finds"):
        ErrorRates(*numbers)


def count_error_interval(rng: np.random.Generator, cluster: int) -> tuple[float, float, ErrorRates]:
    """A bootstrap over blocks in which errors come ``cluster`` at a time."""
    blocks = 300
    right = rng.poisson(10, blocks)
    false, missed = (cluster * rng.poisson(1.5 / cluster, blocks) for _ in range(2))
    drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=1000)
    error = (drawn @ (right + false)) / (drawn @ (right + missed)) - 1
    low, high = np.percentile(error, [2.5, 97.5])
    return low, high, ErrorRates(right.sum(), false.sum(), missed.sum())


def test_the_dispersion_is_how_much_errors_cluster() -> None:
    rng = np.random.default_rng(1)
    for cluster in (1, 4):
        low, high, rates = count_error_interval(rng, cluster)
        spread = rates.with_count_interval(low, high).dispersion
        assert spread == pytest.approx(cluster, rel=0.25)


def test_an_interval_that_says_nothing_changes_nothing() -> None:
    assert GOOD.with_count_interval(math.nan, 0.1) == GOOD
    assert GOOD.with_count_interval(-1, 0.1) == GOOD
    assert ErrorRates(9, 0, 0).with_count_interval(0, 0).dispersion == 1
    assert GOOD.with_count_interval(0.01, 0.01).dispersion == 0.5
