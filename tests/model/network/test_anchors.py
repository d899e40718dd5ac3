"""Anchors and the offsets from them."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodetect.model.card import NetworkConfig
from geodetect.model.network import anchors as numpy_anchors
from geodetect.model.network.anchors import MAX_LOG_SCALE, anchors_of_image
from geodetect.model.network.anchors_torch import decode, encode

CONFIG = NetworkConfig(
    strides=(8, 16, 32), anchor_sizes_px=((20, 25), (40, 50), (80, 100)), anchor_ratios=(0.5, 1, 2)
)
ONE_LEVEL = NetworkConfig(strides=(8,), anchor_sizes_px=((20.0, 30.0),), anchor_ratios=(0.5, 2.0))
Box = tuple[float, float, float, float]
boxes = st.tuples(
    st.floats(-500, 1500), st.floats(-500, 1500), st.floats(2, 400), st.floats(2, 400)
).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(st.lists(st.tuples(boxes, boxes), min_size=1, max_size=20))
def test_decoding_undoes_encoding(pairs: list[tuple[Box, Box]]) -> None:
    expected = torch.tensor([a for a, _ in pairs], dtype=torch.float64)
    anchors = torch.tensor([b for _, b in pairs], dtype=torch.float64)
    decoded = decode(encode(expected, anchors), anchors)
    inside = encode(expected, anchors)[:, 2:].amax(dim=1) < MAX_LOG_SCALE
    torch.testing.assert_close(decoded[inside], expected[inside], rtol=1e-6, atol=1e-6)


@given(st.lists(st.tuples(boxes, boxes), min_size=1, max_size=20), st.floats(0.1, 100))
def test_finding_decodes_as_training_does(pairs: list[tuple[Box, Box]], gain: float) -> None:
    anchors = torch.tensor([b for _, b in pairs])
    deltas = encode(torch.tensor([a for a, _ in pairs]), anchors) * gain
    decoded = numpy_anchors.decode(deltas.numpy(), anchors.numpy())
    torch.testing.assert_close(
        torch.from_numpy(decoded), decode(deltas, anchors), rtol=1e-4, atol=1e-2
    )


def test_no_offset_gives_the_anchor_itself() -> None:
    anchors = torch.from_numpy(anchors_of_image(CONFIG, 64, 64))
    torch.testing.assert_close(decode(torch.zeros_like(anchors), anchors), anchors)


def test_a_wild_offset_gives_a_finite_box() -> None:
    anchors = torch.from_numpy(anchors_of_image(CONFIG, 32, 32))
    assert decode(torch.full_like(anchors, 1e4), anchors).isfinite().all()


@given(st.integers(1, 6), st.integers(1, 6))
def test_anchors_are_centred_on_their_cells(rows: int, columns: int) -> None:
    anchors = torch.from_numpy(anchors_of_image(ONE_LEVEL, rows * 8, columns * 8))
    centres = ((anchors[:, :2] + anchors[:, 2:]) / 2).reshape(rows, columns, 4, 2)
    for row in range(rows):
        for column in range(columns):
            expected = torch.tensor([column * 8 + 4.0, row * 8 + 4.0]).expand(4, 2)
            torch.testing.assert_close(centres[row, column], expected)


def test_anchors_have_their_area_and_ratio_sizes_before_ratios() -> None:
    anchors = torch.from_numpy(anchors_of_image(ONE_LEVEL, 8, 8))
    width, height = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
    torch.testing.assert_close((width * height).sqrt(), torch.tensor([20.0, 20, 30, 30]))
    torch.testing.assert_close(height / width, torch.tensor([0.5, 2, 0.5, 2]))


@given(st.integers(1, 200), st.integers(1, 200))
def test_an_image_has_anchors_on_every_cell_of_every_level(height: int, width: int) -> None:
    cells = sum(math.ceil(height / s) * math.ceil(width / s) for s in CONFIG.strides)
    anchors = anchors_of_image(CONFIG, height, width)
    assert anchors.shape == (cells * 6, 4)
    assert anchors.dtype == np.float32
