"""Fit of anchors to objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from geodetect.model.card import NetworkConfig
from geodetect.model.network import anchor_fit
from geodetect.model.network.anchor_fit import AnchorShapes, best_ious, fit_anchors, recall_by_size
from geodetect.model.network.anchors import anchors_of_image

SMALL = AnchorShapes((8, 16), ((16.0, 20.0), (32.0, 40.0)), (0.5, 1.0, 2.0))
SIDE = 256
sides = st.floats(2, 90)


def true_anchors(anchors: AnchorShapes) -> torch.Tensor:
    config = NetworkConfig(
        strides=anchors.strides, anchor_sizes_px=anchors.sizes_px, anchor_ratios=anchors.ratios
    )
    return torch.from_numpy(anchors_of_image(config, SIDE, SIDE))


@settings(max_examples=40)
@given(width=sides, height=sides)
def test_the_best_iou_is_that_with_the_anchors_of_the_network(width: float, height: float) -> None:
    expected = []
    for x, y in anchor_fit.cell_positions(16) + SIDE / 2:
        box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        expected.append(float(box_iou(torch.tensor([box]), true_anchors(SMALL)).max()))
    ious = best_ious(np.array([[width, height]]), SMALL)[0]
    np.testing.assert_allclose(ious, expected, atol=1e-5)


def test_positions_are_spread_evenly_over_the_cell() -> None:
    positions = anchor_fit.cell_positions(64)
    assert ((positions >= 0) & (positions < 64)).all()
    quarters = (positions // 32).astype(int)
    counts = np.bincount(quarters[:, 0] * 2 + quarters[:, 1], minlength=4)
    assert counts.min() >= 3


def test_objects_the_size_of_anchors_are_all_found_and_specks_are_not() -> None:
    fitting = np.full((30, 2), 40.0)
    specks = np.full((10, 2), 3.0)
    bins = recall_by_size(np.concatenate([fitting, specks]), SMALL)
    assert [(b.low_px, b.labels, b.recall) for b in bins] == [
        (0.0, 10, 0.0),
        (32.0, 30, 1.0),
        (0.0, 40, 0.75),
    ]
    assert bins[-1].high_px == np.inf


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=60))
def test_every_object_is_in_one_bin(sizes: list[tuple[float, float]]) -> None:
    bins = recall_by_size(np.array(sizes), SMALL)
    assert sum(b.labels for b in bins[:-1]) == bins[-1].labels == len(sizes)
    mean = sum(b.recall * b.labels for b in bins[:-1]) / len(sizes)
    assert mean == pytest.approx(bins[-1].recall)


def test_no_objects_have_no_recall() -> None:
    assert recall_by_size(np.empty((0, 2)), SMALL) == ()
    assert fit_anchors(np.empty((0, 2)), SMALL) == SMALL


def test_many_objects_are_measured_by_a_sample_of_all_sizes() -> None:
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.uniform(np.log(6), np.log(60), (4000, 1))) * np.ones(2)
    whole = best_ious(sizes, SMALL)
    overall = recall_by_size(sizes, SMALL)[-1]
    assert overall.labels == 4000
    assert overall.recall == pytest.approx((whole >= 0.5).mean(), abs=0.01)


def rated(sizes: np.ndarray, anchors: AnchorShapes) -> float:
    best = best_ious(sizes, anchors)
    return float(best.mean() + 0.5 * (best >= 0.5).mean())


@pytest.mark.parametrize("side", [9.0, 24.0, 70.0])
def test_fitted_anchors_find_objects_that_the_others_do_not(side: float) -> None:
    rng = np.random.default_rng(1)
    sizes = side * np.exp(rng.normal(0, 0.1, (60, 2)))
    fitted = fit_anchors(sizes, SMALL)
    assert rated(sizes, fitted) > rated(sizes, SMALL) + 0.02
    before, after = recall_by_size(sizes, SMALL)[-1], recall_by_size(sizes, fitted)[-1]
    assert after.recall >= before.recall


def test_long_objects_get_long_anchors_in_both_directions() -> None:
    rng = np.random.default_rng(2)
    sizes = np.array([16.0, 56.0]) * np.exp(rng.normal(0, 0.05, (60, 2)))
    fitted = fit_anchors(sizes, SMALL)
    assert fitted.ratios[2] == pytest.approx(3.5, rel=0.2)
    assert fitted.ratios[0] * fitted.ratios[2] == pytest.approx(1, rel=1e-3)
    assert fitted == fit_anchors(sizes[:, ::-1], SMALL)


@settings(max_examples=15)
@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=12))
def test_a_fit_never_makes_things_worse_and_stays_within_its_levels(
    sizes: list[tuple[float, float]],
) -> None:
    objects = np.array(sizes)
    fitted = fit_anchors(objects, SMALL)
    turned = np.concatenate([objects, objects[:, ::-1]])
    weights = anchor_fit.object_weights(turned)

    def weighted(anchors: AnchorShapes) -> float:
        best = best_ious(turned, anchors)
        return float((best.mean(axis=1) + 0.5 * (best >= 0.5).mean(axis=1)) @ weights)

    assert weighted(fitted) >= weighted(SMALL) - 2e-3  # sizes are rounded
    for stride, level in zip(fitted.strides, fitted.sizes_px, strict=True):
        assert len(level) == 2
        assert list(level) == sorted(level)
        assert all(stride - 0.01 <= size <= 6 * stride + 0.01 for size in level)


def test_rare_small_objects_are_not_given_up_for_common_ones() -> None:
    rng = np.random.default_rng(3)
    common = 36 * np.exp(rng.normal(0, 0.15, (300, 2)))
    rare = 16 * np.exp(rng.normal(0, 0.05, (12, 2)))
    fitted = fit_anchors(np.concatenate([common, rare]), SMALL)
    of_common_only = fit_anchors(common, SMALL)
    before, after = (recall_by_size(rare, a)[-1].recall for a in (of_common_only, fitted))
    assert after > before + 0.2
    assert recall_by_size(common, fitted)[-1].recall > 0.97


def test_the_scales_of_training_widen_what_anchors_are_fitted_to() -> None:
    sizes = np.full((100, 2), 24.0)
    narrow = fit_anchors(sizes, SMALL)
    wide = fit_anchors(sizes, SMALL, zoom_range=(0.5, 2.0))
    for scale in (0.5, 2.0):
        assert rated(sizes * scale, wide) > rated(sizes * scale, narrow)
