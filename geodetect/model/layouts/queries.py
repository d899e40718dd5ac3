"""Layouts of transformers, whose boxes are fractions of the image.

Sources: ``RTDETRDecoder`` of Ultralytics; ``PostProcess`` of RF-DETR and of RT-DETR in Hugging
Face's transformers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geodetect.model.layouts.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Candidates,
    Graph,
    Layout,
    Match,
    Preprocessing,
    Size,
    all_classes,
    best_classes,
    select_rows,
    sigmoid,
)
from geodetect.model.layouts.yolo import CENTRE_SIZE, has_columns_of_cells, single_output
from geodetect.types import AnyArray, FloatArray

MAX_QUERIES = 2000
LOGIT_NAMES = ("labels", "logits", "pred_logits")  # of outputs
RF_DETR_BOXES = "dets"
BOX_NAMES = ("box", "dets")  # in names of outputs
LOWEST_SCORE = 1e-9  # whose logit is finite


class RtDetr(Layout):
    """``[1, queries, 4 + classes]``: centre and size as fractions, scores of classes."""

    name = "rtdetr"
    title = "RT-DETR of Ultralytics"
    needs_nms = False

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        output = single_output(graph, rank=3)
        if output is None or output.rows[0] is None or output.rows[1] is None:
            return None
        queries, values = output.rows[0], output.rows[1]
        if queries > MAX_QUERIES or values <= CENTRE_SIZE or has_columns_of_cells(graph):
            return None
        return Match((graph.outputs.index(output),), values - CENTRE_SIZE)

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``; it has deformable attention."""
        return graph.samples

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        boxes, scores = np.split(outputs[0][0], [CENTRE_SIZE], axis=1)
        rows, labels, highest = best_classes(scores, min_scores)
        return Candidates.from_centres(_in_pixels(boxes[rows], input_px), highest, labels)


class SelectedRtDetr(RtDetr):
    """``[1, N, 6]``: centre and size as fractions, score, class of the best boxes."""

    name = "rtdetr-topk"
    title = "RT-DETR of Ultralytics since 8.4"

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        output = single_output(graph, rank=3)
        if output is None or output.rows[1] != CENTRE_SIZE + 2:
            return None
        return Match((graph.outputs.index(output),), None)

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        values = outputs[0][0]
        rows = select_rows(values[:, CENTRE_SIZE], values[:, CENTRE_SIZE + 1], min_scores)
        boxes, scores, labels = np.split(values[rows], [CENTRE_SIZE, CENTRE_SIZE + 1], axis=1)
        boxes = _in_pixels(boxes, input_px)
        return Candidates.from_centres(boxes, scores[:, 0], labels[:, 0].round())


class Detr(Layout):
    """Boxes ``[1, queries, 4]`` as fractions, and logits ``[1, queries, classes]``."""

    name = "detr"
    title = "RF-DETR, and RT-DETR and D-FINE of Hugging Face"
    conf = 0.5
    needs_nms = False
    background = -1

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        return match_boxes_and_classes(graph)

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``; the logits have names that those of scores do not have."""
        return any(output.name.lower() in LOGIT_NAMES for output in graph.outputs)

    def preprocessing_of(self, graph: Graph) -> Preprocessing:
        """See ``Layout``; RF-DETR subtracts the mean of ImageNet, the others do not."""
        if any(output.name == RF_DETR_BOXES for output in graph.outputs):
            return Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)
        return self.preprocessing

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        limits = np.clip(min_scores, LOWEST_SCORE, 1 - LOWEST_SCORE)
        rows, labels, logits = all_classes(outputs[1][0], np.log(limits / (1 - limits)))
        boxes = _in_pixels(outputs[0][0][rows], input_px)
        return Candidates.from_centres(boxes, sigmoid(logits), labels)


def match_boxes_and_classes(graph: Graph) -> Match | None:
    """Return the match of two outputs: ``[1, N, 4]``, and ``[1, N, classes]``.

    Of two outputs with four columns the first one, or the one whose name tells it, holds boxes.
    """
    if len(graph.outputs) != 2:
        return None
    shapes = [output.shape for output in graph.outputs]
    is_pair = all(len(shape) in (2, 3) for shape in shapes) and shapes[0][:-1] == shapes[1][:-1]
    if not is_pair or any(output.is_integer for output in graph.outputs):
        return None
    candidates = [i for i in (0, 1) if shapes[i][-1] == CENTRE_SIZE]
    named = [i for i in candidates if any(w in graph.outputs[i].name.lower() for w in BOX_NAMES)]
    if not candidates:
        return None
    boxes = (named or candidates)[0]
    return Match((boxes, 1 - boxes), shapes[1 - boxes][-1])


def _in_pixels(boxes: AnyArray, input_px: Size) -> FloatArray:
    """Return boxes ``[N, 4]`` of fractions of height and width in pixels."""
    height, width = input_px
    return np.asarray(boxes * np.array([width, height] * 2, np.float64))
