"""Threads that may hang in native code, and waits for them that a signal or a time limit ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, TypeVar

from geodetect.hardware.cpu import usable_cores

STUCK_POLL_S = 1.0
STOP_TIMEOUT_S = 1.0  # for threads that work on what is no longer needed

T = TypeVar("T")
_Call = tuple["Future[Any]", Callable[[], Any]]


class _CallThread:
    """Thread that makes calls for another one; Python does not wait for it at exit."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=_serve, args=(self._calls,), name="geodetect-call", daemon=True
        )
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

    def __del__(self) -> None:
        self._calls.put(None)  # the thread that it works for has ended


def _serve(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        future, function = call
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
        del call, future, function


_call_threads = threading.local()


def call_interruptibly(
    function: Callable[[], T],
    *,
    timeout_s: float | None = None,
    is_stuck: Callable[[], bool] = lambda: True,
) -> T:
    """Call a function in such a way that Ctrl-C and SIGTERM end the wait for it.

    Python handles signals in the main thread, and only between two of its instructions. There, a
    call of a native library that hangs could not be interrupted. So another thread makes the call,
    the same one for all calls of a thread. Without a time limit, only the main thread needs it.

    Args:
        function: The function.
        timeout_s: Seconds after which the wait may end; None: never.
        is_stuck: Returns True if the wait ends then; else the call has more time.

    Raises:
        TimeoutError: The time is over; the function may still run.
    """
    if timeout_s is None and threading.current_thread() is not threading.main_thread():
        return function()
    thread: _CallThread | None = getattr(_call_threads, "thread", None)
    if thread is None or not thread.is_usable:
        thread = _call_threads.thread = _CallThread()
    future = thread.submit(function)
    if timeout_s is not None:
        wait([future], timeout_s)
        while not future.done() and not is_stuck():
            wait([future], STUCK_POLL_S)
        timeout_s = 0
    result: T = future.result(timeout_s)
    return result


def call_in_threads(function: Callable[[T], None], items: Sequence[T]) -> None:
    """Call a function with each of some items, in as many threads as there are cores.

    After an error, or an interrupt, the items that have not begun are left out.
    """
    pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="geodetect-call")
    futures = [pool.submit(function, item) for item in items]
    try:
        for future in futures:
            future.result()
    finally:
        stop_pools([pool], futures)


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
