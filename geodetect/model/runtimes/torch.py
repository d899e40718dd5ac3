"""Networks run by PyTorch, and what comes before the network."""

from __future__ import annotations

import platform
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodetect.errors import GeodetectWarning, InputError, ModelFileError, OutOfMemoryError
from geodetect.hardware.cpu import processor, usable_cores
from geodetect.hardware.memory import is_shortage
from geodetect.hardware.torch_device import pick_device
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.backbones import fold_norms
from geodetect.model.network.input_size import fit_input
from geodetect.model.network.memory_use import network_bytes_per_px
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes.int8 import without_int8
from geodetect.model.runtimes.open import Output, pick_precision
from geodetect.types import BoolArray, UInt8Array

ACCELERATOR_BATCH = 4  # where its memory is not known
MOST_AT_ONCE = 32
# Features that live at the same time: about four maps of 16 values per pixel of the input (64
# channels at stride 2, and 256 at stride 4 in a ResNet-50) in single precision, and as much again.
BYTES_PER_PX = 512
NAN_IN_FP16 = "GTX 16"  # pytorch#58123
_ONE_AT_A_TIME = threading.Lock()  # MPS crashes where two threads use it, pytorch#197805
HALF_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


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


def load_network(card: ModelCard, weights: Weights) -> RetinaNet:
    """The network of a card with its weights in single precision, for inference only.

    Raises:
        ModelFileError: The card describes no network, or the weights do not fit it.
    """
    if card.network is None:
        raise ModelFileError(f"model {card.name}: its card describes no network")
    with torch.device("meta"):  # no random numbers that would be replaced at once
        network = RetinaNet(card.network, len(card.classes))
    own = without_int8(weights)
    state = {key: torch.from_numpy(np.array(value)).float() for key, value in own.items()}
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ModelFileError(f"model {card.name}: weights and card do not agree") from error
    fold_norms(network.trunk)
    return network.eval()


class TorchRuntime:
    """A network run by PyTorch.

    On a processor images are run one by one: results do not depend on the batch, and nothing is
    slower for it. ``--precision fp32`` on CUDA turns TF32 off for the whole process.

    Args:
        card: Its card.
        weights: Arrays by parameter name.
        device: See ``pick_device``.
        precision: ``auto``, ``fp32``, ``bf16``, ``fp16``.

    Raises:
        ModelFileError: The weights do not fit the card.
        InputError: There is no such device or precision here.
    """

    def __init__(
        self, card: ModelCard, weights: Weights, device: str = "auto", *, precision: str = "auto"
    ) -> None:
        self.card = card
        self.device = pick_device(device)
        self.precision = pick_precision(
            precision, _torch_precisions(self.device), where=f"torch on {self.device}"
        )
        if self.device.type == "cpu":  # PyTorch does not see the quota of a container
            torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
        if self.device.type == "cuda" and precision == "fp32":  # asked for: TF32 has only 10 bits
            torch.backends.cudnn.allow_tf32 = False
        self._at_once = 1 if self.device.type == "cpu" else MOST_AT_ONCE
        self._alone: AbstractContextManager[Any] = (
            _ONE_AT_A_TIME if self.device.type == "mps" else nullcontext()
        )
        network = load_network(card, weights)
        self._network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def title(self) -> str:
        """See ``Runtime``."""
        return f"PyTorch {self.precision} on {self.device}"

    @property
    def identity(self) -> str:
        """See ``Runtime``. On processors sums are split among threads, and so rounded."""
        if self.device.type == "cpu":
            where = f"{torch.get_num_threads()} threads, {processor()}"
        elif self.device.type == "cuda":
            cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
            where = f"{torch.cuda.get_device_name(self.device)}, cuDNN {cudnn}"
        else:
            where = platform.machine()
        return f"PyTorch {self.precision} on {self.device.type}, {where}, torch {torch.__version__}"

    @property
    def streams(self) -> int:
        """See ``Runtime``: CUDA works on one batch while another one is unpacked."""
        return 2 if self.device.type == "cuda" else 1

    @property
    def batch_size(self) -> int:
        """See ``Runtime``: as many as fit into half of an accelerator's memory.

        Not of what is free, which differs from run to run: a run that goes on must make the same.
        """
        if self.device.type == "cpu":
            return 1
        if self.device.type != "cuda":
            return ACCELERATOR_BATCH
        memory = torch.cuda.get_device_properties(self.device).total_memory
        side = self.card.tile_px * self.card.input_scale
        fitting = int(memory / 2 / self.streams / (side**2 * BYTES_PER_PX))
        return min(MOST_AT_ONCE, max(1, fitting))

    @property
    def depends_on_batch(self) -> bool:
        """See ``Runtime``: libraries of accelerators choose their ways by the shape of a batch."""
        return self.device.type != "cpu"

    @property
    def bytes_per_px(self) -> int:
        """See ``Runtime``."""
        if self.device.type != "cpu":
            return 0
        return network_bytes_per_px(self.card.network, self.precision)

    @torch.inference_mode()
    def forward(self, pixels: UInt8Array, valid: BoolArray) -> Output:
        """See ``Runtime``."""
        parts: list[Output] = []
        done = 0
        while done < len(pixels):
            rows = slice(done, done + self._at_once)
            part = self._fitting(pixels[rows], valid[rows])
            parts.append(part)
            done += len(part[0])
        logits, deltas, sizes = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(deltas), sizes[0]

    def _fitting(self, pixels: UInt8Array, valid: BoolArray) -> Output:
        """Run a batch, or the first half of it where the device has too little memory for all."""
        while True:
            try:
                return self._run(pixels, valid)
            except RuntimeError as error:
                if self.device.type == "cpu" or not is_shortage(error):
                    raise
                if len(pixels) == 1:
                    height, width = valid.shape[1:]
                    raise OutOfMemoryError(
                        f"{self.device} has too little memory for one tile of {width} x {height} "
                        f"px; make tiles smaller with --tile-size, or run on the processor with "
                        f"--device cpu"
                    ) from error
            fewer = (len(pixels) + 1) // 2  # outside the handler, which holds memory
            pixels, valid = pixels[:fewer], valid[:fewer]
            if fewer < self._at_once:  # for the batches to come
                if self._at_once == MOST_AT_ONCE:
                    warnings.warn(
                        f"{self.device} has too little memory for {2 * fewer} tiles at once and "
                        f"gets fewer from now on; --batch-size says so from the start",
                        GeodetectWarning,
                        stacklevel=2,
                    )
                self._at_once = fewer

    def _run(self, pixels: UInt8Array, valid: BoolArray) -> Output:
        with self._alone:
            return self._run_network(pixels, valid)

    def _run_network(self, pixels: UInt8Array, valid: BoolArray) -> Output:
        images = normalise(
            torch.from_numpy(pixels).to(self.device),
            torch.from_numpy(valid).to(self.device),
            self.card,
        )
        images = fit_input(images, self.card)
        half = HALF_PRECISIONS.get(self.precision)
        with torch.autocast(self.device.type, dtype=half, enabled=half is not None):
            logits, deltas = self._network(images)
        if self.device.type != "cpu" and not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"{self.title} gives values that are no numbers; compute with --precision fp32, or "
                f"on the processor with --device cpu"
            )
        found = (one.cpu().float().numpy() for one in (logits, deltas))
        return *found, (images.shape[2], images.shape[3])


def _torch_precisions(device: torch.device) -> list[str]:
    """What a device computes in as fast as it can, best first."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        if has_bf16:
            return ["bf16", "fp16", "fp32"]
        fast = torch.cuda.get_device_capability(device) >= (7, 0)  # tensor cores, but for these:
        wrong = NAN_IN_FP16 in torch.cuda.get_device_name(device)
        return ["fp16", "fp32"] if fast and not wrong else ["fp32", "fp16"]
    if device.type == "mps":
        return ["fp32", "fp16"]
    has_mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    has_bf16 = has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return ["fp32", "bf16"] if has_bf16 else ["fp32"]


def training_runtime(card: ModelCard, weights: Weights, device: str) -> TorchRuntime:
    """A network that is still being trained, in bf16 where the processor computes in it.

    There it is what ``predict`` does by itself, and several times as fast as single precision.

    Args:
        card: Its card.
        weights: Arrays by parameter name.
        device: See ``pick_device``.

    Raises:
        ModelFileError: The weights do not fit the card.
        InputError: There is no such device.
    """
    chosen = pick_device(device)
    precision = "bf16" if computes_in_bf16(chosen) else "auto"
    return TorchRuntime(card, weights, str(chosen), precision=precision)


def computes_in_bf16(device: torch.device) -> bool:
    """Whether a device has units for bf16.

    Others take bf16 apart, which on a processor takes four times as long as single precision.
    """
    known = "bf16" in _torch_precisions(device)
    if device.type != "cpu":
        return known
    cpu = torch.cpu
    return known and bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
