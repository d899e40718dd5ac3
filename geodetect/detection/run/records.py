"""Records with their length and checksums, which show damage: one, or several in a file."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from io import FileIO

# before each payload: its length and CRC-32, then the CRC-32 of these two
_SIZES, _CHECKSUM = struct.Struct("<QI"), struct.Struct("<I")
FRAME_BYTES = _SIZES.size + _CHECKSUM.size


def pack_record(payload: bytes) -> bytes:
    """Return a record with a payload, which must not be empty."""
    sizes = _SIZES.pack(len(payload), zlib.crc32(payload))
    return sizes + _CHECKSUM.pack(zlib.crc32(sizes)) + payload


def unpack_record(data: bytes) -> bytes:
    """Return the payload of the only record in some bytes.

    Raises:
        ValueError: It is cut short or damaged.
    """
    frame, payload = data[:FRAME_BYTES], data[FRAME_BYTES:]
    if len(frame) == FRAME_BYTES and not _is_frame(frame):
        raise ValueError("damaged")
    length, checksum = _SIZES.unpack_from(frame) if len(frame) == FRAME_BYTES else (0, 0)
    if len(frame) < FRAME_BYTES or len(payload) < length:
        raise ValueError("cut short")
    if len(payload) > length or zlib.crc32(payload) != checksum:
        raise ValueError("damaged")
    return payload


def read_records(file: FileIO) -> Iterator[bytes]:
    """Yield the payloads of the records from the present position on, empty ones if damaged.

    They end before a record that is incomplete, as a killed process leaves it, or whose length is
    damaged; there the position of the file is left.
    """
    size, start = os.fstat(file.fileno()).st_size, file.tell()
    while _is_frame(frame := file.read(FRAME_BYTES)):
        length, checksum = _SIZES.unpack_from(frame)
        if length > size - file.tell():
            break
        payload = file.read(length)
        start = file.tell()
        yield payload if zlib.crc32(payload) == checksum else b""
    file.seek(start)


def is_rest_damaged(file: FileIO) -> bool:
    """Return True if the rest of a file is neither an incomplete record nor zeros.

    A killed process leaves an incomplete record, a loss of power leaves zeros on some systems.
    """
    frame = file.read(FRAME_BYTES)
    return len(frame) == FRAME_BYTES and any(frame) and not _is_frame(frame)


def _is_frame(frame: bytes) -> bool:
    sizes, checksum = frame[: _SIZES.size], frame[_SIZES.size :]
    return len(frame) == FRAME_BYTES and _CHECKSUM.pack(zlib.crc32(sizes)) == checksum
