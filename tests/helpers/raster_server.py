"""Web server that answers requests for ranges of files, and fails in any way on demand."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

STALL, STALL_IN_BODY, DROP, SHORT_BODY, REDIRECT = -1, -2, -3, -4, -5  # faults that are no status


class Handler(SimpleHTTPRequestHandler):
    """Answers requests for ranges of files, counts them, and fails as the settings say."""

    protocol_version = "HTTP/1.1"
    folder: Path
    counters: Counters

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        fault = self.counters.count(self.path)
        if fault == STALL:
            threading.Event().wait()
        if fault == DROP:
            self.close_connection = True
            return
        if fault == REDIRECT:
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = self.folder / self.path.split("?")[0].lstrip("/")
        if path.is_dir() and not fault:
            page = self.list_directory(path)
            if page is not None and with_body:
                self.copyfile(page, self.wfile)
            return
        if fault > 0 or not path.is_file():
            self._send_status(fault if fault > 0 else 404)
            return
        data = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        stop = min(int(asked[2]) + 1 if asked and asked[2] else len(data), len(data))
        if start >= len(data):
            self._send_status(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.end_headers()
        if not with_body:
            return
        if fault in (STALL_IN_BODY, SHORT_BODY):
            stop = (start + stop) // 2
            self.close_connection = True
        with contextlib.suppress(ConnectionError):  # GDAL hangs up when it has enough
            self.wfile.write(data[start:stop])
            self.wfile.flush()
            with self.counters.sent.get_lock():
                self.counters.sent.value += stop - start
        if fault == STALL_IN_BODY:
            threading.Event().wait()

    def _send_status(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@dataclass(frozen=True)
class Counters:
    """Counters of a server, and its fault, shared with the test.

    Args:
        sent: Bytes of bodies.
        requests: Requests since ``fail``.
        fault: Status to answer, or one of the faults above; 0: none.
        first: Number of the first request that fails, counted from 1.
        every: Every n-th request from then on fails.
        last: Number of the last request that fails; 0: none is the last.
        paths: Paths that were asked for.
    """

    sent: Synchronized[int]
    requests: Synchronized[int]
    fault: Synchronized[int]
    first: Synchronized[int]
    every: Synchronized[int]
    last: Synchronized[int]
    log: Path

    def count(self, path: str) -> int:
        """Count a request; return its fault, or 0."""
        with self.requests.get_lock():
            self.requests.value += 1
            number = self.requests.value - self.first.value
            with self.log.open("a") as log:
                log.write(f"{path}\n")
        is_last = self.last.value and number > self.last.value - self.first.value
        if number < 0 or number % self.every.value or is_last:
            return 0
        return self.fault.value


def _serve(folder: Path, counters: Counters, port: Connection) -> None:
    Handler.folder, Handler.counters = folder, counters
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        port.send(server.server_port)
        server.serve_forever()


@dataclass(frozen=True)
class RasterServer:
    """A folder on a web server, in a process of its own.

    GDAL may hold the interpreter while it waits for an answer.
    """

    url: str
    folder: Path
    counters: Counters

    @property
    def sent(self) -> int:
        """Bytes of bodies that went out."""
        return self.counters.sent.value

    @property
    def requests(self) -> int:
        """Requests so far."""
        return self.counters.requests.value

    @property
    def paths(self) -> list[str]:
        """Paths that were asked for, in order."""
        return self.counters.log.read_text().splitlines()

    def fail(self, fault: int, *, first: int = 1, every: int = 1, last: int = 0) -> None:
        """Fail requests from now on.

        Args:
            fault: Status to answer, or one of the faults of this module; 0: none.
            first: Number of the first request that fails, counted from 1 from now on.
            every: Every n-th request from then on fails.
            last: Number of the last request that fails; 0: none is the last.
        """
        counters = self.counters
        counters.fault.value, counters.first.value = fault, first
        counters.every.value, counters.last.value = every, last
        counters.requests.value = counters.sent.value = 0
        counters.log.write_text("")

    def wait_for_request(self, number: int, timeout_s: float = 30) -> None:
        """Wait until this many requests came in."""
        end = time.monotonic() + timeout_s
        while self.requests < number:
            assert time.monotonic() < end, f"{self.requests} requests came in, expected {number}"
            time.sleep(0.01)


@contextlib.contextmanager
def serve_rasters(folder: Path, log: Path) -> Iterator[RasterServer]:
    """Serve a folder on a free port of this machine.

    Args:
        folder: The folder.
        log: File for the paths that are asked for.
    """
    context = multiprocessing.get_context("spawn")
    values = [context.Value("q", start) for start in (0, 0, 0, 1, 1, 0)]
    log.write_text("")
    counters, (port, theirs) = Counters(*values, log), context.Pipe()
    process = context.Process(target=_serve, args=(folder, counters, theirs), daemon=True)
    process.start()
    try:
        assert port.poll(60)
        yield RasterServer(f"http://127.0.0.1:{port.recv()}", folder, counters)
    finally:
        process.kill()
        process.join()
