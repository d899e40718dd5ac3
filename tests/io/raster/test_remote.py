"""Rasters on a web server: only what is needed travels."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.shutil import copy

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.detection.run.fingerprint import run_fingerprint
from geodetect.errors import RasterError
from geodetect.io.raster.info import inspect_raster
from tests.conftest import METRES, Save
from tests.helpers.program import run_command

SIDE = 1500


class Handler(SimpleHTTPRequestHandler):
    """Answers requests for ranges of files, and counts what it sends."""

    folder: Path
    sent: Synchronized[int]

    def do_GET(self) -> None:
        path = self.folder / self.path.split("?")[0].lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        stop = min(int(asked[2]) + 1 if asked and asked[2] else len(data), len(data))
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.end_headers()
        with self.sent.get_lock():
            self.sent.value += stop - start
        self.wfile.write(data[start:stop])

    def do_HEAD(self) -> None:
        path = self.folder / self.path.split("?")[0].lstrip("/")
        self.send_response(200 if path.is_file() else 404)
        if path.is_file():
            self.send_header("Content-Length", str(path.stat().st_size))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def serve(folder: Path, sent: Synchronized[int], port: Connection) -> None:
    Handler.folder, Handler.sent = folder, sent
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        port.send(server.server_port)
        server.serve_forever()


@dataclass
class Served:
    """A folder on a web server, and how many bytes of it went out."""

    url: str
    folder: Path
    sent: Synchronized[int]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """In a process of its own: GDAL may hold the interpreter while it waits for an answer."""
    context = multiprocessing.get_context("spawn")
    sent, (port, theirs) = context.Value("q", 0), context.Pipe()
    folder = tmp_path_factory.mktemp("served")
    process = context.Process(target=serve, args=(folder, sent, theirs), daemon=True)
    process.start()
    try:
        assert port.poll(60)
        yield Served(f"http://127.0.0.1:{port.recv()}", folder, sent)
    finally:
        process.terminate()
        process.join()


@pytest.fixture
def served(server: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.sent.value = 0
    return server


@pytest.fixture
def cog(request: pytest.FixtureRequest, save: Save, served: Served) -> tuple[str, Any]:
    """Name and pixels of a COG of noise, which does not compress. GDAL remembers what it read."""
    pixels = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE)).astype(np.uint8)
    name = f"{request.node.name}.tif"
    copy(save(pixels, "plain.tif"), served.folder / name, driver="COG", blocksize=128)
    return name, pixels


def first_pixel(image: NDArray[np.uint8]) -> tuple[list[list[int]], list[float], list[int]]:
    seen.append(image.copy())
    return [[0, 0, image.shape[2], image.shape[1]]], [0.9], [0]


seen: list[NDArray[np.uint8]] = []


def test_only_the_part_of_a_remote_raster_that_is_needed_travels(
    served: Served, cog: tuple[str, Any]
) -> None:
    seen.clear()
    west, north = METRES @ (1024, 1024)
    settings = PredictSettings(
        bbox=(west + 1, north - 23, west + 23, north - 1), tile_size=128, overlap=0
    )
    detections = geodetect.predict(
        f"{served.url}/{cog[0]}?token=secret", CallableDetector(first_pixel), settings=settings
    )
    assert detections["raster"].tolist() == [cog[0]]
    np.testing.assert_array_equal(seen[0], cog[1][:, 1024:1152, 1024:1152])
    assert 0 < served.sent.value < 0.1 * (served.folder / cog[0]).stat().st_size


def test_resampling_a_remote_raster_reads_from_its_overviews(
    served: Served, cog: tuple[str, Any]
) -> None:
    settings = PredictSettings(gsd=0.2 * 4)
    geodetect.predict(
        f"{served.url}/{cog[0]}", CallableDetector(lambda image: ([], [], [])), settings=settings
    )
    assert served.sent.value < 0.4 * (served.folder / cog[0]).stat().st_size


def test_a_remote_raster_is_described_from_a_few_kilobytes(
    served: Served, cog: tuple[str, Any]
) -> None:
    assert inspect_raster(f"{served.url}/{cog[0]}")["width"] == SIDE
    assert served.sent.value < 200_000


@pytest.mark.parametrize("prefix", ["", "/vsicurl/"], ids=["url", "vsicurl"])
def test_a_journal_tells_a_remote_raster_that_was_changed(
    served: Served, cog: tuple[str, Any], prefix: str
) -> None:
    def identity() -> dict[str, str]:
        toy = CallableDetector(first_pixel, identity="toy")
        (one,) = geodetect.plan(f"{prefix}{served.url}/{cog[0]}", toy)
        with one.raster:
            return run_fingerprint(toy, PredictSettings(), [one])

    before = identity()
    assert identity() == before
    os.utime(served.folder / cog[0], (1, 1))
    changed = {name for name, value in identity().items() if before[name] != value}
    assert changed == {f"raster 1, {cog[0]}"}


def test_what_is_not_there_is_an_error_with_the_servers_answer(served: Served) -> None:
    with pytest.raises(RasterError, match=r"none\.tif.*404") as caught:
        geodetect.predict(f"{served.url}/none.tif", CallableDetector(first_pixel))
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(RasterError, match=r"127\.0\.0\.1"):
        geodetect.predict("http://127.0.0.1:9/x.tif", CallableDetector(first_pixel))


@pytest.mark.parametrize(
    "form",
    ["/vsicurl/{}{}", "/vsicurl?use_head=no&url={}{}", "{}{}"],
    ids=["vsicurl", "options", "url"],
)
def test_secrets_of_an_address_are_in_no_result_and_no_message(
    served: Served, cog: tuple[str, Any], form: str, tmp_path: Path
) -> None:
    secret = "S3CR3T%2Fa"
    address = form.format(f"{served.url}/{cog[0]}", f"?sig={secret}/{secret}.x")
    detector = CallableDetector(first_pixel, identity="first pixel")
    settings = PredictSettings(tile_size=512)
    output = tmp_path / "pools.gpkg"
    geodetect.predict_to_file(address, output, detector, settings=settings)
    geodetect.write(geodetect.predict(address, detector, settings=settings), tmp_path / "a.csv")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    assert not any(b"S3CR3T" in path.read_bytes() or "S3CR3T" in path.name for path in files)
    assert cog[0] in (tmp_path / "a.csv").read_text()
    for arguments in (("info", address), ("info", address, "--json"), ("predict", f"{address}x")):
        _, stdout, stderr = run_command(*arguments)
        assert "S3CR3T" not in stdout + stderr
        assert "Traceback" not in stderr
    with pytest.raises(RasterError) as caught:
        inspect_raster(address.replace(".tif", ".none"))
    assert "S3CR3T" not in str(caught.value)
