"""Lines of ``--progress json`` on the error stream, each a JSON object."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Literal

from pydantic import Field

from geodetect.json_text import finite
from geodetect.redaction import redact_all
from geodetect_cli.json_output.envelope import Count, JsonValues
from geodetect_cli.streams import printable_json

PRINTED_FIGURES = ("objects", "shards", "shards_total")  # with keys of their own


class Event(JsonValues):
    """Line of `--progress json`."""

    time: str = Field(description="Time of the event in UTC, ISO 8601.")
    command: str | None = Field(description="Name of the command.")


class ProgressEvent(Event):
    """Begin, state or end of a phase of the work.

    Args:
        phase: Name of the phase, such as Detecting.
        unit: Units of `completed` and `total`, in the plural; empty: nothing is counted.
        completed: Units that are completed.
        total: Units in all; 0: unknown.
        objects: Number of detected objects in the output: so far; null: none are counted.
        shards: Shards that are completed; null: there are none.
        shards_total: Shards in all.
        figures: Further values by name, such as the loss of a training.
        seconds: Duration of the phase so far, in seconds.
        seconds_left: Time left at the present speed, in seconds; null: unknown.
    """

    event: Literal["begin", "progress", "end"] = Field(
        description="begin or end of the phase, or progress: its state, every `--progress-every` "
        "seconds."
    )
    phase: str
    unit: str
    completed: Count
    total: Count
    objects: Count | None
    shards: Count | None
    shards_total: Count | None
    figures: dict[str, float | None]
    seconds: float
    seconds_left: float | None


class MessageEvent(Event):
    """Message of the program.

    Args:
        text: One line, without `Warning: ` and `Error: `.
    """

    event: Literal["message", "warning", "error"] = Field(
        description="Kind of the message; an error is the last line."
    )
    text: str


class EventLines:
    """Error stream as lines of JSON, in place of messages and bars.

    Attributes:
        is_active: The running command writes such lines.
    """

    def __init__(self) -> None:
        self._lock = Lock()  # progress is written by a thread
        self.start(None, is_active=False)

    def start(self, command: str | None, *, is_active: bool) -> None:
        """Begin the lines of a command; None: none was named."""
        self._command, self.is_active = command, is_active

    def write_messages(self, kind: str, text: str) -> None:
        """Write each line of a text as a message.

        Args:
            kind: ``message``, ``warning`` or ``error``.
            text: Text, with ``Warning: `` or ``Error: `` before it.
        """
        for line in filter(str.strip, text.splitlines()):
            message = line.strip().removeprefix(f"{kind.capitalize()}: ")
            self._write(MessageEvent, event=kind, text=message)

    def write_progress(self, event: str, **values: object) -> None:
        """Write the state of a phase.

        Args:
            event: ``begin``, ``progress`` or ``end``.
            values: Further values of ``ProgressEvent``.
        """
        self._write(ProgressEvent, event=event, **values)

    def _write(self, kind: type[Event], **values: object) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        fields = finite({"time": time, "command": self._command, **values})
        event = kind.model_validate(fields).model_dump(mode="json")
        text = json.dumps(redact_all(event), ensure_ascii=False, allow_nan=False)
        with self._lock, suppress(OSError):  # as messages are dropped then
            sys.stderr.write(printable_json(text) + "\n")
            sys.stderr.flush()


event_lines = EventLines()
