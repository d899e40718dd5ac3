"""Layouts of networks whose boxes are relative to the cells of a grid.

Sources: ``YOLOXHead.decode_outputs`` of YOLOX; ``GFLHead.get_bboxes`` and
``NanoDetPlusHead.get_bboxes`` of NanoDet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from geodetect.model.layouts.base import (
    BYTE_STD,
    Candidates,
    Graph,
    Layout,
    Match,
    Preprocessing,
    Size,
    all_classes,
    best_classes,
    iterate_cells,
)
from geodetect.model.layouts.yolo import CENTRE_SIZE, OBJECT, YoloV5, has_rows_of_cells, match_rows
from geodetect.types import AnyArray, Float32Array, FloatArray, IntArray

YOLOX_STRIDES = (8, 16, 32)
SIDES = 4  # distances from a cell to the sides of its box
BINS = 8  # of the distribution of a distance, in NanoDet's configurations


def match_cells(graph: Graph, strides: Sequence[int], *, values: int) -> Match | None:
    """Return the match of one output ``[1, N, values + classes]`` with a row for each cell."""
    match = match_rows(graph, values=values)
    rows = None if match is None else graph.outputs[match.outputs[0]].rows[0]
    return match if rows == graph.cells(*strides) else None


class YoloX(Layout):
    """``[1, N, 5 + classes]``: offset from the cell, logarithm of the size, scores, by stride."""

    name = "yolox"
    title = "YOLOX"
    preprocessing = Preprocessing(std=BYTE_STD, is_bgr=True)
    conf, iou = 0.3, 0.45

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        return match_cells(graph, YOLOX_STRIDES, values=OBJECT)

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``; networks of other layouts subtract or take exponentials to decode."""
        return not graph.operators & {"Exp", "Sub"}

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        boxes, objects, scores = np.split(outputs[0][0], [CENTRE_SIZE, OBJECT], axis=1)
        cells, strides = zip(*iterate_cells(input_px, YOLOX_STRIDES), strict=True)
        rows, labels, highest = best_classes(objects * scores, min_scores)
        stride = np.repeat(strides, [len(grid) for grid in cells])[rows, None]
        offsets, sizes = np.split(boxes[rows].astype(np.float64), [2], axis=1)
        with np.errstate(over="ignore"):  # infinite sizes are refused later
            scaled = np.hstack([offsets + np.concatenate(cells)[rows], np.exp(sizes)]) * stride
        return Candidates.from_centres(scaled, highest, labels)


class DecodedYoloX(YoloV5):
    """``[1, N, 5 + classes]``: as ``yolov5``, decoded in the graph from one box of each cell."""

    name = "yolox-decoded"
    title = "YOLOX exported with its decoding"
    preprocessing = YoloX.preprocessing
    conf, iou = YoloX.conf, YoloX.iou

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``."""
        return "Exp" in graph.operators and has_rows_of_cells(graph)


class NanoDet(Layout):
    """Scores ``[1, n, classes]`` of each stride, then distributions ``[1, n, 4 * 8]`` of each."""

    name = "nanodet"
    title = "NanoDet"
    # 103.53, 116.28, 123.675 and 57.375, 57.12, 58.395 of 255, blue first
    preprocessing = Preprocessing(
        mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229), is_bgr=True, fill=0
    )
    conf, iou = 0.35, 0.6
    strides: ClassVar[tuple[int, ...]] = (8, 16, 32)
    cell_centre: ClassVar[float] = 0.5  # from the upper left corner of a cell

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        order = list[int]()
        for is_box in (False, True):
            for stride in self.strides:
                numbers = [
                    number
                    for number, output in enumerate(graph.outputs)
                    if len(output.shape) == 3
                    and output.rows[0] == graph.cells(stride)
                    and (output.rows[1] == SIDES * BINS) is is_box
                ]
                order += numbers[:1]
        classes = graph.outputs[order[0]].rows[1] if order else None
        if len(order) != 2 * len(self.strides) or len(graph.outputs) != len(order):
            return None
        return Match(tuple(order), classes)

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        levels = len(self.strides)
        scores = np.concatenate([output[0] for output in outputs[:levels]])
        distances = np.concatenate([output[0] for output in outputs[levels:]])
        return self._decode(scores, distances, input_px, min_scores)

    def _decode(
        self, scores: AnyArray, distances: AnyArray, input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """Return candidates from ``scores[N, classes]`` and ``distances[N, 4 * bins]``."""
        rows, labels, selected = all_classes(scores, min_scores)
        centres, strides = self._cells(input_px)
        bins = distances.reshape(len(distances), SIDES, -1)[rows]
        sides = _expectations(bins) * strides[rows, None]
        boxes = np.hstack([centres[rows] - sides[:, :2], centres[rows] + sides[:, 2:]])
        return Candidates.from_arrays(boxes, selected, labels)

    def _cells(self, input_px: Size) -> tuple[FloatArray, IntArray]:
        """Return reference points ``float64[N, 2]`` and strides ``int64[N]`` of all cells."""
        grids = list(iterate_cells(input_px, self.strides))
        points = [(cells + self.cell_centre) * stride for cells, stride in grids]
        return np.concatenate(points), np.concatenate(
            [np.full(len(cells), stride) for cells, stride in grids]
        )


class NanoDetPlus(NanoDet):
    """``[1, N, classes + 4 * 8]``: scores, distributions, by stride."""

    name = "nanodet-plus"
    title = "NanoDet-Plus"
    strides = (8, 16, 32, 64)
    cell_centre = 0.0

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        return match_cells(graph, self.strides, values=SIDES * BINS)

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        scores, distances = np.split(outputs[0][0], [-SIDES * BINS], axis=1)
        return self._decode(scores, distances, input_px, min_scores)


def _expectations(logits: Float32Array) -> FloatArray:
    """Return the expected bin ``float64[N, 4]`` of distributions as logits ``[N, 4, bins]``."""
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=2, keepdims=True))
    return np.asarray(weights @ np.arange(logits.shape[2]) / weights.sum(axis=2))
