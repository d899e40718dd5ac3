"""Directories of a TIFF file: one of the image, and one of each mask and overview."""

from __future__ import annotations

import struct
from pathlib import Path

# by version of the format: struct codes of counts and offsets, bytes of an entry of a directory
_LAYOUTS = {42: ("H", "I", 12), 43: ("Q", "Q", 20)}


def has_damaged_directories(path: Path) -> bool:
    """Return True if a directory of a TIFF file lies beyond its end, or their chain has a loop.

    GDAL reads the image of such a file, without a word of the mask that is lost with a directory.

    Args:
        path: A local file; False if it is no TIFF.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 16:
            return False
        layout = _LAYOUTS.get(struct.unpack_from(f"{order}H", head, 2)[0])
        if layout is None:
            return False
        count_format, offset_format = (struct.Struct(order + code) for code in layout[:2])
        offset = offset_format.unpack_from(head, offset_format.size)[0]
        visited: set[int] = set()
        while offset:
            if offset in visited or offset + count_format.size > size:
                return True
            visited.add(offset)
            file.seek(offset)
            count = count_format.unpack(file.read(count_format.size))[0]
            next_at = offset + count_format.size + count * layout[2]
            if next_at + offset_format.size > size:
                return True
            file.seek(next_at)
            offset = offset_format.unpack(file.read(offset_format.size))[0]
    return False
