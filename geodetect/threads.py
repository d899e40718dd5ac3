"""Threads that may hang in native code, and waits for them that a signal or a time limit ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, TypeVar

STOP_TIMEOUT_S = 1.0  # for threads that work on what is no longer needed

T = TypeVar("T")
_Call = tuple["Future[Any]", Callable[[], Any]]


class _CallThread:
    """Thread that makes calls for the main thread; Python does not wait for it at exit."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="geodetect-call", daemon=True)
        self._thread.start()
        self.pending: Future[Any] | None = None

    @property
    def is_usable(self) -> bool:
        """It is not lost in a fork, nor does it hang in a call that was given up."""
        return self._thread.is_alive() and (self.pending is None or self.pending.done())

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        self.pending = Future()
        self._calls.put((self.pending, function))
        return self.pending

    def _serve(self) -> None:
        while True:
            future, function = self._calls.get()
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            del future, function


_call_thread: _CallThread | None = None


def call_interruptibly(function: Callable[[], T], *, timeout_s: float | None = None) -> T:
    """Call a function in such a way that Ctrl-C and SIGTERM end the wait for it.

    Python handles signals in the main thread, and only between two of its instructions. There, a
    call of a native library that hangs could not be interrupted. So the main thread has another
    one make the call, the same for all calls; any other thread makes it itself.

    Args:
        function: The function.
        timeout_s: Seconds after which the wait ends in the main thread; None: never.

    Raises:
        TimeoutError: The time is over; the function may still run.
    """
    global _call_thread
    if threading.current_thread() is not threading.main_thread():
        return function()
    if _call_thread is None or not _call_thread.is_usable:
        _call_thread = _CallThread()
    result: T = _call_thread.submit(function).result(timeout_s)
    return result


def stop_pools(pools: Sequence[ThreadPoolExecutor], futures: Iterable[Future[Any]]) -> None:
    """Cancel what has not begun, and wait a short time for what has.

    Args:
        pools: Pools of threads; they take no more work.
        futures: All of their futures that may not be done.
    """
    for pool in pools:
        pool.shutdown(wait=False, cancel_futures=True)
    hangs = bool(wait(futures, timeout=STOP_TIMEOUT_S).not_done)
    for pool in pools:
        pool.shutdown(wait=not hangs)
