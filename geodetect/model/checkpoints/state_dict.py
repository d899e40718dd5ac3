"""Weights that other programs have written, read without running any code of theirs.

PyTorch's files are pickles, which may name any function to be called. Here they are read by
PyTorch's restricted unpickler (``weights_only=True``), and every class or function that it does
not know itself is replaced by one that does nothing: what a checkpoint holds besides tensors and
plain values comes out empty.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from geodetect.errors import ModelFileError

PICKLES = (".pt", ".pth", ".pl", ".ckpt", ".bin")
SAFETENSORS = ".safetensors"
SUFFIXES = (*PICKLES, SAFETENSORS)
STATE_KEYS = ("state_dict", "model", "model_state_dict", "model_state")
DICTIONARIES = ("collections.defaultdict", "AttributeDict")  # the latter is Lightning's

UNREADABLE = (  # what the readers raise at damaged files
    UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    struct.error,
)


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Args:
        path: The file.
        tensors: Parameters and buffers by name.
        values: What else stands beside them; objects of other programs are empty.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a state dict, whatever it is wrapped in.

    Args:
        path: A state dict or training checkpoint of PyTorch or Lightning, or a safetensors file;
            a ``config.json`` beside the latter is taken for its values.

    Raises:
        ModelFileError: There is no such file, it is damaged, or it holds no state dict.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ModelFileError(
            f"{path}: files of this kind cannot be converted; expected a checkpoint of PyTorch "
            f"({', '.join(PICKLES)}) or {SAFETENSORS}"
        )
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; expected the weights to convert")
    if path.suffix.lower() == SAFETENSORS:
        return Checkpoint(path, _read_safetensors(path), _read_config(path))
    return _unwrapped(path, _read_pickle(path))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path}: not a safetensors file, or an incomplete one ({error}); fetch it again"
        ) from error


def _read_config(path: Path) -> dict[str, Any]:
    """Values that the Hugging Face Hub keeps beside the weights."""
    try:
        values = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _read_pickle(path: Path) -> object:
    try:
        with safe_globals(_stand_ins(path)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error})") from error
    except UNREADABLE as error:
        raise ModelFileError(
            f"{path}: not a checkpoint of PyTorch, an incomplete one, or one that holds more than "
            f"tensors and plain values ({_reason(error)}); fetch it again, or save the network's "
            f"state_dict() with torch.save and convert that"
        ) from error


def _reason(error: Exception) -> str:
    """The line that says what is wrong, without PyTorch's advice to trust the file."""
    text = str(error)
    reason = text.partition("WeightsUnpickler error:")[2] or text
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    return lines[0][:150] if lines else type(error).__name__


def _stand_ins(path: Path) -> list[Any]:
    """For every class or function of the file that PyTorch does not know, one that does nothing."""
    try:
        names = get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # written before PyTorch 1.6, with no list of what it names
        return []
    return [(_Dictionary if name.endswith(DICTIONARIES) else _Nothing, name) for name in names]


class _Nothing:
    """Stands for an object of another program: takes everything and keeps nothing."""

    def __new__(cls, *_: object, **__: object) -> _Nothing:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Dictionary:
    """Stands for kinds of dictionaries: makes a plain one."""

    def __new__(cls, *_: object) -> dict[Any, Any]:  # type: ignore[misc]  # not one of its own
        return {}


def _unwrapped(path: Path, content: object) -> Checkpoint:
    if not isinstance(content, Mapping):
        raise ModelFileError(
            f"{path}: holds {_kind(content)}, not a state dict; save the network's state_dict() "
            f"with torch.save and convert that"
        )
    candidates = (content, *(content.get(key) for key in STATE_KEYS))
    state = max(candidates, key=lambda candidate: len(_tensors(candidate)))
    if _tensors(state):
        values = {} if state is content else content
        return Checkpoint(path, _tensors(state), {str(k): v for k, v in values.items()})
    keys = ", ".join(str(key) for key in list(content)[:6])
    raise ModelFileError(
        f"{path}: holds no state dict; found {keys or 'nothing'}, expected tensors by name, bare "
        f"or under one of {', '.join(STATE_KEYS)}"
    )


def _tensors(candidate: object) -> dict[str, Tensor]:
    if not isinstance(candidate, Mapping):
        return {}
    return {key: value for key, value in candidate.items() if isinstance(value, Tensor)}


def _kind(content: object) -> str:
    return "a whole object" if isinstance(content, _Nothing) else f"a {type(content).__name__}"
