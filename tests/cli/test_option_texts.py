"""How the texts of options are read."""

from __future__ import annotations

import math

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from geodetect.settings import EvaluateSettings, PredictSettings, TrainSettings
from geodetect_cli import options


@pytest.mark.parametrize(
    ("text", "gsd_m"),
    [("0.25", 0.25), ("25cm", 0.25), (" 25 cm ", 0.25), (".5m", 0.5), ("200mm", 0.2), ("1", 1.0)],
)
def test_a_resolution_is_read_in_metres(text: str, gsd_m: float) -> None:
    assert options.parse_gsd(text) == gsd_m


@pytest.mark.parametrize("text", ["", "0", "-1", "25 inch", "cm", "1,5", "nan", "inf"])
def test_a_resolution_that_is_none_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"0\.25 or 25cm"):
        options.parse_gsd(text)


@pytest.mark.parametrize(
    ("text", "overlap"),
    [("64", 64), ("64px", 64), ("0.2", 0.2), ("20%", 0.2), ("12.5 %", 0.125), ("0", 0)],
)
def test_an_overlap_is_pixels_a_share_or_a_percentage(text: str, overlap: float) -> None:
    assert options.parse_overlap(text) == overlap


@pytest.mark.parametrize("text", ["", "-5", "x", "120%", "100%", "0.5px", "nan", "5 %%"])
def test_an_overlap_that_cannot_be_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected pixels"):
        options.parse_overlap(text)


@given(st.integers(0, 99_999))
def test_a_percentage_of_overlap_is_never_taken_for_pixels(thousandths: int) -> None:
    assert options.parse_overlap(f"{thousandths / 1000:.3f}%") < 1


@given(st.lists(st.integers(1, 99), min_size=1, max_size=6))
def test_bands_are_read_back(bands: list[int]) -> None:
    assert options.parse_bands(",".join(map(str, bands))) == tuple(bands)


@pytest.mark.parametrize("text", ["", "a", "1;2", "1,", "1.5", "red"])
def test_bands_that_are_no_numbers_are_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="counted from 1"):
        options.parse_bands(text)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1 2 3 4"])
def test_a_rectangle_takes_four_numbers(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="--bbox takes 4 numbers"):
        options.parse_numbers(text, "--bbox", 4)


def test_options_that_are_not_given_stay_unset() -> None:
    assert options.parse_bands(None) is None
    assert options.parse_numbers(None, "--bbox", 4) is None
    assert options.parse_names(None) is None


def test_names_lose_the_spaces_around_them() -> None:
    assert options.parse_names("pool, car ") == ("pool", "car")


@pytest.mark.parametrize(
    ("settings", "name", "value", "reason"),
    [
        (PredictSettings, "tile_size", 0, "greater than or equal to 1; found 0"),
        (TrainSettings, "seed", -1, "greater than or equal to 0; found -1"),
        (TrainSettings, "minutes", math.inf, "finite number; found inf"),
        (EvaluateSettings, "seed", -1, "greater than or equal to 0; found -1"),
    ],
)
def test_a_setting_that_cannot_be_is_a_usage_error_under_the_name_of_its_option(
    settings: type[BaseModel], name: str, value: float, reason: str
) -> None:
    with pytest.raises(typer.BadParameter, match=reason) as caught:
        options.parse_settings(settings, {name: value})
    assert caught.value.param_hint == f"--{name.replace('_', '-')}"


@pytest.mark.parametrize("bbox", [(9, 0, 1, 5), (0, 0, math.inf, 5), (0, math.nan, 1, 5)])
def test_what_is_no_rectangle_is_a_usage_error(bbox: tuple[float, ...]) -> None:
    with pytest.raises(typer.BadParameter, match=r"^expected min x, min y") as caught:
        options.parse_settings(PredictSettings, {"bbox": bbox})
    assert caught.value.param_hint == "--bbox"
