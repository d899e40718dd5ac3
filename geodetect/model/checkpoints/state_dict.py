"""State dicts in checkpoints of other programs, read without running any code of theirs.

PyTorch's files are pickles, which may name any function to be called. They are read by PyTorch's
restricted unpickler (``weights_only=True``), and every class or function that it does not know is
replaced by one without effect: of a checkpoint, only tensors and built-in types are read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from geodetect.errors import ModelFileError, list_names, translate_errors
from geodetect.model.foreign_files import SAFETENSORS, check_weights

ONNX_ADVICE = "of a YOLO, or another detector than a RetinaNet, convert an export as .onnx"
STATE_KEYS = ("state_dict", "model", "model_state_dict", "model_state")
DICTIONARIES = ("collections.defaultdict", "AttributeDict")  # the latter is Lightning's

# raised by PyTorch at damaged files
READ_ERRORS = (UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError,
               TypeError, AssertionError, ArithmeticError, MemoryError, ImportError,
               struct.error)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint.

    Args:
        tensors: Parameters and buffers by name.
        values: Other values stored with them; objects of other programs are empty.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a state dict, or the one that a training checkpoint contains.

    Args:
        path: A state dict or training checkpoint of PyTorch or Lightning, or a safetensors file;
            the values of the latter are those of a ``config.json`` beside it.

    Raises:
        ModelFileError: There is no such file, it is damaged, or it holds no state dict.
    """
    check_weights(path)
    if path.suffix.lower() == SAFETENSORS:
        return _read_safetensors(path)
    content = _read_pickle(path)
    if not isinstance(content, Mapping):
        is_object = isinstance(content, _Placeholder)
        kind = "a pickled object" if is_object else f"a {type(content).__name__}"
        raise ModelFileError(
            f"{path}: holds {kind}, not a state dict; save the network's state_dict() with "
            f"torch.save and convert that; {ONNX_ADVICE}"
        )
    candidates = (content, *(content.get(key) for key in STATE_KEYS))
    state = max(candidates, key=lambda candidate: len(_tensors(candidate)))
    if not _tensors(state):
        keys = list_names(content)
        raise ModelFileError(
            f"{path}: holds no state dict; found {keys or 'nothing'}, expected tensors by name, at "
            f"the top or under one of {', '.join(STATE_KEYS)}; {ONNX_ADVICE}"
        )
    values = {} if state is content else content
    return Checkpoint(_tensors(state), {str(key): value for key, value in values.items()})


def _read_safetensors(path: Path) -> Checkpoint:
    with translate_errors(
        f"{path}: not a safetensors file, or an incomplete one; fetch it again", ModelFileError
    ):
        tensors = load_file(path)
    values, config = {}, path.with_name("config.json")
    if config.is_file():  # the Hugging Face Hub stores settings beside the weights
        with suppress(OSError, ValueError, RecursionError):
            values = json.loads(config.read_text(encoding="utf-8"))
    return Checkpoint(tensors, values if isinstance(values, dict) else {})


def _read_pickle(path: Path) -> object:
    names: list[str] = []  # of classes and functions that PyTorch does not know
    try:
        with suppress(ValueError):  # written before PyTorch 1.6, without a list of the names
            names = get_unsafe_globals_in_checkpoint(path)
        placeholders = [_Dict if name.endswith(DICTIONARIES) else _Placeholder for name in names]
        with safe_globals(list(zip(placeholders, names, strict=True))):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error})") from error
    except READ_ERRORS as error:
        # the line with the reason, without PyTorch's advice to trust the file
        reason = str(error).partition("WeightsUnpickler error:")[2] or str(error)
        lines = [line.strip() for line in reason.splitlines() if line.strip()]
        raise ModelFileError(
            f"{path}: not a checkpoint of PyTorch, an incomplete one, or one that holds more than "
            f"tensors and built-in types ({lines[0][:150] if lines else type(error).__name__}); "
            f"fetch it again, or save the network's state_dict() with torch.save and convert that"
        ) from error


class _Placeholder:
    """Placeholder for an object of another program: accepts any arguments and stores nothing."""

    def __new__(cls, *_: object, **__: object) -> _Placeholder:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Dict:
    """Placeholder for a subclass of dict: creates a dict."""

    def __new__(cls, *_: object) -> dict[Any, Any]:  # type: ignore[misc]  # not an instance
        return {}


def _tensors(candidate: object) -> dict[str, Tensor]:
    if not isinstance(candidate, Mapping):
        return {}
    return {key: value for key, value in candidate.items() if isinstance(value, Tensor)}
