"""Damage to safetensors files: a length, a header of JSON, then the tensors."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

_LENGTH = struct.Struct("<Q")
LENGTHS = (0, 1, 2, 100, 2**20, 2**31, 2**40, 2**63, 2**64 - 1)


def split_header(data: bytes) -> tuple[str, bytes]:
    """Return the header and the bytes of the tensors."""
    (length,) = _LENGTH.unpack_from(data)
    return data[8 : 8 + length].decode(), data[8 + length :]


def join_header(header: bytes, tensors: bytes) -> bytes:
    """Return a file of a header and the bytes of the tensors."""
    return _LENGTH.pack(len(header)) + header + tensors


def damage_header(
    data: bytes, rng: random.Random, damage: Callable[[str, random.Random], str]
) -> bytes:
    """Return a file with another length of the header, or with a damaged header."""
    if rng.random() < 0.2:
        return _LENGTH.pack(rng.choice(LENGTHS)) + data[8:]
    header, tensors = split_header(data)
    return join_header(damage(header, rng).encode("utf-8", "surrogatepass"), tensors)
