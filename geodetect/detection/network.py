"""RetinaNet models as detectors."""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image

from geodetect.detection.detections import Detections
from geodetect.errors import ModelFileError
from geodetect.model.anchors import anchors_of_image, decode
from geodetect.model.bundle import load_bundle
from geodetect.model.card import ModelCard
from geodetect.model.runtime import TorchRuntime


class NetworkDetector:
    """A trained network: normalise, forward, decode, suppress duplicates within the tile.

    Args:
        runtime: Runs the network.
        conf: Least score of a detection; None: the card's.
        iou: Overlap from which the lower-scored of two boxes of a class is dropped; None: the
            card's.
    """

    def __init__(
        self, runtime: TorchRuntime, *, conf: float | None = None, iou: float | None = None
    ) -> None:
        self.card: ModelCard = runtime.card
        self._runtime = runtime
        self._conf = self.card.conf if conf is None else conf
        self._iou = self.card.iou if iou is None else iou
        self._anchors: dict[tuple[int, int], Tensor] = {}

    def __call__(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Detections]:
        """See ``Detector``."""
        logits, deltas, padded = self._runtime.forward(pixels, valid)
        anchors = self._anchors_of(padded).to(logits.device)
        height, width = pixels.shape[2:]
        return [
            self._decode(image_logits, image_deltas, anchors=anchors, size=(height, width))
            for image_logits, image_deltas in zip(logits, deltas, strict=True)
        ]

    def _anchors_of(self, padded: tuple[int, int]) -> Tensor:
        if padded not in self._anchors:
            if self.card.network is None:
                raise ModelFileError(f"model {self.card.name}: its card describes no network")
            self._anchors[padded] = anchors_of_image(self.card.network, *padded)
        return self._anchors[padded]

    @torch.inference_mode()
    def _decode(
        self, logits: Tensor, deltas: Tensor, *, anchors: Tensor, size: tuple[int, int]
    ) -> Detections:
        """Scores over the threshold as boxes of one image, without duplicates and without a cap."""
        scores = logits.sigmoid()
        anchor, label = torch.where(scores >= self._conf)
        boxes = clip_boxes_to_image(decode(deltas[anchor], anchors[anchor]), size)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)  # not in the padding of small images
        anchor, label, boxes = anchor[inside], label[inside], boxes[inside]
        kept = batched_nms(boxes, scores[anchor, label], label, self._iou)
        return Detections.of(
            boxes[kept].cpu().numpy(),
            scores[anchor[kept], label[kept]].cpu().numpy(),
            label[kept].cpu().numpy(),
        )


def load_detector(
    model: str | os.PathLike[str],
    *,
    device: str = "auto",
    conf: float | None = None,
    iou: float | None = None,
) -> NetworkDetector:
    """A model by name or path, ready to detect.

    Args:
        model: Name of a built-in model or path of a model file.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``.
        conf: Least score; None: the card's.
        iou: Overlap of duplicates; None: the card's.

    Raises:
        ModelFileError: There is no such model or its file is damaged.
        InputError: There is no such device here.
    """
    card, weights = load_bundle(model)
    return NetworkDetector(TorchRuntime(card, weights, device), conf=conf, iou=iou)
