from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodetect.detection.detections import Detections
from geodetect.detection.seam_merge.merger import SeamMerger
from geodetect.errors import InputError
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Tile, TileScheme
from tests.helpers import painted_scenes

SIDE = 96
PERFECT = (0, 0, 0)


def merge(parts, scheme: TileScheme, *, iou: float = 0.5) -> Detections:
    """All tiles at once."""
    merger = SeamMerger(scheme, iou=iou)
    for tile, detections in parts:
        merger.add(tile, detections)
    return merger.finish()


def error_counts(tally: painted_scenes.ErrorCounts) -> tuple[int, int, int]:
    return tally.lost, tally.doubled, tally.inexact


def merged_errors(
    canvas: painted_scenes.Canvas, scheme: TileScheme, detector=painted_scenes.read_colours
):
    detections = merge(painted_scenes.detect_tiles(canvas.pixels, scheme, detector), scheme)
    return error_counts(painted_scenes.count_errors(canvas.truth, detections.boxes))


def rows_of(boxes: Detections) -> list[tuple]:
    columns = (*boxes.boxes.T, boxes.scores, boxes.labels, boxes.truncated)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def clipped_views(boxes, scheme, labels=None, scores=None) -> list[tuple[Tile, Detections]]:
    """Return the rectangles that a perfect detector finds in every tile."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    labels = np.zeros(len(boxes), int) if labels is None else np.asarray(labels)
    scores = np.full(len(boxes), 0.5) if scores is None else np.asarray(scores)
    parts = []
    for tile in scheme:
        views = box_ops.clip(boxes, tile.box)
        is_visible = box_ops.area(views) > 0
        parts.append(
            (
                tile,
                Detections.from_arrays(views[is_visible], scores[is_visible], labels[is_visible]),
            )
        )
    return parts


def stream(parts, scheme: TileScheme, *, chunk: int = 1) -> Detections:
    merger, out = SeamMerger(scheme), []
    for row in range(len(scheme.rows)):
        if row % chunk == 0:
            out.append(merger.take_final(row))
        for tile, detections in parts:
            if tile.row == row:
                merger.add(tile, detections)
    detections = Detections.concatenate([*out, merger.finish()])
    return detections[np.lexsort((detections.scores, detections.labels, *detections.boxes.T[::-1]))]


@st.composite
def overlapping_schemes(draw, side: int = SIDE, least_overlap: int = 0) -> TileScheme:
    tile = draw(st.integers(least_overlap + 1, side + 10))
    return TileScheme(side, side, tile, draw(st.integers(least_overlap, tile - 1)))


@st.composite
def coarse_schemes(draw, side: int = SIDE) -> TileScheme:
    """At most some 50 tiles, so that an example stays fast."""
    tile = draw(st.integers(16, side + 10))
    return TileScheme(side, side, tile, draw(st.integers(0, tile * 3 // 5)))


@st.composite
def disjoint_boxes(draw, side: int = SIDE, largest: int = SIDE) -> np.ndarray:
    """Rectangles at least 1 px apart, from 1 px to the whole raster."""
    free, boxes = np.ones((side + 2, side + 2), bool), []
    rectangle = st.tuples(*[st.integers(0, side - 1)] * 2, *[st.integers(1, largest)] * 2)
    for x, y, width, height in draw(st.lists(rectangle, max_size=20)):
        x2, y2 = min(x + width, side), min(y + height, side)
        if free[y : y2 + 2, x : x2 + 2].all():
            free[y + 1 : y2 + 1, x + 1 : x2 + 1] = False
            boxes.append((x, y, x2, y2))
    return np.array(boxes, float).reshape(-1, 4)


@st.composite
def noisy_parts(draw, scheme: TileScheme):
    """Anything a bad detector may find: overlapping, jittered, doubled, missing boxes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 40))
    corners = rng.integers(0, SIDE, (count, 2)) + rng.random((count, 2)).round(1)
    sizes = np.exp(rng.uniform(0.5, 4.4, (count, 2)))
    labels = rng.integers(0, 2, count)
    parts = []
    for tile, detections in clipped_views(np.c_[corners, corners + sizes], scheme, labels):
        n = len(detections)
        extents = np.tile(detections.boxes[:, 2:] - detections.boxes[:, :2], (1, 2))
        boxes = detections.boxes + rng.uniform(-0.05, 0.05, (n, 4)) * extents
        scores = rng.choice([0.5, 0.7, 0.9], n)
        detections = Detections.from_arrays(
            boxes, scores, detections.labels, truncated=rng.random(n) < 0.2
        )
        parts.append((tile, detections[rng.random(n) < 0.9]))
    return parts


class TestPaintedScenes:
    """The whole way from pixels to merged boxes, exact to the pixel."""

    @pytest.mark.parametrize(("tile", "overlap"), [(128, 0), (128, 16), (128, 32), (200, 96)])
    @pytest.mark.parametrize("kind", ["mixed", "dense", "nested"])
    def test_every_object_comes_out_once_and_exact(self, kind, tile, overlap):
        canvas = {
            "mixed": lambda: painted_scenes.mixed(700, seed=3, largest=400),
            "dense": lambda: painted_scenes.dense(700, seed=3),
            "nested": lambda: painted_scenes.nested(700, seed=3, largest=120),
        }[kind]()
        assert merged_errors(canvas, TileScheme(700, 700, tile, overlap)) == PERFECT

    @pytest.mark.parametrize(("tile", "overlap"), [(128, 24), (128, 64), (200, 96)])
    def test_rows_of_diagonal_objects_with_overlapping_boxes_stay_apart(self, tile, overlap):
        canvas = painted_scenes.diagonals(700, seed=3, largest=overlap)
        assert canvas.count > 50
        assert merged_errors(canvas, TileScheme(700, 700, tile, overlap)) == PERFECT

    @pytest.mark.parametrize(("tile", "overlap"), [(64, 0), (64, 1), (64, 8), (100, 40)])
    def test_objects_that_end_at_tile_edges_are_neither_cut_nor_joined(self, tile, overlap):
        scheme = TileScheme(400, 400, tile, overlap)
        canvas = painted_scenes.at_the_seams(scheme, seed=3, largest=20)
        assert merged_errors(canvas, scheme) == PERFECT

    @pytest.mark.parametrize("clipped", [True, False])
    @pytest.mark.parametrize("normal", [True, False])
    @pytest.mark.parametrize("kind", ["mixed", "dense", "diagonals"])
    def test_inexact_boxes_are_neither_lost_nor_doubled(self, kind, normal, clipped):
        canvas = {
            "mixed": lambda: painted_scenes.mixed(900, seed=4, largest=500),
            "dense": lambda: painted_scenes.dense(900, seed=4),
            "diagonals": lambda: painted_scenes.diagonals(900, seed=4, largest=64),
        }[kind]()
        detector = painted_scenes.Jittered(0.02 if normal else 0.04, normal=normal, clipped=clipped)
        lost, doubled, _ = merged_errors(canvas, TileScheme(900, 900, 256, 64), detector)
        assert (lost, doubled) == (0, 0)

    @pytest.mark.parametrize("tile", [1, 2, 3])
    def test_tiles_of_few_pixels_are_stitched(self, tile):
        canvas = painted_scenes.Canvas(24)
        canvas.paint(painted_scenes.rectangle(9, 14), 2, 3)
        canvas.paint(painted_scenes.rectangle(8, 5), 12, 4)
        canvas.paint(painted_scenes.rectangle(3, 1), 12, 10)
        assert merged_errors(canvas, TileScheme(24, 24, tile, 0)) == PERFECT

    def test_a_horseshoe_larger_than_a_tile_comes_out_whole(self):
        canvas = painted_scenes.Canvas(300)
        for turns, (x, y) in enumerate(product((5, 155), (5, 155))):
            canvas.paint(np.rot90(painted_scenes.horseshoe(140, 140, 20), turns), x, y)
        assert merged_errors(canvas, TileScheme(300, 300, 100, 30)) == PERFECT

    def test_tiles_larger_than_the_raster_give_the_detections_unchanged(self):
        canvas = painted_scenes.nested(200, seed=1, largest=100)
        assert merged_errors(canvas, TileScheme(200, 200, 512, 64)) == PERFECT


class TestSingleObjects:
    SCHEME = TileScheme(190, 100, 100, 10)  # two tiles that share x from 90 to 100

    def test_the_box_and_score_of_the_whole_view_win_over_a_better_scored_piece(self):
        left, right = self.SCHEME
        whole = Detections.from_arrays([[60.5, 20, 94, 40]], [0.3], truncated=[True])
        piece = Detections.from_arrays([[90, 21, 94, 39]], [0.9])
        detections = merge([(left, whole), (right, piece)], self.SCHEME)
        assert rows_of(detections) == rows_of(whole)

    def test_of_two_whole_views_the_better_scored_one_is_taken(self):
        scheme = TileScheme(160, 100, 100, 40)
        left, right = scheme
        low = Detections.from_arrays([[70, 20, 90, 40]], [0.3])
        high = Detections.from_arrays([[71, 20, 91, 40]], [0.9])
        assert rows_of(merge([(left, low), (right, high)], scheme)) == rows_of(high)
        assert rows_of(merge([(left, high), (right, low)], scheme)) == rows_of(high)

    def test_the_score_of_a_stitched_object_is_the_mean_weighted_by_area(self):
        left, right = self.SCHEME
        big = Detections.from_arrays([[40, 20, 100, 40]], [0.9])
        small = Detections.from_arrays([[90, 20, 120, 40]], [0.6], truncated=[True])
        detections = merge([(left, big), (right, small)], self.SCHEME)
        assert detections.boxes.tolist() == [[40, 20, 120, 40]]
        assert detections.scores[0] == pytest.approx((0.9 * 60 + 0.6 * 30) / 90)
        assert detections.truncated.tolist() == [True]

    def test_neighbours_1_px_apart_across_a_seam_without_overlap_stay_two(self):
        scheme = TileScheme(200, 100, 100, 0)
        left, right = scheme
        parts = [
            (left, Detections.from_arrays([[80, 20, 100, 40]], [0.9])),
            (right, Detections.from_arrays([[101, 20, 120, 40]], [0.9])),
        ]
        assert merge(parts, scheme).boxes.tolist() == [[80, 20, 100, 40], [101, 20, 120, 40]]

    def test_a_box_at_a_tile_edge_without_a_partner_is_kept_as_it_is(self):
        left, right = self.SCHEME
        edge = Detections.from_arrays([[60, 20, 100, 40]], [0.9])  # beyond it there is no data
        detections = merge([(left, edge), (right, Detections.empty())], self.SCHEME)
        assert rows_of(detections) == rows_of(edge)

    def test_a_box_at_the_edge_of_the_raster_is_not_cut(self):
        left, right = self.SCHEME
        whole = Detections.from_arrays([[0, 0, 95, 100]], [0.4])
        piece = Detections.from_arrays([[90, 0, 95, 100]], [0.9])
        detections = merge([(left, whole), (right, piece)], self.SCHEME)
        assert rows_of(detections) == rows_of(whole)

    def test_duplicates_inside_one_tile_are_the_detectors_business(self):
        left, right = self.SCHEME
        inner = Detections.from_arrays([[20, 20, 40, 40], [20, 20, 40, 41]], [0.9, 0.8])
        shared = Detections.from_arrays([[92, 20, 97, 40], [92, 20, 97, 41]], [0.9, 0.8])
        parts = [(left, Detections.concatenate([inner, shared])), (right, shared)]
        assert len(merge(parts, self.SCHEME)) == 4

    def test_a_chain_of_neighbours_does_not_melt_together(self):
        scheme = TileScheme(160, 100, 100, 40)
        left, right = scheme
        a, b, c = [70, 20, 85, 40], [75, 20, 90, 40], [66, 20, 81, 40]
        parts = [
            (left, Detections.from_arrays([a, c], [0.9, 0.9])),
            (right, Detections.from_arrays([b], [0.9])),
        ]
        detections = merge(parts, scheme)
        assert len(detections) == 2
        assert c in detections.boxes.tolist()

    def test_boxes_are_clipped_to_their_tile_and_dropped_outside_it(self):
        left, _ = self.SCHEME
        detections = Detections.from_arrays(
            [[-3, 20, 40, 40], [-9, -9, -2, -2], [120, 0, 130, 9]], [0.9] * 3
        )
        assert merge([(left, detections)], self.SCHEME).boxes.tolist() == [[0, 20, 40, 40]]

    def test_nothing_found_gives_no_detections(self):
        assert len(merge([(t, Detections.empty()) for t in self.SCHEME], self.SCHEME)) == 0
        assert len(merge([], self.SCHEME)) == 0


class TestProperties:
    @settings(max_examples=60, deadline=None)
    @given(st.data(), coarse_schemes(), disjoint_boxes())
    def test_disjoint_rectangles_of_any_size_come_out_exact_under_any_scheme(
        self, data, scheme, boxes
    ):
        scores = data.draw(st.lists(st.floats(0.25, 1), min_size=len(boxes), max_size=len(boxes)))
        detections = merge(clipped_views(boxes, scheme, scores=scores), scheme)
        assert detections.boxes.tolist() == sorted(boxes.tolist())

    @settings(max_examples=40, deadline=None)
    @given(overlapping_schemes(side=40), disjoint_boxes(side=40, largest=40))
    def test_even_tiny_tiles_with_large_overlaps_lose_nothing(self, scheme, boxes):
        if len(scheme) > 400:
            scheme = TileScheme(40, 40, scheme.tile_px, min(scheme.overlap_px, 2))
        detections = merge(clipped_views(boxes, scheme), scheme)
        assert detections.boxes.tolist() == sorted(boxes.tolist())

    @settings(max_examples=40, deadline=None)
    @given(coarse_schemes(), coarse_schemes(), disjoint_boxes())
    def test_the_scheme_does_not_matter(self, one, two, boxes):
        results = [rows_of(merge(clipped_views(boxes, s), s)) for s in (one, two)]
        assert [row[:4] for row in results[0]] == [row[:4] for row in results[1]]

    @settings(max_examples=60, deadline=None)
    @given(st.data(), coarse_schemes())
    def test_the_order_of_arrival_does_not_matter(self, data, scheme):
        parts = data.draw(noisy_parts(scheme))
        shuffled = data.draw(st.permutations(parts))
        shuffled = [
            (tile, detections[np.arange(len(detections))[::-1]]) for tile, detections in shuffled
        ]
        assert rows_of(merge(parts, scheme)) == rows_of(merge(shuffled, scheme))

    @settings(max_examples=100, deadline=None)
    @given(st.data(), coarse_schemes(), st.integers(1, 4))
    def test_streaming_gives_the_global_result(self, data, scheme, chunk):
        parts = data.draw(noisy_parts(scheme))
        assert rows_of(stream(parts, scheme, chunk=chunk)) == rows_of(merge(parts, scheme))

    @settings(max_examples=40, deadline=None)
    @given(st.data(), coarse_schemes())
    def test_classes_do_not_touch_each_other(self, data, scheme):
        parts = data.draw(noisy_parts(scheme))
        apart = [
            merge(
                [(tile, detections[detections.labels == label]) for tile, detections in parts],
                scheme,
            )
            for label in (0, 1)
        ]
        together = merge(parts, scheme)
        assert sorted(rows_of(together)) == sorted(rows_of(Detections.concatenate(apart)))

    @settings(max_examples=40, deadline=None)
    @given(st.data(), coarse_schemes())
    def test_what_one_tile_found_survives_if_no_other_tile_found_anything(self, data, scheme):
        parts = data.draw(noisy_parts(scheme))
        tile, detections = parts[data.draw(st.integers(0, len(parts) - 1))]
        clipped = box_ops.clip(detections.boxes, tile.box)
        expected = sorted(clipped[box_ops.area(clipped) > 0].tolist())
        assert merge([(tile, detections)], scheme).boxes.tolist() == expected


class TestStreaming:
    SCHEME = TileScheme(100, 280, 100, 10)

    def test_objects_come_out_as_soon_as_no_tile_to_come_can_change_them(self):
        first, second, _ = self.SCHEME
        merger = SeamMerger(self.SCHEME)
        merger.add(first, Detections.from_arrays([[10, 10, 30, 30], [10, 80, 30, 100]], [0.9, 0.9]))
        assert merger.take_final(1).boxes.tolist() == [[10, 10, 30, 30]]
        merger.add(second, Detections.from_arrays([[10, 90, 30, 120]], [0.9]))
        assert merger.take_final(2).boxes.tolist() == [[10, 80, 30, 120]]
        assert len(merger.finish()) == 0

    def test_a_tile_of_a_row_declared_complete_is_refused(self):
        merger = SeamMerger(self.SCHEME)
        merger.take_final(1)
        with pytest.raises(InputError, match=r"row 0 arrived after take_final\(1\)"):
            merger.add(next(iter(self.SCHEME)), Detections.empty())

    @pytest.mark.parametrize("iou", [0, -1, 1.5])
    def test_an_impossible_threshold_is_refused(self, iou):
        with pytest.raises(InputError, match="`iou` must be above 0 and at most 1"):
            SeamMerger(self.SCHEME, iou=iou)
