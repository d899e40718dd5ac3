from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodetect.assessment.evaluate.areas.area_error import measure_area_error


def test_intervals_hold_new_areas_in_19_of_20_cases() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(40):
        detected = rng.lognormal(3, 0.7, 600)
        spread = np.where(detected < 20, 0.2, 0.05)
        true = detected * 0.97 * np.exp(rng.normal(0, spread))
        error = measure_area_error(detected[:300], true[:300])
        assert error is not None
        number = np.searchsorted(error.up_to_m2, detected[300:])
        low, high = np.array(error.low)[number], np.array(error.high)[number]
        ratio = true[300:] / detected[300:]
        held.append(((low <= ratio) & (ratio <= high)).mean())
    assert 0.945 < np.mean(held) < 0.99
    assert error.bias == pytest.approx(0.97, abs=0.02)
    assert error.high[0] - error.low[0] > 2 * (error.high[-1] - error.low[-1])


def test_few_pairs_say_nothing_and_some_make_one_class() -> None:
    areas = np.linspace(10, 50, 60)
    assert measure_area_error(areas[:39], areas[:39]) is None
    error = measure_area_error(areas, areas * 1.1)
    assert error is not None
    assert (error.up_to_m2, error.low, error.high) == ((), (1.1,), (1.1,))


@settings(max_examples=30, deadline=None)
@given(st.integers(40, 900), st.integers(0, 99), st.booleans())
def test_any_areas_make_ascending_classes(count: int, seed: int, is_equal: bool) -> None:
    rng = np.random.default_rng(seed)
    detected = np.full(count, 7.0) if is_equal else rng.lognormal(3, 2, count)
    error = measure_area_error(detected, detected * rng.lognormal(0, 0.3, count))
    assert error is not None
    assert len(error.low) == len(error.up_to_m2) + 1
    assert all(low <= high for low, high in zip(error.low, error.high, strict=True))
