"""Export of a network from PyTorch, for conversion by OpenVINO and as ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
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
from geodetect.model.network.retinanet import RetinaNet

EXAMPLE_PX = 64  # side of the image that is run while the graph is traced; small, so fast
OPSET = 17  # of ONNX: the oldest with all operators in use
SPATIAL_AXES = {"pixels": {2: "height", 3: "width"}, "valid": {1: "height", 2: "width"}}


class ExportedNetwork(nn.Module):
    """A network with the normalisation, resizing and padding of its input as part of the graph.

    So its input is bytes, a quarter of the size of floats, and the runtime does all arithmetic.
    """

    def __init__(self, card: ModelCard, network: RetinaNet) -> None:
        super().__init__()
        self._card = card
        self.network = network

    def forward(self, pixels: Tensor, valid: Tensor, *sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network on the inputs that ``exported_inputs`` describes.

        Args:
            pixels: ``uint8[B, C, H, W]``.
            valid: ``bool[B, H, W]``.
            sizes: None, or ``int64[2]`` twice: heights and widths to resize and to pad to.

        Returns:
            Logits and offsets, see ``RetinaNet.forward``.
        """
        images = normalise(pixels, valid, self._card)
        if sizes:
            scaled, padded = sizes
            images = F.interpolate(images, size=tuple(scaled), mode="bilinear", align_corners=False)
            below, right = padded - scaled
            images = F.pad(images, (0, right, 0, below))
        logits, deltas = self.network(images)
        return logits, deltas


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


def to_onnx(card: ModelCard, parameters: Weights) -> bytes:
    """Return a network as an ONNX model for single images of any size.

    Its inputs are those of ``exported_inputs``, its outputs ``logits`` and ``deltas`` of
    ``RetinaNet.forward``.

    Raises:
        ModelFileError: The parameters do not fit the card.
    """
    network, example = exported_network(card, parameters)
    with tracing(), TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            network,
            tuple(example.values()),
            file,
            input_names=tuple(example),
            output_names=("logits", "deltas"),
            dynamic_axes=SPATIAL_AXES,
            opset_version=OPSET,
            dynamo=False,  # the newer exporter needs onnxscript as well
        )
        return file.read_bytes()


@contextmanager
def tracing() -> Iterator[None]:
    """Silence PyTorch's warnings about data-dependent branches: the networks have none."""
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        yield
