"""95 % intervals of the figures of a validation, by a bootstrap over blocks of the holdout.

The method is that of ``geodetect.assessment.evaluate.bootstrap``. Here the blocks depend on the
holdout alone, not on predictions, and the draws on the seed: so the draws of two models on one
holdout are of the same ground, and the spread of their difference is that of a paired comparison.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from geodetect.assessment.evaluate.bootstrap import (
    BLOCK_M,
    FEWEST_BLOCKS,
    MOST_BLOCKS,
    BootstrapBlocks,
    ClassDraws,
    Interval,
)
from geodetect.geo import boxes as box_ops
from geodetect.training.validation.metrics import RasterObjects, ValidationResult
from geodetect.types import FloatArray, IntArray

RESAMPLES, SEED = 500, 0
LEAST_SIDE_M = 1e-6

Cells = dict[tuple[int, int, int], int]  # block of each cell by raster, column and row


def holdout_blocks(result: ValidationResult) -> BootstrapBlocks:
    """Cut the holdout into square blocks of 250 m, or smaller ones if there were fewer than 25."""
    area_m2 = 0.0
    for truth, rectangles in zip(result.truth, result.holdout, strict=True):
        area_m2 += float(box_ops.area(rectangles).sum() * np.prod(truth.pixel_size_m))
    side_m = min(BLOCK_M, math.sqrt(area_m2 / FEWEST_BLOCKS))
    side_m = max(side_m, math.sqrt(area_m2 / MOST_BLOCKS), LEAST_SIDE_M)
    cells: Cells = {}
    for scene, (truth, rectangles) in enumerate(zip(result.truth, result.holdout, strict=True)):
        side_px = side_m / truth.pixel_size_m
        for rectangle in rectangles:
            first = np.floor(rectangle[:2] / side_px).astype(int).tolist()
            last = np.ceil(rectangle[2:] / side_px).astype(int).tolist()
            for cell in itertools.product(*map(range, first, last)):
                cells.setdefault((scene, cell[0], cell[1]), len(cells))
    if len(cells) > MOST_BLOCKS:  # many small images: neighbours in the list make a block
        cells = {cell: block * MOST_BLOCKS // len(cells) for cell, block in cells.items()}
    of_truth, of_centres = (
        np.concatenate(
            [
                np.empty(0, np.int64),
                *(_blocks_of(part, scene, cells, side_m) for scene, part in enumerate(layer)),
            ]
        )
        for layer in (result.truth, result.predictions)
    )
    truth_of = result.matches.truth_of
    of_object = np.append(of_truth, -1)[truth_of]
    of_predicted = np.where(truth_of >= 0, of_object, of_centres)
    count = max(cells.values(), default=0) + 1
    return BootstrapBlocks(side_m, count, of_predicted, of_truth)


def ap50_draws(result: ValidationResult) -> FloatArray:
    """Return AP50 in each draw of blocks, ``float64[RESAMPLES]``; NaN in draws without objects."""
    return _draw(result).average_precisions(result.matches)


def metric_intervals(result: ValidationResult) -> dict[str, Interval]:
    """Return the intervals of ``ap50, ap30, f1, precision, recall``, as far as they are defined."""
    draws = _draw(result)
    point = draws.point_intervals(result.matches, result.conf)
    intervals = {
        "ap50": Interval.from_draws(draws.average_precisions(result.matches)),
        "ap30": Interval.from_draws(draws.average_precisions(result.loose_matches)),
        "f1": point.f1,
        "precision": point.precision,
        "recall": point.recall,
    }
    return {name: i for name, i in intervals.items() if math.isfinite(i.low)}


def _draw(result: ValidationResult) -> ClassDraws:
    blocks = holdout_blocks(result)
    return ClassDraws(blocks.draw(RESAMPLES, SEED), blocks.of_predicted, blocks.of_truth)


def _blocks_of(objects: RasterObjects, scene: int, cells: Cells, side_m: float) -> IntArray:
    """Return the block of each object of a raster, ``int64[N]``."""
    centres = box_ops.centres(objects.boxes_px)
    positions = np.floor(centres / (side_m / objects.pixel_size_m)).astype(int)
    nearest = next((block for cell, block in cells.items() if cell[0] == scene), 0)  # at an edge
    blocks = [cells.get((scene, x, y), nearest) for x, y in positions.tolist()]
    return np.array(blocks, dtype=np.int64)
