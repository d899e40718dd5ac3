"""Variations of chips."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geodetect.training.data.augmentation import Orientation, degrade, recolour, recolour_objects

SIDE = 40
corner = st.integers(0, SIDE - 6)
seeds = st.integers(0, 2**32 - 1)


def image_of_box(x: int, y: int, width: int, height: int) -> np.ndarray:
    image = np.zeros((4, SIDE, SIDE), np.uint8)
    image[:, y : y + height, x : x + width] = 200
    return image


def box_of(image: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(image[0])
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@given(x=corner, y=corner, width=st.integers(1, 6), height=st.integers(1, 6), seed=seeds)
def test_boxes_follow_their_pixels(x: int, y: int, width: int, height: int, seed: int) -> None:
    boxes = np.array([[x, y, x + width, y + height]], np.float64)
    orientation = Orientation.draw(np.random.default_rng(seed))
    image = orientation.image(image_of_box(x, y, width, height))
    assert orientation.boxes(boxes, SIDE).tolist() == [box_of(image)]


def test_all_eight_orientations_occur() -> None:
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3)
    rngs = (np.random.default_rng(seed) for seed in range(200))
    images = {Orientation.draw(rng).image(image).tobytes() for rng in rngs}
    assert len(images) == 8


def test_turning_leaves_its_arguments_alone() -> None:
    image, boxes = image_of_box(3, 5, 4, 2), np.array([[3.0, 5, 7, 7]])
    for seed in range(20):
        orientation = Orientation.draw(np.random.default_rng(seed))
        orientation.image(image)
        orientation.boxes(boxes, SIDE)
    assert boxes.tolist() == [[3, 5, 7, 7]]
    assert box_of(image) == [3, 5, 7, 7]


@settings(max_examples=40, deadline=None)
@given(seed=seeds, shape=st.tuples(st.integers(6, 40), st.integers(6, 40)))
def test_recolouring_keeps_shape_and_type_and_its_argument(
    seed: int, shape: tuple[int, int]
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (3, *shape), dtype=np.uint8)
    before = image.copy()
    changed = recolour(image, np.random.default_rng(seed))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert (image == before).all()
    assert (recolour(image, np.random.default_rng(seed)) == changed).all(), "same seed, same image"


@settings(max_examples=40, deadline=None)
@given(seed=seeds, shape=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_softening_keeps_shape_and_type_and_its_argument(seed: int, shape: tuple[int, int]) -> None:
    image = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, *shape), dtype=np.uint8))
    before = image.clone()
    soft = degrade(image, np.random.default_rng(seed))
    assert soft.shape == image.shape
    assert soft.dtype == torch.uint8
    assert torch.equal(image, before)


def test_softening_leaves_less_detail_and_objects_where_they_are() -> None:
    image = torch.from_numpy(image_of_box(14, 18, 12, 8)[:3])
    rows, columns = np.mgrid[: image.shape[1], : image.shape[2]]
    middle = [float((x * image[0].numpy()).sum() / image[0].sum()) for x in (columns, rows)]
    steps = torch.diff(image.float()).abs().max()
    softer = 0
    for seed in range(40):
        soft = degrade(image, np.random.default_rng(seed))
        weight = np.where(soft[0] > 20, soft[0], 0)  # JPEG leaves a little in the dark
        centre = [float((x * weight).sum() / weight.sum()) for x in (columns, rows)]
        np.testing.assert_allclose(centre, middle, atol=0.35)
        softer += bool(torch.diff(soft.float()).abs().max() < 0.9 * steps)
    assert softer > 30


@pytest.mark.parametrize("seed", range(5))
def test_recolouring_keeps_objects_in_place(seed: int) -> None:
    image = np.full((3, 40, 40), 60, np.uint8)
    image[:, 10:30, 15:25] = 200
    changed = recolour(image, np.random.default_rng(seed)).astype(float).mean(axis=0)
    assert changed[14:26, 18:22].mean() > changed[:6].mean() + 20


def garden(side: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Turquoise water, rounded off, on sand; and its box."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    water = np.hypot(rows - 30, columns - 30) < 12
    image = np.where(water, np.array([60, 180, 200])[:, None, None], 210).astype(np.uint8)
    return image, np.array([[18.0, 18, 42, 42]])


def test_objects_get_another_colour_and_their_surroundings_do_not() -> None:
    image, boxes = garden()
    water = image[0] == 60
    colours = set()
    for seed in range(20):
        changed = recolour_objects(image, boxes, None, np.random.default_rng(seed), strength=4.0)
        assert (changed[:, ~water] == 210).all()
        (colour,) = {tuple(pixel) for pixel in changed[:, water].T.tolist()}  # no edges within
        colours.add(colour)
    assert len(colours) > 15
    assert min(sum(colour) for colour in colours) < 180  # dark water
    assert image[:, 30, 30].tolist() == [60, 180, 200]


def test_all_of_an_outline_gets_another_colour() -> None:
    """Half of the water is in shade: without an outline, only the half in the sun would change."""
    image, boxes = garden()
    water = image[0] == 60
    image[:, water & (np.arange(60) > 30)[:, None]] //= 3
    outlines = np.array([shapely.Point(30, 30).buffer(12)], object)
    inside = np.hypot(*(np.mgrid[:60, :60] + 0.5 - 30)) < 11
    for seed in range(20):
        rng = np.random.default_rng(seed)
        changed = recolour_objects(image, boxes, outlines, rng, strength=4.0)
        assert (changed[:, np.hypot(*(np.mgrid[:60, :60] + 0.5 - 30)) > 13.5] == 210).all()
        gains = changed[:, inside] / image[:, inside]
        is_unclipped = changed[:, inside] < 255
        spread = [np.ptp(gains[band][is_unclipped[band]]) for band in range(3)]
        assert max(spread) < 0.06  # rounding of values from 20 up
        assert not np.array_equal(changed[:, inside], image[:, inside])


def test_some_objects_keep_their_colour_and_without_strength_all_do() -> None:
    image, boxes = garden()
    changed = [recolour_objects(image, boxes, None, np.random.default_rng(i)) for i in range(200)]
    share = np.mean([not np.array_equal(result, image) for result in changed])
    assert 0.3 < share < 0.5
    unchanged = recolour_objects(image, boxes, None, np.random.default_rng(0), strength=0.0)
    assert np.array_equal(unchanged, image)


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    corners=st.lists(st.tuples(*[st.floats(-30, 50)] * 2, *[st.floats(0.1, 60)] * 2), max_size=4),
)
def test_objects_that_stick_out_or_are_tiny_are_no_trouble(
    seed: int, corners: list[tuple[float, float, float, float]]
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (3, 37, 41), dtype=np.uint8)
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in corners]).reshape(-1, 4)
    changed = recolour_objects(image, boxes, None, np.random.default_rng(seed), strength=4.0)
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
