"""Model files: weights as safetensors, with the model card as JSON in the header.

Safetensors files hold numbers and text only: unlike a pickle, loading one cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from geodetect.errors import ModelFileError, OutputError, list_names, suggest, translate_errors
from geodetect.io.atomic import check_folder, check_overwrite, final_path, write_atomically
from geodetect.model.card import ModelCard, list_problems
from geodetect.model.foreign_files import foreign_kind
from geodetect.model.layouts.registry import layout_of
from geodetect.types import PathLike

FORMAT = "geodetect"
FORMAT_VERSION = "2"
READ_VERSIONS = ("1", FORMAT_VERSION)  # files of version 1 hold no network in OpenVINO's form
SUFFIX = ".safetensors"
MAX_WEIGHT = 1e8  # products of larger ones overflow, and OpenVINO takes NaN for 0
HALF_BYTES = 2
HEADER_START = 8  # after the length of the header; its end is a multiple of this
BUILT_IN = Path(__file__).parent / "weights"

Weights = Mapping[str, NDArray[np.generic]]


def list_models() -> list[str]:
    """Return the names of the built-in models, in alphabetical order.

    Each can be given in place of the path of a model file.
    """
    return sorted(path.stem for path in BUILT_IN.glob(f"*{SUFFIX}"))


def model_path(model: PathLike) -> Path:
    """Return the path of a built-in model or a model file.

    Raises:
        ModelFileError: There is neither.
    """
    text = os.fspath(model)
    if text in list_models():
        return BUILT_IN / f"{text}{SUFFIX}"
    path = Path(text).expanduser()
    if path.is_file():
        return path
    raise ModelFileError(
        f"no model {text!r}: it is neither a file nor a built-in model "
        f"({list_names(list_models()) or 'none'}); choose another `model`"
        f"{suggest(text, list_models())}"
    )


def is_model_file(path: Path) -> bool:
    """Return True for a file that this module wrote, damaged or not; False for any other."""
    try:
        with (
            translate_errors(f"{path}", ModelFileError),
            safe_open(path, framework="numpy") as file,
        ):
            return (file.metadata() or {}).get("format") == FORMAT
    except ModelFileError:
        return False


def load_card(model: PathLike) -> ModelCard:
    """Read the card of a model, without its weights.

    Args:
        model: Name of a built-in model or path of a model file.

    Returns:
        Its metadata: classes, resolution, score threshold, provenance.

    Raises:
        ModelFileError: There is no such model, or the file is damaged or of another kind.
    """
    return _read_header(model_path(model))[0]


def checksum(model: PathLike) -> str:
    """Return the SHA-256 of card and weights that the header of a model file states.

    Raises:
        ModelFileError: There is no such model, or the file is damaged or of another kind.
    """
    return _read_header(model_path(model))[2]


def read_model_file(
    model: PathLike,
) -> tuple[ModelCard, dict[str, NDArray[np.generic]]]:
    """Read card and weights of a model, and check them against the checksum in its header.

    Raises:
        ModelFileError: There is no such model, or the file is damaged, changed or of another kind.
    """
    path = model_path(model)
    card, text, expected = _read_header(path)
    with (
        translate_errors(f"{path}: the weights cannot be read", ModelFileError),
        safe_open(path, framework="numpy") as file,
    ):
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
    if _checksum(text, weights) != expected:
        raise ModelFileError(
            f"{path}: the checksum does not match: the file was changed or damaged after it was "
            f"written; fetch it again or choose another `model`"
        )
    problem = _find_bad_numbers(weights)
    if problem:
        raise ModelFileError(
            f"{path}: {problem}; the model is damaged: fetch it again, train it again, or choose "
            f"another `model`"
        )
    return card, weights


def check_target(path: PathLike, *, overwrite: bool) -> None:
    """Raise an error if a model file cannot be written, before the work that makes the model.

    Raises:
        OutputError: Its suffix is not ``.safetensors``, it exists and ``overwrite`` is not set, or
            its folder cannot be written.
    """
    target = Path(path)
    if target.suffix != SUFFIX:
        raise OutputError(f"{target}: the name of a model file ends in {SUFFIX}")
    final = final_path(target)
    check_folder(final)
    check_overwrite(final, overwrite=overwrite)


def write_model_file(path: PathLike, card: ModelCard, weights: Weights) -> None:
    """Write a model file, usually ``.safetensors``, atomically, replacing an existing one.

    Raises:
        OutputError: It cannot be written, or could not be read again.
    """
    target = Path(path)
    text = card.model_dump_json()
    try:
        ModelCard.model_validate_json(text)
    except ValidationError as error:
        raise OutputError(
            f"{target}: the model card is not valid: {list_problems(error)}"
        ) from error
    arrays = {key: np.asarray(value, order="C") for key, value in weights.items()}
    problem = _find_bad_numbers(arrays)
    if problem:
        raise OutputError(f"{target}: the model is not written: {problem}")
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "card": text,
        "sha256": _checksum(text, arrays),
    }
    try:
        with write_atomically(target, overwrite=True) as temporary:
            temporary.write_bytes(_encode(arrays, header))
    except OutputError:
        raise
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{target}: the model cannot be written ({error})") from error


def _read_header(path: Path) -> tuple[ModelCard, str, str]:
    """Return the card, its JSON and the checksum."""
    try:
        with (
            translate_errors(
                f"{path}: not a model file, or an incomplete one; expected a .safetensors file "
                f"written by `geodetect train` or `geodetect convert`",
                ModelFileError,
            ),
            safe_open(path, framework="numpy") as file,
        ):
            header = file.metadata() or {}
    except ModelFileError as error:
        kind = foreign_kind(path)
        if kind is None:
            raise
        remedy = "expected a .safetensors file written by `geodetect train` or `geodetect convert`"
        if kind.is_checkpoint:
            remedy = (
                "convert a RetinaNet of torchvision or DeepForest, or another detector exported as "
                ".onnx, with `geodetect convert`"
            )
        if kind.suffix == ".onnx":
            remedy = "convert it with `geodetect convert`"
        raise ModelFileError(f"{path}: not a model file but {kind.name}; {remedy}") from error
    if header.get("format") != FORMAT:
        raise ModelFileError(
            f"{path}: holds weights but no geodetect model card; expected a file written by "
            f"`geodetect train`; convert a RetinaNet of torchvision with `geodetect convert`"
        )
    if header.get("format_version") not in READ_VERSIONS:
        raise ModelFileError(
            f"{path}: has format version {header.get('format_version')}, this program reads "
            f"{' and '.join(READ_VERSIONS)}; update geodetect"
        )
    text = header.get("card", "")
    try:
        return ModelCard.model_validate_json(text), text, header.get("sha256", "")
    except ValidationError as error:
        raise ModelFileError(
            f"{path}: the model card cannot be read: {list_problems(error)}"
        ) from error


def _encode(arrays: Weights, metadata: Mapping[str, str]) -> bytes:
    """Return the content of a safetensors file, the same bytes for the same arrays and metadata.

    The library writes metadata in any order. Offsets are counted from the end of the header, so
    they stay as they are.
    """
    content = save(dict(arrays), metadata=dict(metadata))
    end = HEADER_START + int.from_bytes(content[:HEADER_START], "little")
    header = json.loads(content[HEADER_START:end])
    header["__metadata__"] = dict(metadata)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % HEADER_START)  # aligned, as the format demands
    return b"".join([len(text).to_bytes(HEADER_START, "little"), text, content[end:]])


def _find_bad_numbers(weights: Weights) -> str:
    """Return the first array with numbers that no trained network has, and their count."""
    for name, array in weights.items():
        if array.dtype.kind != "f":
            continue
        is_usable = np.isfinite(array)
        if array.itemsize > HALF_BYTES:
            is_usable &= np.abs(array) <= MAX_WEIGHT
        count = array.size - np.count_nonzero(is_usable)
        if count:
            return f"{count:,} of {array.size:,} values of {name} are NaN, infinite or huge"
        if name.endswith("running_var") and np.signbit(array).any():
            return f"{np.count_nonzero(np.signbit(array)):,} variances in {name} are negative"
    return ""


def _checksum(card: str, weights: Weights) -> str:
    """Return the SHA-256 of weights and the card's JSON, as written: it may lack newer fields."""
    digest = hashlib.sha256(card.encode())
    for key in sorted(weights):
        value = weights[key]
        digest.update(f"{key} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def draws_outlines(card: ModelCard) -> bool | None:
    """Return True if a model finds outlines: by its outline head, or as oriented boxes.

    None: it is no model file, and not known.
    """
    if card.imported is not None:
        return layout_of(card.imported.layout).is_oriented
    return None if card.network is None else card.network.outline is not None
