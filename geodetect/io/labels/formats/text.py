"""Text of label files in the encodings that labelling tools write."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from geodetect.errors import LabelError, error_text

HEAD_BYTES = 65_536
_BYTE_ORDER_MARKS = (  # UTF-32's begin with those of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


def read_head(path: Path) -> str:
    """Read the beginning of a text file; "" of a binary file."""
    with path.open("rb") as stream:
        data = stream.read(HEAD_BYTES)
    encoding = _find_encoding(data)
    if encoding == "utf-8" and b"\0" in data:
        return ""
    return data.decode(encoding, errors="replace")


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 or UTF-32, as its first bytes state.

    Raises:
        LabelError: It cannot be read, or is in another encoding.
    """
    try:
        data = path.read_bytes()
        return data.decode(_find_encoding(data))
    except (OSError, UnicodeError) as error:
        raise LabelError(
            f"{path} cannot be read: {error_text(error)}; expected text in UTF-8"
        ) from error


def split_fields(line: str) -> list[str]:
    """Split a line at spaces, tabs, commas or semicolons.

    Between spaces, a comma between digits is a decimal comma: "0 0,5 0,5 0,1 0,1".
    """
    if "," not in line and ";" not in line:
        return line.split()
    fields = line.replace(";", " ").split()
    numbers = sum(bool(_DECIMAL_COMMA.fullmatch(text)) for text in fields)
    if numbers > 1 and "." not in line:
        return [text.replace(",", ".") for text in fields]
    return line.replace(";", " ").replace(",", " ").split()


def _find_encoding(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    sample = data[:200]
    if len(sample) >= 4:  # UTF-16 without a mark: every other byte of plain text is zero
        if not any(sample[1::2]) and all(sample[::2]):
            return "utf-16-le"
        if not any(sample[::2]) and all(sample[1::2]):
            return "utf-16-be"
    return "utf-8"
