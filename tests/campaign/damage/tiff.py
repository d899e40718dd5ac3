"""Damage to the directories of TIFF and BigTIFF files."""

from __future__ import annotations

import random
import struct
from typing import NamedTuple

NUMBERS = (0, 1, 2, 3, 7, 8, 255, 256, 1000, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
FIELD_TYPES = (0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 16, 17, 99)
TAGS = (  # size, layout, compression, photometric, tiles, georeference, nodata, ...
    256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 330, 338, 339,
    347, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844, 65535,
)  # fmt: skip


class _Layout(NamedTuple):
    """Widths of the numbers of a file."""

    order: str
    first_directory: int  # position of the offset of the first directory
    offset: str
    entry_count: str

    @property
    def entry_size(self) -> int:
        return 4 + 2 * struct.calcsize(self.order + self.offset)


class _Entry(NamedTuple):
    """Entry of a directory: position in the file, tag, type, count and value or offset."""

    position: int
    tag: int
    field_type: int
    count: int
    value: int


def damage_tiff(data: bytes, rng: random.Random) -> bytes:
    """Return a TIFF with one to three entries changed, swapped or pointing elsewhere.

    Data that is no TIFF is returned as it is.
    """
    layout = _layout(data)
    if layout is None:
        return data
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        directories = _directories(bytes(changed), layout)
        if not directories:
            break
        position, entries = rng.choice(directories)
        if rng.random() < 0.15:
            _point_elsewhere(changed, layout, position, entries, rng)
        elif entries:
            _change_entry(changed, layout, entries, rng)
    return bytes(changed)


def _layout(data: bytes) -> _Layout | None:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return None
    (version,) = struct.unpack_from(order + "H", data, 2)
    return {42: _Layout(order, 4, "I", "H"), 43: _Layout(order, 8, "Q", "Q")}.get(version)


def _directories(data: bytes, layout: _Layout) -> list[tuple[int, list[_Entry]]]:
    """Return position and entries of each directory, as far as they lie in the file."""
    directories, positions = [], set()
    (position,) = struct.unpack_from(layout.order + layout.offset, data, layout.first_directory)
    while position and position not in positions:
        positions.add(position)
        try:
            (count,) = struct.unpack_from(layout.order + layout.entry_count, data, position)
            start = position + struct.calcsize(layout.order + layout.entry_count)
            entries = []
            for number in range(min(count, 100)):
                place = start + number * layout.entry_size
                values = struct.unpack_from(f"{layout.order}HH{layout.offset * 2}", data, place)
                entries.append(_Entry(place, *values))
            end = start + count * layout.entry_size
            directories.append((position, entries))
            (position,) = struct.unpack_from(layout.order + layout.offset, data, end)
        except struct.error:
            break
    return directories


def _change_entry(
    data: bytearray, layout: _Layout, entries: list[_Entry], rng: random.Random
) -> None:
    entry, other = rng.choice(entries), rng.choice(entries)
    number = rng.choice((*NUMBERS, len(data), entry.value + 1, max(entry.value - 1, 0)))
    number %= 2 ** (8 * struct.calcsize(layout.order + layout.offset))
    changed = rng.choice(
        (
            [entry._replace(value=number)],
            [entry._replace(value=number)],
            [entry._replace(value=other.value)],
            [entry._replace(count=number)],
            [entry._replace(tag=rng.choice(TAGS))],
            [entry._replace(tag=other.tag), other._replace(tag=entry.tag)],
            [entry._replace(field_type=rng.choice(FIELD_TYPES))],
            [entry._replace(tag=65_000)],  # a private tag: the entry is missing
        )
    )
    for position, *values in changed:
        struct.pack_into(f"{layout.order}HH{layout.offset * 2}", data, position, *values)


def _point_elsewhere(
    data: bytearray,
    layout: _Layout,
    position: int,
    entries: list[_Entry],
    rng: random.Random,
) -> None:
    """Make the offset of the first or the next directory point to itself, or anywhere."""
    end = position + struct.calcsize(layout.order + layout.entry_count)
    end += len(entries) * layout.entry_size
    place = rng.choice((layout.first_directory, end))
    target = rng.choice((position, 0, rng.randrange(len(data)), len(data) + 1))
    if place + struct.calcsize(layout.order + layout.offset) <= len(data):
        struct.pack_into(layout.order + layout.offset, data, place, target)
