"""Networks of other programs as detectors."""

from __future__ import annotations

import numpy as np
import shapely

from geodetect.detection.detections import Detections
from geodetect.detection.detectors.nms import nms
from geodetect.errors import ModelFileError, translate_errors
from geodetect.geo import boxes as box_ops
from geodetect.model.calibration import calibrated_scores, logit_thresholds
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.layouts.base import Candidates
from geodetect.model.layouts.registry import layout_of
from geodetect.model.runtimes.imported import ImportedRuntime, pad_to_input
from geodetect.types import BoolArray, Float32Array, FloatArray, IntArray, UInt8Array

LOWEST_SCORE = 1e-7  # whose logit is finite in single precision
ABOVE_ALL = 2.0  # threshold of classes that are no class of the model


class ImportedDetector:
    """Network of another program: pad, forward, decode by its layout, non-maximum suppression.

    Scores are calibrated if the card has a calibration, before they are compared with ``conf``.
    Oriented boxes are outlines.

    Args:
        card: Card of the model.
        weights: All arrays of the model file, by name.
        conf: Score threshold; None: the card's.
        iou: Overlap (IoU) from which the lower-scored of two boxes of a class is removed; None:
            the card's. Networks that leave one box per object themselves do without.
        identity: Text that changes with the model file.
        runtime: See ``ImportedRuntime``.
        precision: See ``ImportedRuntime``.
        device: See ``ImportedRuntime``.
        outlines: Return oriented boxes as outlines.

    Attributes:
        card: Card of the model.
        runs_on: Runtime and device, for messages.
        identity: Text that changes with whatever changes its results.
        streams: Parallel calls; fewer leave processors idle.
        batch_size: Tiles in one call.
        bytes_per_px: Memory of this machine that a tile in progress takes, per pixel.
        has_outlines: True if its boxes are oriented, and returned as outlines.

    Raises:
        InputError: The runtime, precision or device is not available.
        MissingDependencyError: OpenVINO is not installed.
        ModelFileError: The network cannot be read, or its layout is unknown.
    """

    batch_size = 1

    def __init__(
        self,
        card: ModelCard,
        weights: Weights,
        *,
        conf: float | None = None,
        iou: float | None = None,
        identity: str = "",
        runtime: str = "auto",
        precision: str = "auto",
        device: str = "auto",
        outlines: bool = True,
    ) -> None:
        if card.imported is None:
            raise ModelFileError(f"model {card.name}: its card describes no imported network")
        self.card, self._imported = card, card.imported
        self._layout = layout_of(card.imported.layout)
        self._runtime = ImportedRuntime(
            card, weights, runtime=runtime, precision=precision, device=device
        )
        self.runs_on = self._runtime.title
        self.has_outlines = self._layout.is_oriented and outlines
        suffix = " outlines" if self.has_outlines else ""
        self.identity = f"{identity} {self._runtime.identity}{suffix}"
        self.streams = self._runtime.streams
        self.bytes_per_px = self._runtime.bytes_per_px
        self._conf = card.conf if conf is None else conf
        self._iou = card.iou if iou is None else iou
        self._numbers = self._class_numbers()
        self._min_scores = self._lowest_scores()
        black = np.zeros((len(card.mean), *card.imported.input_px), np.uint8)
        with translate_errors(
            f"model {card.name}: its network does not fit its card (layout {self._layout.name}); "
            f"convert it again with `geodetect convert`",
            ModelFileError,
        ):
            self._layout.decode(self._runtime.run(black), card.imported.input_px, self._min_scores)

    def __call__(self, pixels: UInt8Array, valid: BoolArray) -> list[Detections]:
        """See ``Detector``.

        Raises:
            InputError: The tiles are larger than the input of the network.
            ModelFileError: The network returns values that cannot be used.
        """
        return [self._detect(image, mask) for image, mask in zip(pixels, valid, strict=True)]

    def _detect(self, pixels: UInt8Array, valid: BoolArray) -> Detections:
        """Return the detections of one tile."""
        height, width = valid.shape
        padded = pad_to_input(self.card, pixels, valid)
        outputs = self._runtime.run(padded)
        if any(output.dtype.kind == "f" and np.isnan(output).any() for output in outputs):
            raise self._error("NaN")
        candidates = self._layout.decode(outputs, self._imported.input_px, self._min_scores)
        return self._finish(candidates, np.array([0, 0, width, height], np.float64))

    def _finish(self, candidates: Candidates, frame: FloatArray) -> Detections:
        """Return detections of candidates: those of classes, calibrated, without duplicates."""
        boxes, corners = candidates.boxes, candidates.corners
        if self._imported.has_fractions:
            height, width = self._imported.input_px
            boxes = boxes * np.array([width, height] * 2, np.float64)
        if not np.isfinite(boxes).all():
            raise self._error("infinite boxes")
        labels = self._labels(candidates.labels)
        scores = self._calibrated(candidates.scores, labels)
        boxes = box_ops.clip(boxes, frame)
        selected = np.flatnonzero((box_ops.area(boxes) > 0) & (scores >= self._conf))
        boxes, scores, labels = boxes[selected], scores[selected], labels[selected]
        outlines = None if corners is None else shapely.polygons(corners[selected])
        if self._layout.needs_nms:
            rows = nms(boxes, scores, labels, iou=self._iou, outlines=outlines)
        else:
            rows = np.arange(len(boxes))
        return Detections.from_arrays(
            boxes[rows],
            scores[rows],
            labels[rows],
            outlines=outlines[rows] if outlines is not None and self.has_outlines else None,
        )

    def _class_numbers(self) -> IntArray:
        """Return the number of each class in the outputs."""
        numbers = self._imported.class_numbers
        return np.arange(len(self.card.classes)) if numbers is None else np.array(numbers)

    def _labels(self, numbers: IntArray) -> IntArray:
        """Return the labels of numbers of classes in the outputs.

        Raises:
            ModelFileError: A number is of no class.
        """
        labels = np.full(max(int(self._numbers.max()), int(numbers.max(initial=0))) + 1, -1)
        labels[self._numbers] = np.arange(len(self._numbers))
        is_class = (numbers >= 0) & (labels[np.maximum(numbers, 0)] >= 0)
        if not is_class.all():
            unknown = numbers[~is_class][0]
            raise self._error(
                f"the class number {unknown}",
                f" for {len(self.card.classes)} classes; convert it again with all its `classes`, "
                f"or another `layout`",
            )
        return np.asarray(labels[numbers])

    def _lowest_scores(self) -> FloatArray:
        """Return the lowest score of each class in the outputs, before calibration."""
        logits = logit_thresholds(self._conf, self.card.calibration).astype(np.float64)
        lowest = np.broadcast_to(1 / (1 + np.exp(-logits)), len(self._numbers))
        if self._imported.output_classes is None and self._imported.class_numbers is None:
            return np.array(lowest)
        count = self._imported.output_classes or int(self._numbers.max()) + 1
        limits = np.full(count, ABOVE_ALL)
        limits[self._numbers] = lowest
        return limits

    def _calibrated(self, scores: Float32Array, labels: IntArray) -> Float32Array:
        """Return calibrated scores; without a calibration they stay as they are."""
        if self.card.calibration is None:
            return np.clip(scores, 0, 1)
        limited = np.clip(scores.astype(np.float64), LOWEST_SCORE, 1 - LOWEST_SCORE)
        logits = np.log(limited / (1 - limited))
        return calibrated_scores(logits, labels, self.card.calibration).astype(np.float32)

    def _error(self, values: str, remedy: str = "") -> ModelFileError:
        remedy = remedy or (
            "; its weights are damaged, or too large for this precision: choose another "
            "`precision` or `model`"
        )
        return ModelFileError(
            f"model {self.card.name}: with {self.runs_on} it returns {values}{remedy}"
        )
