"""A web server that must hear nothing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized


class Handler(BaseHTTPRequestHandler):
    """Counts requests and answers none."""

    requests: Synchronized[int]

    def do_GET(self) -> None:
        with self.requests.get_lock():
            self.requests.value += 1
        self.send_error(404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@dataclass
class SilentServer:
    """Address of the server, and the number of requests that it heard."""

    url: str
    requests: Synchronized[int]


def _serve(requests: Synchronized[int], port: Connection) -> None:
    Handler.requests = requests
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        port.send(server.server_port)
        server.serve_forever()


@contextmanager
def silent_server() -> Iterator[SilentServer]:
    """Start the server in a process of its own: GDAL may hold the interpreter while it waits."""
    context = multiprocessing.get_context("spawn")
    requests, (port, theirs) = context.Value("q", 0), context.Pipe()
    process = context.Process(target=_serve, args=(requests, theirs), daemon=True)
    process.start()
    try:
        assert port.poll(60)
        yield SilentServer(f"http://127.0.0.1:{port.recv()}", requests)
    finally:
        process.terminate()
        process.join()
