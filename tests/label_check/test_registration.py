"""The offset between labels and what they outline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.open_raster import open_raster
from geodetect.label_check.registration import LEAST_LABELS, estimate_shifts
from tests.helpers.program import ROOT
from tests.helpers.square_scenes import GSD_M, write_raster

Float = NDArray[np.float64]

SAMPLE = ROOT / "sample_data" / "neighbourhood.tif"


@pytest.fixture(scope="module")
def sample() -> LabelledRaster:
    raster = open_raster(SAMPLE)
    (sheet,) = place_labels(read_labels(SAMPLE.with_suffix(".geojson")), [raster])
    return sheet


def shift_labels(sheet: LabelledRaster, right_m: float, down_m: float) -> LabelledRaster:
    """The same labels, so far beside where they belong."""
    return replace(sheet, boxes=sheet.boxes + np.tile([right_m, down_m], 2) / sheet.gsd_m)


@pytest.mark.parametrize("offset_m", [(0.0, 0.0), (3.0, 0.0), (-1.8, 2.4), (0.9, -4.5)])
def test_an_offset_of_labels_is_found_and_none_where_there_is_none(
    sample: LabelledRaster, offset_m: tuple[float, float]
) -> None:
    (estimate,) = estimate_shifts([shift_labels(sample, *offset_m)])
    assert estimate.right_m == pytest.approx(-offset_m[0], abs=0.3)
    assert estimate.down_m == pytest.approx(-offset_m[1], abs=0.3)
    assert estimate.suspected == (offset_m != (0.0, 0.0))
    assert (estimate.significance > 4) == estimate.suspected


def test_labels_anywhere_are_not_taken_for_shifted(sample: LabelledRaster) -> None:
    rng = np.random.default_rng(1)
    size = sample.boxes[:, 2:] - sample.boxes[:, :2]
    corner = rng.uniform(100, 2300, size.shape)
    anywhere = replace(sample, boxes=np.concatenate([corner, corner + size], axis=1))
    assert not any(estimate.suspected for estimate in estimate_shifts([anywhere]))


def test_labels_that_lie_beside_in_all_directions_are_not_taken_for_shifted(
    sample: LabelledRaster,
) -> None:
    angles = np.arange(len(sample.boxes)) * 2.4
    offsets = 15 * np.stack([np.cos(angles), np.sin(angles)], axis=1)  # 3 m
    scattered = replace(sample, boxes=sample.boxes + np.tile(offsets, 2))
    assert not any(estimate.suspected for estimate in estimate_shifts([scattered]))


def test_few_labels_give_no_estimate(sample: LabelledRaster) -> None:
    assert estimate_shifts([sample.select(np.arange(LEAST_LABELS - 1))]) == []
    assert estimate_shifts([]) == []


def test_the_same_seed_gives_the_same_estimate(sample: LabelledRaster) -> None:
    assert estimate_shifts([sample], seed=3) == estimate_shifts([sample], seed=3)


def with_shadows(path: Path) -> LabelledRaster:
    """Green squares on brown ground, each with a dark shadow of its size 3 m beside it."""
    rng = np.random.default_rng(7)
    side, square, aside = 640, 18, 12
    texture = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), 2)
    ground = np.array([150.0, 130.0, 105.0])[:, None, None] + 60 * texture
    corners = rng.permutation(
        [(x, y) for x in range(60, 540, 52) for y in range(60, 540, 52)]
    ) + rng.integers(-8, 9, (100, 2))
    for x, y in corners:
        ground[:, y - aside : y - aside + square, x + aside : x + aside + square] *= 0.4
    for x, y in corners:
        tree = np.array([112.0, 135.0, 88.0])[:, None, None]
        ground[:, y : y + square, x : x + square] = (
            tree + 60 * texture[y : y + square, x : x + square]
        )
    ground = ndimage.gaussian_filter(ground, (0, 0.7, 0.7))
    raster = open_raster(write_raster(path, np.clip(ground, 0, 255).astype(np.uint8)))
    boxes = np.concatenate([corners, corners + square], axis=1).astype(np.float64)
    class_ids, ids = np.zeros(len(boxes), np.int64), np.arange(len(boxes))
    return LabelledRaster(raster, boxes, class_ids, ids, ("tree",))


def test_shadows_that_all_lie_on_one_side_are_not_taken_for_the_objects(tmp_path: Path) -> None:
    sheet = with_shadows(tmp_path / "trees.tif")
    (estimate,) = estimate_shifts([sheet])
    assert not estimate.suspected
    assert estimate.shift_m < 0.5
    (estimate,) = estimate_shifts([shift_labels(sheet, 12 * GSD_M, 0)])
    assert estimate.suspected
    assert estimate.right_m == pytest.approx(-3, abs=0.3)


def test_rasters_with_few_labels_are_looked_at_together(
    sample: LabelledRaster, tmp_path: Path
) -> None:
    halves = []
    for number, rows in enumerate((sample.ids < 30, sample.ids >= 30)):
        raster = replace(sample.raster, path=str(tmp_path / f"{number}.tif"))
        (tmp_path / f"{number}.tif").symlink_to(SAMPLE)
        halves.append(shift_labels(replace(sample.select(rows), raster=raster), 3.0, 0.0))
    (estimate,) = estimate_shifts(halves)
    assert estimate.raster == "2 rasters together"
    assert estimate.suspected
    assert estimate.right_m == pytest.approx(-3, abs=0.3)


def test_real_labels_are_not_suspected_until_they_are_moved(shared_data: Path) -> None:
    path = shared_data / "pools" / "cannes_north.tif"
    (sheet,) = place_labels(read_labels(path.with_suffix(".geojson")), [open_raster(path)])
    (estimate,) = estimate_shifts([sheet])
    assert not estimate.suspected
    (estimate,) = estimate_shifts([shift_labels(sheet, 2.1, -2.1)])
    assert estimate.suspected
    assert estimate.right_m == pytest.approx(-2.1, abs=0.6)
    assert estimate.down_m == pytest.approx(2.1, abs=0.6)
