from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from numpy.typing import NDArray

from geodetect.assessment.evaluate.bootstrap import (
    BootstrapBlocks,
    ClassDraws,
    Interval,
    cut_blocks,
)
from geodetect.assessment.evaluate.metrics import DetectionMetrics, compute_metrics
from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.assessment.matching.alignment import align_layers
from geodetect.assessment.matching.class_matching import (
    LayerMatches,
    match_layers,
)
from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.errors import InputError
from tests.helpers.layers import CRS, square_layer

Float = NDArray[np.float64]


def match_pairs(predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> LayerMatches:
    return match_layers(align_layers(predictions, truth))


def measure(
    matches: LayerMatches, blocks: BootstrapBlocks, *, resamples: int = 500, seed: int = 0
) -> DetectionMetrics:
    rows = len(matches.layers.predictions), len(matches.layers.truth)
    return compute_metrics(matches, n_rows=rows, blocks=blocks, resamples=resamples, seed=seed)


def match_random_squares(count: int, *, seed: int, side_m: float = 2000) -> LayerMatches:
    """Objects on a square, of which three in four are found, with false alarms."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(int(side_m // 20) ** 2)[: 2 * count]
    corners = np.stack(np.divmod(cells, int(side_m // 20)), axis=1) * 20.0
    detected = corners[:count][rng.random(count) < 0.75]
    every = np.concatenate([detected, corners[count : count + count // 4]])
    return match_pairs(
        square_layer(*every, score=rng.uniform(size=len(every))), square_layer(*corners[:count])
    )


@pytest.mark.parametrize("crs", [CRS, "EPSG:3857", "OGC:CRS84", "EPSG:2154"])
def test_blocks_have_their_side_on_the_ground_whatever_the_crs(crs: str) -> None:
    steps = np.array([[0.0, 0], [2000, 0], [0, 2000], [2000, 2000], [90, 0], [110, 0]])
    truth = square_layer(*steps).to_crs(crs)
    blocks = cut_blocks(match_pairs(truth, truth), side_m=100)
    assert blocks.side_m == 100
    assert blocks.of_truth[0] == blocks.of_truth[4] != blocks.of_truth[5]
    assert blocks.count == 5


def test_a_detection_is_drawn_together_with_its_object() -> None:
    truth = square_layer([0.0, 0], [96, 0])
    predictions = square_layer([0.0, 0], [99, 0], [160, 0], score=[0.9, 0.8, 0.7])
    blocks = cut_blocks(match_pairs(predictions, truth), side_m=97)
    assert blocks.of_truth.tolist() == [0, 0]
    assert blocks.of_predicted.tolist() == [0, 0, 1]


def test_by_default_there_are_neither_few_nor_many_blocks() -> None:
    small = cut_blocks(match_random_squares(100, seed=0, side_m=500))
    assert 20 <= small.count <= 36
    assert small.side_m == pytest.approx(100, rel=0.1)
    assert cut_blocks(match_random_squares(100, seed=0)).side_m == 250
    far = square_layer([0.0, 0], [50_000, 50_000])
    assert cut_blocks(match_pairs(far, far)).side_m == pytest.approx(1000, rel=0.01)
    single = square_layer([0.0, 0])
    assert cut_blocks(match_pairs(single, single)).side_m == 250


def test_too_many_blocks_are_an_error() -> None:
    many = square_layer(*np.stack(np.divmod(np.arange(5100), 100), axis=1) * 50.0)
    with pytest.raises(InputError, match=r"5,100 blocks of 10 m.*`block_size`"):
        cut_blocks(match_pairs(many, many), side_m=10)


def test_intervals_hold_the_figure_and_are_the_same_for_the_same_seed() -> None:
    matches = match_random_squares(400, seed=1)
    blocks = cut_blocks(matches)
    overall = measure(matches, blocks).overall
    intervals = overall.intervals
    assert intervals is not None
    for name in ("ap", "ap50", "ap75", "ap50_95"):
        interval = getattr(intervals, name)
        assert interval.low < getattr(overall, name) < interval.high
    for name in ("precision", "recall", "f1", "count_error"):
        interval = getattr(intervals.at_threshold, name)
        assert interval.low < getattr(overall.at_threshold, name) < interval.high
    size, interval = overall.sizes[0], intervals.sizes[0]
    assert interval.low < size.recall < interval.high
    assert measure(matches, blocks).overall.intervals == intervals
    assert measure(matches, blocks, seed=1).overall.intervals != intervals


def test_objects_missed_block_by_block_make_a_wider_interval() -> None:
    """The same recall, once by chance for each object and once for whole blocks."""
    rng = np.random.default_rng(2)
    corners = np.stack(np.divmod(np.arange(1600), 40), axis=1) * 50.0
    block = (corners // 250).astype(int) @ [8, 1]
    widths = []
    for is_detected in (rng.random(1600) < 0.75, (rng.random(64) < 0.75)[block]):
        matches = match_pairs(square_layer(*corners[is_detected]), square_layer(*corners))
        intervals = measure(matches, cut_blocks(matches, side_m=250)).overall.intervals
        assert intervals is not None
        recall = intervals.at_threshold.recall
        widths.append(recall.high - recall.low)
    assert widths[1] > 3 * widths[0]


def test_about_95_in_100_intervals_hold_the_true_recall() -> None:
    rng = np.random.default_rng(3)
    corners = np.stack(np.divmod(np.arange(500), 25), axis=1) * 40.0
    held = 0
    for seed in range(100):
        matches = match_pairs(square_layer(*corners[rng.random(500) < 0.8]), square_layer(*corners))
        blocks = cut_blocks(matches, side_m=120)
        weights = blocks.draw(200, seed)
        draws = ClassDraws.from_blocks(matches.classes[0], blocks, weights)
        recall = draws.point_intervals(matches.classes[0].matches, 0).recall
        held += recall.low <= 0.8 <= recall.high
    assert 88 <= held <= 99


@pytest.mark.parametrize("count", [60, 3000])  # 3000: curves are followed in steps
def test_average_precision_in_a_draw_is_that_of_the_drawn_blocks(count: int) -> None:
    rng = np.random.default_rng(count)
    scores, block = rng.permutation(2 * count) / (2.0 * count), rng.integers(0, 9, 2 * count)
    right = rng.random(2 * count) < scores * 0.9
    truth_of = np.where(right, np.cumsum(right) - 1, -1)
    objects = np.concatenate([block[right], rng.integers(0, 9, count // 4)])
    matches = Matches(truth_of, right.astype(float), scores, len(objects), 0.5)
    weights = rng.multinomial(9, np.full(9, 1 / 9), size=20).astype(float)
    draws = ClassDraws(weights, block, objects)
    precisions = draws.average_precisions(matches)
    for weight, value in zip(weights.astype(int), precisions, strict=True):
        copies = np.repeat(np.arange(2 * count), weight[block])
        drawn = Matches(
            np.where(right[copies], np.arange(len(copies)), -1),
            np.zeros(len(copies)),
            scores[copies],
            int(weight[objects].sum()),
            0.5,
        )
        assert value == pytest.approx(average_precision(drawn), abs=2e-3)


def test_where_nothing_varies_there_is_no_interval() -> None:
    nothing = Interval.from_draws(np.ones(100))
    assert np.isnan([nothing.low, nothing.high]).all()
    undefined = Interval.from_draws(np.array([np.nan, np.nan, 0.5]))
    assert np.isnan([undefined.low, undefined.high]).all()


def test_a_single_block_gives_no_intervals() -> None:
    single = square_layer([0.0, 0])
    matches = match_pairs(single, single)
    assert measure(matches, cut_blocks(matches)).overall.intervals is None
    empty = match_pairs(single.iloc[:0], single.iloc[:0])
    assert cut_blocks(empty).count == 0
    assert measure(empty, cut_blocks(empty)).overall.intervals is None


def test_the_mean_over_classes_has_an_interval_too() -> None:
    rng = np.random.default_rng(4)
    corners = np.stack(np.divmod(np.arange(400), 20), axis=1) * 60.0
    names = np.where(np.arange(400) % 2, "pool", "tank")
    is_detected = rng.random(400) < np.where(names == "pool", 0.9, 0.5)
    predicted = square_layer(*corners[is_detected], score=rng.uniform(size=is_detected.sum()))
    matches = match_pairs(
        predicted.assign(**{"class": names[is_detected]}),
        square_layer(*corners, **{"class": names}),
    )
    metrics = measure(matches, cut_blocks(matches))
    means = [
        result.intervals.ap50 for result in (metrics.overall, *metrics.classes) if result.intervals
    ]
    overall, pool, tank = means
    assert tank.high < overall.low < metrics.overall.ap50 < overall.high < pool.low
