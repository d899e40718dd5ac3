"""Outlines across tile seams: painted shapes come out whole, once and without bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geodetect.detection.detections import Detections
from geodetect.detection.seam_merge.merger import SeamMerger
from geodetect.geo.polygons import clip_polygons
from geodetect.geo.tiles import Tile, TileScheme
from tests.helpers import painted_scenes

SIDE = 240
Parts = list[tuple[Tile, Detections]]


def merge(parts: Parts, scheme: TileScheme) -> Detections:
    merger = SeamMerger(scheme)
    for tile, detections in parts:
        merger.add(tile, detections)
    return merger.finish()


def stream(parts: Parts, scheme: TileScheme) -> Detections:
    merger, out = SeamMerger(scheme), list[Detections]()
    for row in range(len(scheme.rows)):
        out.append(merger.take_final(row))
        for tile, detections in parts:
            if tile.row == row:
                merger.add(tile, detections)
    return Detections.concatenate([*out, merger.finish()])


def views(outlines: list[shapely.Geometry], scheme: TileScheme) -> Parts:
    """The outlines as a perfect detector shows them in every tile, parts apart."""
    parts = []
    for tile in scheme:
        clipped = clip_polygons(np.array(outlines, dtype=object), tile.box)
        seen = shapely.get_parts(clipped[~shapely.is_missing(clipped)])
        seen = seen[shapely.area(seen) > 0.05]
        boxes = shapely.bounds(seen).reshape(-1, 4)
        parts.append((tile, Detections.from_arrays(boxes, np.full(len(seen), 0.5), outlines=seen)))
    return parts


def rows_of(detections: Detections) -> list[tuple[object, ...]]:
    columns = *detections.boxes.T, detections.scores, shapely.to_wkb(detections.outlines)
    return sorted(zip(*(column.tolist() for column in columns), strict=True), key=repr)


@st.composite
def schemes(draw: st.DrawFn) -> TileScheme:
    tile = draw(st.integers(40, SIDE + 10))
    return TileScheme(SIDE, SIDE, tile, draw(st.integers(1, tile * 3 // 5)))


@st.composite
def turned_shapes(draw: st.DrawFn) -> list[shapely.Geometry]:
    """Bars, discs, rings and L shapes in any direction, apart from each other."""
    shapes = list[shapely.Geometry]()
    for _ in range(draw(st.integers(1, 6))):
        size, x, y = draw(st.tuples(st.floats(5, 200), st.floats(5, 235), st.floats(5, 235)))
        at = shapely.Point(x, y)
        kind, share = draw(st.sampled_from("odlb")), draw(st.floats(0.1, 0.4))
        disc, width = at.buffer(size / 2), max(3, share * size)
        arm = shapely.box(0, 0, size, width)
        shape = {
            "o": disc.difference(at.buffer(size / 2 - width)),
            "d": disc,
            "l": arm.union(shapely.box(0, 0, width, size)),
            "b": arm,
        }[kind]
        shape = shapely.affinity.rotate(shape, draw(st.floats(0, 360)), (0, 0))
        if kind in "lb":
            shape = shapely.affinity.translate(shape, at.x, at.y)
        shape = shape.intersection(shapely.box(0, 0, SIDE, SIDE))
        if shape.geom_type == "Polygon" and all(shape.distance(s) > 2 for s in shapes):
            shapes.append(shape)
    return [shape for shape in shapes if shape.area > 9]


@pytest.mark.parametrize(
    ("tile", "overlap", "in_parts"),
    [(128, 0, False), (128, 0, True), (97, 3, True), (128, 32, False), (200, 96, True)],
)
def test_painted_shapes_come_out_once_and_exact(tile: int, overlap: int, in_parts: bool) -> None:
    scheme, trace = TileScheme(500, 500, tile, overlap), painted_scenes.TraceColours
    canvas = painted_scenes.outlined(500, seed=3, largest=400)
    parts = painted_scenes.detect_tiles(canvas.pixels, scheme, trace(in_parts))
    *_, truth = trace()(canvas.pixels)
    assert len(truth) > 30
    assert painted_scenes.least_outline_iou(truth, merge(parts, scheme).outlines) > 0.999


@pytest.mark.parametrize(("tile", "overlap"), [(200, 64), (160, 80)])
def test_inexact_outlines_are_neither_lost_nor_doubled(tile: int, overlap: int) -> None:
    scheme = TileScheme(500, 500, tile, overlap)
    canvas = painted_scenes.mixed(500, seed=1, largest=300)
    parts = painted_scenes.detect_tiles(
        canvas.pixels, scheme, painted_scenes.TraceColours(in_parts=True, jitter=0.04)
    )
    *_, truth = painted_scenes.TraceColours()(canvas.pixels)
    assert len(truth) > 15
    assert painted_scenes.least_outline_iou(truth, merge(parts, scheme).outlines) > 0.7


@settings(max_examples=40, deadline=None)
@given(turned_shapes(), schemes())
def test_shapes_in_any_direction_come_out_once_valid_and_exact(
    shapes: list[shapely.Geometry], scheme: TileScheme
) -> None:
    outlines = merge(views(shapes, scheme), scheme).outlines
    assert shapely.is_valid(outlines).all()
    truth = np.array(shapes, dtype=object)
    assert not shapes or painted_scenes.least_outline_iou(truth, outlines) >= 0.98


@st.composite
def inexact_views(draw: st.DrawFn, scheme: TileScheme) -> Parts:
    """Outlines that are wider or narrower in each tile, some of which are missing."""
    shapes, rng = draw(turned_shapes()), np.random.default_rng(draw(st.integers(0, 2**32)))
    parts = []
    for tile, detections in views(shapes, scheme):
        outlines = shapely.buffer(detections.outlines, rng.uniform(-1.5, 1.5, len(detections)))
        outlines = clip_polygons(outlines, tile.box)
        outlines[rng.random(len(outlines)) < 0.1] = None
        seen = replace(detections, outlines=outlines)[rng.random(len(outlines)) < 0.95]
        parts.append((tile, seen))
    return parts


@settings(max_examples=30, deadline=None)
@given(st.data(), schemes())
def test_neither_order_of_arrival_nor_streaming_changes_outlines(
    data: st.DataObject, scheme: TileScheme
) -> None:
    parts = data.draw(inexact_views(scheme))
    expected = rows_of(merge(parts, scheme))
    shuffled = [(tile, seen[np.arange(len(seen))[::-1]]) for tile, seen in reversed(parts)]
    assert rows_of(merge(shuffled, scheme)) == expected
    assert rows_of(stream(parts, scheme)) == expected


class TestTwoTiles:
    SCHEME = TileScheme(180, 100, 100, 20)  # two tiles that share x from 80 to 100

    def detections(self, *outlines: shapely.Geometry | None, boxes: object = None) -> Detections:
        polygons = np.array(outlines, dtype=object)
        boxes = shapely.bounds(polygons) if boxes is None else boxes
        return Detections.from_arrays(boxes, np.full(len(polygons), 0.5), outlines=polygons)

    def test_the_outline_of_each_tile_counts_up_to_the_middle_of_the_overlap(self) -> None:
        left, right = self.SCHEME
        wide, narrow = shapely.box(20, 30, 100, 50), shapely.box(80, 32, 150, 48)
        parts = [(left, self.detections(wide)), (right, self.detections(narrow))]
        merged = merge(parts, self.SCHEME)
        assert merged.boxes.tolist() == [[20, 30, 150, 50]]
        expected = shapely.box(20, 30, 90, 50).union(shapely.box(90, 32, 150, 48))
        assert shapely.equals(merged.outlines[0], expected)

    def test_a_whole_outline_is_taken_as_it_is(self) -> None:
        left, right = self.SCHEME
        whole = shapely.Polygon([(60, 30), (88, 30), (85, 60)])
        piece = self.detections(shapely.box(80, 28, 89, 62))
        merged = merge([(left, self.detections(whole)), (right, piece)], self.SCHEME)
        assert merged.outlines.tolist() == [whole]

    def test_objects_beside_each_other_in_the_overlap_stay_two_though_their_boxes_agree(
        self,
    ) -> None:
        left, right = self.SCHEME
        lower = shapely.Polygon([(40, 40), (100, 40), (100, 42), (40, 80)])
        upper = shapely.Polygon([(140, 80), (80, 80), (80, 58), (140, 40)])
        parts = [(left, self.detections(lower)), (right, self.detections(upper))]
        assert len(merge(parts, self.SCHEME)) == 2
        without = [
            (tile, Detections.from_arrays(detections.boxes, detections.scores))
            for tile, detections in parts
        ]
        assert len(merge(without, self.SCHEME)) == 1

    def test_the_box_stands_in_for_an_outline_that_one_tile_lacks(self) -> None:
        left, right = self.SCHEME
        known = self.detections(shapely.box(20, 30, 100, 50))
        unknown = self.detections(None, boxes=[[80, 30, 150, 50]])
        merged = merge([(left, known), (right, unknown)], self.SCHEME)
        assert shapely.equals(merged.outlines[0], shapely.box(20, 30, 150, 50))

    def test_outlines_that_end_just_before_the_edges_of_tiles_without_overlap_leave_no_gap(
        self,
    ) -> None:
        scheme = TileScheme(200, 100, 100, 0)
        left, right = scheme
        boxes = [[20, 30, 100, 50]], [[100, 30, 150, 50]]
        first = self.detections(shapely.box(20, 30, 99.5, 50), boxes=boxes[0])
        second = self.detections(shapely.box(100.5, 30, 150, 50), boxes=boxes[1])
        (outline,) = merge([(left, first), (right, second)], scheme).outlines
        assert shapely.equals(outline, shapely.box(20, 30, 150, 50))
