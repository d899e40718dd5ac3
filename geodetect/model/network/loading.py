"""Loading a trained network, and normalising the images that it takes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from geodetect.errors import ModelFileError, list_names
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.backbones import fold_norms
from geodetect.model.network.retinanet import RetinaNet


def load_network(card: ModelCard, parameters: Weights) -> RetinaNet:
    """Return the network of a card with its parameters in single precision, for inference only.

    Arrays of an int8-quantized network must not be among the parameters.

    Raises:
        ModelFileError: The card describes no network, or the parameters do not fit it.
    """
    if card.network is None:
        raise ModelFileError(f"model {card.name}: its card describes no network")
    with torch.device("meta"):  # no memory and no random initialization: weights are assigned below
        network = RetinaNet(card.network, len(card.classes))
    state = {name: torch.from_numpy(np.array(array)).float() for name, array in parameters.items()}
    differing = {(name, tuple(value.shape)) for name, value in state.items()} ^ {
        (name, tuple(value.shape)) for name, value in network.state_dict().items()
    }
    if differing:
        names = sorted({name for name, _ in differing})
        raise ModelFileError(
            f"model {card.name}: weights and card do not agree: {len(names):,} parameters are "
            f"missing, too many or of another shape, such as {list_names(names, limit=3)}; the "
            f"file is damaged: choose another `model`"
        )
    network.load_state_dict(state, assign=True)
    fold_norms(network.backbone)
    return network.eval()


def normalise(pixels: Tensor, valid: Tensor, card: ModelCard) -> Tensor:
    """Normalise bytes by the card's mean and standard deviation; pixels without data become 0.

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
