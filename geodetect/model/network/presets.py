"""Networks by name: ours, the paper's, torchvision's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from geodetect.errors import InputError
from geodetect.model.card import NetworkConfig
from geodetect.model.network.backbones import check_backbone

OUR_STRIDES = (8, 16, 32, 64)
OUR_ANCHOR_BASE = 2.5  # smallest anchor of a level over its stride
PAPER_STRIDES = (8, 16, 32, 64, 128)  # P3 to P7
PAPER_ANCHORS_PX = (32.0, 64.0, 128.0, 256.0, 512.0)
ANCHORS_PER_OCTAVE = 3
TORCHVISION_MULTIPLE_PX = 32
TORCHVISION_V2_GROUPS = 32


def network_config(name: str, *, backbone: str | None = None) -> NetworkConfig:
    """How a network of this name is built.

    Args:
        name: One of ``NETWORKS``.
        backbone: Trunk to take instead of the usual one, see ``check_backbone``.

    Raises:
        InputError: There is no network or backbone of this name, or the backbone cannot be used.
        MissingDependencyError: The backbone is one of timm, which is not installed.
    """
    if name not in NETWORKS:
        raise InputError(f"--network {name}: unknown; expected one of {', '.join(NETWORKS)}")
    config = NETWORKS[name]()
    if backbone is not None:
        check_backbone(backbone, stages=config.trunk_stages)
    changes = {} if backbone is None else {"backbone": backbone}
    return NetworkConfig.model_validate(config.model_dump() | changes)


def _octave(smallest_px: float) -> tuple[float, ...]:
    """Anchor sizes of a level: a third of an octave apart, as in the paper."""
    return tuple(smallest_px * 2 ** (i / ANCHORS_PER_OCTAVE) for i in range(ANCHORS_PER_OCTAVE))


def whole_octave(smallest_px: float) -> tuple[float, ...]:
    """Anchor sizes of a level in whole pixels, cut off as torchvision does."""
    return tuple(float(int(size)) for size in _octave(smallest_px))


def _geodetect() -> NetworkConfig:
    """Ours: the trunk's first three stages, short heads with group norm, small anchors."""
    sizes = tuple(
        tuple(round(size, 2) for size in _octave(OUR_ANCHOR_BASE * stride))
        for stride in OUR_STRIDES
    )
    return NetworkConfig(strides=OUR_STRIDES, anchor_sizes_px=sizes)


def _paper() -> NetworkConfig:
    """RetinaNet as published (Lin et al. 2017, sections 4 and 5.1): P3 to P7, P6 from C5."""
    return NetworkConfig(
        backbone="resnet50",
        trunk_stages=4,
        fpn_channels=256,
        strides=PAPER_STRIDES,
        head_convs=4,
        head_norm_groups=0,
        coarser_from="trunk",
        anchor_sizes_px=tuple(_octave(size) for size in PAPER_ANCHORS_PX),
    )


def _torchvision() -> NetworkConfig:
    """``torchvision.models.detection.retinanet_resnet50_fpn``: P6 from P5, whole anchors."""
    changes = {
        "coarser_from": "pyramid",
        "anchor_sizes_px": tuple(whole_octave(size) for size in PAPER_ANCHORS_PX),
        "anchor_grid": "torchvision",
        "multiple_px": TORCHVISION_MULTIPLE_PX,
    }
    return _paper().model_copy(update=changes)


def _torchvision_v2() -> NetworkConfig:
    """``torchvision.models.detection.retinanet_resnet50_fpn_v2``: P6 from C5, group norm."""
    changes = {"coarser_from": "trunk", "head_norm_groups": TORCHVISION_V2_GROUPS}
    return _torchvision().model_copy(update=changes)


NETWORKS: Mapping[str, Callable[[], NetworkConfig]] = MappingProxyType(
    {
        "geodetect": _geodetect,
        "paper": _paper,
        "torchvision": _torchvision,
        "torchvision-v2": _torchvision_v2,
    }
)
