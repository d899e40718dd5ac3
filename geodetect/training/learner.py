"""Network in training, its optimiser and the moving average of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from geodetect.errors import DivergenceError
from geodetect.hardware.torch_device import pick_device
from geodetect.model.card import ModelCard
from geodetect.model.checkpoints.initialization import BACKBONE_PREFIX
from geodetect.model.file import Weights
from geodetect.model.network.anchors import anchors_of_levels
from geodetect.model.network.loading import normalise
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes.torch import has_bf16_units
from geodetect.settings import TrainSettings
from geodetect.training.anchors.assignment import Target
from geodetect.training.data.chip_sampler import Chip
from geodetect.training.distributed import Processes
from geodetect.training.losses import outline_loss, retinanet_loss

BACKBONE_LR_FACTOR = 0.25
WEIGHT_DECAY = 0.02
GRADIENT_NORM = 5.0
AVERAGE_DECAY = 0.998
FROZEN: tuple[str, ...] = ("trunk.conv1", "trunk.layer1")  # edges and colours: nothing to gain


@dataclass(frozen=True)
class Losses:
    """Losses of a step.

    Args:
        class_loss: Focal loss of the classes, per positive anchor.
        box_loss: Weighted GIoU loss of the boxes, per positive anchor.
        outline_loss: Loss of the masks, per mask; 0 without an outline head.
    """

    class_loss: float
    box_loss: float
    outline_loss: float = 0.0

    @property
    def total(self) -> float:
        """Loss that the optimiser minimises."""
        return self.class_loss + self.box_loss + self.outline_loss


class Learner:
    """Network in training, with its optimiser (AdamW) and the moving average of its weights.

    Args:
        network: Trained in place.
        card: Card of the network, for the normalisation of chips.
        settings: Settings of the training, for the chip size and the assignment of anchors.
        lr: Peak learning rate of the heads; that of the backbone is a quarter of it.
        processes: Processes that make each step together, each on its device; their networks must
            be equal.
        in_bf16: Compute in bf16; weights and optimiser state are in single precision anyway.
            None: if the device has units for it.
    """

    def __init__(
        self,
        network: RetinaNet,
        card: ModelCard,
        settings: TrainSettings,
        *,
        lr: float,
        processes: Processes,
        in_bf16: bool | None = None,
    ) -> None:
        self.network = network
        self.card = card
        self.lr = lr
        self.processes = processes
        self.device = pick_device(processes.device)
        self.steps = 0
        self._in_bf16 = has_bf16_units(self.device) if in_bf16 is None else in_bf16
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(not name.startswith(FROZEN))
        self._optimiser = torch.optim.AdamW(self._parameter_groups())
        self._average = AveragedModel(network, multi_avg_fn=_update_average)
        levels = anchors_of_levels(network.config, settings.tile_size, settings.tile_size)
        self.levels = [torch.from_numpy(anchors).to(self.device) for anchors in levels]
        self._assignment = settings.assignment
        network.train()

    @property
    def averaged(self) -> RetinaNet:
        """Network with the exponential moving average of the weights."""
        module = self._average.module
        assert isinstance(module, RetinaNet)
        return module

    def weights(self) -> Weights:
        """Return the averaged weights in half precision: half the file, no measurable loss."""
        return {
            key: value.detach().cpu().contiguous().numpy().astype(np.float16)
            for key, value in self.averaged.state_dict().items()
        }

    def train_step(self, chips: list[Chip], lr_factor: float) -> Losses:
        """Make one step of the optimiser.

        Args:
            chips: A batch, or this process's part of it.
            lr_factor: Learning rate over its peak.

        Returns:
            Losses of the whole batch.

        Raises:
            DivergenceError: Loss or gradient is not finite; the weights stay as they were.
            LostProcessError: Another process of the training has ended.
        """
        pixels = torch.from_numpy(np.stack([chip.image for chip in chips])).to(self.device)
        valid = torch.from_numpy(np.stack([chip.valid for chip in chips])).to(self.device)
        images = normalise(pixels, valid, self.card)
        targets = [chip.target.to(self.device) for chip in chips]
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak_lr"] * lr_factor
        has_head = self.network.config.outline is not None
        with self.autocast():
            logits, deltas, *features = self.network(images, with_outlines=has_head)
        losses = torch.stack(self.detection_losses(images, logits.float(), deltas.float(), targets))
        if has_head:
            with self.autocast():
                mask_loss = self.mask_loss(images, features[0], targets)
            losses = torch.cat([losses, mask_loss[None].float()])
        self._optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        losses = losses.detach()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        self.processes.all_reduce([*gradients, losses])
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        if not torch.isfinite(losses.sum() + norm):
            raise DivergenceError(
                f"the loss is no longer a number at step {self.steps}; lower the learning rate "
                f"`lr` (now {self.lr:g})"
            )
        self._optimiser.step()
        self._average.update_parameters(self.network)
        self.steps += 1
        return Losses(*losses.tolist())

    def detection_losses(
        self, images: Tensor, logits: Tensor, deltas: Tensor, targets: list[Target]
    ) -> tuple[Tensor, Tensor]:
        """Return the class loss and the box loss of a batch, see ``retinanet_loss``.

        Args:
            images: ``float32[B, C, S, S]`` normalised chips.
            logits: ``float32[B, N, classes]`` of the network.
            deltas: ``float32[B, N, 4]``.
            targets: Ground truth of each chip.
        """
        return retinanet_loss(
            logits,
            deltas,
            targets,
            levels=self.levels,
            assignment=self._assignment,
            processes=self.processes,
        )

    def mask_loss(self, images: Tensor, features: Tensor, targets: list[Target]) -> Tensor:
        """Return the loss of the masks of a batch, see ``outline_loss``.

        Args:
            images: ``float32[B, C, S, S]`` normalised chips.
            features: ``float[B, S / 4, S / 4 * channels]`` of the network.
            targets: Ground truth of each chip.
        """
        return outline_loss(self.network.outline, features, targets, processes=self.processes)

    def autocast(self) -> torch.autocast:
        """Return the context in which networks are run: in bf16, if that is the precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._in_bf16)

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on, for a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "steps": self.steps,
            "lr": self.lr,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state``.

        Raises:
            RuntimeError: The state is of another network.
            ValueError: Likewise.
        """
        self.network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.steps, self.lr = state["steps"], state["lr"]

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Group parameters: a lower rate for the backbone, no weight decay on biases and norms."""
        groups = []
        for is_backbone, is_weight in product((True, False), repeat=2):
            parameters = [
                p
                for name, p in self.network.named_parameters()
                if p.requires_grad
                and name.startswith(BACKBONE_PREFIX) == is_backbone
                and (p.ndim > 1) == is_weight
            ]
            lr = self.lr * (BACKBONE_LR_FACTOR if is_backbone else 1.0)
            decay = WEIGHT_DECAY if is_weight else 0.0
            groups.append({"params": parameters, "lr": lr, "peak_lr": lr, "weight_decay": decay})
        return [group for group in groups if group["params"]]


@torch.no_grad()
def _update_average(averaged: Any, current: Any, steps: Tensor | int) -> None:
    """Update the exponential moving average, with a lower decay during the first steps."""
    decay = min(AVERAGE_DECAY, (1 + int(steps)) / (10 + int(steps)))
    torch._foreach_lerp_(list(averaged), list(current), 1 - decay)
