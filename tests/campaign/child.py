"""Child processes of a warm parent: the program runs in a fork, without the time of its imports.

The parent has imported the program but has opened no file with GDAL and started no thread, so that
a fork of it behaves like a process of its own. Where the start of the process matters, the child
becomes a real ``python -m geodetect_cli``.
"""

from __future__ import annotations

import atexit
import faulthandler
import importlib
import os
import pickle
import pkgutil
import resource
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.util import _exit_function
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
MAX_ADDRESS_SPACE = 12 * 2**30  # bytes: a runaway allocation fails before it harms the machine
HELD_BACK = (signal.SIGINT, signal.SIGTERM)  # from a child that has not begun the program
AUDITED = frozenset(
    {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.utime"}
)

Limits = Mapping[int, int]


@dataclass(frozen=True)
class Interruption:
    """A signal to a child at a moment of its run.

    Args:
        number: The signal.
        after_s: Seconds after its start.
        at_event: Number of the file operation of Python that it comes with, instead of the time.
    """

    number: int
    after_s: float | None = None
    at_event: int | None = None


@dataclass(frozen=True)
class Surroundings:
    """What a child inherits.

    Args:
        folder: Working folder.
        variables: Environment variables; None removes one.
        limits: Limits by their number in ``resource``.
        closed: Descriptors of the standard streams that are closed.
        stdout: File or device of the output stream; None: a file that is read afterwards.
        umask: Mask of file modes.
        user: Number of the user; None: that of the parent.
        only_variables: The environment has no other variables.
    """

    folder: Path
    variables: Mapping[str, str | None] = field(default_factory=dict)
    limits: Limits = field(default_factory=dict)
    closed: Sequence[int] = ()
    stdout: Path | None = None
    umask: int | None = None
    user: int | None = None
    only_variables: bool = False


@dataclass(frozen=True)
class Outcome:
    """The end of a child.

    Args:
        code: Exit code; the negative number of the signal that ended it.
        stdout: Output stream.
        stderr: Error stream of Python.
        native: What native libraries wrote on the error stream of the system, such as libgeotiff.
        seconds: Duration.
        seconds_after_signal: From the interruption to the end; None: it ended before.
        peak_bytes: Largest resident memory.
        timed_out: The child was ended because it took too long.
    """

    code: int
    stdout: str
    stderr: str
    native: str
    seconds: float
    seconds_after_signal: float | None
    peak_bytes: int
    timed_out: bool


def run_child(
    action: Callable[[], object],
    surroundings: Surroundings,
    *,
    interruption: Interruption | None = None,
    max_seconds: float,
) -> Outcome:
    """Run a function in a forked child until it ends, or is ended."""
    with temporary_folder("streams") as folder:
        streams = [folder / stream for stream in ("stdout", "stderr", "native")]
        start = time.monotonic()
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)  # until the program begins
        child = os.fork()
        if child == 0:
            _be_child(action, surroundings, streams, interruption)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
        exit_fd = os.pidfd_open(child)
        try:
            sent, timed_out = None, False
            delay = None if interruption is None else interruption.after_s
            if interruption and delay is not None and not _has_ended(exit_fd, delay):
                os.kill(child, interruption.number)
                sent = time.monotonic()
            if not _has_ended(exit_fd, max_seconds):
                timed_out = True
                os.kill(child, signal.SIGABRT)  # faulthandler writes where it hangs
                _has_ended(exit_fd, 1)
                os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
        finally:
            os.close(exit_fd)
        end = time.monotonic()
        _end_group(child)
        texts = [
            file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
            for file in streams
        ]
    return Outcome(
        os.waitstatus_to_exitcode(status),
        *texts,
        seconds=end - start,
        seconds_after_signal=None if sent is None else end - sent,
        peak_bytes=usage.ru_maxrss * 1024,
        timed_out=timed_out,
    )


@contextmanager
def temporary_folder(name: str, *, keep: bool = False) -> Iterator[Path]:
    """Yield a new folder that everyone may read, and remove it.

    ``TemporaryDirectory`` would remove it at the end of each child, too.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"geodetect-campaign-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def run_program(arguments: Sequence[object]) -> None:
    """Run the program in this process, as ``main`` does."""
    from geodetect_cli.app import main

    sys.argv = [
        "geodetect",
        *(os.fsdecode(str(a) if not isinstance(a, bytes) else a) for a in arguments),
    ]
    main()


def become_program(arguments: Sequence[str | bytes]) -> NoReturn:
    """Replace this process by the program, from the folders that this process imports it from."""
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "cli")))
    if sys.stderr is not None:  # one stream for all, as in a terminal
        os.dup2(sys.stderr.fileno(), 2)
    os.execv(sys.executable, [sys.executable, "-m", "geodetect_cli", *arguments])


def call_in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a forked child, so that this process stays as it is.

    Raises:
        ChildError: The function raised an error, or the child crashed or hung.
    """
    with temporary_folder("call") as folder:
        result = folder / "result"

        def call() -> None:
            value = function(*arguments)
            result.write_bytes(pickle.dumps(value))

        outcome = run_child(call, Surroundings(folder), max_seconds=600)
        if outcome.code != 0:
            lines = (outcome.native + outcome.stderr).strip().splitlines()
            fatal = [line for line in lines if line.startswith("Fatal")]
            raise ChildError((fatal or lines or [""])[-1])
        return pickle.loads(result.read_bytes())


class ChildError(Exception):
    """A function failed in a child."""


def _be_child(
    action: Callable[[], object],
    surroundings: Surroundings,
    streams: Sequence[Path],
    interruption: Interruption | None,
) -> NoReturn:
    """Run the action and exit, as an interpreter does at its end."""
    code = 1
    try:
        _enter(surroundings, streams)
        if interruption is not None and interruption.at_event is not None:
            _signal_at_event(interruption)
        code = _exit_code(action)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _exit_code(action: Callable[[], object]) -> int:
    code = 0
    try:
        action()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        code = 1
        traceback.print_exc()
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException:
        traceback.print_exc()
        code = code or 120  # that of an interpreter whose streams fail at the end
    return code


def _import_all() -> None:
    """Import what commands import when they need it: another user may not be able to read it."""
    for package in ("geodetect", "geodetect_cli", "encodings"):
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if not module.name.endswith(".__main__"):
                with suppress(ImportError):  # of extras
                    importlib.import_module(module.name)
    importlib.import_module("openvino")


def _enter(surroundings: Surroundings, streams: Sequence[Path]) -> None:
    """Set up streams, environment and limits of a child."""
    os.setsid()
    atexit.unregister(_exit_function)  # it would join the processes that the parent has started
    for number in HELD_BACK:  # what has come is dropped
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    files = [Path(os.devnull), surroundings.stdout or streams[0], streams[2]]
    for number, file in enumerate(files):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = os.open(file, flags, 0o644)
        os.dup2(descriptor, number)
        if descriptor > 2:
            os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = streams[1].open("a", buffering=1, encoding="utf-8", errors="backslashreplace")
    faulthandler.enable(os.dup(2))
    os.chdir(surroundings.folder)
    if surroundings.only_variables:
        os.environ.clear()
    for name, value in surroundings.variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    tempfile.tempdir = None  # it is looked up anew
    if surroundings.umask is not None:
        os.umask(surroundings.umask)
    if surroundings.user is not None:
        _import_all()
        os.setgroups([])
        os.setgid(surroundings.user)
        os.setuid(surroundings.user)
    limits = {resource.RLIMIT_AS: MAX_ADDRESS_SPACE} | dict(surroundings.limits)
    for number, limit in limits.items():
        hard = resource.getrlimit(number)[1]
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(number, (soft, hard))
    for number in surroundings.closed:
        os.close(number)
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)


def _signal_at_event(interruption: Interruption) -> None:
    """Send this process the signal with one of its file operations."""
    count = 0

    def hook(event: str, _: object) -> None:
        nonlocal count
        if event in AUDITED:
            count += 1
            if count == interruption.at_event:
                os.kill(os.getpid(), interruption.number)

    sys.addaudithook(hook)


def _has_ended(exit_fd: int, seconds: float) -> bool:
    return bool(select.select([exit_fd], [], [], seconds)[0])


def _end_group(group: int) -> None:
    """End the processes that a child has left behind."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
