"""Export of a network from PyTorch, for conversion by OpenVINO and as ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.input_size import exported_inputs
from geodetect.model.network.loading import load_network, normalise
from geodetect.model.network.outline_head import PARAMETERS, STRIDE, OutlineHead
from geodetect.model.network.retinanet import RetinaNet

EXAMPLE_PX = 64  # side of the image that is run while the graph is traced; small, so fast
OPSET = 17  # of ONNX: the oldest with all operators in use
DYNAMIC_AXES = {
    "pixels": {2: "height", 3: "width"},
    "valid": {1: "height", 2: "width"},
    "features": {1: "rows", 2: "columns"},
    "boxes": {0: "count"},
}


class ExportedNetwork(nn.Module):
    """A network with the normalisation, resizing and padding of its input as part of the graph.

    So its input is bytes, a quarter of the size of floats, and the runtime does all arithmetic.
    """

    def __init__(self, card: ModelCard, network: RetinaNet) -> None:
        super().__init__()
        self._card = card
        self.network = network

    def forward(self, pixels: Tensor, valid: Tensor, *sizes: Tensor) -> tuple[Tensor, ...]:
        """Run the network on the inputs that ``exported_inputs`` describes.

        Args:
            pixels: ``uint8[B, C, H, W]``.
            valid: ``bool[B, H, W]``.
            sizes: None, or ``int64[2]`` twice: heights and widths to resize and to pad to.

        Returns:
            Logits, offsets, and the features of the outline head if there is one, see
            ``RetinaNet.forward``.
        """
        images = normalise(pixels, valid, self._card)
        if sizes:
            scaled, padded = sizes
            images = F.interpolate(images, size=tuple(scaled), mode="bilinear", align_corners=False)
            below, right = padded - scaled
            images = F.pad(images, (0, right, 0, below))
        return self.network(images, with_outlines=self.network.config.outline is not None)


class ExportedOutlineHead(nn.Module):
    """An outline head that gives probabilities."""

    def __init__(self, head: OutlineHead) -> None:
        super().__init__()
        self.outline = head

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Return masks ``float[K, M, M]`` in 0..1; arguments as of ``OutlineHead.forward``."""
        return torch.as_tensor(self.outline(features, boxes).sigmoid())


def exported_network(
    card: ModelCard, parameters: Weights
) -> tuple[ExportedNetwork, dict[str, Tensor]]:
    """Return a network whose graph can be traced, and an example of its inputs by name.

    Raises:
        ModelFileError: The parameters do not fit the card.
    """
    network = load_network(card, parameters)
    shape = (len(card.mean), EXAMPLE_PX, EXAMPLE_PX)
    inputs = exported_inputs(card, np.zeros(shape, np.uint8), np.ones(shape[1:], bool))
    example = {name: torch.from_numpy(array) for name, array in inputs.items()}
    return ExportedNetwork(card, network).eval(), example


def exported_outline_head(
    card: ModelCard, parameters: Weights
) -> tuple[ExportedOutlineHead, dict[str, Tensor]]:
    """Return an outline head whose graph can be traced, and an example of its inputs by name.

    Raises:
        ModelFileError: The parameters do not fit the card.
    """
    network = load_network(card, parameters)
    cells = EXAMPLE_PX // STRIDE
    features = torch.zeros(1, cells, cells * network.outline.config.channels)
    boxes = torch.tensor([[0.0, 0.0, EXAMPLE_PX, EXAMPLE_PX]] * 2)
    return ExportedOutlineHead(network.outline).eval(), {"features": features, "boxes": boxes}


def to_onnx(network: nn.Module, example: Mapping[str, Tensor], outputs: Sequence[str]) -> bytes:
    """Return an exported network as an ONNX model for single images of any size.

    Args:
        network: The network, see ``exported_network`` and ``exported_outline_head``.
        example: Its inputs by name.
        outputs: Names of its outputs.
    """
    with tracing(), TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            network,
            tuple(example.values()),
            file,
            input_names=tuple(example),
            output_names=outputs,
            dynamic_axes=DYNAMIC_AXES,
            opset_version=OPSET,
            dynamo=False,  # the newer exporter needs onnxscript as well
        )
        return file.read_bytes()


def without_outline_head(card: ModelCard, parameters: Weights) -> tuple[ModelCard, Weights]:
    """Return card and parameters of the network without its outline head."""
    if card.network is None or card.network.outline is None:
        return card, parameters
    config = card.network.model_copy(update={"outline": None})
    remaining = {key: v for key, v in parameters.items() if not key.startswith(PARAMETERS)}
    return card.model_copy(update={"network": config}), remaining


@contextmanager
def tracing() -> Iterator[None]:
    """Silence PyTorch's warnings about data-dependent branches: the networks have none."""
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        yield
