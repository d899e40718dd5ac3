"""Boxes, texts and scale bars are drawn at their position, in their size and colour."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from geodetect.io.vector.qgis_style import SCORE_BREAKS, SCORE_COLOURS, TRUE_POSITIVE
from geodetect.reporting.drawing import primitives

GREEN = (0, 255, 0)


@given(st.floats(1e-6, 1e9))
def test_round_lengths_are_the_longest_that_fit(limit: float):
    length = primitives.round_length(limit)
    assert limit / 2.5 * (1 - 1e-9) <= length <= limit * (1 + 1e-9)
    digits = length / 10 ** math.floor(math.log10(length) + 1e-9)
    assert min(abs(digits - step) for step in (1, 2, 5, 10)) < 1e-6


@pytest.mark.parametrize("gsd_m", [0.05, 0.25, 1.7, 300.0])
def test_a_scale_bar_has_the_length_of_its_label(gsd_m: float):
    image = Image.new("RGB", (300, 60), primitives.WHITE)
    length_px = primitives.draw_scale_bar(image, (20, 40), gsd_m=gsd_m)
    ink = np.flatnonzero(np.asarray(image)[39:41].max(axis=(0, 2)) < 60)
    assert ink.min() == pytest.approx(20, abs=1)
    assert ink.max() - ink.min() == pytest.approx(length_px, abs=2)
    assert length_px * gsd_m == pytest.approx(primitives.round_length(160 * gsd_m), abs=gsd_m)


@pytest.mark.parametrize(
    ("metres", "text"),
    [(5, "5 m"), (0.5, "0.5 m"), (1000, "1 km"), (2000, "2 km"), (None, "50 px")],
)
def test_lengths_are_written_in_a_readable_unit(metres: float | None, text: str):
    assert primitives.format_length(metres or 50, in_metres=metres is not None) == text


def draw_on_grey(box: tuple[float, float, float, float], *, or_dot: bool = False) -> Image.Image:
    image = Image.new("RGB", (60, 60), (128, 128, 128))
    draw_shape = primitives.draw_box if or_dot else primitives.draw_outline
    draw_shape(ImageDraw.Draw(image), box, GREEN)
    return image


def test_an_outline_lies_on_the_edges_of_its_box_between_dark_rims():
    pixels = np.asarray(draw_on_grey((10, 20, 40, 50))).astype(int)
    green = (pixels == GREEN).all(axis=2)
    rows, columns = np.nonzero(green)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (10, 20, 39, 49)
    assert not green[30, 25]  # nothing inside
    assert pixels[30, 9].max() == 0
    assert pixels[30, 12].max() == 0


def test_a_box_too_small_for_an_outline_is_a_visible_dot():
    green = (np.asarray(draw_on_grey((30.2, 30.2, 30.4, 30.4), or_dot=True)) == GREEN).all(axis=2)
    rows, columns = np.nonzero(green)
    assert 16 <= green.sum() <= 36
    assert (columns.mean(), rows.mean()) == pytest.approx((30.3, 30.3), abs=1)


def test_colours_change_at_the_breaks_of_the_qgis_style():
    just_below = [primitives.score_colour(edge - 1e-6) for edge in SCORE_BREAKS[1:]]
    assert tuple(just_below) == SCORE_COLOURS
    assert tuple(primitives.score_colour(edge) for edge in SCORE_BREAKS[:-1]) == SCORE_COLOURS
    assert primitives.score_colour(1.0) == primitives.score_colour(7.0) == SCORE_COLOURS[-1]
    assert primitives.score_colour(None) == TRUE_POSITIVE


@given(st.text(max_size=80), st.integers(20, 400))
def test_shortened_texts_fit_their_width(text: str, width: int):
    fitting = primitives.shorten(text, 13, width)
    assert primitives.load_font(13).getlength(fitting) <= width or fitting == "..."
