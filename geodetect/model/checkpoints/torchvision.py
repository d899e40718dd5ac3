"""RetinaNets of torchvision, and of DeepForest, which builds on them, from their state dicts.

The names and shapes of parameters state nearly all of an architecture. Missing are the anchors
(torchvision's, unless stated) and the constant of the frozen batch norms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from geodetect.errors import ModelFileError, list_names
from geodetect.model.card import NetworkConfig
from geodetect.model.network.presets import PAPER_ANCHORS_PX, network_config, whole_px_sizes
from geodetect.model.network.retinanet import RetinaNet

LOGITS = "head.classification_head.cls_logits.weight"
BOXES = "head.regression_head.bbox_reg.weight"
P6 = "backbone.fpn.extra_blocks.p6.weight"
STEM = "backbone.body.conv1.weight"
GROUP_NORM = "head.classification_head.conv.0.1.weight"  # of version 2
BATCH_COUNT = "backbone.body.bn1.num_batches_tracked"  # of a batch norm that was not frozen
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
class TorchvisionRetinaNet:
    """State dict of a RetinaNet of torchvision.

    Args:
        source: Its file, for error messages.
        tensors: Parameters and buffers by torchvision's names.
        version: Version of torchvision's architecture: 1, or 2 with group norm.
        outputs: Outputs of the classification head for each anchor.
        has_frozen_norms: True if its batch norms have no count of batches, as frozen ones.
    """

    source: Path
    tensors: Mapping[str, Tensor]
    version: int
    outputs: int
    has_frozen_norms: bool

    @classmethod
    def from_state_dict(cls, tensors: Mapping[str, Tensor], source: Path) -> TorchvisionRetinaNet:
        """Find a RetinaNet in a state dict.

        Args:
            tensors: Parameters and buffers by name, perhaps all with a prefix such as ``model.``.
            source: Its file, for error messages.

        Raises:
            ModelFileError: It holds no RetinaNet that torchvision can build.
        """
        heads = sorted((key for key in tensors if key.endswith(LOGITS)), key=len)
        prefix = heads[0].removesuffix(LOGITS) if heads else ""
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        for key in (LOGITS, STEM, P6, BOXES):
            if key not in state or state[key].ndim != len("OIHW"):
                raise ModelFileError(
                    f"{source}: not a RetinaNet of torchvision or DeepForest: {prefix + key} is "
                    f"missing; found {len(tensors)} tensors such as "
                    f"{list_names(tensors, limit=3)}; expected the state dict of "
                    f"retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2 or a DeepForest model"
                )
        anchors = len(state[BOXES]) // BOX_VALUES
        if anchors != ANCHORS_PER_CELL:
            raise ModelFileError(
                f"{source}: its head has {anchors} anchors per cell; expected torchvision's "
                f"{ANCHORS_PER_CELL} (three sizes, three ratios)"
            )
        return cls(
            source=source,
            tensors=state,
            version=2 if GROUP_NORM in state else 1,
            outputs=len(state[LOGITS]) // anchors,
            has_frozen_norms=BATCH_COUNT not in state,
        )

    def architecture(
        self, *, norm_eps: float, anchor_sizes: Sequence[float] = PAPER_ANCHORS_PX
    ) -> NetworkConfig:
        """Return the architecture.

        Args:
            norm_eps: Added to the variances of the batch norms.
            anchor_sizes: Smallest anchor size of each of the five levels.

        Raises:
            ModelFileError: The backbone is unknown.
        """
        names = "\n".join(self.tensors)
        blocks = tuple(
            len(set(re.findall(rf"^backbone\.body\.layer{i}\.(\d+)\.", names, re.MULTILINE)))
            for i in range(1, 5)
        )
        convs = 3 if "backbone.body.layer1.0.conv3.weight" in self.tensors else 2
        if (blocks, convs) not in BACKBONES:
            raise ModelFileError(
                f"{self.source}: its backbone has stages of {list_names(blocks)} blocks "
                f"of {convs} convolutions; expected one of {', '.join(BACKBONES.values())}"
            )
        preset = network_config("torchvision" if self.version == 1 else "torchvision-v2")
        channels, inputs = self.tensors[P6].shape[:2]
        changes = {
            "backbone": BACKBONES[blocks, convs],
            "fpn_channels": channels,
            "coarser_from": "pyramid" if inputs == channels else "trunk",
            "norm_eps": norm_eps,
            "anchor_sizes_px": tuple(whole_px_sizes(size) for size in anchor_sizes),
        }
        return preset.model_copy(update=changes)

    def convert_parameters(
        self, config: NetworkConfig, outputs: Sequence[int]
    ) -> dict[str, Tensor]:
        """Return the parameters by geodetect's names, in the order of its anchors.

        Args:
            config: Architecture, see ``architecture``.
            outputs: Outputs of the classification head to take, in the order of the class list.

        Returns:
            ``float32`` tensors, the state dict of ``RetinaNet(config, len(outputs))``.

        Raises:
            ModelFileError: Parameters are missing, of other shapes, or not finite.
        """
        state = {
            _rename(key, self.version): value.float()
            for key, value in self.tensors.items()
            if not key.endswith("num_batches_tracked")
        }
        ratios = len(config.anchor_ratios)
        for kind in ("weight", "bias"):
            for head, count, selection in (
                ("classification", self.outputs, outputs),
                ("regression", BOX_VALUES, range(BOX_VALUES)),
            ):
                key = f"{head}.output.{kind}"
                if key in state and len(state[key]) == ANCHORS_PER_CELL * count:
                    # torchvision's anchors are by ratio, then size; ours by size, then ratio
                    shape = (ratios, ANCHORS_PER_CELL // ratios, count, *state[key].shape[1:])
                    by_anchor = state[key].reshape(shape).transpose(0, 1)[:, :, list(selection)]
                    state[key] = by_anchor.flatten(0, 2).contiguous()
        with torch.device("meta"):  # names and shapes only
            expected = RetinaNet(config, len(outputs)).state_dict()
        shapes, expected_shapes = (
            {(key, value.shape) for key, value in tensors.items()} for tensors in (state, expected)
        )
        differing = sorted({key for key, _ in shapes ^ expected_shapes})
        if differing:
            raise ModelFileError(
                f"{self.source}: its parameters are not those of a {config.backbone} RetinaNet of "
                f"torchvision; {len(differing)} are missing, too many or of another shape, first "
                f"{differing[0]}"
            )
        if not all(value.isfinite().all() for value in state.values()):
            raise ModelFileError(f"{self.source}: some of its weights are not finite numbers")
        return state


def _rename(key: str, version: int) -> str:
    """Return geodetect's name of a parameter of torchvision."""
    match = re.fullmatch(TOWER, key)
    if match is not None:  # torchvision nests convolution, norm and ReLU, geodetect has them flat
        index = int(match[2]) * (version + 1) + int(match[3])
        return f"{match[1]}.tower.{index}.{match[4]}"
    for pattern, replacement in RENAMES:
        if re.fullmatch(pattern, key):
            return re.sub(pattern, replacement, key)
    return key
