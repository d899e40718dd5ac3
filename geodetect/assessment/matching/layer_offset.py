"""Systematic offset between two layers: all objects of one lie beside those of the other alike.

Each pair of features that lie near each other votes for the offset between them. The votes of
pairs that are the same object pile up at the systematic offset, those of neighbours spread. The
highest pile wins; the median of the pairs that it makes refines it. That is a Hough transform
(Duda and Hart 1972) for translations, as in the alignment of point sets by pose clustering
(Stockman 1987); ICP (Besl and McKay 1992) finds no offset that is larger than the spacing.

An offset counts only if its pile is clearly higher than every other one, as it is not by chance
or in regular rows, and if it is many times its standard error.

``geodetect.label_check.registration`` estimates the offset between labels and imagery, from pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geodetect.types import FloatArray, IntArray

REACH_M = 25.0  # offsets that are tried
CELL_M = 0.5  # of the grid of votes
BANDWIDTHS_M = (0.75, 1.5, 3.0)  # standard deviations of the positions of single objects
HILL = 2.5  # bandwidths around the highest pile that belong to it
MAX_VOTES = 2_000_000
LEAST_PAIRS = 8
MOST_DEVIATION = 0.4  # of the spacing of features; beyond, pairs are those of chance
LEAST_FRACTION = 0.3  # of the features that have a neighbour within reach
LEAST_CONTRAST = 1.5  # of a pile to its surroundings, and to others that are not its equals
SURROUNDINGS = 4.0  # bandwidths
MOST_PEAKS = 8
NEARER = 3.0  # factor by which its equals are longer offsets
LEAST_LEAD = 6.0  # standard deviations above the surroundings
LEAST_SIGNIFICANCE = 5.0  # standard errors
REFINEMENTS = 10
CONVERGED_M = 0.005
MAD_TO_DEVIATION = 1.4826  # of a normal distribution
MEDIAN_ERROR = 1.2533  # standard error of a median over that of a mean
MOST_COMMON = 0.95  # fraction of pairs
FLATTENING_FACTOR = 0.99330562  # 1 - e^2 of WGS 84; other ellipsoids turn axes by 1e-5
DIRECTIONS = (
    "east",
    "north-east",
    "north",
    "north-west",
    "west",
    "south-west",
    "south",
    "south-east",
)


@dataclass(frozen=True)
class LayerOffset:
    """Offset of a second layer from a first.

    Args:
        east_m: To the east, in metres on the ground.
        north_m: To the north.
        pairs: Number of pairs of features behind it.
        error_m: Standard error of each of the two.
        most_m: Distance below which 95 % of these pairs lie, with the offset in it.
    """

    east_m: float
    north_m: float
    pairs: int
    error_m: float
    most_m: float

    @property
    def distance_m(self) -> float:
        """Length of the offset in metres."""
        return math.hypot(self.east_m, self.north_m)

    @property
    def direction(self) -> str:
        """Nearest of eight points of the compass."""
        turns = math.atan2(self.north_m, self.east_m) / (2 * math.pi)
        return DIRECTIONS[round(turns * len(DIRECTIONS)) % len(DIRECTIONS)]

    def __str__(self) -> str:
        """Return the length and the direction for messages."""
        return f"{self.distance_m:.1f} m to the {self.direction}"

    def as_dict(self) -> dict[str, float | int | str]:
        """Return the offset for JSON."""
        return {
            "distance_m": round(self.distance_m, 2),
            "direction": self.direction,
            "east_m": round(self.east_m, 2),
            "north_m": round(self.north_m, 2),
            "pairs": self.pairs,
        }

    def take_out(self, points: FloatArray) -> FloatArray:
        """Return points of the second layer moved back by the offset.

        Args:
            points: ``float64[N, D]`` Cartesian coordinates as of ``cartesian_points_m``.
        """
        east, north = _axes(points)
        return points - self.east_m * east - self.north_m * north


def estimate_offset(first: FloatArray, second: FloatArray) -> LayerOffset | None:
    """Estimate the systematic offset of a second layer from a first.

    Args:
        first: ``float64[N, D]`` Cartesian coordinates as of ``cartesian_points_m``, in any order.
        second: ``float64[M, D]`` of the other layer.

    Returns:
        The offset; None if there is none that is certain.
    """
    if min(len(first), len(second)) < LEAST_PAIRS:
        return None
    first, second = (points[np.lexsort(points.T)] for points in (first, second))
    votes = _collect_votes(first, second)
    best = max(_find_piles(votes), key=lambda pile: pile.lead, default=None)
    if best is None or best.lead < LEAST_LEAD:
        return None
    return _refine(first, second, best)


@dataclass(frozen=True)
class _Pile:
    """Pile of votes at one bandwidth.

    Args:
        offset: ``float64[2]`` metres to the east and north.
        bandwidth_m: Standard deviation of the kernel by which votes count.
        lead: Its height above the surroundings, in standard deviations of a random count.
    """

    offset: FloatArray
    bandwidth_m: float
    lead: float


def _collect_votes(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the offsets to the east and north of all near pairs, ``float64[P, 2]``."""
    from scipy.spatial import KDTree

    trees = KDTree(first), KDTree(second)
    count = int(trees[0].count_neighbors(trees[1], REACH_M))
    step = max(1, math.ceil(count / MAX_VOTES))
    sample = first[::step]
    rows = KDTree(sample).query_ball_tree(trees[1], REACH_M)
    row = np.repeat(np.arange(len(sample)), [len(neighbours) for neighbours in rows])
    other = np.fromiter((j for neighbours in rows for j in neighbours), np.int64, len(row))
    return project(second[other] - sample[row], sample[row])


def _find_piles(votes: FloatArray) -> Iterator[_Pile]:
    """Yield the pile of the systematic offset at each bandwidth at which it is unambiguous.

    In regular rows each pile has equals one spacing further on; the nearest one is the offset, if
    it is much nearer than all others.
    """
    from scipy.ndimage import gaussian_filter

    cells = math.ceil(REACH_M / CELL_M)
    edges = np.arange(-cells - 0.5, cells + 1) * CELL_M
    counts = np.histogramdd(votes, bins=(edges, edges))[0]
    axis = (edges[:-1] + edges[1:]) / 2
    offsets = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    lengths = np.hypot(*np.moveaxis(offsets, -1, 0))
    for bandwidth_m in BANDWIDTHS_M:
        sigma = bandwidth_m / CELL_M
        area = 2 * math.pi * sigma**2
        heights = gaussian_filter(counts, sigma, mode="constant") * area
        around = gaussian_filter(counts, SURROUNDINGS * sigma, mode="constant") * area
        least = heights.max() / LEAST_CONTRAST
        peaks = list[tuple[float, float, float, FloatArray]]()
        while heights.max() >= least and len(peaks) < MOST_PEAKS:
            peak = np.unravel_index(int(heights.argmax()), heights.shape)
            figures = (lengths[peak], heights[peak], around[peak])
            peaks.append((*map(float, figures), offsets[peak]))
            heights[np.hypot(*np.moveaxis(offsets - offsets[peak], -1, 0)) < HILL * bandwidth_m] = 0
        (length, height, mean, offset), *farther = sorted(peaks, key=lambda peak: peak[0])
        is_nearest = all(peak[0] >= NEARER * length for peak in farther)
        if is_nearest and height >= LEAST_CONTRAST * mean:
            # kernels of votes at random: the variance is half the mean
            yield _Pile(offset, bandwidth_m, (height - mean) / math.sqrt(mean / 2 + 1))


def _refine(first: FloatArray, second: FloatArray, pile: _Pile) -> LayerOffset | None:
    """Return the median offset of the pairs that a pile makes; None if it is not significant."""
    from scipy.spatial import KDTree

    tree, radius_m = KDTree(first), HILL * pile.bandwidth_m
    east, north = _axes(second)
    offset = pile.offset
    for _ in range(REFINEMENTS):
        moved = second - offset[0] * east - offset[1] * north
        pairs = _nearest_pairs(tree, first, moved, radius_m)
        if len(pairs) < LEAST_PAIRS:
            return None
        residuals = project(moved[pairs[:, 1]] - first[pairs[:, 0]], first[pairs[:, 0]])
        change = np.median(residuals, axis=0)
        offset = offset + change
        if np.hypot(*change) < CONVERGED_M:
            break
    deviation = MAD_TO_DEVIATION * np.median(np.abs(residuals - change), axis=0)
    error_m = MEDIAN_ERROR * float(np.hypot(*deviation)) / math.sqrt(2 * len(pairs))
    is_significant = float(np.hypot(*offset)) > LEAST_SIGNIFICANCE * error_m
    spacing_m = float(np.median(tree.query(first, k=2)[0][:, 1]))
    is_precise = float(np.hypot(*deviation)) / math.sqrt(2) < MOST_DEVIATION * spacing_m
    distance, _ = tree.query(moved, distance_upper_bound=REACH_M)
    is_usual = len(pairs) >= LEAST_FRACTION * np.isfinite(distance).sum()
    if not (is_significant and is_precise and is_usual):
        return None
    apart = second[pairs[:, 1]] - first[pairs[:, 0]]
    most_m = float(np.quantile(np.linalg.norm(apart, axis=1), MOST_COMMON))
    return LayerOffset(float(offset[0]), float(offset[1]), len(pairs), error_m, most_m)


def _nearest_pairs(
    tree: object, first: FloatArray, second: FloatArray, radius_m: float
) -> IntArray:
    """Return the pairs in which each feature is the nearest of the other, ``int64[P, 2]``."""
    from scipy.spatial import KDTree

    assert isinstance(tree, KDTree)
    distance, nearest = tree.query(second, distance_upper_bound=radius_m)
    rows = np.flatnonzero(np.isfinite(distance))
    back = KDTree(second).query(first[nearest[rows]])[1]
    rows = rows[back == rows]
    return np.stack([nearest[rows], rows], axis=1)


def _axes(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the directions to the east and north at points, each ``float64[N, D]``."""
    if points.shape[1] == 2:
        east, north = np.eye(2)
        return np.tile(east, (len(points), 1)), np.tile(north, (len(points), 1))
    x, y, z = points.T
    from_axis = np.hypot(x, y)
    lon, lat = np.arctan2(y, x), np.arctan2(z, from_axis * FLATTENING_FACTOR)
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros(len(lon))], axis=1)
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=1)
    return east, north


def project(vectors: FloatArray, points: FloatArray) -> FloatArray:
    """Return the components of vectors to the east and north, ``float64[N, 2]`` metres.

    Args:
        vectors: ``float64[N, D]`` differences of Cartesian coordinates.
        points: ``float64[N, D]`` Cartesian coordinates of their places.
    """
    return np.stack([(vectors * axis).sum(axis=1) for axis in _axes(points)], axis=1)
