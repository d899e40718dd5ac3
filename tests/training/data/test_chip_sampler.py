"""Training chips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodetect.errors import GeodetectWarning, LabelError, RasterError
from geodetect.io.raster.open_raster import open_raster
from geodetect.settings import TrainSettings
from geodetect.training.data.chip_sampler import ChipSampler, HardNegative, crop_target
from geodetect.training.data.training_raster import MIN_VISIBLE_FRACTION, TrainingRaster
from tests.helpers.square_scenes import (
    BRIGHT,
    GSD_M,
    SQUARE_PX,
    grid_corners,
    square_boxes,
    squares_image,
    write_raster,
)
from tests.helpers.training_rasters import training_raster

CHIP_PX = 64
CHIP = np.array([0.0, 0.0, CHIP_PX, CHIP_PX])
WIDTH, HEIGHT = 413, 300
FORBIDDEN = 255  # the value of held-out ground


def grid_of_squares(
    path: Path, image: NDArray[np.uint8], holdout: list[list[float]]
) -> TrainingRaster:
    corners = [c for c in grid_corners(WIDTH) if c[1] < HEIGHT - SQUARE_PX]
    raster = open_raster(write_raster(path, image))
    return training_raster(raster, square_boxes(corners), holdout=holdout)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TrainingRaster:
    corners = [c for c in grid_corners(WIDTH) if c[1] < HEIGHT - SQUARE_PX]
    image = squares_image(WIDTH, corners, height=HEIGHT)
    return grid_of_squares(tmp_path_factory.mktemp("chips") / "plain.tif", image, [])


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> TrainingRaster:
    """Black ground with two white held-out blocks."""
    image = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    held = [[150.0, 0, 250, 90], [300, 180, 413, 300]]
    for x1, y1, x2, y2 in np.array(held).astype(int):
        image[:, y1:y2, x1:x2] = FORBIDDEN
    return grid_of_squares(tmp_path_factory.mktemp("chips") / "marked.tif", image, held)


def sampler(*rasters: TrainingRaster, gsd_m: float = GSD_M, **options: float) -> ChipSampler:
    values = {"tile_size": CHIP_PX, "object_share": 0.7, "seed": 1} | options
    return ChipSampler(list(rasters), TrainSettings.model_validate(values), gsd_m=gsd_m)


def test_a_chip_depends_on_nothing_but_seed_and_number(plain: TrainingRaster) -> None:
    first, second = sampler(plain), sampler(plain)
    assert first[9].image.tobytes() == second[9].image.tobytes()
    for number in (3, 1, 2):
        a, b = first[number], second[number]
        assert (a.image == b.image).all()
        assert (a.valid == b.valid).all()
        assert (a.target.boxes == b.target.boxes).all()


def test_another_number_or_seed_is_another_chip(plain: TrainingRaster) -> None:
    images = {sampler(plain, seed=seed)[n].image.tobytes() for seed in (1, 2) for n in range(4)}
    assert len(images) == 8


@settings(max_examples=25, deadline=None)
@given(number=st.integers(0, 10**6), share=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_chip_never_shows_held_out_ground(
    marked: TrainingRaster, number: int, share: float
) -> None:
    chip = sampler(marked, object_share=share, augment=0.0)[number]
    bled = 24  # the interpolation kernel reaches two pixels across the border
    inner = np.sort(chip.image.max(axis=0).ravel())
    assert inner[-1] < FORBIDDEN / 2 + bled


@settings(max_examples=25, deadline=None)
@given(number=st.integers(0, 10**6))
def test_boxes_lie_on_their_pixels_at_any_scale_and_turn(
    plain: TrainingRaster, number: int
) -> None:
    chip = sampler(plain, object_share=1.0, augment=0.0)[number]
    bright = chip.image[0] > BRIGHT // 2 + 30
    covered = np.zeros_like(bright)
    for x1, y1, x2, y2 in (*chip.target.boxes.numpy(), *chip.target.ignored.numpy()):
        inside = bright[int(y1 + 2) : int(y2 - 1), int(x1 + 2) : int(x2 - 1)]
        assert inside.all()
        covered[max(int(y1) - 1, 0) : int(y2) + 2, max(int(x1) - 1, 0) : int(x2) + 2] = True
    assert not (bright & ~covered).any(), "every bright pixel belongs to a box"


@pytest.mark.parametrize(("turns", "sides"), [(False, 1), (True, 4)])
def test_without_turns_chips_stay_as_the_imagery_lies(
    tmp_path: Path, turns: bool, sides: int
) -> None:
    ramp = np.broadcast_to(np.linspace(0, 250, WIDTH), (3, HEIGHT, WIDTH)).astype(np.uint8)
    chips = sampler(grid_of_squares(tmp_path / "ramp.tif", ramp, []), augment=0.0, turn=turns)
    images = [chips[number].image[0].astype(int) for number in range(24)]
    bright = {
        tuple(np.sign([image[:, -1] - image[:, 0], image[-1] - image[0]]).mean(1))
        for image in images
    }
    assert len(bright) == sides
    assert (1.0, 0.0) in bright, "brighter to the right"


def test_chips_on_objects_show_one_and_the_others_lie_anywhere(plain: TrainingRaster) -> None:
    on_objects = sampler(plain, object_share=1.0)
    shown = [
        len(c.target.boxes) + len(c.target.ignored) for c in map(on_objects.__getitem__, range(20))
    ]
    assert min(shown) >= 1


def test_a_raster_smaller_than_a_chip_is_padded(tmp_path: Path) -> None:
    raster = open_raster(write_raster(tmp_path / "s.tif", squares_image(50, [(20, 20)])))
    small = training_raster(raster, square_boxes([(20, 20)]))
    chip = sampler(small, tile_size=128, gsd_m=GSD_M / 1.5)[0]
    assert chip.image.shape == (3, 128, 128)
    assert chip.image.dtype == np.uint8
    assert chip.valid.shape == (128, 128)
    assert 0 < chip.valid.mean() < 1
    assert (chip.image[:, ~chip.valid] == 0).all()


def test_nodata_is_not_valid_and_black(tmp_path: Path) -> None:
    image = squares_image(200, [(100, 100)])
    image[:, :, :90] = 7
    raster = open_raster(write_raster(tmp_path / "n.tif", image, nodata=7))
    labelled = training_raster(raster, square_boxes([(100, 100)]))
    chips = [sampler(labelled, object_share=1.0)[n] for n in range(10)]
    assert any(not chip.valid.all() for chip in chips)
    for chip in chips:
        assert (chip.image[:, ~chip.valid] == 0).all()


def test_objects_whose_centre_is_held_out_are_not_trained_on(marked: TrainingRaster) -> None:
    centres = (marked.boxes[:, :2] + marked.boxes[:, 2:]) / 2
    for (x, y), trainable in zip(centres, marked.is_trainable, strict=True):
        inside = any(x1 <= x <= x2 and y1 <= y <= y2 for x1, y1, x2, y2 in marked.holdout)
        assert trainable == (not inside)
    assert len(sampler(marked).objects) == int(marked.is_trainable.sum())


def test_ground_held_out_of_another_raster_is_neither_shown_nor_measured(
    marked: TrainingRaster,
) -> None:
    beside = replace(marked, holdout=marked.holdout[:1], overlapping_holdout=marked.holdout[1:])
    assert (beside.is_trainable == marked.is_trainable).all()
    assert 0 < beside.is_held_out.sum() < marked.is_held_out.sum()
    for number in range(20):
        chip = sampler(beside, augment=0.0)[number]
        assert chip.image.max() < FORBIDDEN / 2 + 24


def test_without_objects_to_train_on_there_is_a_clear_error(plain: TrainingRaster) -> None:
    everything = replace(plain, holdout=np.array([[0.0, 0, WIDTH, HEIGHT]]))
    with pytest.raises(LabelError, match="`val_share`"):
        sampler(everything)


def test_ground_without_room_for_a_chip_is_a_clear_error(plain: TrainingRaster) -> None:
    stripes = np.array([[x, 0.0, x + 10, HEIGHT] for x in range(30, WIDTH, 40)])
    striped = replace(plain, holdout=stripes)
    with pytest.raises(LabelError, match="`tile_size`"):
        _ = sampler(striped)[0]


def test_objects_are_clipped_ignored_or_left_out_by_what_is_visible() -> None:
    boxes = np.array(
        [
            [10, 10, 20, 20],  # whole
            [-10, 30, 10, 40],  # half of it
            [60, 60, 80, 80],  # a twenty-fifth of it
            [100, 0, 120, 20],  # beside the chip
            [64, 0, 70, 10],  # touching its edge
        ],
        np.float64,
    )
    target = crop_target(boxes, np.arange(5), CHIP)
    assert target.boxes.tolist() == [[10, 10, 20, 20], [0, 30, 10, 40]]
    assert target.labels.tolist() == [0, 1]
    assert target.ignored.tolist() == [[60, 60, 64, 64]]


@given(share=st.floats(0.02, 1))
def test_the_limit_of_visibility_is_a_share_of_the_area(share: float) -> None:
    box = np.array([[64 - 100 * share, 0, 164 - 100 * share, 10]])
    target = crop_target(box, np.zeros(1, np.int64), CHIP)
    if abs(share - MIN_VISIBLE_FRACTION) > 1e-6 and share <= 0.64:
        assert len(target.boxes) == int(share > MIN_VISIBLE_FRACTION)
        assert len(target.ignored) == int(share < MIN_VISIBLE_FRACTION)


@pytest.mark.parametrize("turns", [False, True])
def test_objects_beyond_the_edge_of_a_raster_are_as_visible_as_it_shows_them(
    tmp_path: Path, turns: bool
) -> None:
    """A raster smaller than a chip shows 0.1 of one object, 0.5 of another and all of a third."""
    raster = open_raster(write_raster(tmp_path / "a.tif", np.full((3, 30, 36), 99, np.uint8)))
    boxes = np.array([[34, 2, 54, 12], [-10, 15, 10, 25], [18, 15, 28, 25]], np.float64)
    labelled = training_raster(raster, boxes, class_ids=np.arange(3), classes=("a", "b", "c"))
    assert labelled.is_trainable.tolist() == [False, True, True]
    chips = sampler(labelled, object_share=1.0, seed=0, turn=turns)
    for number in range(8):
        chip = chips[number]
        assert sorted(chip.target.labels.tolist()) == [1, 2]
        assert len(chip.target.ignored) == 1
        x1, y1, x2, y2 = (int(v) for v in chip.target.ignored[0].round())
        assert chip.valid[y1:y2, x1:x2].all()


def test_chips_show_true_shapes_where_pixels_are_not_square_on_the_ground(tmp_path: Path) -> None:
    """Squares of 10 m at 60 degrees north, where a degree of longitude is half as long."""
    step = 0.2 / 111_400
    profile = {"width": 600, "height": 300, "count": 3, "dtype": "uint8", "crs": "EPSG:4326"}
    place = {"transform": Affine(step, 0, 10, 0, -step, 60)}
    with rasterio.open(tmp_path / "a.tif", "w", "GTiff", **profile, **place) as raster:
        raster.write(np.full((3, 300, 600), 99, np.uint8))
    raster = open_raster(tmp_path / "a.tif")
    x_m, y_m = raster.grid.gsd_xy_m
    corners = np.array([[100, 100], [400, 150]])
    boxes = np.concatenate([corners, corners + 10 / np.array([x_m, y_m])], axis=1)
    labelled = training_raster(raster, boxes)
    assert labelled.sizes_m == pytest.approx(np.full((2, 2), 10))
    chips = sampler(labelled, gsd_m=0.2, tile_size=200, object_share=1.0, seed=0, turn=False)
    shown = np.concatenate([chips[number].target.boxes for number in range(12)])
    whole = shown[(shown > 0).all(axis=1) & (shown < 200).all(axis=1)]
    assert len(whole) > 5
    assert (whole[:, 2] - whole[:, 0]) / (whole[:, 3] - whole[:, 1]) == pytest.approx(1, rel=0.02)


def test_a_chip_without_objects_has_empty_columns() -> None:
    target = crop_target(np.empty((0, 4)), np.empty(0, np.int64), CHIP)
    assert target.boxes.shape == target.ignored.shape == (0, 4)
    assert target.labels.shape == (0,)


def damaged_after_opening(path: Path) -> TrainingRaster:
    """A raster whose pixels are gone once it was opened."""
    raster = grid_of_squares(path, squares_image(WIDTH, grid_corners(HEIGHT), height=HEIGHT), [])
    path.write_bytes(path.read_bytes()[:2000])
    return raster


def test_places_that_cannot_be_read_are_passed_over_with_one_warning(
    plain: TrainingRaster, tmp_path: Path
) -> None:
    broken = damaged_after_opening(tmp_path / "broken.tif")
    both = sampler(broken, plain)
    with pytest.warns(GeodetectWarning, match=r"elsewhere: .*broken\.tif") as caught:
        chips = [both[number] for number in range(8)]
    assert len(caught) == 1
    assert list(both.unreadable) == [str(tmp_path / "broken.tif")]
    assert all(chip.image.any() for chip in chips)
    later = [both[number].image.tobytes() for number in (7, 3)]
    assert later == [chips[number].image.tobytes() for number in (7, 3)], "the number decides"


def test_a_single_raster_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    broken = damaged_after_opening(tmp_path / "broken.tif")
    with pytest.warns(GeodetectWarning), pytest.raises(RasterError, match="cannot read"):
        _ = sampler(broken)[0]


def test_half_of_the_chips_off_objects_show_a_negative(plain: TrainingRaster) -> None:
    chips = sampler(plain, object_share=0.0, augment=0.0)
    before = [chips[number].image.tobytes() for number in range(60)]
    corner = HardNegative(0, float(WIDTH), 0.0, 0.9)  # chips there lie at the upper right
    chips.hard_negatives = (corner,)
    windows = [chips._draw_window(np.random.default_rng([1, number]))[2] for number in range(60)]
    right = sum(window.y == 0 and window.x > WIDTH * 0.6 - CHIP_PX for window in windows)
    assert 18 <= right <= 45
    chips.hard_negatives = ()
    assert [chips[number].image.tobytes() for number in range(60)] == before


def test_negatives_leave_the_share_of_objects_as_it_is(plain: TrainingRaster) -> None:
    chips = sampler(plain, object_share=0.7)
    plainly = [chips[number].image.tobytes() for number in range(30)]
    chips.hard_negatives = (HardNegative(0, 5.0, 5.0, 0.9),)
    changed = sum(chips[n].image.tobytes() != plainly[n] for n in range(30))
    assert 1 <= changed <= 11
