"""Masks that the outline head is trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from geodetect.geo import boxes as box_ops
from geodetect.io.raster.open_raster import open_raster
from geodetect.model.card import OutlineConfig
from geodetect.settings import TrainSettings
from geodetect.training.data.chip_sampler import ChipSampler
from geodetect.training.data.mask_targets import draw_mask, mask_target
from tests.helpers.square_scenes import GSD_M, write_raster
from tests.helpers.training_rasters import training_raster

CONFIG = OutlineConfig()
FRAME = np.array([0.0, 0, 100, 100])
SIDE, CHIP_PX = 300, 96


@settings(deadline=None, max_examples=40)
@given(x=st.floats(5, 60), y=st.floats(5, 60), radius=st.floats(2, 30))
def test_a_mask_covers_as_much_as_its_outline(x: float, y: float, radius: float) -> None:
    outline = shapely.Point(x, y).buffer(radius)
    box = box_ops.widen(np.array([outline.bounds]), 0.2)[0]
    mask = draw_mask(outline, box, 28, 20)
    cell = (box[2] - box[0]) * (box[3] - box[1]) / (28 * 20)
    assert mask.sum() * cell == pytest.approx(outline.area, rel=0.03)


def test_boxes_and_hardly_visible_objects_have_no_mask() -> None:
    boxes = np.array([[10.0, 10, 30, 30], [40, 40, 60, 60], [99.5, 50, 120, 70]])
    outlines = np.array([shapely.box(12, 12, 28, 28), None, shapely.box(*boxes[2])], object)
    target = mask_target(boxes, outlines, FRAME, CONFIG, np.random.default_rng(0))
    assert target.masks.shape == (1, CONFIG.mask_cells, CONFIG.mask_cells)
    assert target.boxes.shape == (1, 4)
    nothing = mask_target(boxes[1:2], outlines[1:2], FRAME, CONFIG, np.random.default_rng(0))
    assert len(nothing.masks) == len(nothing.boxes) == 0


@pytest.mark.parametrize("turn", [False, True])
def test_masks_of_chips_show_what_their_pixels_show(tmp_path: Path, turn: bool) -> None:
    """Outlines are painted white; turned and scaled, masks still cover the white."""
    rng = np.random.default_rng(1)
    centres = [(x, y) for x in range(30, SIDE, 60) for y in range(30, SIDE, 60)]
    shapes = [
        shapely.affinity.rotate(shapely.box(x - 24, y - 14, x + 24, y + 8), rng.uniform(0, 180))
        for x, y in centres
    ]
    image = 255 * rasterize(shapes, (SIDE, SIDE), dtype=np.uint8)
    raster = open_raster(write_raster(tmp_path / "shapes.tif", np.stack([image] * 3)))
    labelled = replace(
        training_raster(raster, [shape.bounds for shape in shapes]),
        outlines=np.array(shapes, dtype=object),
    )
    options = TrainSettings(tile_size=CHIP_PX, augment=0, turn=turn, seed=3)
    sampler = ChipSampler([labelled], options, gsd_m=GSD_M, outline=CONFIG)
    masks = 0
    for number in range(12):
        chip = sampler[number]
        for box, mask in zip(chip.target.masks.boxes, chip.target.masks.masks, strict=True):
            x1, y1, x2, y2 = box.round().int().tolist()
            if min(x1, y1) < 0 or max(x2, y2) > CHIP_PX:
                continue
            white = (chip.image[0, y1:y2, x1:x2] > 127).mean()
            rows, columns = np.nonzero(chip.image[0, y1:y2, x1:x2] > 127)
            covered = mask.numpy()
            assert covered.mean() == pytest.approx(white, abs=0.06)
            weights = covered / covered.sum()
            centre = weights.sum(axis=0) @ np.arange(28), weights.sum(axis=1) @ np.arange(28)
            expected = (columns.mean() / (x2 - x1) * 28, rows.mean() / (y2 - y1) * 28)
            assert centre == pytest.approx(expected, abs=1.2)
            masks += 1
    assert masks > 12


def test_chips_are_the_same_with_and_without_masks(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE), dtype=np.uint8)
    raster = open_raster(write_raster(tmp_path / "a.tif", image))
    labelled = training_raster(raster, [[100, 100, 130, 120]])
    outlines = np.array([shapely.Point(115, 110).buffer(9)], dtype=object)
    options = TrainSettings(tile_size=CHIP_PX, seed=5, augment=0)
    plain = ChipSampler([labelled], options, gsd_m=GSD_M)[3]
    with_masks = ChipSampler(
        [replace(labelled, outlines=outlines)], options, gsd_m=GSD_M, outline=CONFIG
    )[3]
    assert np.array_equal(plain.image, with_masks.image)
    assert plain.target.boxes.tolist() == with_masks.target.boxes.tolist()
    assert len(plain.target.masks.masks) == 0
