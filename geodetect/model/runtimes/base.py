"""Runtime protocol: pixels in, logits and box offsets out.

A runtime only runs the network. Boxes are decoded from its output by the same code for every
runtime (see ``geodetect.detection.detectors``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from geodetect.errors import InputError
from geodetect.model.card import ModelCard, NetworkConfig
from geodetect.model.network.input_size import Size
from geodetect.types import BoolArray, Float32Array, UInt8Array


class NetworkOutput(NamedTuple):
    """Output of a network for a batch.

    Args:
        logits: ``float32[B, N, classes]``.
        deltas: ``float32[B, N, 4]`` box offsets.
        size: Height and width of the network's input (see ``padded_size``), which its anchors are
            laid on.
        features: ``float32[B, H / 4, W / 4 * C]`` of the outline head; None: the runtime
            was opened without it.
    """

    logits: Float32Array
    deltas: Float32Array
    size: Size
    features: Float32Array | None = None


# Measured on tiles of 512 to 1536 px in single precision, OpenVINO: 151 bytes per pixel with the
# built-in model on a resnet18, 275 with torchvision's RetinaNet on a resnet50; PyTorch takes less.
BYTES_PER_PX, BOTTLENECK_BYTES_PER_PX = 160, 288


class Runtime(Protocol):
    """A network, ready to run. Several threads may call ``forward`` at once.

    Attributes:
        card: The model's card.
        title: Library, precision and device for display, such as ``OpenVINO bf16 on cpu``.
        identity: Text that differs between runtimes that may give different results.
        streams: Batches to run concurrently; with fewer, processor cores are idle.
        batch_size: Batch size that is fastest for images of the card's tile size.
        depends_on_batch: True if an image's result depends on the rest of its batch, if only by
            rounding.
        has_outlines: It was opened with the outline head of its network.
        bytes_per_px: Main memory in use while an image is run, in bytes per pixel of the network's
            input; 0 where the network uses the memory of an accelerator instead.
    """

    card: ModelCard
    title: str
    identity: str
    streams: int
    batch_size: int
    depends_on_batch: bool
    bytes_per_px: int
    has_outlines: bool

    def forward(self, pixels: UInt8Array, valid: BoolArray) -> NetworkOutput:
        """Run a batch.

        Args:
            pixels: ``uint8[B, C, H, W]``.
            valid: ``bool[B, H, W]``.
        """

    def draw_masks(self, features: Float32Array, boxes: Float32Array) -> Float32Array:
        """Run the outline head on boxes of one image.

        Args:
            features: ``float32[H / 4, W / 4 * C]``.
            boxes: ``float32[K, 4]`` in pixels of the network's input, widened by the margin.

        Returns:
            Probabilities ``float32[K, M, M]`` that a cell of the box shows the object.
        """


def pick_precision(precision: str, available: Sequence[str], *, runtime: str) -> str:
    """Return the requested precision if it is available; ``auto`` is the first one available.

    Args:
        precision: ``auto``, ``fp32``, ``bf16``, ``fp16`` or ``int8``.
        available: Precisions of the runtime, fastest first.
        runtime: Runtime and device, for the error message.

    Raises:
        InputError: It is not available.
    """
    if precision == "auto":
        return available[0]
    if precision not in available:
        raise InputError(
            f"`precision` {precision}: not available with {runtime}; expected auto or "
            f"{' or '.join(available)}, or another `runtime` or `device`"
        )
    return precision


def network_bytes_per_px(config: NetworkConfig | None, precision: str) -> int:
    """Return the approximate memory of a running network, in bytes per pixel of its input.

    Args:
        config: Architecture of the network; None: unknown, counted as one of the larger ones.
        precision: Precision of its features: ``fp32``, or a shorter one that takes half of that.
    """
    has_basic_blocks = config is not None and config.backbone in ("resnet18", "resnet34")
    bytes_per_px = BYTES_PER_PX if has_basic_blocks else BOTTLENECK_BYTES_PER_PX
    return bytes_per_px if precision == "fp32" else bytes_per_px // 2
