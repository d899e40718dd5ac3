"""Network architectures by name: geodetect's own, the paper's, torchvision's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from geodetect.errors import InputError, suggest
from geodetect.model.card import NetworkConfig

PAPER_ANCHORS_PX = (32.0, 64.0, 128.0, 256.0, 512.0)  # smallest anchor of the levels P3 to P7
SIZES_PER_OCTAVE = 3
SHARED_FIELDS = ("trunk_stages", "fpn_channels", "strides", "coarser_from", "anchor_grid")
HEAD_FIELDS = ("head_convs", "head_norm_groups")  # with these, parameters have the same names


def _octave_sizes(smallest_px: float) -> tuple[float, ...]:
    """Return the anchor sizes of a level: a third of an octave apart, as in the paper."""
    return tuple(smallest_px * 2 ** (i / SIZES_PER_OCTAVE) for i in range(SIZES_PER_OCTAVE))


def whole_px_sizes(smallest_px: float) -> tuple[float, ...]:
    """Return the anchor sizes of a level in whole pixels, truncated as in torchvision."""
    return tuple(float(int(size)) for size in _octave_sizes(smallest_px))


# Lin et al. 2017, sections 4 and 5.1: P3 to P7, P6 from C5
_PAPER = NetworkConfig(
    backbone="resnet50",
    trunk_stages=4,
    fpn_channels=256,
    strides=(8, 16, 32, 64, 128),
    head_convs=4,
    head_norm_groups=0,
    coarser_from="trunk",
    anchor_sizes_px=tuple(_octave_sizes(size) for size in PAPER_ANCHORS_PX),
)
# torchvision.models.detection.retinanet_resnet50_fpn: P6 from P5, anchors in whole pixels
_TORCHVISION = _PAPER.model_copy(
    update={
        "coarser_from": "pyramid",
        "anchor_sizes_px": tuple(whole_px_sizes(size) for size in PAPER_ANCHORS_PX),
        "anchor_grid": "torchvision",
        "multiple_px": 32,
    }
)
NETWORKS: Mapping[str, NetworkConfig] = MappingProxyType(
    {
        # three stages of the backbone, short heads with group norm, anchors of 2.5 to 4 strides
        "geodetect": NetworkConfig(
            strides=(8, 16, 32, 64),
            anchor_sizes_px=tuple(
                tuple(round(size, 2) for size in _octave_sizes(smallest_px))
                for smallest_px in (20, 40, 80, 160)
            ),
        ),
        "paper": _PAPER,
        "torchvision": _TORCHVISION,
        # torchvision.models.detection.retinanet_resnet50_fpn_v2: P6 from C5, group norm
        "torchvision-v2": _TORCHVISION.model_copy(
            update={"coarser_from": "trunk", "head_norm_groups": 32}
        ),
    }
)


def network_config(name: str, *, backbone: str | None = None) -> NetworkConfig:
    """Return the architecture of a network.

    Args:
        name: A key of ``NETWORKS``.
        backbone: Backbone instead of the network's usual one, see ``check_backbone``.

    Raises:
        InputError: There is no network or backbone of this name, or the backbone is unsuitable.
        MissingDependencyError: The backbone is a network of timm, which is not installed.
    """
    if name not in NETWORKS:
        raise InputError(
            f"`network` {name}: unknown; expected one of {', '.join(NETWORKS)}"
            f"{suggest(name, NETWORKS)}"
        )
    config = NETWORKS[name]
    if backbone is None:
        return config
    from geodetect.model.network.backbones import check_backbone  # PyTorch: not for the usual ones

    check_backbone(backbone, stages=config.trunk_stages)
    return config.model_copy(update={"backbone": backbone})


def preset_of(config: NetworkConfig) -> str | None:
    """Return the name of the network that has this architecture but for anchors and backbone.

    The heads of ``geodetect`` are those of the model that a training starts from.
    """
    for name, preset in NETWORKS.items():
        fields = SHARED_FIELDS if name == "geodetect" else (*SHARED_FIELDS, *HEAD_FIELDS)
        if all(getattr(config, field) == getattr(preset, field) for field in fields):
            return name
    return None
