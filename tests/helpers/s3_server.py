"""S3-compatible server on this machine, which may be stopped and started again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import pytest

BUCKET = "bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "password", "AWS_REGION": "us-east-1"}


def _serve(orders: Connection) -> None:
    """Start and stop the server on order; its objects stay in this process."""
    os.environ |= KEYS
    import logging

    from moto.backends import get_backend
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # moto tells of each start
    get_backend("s3")[DEFAULT_ACCOUNT_ID]["global"].create_bucket(BUCKET, KEYS["AWS_REGION"])
    server, port = None, 0
    while (order := orders.recv()) != "end":
        if order == "start":
            server = ThreadedMotoServer("127.0.0.1", port)
            server.start()
            port = server.get_host_and_port()[1]
        elif server is not None:
            server.stop()
        orders.send(port)


@dataclass
class S3Server:
    """The server, in a process of its own, with one bucket.

    Args:
        port: Its port, which stays.
        orders: Connection to the process.
        folder: Folder of the bucket in which the addresses lie; each test has its own.
    """

    port: int
    orders: Connection
    folder: str = "test"
    is_running: bool = True

    @property
    def environment(self) -> dict[str, str]:
        """Environment of programs that use the server."""
        return KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def url(self, name: str) -> str:
        """Address of an object or folder."""
        return f"s3://{BUCKET}/{self.folder}/{name}"

    def stop(self) -> None:
        """Close the port; what is stored stays."""
        self.orders.send("stop")
        self.orders.recv()
        self.is_running = False

    def start(self) -> None:
        """Open the same port again."""
        self.orders.send("start")
        self.orders.recv()
        self.is_running = True


@contextmanager
def serve_s3() -> Iterator[S3Server]:
    """Run the server on a free port; tests are skipped where it is not installed."""
    pytest.importorskip("moto.server", reason="needs the extra test")
    orders, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        orders.send("start")
        assert orders.poll(120)
        yield S3Server(orders.recv(), orders)
    finally:
        process.kill()
        process.join()
