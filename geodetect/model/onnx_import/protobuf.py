"""Protobuf messages, read from their wire format.

Not the package ``onnx``: it is an extra, and a plain installation converts ONNX files. Of these
only names and a few numbers are read here; OpenVINO reads the graph.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

from geodetect.errors import ModelFileError

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5  # wire types
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
MAX_VARINT_BYTES = 10
CONTINUES = 0x80  # bit of a byte of a varint that is not its last one

Value = int | memoryview


class Message:
    """A message, whose fields are read when they are asked for.

    Args:
        data: Its encoded fields.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def fields(self) -> Iterator[tuple[int, Value]]:
        """Yield number and value of each field: an integer, or the bytes of a text or message.

        Raises:
            ModelFileError: The bytes are no message.
        """
        position, end = 0, len(self._data)
        while position < end:
            key, position = self._read_varint(position)
            number, wire_type = key >> 3, key & 7
            if wire_type == VARINT:
                value, position = self._read_varint(position)
                yield number, value
                continue
            if wire_type == LENGTH_DELIMITED:
                length, position = self._read_varint(position)
            elif wire_type in FIXED_BYTES:
                length = FIXED_BYTES[wire_type]
            else:
                raise ModelFileError(f"field {number} has the unknown wire type {wire_type}")
            if length > end - position:
                raise ModelFileError(f"field {number} is cut short")
            yield number, self._data[position : position + length]
            position += length

    def messages(self, *numbers: int) -> Iterator[Message]:
        """Yield the messages in the fields of these numbers."""
        for number, value in self.fields():
            if number in numbers and isinstance(value, memoryview):
                yield Message(value)

    def texts(self, number: int) -> Iterator[str]:
        """Yield the texts in the fields of this number; damaged characters are replaced."""
        for field, value in self.fields():
            if field == number and isinstance(value, memoryview):
                yield bytes(value).decode("utf-8", errors="replace")

    def text(self, number: int) -> str:
        """Return the text of a field; the last one counts, and without any it is empty."""
        return next(reversed(list(self.texts(number))), "")

    def integer(self, number: int) -> int:
        """Return the integer of a field; the last one counts, and without any it is 0."""
        values = [v for field, v in self.fields() if field == number and isinstance(v, int)]
        return values[-1] if values else 0

    def _read_varint(self, position: int) -> tuple[int, int]:
        """Return an integer, and the position behind it."""
        value = 0
        for i, byte in enumerate(self._data[position : position + MAX_VARINT_BYTES]):
            value |= (byte & ~CONTINUES) << 7 * i
            if not byte & CONTINUES:
                return value, position + i + 1
        raise ModelFileError("a number is cut short")
