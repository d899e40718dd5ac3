"""Running a network: pixels in, logits and offsets out."""

from __future__ import annotations

import math
import re

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from geodetect.errors import InputError, ModelFileError
from geodetect.model.backbones import fold_norms
from geodetect.model.bundle import Weights
from geodetect.model.card import ModelCard
from geodetect.model.retinanet import RetinaNet


def pick_device(name: str) -> torch.device:
    """The device of this name; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        InputError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", name) is None:
        raise InputError(f"--device {name}: unknown; expected auto, cpu, cuda, cuda:N or mps")
    device = torch.device(name)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise InputError(
            f"--device {name}: not available here ({reason}); expected auto, cpu, cuda, cuda:N or "
            f"mps"
        ) from error
    return device


def normalise(pixels: Tensor, valid: Tensor, card: ModelCard) -> Tensor:
    """Bytes to what the network was trained on; 0 (the mean) outside the imagery.

    Args:
        pixels: ``uint8[B, C, H, W]``.
        valid: ``bool[B, H, W]``.
        card: Mean and standard deviation of each band in 0..1.

    Returns:
        ``float32[B, C, H, W]``, channels last.
    """
    mean = torch.tensor(card.mean, device=pixels.device)[:, None, None] * 255
    std = torch.tensor(card.std, device=pixels.device)[:, None, None] * 255
    images = (pixels.float() - mean) / std * valid[:, None]
    return images.contiguous(memory_format=torch.channels_last)


class TorchRuntime:
    """A network on a device.

    Args:
        card: Its card.
        weights: Arrays by parameter name.
        device: See ``pick_device``.

    Raises:
        ModelFileError: The weights do not fit the card.
        InputError: There is no such device here.
    """

    def __init__(self, card: ModelCard, weights: Weights, device: str = "auto") -> None:
        if card.network is None:
            raise ModelFileError(f"model {card.name}: its card describes no network")
        self.card = card
        self.device = pick_device(device)
        network = RetinaNet(card.network, len(card.classes))
        state = {key: torch.from_numpy(np.array(value)).float() for key, value in weights.items()}
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ModelFileError(f"model {card.name}: weights and card do not agree") from error
        fold_norms(network.trunk)
        self._multiple = max(card.network.strides)
        self._network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def forward(
        self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Run a batch.

        Args:
            pixels: ``uint8[B, C, H, W]``.
            valid: ``bool[B, H, W]``.

        Returns:
            Logits ``float32[B, N, classes]``, offsets ``float32[B, N, 4]``, and the padded height
            and width that the anchors belong to.
        """
        height, width = (math.ceil(n / self._multiple) * self._multiple for n in pixels.shape[2:])
        images = normalise(
            torch.from_numpy(pixels).to(self.device),
            torch.from_numpy(valid).to(self.device),
            self.card,
        )
        padding = (0, width - pixels.shape[3], 0, height - pixels.shape[2])
        logits, deltas = self._network(F.pad(images, padding))
        return logits.float(), deltas.float(), (height, width)
