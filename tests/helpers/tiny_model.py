"""A tiny model with weights set by hand.

It finds bright squares of 16 px whose corners lie on odd multiples of 4 px (so that they are
centred on a cell): each once, with exactly its box.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geodetect.model.card import ModelCard, NetworkConfig
from geodetect.model.file import write_model_file
from geodetect.model.network.retinanet import RetinaNet
from tests.helpers.square_scenes import GSD_M, SQUARE_PX

CHANNELS = 9  # no common divisor with 16: one group, whose spread two constant channels fix
FIXED = 100.0

torch.set_num_threads(1)  # on images this small, threads wait for each other longer than they work


def tiny_card(**changes: object) -> ModelCard:
    values: dict[str, object] = {
        "name": "squares",
        "description": "Bright squares.",
        "classes": ("square",),
        "gsd_m": GSD_M,
        "tile_px": 128,
        "object_size_m": (4.0, 4.0, 4.0),
        "conf": 0.5,
        "iou": 0.3,
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "network": NetworkConfig(
            trunk_stages=2,
            fpn_channels=CHANNELS,
            strides=(8,),
            head_convs=1,
            anchor_sizes_px=((float(SQUARE_PX),),),
            anchor_ratios=(1.0,),
        ),
    }
    return ModelCard.model_validate(values | changes)


@torch.no_grad()
def tiny_network(card: ModelCard) -> RetinaNet:
    """Brightness flows through one channel; a cell scores where it and three neighbours shine."""
    assert card.network is not None
    network = RetinaNet(card.network, len(card.classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.zero_()
            if module.bias is not None:
                module.bias.zero_()
    trunk = network.trunk
    trunk.conv1.weight[0] = 1 / (3 * 49)
    trunk.layer2[0].downsample[0].weight[0, 0] = 1
    fpn = network.pyramid.fpn
    fpn.inner_blocks[0][0].weight[0, 0] = 1
    fpn.layer_blocks[0][0].weight[0, 0, 1, 1] = 1
    fpn.layer_blocks[0][0].bias[1:3] = torch.tensor([FIXED, -FIXED])
    tower = network.classification.tower[0]
    tower.weight[0, 0, 1:, 1:] = 1 / 4
    tower.weight[1, 1, 1, 1] = tower.weight[2, 2, 1, 1] = 1
    spread = FIXED * math.sqrt(2 / CHANNELS)
    output = network.classification.output
    output.weight[0, 0, 1, 1] = 40 * spread
    output.bias[:] = torch.as_tensor(-40 * 0.72)
    return network


def weights_of(network: nn.Module) -> dict[str, NDArray[np.generic]]:
    return {k: v.detach().numpy().astype(np.float16) for k, v in network.state_dict().items()}


def save_tiny_model(path: Path, **changes: object) -> Path:
    card = tiny_card(**changes)
    write_model_file(path, card, weights_of(tiny_network(card)))
    return path
