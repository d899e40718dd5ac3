"""Checkpoints: the state of a training on disk."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from geodetect.errors import InputError, OutputError
from geodetect.io.atomic import write_atomically

# raised on bytes that are no checkpoint, besides the errors of pickle and struct
_READ_ERRORS = OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError


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
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (*_READ_ERRORS, pickle.UnpicklingError, struct.error) as error:
        raise _unreadable(path, str(error).partition(". ")[0]) from error
    if not isinstance(state, dict) or "settings" not in state:
        raise _unreadable(path, "it is no checkpoint of a training")
    return state


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f"checkpoint {path} cannot be read ({reason}); start without `resume`")
