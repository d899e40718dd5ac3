"""What a training starts from."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from geodetect.errors import ModelFileError
from geodetect.model.card import ModelCard, NetworkConfig
from geodetect.model.file import list_models, load_card, read_model_file
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.network.timm_backbone import TimmTrunk, load_trunk

IMAGENET, NOTHING = "imagenet", "none"
TRUNK = "trunk."  # what the names of its parameters begin with in a model


def initialise(network: RetinaNet, init: str) -> str:
    """Load weights into a new network and say in words which.

    Args:
        network: Changed in place.
        init: ``none``, ``imagenet`` (downloaded by torchvision or timm), the name or path of a
            model, or a safetensors file that holds a trunk under torchvision's or timm's names.

    Raises:
        ModelFileError: The weights cannot be had or do not fit.
    """
    if init == NOTHING:
        return "random weights"
    if init == IMAGENET:
        return _load_imagenet(network)
    if _is_model(init):
        return _load_model(network, init)
    path = Path(init).expanduser()
    if not path.is_file():
        known = ", ".join([IMAGENET, NOTHING, *list_models()])
        raise ModelFileError(
            f"--init {init}: no such file or built-in model; expected {known} or the path of a "
            f"safetensors file"
        )
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"--init {init}: not a safetensors file ({error})") from error
    if isinstance(network.trunk, TimmTrunk):
        load_trunk(network.trunk, init, path)
        return f"{network.config.backbone} trunk from {path.name}"
    if "conv1.weight" in weights:
        return _load_trunk(network, weights, path.name)
    return _load_model(network, init)


def card_of(init: str) -> ModelCard | None:
    """The card of the model that a training starts from; None: it starts from no model.

    What is wrong with ``init``, ``initialise`` says.

    Raises:
        ModelFileError: The model's card is damaged.
    """
    return load_card(init) if _is_model(init) else None


def with_heads_of(config: NetworkConfig, init: str) -> NetworkConfig:
    """The network with heads as long as those of the model that a training starts from.

    So none of the model's convolutions is dropped. Without such a model it stays as it is.

    Raises:
        ModelFileError: The model's card is damaged.
    """
    start = card_of(init)
    if start is None or start.network is None:
        return config
    return config.model_copy(update={"head_convs": start.network.head_convs})


def _is_model(init: str) -> bool:
    """Whether it names a built-in model or a file of one; damaged and missing files are none."""
    if init in (IMAGENET, NOTHING):
        return False
    if init in list_models():
        return True
    try:
        with safe_open(Path(init).expanduser(), "numpy") as file:
            return any(key.startswith(TRUNK) for key in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError):
        return False


def _load_imagenet(network: RetinaNet) -> str:
    backbone = network.config.backbone
    if isinstance(network.trunk, TimmTrunk):
        load_trunk(network.trunk, IMAGENET)
        return f"{backbone} trunk with the weights of timm"
    return _load_trunk(network, _imagenet_trunk(backbone), IMAGENET)


def _imagenet_trunk(backbone: str) -> dict[str, torch.Tensor]:
    weights = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"]
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # torch announces it there
            state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ModelFileError(
            f"--init imagenet: the weights of {backbone} cannot be downloaded ({error}); download "
            f"them elsewhere and give the file with --init FILE, start from a built-in model with "
            f"--init NAME, or from random weights with --init none"
        ) from error
    return state


def _load_trunk(network: RetinaNet, weights: dict[str, torch.Tensor], source: str) -> str:
    wanted = network.trunk.state_dict().keys()
    missing = sorted(wanted - weights.keys())
    if missing:
        raise ModelFileError(
            f"--init {source}: holds no {missing[0]} and {len(missing) - 1} more of the parameters "
            f"of a {network.config.backbone} with {network.config.trunk_stages} stages"
        )
    try:
        network.trunk.load_state_dict({key: weights[key] for key in wanted})
    except RuntimeError as error:
        raise ModelFileError(
            f"--init {source}: its parameters have other shapes than those of a "
            f"{network.config.backbone}"
        ) from error
    return f"{network.config.backbone} trunk from {source}"


def _load_model(network: RetinaNet, name: str) -> str:
    """All parameters of a model that fit: another class list keeps its new output layer."""
    card, arrays = read_model_file(name)
    own = network.state_dict()
    fitting = {
        key: torch.from_numpy(value).float()
        for key, value in arrays.items()
        if key in own and own[key].shape == value.shape
    }
    wanted = network.config.backbone
    found = wanted if card.network is None else card.network.backbone
    if found != wanted or not any(key.startswith(TRUNK) for key in fitting):
        raise ModelFileError(
            f"--init {name}: its network is of another kind than the one to train (backbone "
            f"{found}, wanted {wanted}); start with --init {IMAGENET} or --init {NOTHING}"
        )
    network.load_state_dict(own | fitting)
    return f"model {card.name} ({len(fitting)} of {len(own)} parameters)"
