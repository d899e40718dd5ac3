"""Networks in the formats of other libraries."""

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
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes.exported import prepare
from geodetect.model.runtimes.torch import load_network, normalise

EXAMPLE_PX = 64  # the least to run the network on while its graph is recorded
OPSET = 17  # of ONNX: the first one with everything that is used
SPATIAL_AXES = {"pixels": {2: "height", 3: "width"}, "valid": {1: "height", 2: "width"}}


class BytesNetwork(nn.Module):
    """A network with all that is done to its input in front of it.

    Bytes go in: a quarter of the memory to move, and the work is done where the network runs.

    Args:
        card: Its card.
        network: The network.
    """

    def __init__(self, card: ModelCard, network: RetinaNet) -> None:
        super().__init__()
        self._card = card
        self.network = network

    def forward(self, pixels: Tensor, valid: Tensor, *sizes: Tensor) -> tuple[Tensor, Tensor]:
        """``uint8[B, C, H, W]``, ``bool[B, H, W]`` and sizes (see ``prepare``) to its output."""
        images = normalise(pixels, valid, self._card)
        if sizes:
            scaled, padded = sizes
            images = F.interpolate(images, size=tuple(scaled), mode="bilinear", align_corners=False)
            below, beside = padded - scaled
            images = F.pad(images, (0, beside, 0, below))
        logits, deltas = self.network(images)
        return logits, deltas


def traceable(card: ModelCard, weights: Weights) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network whose graph can be recorded, and an example of its inputs by name.

    Raises:
        ModelFileError: The weights do not fit the card.
    """
    network = load_network(card, weights)
    shape = (len(card.mean), EXAMPLE_PX, EXAMPLE_PX)
    example = prepare(card, np.zeros(shape, np.uint8), np.ones(shape[1:], bool))
    named = {name: torch.from_numpy(array) for name, array in example.items()}
    return BytesNetwork(card, network).eval(), named


def to_onnx(card: ModelCard, weights: Weights) -> bytes:
    """A network as an ONNX model for images of any size, one at a time.

    Inputs are those of ``prepare``; outputs are ``logits`` and ``deltas``, as of
    ``RetinaNet.forward``.

    Raises:
        ModelFileError: The weights do not fit the card.
    """
    module, example = traceable(card, weights)
    with recording(), TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            tuple(example.values()),
            file,
            input_names=tuple(example),
            output_names=("logits", "deltas"),
            dynamic_axes=SPATIAL_AXES,
            opset_version=OPSET,
            dynamo=False,  # the other way needs a further library
        )
        return file.read_bytes()


@contextmanager
def recording() -> Iterator[None]:
    """Record graphs without what PyTorch says of it; the networks have no branches to lose."""
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        yield
