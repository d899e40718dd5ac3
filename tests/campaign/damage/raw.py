"""Damage to the bytes of any file."""

from __future__ import annotations

import random

BOUNDARIES = (0, 1, 4, 8, 16, 100, 512, 1024, 4096)


def damage_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return data with one to three damages: flipped bits, lost, zeroed or repeated ranges, ..."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(OPERATORS)(data, rng)
    return data


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """Flip one to 64 bits, anywhere or in the first kilobyte."""
    if not data:
        return data
    changed = bytearray(data)
    end = rng.choice((len(data), min(len(data), 1024)))
    for _ in range(rng.choice((1, 1, 4, 16, 64))):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Cut off the end: at a round position, near the start, near the end or anywhere."""
    position = rng.choice(
        (
            rng.choice(BOUNDARIES),
            rng.randrange(len(data) + 1),
            len(data) - rng.choice(BOUNDARIES),
            len(data) // 2,
        )
    )
    return data[: max(position, 0)]


def zero_range(data: bytes, rng: random.Random) -> bytes:
    """Set a range to one value, as a crash of a file system does."""
    start, end = _range(data, rng)
    return data[:start] + bytes([rng.choice((0, 0, 255, 32))]) * (end - start) + data[end:]


def remove_range(data: bytes, rng: random.Random) -> bytes:
    """Remove a range."""
    start, end = _range(data, rng)
    return data[:start] + data[end:]


def repeat_range(data: bytes, rng: random.Random) -> bytes:
    """Repeat a range behind itself, or over what follows."""
    start, end = _range(data, rng)
    rest = end if rng.random() < 0.5 else min(2 * end - start, len(data))
    return data[:end] + data[start:end] + data[rest:]


def insert_noise(data: bytes, rng: random.Random) -> bytes:
    """Insert random bytes."""
    position = rng.randrange(len(data) + 1)
    return data[:position] + rng.randbytes(rng.choice((1, 3, 16, 300))) + data[position:]


def _range(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    length = rng.choice((1, 2, 4, 16, 256, 4096))
    return start, min(start + length, len(data))


OPERATORS = (
    flip_bits,
    flip_bits,
    truncate,
    truncate,
    zero_range,
    remove_range,
    repeat_range,
    insert_noise,
)
