"""Servers that stall, break off, redirect, or send something else than was asked for."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np

from tests.campaign import scenes
from tests.campaign.child import Surroundings
from tests.campaign.commands import fill
from tests.campaign.harness import Case, Kind, Part
from tests.campaign.scenes import Scene
from tests.campaign.seeds.rasters import CORNERS
from tests.helpers.square_scenes import grid_corners, squares_image, write_raster

SIDE = 384  # pixels: more than GDAL reads with the header
FAULTS = (
    "none", "stall", "slow", "drop", "short", "long", "403", "404", "416", "429", "500", "503",
    "no ranges", "other range", "other length", "html", "redirect", "redirect loop",
    "redirect to file", "changing", "shrinking", "empty", "no length", "bad status", "garbage",
)  # fmt: skip
PREDICT = "predict {url} -m {model} --device cpu -o {out}/squares.geojson --coverage "
COMMANDS = (
    f"{PREDICT} {{out}}/ground.geojson",
    f"{PREDICT} {{out}}/ground.geojson",
    "info {url}",
    "preview {url} --image-size 100 -o {out}/image.png",
    "evaluate {truth} {url} --resamples 0",
)
PATIENCE = {  # seconds: what a user sets to wait less than by default
    "GDAL_HTTP_TIMEOUT": "3",
    "GDAL_HTTP_CONNECTTIMEOUT": "2",
    "GDAL_HTTP_LOW_SPEED_TIME": "2",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_MAX_RETRY": "1",
    "GDAL_HTTP_RETRY_DELAY": "0.1",
}


@dataclass(frozen=True)
class Seeds:
    """A scene whose raster is large enough for several requests."""

    scene: Scene


def prepare(folder: Path) -> Seeds:
    """Write the scene, with noise, so that the raster stays large though it is compressed."""
    scene = scenes.prepare_scene(folder)
    image = squares_image(SIDE, grid_corners(SIDE))
    image += np.random.default_rng(0).integers(0, 16, image.shape, np.uint8)
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    write_raster(scene.raster, image, **layout)
    return Seeds(scene)


def try_case(case: Case, seeds: Seeds) -> None:
    """Serve a raster or a layer with a fault that begins with some request."""
    rng, scene = case.random, seeds.scene
    fault, first = rng.choice(FAULTS), rng.choice((0, 0, 1, 2, 3, 5))
    command = rng.choice(COMMANDS)
    name, *_ = command.split()
    file = scene.truth if name == "evaluate" else scene.raster
    address, server = _start_server(file.read_bytes(), fault, first, rng.random())
    arguments = fill(command, scene, url=f"{address}/{file.name}", out=case.output)
    try:
        outcome = case.run(
            *arguments,
            *([] if name == "preview" else ["--json"]),
            surroundings=Surroundings(case.folder, PATIENCE),
        )
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
    files = [case.output / name for name in ("squares.geojson", "ground.geojson", "image.png")]
    case.check_outputs(*files)
    case.check_leftovers(*(files if outcome.code == 0 else []))
    if outcome.code != 0 or scenes.is_told(outcome):
        return
    if name == "predict":
        missing = case.call(scenes.missing_squares, *files[:2], list(range(len(CORNERS))))
        if missing:
            case.report(Kind.SHORTFALL, f"{missing} squares are missing; {fault} from {first} on")
    elif name == "evaluate":
        counted = json.loads(outcome.stdout)["truth"]
        if counted != len(CORNERS):
            case.report(Kind.SHORTFALL, f"{counted} rows are read; {fault} from {first} on")


def _start_server(data: bytes, fault: str, first: int, seed: float) -> tuple[str, int]:
    """Serve data from a child process, which may have threads; return the address and the child."""
    server = Server(("127.0.0.1", 0), partial(Handler, data, fault, first, seed))
    process = os.fork()
    if process == 0:
        try:
            server.serve_forever()
        finally:
            os._exit(0)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}", process


class Server(ThreadingHTTPServer):
    """A server that says nothing about clients that go away."""

    def handle_error(self, *_: object) -> None:
        """Pass over an error of a connection."""


class Handler(BaseHTTPRequestHandler):
    """Server of one file with ranges, and with a fault from a request on.

    Args:
        data: The file.
        fault: One of ``FAULTS``.
        first: Number of the first request with the fault.
        seed: Seed of what is random.
    """

    protocol_version = "HTTP/1.1"
    requests: ClassVar[Counter[str]] = Counter()  # of all connections

    def __init__(
        self, data: bytes, fault: str, first: int, seed: float, *arguments: object
    ) -> None:
        self.data, self.fault, self.first = data, fault, first
        self.random = random.Random(seed)
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Write no log."""

    def _answer(self) -> None:
        number = self.requests["all"]
        self.requests["all"] += 1
        is_sound = number < self.first or self.fault == "none"
        try:
            self._send_file("none" if is_sound else self.fault, number)
        except OSError:  # the client has gone
            self.close_connection = True

    def _send_file(self, fault: str, number: int) -> None:
        data = self.data
        if fault == "stall":
            time.sleep(600)
        if fault == "drop":
            self.close_connection = True
            return
        if fault == "garbage":
            self.wfile.write(self.random.randbytes(500))
            self.close_connection = True
            return
        if fault == "bad status":
            self.wfile.write(b"HTTP/1.1 999 ???\r\nContent-Length: 0\r\n\r\n")
            return
        if fault.isdecimal():
            self._send(int(fault), b"<html>no</html>", {"Retry-After": "1"})
            return
        if fault.startswith("redirect"):
            target = {
                "redirect": "/elsewhere/scene.tif" if "elsewhere" not in self.path else "",
                "redirect loop": self.path,
                "redirect to file": "file:///etc/passwd",
            }[fault]
            if target:
                self._send(302, b"", {"Location": target})
                return
        if fault == "html":
            self._send(200, b"<html><body>Please log in</body></html>", {})
            return
        if fault == "changing":
            data = self.random.randbytes(len(data)) if number % 2 else data
        elif fault == "shrinking":
            data = data[: len(data) // 2]
        elif fault == "empty":
            data = b""
        self._send_range(fault, data)

    def _send_range(self, fault: str, data: bytes) -> None:
        asked = self.headers.get("Range", "")
        headers = {"Accept-Ranges": "bytes"}
        status, body = 200, data
        if asked.startswith("bytes=") and fault != "no ranges":
            low, _, high = asked.removeprefix("bytes=").partition("-")
            start, end = int(low or 0), min(int(high or len(data) - 1), len(data) - 1)
            if start > end:
                self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            shift = 777 if fault == "other range" else 0
            status, body = 206, data[start + shift : end + 1 + shift]
            stated = len(data) * 3 if fault == "other length" else len(data)
            headers["Content-Range"] = f"bytes {start + shift}-{end + shift}/{stated}"
        self._send(status, body, headers, fault)

    def _send(self, status: int, body: bytes, headers: dict[str, str], fault: str = "") -> None:
        self.send_response(status)
        length = len(body) + {"short": 100, "long": -100}.get(fault, 0)
        headers = {"Last-Modified": formatdate(0, usegmt=True)} | headers
        if fault == "no length":
            self.close_connection = True
        else:
            headers["Content-Length"] = str(max(length, 0))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "slow":
            for start in range(0, len(body), 100):
                self.wfile.write(body[start : start + 100])
                time.sleep(1)
        else:
            self.wfile.write(body)
        if fault in {"short", "long"}:
            self.close_connection = True


PART = Part("bad_servers", prepare, try_case)
