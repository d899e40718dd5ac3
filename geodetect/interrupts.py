"""Interrupts by signals, held back where they would leave work half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the end of the enclosed work, which must be short.

    Python handles signals in the main thread; in any other one nothing needs to be held back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    with ExitStack() as stack:
        stack.callback(_raise_first, held)  # last, with the handlers of before
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None:  # else it is none of Python's
                stack.callback(signal.signal, number, handler)
                signal.signal(number, lambda received, _: held.append(received))
        yield


def _raise_first(held: list[int]) -> None:
    if held:
        signal.raise_signal(held[0])
