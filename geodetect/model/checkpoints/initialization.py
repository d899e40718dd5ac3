"""Initial weights of a training: random, pretrained on ImageNet, or those of a model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

from geodetect.errors import (
    GeodetectWarning,
    InputError,
    ModelFileError,
    list_names,
    suggest,
    translate_errors,
)
from geodetect.model.card import ModelCard, NetworkConfig, OutlineConfig
from geodetect.model.file import list_models, load_card, read_model_file
from geodetect.model.foreign_files import foreign_kind
from geodetect.model.network.outline_head import PARAMETERS
from geodetect.model.network.presets import NETWORKS, preset_of
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.network.timm_backbone import TimmBackbone, load_timm_weights
from geodetect.settings import TrainSettings

IMAGENET, RANDOM = "imagenet", "none"
MIN_OUTLINED = 20  # outlines among the labels from which on an outline head is trained by itself
OUTPUT_LAYER = ".output."  # in parameter names: it depends on the classes and anchors
BACKBONE_PREFIX = "trunk."  # of parameter names in model files


def initialise(network: RetinaNet, init: str) -> str:
    """Load initial weights into a new network and return a description of them.

    Args:
        network: Changed in place.
        init: ``none``, ``imagenet`` (downloaded by torchvision or timm), the name or path of a
            model, or a safetensors file of a backbone with torchvision's or timm's parameter names.

    Raises:
        ModelFileError: The weights cannot be downloaded or read, or do not fit.
    """
    if init == RANDOM:
        return "random weights"
    backbone = network.config.backbone
    if init == IMAGENET:
        if isinstance(network.backbone, TimmBackbone):
            load_timm_weights(network.backbone, init)
            return f"{backbone} backbone with the weights of timm"
        pretrained = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"]
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # PyTorch prints the URL
                state = pretrained.get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            raise ModelFileError(
                f"`init` imagenet: the weights of {backbone} cannot be downloaded ({error}); "
                f"download them elsewhere and give the file as `init`, or start from a built-in "
                f"model, or from random weights with `init` none"
            ) from error
        return _load_backbone(network, state, init)
    if _is_model(init):
        return _load_model(network, init)
    path = Path(init).expanduser()
    if not path.is_file():
        names = [IMAGENET, RANDOM, *list_models()]
        raise ModelFileError(
            f"`init` {init}: no such file or built-in model; expected {list_names(names)} or the "
            f"path of a safetensors file{suggest(init, names)}"
        )
    try:
        with translate_errors(f"`init` {init}: not a safetensors file", ModelFileError):
            weights = load_file(path)
    except ModelFileError as error:
        kind = foreign_kind(path)
        if kind is None:
            raise
        remedy = f"expected {IMAGENET}, {RANDOM}, a model, or weights of a backbone as safetensors"
        if kind.is_checkpoint:
            remedy = (
                "convert a detector with `geodetect convert`, or save the state dict of a backbone "
                "with safetensors.torch.save_file"
            )
        raise ModelFileError(
            f"`init` {init}: not a safetensors file but {kind.name}; {remedy}"
        ) from error
    if isinstance(network.backbone, TimmBackbone):
        load_timm_weights(network.backbone, init, path)
        return f"{backbone} backbone from {path.name}"
    if "conv1.weight" in weights:
        return _load_backbone(network, weights, path.name)
    return _load_model(network, init)


def initial_model_card(init: str) -> ModelCard | None:
    """Return the card of the model that a training starts from; None if it starts from no model.

    Files that are damaged or missing are no models here; ``initialise`` raises their errors.

    Raises:
        ModelFileError: The model's card is damaged.
    """
    return load_card(init) if _is_model(init) else None


def comparable_start(network: RetinaNet, init: str, classes: Sequence[str]) -> ModelCard | None:
    """Return the card of the model that all parameters of an initialised network come from.

    Args:
        network: The network to train.
        init: As for ``initialise``.
        classes: Classes to train.

    Returns:
        None if it starts from no model, if parts of it are new, such as the output layer for
        another number of classes, or if it has other classes. One class may have another name.

    Raises:
        ModelFileError: The model is damaged.
    """
    if not _is_model(init):
        return None
    card, arrays = read_model_file(init)
    shapes = {key: tuple(array.shape) for key, array in arrays.items()}
    state = network.state_dict()
    is_complete = all(
        shapes.get(key) == tuple(value.shape)
        for key, value in state.items()
        if not key.startswith(PARAMETERS)  # boxes and scores do not depend on it
    )
    has_classes = card.classes == tuple(classes) or len(card.classes) == len(classes) == 1
    return card if is_complete and has_classes else None


def match_heads(config: NetworkConfig, init: str) -> NetworkConfig:
    """Return the architecture with the heads of the model that a training starts from.

    So none of the model's convolutions is dropped: heads are as deep, and those of ``geodetect``
    have the same norms or none. Without such a model it is returned unchanged.

    Raises:
        ModelFileError: The model's card is damaged.
    """
    card = initial_model_card(init)
    if card is None or card.network is None:
        return config
    changes = {"head_convs": card.network.head_convs}
    if preset_of(config) == preset_of(card.network) == "geodetect":
        changes["head_norm_groups"] = card.network.head_norm_groups
    return config.model_copy(update=changes)


def select_outline_head(
    config: NetworkConfig, settings: TrainSettings, *, outlined: int
) -> NetworkConfig:
    """Return the architecture with an outline head if the settings, the labels or the start ask.

    Args:
        config: The architecture.
        settings: Setting ``outlines``, and ``init``, the start.
        outlined: Number of labels that are outlines.

    Raises:
        InputError: The setting is ``on``, but no label is an outline.
        ModelFileError: The start's card is damaged.
    """
    start = initial_model_card(settings.init)
    head = None if start is None or start.network is None else start.network.outline
    if settings.outlines == "off":
        return config
    if settings.outlines == "on" and not outlined:
        raise InputError(
            "`outlines` on: none of the labels is an outline, all are boxes or points; give "
            "polygons around the objects, or set `outlines` to off"
        )
    if settings.outlines == "auto" and head is None and outlined < MIN_OUTLINED:
        return config
    return config.model_copy(update={"outline": head or OutlineConfig()})


def _is_model(init: str) -> bool:
    """Return True for a built-in model or a model file; False if it is damaged or missing."""
    if init in (IMAGENET, RANDOM):
        return False
    if init in list_models():
        return True
    path = Path(init).expanduser()
    if not path.is_file():  # reading a pipe would not end
        return False
    try:
        with translate_errors(init, ModelFileError), safe_open(path, "numpy") as file:
            return any(key.startswith(BACKBONE_PREFIX) for key in file.keys())  # noqa: SIM118
    except ModelFileError:
        return False


def _load_backbone(network: RetinaNet, weights: dict[str, torch.Tensor], source: str) -> str:
    config, names = network.config, network.backbone.state_dict().keys()
    missing = sorted(names - weights.keys())
    if missing:
        raise ModelFileError(
            f"`init` {source}: holds no {missing[0]} and {len(missing) - 1} more of the parameters "
            f"of a {config.backbone} with {config.trunk_stages} stages"
        )
    try:
        network.backbone.load_state_dict({name: weights[name] for name in names})
    except RuntimeError as error:
        raise ModelFileError(
            f"`init` {source}: its parameters have other shapes than those of a {config.backbone}"
        ) from error
    return f"{config.backbone} backbone from {source}"


def _load_model(network: RetinaNet, name: str) -> str:
    """Load all parameters that fit: with other classes the output layer stays a new one."""
    card, arrays = read_model_file(name)
    if card.imported is not None:
        raise ModelFileError(
            f"`init` {name}: was converted from ONNX, which holds no network to train; start with "
            f"a model of `geodetect train`, or `init` {IMAGENET} or {RANDOM}"
        )
    state = network.state_dict()
    fitting = {
        key: torch.from_numpy(value).float()
        for key, value in arrays.items()
        if key in state and state[key].shape == value.shape
    }
    expected = network.config.backbone
    backbone = expected if card.network is None else card.network.backbone
    remedy = _name_settings(card.network)
    if backbone != expected or not any(key.startswith(BACKBONE_PREFIX) for key in fitting):
        raise ModelFileError(
            f"`init` {name}: its network is of another kind than the one to train (backbone "
            f"{backbone}, expected {expected}); {remedy}start with `init` {IMAGENET} or {RANDOM}"
        )
    parameters = [key for key, array in arrays.items() if array.dtype.kind == "f"]  # not int8
    unused = [key for key in parameters if key not in fitting and OUTPUT_LAYER not in key]
    if unused:
        warnings.warn(
            f"`init` {name}: {len(unused):,} of its {len(parameters):,} parameters, such as "
            f"{unused[0]}, do not fit the network to train, which starts with random ones there; "
            f"{remedy}start with `init` {IMAGENET}",
            GeodetectWarning,
            stacklevel=3,
        )
    network.load_state_dict(state | fitting)
    return f"model {card.name} ({len(fitting)} of {len(state)} parameters)"


def _name_settings(config: NetworkConfig | None) -> str:
    """Return the settings that train the network of a model, as the beginning of a remedy."""
    preset = None if config is None else preset_of(config)
    if config is None or preset is None:
        return ""
    is_usual = config.backbone == NETWORKS[preset].backbone
    backbone = "" if is_usual else f" and `backbone` to {config.backbone}"
    return f"set `network` to {preset}{backbone}, or "
