"""Trunks of the library timm, an extra: its networks that give features of strides 8, 16 and 32."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from geodetect.errors import InputError, MissingDependencyError, ModelFileError
from geodetect.model.card import ModelCard

PREFIX = "timm:"
TRACED_PX, PROBED_PX = (64, 64), (96, 160)  # a graph recorded at one size must hold at another
RTOL, ATOL = 1e-3, 1e-4
REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, LookupError, AttributeError)
LIKE = "timm:convnext_tiny or timm:resnet50d"
_CARD_DEFAULTS = {name: ModelCard.model_fields[name].default for name in ("mean", "std")}

Size = tuple[int, int]


class TimmTrunk(nn.Module):
    """The stages of a network of timm up to the coarsest stride, giving one feature for each.

    Batch norms are frozen as in ``ResNetTrunk``; other norms do not depend on the batch and learn.
    Networks that were pretrained on images normalised otherwise than ours get theirs.

    Args:
        name: Of the network, with or without the tag of its weights, after ``timm:``.
        strides: Of the features, in pixels, ascending.
        pretrained: Load the weights that timm names, from its cache or the network.
        file: Weights to load instead, as published for this network.

    Raises:
        MissingDependencyError: timm is not installed.
        InputError: It knows no such network, or one without such features.
        OSError: The weights cannot be had.
        RuntimeError: There are none, or they do not fit.
    """

    def __init__(
        self,
        name: str,
        strides: Sequence[int],
        *,
        pretrained: bool = False,
        file: Path | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.strides = tuple(strides)
        overlay = {} if file is None else {"pretrained_cfg_overlay": {"file": str(file)}}
        with torch.device("cpu"):  # some buffers are in no file, so they are made in any case
            stages = _stages(name, self.strides)
            body = _create(name, pretrained=pretrained, out_indices=stages, **overlay)
            self.adapt = _adaptation(body.pretrained_cfg)
            self.body = import_timm().layers.freeze_batch_norm_2d(body)
        self.channels = tuple(body.feature_info.channels())
        self._channels_last = getattr(body, "output_fmt", "NCHW") == "NHWC"

    def forward(self, image: Tensor) -> list[Tensor]:
        """``float[B, 3, H, W]`` to one ``float[B, C, H / stride, W / stride]`` per stride."""
        features = self.body(self.adapt(image))
        return [f.permute(0, 3, 1, 2) if self._channels_last else f for f in features]


class Rescaling(nn.Module):
    """Images normalised one way to images normalised another way.

    Args:
        scale: For each band.
        shift: For each band, added after scaling.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", shift[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """``float[B, C, H, W]``, normalised."""
        return torch.as_tensor(image * self.scale + self.shift)


def import_timm() -> Any:
    """The module of timm.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingDependencyError(
            f"backbones of timm need timm ({error}); install it with: pip install "
            f"'geodetect[timm]', or choose another --backbone"
        ) from error
    return timm


def check_trunk(name: str, strides: Sequence[int]) -> None:
    """See whether a network of timm can be a trunk, on tiles of any size and in any runtime.

    Args:
        name: After ``timm:``.
        strides: Of the features that it has to give.

    Raises:
        MissingDependencyError: timm is not installed.
        InputError: It cannot.
    """
    trunk = TimmTrunk(name, strides).eval()
    other = torch.rand(1, 3, *PROBED_PX)
    try:
        with torch.inference_mode(), warnings.catch_warnings(action="ignore"):
            graph = torch.jit.trace(trunk, torch.rand(1, 3, *TRACED_PX), check_trace=False)  # type: ignore[no-untyped-call]
            found, recorded = trunk(other), graph(other)
    except REFUSALS as error:
        raise InputError(_sized(name, _last_line(error))) from error
    for feature, stride in zip(found, trunk.strides, strict=True):
        cells, wanted = tuple(feature.shape[2:]), tuple(side // stride for side in PROBED_PX)
        if cells != wanted:
            raise InputError(
                f"backbone {PREFIX}{name}: its features of stride {stride} have {cells[0]} x "
                f"{cells[1]} cells in an image of {PROBED_PX[0]} x {PROBED_PX[1]} px, expected "
                f"{wanted[0]} x {wanted[1]}; choose another --backbone, such as {LIKE}"
            )
    pairs = zip(found, recorded, strict=True)
    if not all(torch.allclose(one, two, rtol=RTOL, atol=ATOL) for one, two in pairs):
        raise InputError(_sized(name, "its graph depends on the size of the image"))


def load_trunk(trunk: TimmTrunk, init: str, file: Path | None = None) -> None:
    """Load pretrained weights into a trunk.

    Args:
        trunk: Changed in place.
        init: What the user gave as ``--init``.
        file: Weights as published for this network, safetensors; None: those that timm names, from
            its cache or the network.

    Raises:
        ModelFileError: They cannot be had or do not fit.
    """
    named = f"--init {init}: the weights of {PREFIX}{trunk.name}"
    otherwise = "or start from random weights with --init none"
    try:
        full = TimmTrunk(trunk.name, trunk.strides, pretrained=True, file=file)
    except OSError as error:
        raise ModelFileError(
            f"{named} cannot be downloaded ({_last_line(error)}); download them elsewhere and give "
            f"the file with --init FILE, {otherwise}"
        ) from error
    except REFUSALS as error:
        raise ModelFileError(
            f"{named} do not fit ({_last_line(error)}); give others, {otherwise}"
        ) from error
    if file is not None and not _holds_trunk(full, load_file(file)):
        raise ModelFileError(f"{named} are not all in this file; give others, {otherwise}")
    trunk.load_state_dict(full.state_dict())


def _holds_trunk(trunk: TimmTrunk, weights: Mapping[str, Tensor]) -> bool:
    """Whether all matrices and kernels of a trunk are among some weights, whatever their names."""
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for value in weights.values():
        by_shape.setdefault(value.shape, []).append(value)
    kernels = [value for value in trunk.body.parameters() if value.ndim > 1]
    return all(
        any(torch.equal(kernel, one.to(kernel.dtype)) for one in by_shape.get(kernel.shape, []))
        for kernel in kernels
    )


def _create(name: str, **options: Any) -> Any:
    """A network that gives features; where it insists on the size of its input, it is told not to.

    Raises:
        InputError: timm knows no such network.
        RuntimeError: Or another error of timm: it gives no features, or there are no weights.
    """
    timm = import_timm()
    if not timm.is_model(name):
        alike = [f"{PREFIX}{one}" for one in get_close_matches(name, timm.list_models(), n=3)]
        raise InputError(
            f"backbone {PREFIX}{name}: timm {timm.__version__} knows no network of this name; "
            f"expected one of timm.list_models(), such as {', '.join(alike) or LIKE}"
        )
    options["features_only"] = True
    try:
        return timm.create_model(name, strict_img_size=False, **options)
    except TypeError:  # most take any size and have no such option
        return timm.create_model(name, **options)


def _stages(name: str, strides: Sequence[int]) -> tuple[int, ...]:
    """For each stride the number of the last feature that has it."""
    try:
        info = _create(name).feature_info
        reductions = info.reduction()
    except InputError:
        raise
    except REFUSALS as error:
        raise InputError(
            f"backbone {PREFIX}{name}: gives no features of its stages ({_last_line(error)}); "
            f"choose another --backbone, such as {LIKE}"
        ) from error
    last = dict(zip(reductions, info.out_indices, strict=True))
    if not last.keys() >= set(strides):
        raise InputError(
            f"backbone {PREFIX}{name}: gives features of strides {_listed(reductions)}, expected "
            f"{_listed(strides)} among them; choose another --backbone, such as {LIKE}"
        )
    return tuple(last[stride] for stride in strides)


def _adaptation(config: Mapping[str, Any]) -> nn.Module:
    """From images as cards normalise them to those that a network was pretrained on."""
    ours, own = (
        [torch.tensor(values[part]) for part in ("mean", "std")]
        for values in (_CARD_DEFAULTS, _CARD_DEFAULTS | dict(config))
    )
    if all(torch.equal(one, two) for one, two in zip(ours, own, strict=True)):
        return nn.Identity()
    return Rescaling(ours[1] / own[1], (ours[0] - own[0]) / own[1])


def _sized(name: str, reason: str) -> str:
    return (
        f"backbone {PREFIX}{name}: takes images of one size only ({reason}), but tiles have any; "
        f"choose another --backbone, such as {LIKE}"
    )


def _listed(strides: Sequence[int]) -> str:
    return ", ".join(map(str, strides))


def _last_line(error: Exception) -> str:
    """What an error says in the end, after the trace that some begin with."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][:200]
