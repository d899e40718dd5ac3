"""Checkpoints: the state of a training on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from geodetect.errors import InputError, OutputError, translate_errors
from geodetect.io.atomic import write_atomically


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically: the previous one is replaced by a complete file.

    Args:
        path: File to write.
        state: Tensors, numbers, texts, and dicts and lists of them.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        with write_atomically(path, overwrite=True) as temporary, temporary.open("wb") as file:
            torch.save(dict(state), file)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"{path}: the checkpoint cannot be written ({error}); the one before is intact, set "
            f"`resume` to continue from it"
        ) from error


def read_state(path: Path) -> dict[str, Any]:
    """Read a checkpoint. It holds numbers and text only: reading it cannot run code.

    Raises:
        InputError: There is no checkpoint, or it is damaged.
    """
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}; start without `resume`")
    message = f"checkpoint {path} cannot be read; start without `resume`"
    with translate_errors(message, InputError):
        state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or "settings" not in state:
        raise InputError(f"{message} (it is no checkpoint of a training)")
    return state


def check_same_training(
    state: Mapping[str, Any], path: Path, *, settings: str, data_fingerprint: str
) -> None:
    """Check that a checkpoint is of the same training.

    Args:
        state: As it was read.
        path: The file, for messages.
        settings: Settings of the training, as JSON.
        data_fingerprint: Fingerprint of its data.

    Raises:
        InputError: It is from a training with other settings or other data.
    """
    difference = None
    if state["settings"] != settings:
        difference = "with other settings"
    elif state.get("data_fingerprint", data_fingerprint) != data_fingerprint:
        difference = "on other rasters, labels or holdout"
    if difference is not None:
        raise InputError(
            f"{path} is from a training {difference}; to `resume`, use the same ones, or start "
            f"again without it"
        )
