"""Signals that end the program, SIGINT (Ctrl-C) and SIGTERM, as one ``KeyboardInterrupt``."""

from __future__ import annotations

import _thread
import math
import signal
import threading
import time
from dataclasses import dataclass

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SIGNAL_CODES = 128  # added to the number of a signal, as shells report it: 130 and 143
REPEAT_S = 2.0  # torchrun, schedulers and impatient users send several signals in a row
SWALLOWED_S = 0.05  # after which an interrupt that a function has swallowed is raised again


@dataclass
class _Interrupt:
    """State of the interrupt of this program.

    Args:
        first: Number of the signal that came first; None: none has come.
        last_s: When the last one was raised, in seconds of the monotonic clock.
        is_ending: The program ends; further signals change nothing.
    """

    first: int | None = None
    last_s: float = -math.inf
    is_ending: bool = False


_interrupt = _Interrupt()


def catch_signals() -> None:
    """Raise ``KeyboardInterrupt`` in the main thread when a signal comes.

    Signals that follow at once do not disturb the end of the work: files are removed or completed
    meanwhile. A later one is raised again, as a library may have lost the first.
    """
    _interrupt.first, _interrupt.last_s, _interrupt.is_ending = None, -math.inf, False
    for number in SIGNALS:
        signal.signal(number, _raise_interrupt)


def raise_again() -> None:
    """Raise ``KeyboardInterrupt`` once more, in a moment.

    A finalizer or a function of a C library that runs when a signal comes swallows the interrupt.
    """
    timer = threading.Timer(SWALLOWED_S, _send_signal, args=(threading.get_ident(),))
    timer.daemon = True
    timer.start()


def begin_ending() -> None:
    """Let no further signal interrupt the last lines of the program."""
    _interrupt.is_ending = True


def is_ending() -> bool:
    """Return True after ``begin_ending``."""
    return _interrupt.is_ending


def has_interrupt() -> bool:
    """Return True if a signal has come."""
    return _interrupt.first is not None


def interrupt_code() -> int:
    """Return the exit code of a program that a signal has ended."""
    return SIGNAL_CODES + (_interrupt.first or signal.SIGINT)


def ignore_signals() -> None:
    """Ignore signals while the interpreter ends: all files are whole."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _send_signal(thread: int) -> None:
    number = signal.Signals(_interrupt.first or signal.SIGINT)
    if signal.getsignal(number) is not _raise_interrupt:  # of another program in this process
        return
    _interrupt.last_s = -math.inf
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, number)  # ends calls in which the thread waits, too
    else:
        _thread.interrupt_main(number)


def _raise_interrupt(number: int, _: object) -> None:
    now = time.monotonic()
    if _interrupt.is_ending or now - _interrupt.last_s < REPEAT_S:
        return
    _interrupt.first = _interrupt.first or number
    _interrupt.last_s = now
    raise KeyboardInterrupt
