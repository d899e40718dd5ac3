"""One file per model: weights as safetensors, the card as JSON in its header.

A safetensors file holds numbers and text only: loading one can never run code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from geodetect.errors import ModelFileError, OutputError, error_text
from geodetect.io.atomic import check_folder, check_overwrite, write_atomically
from geodetect.model.card import ModelCard

FORMAT = "geodetect"
FORMAT_VERSION = "1"
SUFFIX = ".safetensors"
BUILT_IN = Path(__file__).parent / "weights"

Weights = Mapping[str, NDArray[np.generic]]


def list_models() -> list[str]:
    """Names of the built-in models.

    Returns:
        In alphabetical order; each can be given wherever a model file can.
    """
    return sorted(path.stem for path in BUILT_IN.glob(f"*{SUFFIX}"))


def model_path(name: str | os.PathLike[str]) -> Path:
    """The file of a built-in model or the path of a model file.

    Raises:
        ModelFileError: There is neither.
    """
    text = os.fspath(name)
    if text in list_models():
        return BUILT_IN / f"{text}{SUFFIX}"
    path = Path(text).expanduser()
    if path.is_file():
        return path
    raise ModelFileError(
        f"no model {text!r}: it is neither a file nor a built-in model "
        f"({', '.join(list_models()) or 'none'}); choose with --model"
    )


def load_card(name: str | os.PathLike[str]) -> ModelCard:
    """The card of a model, without its weights.

    Args:
        name: A built-in model or a model file.

    Returns:
        What the model says of itself: classes, resolution, threshold, how it was trained.

    Raises:
        ModelFileError: There is no such model, or the file is damaged or of another kind.
    """
    return _read_header(model_path(name))[0]


def checksum(name: str | os.PathLike[str]) -> str:
    """SHA-256 of the card and weights of a model, as its header states it.

    Raises:
        ModelFileError: There is no such model, or the file is damaged or of another kind.
    """
    return _read_header(model_path(name))[2]


def read_model_file(
    name: str | os.PathLike[str],
) -> tuple[ModelCard, dict[str, NDArray[np.generic]]]:
    """Card and weights of a model, checked against the checksum in its header.

    Raises:
        ModelFileError: There is no such model, or the file is damaged, changed or of another kind.
    """
    path = model_path(name)
    card, text, expected = _read_header(path)
    with safe_open(path, framework="numpy") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
    if _checksum(text, weights) != expected:
        raise ModelFileError(
            f"{path}: the checksum does not match: the file was changed or damaged after it was "
            f"written; fetch it again or choose another with --model"
        )
    return card, weights


def check_target(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """See whether a model file can be written, before the work that makes the model.

    Args:
        path: The file, ``.safetensors``.
        overwrite: It may exist.

    Raises:
        OutputError: Its name ends in something else, it exists, or its folder cannot be written.
    """
    target = Path(path)
    if target.suffix != SUFFIX:
        raise OutputError(f"{target}: the name of a model file ends in {SUFFIX}")
    check_folder(target)
    check_overwrite(target, overwrite=overwrite)


def write_model_file(path: str | os.PathLike[str], card: ModelCard, weights: Weights) -> None:
    """Write a model file, replacing one of that name; it appears whole or not at all.

    Args:
        path: Usually ends in ``.safetensors``.
        card: The model's card.
        weights: Arrays by parameter name.

    Raises:
        OutputError: It cannot be written.
    """
    target = Path(path)
    text = card.model_dump_json()
    try:
        ModelCard.model_validate_json(text)
    except ValidationError as error:
        raise OutputError(f"{target}: the model card is not valid: {error_text(error)}") from error
    arrays = {key: np.asarray(value, order="C") for key, value in weights.items()}
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "card": text,
        "sha256": _checksum(text, arrays),
    }
    try:
        with write_atomically(target, overwrite=True) as path:
            path.write_bytes(save(arrays, metadata=header))
    except OutputError:
        raise
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{target}: the model cannot be written ({error})") from error


def _read_header(path: Path) -> tuple[ModelCard, str, str]:
    """The card, its text and the checksum."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise ModelFileError(
            f"{path}: not a model file, or an incomplete one ({error}); expected a .safetensors "
            f"file written by `geodetect train` or `geodetect convert`"
        ) from error
    if header.get("format") != FORMAT:
        raise ModelFileError(
            f"{path}: holds weights but no geodetect model card; expected a file written by "
            f"`geodetect train` or `geodetect convert`"
        )
    if header.get("format_version") != FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: has format version {header.get('format_version')}, this program reads "
            f"{FORMAT_VERSION}; update geodetect"
        )
    try:
        text = header["card"]
        return ModelCard.model_validate_json(text), text, header.get("sha256", "")
    except (ValidationError, KeyError) as error:
        raise ModelFileError(
            f"{path}: the model card cannot be read: {error_text(error)}"
        ) from error


def _checksum(card: str, weights: Weights) -> str:
    """Of the card as written: one with fewer fields than cards have now still has its own."""
    digest = hashlib.sha256(card.encode())
    for key in sorted(weights):
        value = weights[key]
        digest.update(f"{key} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
