"""RetinaNet networks as detectors."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np

from geodetect.detection.detections import Detections
from geodetect.detection.detectors.nms import nms, vote_boxes
from geodetect.errors import GeodetectWarning, ModelFileError
from geodetect.geo import boxes as box_ops
from geodetect.geo.contours import outline_masks
from geodetect.geo.polygons import clip_polygons
from geodetect.model.calibration import calibrated_scores, logit_thresholds
from geodetect.model.card import VOTE_SHARE, ModelCard
from geodetect.model.network.anchors import anchors_of_image, decode
from geodetect.model.network.input_size import Size, scaled_size
from geodetect.model.runtimes.base import Runtime
from geodetect.types import BoolArray, Float32Array, UInt8Array

# above the threshold in one tile; a good model has a few dozen for each object
MANY_BOXES, MANY_BOXES_PER_PX = 100_000, 0.1


class RetinaNetDetector:
    """Trained network: normalise, forward, decode, non-maximum suppression within the tile.

    Scores are calibrated if the card has a calibration, before they are compared with ``conf``.

    Args:
        runtime: Runs the network.
        conf: Score threshold; None: the card's.
        iou: Overlap (IoU) from which the lower-scored of two boxes of a class is removed; None:
            the card's.
        identity: Text that changes with whatever changes its results.
        max_boxes_per_px: Number of boxes with the highest scores that are decoded, per pixel of a
            tile; None: all.

    Attributes:
        card: Card of the model.
        runs_on: Runtime and device, for messages.
        streams: Parallel calls; fewer leave processors idle.
        batch_size: Fastest number of tiles in one call.
        depends_on_batch: True if other tiles of its batch change a tile's result, if only by
            rounding.
        has_outlines: Its detections have outlines.
        bytes_per_px: Memory of this machine that a tile in progress takes, per pixel.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        conf: float | None = None,
        iou: float | None = None,
        identity: str | None = None,
        max_boxes_per_px: float | None = None,
    ) -> None:
        self.identity = identity
        self._max_boxes_per_px = max_boxes_per_px
        self.card: ModelCard = runtime.card
        self.runs_on = runtime.title
        self.streams = runtime.streams
        self.batch_size = runtime.batch_size
        self.depends_on_batch = runtime.depends_on_batch
        self.bytes_per_px = runtime.bytes_per_px * self.card.input_scale**2
        self.has_outlines = runtime.has_outlines
        self._runtime = runtime
        self._conf = self.card.conf if conf is None else conf
        self._iou = self.card.iou if iou is None else iou
        self._anchors: dict[Size, Float32Array] = {}
        self._has_warned = False

    def __call__(self, pixels: UInt8Array, valid: BoolArray) -> list[Detections]:
        """See ``Detector``."""
        logits, deltas, padded, features = self._runtime.forward(pixels, valid)
        if padded not in self._anchors:
            if self.card.network is None:
                raise ModelFileError(f"model {self.card.name}: its card describes no network")
            self._anchors[padded] = anchors_of_image(self.card.network, *padded)
        anchors, (height, width) = self._anchors[padded], pixels.shape[2:]
        detections = [
            self._decode(image_logits, image_deltas, anchors=anchors, size=(height, width))
            for image_logits, image_deltas in zip(logits, deltas, strict=True)
        ]
        if features is not None:
            detections = list(map(self._add_outlines, detections, features, pixels))
        return detections

    def _add_outlines(
        self, detections: Detections, features: Float32Array, pixels: UInt8Array
    ) -> Detections:
        """Return the detections of an image with their outlines, cut off at its edges.

        Raises:
            ModelFileError: The outline head returns values that are no finite numbers.
        """
        if self.card.network is None or self.card.network.outline is None or not len(detections):
            return detections
        size = height, width = pixels.shape[1:]
        scaled = scaled_size(self.card, *size)
        scale = np.array([scaled[1] / width, scaled[0] / height] * 2)
        boxes = box_ops.widen(detections.boxes, self.card.network.outline.margin)
        masks = self._runtime.draw_masks(features, (boxes * scale).astype(np.float32))
        self._check_finite("masks", masks)
        frame = np.array([0.0, 0.0, width, height])
        outlines = clip_polygons(outline_masks(masks, boxes), frame)
        return replace(detections, outlines=outlines)

    def _decode(
        self, logits: Float32Array, deltas: Float32Array, *, anchors: Float32Array, size: Size
    ) -> Detections:
        """Return the boxes of one image above the threshold, without duplicates or a limit.

        Raises:
            ModelFileError: The network returns values that are no finite numbers.
        """
        self._check_finite("scores", logits.min(), logits.max())
        vote_iou = self.card.vote_iou
        lowest = self._conf if vote_iou is None else VOTE_SHARE * self._conf
        # first by logits: few are left to compute a score for
        anchor, label = np.nonzero(logits >= logit_thresholds(lowest, self.card.calibration))
        scores: Float32Array = calibrated_scores(
            logits[anchor, label], label, self.card.calibration
        ).astype(np.float32)
        selected = np.flatnonzero(scores >= lowest)
        if self._max_boxes_per_px is not None:
            limit = math.ceil(self._max_boxes_per_px * math.prod(size))
            if len(selected) > limit:
                best = np.argpartition(-scores[selected], limit)[:limit]
                selected = selected[np.sort(best)]
        elif len(selected) > max(MANY_BOXES, MANY_BOXES_PER_PX * math.prod(size)):
            self._warn_of_noise(len(selected), size)
        anchor, label, scores = anchor[selected], label[selected], scores[selected]
        self._check_finite("boxes", deltas[anchor])
        scaled = scaled_size(self.card, *size)  # boxes are in pixels of the network's input first
        frame = np.array([0, 0, scaled[1], scaled[0]], np.float64)
        boxes = box_ops.clip(decode(deltas[anchor], anchors[anchor]).astype(np.float64), frame)
        in_image = box_ops.area(boxes) > 0  # not in the padding of small images
        boxes, scores, label = boxes[in_image], scores[in_image], label[in_image]
        rows = nms(boxes, scores, label, iou=self._iou)
        rows = rows[scores[rows] >= self._conf]
        places = boxes[rows]
        if vote_iou is not None:
            places = vote_boxes(boxes, scores, label, selected=rows, iou=vote_iou)
        scale = np.array([size[1] / scaled[1], size[0] / scaled[0]] * 2)
        return Detections.from_arrays(places * scale, scores[rows], label[rows])

    def _warn_of_noise(self, count: int, size: Size) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        warnings.warn(
            f"model {self.card.name}: {count:,} boxes of a tile of {size[1]} x {size[0]} px have a "
            f"score of {self._conf:g} or more, which takes long; nearly all are noise: raise "
            f"`conf`, or train the model longer",
            GeodetectWarning,
            stacklevel=2,
        )

    def _check_finite(self, name: str, *values: np.floating | Float32Array) -> None:
        if not all(np.isfinite(value).all() for value in values):
            raise ModelFileError(
                f"model {self.card.name}: with {self.runs_on} it returns {name} that are NaN or "
                f"infinite; its weights are damaged, or too large for this precision: choose "
                f"another `precision` or `model`"
            )
