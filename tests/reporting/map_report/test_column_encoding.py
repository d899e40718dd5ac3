"""Columns come back from JSON as they went in, numbers with six digits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodetect.reporting.map_report.column_encoding import encode_columns, to_tenths


def decoded(column: dict[str, Any], row: int) -> Any:
    """The value of a row, as the script of the page decodes it."""
    if "codes" in column:
        return column["categories"][column["codes"][row]]
    return column["values"][row] if "values" in column else column["constant"]


def through_json(table: pd.DataFrame) -> dict[str, list[Any]]:
    columns = json.loads(json.dumps(encode_columns(table), allow_nan=False))
    return {c["name"]: [decoded(c, row) for row in range(len(table))] for c in columns}


@given(st.lists(st.one_of(st.text(max_size=5), st.none()), min_size=1, max_size=30))
def test_texts_come_back(values: list[str | None]):
    table = pd.DataFrame({"note": pd.Series(values, dtype=object)})
    assert through_json(table)["note"] == [value or "" for value in values]


@given(st.lists(st.integers(-(2**52), 2**52), min_size=1, max_size=30))
def test_whole_numbers_come_back_exactly(values: list[int]):
    assert through_json(pd.DataFrame({"id": values}))["id"] == values


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_fractions_come_back_with_six_digits_and_gaps_as_none(values: list[float]):
    back = through_json(pd.DataFrame({"size": values}))["size"]
    for value, decoded_value in zip(values, back, strict=True):
        if np.isfinite(value):
            assert decoded_value == pytest.approx(value, rel=1e-5)
        else:
            assert decoded_value is None


def test_booleans_stay_booleans():
    table = pd.DataFrame({"cut": [True, False], "seen": pd.array([True, None], "boolean")})
    assert through_json(table) == {"cut": [True, False], "seen": [True, None]}


def test_dates_and_lists_are_shown_as_text():
    table = pd.DataFrame({"day": pd.to_datetime(["2026-01-02"]), "tags": [["a", "b"]]})
    assert through_json(table) == {"day": ["2026-01-02 00:00:00"], "tags": ["['a', 'b']"]}


def test_repeated_values_are_written_once():
    table = pd.DataFrame({"raster": ["scene.tif"] * 1000, "kind": ["pool", "car"] * 500})
    constant, categorical = encode_columns(table)
    assert constant == {"name": "raster", "constant": "scene.tif"}
    assert categorical["categories"] == ["pool", "car"]
    assert len(json.dumps(categorical, separators=(",", ":"))) < 2100


def test_columns_of_the_same_name_are_both_kept():
    table = pd.concat([pd.DataFrame({"centre": [1]}), pd.DataFrame({"centre": ["x"]})], axis=1)
    assert [column["constant"] for column in encode_columns(table)] == [1, "x"]


def test_tables_without_rows_are_encoded():
    assert through_json(pd.DataFrame({"a": [], "b": pd.Series([], dtype=object)})) == {
        "a": [],
        "b": [],
    }


@given(st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_tenths_are_within_half_a_tenth(values: list[float]):
    back = np.array(to_tenths(np.array(values, np.float64))) / 10
    assert np.abs(back - values).max(initial=0) <= 0.0501
