"""Assignment of anchors to objects."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodetect.model.card import NetworkConfig
from geodetect.model.network.anchors import anchors_of_levels
from geodetect.training.anchors.assignment import (
    ASSIGNMENTS,
    BACKGROUND,
    BACKGROUND_IOU,
    IGNORED,
    NEAREST_CELLS,
    POSITIVE_IOU,
    assign_anchors,
    flatten_levels,
)
from tests.helpers.sample_anchors import LEVELS, target

CONFIG = NetworkConfig(
    strides=(8, 16), anchor_sizes_px=((10.0, 14.0), (24.0, 40.0)), anchor_ratios=(1.0, 2.0)
)
SIDE = 64
EITHER = pytest.mark.parametrize("assignment", ASSIGNMENTS)


def iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)


def test_anchors_answer_by_overlap() -> None:
    assigned = assign_anchors(target([[0, 0, 10, 10]]), LEVELS, "overlap")
    assert assigned.tolist() == [0, IGNORED, BACKGROUND, BACKGROUND, BACKGROUND]


def test_an_object_that_no_anchor_fits_has_its_best_anchor_all_the_same() -> None:
    assigned = assign_anchors(target([[0, 0, 10, 10], [54, 54, 57, 57]]), LEVELS, "overlap")
    assert assigned[3:].tolist() == [1, 1], "both cover it equally"


@EITHER
def test_an_object_that_touches_no_anchor_has_none(assignment: str) -> None:
    assigned = assign_anchors(target([[200, 200, 210, 210]]), LEVELS, assignment)
    assert (assigned == BACKGROUND).all()


@EITHER
def test_without_objects_everything_is_background(assignment: str) -> None:
    assert (assign_anchors(target([]), LEVELS, assignment) == BACKGROUND).all()


@EITHER
def test_anchors_on_ignored_places_are_not_counted(assignment: str) -> None:
    assigned = assign_anchors(target([], ignored=[[48, 48, 61, 64]]), LEVELS, assignment)
    assert assigned.tolist() == [BACKGROUND] * 3 + [IGNORED] * 2


@pytest.mark.parametrize(
    ("assignment", "second"), [("overlap", 0), ("atss", IGNORED)], ids=["overlap", "atss"]
)
def test_an_object_comes_before_an_ignored_place(assignment: str, second: int) -> None:
    assigned = assign_anchors(
        target([[50, 50, 60, 60]], ignored=[[48, 48, 64, 64]]), LEVELS, assignment
    )
    assert assigned[3:].tolist() == [0, second]


coordinates = st.integers(0, 40)
rectangles = st.tuples(coordinates, coordinates, st.integers(2, 20), st.integers(2, 20)).map(
    lambda b: [float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3])]
)


@given(objects=st.lists(rectangles, min_size=1, max_size=5), rows=st.lists(rectangles, min_size=1))
def test_assignment_follows_its_rules(objects: list[list[float]], rows: list[list[float]]) -> None:
    assigned = assign_anchors(target(objects), [torch.tensor(rows)[:, None]], "overlap").tolist()
    for anchor, owned in zip(rows, assigned, strict=True):
        overlaps = [iou(anchor, box) for box in objects]
        best = max(overlaps)
        if owned == BACKGROUND:
            assert best < BACKGROUND_IOU + 1e-6
        elif owned == IGNORED:
            assert BACKGROUND_IOU - 1e-6 <= best < POSITIVE_IOU + 1e-6
        else:
            forced = overlaps[owned] >= max(iou(row, objects[owned]) for row in rows) - 1e-6
            assert forced or (best >= POSITIVE_IOU - 1e-6 and overlaps[owned] >= best - 1e-6)
    for number, box in enumerate(objects):
        overlaps = [iou(row, box) for row in rows]
        if max(overlaps) > 0 and number not in assigned:
            best_rows = [r for r, o in enumerate(overlaps) if o >= max(overlaps) - 1e-6]
            assert all(assigned[r] >= 0 for r in best_rows), "only another may take its anchor"


def suitable(one: list[float], levels: list[torch.Tensor]) -> set[int]:
    """Zhang et al. 2020, algorithm 1, lines 3 to 14, written out for one object."""
    x, y = (one[0] + one[2]) / 2, (one[1] + one[3]) / 2
    candidates: dict[int, list[float]] = {}
    begin = 0
    for level in levels:
        cells, per_cell = level.shape[:2]
        away = [
            math.dist(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), (x, y))
            for box in level[:, 0].tolist()
        ]
        for cell in sorted(range(cells), key=away.__getitem__)[:NEAREST_CELLS]:
            for anchor in range(per_cell):
                candidates[begin + cell * per_cell + anchor] = level[cell, anchor].tolist()
        begin += cells * per_cell
    overlaps = {row: iou(box, one) for row, box in candidates.items()}
    least = statistics.mean(overlaps.values()) + statistics.stdev(overlaps.values())
    return {
        row
        for row, box in candidates.items()
        if overlaps[row] >= least
        and one[0] < (box[0] + box[2]) / 2 < one[2]
        and one[1] < (box[1] + box[3]) / 2 < one[3]
    }


@given(st.lists(rectangles, min_size=1, max_size=5))
def test_atss_is_that_of_the_paper(whole: list[list[float]]) -> None:
    objects = [[x0 + 0.37, y0 + 0.21, x1 + 0.37, y1 + 0.21] for x0, y0, x1, y1 in whole]
    levels = [torch.from_numpy(level) for level in anchors_of_levels(CONFIG, SIDE, SIDE)]
    assigned = assign_anchors(target(objects), levels, "atss").tolist()
    suits = [suitable(box, levels) for box in objects]
    anchors = flatten_levels(levels).tolist()
    for row, owned in enumerate(assigned):
        ious = {n: iou(anchors[row], objects[n]) for n, rows in enumerate(suits) if row in rows}
        if owned == BACKGROUND:
            assert not ious
        elif owned not in ious or ious[owned] < max(ious.values()) - 1e-5:
            overlaps = [iou(anchor, objects[owned]) for anchor in anchors]
            assert overlaps[row] == pytest.approx(max(overlaps)), "its best, as it has no other"
            assert assigned.count(owned) == 1


@pytest.mark.parametrize("side", [1.0, 3.0, 60.0])
def test_atss_assigns_an_anchor_to_an_object_of_any_size(side: float) -> None:
    levels = [torch.from_numpy(level) for level in anchors_of_levels(CONFIG, SIDE, SIDE)]
    box = [33.0 - side / 2, 31.0 - side / 2, 33.0 + side / 2, 31.0 + side / 2]
    assert 0 in assign_anchors(target([box]), levels, "atss").tolist()


def test_atss_assigns_more_anchors_to_a_small_object_than_overlap() -> None:
    levels = [torch.from_numpy(level) for level in anchors_of_levels(CONFIG, SIDE, SIDE)]
    small = target([[32, 32, 39, 39]])
    by_atss, by_overlap = (
        int((assign_anchors(small, levels, assignment) == 0).sum())
        for assignment in ("atss", "overlap")
    )
    assert by_atss > by_overlap
