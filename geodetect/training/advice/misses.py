"""Advice from the errors on the holdout: by size, by place, and by how well boxes fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import shapely

from geodetect.assessment.evaluate.size_bins import detected_mask, size_edges
from geodetect.geo import boxes as box_ops
from geodetect.geo.crs import WGS84
from geodetect.geo.reproject import reproject_or_none
from geodetect.training.advice.facts import Advice, Place, TrainingFacts
from geodetect.training.validation.metrics import RasterObjects, ValidationResult
from geodetect.training.validation.uncertainty import holdout_blocks
from geodetect.types import BoolArray, FloatArray, IntArray

SIGNIFICANCE = 0.01
LEAST_OBJECTS = 10  # on both sides of a size
LEAST_DIFFERENCE = 0.15  # of recalls
SMALL_STRIDES = 3.0  # strides of the finest level that a small object spans
FINER_RATIO = 0.75  # of the imagery's pixels to those of the training, to be worth reading finer
LARGE_CHIP_FRACTION = 0.75
MOST_BLOCKS = 3
BLOCK_SIGNIFICANCE = 0.05  # of all blocks together (Bonferroni)
LEAST_ERRORS, LEAST_ERROR_FRACTION = 4, 0.2  # in the blocks that are named
LEAST_LOOSE, LOOSE_FRACTION = 5, 0.3  # of the misses
STANDARD_ERRORS = 3.0
LEAST_SHIFT = 0.1  # of the size of an object
COUNTS = ("no", "one", "two", "three")


class HoldoutErrors:
    """Errors of a model on the holdout, at its score threshold.

    Args:
        result: Validation of the model.
    """

    def __init__(self, result: ValidationResult) -> None:
        self.result = result
        self.blocks = holdout_blocks(result)
        self.is_found = detected_mask(result.matches, result.conf)
        self.is_loose = detected_mask(result.loose_matches, result.conf) & ~self.is_found
        self.is_counted = result.matches.scores >= result.conf
        self.is_false = self.is_counted & ~result.matches.is_tp

    @property
    def misses(self) -> int:
        """Number of objects that are not found."""
        return int((~self.is_found).sum())

    @cached_property
    def sizes_m(self) -> FloatArray:
        """Square roots of the areas of the objects, ``float64[M]`` in metres."""
        return np.concatenate(
            [np.sqrt(box_ops.area(t.boxes_px) * t.pixel_size_m.prod()) for t in self.result.truth]
        )

    def loose_offsets(self) -> FloatArray:
        """Return the offsets of loose boxes from their objects, ``float64[K, 2]`` in their size."""
        matches = self.result.loose_matches
        truth, predicted = (
            np.concatenate([part.boxes_px for part in layer])
            for layer in (self.result.truth, self.result.predictions)
        )
        truth = truth[self.is_loose]
        predicted = predicted[matches.prediction_of[self.is_loose]]
        sides = np.sqrt(box_ops.area(truth))[:, None]
        return np.asarray((box_ops.centres(predicted) - box_ops.centres(truth)) / sides)


def advise_on_errors(facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice from the errors on the holdout."""
    if facts.result is None or not facts.result.matches.n_truth:
        return
    errors = HoldoutErrors(facts.result)
    yield from _advise_on_sizes(errors, facts)
    yield from _advise_on_places(errors, facts)
    yield from _advise_on_boxes(errors, facts)


def _advise_on_sizes(errors: HoldoutErrors, facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice if objects below or above a size are missed more often than the others.

    Rule: of the limits 1, 1.5, 2, 3, ... m with ten objects on either side, the one that separates
    recalls best by Fisher's exact test; they differ significantly and by 0.15.
    """
    from scipy.stats import fisher_exact

    splits = []
    for edge in size_edges(errors.sizes_m)[1:-1]:
        is_below = errors.sizes_m < edge
        detected, counts = (
            [int(mask.sum()) for mask in masks]
            for masks in (
                (errors.is_found & is_below, errors.is_found & ~is_below),
                (is_below, ~is_below),
            )
        )
        if min(counts) < LEAST_OBJECTS:
            continue
        missed = [count - hits for count, hits in zip(counts, detected, strict=True)]
        splits.append((float(fisher_exact([detected, missed]).pvalue), edge, detected, counts))
    if not splits:
        return
    chance, edge, detected, counts = min(splits)
    below, above = (hits / count for hits, count in zip(detected, counts, strict=True))
    if chance >= SIGNIFICANCE / len(splits) or abs(below - above) < LEAST_DIFFERENCE:
        return
    worse = 0 if below < above else 1
    kind, other = (("under", "larger"), ("of at least", "smaller"))[worse]
    gain = abs(below - above) * counts[worse] / sum(counts)
    degree = "not" if not detected[worse] else "less"
    if 0 < detected[worse] < counts[worse] / 3:
        degree = "rarely"
    text = (
        f"objects {kind} {edge:g} m are {degree} {'often ' if degree == 'less' else ''}found "
        f"({detected[worse]} of {counts[worse]}; of the {other} ones {detected[1 - worse]} of "
        f"{counts[1 - worse]}): "
    )
    if worse:
        remedy = _large_remedy(float(np.median(errors.sizes_m[errors.sizes_m >= edge])), facts)
    else:
        remedy = _small_remedy(edge, facts)
    yield Advice("sizes", text + remedy, gain)


def _small_remedy(size_m: float, facts: TrainingFacts) -> str:
    """Return what finds objects under a size: finer pixels, or more of them to learn from."""
    gsd_m, network = facts.card.gsd_m, facts.card.network
    if gsd_m is None or network is None:
        return "label more of them"
    stride, side_px = network.strides[0], size_m / gsd_m
    if side_px > SMALL_STRIDES * stride:
        return f"with {side_px:.0f} px they are large enough to be seen; label more of them"
    state = f"they have under {side_px:.0f} px, the finest level a stride of {stride}; "
    if facts.finest_gsd_m < FINER_RATIO * gsd_m:
        finer = max(facts.finest_gsd_m, gsd_m / 2)
        return f"{state}the rasters are finer: set `gsd` to {finer:.2g}"
    return (
        f"{state}finer imagery, or a level of stride {stride // 2}: set `gsd` to {gsd_m / 2:.2g}, "
        f"which enlarges the imagery to the same effect"
    )


def _large_remedy(size_m: float, facts: TrainingFacts) -> str:
    """Return what finds objects of a size: more ground in view, or more of them to learn from."""
    gsd_m, network, chip_px = facts.card.gsd_m, facts.card.network, facts.settings.tile_size
    if gsd_m is None or network is None:
        return "label more of them"
    side_px, largest_px = size_m / gsd_m, max(network.anchor_sizes_px[-1])
    if side_px > LARGE_CHIP_FRACTION * chip_px:
        return (
            f"they have about {side_px:.0f} px, a chip {chip_px} px; set `tile_size` to "
            f"{2 * chip_px}, or `gsd` to {2 * gsd_m:.2g}"
        )
    if side_px > largest_px:
        return (
            f"they have about {side_px:.0f} px, the largest anchors {largest_px:.0f} px; set `gsd` "
            f"to {2 * gsd_m:.2g}"
        )
    return "label more of them"


def _advise_on_places(errors: HoldoutErrors, facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice if misses, or false positives, crowd together in a few blocks.

    Rule: up to three blocks with more errors than the rate of all others allows, by a binomial test
    with Bonferroni's correction; together they have four errors and a fifth of all.
    """
    blocks = errors.blocks
    n_truth = len(errors.is_found)
    for kind, is_error, of_row, layer, weight in (
        ("misses", ~errors.is_found, blocks.of_truth, errors.result.truth, 1.0),
        ("false positives", errors.is_false, blocks.of_predicted, errors.result.predictions, 0.5),
    ):
        is_counted = np.ones(n_truth, bool) if kind == "misses" else errors.is_counted
        crowded, excess = _crowded_blocks(of_row[is_counted], is_error[is_counted], blocks.count)
        in_crowded = is_error & np.isin(of_row, crowded)
        count, total = int(in_crowded.sum()), int(is_error.sum())
        if count < max(LEAST_ERRORS, LEAST_ERROR_FRACTION * total):
            continue
        places = tuple(
            _middle_of(layer, is_error & (of_row == block)) for block in crowded.tolist()
        )
        remedy = "look at these labels first"
        if kind == "false positives":
            remedy = "they may be objects without a label"
            # ground far from any label, as the label check found it
            texts = [finding.text for finding in facts.findings if finding.topic == "empty ground"]
            if texts:
                remedy += f" ({texts[0].partition(';')[0]})"
        noun = "block" if len(places) == 1 else "blocks"
        text = (
            f"{count} of {total} {kind} lie in {COUNTS[len(places)]} {noun} of "
            f"{blocks.side_m:.0f} m, around {' and '.join(map(str, places))}: {remedy}"
        )
        yield Advice(kind, text, weight * excess / n_truth, places)


def _crowded_blocks(of_row: IntArray, is_error: BoolArray, n_blocks: int) -> tuple[IntArray, float]:
    """Return blocks with too many errors, most excess first, and the excess in them."""
    from scipy.stats import binomtest

    counts = np.bincount(of_row, minlength=n_blocks)
    errors = np.bincount(of_row[is_error], minlength=n_blocks)
    rest_errors, rest = errors.sum() - errors, counts.sum() - counts
    used = np.flatnonzero(errors)
    crowded = []
    for block in used.tolist():
        if not rest[block]:
            continue
        # one error more in the rest: a rate of 0 would make any error a surprise
        rate = (rest_errors[block] + 1) / (rest[block] + 1)
        test = binomtest(int(errors[block]), int(counts[block]), float(rate), "greater")
        if test.pvalue * np.count_nonzero(counts) < BLOCK_SIGNIFICANCE:
            crowded.append((float(errors[block] - rate * counts[block]), block))
    crowded = sorted(crowded, reverse=True)[:MOST_BLOCKS]
    blocks = np.array([block for _, block in crowded], dtype=np.int64)
    return blocks, sum(excess for excess, _ in crowded)


def _middle_of(layer: tuple[RasterObjects, ...], rows: BoolArray) -> Place:
    """Return the middle of some objects of the first raster that has any of them."""
    first = 0
    for part in layer:
        inside = rows[first : first + len(part.objects)]
        first += len(part.objects)
        if inside.any():
            break
    raster = part.raster
    centre = box_ops.centres(part.boxes_px[inside]).mean(axis=0)
    if raster.grid.crs is not None:
        point = np.array([shapely.points(raster.grid.to_map(centre))], dtype=object)
        (on_wgs84,) = reproject_or_none(point, raster.grid.crs, WGS84)
        if on_wgs84 is not None:
            return Place(raster.name, round(on_wgs84.x, 6), round(on_wgs84.y, 6), False)
    return Place(raster.name, round(float(centre[0]), 1), round(float(centre[1]), 1), True)


def _advise_on_boxes(errors: HoldoutErrors, facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice if many misses are objects that are found, but not well enough outlined.

    Rule: five misses, and three in ten, have a box with an IoU of at least 0.3. If these boxes lie
    to one side, by three standard errors and a tenth of the objects' size, labels or imagery are
    shifted.
    """
    count = int(errors.is_loose.sum())
    if count < max(LEAST_LOOSE, LOOSE_FRACTION * errors.misses):
        return
    metrics = facts.card.metrics
    ap50, ap30 = metrics.get("ap50", 0.0), metrics.get("ap30", 0.0)
    text = (
        f"{count} of {errors.misses} misses are found, but the box is off (AP50 {ap50:.3f}, AP30 "
        f"{ap30:.3f}): "
    )
    offsets = errors.loose_offsets()
    mean, error = offsets.mean(axis=0), offsets.std(axis=0, ddof=1) / math.sqrt(count)
    is_shifted = (np.abs(mean) > STANDARD_ERRORS * error) & (np.abs(mean) > LEAST_SHIFT)
    if is_shifted.any():
        size_m = float(np.median(errors.sizes_m[errors.is_loose]))
        sides = [
            f"{abs(shift) * size_m:.1f} m {directions[0] if shift > 0 else directions[1]}"
            for shift, directions, is_far in zip(
                mean.tolist(), (("right", "left"), ("down", "up")), is_shifted, strict=True
            )
            if is_far
        ]
        text += (
            f"it lies {' and '.join(sides)} of the label: the labels of the holdout are shifted "
            f"against its imagery; move them"
        )
    else:
        text += "labels that follow the outline more closely help, and finer imagery"
    yield Advice("boxes", text, 0.5 * max(ap30 - ap50, 0.0))
