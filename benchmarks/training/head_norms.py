"""Removal of the group norms of a model's heads, for the training of the built-in model.

    python -m benchmarks.training.head_norms ninth.safetensors -o plain.safetensors
    python -m benchmarks.training.pools -o tenth.safetensors --init plain.safetensors ...

A group norm takes a quarter of the time of the int8-quantized network: it is computed in floating
point between convolutions in int8. What a norm does to an average chip becomes part of the
convolution before it: with the mean m and the standard deviation s of a group, and the scale g and
offset b of a channel, the weights are multiplied by g / s, and the bias is b - m g / s. Statistics
are those of the two finest levels, where the pools are. The coarser levels have much larger
features, which the norms hid; so the convolutions that make these are scaled down. A training goes
on from there.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import ROOT
from benchmarks.training.cards import card_of_changed_weights
from benchmarks.training.pools import CANNES, CHIP_GSD_M
from geodetect.model.card import ModelCard
from geodetect.model.file import read_model_file, write_model_file
from geodetect.model.network.anchor_fit import AnchorShapes
from geodetect.model.network.loading import normalise
from geodetect.model.network.retinanet import GroupNorm, RetinaNet
from geodetect.model.runtimes.conversion import add_networks
from geodetect.model.runtimes.stored_networks import network_parameters
from geodetect.training.data.chip_sampler import ChipSampler
from geodetect.training.data.training_data import read_training_data

HEADS = ("classification", "regression")
CHIPS, AUGMENT, SEED = 64, 0.5, 3
LEAST_VALID = 0.95  # fraction of a chip
FINEST_LEVELS = 2
LAYERS_WITH_NORM, LAYERS_WITHOUT = 3, 2  # of a head, for each convolution
Moments = dict[tuple[str, int], dict[int, list[tuple[Tensor, Tensor]]]]


def averaged_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return the averaged weights in the checkpoint of a training."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")["learner"]["average"]
    prefix = "module."
    return {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}


def measure_moments(network: RetinaNet, card: ModelCard, folder: Path) -> Moments:
    """Return mean and standard deviation of each group, by norm and stride, for every chip."""
    moments: Moments = defaultdict(lambda: defaultdict(list))
    settings = geodetect.TrainSettings(
        augment=AUGMENT, val_aoi=folder / "holdout.gpkg", seed=SEED, gsd=CHIP_GSD_M
    )
    assert card.network is not None
    size = settings.tile_size

    def record(key: tuple[str, int], norm: GroupNorm) -> Any:
        def hook(_module: GroupNorm, inputs: tuple[Tensor], _output: Tensor) -> None:
            groups = inputs[0].reshape(norm.num_groups, -1).double()
            deviation = (groups.var(dim=1, correction=0) + norm.eps).sqrt()
            moments[key][size // inputs[0].shape[-1]].append((groups.mean(dim=1), deviation))

        return norm.register_forward_hook(hook)

    with ExitStack() as stack, torch.inference_mode():
        for head in HEADS:
            for number, layer in enumerate(getattr(network, head).tower):
                if isinstance(layer, GroupNorm):
                    stack.callback(record((head, number), layer).remove)
        anchors = AnchorShapes.from_config(card.network)
        labels = [folder / "cannes.gpkg"]
        data = read_training_data([CANNES], labels, settings, anchors=anchors, stack=stack)
        sampler = ChipSampler(data.train, settings, gsd_m=CHIP_GSD_M)
        chips = map(sampler.__getitem__, range(10 * CHIPS))
        whole = (chip for chip in chips if chip.valid.mean() >= LEAST_VALID)
        for chip, _ in zip(whole, range(CHIPS), strict=False):
            pixels, valid = torch.from_numpy(chip.image[None]), torch.from_numpy(chip.valid[None])
            network(normalise(pixels, valid, card))
    return moments


def remove_norms(
    weights: dict[str, Tensor], moments: Moments, strides: tuple[int, ...]
) -> dict[str, Tensor]:
    """Return the parameters of a network whose heads have no norms."""
    plain = {key: value for key, value in weights.items() if ".tower." not in key}
    plain |= {key: value for key, value in weights.items() if key.startswith("outline.")}
    for head, number in moments:
        norm, conv = f"{head}.tower.{number}", f"{head}.tower.{number - 1}"
        chips = [
            pair for stride in strides[:FINEST_LEVELS] for pair in moments[head, number][stride]
        ]
        mean, deviation = (torch.stack(values).mean(dim=0) for values in zip(*chips, strict=True))
        per_group = len(weights[f"{norm}.weight"]) // len(mean)
        factor = weights[f"{norm}.weight"] / deviation.repeat_interleave(per_group)
        position = (number - 1) // LAYERS_WITH_NORM * LAYERS_WITHOUT
        target = f"{head}.tower.{position}"
        plain[f"{target}.weight"] = weights[f"{conv}.weight"] * factor[:, None, None, None]
        offset = mean.repeat_interleave(per_group) * factor
        plain[f"{target}.bias"] = weights[f"{norm}.bias"] - offset
    before = 1.0
    for level, stride in enumerate(strides[FINEST_LEVELS:]):
        scale = _scale_of_level(moments, stride, strides[:FINEST_LEVELS])
        name = f"pyramid.coarser.{level}"
        plain[f"{name}.weight"] = weights[f"{name}.weight"] * scale / before
        plain[f"{name}.bias"] = weights[f"{name}.bias"] * scale
        before = scale
    return plain


def _scale_of_level(moments: Moments, stride: int, finest: tuple[int, ...]) -> float:
    """Return the factor that gives a level the deviations of the finest ones in the first norms."""
    logs = []
    for head in HEADS:
        by_stride = moments[head, 1]
        expected = torch.stack([s for fine in finest for _, s in by_stride[fine]]).mean(dim=0)
        logs.append((expected / torch.stack([s for _, s in by_stride[stride]]).mean(dim=0)).log())
    return float(torch.cat(logs).mean().exp())


def main() -> None:
    """Write a model without norms in its heads."""
    parser = new_parser(__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="model file to write")
    parser.add_argument(
        "--checkpoint", type=Path, help="take the averaged weights of a training that was ended"
    )
    parser.add_argument(
        "--work-dir", type=Path, default=ROOT / "runs/pools", help="of benchmarks.training.pools"
    )
    options = parser.parse_args()
    card, arrays = read_model_file(options.model)
    assert card.network is not None
    parameters = {
        key: torch.from_numpy(np.array(array)) for key, array in network_parameters(arrays).items()
    }
    if options.checkpoint is not None:
        parameters = averaged_weights(options.checkpoint)
    weights = {key: value.double() for key, value in parameters.items()}
    network = RetinaNet(card.network, len(card.classes)).eval()
    network.load_state_dict({key: value.float() for key, value in weights.items()}, strict=False)
    moments = measure_moments(network, card, options.work_dir)
    plain: dict[str, NDArray[np.generic]] = {
        key: value.numpy().astype(np.float16)
        for key, value in remove_norms(weights, moments, card.network.strides).items()
    }
    config = card.network.model_copy(update={"head_norm_groups": 0})
    card = card_of_changed_weights(card, network=config)
    write_model_file(options.output, card, add_networks(card, plain))


if __name__ == "__main__":
    main()
