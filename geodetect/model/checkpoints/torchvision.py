"""RetinaNets of torchvision, and of DeepForest, which builds on them, as networks of ours.

A state dict says nearly everything of its network by the names and shapes of its parameters. What
it does not say are the anchors (here torchvision's, unless stated), and the constant of the frozen
batch norms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from geodetect.errors import InputError, ModelFileError
from geodetect.model.card import NetworkConfig
from geodetect.model.network.presets import PAPER_ANCHORS_PX, network_config, whole_octave
from geodetect.model.network.retinanet import RetinaNet

LOGITS = "head.classification_head.cls_logits.weight"
BOXES = "head.regression_head.bbox_reg.weight"
P6 = "backbone.fpn.extra_blocks.p6.weight"
STEM = "backbone.body.conv1.weight"
NORMED = "head.classification_head.conv.0.1.weight"  # group norm of version 2
COUNTED = "backbone.body.bn1.num_batches_tracked"  # of a batch norm that was not frozen
ANCHORS_PER_CELL = 9
BOX_VALUES = 4
BACKBONES: dict[tuple[tuple[int, ...], int], str] = {  # blocks of each stage, convolutions of one
    ((2, 2, 2, 2), 2): "resnet18",
    ((3, 4, 6, 3), 2): "resnet34",
    ((3, 4, 6, 3), 3): "resnet50",
    ((3, 4, 23, 3), 3): "resnet101",
}
RENAMES = (
    (r"backbone\.body\.(.+)", r"trunk.\1"),
    # before torchvision 0.13 without the second number
    (
        r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)(?:\.0)?\.(\w+)",
        r"pyramid.fpn.\1_blocks.\2.0.\3",
    ),
    (r"backbone\.fpn\.extra_blocks\.p6\.(\w+)", r"pyramid.coarser.0.\1"),
    (r"backbone\.fpn\.extra_blocks\.p7\.(\w+)", r"pyramid.coarser.1.\1"),
    (r"head\.(\w+)_head\.(?:cls_logits|bbox_reg)\.(\w+)", r"\1.output.\2"),
    (r"head\.(\w+)_head\.conv\.(\d+)\.(\w+)", r"\1.tower.\2.\3"),
)
TOWER = r"head\.(\w+)_head\.conv\.(\d+)\.(\d+)\.(\w+)"


@dataclass(frozen=True)
class StockNetwork:
    """A network of torchvision's kind.

    Args:
        tensors: Its parameters and buffers under torchvision's names.
        prefix: What stood before the names.
        version: torchvision's: 1, or 2 with group norm.
        outputs: Outputs of the classification head for each anchor.
        trunk_was_frozen: Whether the batch norms kept no count, as frozen ones do not.
    """

    tensors: Mapping[str, Tensor]
    prefix: str
    version: int
    outputs: int
    trunk_was_frozen: bool


def recognise(tensors: Mapping[str, Tensor], source: Path) -> StockNetwork:
    """Find a RetinaNet in a state dict.

    Args:
        tensors: Parameters and buffers by name, perhaps all under a prefix such as ``model.``.
        source: Named in errors.

    Raises:
        ModelFileError: It holds none that torchvision would build.
    """
    heads = sorted((key for key in tensors if key.endswith(LOGITS)), key=len)
    if not heads:
        raise ModelFileError(_unknown(tensors, source, missing=LOGITS))
    prefix = heads[0].removesuffix(LOGITS)
    own = {key.removeprefix(prefix): v for key, v in tensors.items() if key.startswith(prefix)}
    for needed in (STEM, P6, BOXES):
        if needed not in own or own[needed].ndim != len("OIHW"):
            raise ModelFileError(_unknown(tensors, source, missing=prefix + needed))
    anchors = len(own[BOXES]) // BOX_VALUES
    if anchors != ANCHORS_PER_CELL:
        raise ModelFileError(
            f"{source}: its head has {anchors} anchors per cell; expected torchvision's "
            f"{ANCHORS_PER_CELL} (three sizes, three ratios)"
        )
    return StockNetwork(
        tensors=own,
        prefix=prefix,
        version=2 if NORMED in own else 1,
        outputs=len(own[LOGITS]) // anchors,
        trunk_was_frozen=COUNTED not in own,
    )


def configure(
    stock: StockNetwork,
    source: Path,
    *,
    norm_eps: float,
    anchors_px: Sequence[float] = PAPER_ANCHORS_PX,
) -> NetworkConfig:
    """How the network is built.

    Args:
        stock: The network.
        source: Named in errors.
        norm_eps: Added to the variances of the batch norms.
        anchors_px: Smallest anchor size of each of its five levels.

    Raises:
        ModelFileError: Its trunk is none that is known.
        InputError: The anchor sizes do not fit its levels.
    """
    preset = network_config("torchvision" if stock.version == 1 else "torchvision-v2")
    width = stock.tensors[P6].shape
    if len(anchors_px) != len(preset.strides) or min(anchors_px) < 1:
        raise InputError(
            f"--anchor-sizes takes {len(preset.strides)} sizes of at least 1 px, one for each "
            f"level; found {', '.join(f'{size:g}' for size in anchors_px) or 'none'}"
        )
    changes = {
        "backbone": _backbone(stock, source),
        "fpn_channels": width[0],
        "coarser_from": "pyramid" if width[1] == width[0] else "trunk",
        "norm_eps": norm_eps,
        "anchor_sizes_px": tuple(whole_octave(size) for size in anchors_px),
    }
    return preset.model_copy(update=changes)


def translate(
    stock: StockNetwork, config: NetworkConfig, outputs: Sequence[int], source: Path
) -> dict[str, Tensor]:
    """The parameters under our names, in the order of our anchors, for some of the classes.

    Args:
        stock: The network.
        config: How it is built.
        outputs: The outputs that are classes, in the order of the class list; others are dropped.
        source: Named in errors.

    Returns:
        ``float32`` tensors that ``RetinaNet(config, len(outputs))`` takes as its state.

    Raises:
        ModelFileError: Parameters are missing, of other shapes, or no numbers.
    """
    state = {
        _renamed(key, stock.version): value.float()
        for key, value in stock.tensors.items()
        if not key.endswith("num_batches_tracked")
    }
    for kind in ("weight", "bias"):
        for head, per_anchor in (("classification", stock.outputs), ("regression", BOX_VALUES)):
            kept = outputs if head == "classification" else range(BOX_VALUES)
            key = f"{head}.output.{kind}"
            if key in state and len(state[key]) == ANCHORS_PER_CELL * per_anchor:
                state[key] = _reordered(state[key], len(config.anchor_ratios), kept)
    _check(state, config, len(outputs), source)
    return state


def _unknown(tensors: Mapping[str, Tensor], source: Path, *, missing: str) -> str:
    some = ", ".join(list(tensors)[:3])
    return (
        f"{source}: not a RetinaNet of torchvision or DeepForest: {missing} is missing; found "
        f"{len(tensors)} tensors such as {some}; expected the state dict of "
        f"retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2 or a DeepForest model"
    )


def _backbone(stock: StockNetwork, source: Path) -> str:
    names = "\n".join(stock.tensors)
    blocks = tuple(
        len(set(re.findall(rf"^backbone\.body\.layer{i}\.(\d+)\.", names, re.MULTILINE)))
        for i in range(1, 5)
    )
    convs = 3 if "backbone.body.layer1.0.conv3.weight" in stock.tensors else 2
    if (blocks, convs) not in BACKBONES:
        raise ModelFileError(
            f"{source}: its trunk has stages of {', '.join(map(str, blocks))} blocks of {convs} "
            f"convolutions; expected one of {', '.join(BACKBONES.values())}"
        )
    return BACKBONES[blocks, convs]


def _renamed(key: str, version: int) -> str:
    match = re.fullmatch(TOWER, key)
    if match is not None:  # convolution, perhaps norm, ReLU: one after the other in ours
        index = int(match[2]) * (version + 1) + int(match[3])
        return f"{match[1]}.tower.{index}.{match[4]}"
    for pattern, replacement in RENAMES:
        if re.fullmatch(pattern, key):
            return re.sub(pattern, replacement, key)
    return key


def _reordered(values: Tensor, ratios: int, kept: Sequence[int]) -> Tensor:
    """Output channels by size, then ratio, as ours, and not by ratio, then size."""
    by_anchor = values.reshape(ratios, ANCHORS_PER_CELL // ratios, -1, *values.shape[1:])
    return by_anchor.transpose(0, 1)[:, :, list(kept)].flatten(0, 2).contiguous()


def _check(state: Mapping[str, Tensor], config: NetworkConfig, classes: int, source: Path) -> None:
    with torch.device("meta"):  # names and shapes only
        wanted = RetinaNet(config, classes).state_dict()
    wrong = sorted(
        {key for key in wanted if key not in state or state[key].shape != wanted[key].shape}
        | (state.keys() - wanted.keys())
    )
    if wrong:
        raise ModelFileError(
            f"{source}: its parameters are not those of a {config.backbone} RetinaNet of "
            f"torchvision; {len(wrong)} are missing, too many or of another shape, first {wrong[0]}"
        )
    if not all(value.isfinite().all() for value in state.values()):
        raise ModelFileError(f"{source}: some of its weights are not numbers")
