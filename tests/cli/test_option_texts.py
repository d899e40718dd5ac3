"""Texts of options, converted to values."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from typer.testing import CliRunner

from geodetect.errors import SettingError
from geodetect.settings import PredictSettings
from geodetect.settings.value_types import Bands, ClassNames, Overlap, Rectangle, Resolution
from geodetect_cli.app import app


def parse(kind: Any, text: str) -> Any:
    return TypeAdapter(kind).validate_python(text)


@pytest.mark.parametrize(
    ("text", "gsd_m"),
    [("0.25", 0.25), ("25cm", 0.25), (" 25 cm ", 0.25), (".5m", 0.5), ("200mm", 0.2), ("1", 1.0)],
)
def test_a_resolution_is_read_in_metres(text: str, gsd_m: float) -> None:
    assert parse(Resolution, text) == gsd_m


@pytest.mark.parametrize("text", ["", "0", "-1", "25 inch", "cm", "1,5", "nan", "inf"])
def test_a_resolution_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"0\.25 or 25cm"):
        parse(Resolution, text)


@pytest.mark.parametrize(
    ("text", "overlap"),
    [("64", 64), ("64px", 64), ("0.2", 0.2), ("20%", 0.2), ("12.5 %", 0.125), ("0", 0)],
)
def test_an_overlap_is_pixels_a_fraction_or_a_percentage(text: str, overlap: float) -> None:
    assert parse(Overlap, text) == overlap


@pytest.mark.parametrize("text", ["", "-5", "x", "120%", "100%", "0.5px", "nan", "5 %%"])
def test_an_overlap_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="expected pixels"):
        parse(Overlap, text)


@given(st.integers(0, 99_999))
def test_a_percentage_of_overlap_is_never_taken_for_pixels(thousandths: int) -> None:
    assert parse(Overlap, f"{thousandths / 1000:.3f}%") < 1


@given(st.lists(st.integers(1, 99), min_size=1, max_size=6))
def test_bands_are_read_back(bands: list[int]) -> None:
    assert parse(Bands, ",".join(map(str, bands))) == tuple(bands)
    assert TypeAdapter(Bands).validate_python(bands) == tuple(bands)


@pytest.mark.parametrize("text", ["", "a", "1;2", "1,", "1.5", "red"])
def test_bands_that_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="counted from 1"):
        parse(Bands, text)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1 2 3 4"])
def test_a_rectangle_takes_four_numbers(text: str) -> None:
    with pytest.raises(ValidationError, match="expected 4 numbers"):
        parse(Rectangle, text)


def test_names_lose_the_spaces_around_them() -> None:
    assert parse(ClassNames, "pool, car ") == ("pool", "car")


@pytest.mark.parametrize("bbox", [(9, 0, 1, 5), (0, 0, math.inf, 5), (0, math.nan, 1, 5)])
def test_what_is_no_rectangle_is_refused(bbox: tuple[float, float, float, float]) -> None:
    with pytest.raises(SettingError, match="`bbox`: expected min x, min y"):
        PredictSettings(bbox=bbox)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "a.tif", "--tile-size", "0"], "--tile-size: .*equal to 1; found '0'"),
        (
            ["predict", "a.tif", "--tile-size", "big"],
            "--tile-size: expected a number of pixels, e.g. 512; found 'big'",
        ),
        (["predict", "a.tif", "--tile-size", "256m"], "--tile-size: expected a number of pixels"),
        (["predict", "a.tif", "--gsd", "0.25km"], "--gsd: expected metres per pixel, e.g. 0.25 or"),
        (
            ["check", "--rasters", "a", "--labels", "b", "--point-size", "3px"],
            "--point-size: expected metres, e.g. 2.5 or 250cm; found '3px'",
        ),
        (["predict", "a.tif", "--bbox", "9,0,1,5"], "--bbox: expected min x, min y, max x, max y;"),
        (["predict", "a.tif", "--runtime", "x"], "--runtime: expected 'auto', 'torch', "),
        (
            ["train", "--rasters", "a", "--labels", "b", "--seed", "-1"],
            "--seed: .*to 0; found '-1'",
        ),
        (["train", "--rasters", "a", "--labels", "b", "--minutes", "inf"], "--minutes: .*finite"),
        (["evaluate", "a", "b", "--seed", "-1"], "--seed: .*greater than or equal to 0; found"),
        (
            ["train", "--rasters", "a", "--labels", "b", "--val-labels", "c"],
            "--val-labels: expected --val-rasters with it",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_a_usage_error_under_the_name_of_its_option(
    arguments: list[str], message: str
) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.search(f"^Error: Invalid value for {message}", line), line


def test_an_option_that_is_missing_is_named_with_its_description() -> None:
    result = CliRunner().invoke(app, ["train", "--rasters", "a.tif"])
    assert (result.exit_code, result.stderr.partition(":")[0]) == (2, "Error")
    assert result.stderr.startswith("Error: --labels is missing: Labels: vector files")
