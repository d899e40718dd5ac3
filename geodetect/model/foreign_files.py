"""Files of other programs that are given in place of a model, recognised by their first bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geodetect.errors import ModelFileError

HEAD_BYTES = 16
PICKLES = (".pt", ".pth", ".pl", ".ckpt", ".bin")
SAFETENSORS, ONNX = ".safetensors", ".onnx"
WEIGHTS_SUFFIXES = (*PICKLES, SAFETENSORS)


@dataclass(frozen=True)
class ForeignKind:
    """Kind of file of another program.

    Args:
        name: Description with its article.
        head: First bytes, after ``offset``.
        offset: Bytes before them.
        suffix: Suffix of files whose first bytes say nothing.
        is_checkpoint: It may hold weights that ``convert`` reads.
    """

    name: str
    head: bytes = b""
    offset: int = 0
    suffix: str = ""
    is_checkpoint: bool = False

    def matches(self, path: Path, head: bytes) -> bool:
        """Return True if a file that begins with ``head`` is of this kind."""
        if self.suffix:
            return path.suffix.lower() == self.suffix
        return head[self.offset :].startswith(self.head)


KINDS = (
    ForeignKind(
        "a checkpoint of PyTorch, or another ZIP archive", b"PK\x03\x04", is_checkpoint=True
    ),
    *(
        ForeignKind("a pickle, as PyTorch writes it", bytes([0x80, protocol]), is_checkpoint=True)
        for protocol in range(2, 6)
    ),
    ForeignKind("a Keras model, or another HDF5 file", b"\x89HDF\r\n"),
    ForeignKind("a TensorFlow Lite model", b"TFL3", offset=4),
    ForeignKind("a GGUF file", b"GGUF"),
    ForeignKind("a GeoPackage, or another SQLite file", b"SQLite format 3"),
    *(ForeignKind("a TIFF image", head) for head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ForeignKind("a gzip archive", b"\x1f\x8b"),
    ForeignKind("an ONNX model", suffix=ONNX),
    ForeignKind("a TensorFlow graph", suffix=".pb"),
    ForeignKind("a TensorRT engine", suffix=".engine"),
    ForeignKind("a TensorFlow Lite model", suffix=".tflite"),
    ForeignKind("a model of Core ML", suffix=".mlmodel"),
    ForeignKind("a network in OpenVINO's form", suffix=".xml"),
    *(
        ForeignKind("a checkpoint of PyTorch", suffix=suffix, is_checkpoint=True)
        for suffix in (".pt", ".pth", ".ckpt")
    ),
)


def foreign_kind(path: Path) -> ForeignKind | None:
    """Return the kind of a file that is no safetensors file; None if it is unknown."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    return next((kind for kind in KINDS if kind.matches(path, head)), None)


def check_weights(path: Path) -> None:
    """Raise an error if a file is no checkpoint by its name.

    Raises:
        ModelFileError: It does not exist, or its suffix is of no checkpoint.
    """
    if path.suffix.lower() not in WEIGHTS_SUFFIXES:
        missing = "" if path.is_file() else "no such file, and "
        kind = foreign_kind(path)
        raise ModelFileError(
            f"{path}: {missing}{'files of this kind' if kind is None else kind.name} cannot be "
            f"converted; expected a detector exported as {ONNX}, or a checkpoint of PyTorch "
            f"({', '.join(PICKLES)}) or {SAFETENSORS}"
        )
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; expected the weights to convert")
