"""Memory that a network takes while it runs."""

from __future__ import annotations

from geodetect.model.card import NetworkConfig

# Measured on tiles of 512 to 1536 px in single precision, OpenVINO: 151 bytes per pixel with the
# built-in model on a resnet18, 275 with torchvision's RetinaNet on a resnet50; PyTorch takes less.
BYTES_PER_PX, BOTTLENECK_BYTES_PER_PX = 160, 288


def network_bytes_per_px(config: NetworkConfig | None, precision: str) -> int:
    """About how much memory an image takes while a network runs, for each pixel of its input.

    Args:
        config: How the network is built.
        precision: What it computes in: ``fp32``, or half of that and less.
    """
    basic = config is not None and config.backbone in ("resnet18", "resnet34")
    single = BYTES_PER_PX if basic else BOTTLENECK_BYTES_PER_PX
    return single if precision == "fp32" else single // 2
