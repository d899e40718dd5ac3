"""Layouts of YOLO networks, which decode their boxes in the graph.

Sources: the exporters of YOLOv5 and YOLOv7 (``Detect.forward``), YOLOv6, and Ultralytics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from geodetect.model.layouts.base import (
    Candidates,
    Graph,
    Layout,
    Match,
    Output,
    Size,
    best_classes,
    select_rows,
)
from geodetect.types import AnyArray, FloatArray

ANCHORS = 3  # of each cell of YOLOv5 and YOLOv7
GRIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))  # strides
MAX_SELECTED = 3000  # boxes that a graph leaves at most; by default 300
CENTRE_SIZE, OBJECT = 4, 5  # columns of centre and size, and with the score of an object


def single_output(graph: Graph, *, rank: int) -> Output | None:
    """Return the output of this rank; None: there are several, or none.

    YOLOv5 and YOLOv7 may have further outputs of rank 5, those that it was decoded from.
    """
    outputs = [output for output in graph.outputs if len(output.shape) != 5]
    return outputs[0] if len(outputs) == 1 and len(outputs[0].shape) == rank else None


def match_rows(graph: Graph, *, values: int) -> Match | None:
    """Return the match of one output ``[1, N, values + classes]``."""
    output = single_output(graph, rank=3)
    if output is None or output.rows[1] is None or has_columns_of_cells(graph):
        return None
    classes = output.rows[1] - values
    return Match((graph.outputs.index(output),), classes) if classes > 0 else None


def has_columns_of_cells(graph: Graph) -> bool:
    """Return True if the output ``[1, values, N]`` has a column for each cell."""
    output = single_output(graph, rank=3)
    return output is not None and output.rows[1] in {graph.cells(*strides) for strides in GRIDS}


def has_rows_of_cells(graph: Graph, *, anchors: int = 1) -> bool:
    """Return True if the output ``[1, N, values]`` has a row for each anchor of each cell."""
    output = single_output(graph, rank=3)
    return output is not None and output.rows[0] in {
        anchors * graph.cells(*strides) for strides in GRIDS
    }


class YoloV5(Layout):
    """``[1, N, 5 + classes]``: centre, size, score of an object, scores of classes if it is one."""

    name = "yolov5"
    title = "YOLOv5, YOLOv7"
    conf, iou = 0.25, 0.45

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        return match_rows(graph, values=OBJECT)

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``; each cell has three anchors."""
        return has_rows_of_cells(graph, anchors=ANCHORS)

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        boxes, objects, scores = np.split(outputs[0][0], [CENTRE_SIZE, OBJECT], axis=1)
        rows, labels, highest = best_classes(objects * scores, min_scores)
        return Candidates.from_centres(boxes[rows], highest, labels)


class YoloV6(YoloV5):
    """As ``yolov5``, with one box for each cell."""

    name = "yolov6"
    title = "YOLOv6"

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``; YOLOv6 subtracts distances from the centres of cells."""
        is_decoded = "Sub" in graph.operators and "Exp" not in graph.operators
        return is_decoded and has_rows_of_cells(graph)


class YoloV8(Layout):
    """``[1, 4 + classes, N]``: centre, size, scores of classes; or ``[1, N, 4 + classes]``."""

    name = "yolov8"
    title = "YOLOv8, YOLOv9, YOLO11, YOLO12"
    further_values: ClassVar[int] = 0

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        output = single_output(graph, rank=3)
        if output is None:
            return None
        other_values = CENTRE_SIZE + self.further_values
        named = None if graph.classes is None else other_values + graph.classes
        lengths = [n for n in output.rows if n is not None]
        values = named if named in lengths else min(lengths, default=0)
        if values is None or values <= other_values:
            return None
        return Match((graph.outputs.index(output),), values - other_values)

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``; boxes as rows are rather those of layouts that always have rows."""
        return has_columns_of_cells(graph) and graph.has_rotation == self.is_oriented

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        values = outputs[0][0]
        length = CENTRE_SIZE + len(min_scores) + self.further_values
        is_row = [n == length for n in values.shape[::-1]]
        if is_row[1] if is_row[0] != is_row[1] else len(values) < values.shape[1]:
            values = values.T
        end = values.shape[1] - self.further_values
        rows, labels, highest = best_classes(values[:, CENTRE_SIZE:end], min_scores)
        angles = values[rows, end] if self.is_oriented else None
        return Candidates.from_centres(values[rows, :CENTRE_SIZE], highest, labels, angles=angles)


class YoloV8Oriented(YoloV8):
    """As ``yolov8``, with the angle of each box as the last value, in radians."""

    name = "yolov8-obb"
    title = "oriented YOLOv8, YOLO11"
    is_oriented = True
    further_values = 1


class YoloV10(Layout):
    """``[1, N, 6]``: x1, y1, x2, y2, score, class of the best boxes."""

    name = "yolov10"
    title = "YOLOv10, YOLO26, and YOLO exported with NMS"
    needs_nms = False
    columns: ClassVar[int] = 6

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        output = single_output(graph, rank=3)
        if output is None or output.rows[1] != self.columns:
            return None
        if output.rows[0] is not None and output.rows[0] > MAX_SELECTED:
            return None
        return Match((graph.outputs.index(output),), None)

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``; the graph selects, and does so without deformable attention."""
        return graph.selects and not graph.samples and graph.has_rotation == self.is_oriented

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        boxes, scores, labels, _ = np.split(outputs[0][0], [4, 5, 6], axis=1)
        rows = select_rows(scores[:, 0], labels[:, 0], min_scores)
        return Candidates.from_arrays(boxes[rows], scores[rows, 0], labels[rows, 0].round())


class YoloV10Oriented(YoloV10):
    """``[1, N, 7]``: centre, size, score, class, angle in radians of the best boxes."""

    name = "yolov10-obb"
    title = "oriented YOLO26, and oriented YOLO exported with NMS"
    is_oriented = True
    columns = 7

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        values = outputs[0][0]
        rows = select_rows(values[:, 4], values[:, 5], min_scores)
        boxes, scores, labels, angles = np.split(values[rows], [4, 5, 6], axis=1)
        return Candidates.from_centres(
            boxes, scores[:, 0], labels[:, 0].round(), angles=angles[:, 0]
        )


class YoloV7Selected(Layout):
    """``[N, 7]``: number of the image, x1, y1, x2, y2, class, score of the best boxes."""

    name = "yolov7-nms"
    title = "YOLOv7 exported with NMS"
    needs_nms = False

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        output = single_output(graph, rank=2)
        if output is None or output.shape[1] != 7:
            return None
        return Match((graph.outputs.index(output),), None)

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``."""
        return graph.selects

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        _, boxes, labels, scores = np.split(outputs[0], [1, 5, 6], axis=1)
        rows = select_rows(scores[:, 0], labels[:, 0], min_scores)
        return Candidates.from_arrays(boxes[rows], scores[rows, 0], labels[rows, 0].round())
