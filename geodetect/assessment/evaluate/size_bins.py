"""Recall by the size of objects on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.types import BoolArray, FloatArray, IntArray

MOST_BINS = 8
POWERS = (-16, 48)  # of two, for any size there is


@dataclass(frozen=True)
class SizeBin:
    """Objects of about one size, and how many of them are found.

    Args:
        low_m: Least side of the square with the area of an object's box, in metres.
        high_m: All are smaller than this.
        n_truth: Number of objects.
        n_found: How many of them a detection shows.
    """

    low_m: float
    high_m: float
    n_truth: int
    n_found: int

    @property
    def recall(self) -> float:
        """Share of the objects that are found; NaN without objects."""
        return self.n_found / self.n_truth if self.n_truth else float("nan")


def size_edges(sizes_m: FloatArray) -> tuple[float, ...]:
    """Limits of bins from the smallest to the largest object, ascending.

    They are 1, 1.5, 2, 3, 4, 6, 8, 12, ... m, or every second of these where that would make more
    than ``MOST_BINS``, or every fourth: always the same numbers, so that results can be compared.
    """
    known = sizes_m[np.isfinite(sizes_m) & (sizes_m > 0)]
    if len(known) == 0:
        return ()
    powers = 2.0 ** np.arange(*POWERS)
    limits = np.sort(np.concatenate([powers, 1.5 * powers]))
    for step in (1, 2, 4, 8, 16):
        coarse = limits[::step]
        first = int(np.searchsorted(coarse, known.min(), side="right")) - 1
        last = int(np.searchsorted(coarse, known.max(), side="right"))
        if last - first <= MOST_BINS:
            break
    return tuple(coarse[max(first, 0) : last + 1].tolist())


def bin_of(sizes_m: FloatArray, edges: Sequence[float]) -> IntArray:
    """The bin of each object between ascending edges, ``int64[M]``; -1 outside all."""
    number = np.searchsorted(np.asarray(edges), sizes_m, side="right") - 1  # NaN comes last
    return np.where(number < len(edges) - 1, number, -1)


def size_bins(bins: IntArray, found: BoolArray, edges: Sequence[float]) -> tuple[SizeBin, ...]:
    """Count objects by bin.

    Args:
        bins: ``int64[M]`` bin of each object, or -1.
        found: ``bool[M]`` whether it is found.
        edges: Limits of the bins.
    """
    count = max(0, len(edges) - 1)
    objects = np.bincount(bins[bins >= 0], minlength=count)
    right = np.bincount(bins[(bins >= 0) & found], minlength=count)
    return tuple(
        SizeBin(float(edges[i]), float(edges[i + 1]), int(objects[i]), int(right[i]))
        for i in range(count)
    )


def found_at(matches: Matches, score_threshold: float) -> BoolArray:
    """Which objects a detection with at least this score shows, ``bool[M]``."""
    by = matches.prediction_of
    scores = np.append(matches.scores, -np.inf)  # -1, not found, picks the last
    return np.asarray(scores[by] >= score_threshold) & (by >= 0)
