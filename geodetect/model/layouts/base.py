"""Layouts of the outputs of detectors, and the candidates that they hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np

from geodetect.types import AnyArray, Float32Array, FloatArray, IntArray

Size = tuple[int, int]
Shape = tuple[int | None, ...]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BYTE_STD = (1 / 255,) * 3  # of pixels that enter a network as 0 to 255
GREY = 114  # that YOLO pads images with


@dataclass(frozen=True)
class Candidates:
    """Detections of one image before non-maximum suppression.

    Args:
        boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixel edges of the network's input; of oriented
            boxes the bounds.
        scores: ``float32[N]`` in 0..1, not calibrated.
        labels: ``int64[N]`` numbers of the classes in the network's output.
        corners: ``float64[N, 4, 2]`` x and y of the corners of oriented boxes; None: the boxes are
            not oriented.
    """

    boxes: FloatArray
    scores: Float32Array
    labels: IntArray
    corners: FloatArray | None = None

    @classmethod
    def from_centres(
        cls, boxes: AnyArray, scores: AnyArray, labels: AnyArray, *, angles: AnyArray | None = None
    ) -> Candidates:
        """Return candidates from boxes ``[N, 4]`` of centre x, y, width and height.

        Args:
            boxes: The boxes, before they are turned.
            scores: ``[N]``.
            labels: ``[N]``.
            angles: ``[N]`` radians by which boxes are turned about their centres, from the x axis
                to the y axis: clockwise on the image.
        """
        centres, halves = np.split(boxes.astype(np.float64), [2], axis=1)
        halves /= 2
        if angles is None:
            return cls.from_arrays(np.hstack([centres - halves, centres + halves]), scores, labels)
        cos, sin = np.cos(angles.astype(np.float64)), np.sin(angles.astype(np.float64))
        along = halves[:, :1] * np.stack([cos, sin], axis=1)
        across = halves[:, 1:] * np.stack([-sin, cos], axis=1)
        corners = np.stack(
            [
                centres + along + across,
                centres + along - across,
                centres - along - across,
                centres - along + across,
            ],
            axis=1,
        )
        bounds = np.hstack([corners.min(axis=1), corners.max(axis=1)])
        return cls.from_arrays(bounds, scores, labels, corners=corners)

    @classmethod
    def from_arrays(
        cls,
        boxes: AnyArray,
        scores: AnyArray,
        labels: AnyArray,
        *,
        corners: FloatArray | None = None,
    ) -> Candidates:
        """Return candidates from arrays of any numeric types."""
        return cls(
            boxes.astype(np.float64), scores.astype(np.float32), labels.astype(np.int64), corners
        )


@dataclass(frozen=True)
class Preprocessing:
    """Form in which pixels enter a network.

    Args:
        mean: Mean of each channel in 0..1, subtracted first.
        std: Standard deviation of each channel in 0..1, by which the difference is divided.
        is_bgr: The first channel is blue, and the last one red.
        fill: Value in 0..255 of pixels without imagery.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    is_bgr: bool = False
    fill: int = GREY


@dataclass(frozen=True)
class Output:
    """Output of a graph.

    Args:
        name: Its name; empty: it has none.
        shape: Its dimensions; None: any length.
        is_integer: Its elements are integers.
    """

    name: str
    shape: Shape
    is_integer: bool = False

    @property
    def rows(self) -> Shape:
        """Its dimensions but for the first one, the batch."""
        return self.shape[1:]


@dataclass(frozen=True)
class Graph:
    """Facts of a graph by which its layout is recognised.

    Args:
        input_px: Height and width of its input.
        outputs: Its outputs.
        operators: Names of its operators in ONNX.
        classes: Number of classes, where names are stated; None: not known.
    """

    input_px: Size
    outputs: tuple[Output, ...]
    operators: frozenset[str] = frozenset()
    classes: int | None = None

    @property
    def has_rotation(self) -> bool:
        """True if the graph computes with angles, as those of oriented boxes do."""
        return {"Cos", "Sin"} <= self.operators

    @property
    def samples(self) -> bool:
        """True if the graph samples its features at computed places, as deformable attention."""
        return "GridSample" in self.operators

    @property
    def selects(self) -> bool:
        """True if the graph itself selects its best boxes."""
        return bool(self.operators & {"TopK", "NonMaxSuppression"})

    def cells(self, *strides: int) -> int:
        """Return the number of cells of grids with these strides."""
        height, width = self.input_px
        return sum(ceil(height / stride) * ceil(width / stride) for stride in strides)


@dataclass(frozen=True)
class Match:
    """A layout that fits a graph.

    Args:
        outputs: Numbers of the graph's outputs in the order in which the layout reads them.
        classes: Number of classes in its output, background included; None: not fixed.
    """

    outputs: tuple[int, ...]
    classes: int | None


class Layout(ABC):
    """Layout of the outputs of a family of detectors.

    Attributes:
        name: Name, as it is stated on the command line.
        title: Programs that write it.
        preprocessing: Form of pixels that these programs use.
        conf: Their default score threshold.
        iou: Their default IoU threshold of non-maximum suppression.
        needs_nms: False if the network itself leaves one box per object.
        is_oriented: Boxes may be turned.
        background: Number of the background among classes where there is one more than names.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    preprocessing: ClassVar[Preprocessing] = Preprocessing()
    conf: ClassVar[float] = 0.25
    iou: ClassVar[float] = 0.7
    needs_nms: ClassVar[bool] = True
    is_oriented: ClassVar[bool] = False
    background: ClassVar[int | None] = None

    @abstractmethod
    def fit(self, graph: Graph) -> Match | None:
        """Return how the shapes of a graph fit the layout; None: they do not."""

    def is_likely(self, graph: Graph) -> bool:
        """Return False if a graph whose shapes fit is more likely of another layout."""
        return True

    def preprocessing_of(self, graph: Graph) -> Preprocessing:
        """Return the form of pixels that the program of a graph uses."""
        return self.preprocessing

    @abstractmethod
    def decode(
        self, outputs: Sequence[AnyArray], input_px: Size, min_scores: FloatArray
    ) -> Candidates:
        """Return the candidates in the outputs for one image.

        Args:
            outputs: Outputs of the network, in the order of ``Match.outputs``.
            input_px: Height and width of its input.
            min_scores: ``float64[classes]`` lowest score of each class in the network's output, or
                ``float64[1]`` that of all.
        """


def best_classes(
    scores: AnyArray, min_scores: FloatArray
) -> tuple[IntArray, IntArray, Float32Array]:
    """Select the rows of ``scores[N, classes]`` whose highest score reaches its threshold.

    Returns:
        Rows, their classes and their scores.
    """
    labels = scores.argmax(axis=1)
    highest = scores[np.arange(len(scores)), labels]
    rows = np.flatnonzero(highest >= thresholds_of(labels, min_scores))
    return rows, labels[rows], highest[rows]


def all_classes(
    scores: AnyArray, min_scores: FloatArray
) -> tuple[IntArray, IntArray, Float32Array]:
    """Select all ``scores[N, classes]`` that reach the threshold of their class.

    Returns:
        Rows, of which one may come several times, their classes and their scores.
    """
    rows, labels = np.nonzero(scores >= min_scores)
    return rows, labels, scores[rows, labels]


def select_rows(scores: AnyArray, labels: AnyArray, min_scores: FloatArray) -> IntArray:
    """Return the rows of ``scores[N]`` that reach the threshold of their class."""
    limits = thresholds_of(labels.round().astype(np.int64), min_scores)
    return np.flatnonzero(scores >= limits)


def thresholds_of(labels: IntArray, min_scores: FloatArray) -> FloatArray:
    """Return the threshold of each label; that of labels beyond the classes is the lowest."""
    if len(min_scores) == 1:
        return np.full(len(labels), min_scores[0])
    is_class = (labels >= 0) & (labels < len(min_scores))
    return np.where(is_class, min_scores[np.where(is_class, labels, 0)], min_scores.min())


def iterate_cells(input_px: Size, strides: Sequence[int]) -> Iterator[tuple[FloatArray, int]]:
    """Yield columns and rows ``float64[cells, 2]`` of the cells of each grid, and its stride."""
    for stride in strides:
        rows, columns = (ceil(length / stride) for length in input_px)
        y, x = np.mgrid[:rows, :columns]
        yield np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64), stride


def sigmoid(logits: AnyArray) -> Float32Array:
    """Return the logistic function of logits."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits.astype(np.float32))))
