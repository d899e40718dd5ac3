"""Backbones of the library timm, an optional dependency: networks with strides 8, 16 and 32."""

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
TRACED_PX, PROBED_PX = (64, 64), (96, 160)  # a graph traced at one size must hold at another
RTOL, ATOL = 1e-3, 1e-4
TIMM_ERRORS = (RuntimeError, AssertionError, ValueError, TypeError, LookupError, AttributeError)
EXAMPLES = "timm:convnext_tiny or timm:resnet50d"
_CARD_DEFAULTS = {name: ModelCard.model_fields[name].default for name in ("mean", "std")}


class TimmBackbone(nn.Module):
    """First stages of a network of timm, with one feature per stride.

    Batch norms are frozen as in ``ResNetBackbone``; other norms do not depend on the batch and are
    trained. If the network was pretrained on images with another normalisation than the cards'
    default, images are converted to it first.

    Args:
        name: Name of the network after ``timm:``, with or without the tag of its weights.
        strides: Strides of the features, in pixels, ascending.
        pretrained: Load the weights that timm names, from its cache or by download.
        file: Load the weights of this file instead, as published for this network.

    Raises:
        MissingDependencyError: timm is not installed.
        InputError: timm has no such network, or it gives no features of these strides.
        OSError: The weights cannot be downloaded or read.
        RuntimeError: There are no weights, or they do not fit.
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
        with torch.device("cpu"):  # not "meta": some buffers are in no file of weights
            stages = _stage_indices(name, self.strides)
            body = _create(name, pretrained=pretrained, out_indices=stages, **overlay)
            self.body = import_timm().layers.freeze_batch_norm_2d(body)
            (mean, std), (timm_mean, timm_std) = (
                (torch.tensor(values["mean"]), torch.tensor(values["std"]))
                for values in (_CARD_DEFAULTS, _CARD_DEFAULTS | dict(body.pretrained_cfg))
            )
            self.adapt: nn.Module = nn.Identity()
            if not (torch.equal(mean, timm_mean) and torch.equal(std, timm_std)):
                self.adapt = Rescaling(std / timm_std, (mean - timm_mean) / timm_std)
        self.channels = tuple(body.feature_info.channels())
        self._channels_last = getattr(body, "output_fmt", "NCHW") == "NHWC"

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features ``float[B, C, H / stride, W / stride]`` of ``float[B, 3, H, W]``."""
        features = self.body(self.adapt(image))
        return [x.permute(0, 3, 1, 2) if self._channels_last else x for x in features]


class Rescaling(nn.Module):
    """Conversion of images from one normalisation to another.

    Args:
        scale: Factor of each band, ``float[C]``.
        shift: Added to each band after scaling, ``float[C]``.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", shift[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """Return ``float[B, C, H, W]``, normalised."""
        return torch.as_tensor(image * self.scale + self.shift)


def import_timm() -> Any:
    """Import timm.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingDependencyError(
            f"backbones of timm need timm ({error}); install it with: pip install "
            f"'geodetect[timm]', or choose another `backbone`"
        ) from error
    return timm


def check_timm_backbone(name: str, strides: Sequence[int]) -> None:
    """Raise an error if a network of timm cannot be a backbone for tiles of any size.

    Args:
        name: Name after ``timm:``.
        strides: Strides of the required features.

    Raises:
        MissingDependencyError: timm is not installed.
        InputError: The network is unknown or unsuitable.
    """
    backbone = TimmBackbone(name, strides).eval()
    image = torch.rand(1, 3, *PROBED_PX)
    try:
        with torch.inference_mode(), warnings.catch_warnings(action="ignore"):
            graph = torch.jit.trace(backbone, torch.rand(1, 3, *TRACED_PX), check_trace=False)  # type: ignore[no-untyped-call]
            features, traced_features = backbone(image), graph(image)
    except TIMM_ERRORS as error:
        raise _fixed_size_error(name, _last_line(error)) from error
    for feature, stride in zip(features, backbone.strides, strict=True):
        cells, expected = tuple(feature.shape[2:]), tuple(side // stride for side in PROBED_PX)
        if cells != expected:
            raise InputError(
                f"backbone {PREFIX}{name}: its features of stride {stride} have {cells[0]} x "
                f"{cells[1]} cells in an image of {PROBED_PX[0]} x {PROBED_PX[1]} px, expected "
                f"{expected[0]} x {expected[1]}; choose another `backbone`, such as {EXAMPLES}"
            )
    pairs = zip(features, traced_features, strict=True)
    if not all(torch.allclose(eager, traced, rtol=RTOL, atol=ATOL) for eager, traced in pairs):
        raise _fixed_size_error(name, "its graph depends on the size of the image")


def load_timm_weights(backbone: TimmBackbone, init: str, file: Path | None = None) -> None:
    """Load pretrained weights into a backbone.

    Args:
        backbone: Changed in place.
        init: Value of the setting ``init``, for error messages.
        file: Weights as published for this network, safetensors; None: those that timm names, from
            its cache or by download.

    Raises:
        ModelFileError: The weights cannot be downloaded or do not fit.
    """
    weights = f"`init` {init}: the weights of {PREFIX}{backbone.name}"
    alternative = "or start from random weights with `init` none"
    try:
        pretrained = TimmBackbone(backbone.name, backbone.strides, pretrained=True, file=file)
    except OSError as error:
        raise ModelFileError(
            f"{weights} cannot be downloaded ({_last_line(error)}); download them elsewhere and "
            f"give the file as `init`, {alternative}"
        ) from error
    except TIMM_ERRORS as error:
        raise ModelFileError(
            f"{weights} do not fit ({_last_line(error)}); give others, {alternative}"
        ) from error
    if file is not None and not _contains_kernels(load_file(file), pretrained.body):
        raise ModelFileError(f"{weights} are not all in this file; give others, {alternative}")
    backbone.load_state_dict(pretrained.state_dict())


def _contains_kernels(weights: Mapping[str, Tensor], network: nn.Module) -> bool:
    """Return True if all matrices and kernels of a network are among weights of any names.

    timm renames published parameters and skips those that do not fit, so names prove nothing.
    """
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for value in weights.values():
        by_shape.setdefault(value.shape, []).append(value)
    kernels = [value for value in network.parameters() if value.ndim > 1]
    return all(
        any(torch.equal(kernel, value.to(kernel.dtype)) for value in by_shape.get(kernel.shape, []))
        for kernel in kernels
    )


def _create(name: str, **options: Any) -> Any:
    """Create a network of timm that gives features and accepts images of any size, if it can.

    Raises:
        InputError: timm has no such network.
        RuntimeError: Or another error of timm: it gives no features, or there are no weights.
    """
    timm = import_timm()
    if not timm.is_model(name):
        similar = [f"{PREFIX}{match}" for match in get_close_matches(name, timm.list_models(), n=3)]
        raise InputError(
            f"backbone {PREFIX}{name}: timm {timm.__version__} has no network of this name; "
            f"expected one of timm.list_models(), such as {', '.join(similar) or EXAMPLES}"
        )
    options["features_only"] = True
    try:
        return timm.create_model(name, strict_img_size=False, **options)
    except TypeError:  # most accept any size and have no such option
        return timm.create_model(name, **options)


def _stage_indices(name: str, strides: Sequence[int]) -> tuple[int, ...]:
    """Return the index of the last feature of each stride."""
    try:
        info = _create(name).feature_info
        reductions = info.reduction()
    except InputError:
        raise
    except TIMM_ERRORS as error:
        raise InputError(
            f"backbone {PREFIX}{name}: gives no features of its stages ({_last_line(error)}); "
            f"choose another `backbone`, such as {EXAMPLES}"
        ) from error
    index = dict(zip(reductions, info.out_indices, strict=True))
    if not index.keys() >= set(strides):
        raise InputError(
            f"backbone {PREFIX}{name}: gives features of strides {', '.join(map(str, reductions))}"
            f", expected {', '.join(map(str, strides))} among them; choose another `backbone`, "
            f"such as {EXAMPLES}"
        )
    return tuple(index[stride] for stride in strides)


def _fixed_size_error(name: str, reason: str) -> InputError:
    return InputError(
        f"backbone {PREFIX}{name}: takes images of one size only ({reason}), but tiles have any; "
        f"choose another `backbone`, such as {EXAMPLES}"
    )


def _last_line(error: Exception) -> str:
    """Return the last line of an error message: some of timm's begin with a traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][:200]
