"""Recall by the size of objects on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.types import BoolArray, FloatArray, IntArray

MOST_BINS = 8
POWERS = (-16, 48)  # of two, for all sizes in practice


@dataclass(frozen=True)
class SizeBin:
    """Objects of about one size, and the number of them that are detected.

    Args:
        low_m: Least side of the square with the area of an object's box, in metres.
        high_m: Upper limit of this side, excluded.
        n_truth: Number of objects.
        tp: Number of objects that a prediction matches.
    """

    low_m: float
    high_m: float
    n_truth: int
    tp: int

    @property
    def recall(self) -> float:
        """Fraction of the objects that are detected; NaN without objects."""
        return self.tp / self.n_truth if self.n_truth else float("nan")


def size_edges(sizes_m: FloatArray) -> tuple[float, ...]:
    """Return the limits of bins from the smallest to the largest object, ascending.

    They are 1, 1.5, 2, 3, 4, 6, 8, 12, ... m, or every second of these where that would make more
    than ``MOST_BINS``, or every fourth: always the same numbers, so that results can be compared.
    """
    sizes = sizes_m[np.isfinite(sizes_m) & (sizes_m > 0)]
    if len(sizes) == 0:
        return ()
    powers = 2.0 ** np.arange(*POWERS)
    limits = np.sort(np.concatenate([powers, 1.5 * powers]))
    for step in (1, 2, 4, 8, 16):
        coarse = limits[::step]
        first = int(np.searchsorted(coarse, sizes.min(), side="right")) - 1
        last = int(np.searchsorted(coarse, sizes.max(), side="right"))
        if last - first <= MOST_BINS:
            break
    return tuple(coarse[max(first, 0) : last + 1].tolist())


def assign_bins(sizes_m: FloatArray, edges: Sequence[float]) -> IntArray:
    """Return the bin of each object between ascending edges, ``int64[M]``; -1 outside all."""
    number = np.searchsorted(np.asarray(edges), sizes_m, side="right") - 1  # NaN comes last
    return np.where(number < len(edges) - 1, number, -1)


def count_by_size(
    bins: IntArray, is_detected: BoolArray, edges: Sequence[float]
) -> tuple[SizeBin, ...]:
    """Count objects, and those that are detected, by bin.

    Args:
        bins: ``int64[M]`` bin of each object, or -1.
        is_detected: ``bool[M]`` objects that a prediction matches.
        edges: Limits of the bins.
    """
    count = max(0, len(edges) - 1)
    objects = np.bincount(bins[bins >= 0], minlength=count)
    detected = np.bincount(bins[(bins >= 0) & is_detected], minlength=count)
    return tuple(
        SizeBin(float(edges[i]), float(edges[i + 1]), int(objects[i]), int(detected[i]))
        for i in range(count)
    )


def detected_mask(matches: Matches, score_threshold: float) -> BoolArray:
    """Return True for objects that match a prediction of at least this score, ``bool[M]``."""
    prediction_of = matches.prediction_of
    scores = np.append(matches.scores, -np.inf)  # -1, no match, picks the last
    return np.asarray(scores[prediction_of] >= score_threshold) & (prediction_of >= 0)
