"""The training loop: optimiser, schedule, averaged weights, checkpoints."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from geodetect.errors import InputError, OutputError
from geodetect.learning.chips import Chip, ChipSampler
from geodetect.learning.losses import Target, retinanet_loss
from geodetect.model.anchors import anchors_of_image
from geodetect.model.card import ModelCard
from geodetect.model.device import pick_device
from geodetect.model.retinanet import RetinaNet
from geodetect.model.runtimes.pytorch import normalise
from geodetect.progress import Progress
from geodetect.settings import TrainSettings

WARM_UP_SHARE = 0.03
FINAL_LR_SHARE = 0.01
TRUNK_LR_SHARE = 0.25
WEIGHT_DECAY = 0.02
GRADIENT_NORM = 5.0
AVERAGE_DECAY = 0.998
FROZEN = ("trunk.conv1", "trunk.layer1")  # general edges and colours: nothing to gain
PREFETCHED_BATCHES = 4
CHECKPOINT_SECONDS = 60.0


@dataclass
class Loop:
    """A training in progress.

    Args:
        network: Trained in place.
        card: Its card: normalisation.
        sampler: Where chips come from.
        settings: Steps or minutes, batch size, learning rate, device.
        checkpoint: File that the state is written to, about once a minute; None: nowhere.
    """

    network: RetinaNet
    card: ModelCard
    sampler: ChipSampler
    settings: TrainSettings
    checkpoint: Path | None = None
    step: int = 0
    seconds: float = 0.0
    _loss: float = field(default=math.nan, init=False)

    def __post_init__(self) -> None:
        self._device = pick_device(self.settings.device)
        self.network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not name.startswith(FROZEN))
        self._optimiser = torch.optim.AdamW(self._groups(), weight_decay=WEIGHT_DECAY)
        self._average = AveragedModel(self.network, multi_avg_fn=_move_average)
        size = self.settings.chip_px
        self._anchors = anchors_of_image(self.network.config, size, size).to(self._device)

    @property
    def averaged(self) -> RetinaNet:
        """The network with the exponential moving average of its weights."""
        module = self._average.module
        assert isinstance(module, RetinaNet)
        return module

    def run(self, progress: Progress) -> None:
        """Train until steps or minutes are over.

        Raises:
            InputError: The loss is no longer a number.
            OutputError: The checkpoint cannot be written.
        """
        self.network.train()
        saved = started = time.monotonic() - self.seconds
        for batch in self._batches():
            if self._share >= 1:
                break
            self._one_step(batch)
            self.seconds = time.monotonic() - started
            progress(self._done, self._total, loss=self._loss, step=self.step)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Write the checkpoint; the one before stays whole until the new one is."""
        if self.checkpoint is None:
            return
        temporary = self.checkpoint.with_name(self.checkpoint.name + ".tmp")
        state = {
            "network": self.network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "settings": self.settings.model_dump_json(),
        }
        try:
            torch.save(state, temporary)
            temporary.replace(self.checkpoint)
        except (OSError, RuntimeError) as error:
            raise OutputError(
                f"{self.checkpoint}: the checkpoint cannot be written ({error}); the one before "
                f"is unharmed, go on from it with --resume"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the checkpoint of a training that is finished."""
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)

    def resume(self) -> None:
        """Go on from the checkpoint.

        Raises:
            InputError: There is none, or it is damaged or from a training with other settings.
        """
        path = self.checkpoint
        if path is None or not path.is_file():
            raise InputError(f"--resume: there is no checkpoint {path}; start without --resume")
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            settings, step, seconds = state["settings"], state["step"], state["seconds"]
        except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
            raise InputError(
                f"--resume: {path} cannot be read ({str(error).partition('. ')[0]}); start without "
                f"--resume"
            ) from error
        if settings != self.settings.model_dump_json():
            raise InputError(f"--resume: {path} is from a training with other settings")
        try:
            self.network.load_state_dict(state["network"])
            self._average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"--resume: {path} is of another network; were the classes of the labels changed?"
            ) from error
        self.step, self.seconds = step, seconds

    @property
    def _share(self) -> float:
        """How much of the training is done, 0..1."""
        return min(1.0, self._done / self._total)

    @property
    def _done(self) -> int:
        return self.step if self.settings.minutes is None else round(self.seconds)

    @property
    def _total(self) -> int:
        minutes = self.settings.minutes
        return self.settings.steps if minutes is None else max(1, round(minutes * 60))

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
                lr = self.settings.lr * (TRUNK_LR_SHARE if is_trunk else 1.0)
                options = {} if is_weight else {"weight_decay": 0.0}
                if chosen:
                    groups.append({"params": chosen, "lr": lr, "peak_lr": lr, **options})
        return groups

    def _one_step(self, chips: list[Chip]) -> None:
        images, targets = self._to_device(chips)
        rate = _schedule(self._share)
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak_lr"] * rate
        with torch.autocast(self._device.type, dtype=torch.bfloat16):
            logits, deltas = self.network(images)
        class_loss, box_loss = retinanet_loss(
            logits.float(), deltas.float(), targets, anchors=self._anchors
        )
        loss = class_loss + box_loss
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        if not torch.isfinite(loss + norm):
            raise InputError(
                f"the loss is no longer a number at step {self.step}; lower the learning rate with "
                f"--lr (now {self.settings.lr:g}); the last checkpoint is unharmed"
            )
        self._optimiser.step()
        self._average.update_parameters(self.network)
        self.step += 1
        last = loss.item()
        self._loss = last if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * last

    def _to_device(self, chips: list[Chip]) -> tuple[Tensor, list[Target]]:
        pixels = torch.from_numpy(np.stack([chip.image for chip in chips])).to(self._device)
        valid = torch.from_numpy(np.stack([chip.valid for chip in chips])).to(self._device)
        images = normalise(pixels, valid, self.card)
        return images, [chip.target.to(self._device) for chip in chips]

    def _batches(self) -> Iterator[list[Chip]]:
        """Batches from here on, drawn ahead by another thread."""
        size = self.settings.batch_size

        def draw(step: int) -> list[Chip]:
            return [self.sampler[step * size + i] for i in range(size)]

        with ThreadPoolExecutor(1) as pool:
            ahead: list[Future[list[Chip]]] = [
                pool.submit(draw, self.step + i) for i in range(PREFETCHED_BATCHES)
            ]
            following = self.step + PREFETCHED_BATCHES
            try:
                while True:
                    yield ahead.pop(0).result()
                    ahead.append(pool.submit(draw, following))
                    following += 1
            finally:
                for future in ahead:
                    future.cancel()


@torch.no_grad()
def _move_average(averaged: Any, current: Any, steps: Tensor | int) -> None:
    """Exponential moving average; it forgets faster in the beginning, when it has little to say."""
    decay = min(AVERAGE_DECAY, (1 + int(steps)) / (10 + int(steps)))
    torch._foreach_lerp_(list(averaged), list(current), 1 - decay)


def _schedule(share: float) -> float:
    """Learning rate over its peak: linear warm-up, then a cosine down to a hundredth."""
    if share < WARM_UP_SHARE:
        return 0.05 + 0.95 * share / WARM_UP_SHARE
    phase = (share - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)
    return FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * (1 + math.cos(math.pi * phase)) / 2
