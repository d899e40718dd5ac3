"""RetinaNets as ONNX detectors: image in, boxes after non-maximum suppression out."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import box_iou, nms

from geodetect.errors import ModelFileError
from geodetect.model.card import VOTE_SHARE, ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.anchors import anchors_of_image
from geodetect.model.network.anchors_torch import decode
from geodetect.model.network.input_size import padded_size, resize_and_pad, scaled_size
from geodetect.model.network.loading import load_network
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes.export import OPSET, tracing

MAX_CANDIDATES = 4000  # boxes with the highest scores that are compared; a tile shows hundreds
CLASS_GAP = 1e5  # pixels between the boxes of classes, which are not compared with each other

Form = Literal["rows", "lists"]


class ExportedDetector(nn.Module):
    """A network with preprocessing, decoding, suppression and voting as part of its graph.

    Args:
        card: The model's card.
        network: The network.
        tile_px: Side of its images in pixels.
        form: ``rows``: one output ``[1, N + 1, 5 + classes]`` of centre, size, score, and 1 for
            the class of each box, as YOLOv5 has it; the last row is empty. ``lists``: boxes
            ``[1, N, 4]``, scores ``[1, N]`` and classes ``[1, N]``.
    """

    def __init__(self, card: ModelCard, network: RetinaNet, *, tile_px: int, form: Form) -> None:
        super().__init__()
        if card.network is None:
            raise ModelFileError(f"model {card.name}: its card describes no network")
        self._card, self._form, self._tile_px = card, form, tile_px
        self.network = network
        anchors = anchors_of_image(card.network, *padded_size(card, tile_px, tile_px))
        self.register_buffer("anchors", torch.from_numpy(anchors))
        shape = (1, len(card.mean), 1, 1)
        self.register_buffer("mean", torch.tensor(card.mean).reshape(shape))
        self.register_buffer("std", torch.tensor(card.std).reshape(shape))
        calibration = card.calibration
        ones = (1.0,) * len(card.classes)
        slope = ones if calibration is None else calibration.slope
        intercept = (0.0,) * len(ones) if calibration is None else calibration.intercept
        self.register_buffer("slope", torch.tensor(slope))
        self.register_buffer("intercept", torch.tensor(intercept))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Detect objects.

        Args:
            images: ``float32[1, C, tile_px, tile_px]`` in 0..1.

        Returns:
            See ``form``; boxes in pixels of the image, best first within their class.
        """
        buffers: dict[str, Tensor] = dict(self.named_buffers())
        inputs = resize_and_pad((images - buffers["mean"]) / buffers["std"], self._card)
        logits, deltas = self.network(inputs)
        scores = (logits[0] * buffers["slope"] + buffers["intercept"]).sigmoid()
        classes = scores.shape[1]
        highest, order = scores.reshape(-1).topk(min(MAX_CANDIDATES, scores.numel()))
        anchor, label = order // classes, order % classes
        scaled = scaled_size(self._card, self._tile_px, self._tile_px)[0]
        boxes = decode(deltas[0][anchor], buffers["anchors"][anchor]).clamp(0, scaled)
        remaining = nms(boxes + label[:, None] * CLASS_GAP, highest, self._card.iou)
        places = boxes[remaining]
        if self._card.vote_iou is not None:
            places = _vote_boxes(boxes, highest, label, remaining, iou=self._card.vote_iou)
        boxes = places * (self._tile_px / scaled)
        highest, label = highest[remaining], label[remaining]
        if self._form == "lists":
            return boxes[None], highest[None], label[None]
        corner, size = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
        is_class = (label[:, None] == torch.arange(classes)).to(boxes.dtype)
        rows = torch.cat([corner + size / 2, size, highest[:, None], is_class], dim=1)
        # programs expect at least one row
        return torch.cat([rows, torch.zeros(1, rows.shape[1])])[None]


def _vote_boxes(
    boxes: Tensor, scores: Tensor, labels: Tensor, selected: Tensor, *, iou: float
) -> Tensor:
    """Return ``float32[K, 4]`` places of the selected boxes, as ``nms.vote_boxes`` does."""
    agrees = box_iou(boxes[selected], boxes) >= iou
    is_of_class = labels[selected, None] == labels
    is_high = scores >= VOTE_SHARE * scores[selected, None]
    weights = (agrees & is_of_class & is_high) * scores
    return (weights @ boxes) / weights.sum(dim=1, keepdim=True)


def detector_to_onnx(card: ModelCard, parameters: Weights, *, tile_px: int, form: Form) -> bytes:
    """Return a model as an ONNX detector for images of one size, with standard operators only.

    Its input is ``images``, ``float32[1, C, tile_px, tile_px]`` in 0..1, red first.

    Args:
        card: The model's card.
        parameters: Parameters of the network.
        tile_px: Side of its images in pixels.
        form: Form of its outputs, see ``ExportedDetector``.

    Raises:
        ModelFileError: The parameters do not fit the card.
    """
    network = load_network(card, parameters)
    detector = ExportedDetector(card, network, tile_px=tile_px, form=form).eval()
    names = ["output"] if form == "rows" else ["boxes", "scores", "labels"]
    buffer = BytesIO()
    with tracing():
        torch.onnx.export(
            detector,
            (torch.zeros(1, len(card.mean), tile_px, tile_px),),
            buffer,  # type: ignore[arg-type]  # of the older exporter
            input_names=["images"],
            output_names=names,
            dynamic_axes={name: {1: "objects"} for name in names},
            opset_version=OPSET,
            dynamo=False,  # the newer exporter needs onnxscript as well
        )
    return buffer.getvalue()
