"""Networks run by PyTorch."""

from __future__ import annotations

import platform
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from geodetect.errors import GeodetectWarning, InputError, OutOfMemoryError
from geodetect.hardware.cpu import cpu_model, usable_cores
from geodetect.hardware.memory import is_out_of_memory
from geodetect.hardware.torch_device import pick_device
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.input_size import resize_and_pad
from geodetect.model.network.loading import load_network, normalise
from geodetect.model.runtimes.base import NetworkOutput, network_bytes_per_px, pick_precision
from geodetect.model.runtimes.stored_networks import network_parameters
from geodetect.types import BoolArray, Float32Array, UInt8Array

MPS_BATCH = 4  # PyTorch does not say how much memory it may use
MAX_BATCH = 32
# Features that live at the same time: about four maps of 16 values per pixel of the input (64
# channels at stride 2, and 256 at stride 4 in a ResNet-50) in single precision, and as much again.
BYTES_PER_PX = 512
NAN_IN_FP16 = "GTX 16"  # pytorch#58123
HALF_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}
_MPS_LOCK = threading.Lock()  # MPS crashes where two threads use it, pytorch#197805


class TorchRuntime:
    """A network run by PyTorch.

    On a processor images are run one by one: results do not depend on the batch, and it is no
    slower. On CUDA, ``precision="fp32"`` turns TF32 off for the whole process.

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        device: See ``pick_device``.
        precision: ``auto``, ``fp32``, ``bf16``, ``fp16``.
        outlines: Run the outline head as well, which the network must have.

    Raises:
        ModelFileError: The weights do not fit the card.
        InputError: The device or precision is not available.
    """

    def __init__(
        self,
        card: ModelCard,
        weights: Weights,
        device: str = "auto",
        *,
        precision: str = "auto",
        outlines: bool = False,
    ) -> None:
        self.card = card
        self.has_outlines = outlines
        self.device = pick_device(device)
        self.precision = pick_precision(
            precision, device_precisions(self.device), runtime=f"torch on {self.device}"
        )
        self.title = f"PyTorch {self.precision} on {self.device}"
        self.streams = self.batch_size = 1
        self.depends_on_batch = True  # accelerators choose their kernels by the shape of a batch
        self.bytes_per_px = 0
        self._lock: AbstractContextManager[Any] = nullcontext()
        self._max_batch = MAX_BATCH
        if self.device.type == "cpu":
            # PyTorch does not see the CPU quota of a container
            torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
            # the number of threads changes the order of sums, and so rounding
            hardware = f"{torch.get_num_threads()} threads, {cpu_model()}"
            self.depends_on_batch = False
            self.bytes_per_px = network_bytes_per_px(card.network, self.precision)
            self._max_batch = 1
        elif self.device.type == "cuda":
            if precision == "fp32":  # TF32 has a mantissa of 10 bits
                torch.backends.cudnn.allow_tf32 = False
            cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
            hardware = f"{torch.cuda.get_device_name(self.device)}, cuDNN {cudnn}"
            self.streams = 2  # one batch is run while another one is copied
            # half of the total, not of the free memory, which differs from run to run: a resumed
            # run needs the same batches
            memory = torch.cuda.get_device_properties(self.device).total_memory / 2
            side = card.tile_px * card.input_scale
            fitting = int(memory / self.streams / (side**2 * BYTES_PER_PX))
            self.batch_size = min(MAX_BATCH, max(1, fitting))
        else:
            hardware = platform.machine()
            self.batch_size = MPS_BATCH
            self._lock = _MPS_LOCK
        library = f"PyTorch {self.precision} on {self.device.type}"
        self.identity = f"{library}, {hardware}, torch {torch.__version__}"
        network = load_network(card, network_parameters(weights))
        self._network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def forward(self, pixels: UInt8Array, valid: BoolArray) -> NetworkOutput:
        """See ``Runtime``."""
        outputs: list[NetworkOutput] = []
        start = 0
        while start < len(pixels):
            rows = slice(start, start + self._max_batch)
            outputs.append(self._run_fitting_part(pixels[rows], valid[rows]))
            start += len(outputs[-1][0])
        features = None
        if self.has_outlines:
            features = np.concatenate([x.features for x in outputs if x.features is not None])
        return NetworkOutput(
            np.concatenate([output.logits for output in outputs]),
            np.concatenate([output.deltas for output in outputs]),
            outputs[0].size,
            features,
        )

    @torch.inference_mode()
    def draw_masks(self, features: Float32Array, boxes: Float32Array) -> Float32Array:
        """See ``Runtime``."""
        dtype = HALF_PRECISIONS.get(self.precision)
        with self._lock, torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            logits = self._network.outline(
                torch.from_numpy(features[None]).to(self.device),
                torch.from_numpy(boxes).to(self.device),
            )
        return np.asarray(logits.float().sigmoid().cpu().numpy())

    def _run_fitting_part(self, pixels: UInt8Array, valid: BoolArray) -> NetworkOutput:
        """Run as much of a batch as the device has memory for: all, its first half, quarter, ..."""
        while True:
            try:
                with self._lock:
                    return self._run(pixels, valid)
            except RuntimeError as error:
                if self.device.type == "cpu" or not is_out_of_memory(error):
                    raise
                if len(pixels) == 1:
                    height, width = valid.shape[1:]
                    raise OutOfMemoryError(
                        f"{self.device} has too little memory for one tile of {width} x {height} "
                        f"px; make tiles smaller with `tile_size`, or run on the processor: set "
                        f"`device` to cpu"
                    ) from error
            half = (len(pixels) + 1) // 2  # after the handler, whose traceback holds memory
            pixels, valid = pixels[:half], valid[:half]
            if half < self._max_batch:
                if self._max_batch == MAX_BATCH:
                    warnings.warn(
                        f"{self.device} has too little memory for {2 * half} tiles at once, so "
                        f"batches are smaller from now on; set a smaller `batch_size`",
                        GeodetectWarning,
                        stacklevel=2,
                    )
                self._max_batch = half

    def _run(self, pixels: UInt8Array, valid: BoolArray) -> NetworkOutput:
        device = self.device
        images = normalise(
            torch.from_numpy(pixels).to(device), torch.from_numpy(valid).to(device), self.card
        )
        images = resize_and_pad(images, self.card)
        dtype = HALF_PRECISIONS.get(self.precision)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            logits, deltas, *features = self._network(images, with_outlines=self.has_outlines)
        if device.type != "cpu" and not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"{self.title} gives values that are not numbers; set `precision` to fp32, or "
                f"`device` to cpu"
            )
        height, width = images.shape[2:]
        logits, deltas, *features = (x.cpu().float().numpy() for x in (logits, deltas, *features))
        return NetworkOutput(logits, deltas, (height, width), *features)


def device_precisions(device: torch.device) -> list[str]:
    """Return the precisions of a device, fastest first."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        if has_bf16:
            return ["bf16", "fp16", "fp32"]
        has_tensor_cores = torch.cuda.get_device_capability(device) >= (7, 0)
        is_faulty = NAN_IN_FP16 in torch.cuda.get_device_name(device)
        return ["fp16", "fp32"] if has_tensor_cores and not is_faulty else ["fp32", "fp16"]
    if device.type == "mps":
        return ["fp32", "fp16"]
    has_mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    has_bf16 = has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return ["fp32", "bf16"] if has_bf16 else ["fp32"]


def training_runtime(
    card: ModelCard, weights: Weights, device: str, *, outlines: bool = False
) -> TorchRuntime:
    """Return a runtime for validation during training: bf16 if the device has units for it.

    That is the precision that ``predict`` takes there, and several times as fast as fp32.

    Raises:
        ModelFileError: The weights do not fit the card.
        InputError: The device is not available.
    """
    torch_device = pick_device(device)
    precision = "bf16" if has_bf16_units(torch_device) else "auto"
    return TorchRuntime(card, weights, str(torch_device), precision=precision, outlines=outlines)


def has_bf16_units(device: torch.device) -> bool:
    """Return True if a device computes in bf16 in hardware.

    Processors without such units emulate it, which takes four times as long as fp32.
    """
    if "bf16" not in device_precisions(device):
        return False
    if device.type != "cpu":
        return True
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
