"""What learns: the network, its optimiser and the average of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from geodetect.errors import DivergenceError
from geodetect.hardware.torch_device import pick_device
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.anchors import anchors_of_levels
from geodetect.model.network.loading import normalise
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes.torch import has_bf16_units
from geodetect.training.anchors.assignment import Target
from geodetect.training.data.chip_sampler import Chip
from geodetect.training.distributed import ALONE, Processes
from geodetect.training.losses import retinanet_loss

TRUNK_LR_SHARE = 0.25
WEIGHT_DECAY = 0.02
GRADIENT_NORM = 5.0
AVERAGE_DECAY = 0.998
FROZEN = ("trunk.conv1", "trunk.layer1")  # general edges and colours: nothing to gain


@dataclass(frozen=True)
class Losses:
    """What one step cost.

    Args:
        classes: Loss of the classes, per positive anchor.
        boxes: Weighted loss of the boxes, per positive anchor.
    """

    classes: float
    boxes: float

    @property
    def total(self) -> float:
        """What the optimiser lowers."""
        return self.classes + self.boxes


class Learner:
    """A network that learns, step by step.

    Args:
        network: Trained in place.
        card: Its card: normalisation.
        device: See ``pick_device``.
        lr: Peak learning rate of the heads; the trunk learns at a quarter of it.
        chip_px: Side of the chips.
        assignment: Which anchors answer for which object, a name in ``ASSIGNMENTS``.
        processes: Those that make each step together; all must start with the same network.
        in_bf16: Compute steps in bf16; weights and their sums are in single precision anyway.
            None: where the device has units for it.
    """

    def __init__(
        self,
        network: RetinaNet,
        card: ModelCard,
        *,
        device: str,
        lr: float,
        chip_px: int,
        assignment: str,
        processes: Processes = ALONE,
        in_bf16: bool | None = None,
    ) -> None:
        self.network = network
        self.card = card
        self.lr = lr
        self.device = pick_device(device)
        self.steps = 0
        self._in_bf16 = has_bf16_units(self.device) if in_bf16 is None else in_bf16
        self._processes = processes
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(not name.startswith(FROZEN))
        self._optimiser = torch.optim.AdamW(self._groups(), weight_decay=WEIGHT_DECAY)
        self._average = AveragedModel(network, multi_avg_fn=_move_average)
        levels = anchors_of_levels(network.config, chip_px, chip_px)
        self._levels = [torch.from_numpy(anchors).to(self.device) for anchors in levels]
        self._assignment = assignment
        network.train()

    @property
    def averaged(self) -> RetinaNet:
        """The network with the exponential moving average of its weights."""
        module = self._average.module
        assert isinstance(module, RetinaNet)
        return module

    def weights(self) -> Weights:
        """The averaged weights in half precision: half the file, no measurable difference."""
        return {
            key: value.detach().cpu().contiguous().numpy().astype(np.float16)
            for key, value in self.averaged.state_dict().items()
        }

    def learn(self, chips: list[Chip], rate: float) -> Losses:
        """One step of the optimiser.

        Args:
            chips: A batch, or this process's share of it.
            rate: Learning rate over its peak.

        Raises:
            DivergenceError: Loss or gradient is no number; the weights stay as they were.
            LostProcessError: Another process of the training is gone.
        """
        images, targets = self._to_device(chips)
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak_lr"] * rate
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._in_bf16):
            logits, deltas = self.network(images)
        class_loss, box_loss = retinanet_loss(
            logits.float(),
            deltas.float(),
            targets,
            levels=self._levels,
            assignment=self._assignment,
            processes=self._processes,
        )
        self._optimiser.zero_grad(set_to_none=True)
        (class_loss + box_loss).backward()  # type: ignore[no-untyped-call]
        losses = torch.stack([class_loss.detach(), box_loss.detach()])
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        self._processes.add_up([*gradients, losses])
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        if not torch.isfinite(losses.sum() + norm):
            raise DivergenceError(
                f"the loss is no longer a number at step {self.steps}; lower the learning rate "
                f"with --lr (now {self.lr:g})"
            )
        self._optimiser.step()
        self._average.update_parameters(self.network)
        self.steps += 1
        return Losses(*losses.tolist())

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "steps": self.steps,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a ``state``.

        Raises:
            RuntimeError: It is of another network.
            ValueError: Likewise.
        """
        self.network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.steps = state["steps"]

    def _groups(self) -> list[dict[str, Any]]:
        """Parameter groups: a slower trunk, and no weight decay on biases and norms."""
        groups = []
        for is_trunk in (True, False):
            for is_weight in (True, False):
                chosen = [
                    p
                    for name, p in self.network.named_parameters()
                    if p.requires_grad
                    and name.startswith("trunk.") == is_trunk
                    and (p.ndim > 1) == is_weight
                ]
                lr = self.lr * (TRUNK_LR_SHARE if is_trunk else 1.0)
                options = {} if is_weight else {"weight_decay": 0.0}
                if chosen:
                    groups.append({"params": chosen, "lr": lr, "peak_lr": lr, **options})
        return groups

    def _to_device(self, chips: list[Chip]) -> tuple[Tensor, list[Target]]:
        pixels = torch.from_numpy(np.stack([chip.image for chip in chips])).to(self.device)
        valid = torch.from_numpy(np.stack([chip.valid for chip in chips])).to(self.device)
        images = normalise(pixels, valid, self.card)
        return images, [chip.target.to(self.device) for chip in chips]


@torch.no_grad()
def _move_average(averaged: Any, current: Any, steps: Tensor | int) -> None:
    """Exponential moving average; it forgets faster in the beginning, when it has little to say."""
    decay = min(AVERAGE_DECAY, (1 + int(steps)) / (10 + int(steps)))
    torch._foreach_lerp_(list(averaged), list(current), 1 - decay)
