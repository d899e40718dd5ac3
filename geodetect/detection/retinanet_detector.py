"""RetinaNet models as detectors."""

from __future__ import annotations

import math
import os

import numpy as np

from geodetect.detection.detections import Detections
from geodetect.detection.nms import suppress
from geodetect.errors import ModelFileError, OutOfMemoryError, error_text
from geodetect.geo import boxes as box_ops
from geodetect.hardware.memory import is_shortage
from geodetect.model.calibration import calibrated_scores, logit_thresholds
from geodetect.model.card import Calibration, ModelCard
from geodetect.model.file import checksum, read_model_file
from geodetect.model.network.anchors import anchors_of_image, decode
from geodetect.model.network.input_size import Size, scaled_size
from geodetect.model.runtimes.base import Runtime
from geodetect.model.runtimes.open import open_runtime
from geodetect.types import BoolArray, Float32Array, IntArray, UInt8Array


class RetinaNetDetector:
    """A trained network: normalise, forward, decode, suppress duplicates within the tile.

    Scores are calibrated if the card says how, before anything is compared with ``conf``.

    Args:
        runtime: Runs the network.
        conf: Least score of a detection; None: the card's.
        iou: Overlap from which the lower-scored of two boxes of a class is dropped; None: the
            card's.
        identity: Text that changes with whatever changes its results.
        most_per_px: The most boxes that are looked at, the best of them, for each pixel of a tile;
            None: all.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        conf: float | None = None,
        iou: float | None = None,
        identity: str | None = None,
        most_per_px: float | None = None,
    ) -> None:
        self.identity = identity
        self._most_per_px = most_per_px
        self.card: ModelCard = runtime.card
        self._runtime = runtime
        self._conf = self.card.conf if conf is None else conf
        self._iou = self.card.iou if iou is None else iou
        self._anchors: dict[Size, Float32Array] = {}

    @property
    def runs_on(self) -> str:
        """What runs the network where, for people."""
        return self._runtime.title

    @property
    def streams(self) -> int:
        """Calls that are worked on side by side; fewer leave processors idle."""
        return self._runtime.streams

    @property
    def batch_size(self) -> int:
        """Tiles that are best given at once."""
        return self._runtime.batch_size

    @property
    def depends_on_batch(self) -> bool:
        """Whether other tiles of its batch change a tile's result, if only by rounding."""
        return self._runtime.depends_on_batch

    @property
    def bytes_per_px(self) -> float:
        """Memory of this machine that a tile takes while it is looked at, for each pixel."""
        return self._runtime.bytes_per_px * self.card.input_scale**2

    def __call__(self, pixels: UInt8Array, valid: BoolArray) -> list[Detections]:
        """See ``Detector``."""
        logits, deltas, padded = self._runtime.forward(pixels, valid)
        anchors = self._anchors_of(padded)
        height, width = pixels.shape[2:]
        return [
            self._decode(image_logits, image_deltas, anchors=anchors, size=(height, width))
            for image_logits, image_deltas in zip(logits, deltas, strict=True)
        ]

    def _anchors_of(self, padded: Size) -> Float32Array:
        if padded not in self._anchors:
            if self.card.network is None:
                raise ModelFileError(f"model {self.card.name}: its card describes no network")
            self._anchors[padded] = anchors_of_image(self.card.network, *padded)
        return self._anchors[padded]

    def _decode(
        self, logits: Float32Array, deltas: Float32Array, *, anchors: Float32Array, size: Size
    ) -> Detections:
        """Scores over the threshold as boxes of one image, without duplicates and without a cap."""
        anchor, label, scores = _over(logits, self._conf, self.card.calibration)
        if self._most_per_px is not None:
            best = _best(scores, math.ceil(self._most_per_px * math.prod(size)))
            anchor, label, scores = anchor[best], label[best], scores[best]
        scaled = scaled_size(self.card, *size)  # boxes are in pixels of the network's input first
        frame = np.array([0, 0, scaled[1], scaled[0]], np.float64)
        boxes = box_ops.clip(decode(deltas[anchor], anchors[anchor]).astype(np.float64), frame)
        inside = box_ops.area(boxes) > 0  # not in the padding of small images
        boxes, scores, label = boxes[inside], scores[inside], label[inside]
        kept = suppress(boxes, scores, label, iou=self._iou)
        shrink = np.array([size[1] / scaled[1], size[0] / scaled[0]] * 2)
        return Detections.from_arrays(boxes[kept] * shrink, scores[kept], label[kept])


def _over(
    logits: Float32Array, conf: float, calibration: Calibration | None
) -> tuple[IntArray, IntArray, Float32Array]:
    """Row, class and score of every score of at least ``conf``."""
    least = logit_thresholds(conf, calibration)
    row, label = np.nonzero(logits >= least)  # few are left to compute a score for
    scores = calibrated_scores(logits[row, label], label, calibration).astype(np.float32)
    sure = scores >= conf
    return row[sure], label[sure], scores[sure]


def _best(scores: Float32Array, most: int) -> IntArray:
    """Rows of the highest scores, in order of the rows."""
    if len(scores) <= most:
        return np.arange(len(scores))
    return np.sort(np.argpartition(-scores, most)[:most])


def load_detector(
    model: str | os.PathLike[str],
    *,
    device: str = "auto",
    conf: float | None = None,
    iou: float | None = None,
    runtime: str = "auto",
    precision: str = "auto",
) -> RetinaNetDetector:
    """A model by name or path, ready to detect.

    Args:
        model: Name of a built-in model or path of a model file.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``.
        conf: Least score; None: the card's.
        iou: Overlap of duplicates; None: the card's.
        runtime: ``auto``, ``torch``, ``openvino``, ``onnx``: see ``open_runtime``.
        precision: ``auto``, ``fp32``, ``bf16``, ``fp16``, ``int8``.

    Raises:
        ModelFileError: There is no such model or its file is damaged.
        InputError: There is no such device, or not for this runtime and precision.
        MissingDependencyError: The runtime is not installed.
        OutOfMemoryError: There is too little memory for the network.
    """
    try:
        card, weights = read_model_file(model)
        opened = open_runtime(card, weights, runtime=runtime, precision=precision, device=device)
    except (MemoryError, RuntimeError, ImportError) as error:
        if not is_shortage(error):
            raise
        raise OutOfMemoryError(
            f"model {os.fspath(model)}: too little memory to load it "
            f"({error_text(error)}); give this program "
            f"more, or choose a smaller `model` or another `runtime`"
        ) from error
    identity = f"{checksum(model)} {opened.identity}"
    return RetinaNetDetector(opened, conf=conf, iou=iou, identity=identity)
