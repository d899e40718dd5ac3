"""Signals that are held back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from geodetect.interrupts import hold_signals


@pytest.fixture(autouse=True)
def python_handler() -> Iterator[None]:
    """The handler that raises ``KeyboardInterrupt``; background jobs start without one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_waits_for_the_end_of_the_work() -> None:
    steps = []

    def work() -> None:
        with hold_signals():
            signal.raise_signal(signal.SIGINT)
            steps.append("first")
            with hold_signals():
                steps.append("second")
            steps.append("third")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["first", "second", "third"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_work_that_fails_meanwhile_ends_in_the_interrupt() -> None:
    def lose_process() -> None:
        with hold_signals():
            signal.raise_signal(signal.SIGINT)
            raise ConnectionError("the other process has ended by the same signal")

    with pytest.raises(KeyboardInterrupt) as caught:
        lose_process()
    assert isinstance(caught.value.__context__, ConnectionError)


def test_other_threads_hold_back_nothing() -> None:
    handlers = []

    def work() -> None:
        with hold_signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
