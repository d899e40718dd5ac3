"""Layouts of networks that return corners, scores and classes of boxes as outputs of their own.

Sources: ``GeneralizedRCNN`` of torchvision; ``deploy`` modes of RT-DETR and D-FINE; MMDetection.
"""

from __future__ import annotations

from collections.abc import Sequence

from geodetect.model.layouts.base import (
    Candidates,
    Graph,
    Layout,
    Match,
    Output,
    Preprocessing,
    Size,
    all_classes,
    select_rows,
)
from geodetect.model.layouts.queries import LOGIT_NAMES, match_boxes_and_classes
from geodetect.types import AnyArray, FloatArray

CORNERS = 4  # x1, y1, x2, y2
MAX_FRACTION = 2.0  # largest coordinate of boxes that are fractions of the image


class BoxesScoresLabels(Layout):
    """Boxes ``[1, N, 4]``, scores ``[1, N]`` and classes ``[1, N]``, counted from 0."""

    name = "boxes-scores-labels"
    title = "RT-DETR and D-FINE with their post-processing, and other graphs that return classes"
    preprocessing = Preprocessing(fill=0)
    needs_nms = False

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``; MMDetection has the scores as the fifth column of boxes."""
        order = _roles(graph)
        return None if order is None else Match(order, None)

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``; it has a batch."""
        return max(len(output.shape) for output in graph.outputs) == 3

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        boxes, labels = outputs[0], outputs[-1].reshape(-1)
        boxes = boxes.reshape(-1, boxes.shape[-1])
        scores = boxes[:, CORNERS] if len(outputs) == 2 else outputs[1].reshape(-1)
        rows = select_rows(scores, labels, min_scores)
        return Candidates.from_arrays(boxes[rows, :CORNERS], scores[rows], labels[rows])


class Torchvision(BoxesScoresLabels):
    """Boxes ``[N, 4]``, scores ``[N]`` and classes ``[N]``, counted from 1; 0 is background."""

    name = "torchvision"
    title = "detectors of torchvision"
    conf, iou = 0.5, 0.5
    background = 0

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``; it has no batch."""
        return not super().is_likely(graph)


class BoxesScores(Layout):
    """Boxes ``[1, N, 4]`` and scores ``[1, N, classes]``."""

    name = "boxes-scores"
    title = "graphs that return the scores of all classes, without NMS"
    preprocessing = Preprocessing(fill=0)
    iou = 0.5
    background = 0

    def fit(self, graph: Graph) -> Match | None:
        """See ``Layout``."""
        return match_boxes_and_classes(graph)

    def is_likely(self, graph: Graph) -> bool:
        """See ``Layout``."""
        return not any(output.name.lower() in LOGIT_NAMES for output in graph.outputs)

    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """See ``Layout``."""
        boxes, scores = (output.reshape(-1, output.shape[-1]) for output in outputs)
        rows, labels, selected = all_classes(scores, min_scores)
        return Candidates.from_arrays(boxes[rows], selected, labels)


def _roles(graph: Graph) -> tuple[int, ...] | None:
    """Return the numbers of boxes, scores (unless they are a column of boxes) and classes."""
    outputs = graph.outputs
    boxes = [i for i, o in enumerate(outputs) if len(o.shape) > 1 and o.shape[-1] in (4, 5)]
    lists = [i for i, o in enumerate(outputs) if i not in boxes and _is_list(o, outputs)]
    labels = [i for i in lists if _holds_classes(outputs[i])]
    scores = [i for i in lists if i not in labels]
    if len(boxes) != 1 or len(labels) != 1:
        return None
    has_scores = outputs[boxes[0]].shape[-1] == CORNERS + 1
    if has_scores and not scores and len(outputs) == 2:
        return boxes[0], labels[0]
    if not has_scores and len(scores) == 1 and len(outputs) == 3:
        return boxes[0], scores[0], labels[0]
    return None


def _is_list(output: Output, outputs: Sequence[Output]) -> bool:
    """Return True for an output of one value for each box."""
    rank = max(len(other.shape) for other in outputs)
    return len(output.shape) == rank - 1


def _holds_classes(output: Output) -> bool:
    return output.is_integer or any(word in output.name.lower() for word in ("label", "class"))
