"""Rasters on a web server: only what is needed travels, and failures of the server are told."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.errors import GeodetectWarning, GeoreferenceError, RasterError
from geodetect.geo.tiles import Window
from geodetect.io.raster import remote
from geodetect.io.raster.info import inspect_raster
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Pixels, RasterOptions
from tests.conftest import METRES, Save
from tests.helpers.program import run_command
from tests.helpers.raster_server import (
    DROP,
    REDIRECT,
    SHORT_BODY,
    STALL,
    STALL_IN_BODY,
    RasterServer,
    serve_rasters,
)

SIDE = 1500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RasterServer]:
    folder = tmp_path_factory.mktemp("served")
    with serve_rasters(folder, folder / "requests.log") as running:
        yield running


@pytest.fixture
def served(server: RasterServer, monkeypatch: pytest.MonkeyPatch) -> RasterServer:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    server.fail(0)
    return server


@pytest.fixture
def cog(request: pytest.FixtureRequest, save: Save, served: RasterServer) -> tuple[str, Any]:
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
    served: RasterServer, cog: tuple[str, Any]
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
    assert 0 < served.sent < 0.1 * (served.folder / cog[0]).stat().st_size


def test_resampling_a_remote_raster_reads_from_its_overviews(
    served: RasterServer, cog: tuple[str, Any]
) -> None:
    settings = PredictSettings(gsd=0.2 * 4)
    geodetect.predict(
        f"{served.url}/{cog[0]}", CallableDetector(lambda image: ([], [], [])), settings=settings
    )
    assert served.sent < 0.4 * (served.folder / cog[0]).stat().st_size


def test_a_remote_raster_is_described_from_a_few_kilobytes(
    served: RasterServer, cog: tuple[str, Any]
) -> None:
    assert inspect_raster(f"{served.url}/{cog[0]}")["width"] == SIDE
    assert served.sent < 200_000


@pytest.mark.parametrize("prefix", ["", "/vsicurl/"], ids=["url", "vsicurl"])
def test_a_remote_raster_that_was_changed_has_another_state(
    served: RasterServer, cog: tuple[str, Any], prefix: str
) -> None:
    def state() -> str:
        with open_raster(f"{prefix}{served.url}/{cog[0]}") as raster:
            return raster.state

    before = state()
    assert state() == before
    os.utime(served.folder / cog[0], (1, 1))
    assert state() != before


def test_what_is_not_there_is_an_error_with_the_servers_answer(served: RasterServer) -> None:
    with pytest.raises(RasterError, match=r"none\.tif.*404") as caught:
        geodetect.predict(f"{served.url}/none.tif", CallableDetector(first_pixel))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "form",
    ["/vsicurl/{}{}", "/vsicurl?use_head=no&url={}{}", "{}{}"],
    ids=["vsicurl", "options", "url"],
)
def test_secrets_of_an_address_are_in_no_result_and_no_message(
    served: RasterServer, cog: tuple[str, Any], form: str, tmp_path: Path
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
    missing = ("predict", f"{address}x", "-o", str(tmp_path / "x.geojson"))
    for arguments in (("info", address), ("info", address, "--json"), missing):
        _, stdout, stderr = run_command(*arguments)
        assert "S3CR3T" not in stdout + stderr
        assert "Traceback" not in stderr
    with pytest.raises(RasterError) as caught:
        inspect_raster(address.replace(".tif", ".none"))
    assert "S3CR3T" not in str(caught.value)


CORNERS = [Window(x, y, 512, 512) for x in (0, 700) for y in (0, 700)]


def read_corners(path: str) -> list[Pixels]:
    with open_raster(path) as raster:
        return [raster.read(window) for window in CORNERS]


@pytest.mark.parametrize("first", [1, 2, 5])
@pytest.mark.parametrize("fault", [DROP, 429, 500, 503], ids=["drop", "429", "500", "503"])
def test_what_fails_on_every_second_request_is_read_as_from_a_disk(
    served: RasterServer,
    cog: tuple[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    fault: int,
    first: int,
) -> None:
    expected = read_corners(str(served.folder / cog[0]))
    served.fail(fault, every=2, first=first)
    for found, pixels in zip(read_corners(f"{served.url}/{cog[0]}"), expected, strict=True):
        np.testing.assert_array_equal(found.values, pixels.values)
        np.testing.assert_array_equal(found.valid, pixels.valid)


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("fault", [DROP, SHORT_BODY, 503], ids=["drop", "short", "503"])
@pytest.mark.parametrize("layout", ["cog", "scattered"])
def test_one_answer_that_is_cut_off_changes_nothing(
    request: pytest.FixtureRequest,
    served: RasterServer,
    save: Save,
    monkeypatch: pytest.MonkeyPatch,
    fault: int,
    number: int,
    layout: str,
) -> None:
    """GDAL does not repeat it, and may return the pixels of other blocks without an error."""
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    pixels = np.random.default_rng(0).integers(1, 255, (3, 800, 800)).astype(np.uint8)
    name = f"{request.node.name}.tif"
    plain = save(pixels, "plain.tif", tiled=True, blockxsize=64, blockysize=64)
    if layout == "cog":
        copy(plain, served.folder / name, driver="COG", blocksize=128)
    else:
        (served.folder / name).write_bytes(plain.read_bytes())
    served.fail(fault, first=number, last=number)
    with open_raster(f"{served.url}/{name}") as raster:
        np.testing.assert_array_equal(raster.read().values, pixels)


def test_a_server_that_is_down_for_a_while_is_waited_for(
    served: RasterServer, cog: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.1")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    with open_raster(f"{served.url}/{cog[0]}") as raster:
        served.fail(503)
        start = threading.Timer(0.9, served.fail, args=(0,))
        start.start()
        pixels = raster.read(CORNERS[3])
    np.testing.assert_array_equal(pixels.values, cog[1][:, 700:1212, 700:1212])
    assert not start.is_alive(), "it was down while the pixels were read"


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (403, "403 Forbidden"),
        (404, "404 Not Found"),
        (500, "500 Internal Server Error"),
        (503, "503 Service Unavailable"),
        (REDIRECT, "redirect"),
        (DROP, "Empty reply|connection broke"),
        (SHORT_BODY, "connection broke|server sent less"),
        (STALL, "timed out|too slow|connection broke"),
    ],
)
@pytest.mark.parametrize("number", [1, 4], ids=["opening", "reading"])
def test_a_failure_names_the_cause_and_no_damage_to_the_file(
    served: RasterServer,
    cog: tuple[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    fault: int,
    cause: str,
    number: int,
) -> None:
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "0.2")
    served.fail(fault, first=number)
    with pytest.raises(RasterError, match=cause) as caught:
        read_corners(f"{served.url}/{cog[0]}")
    assert "damaged" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", [STALL, STALL_IN_BODY], ids=["first byte", "in the body"])
def test_a_server_that_stalls_ends_in_an_error_at_the_time_limit_of_the_environment(
    served: RasterServer, cog: tuple[str, Any], monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    monkeypatch.setattr("geodetect.io.raster.remote.MAX_REPEATED_S", 0.5)
    served.fail(fault)
    start = time.monotonic()
    with pytest.raises(RasterError, match=r"\.tif: cannot read"):
        read_corners(f"{served.url}/{cog[0]}")
    assert time.monotonic() - start < 8


@pytest.mark.parametrize(
    ("url", "cause"),
    [("http://127.0.0.1:9/x.tif", "127.0.0.1"), ("http://none.invalid/x.tif", "not resolve")],
)
def test_a_server_that_is_not_there_is_an_error(
    url: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RasterError, match=cause) as caught:
        geodetect.predict(url, CallableDetector(first_pixel))
    assert "damaged" not in str(caught.value)


def test_a_mask_beside_a_remote_raster_is_told(served: RasterServer, cog: tuple[str, Any]) -> None:
    (served.folder / f"{cog[0]}.msk").write_bytes((served.folder / cog[0]).read_bytes())
    with pytest.warns(GeodetectWarning, match=rf"{cog[0]}\.msk beside it on the server"):
        open_raster(f"{served.url}/{cog[0]}")


def test_files_beside_a_remote_raster_are_asked_for_once_and_told(
    served: RasterServer, cog: tuple[str, Any]
) -> None:
    url = f"{served.url}/{cog[0]}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_raster(url)
    beside = [path for path in served.paths if not path.endswith(".tif")]
    assert {path.rpartition(".tif")[2] for path in beside} == {".msk", ".aux.xml"}
    assert len(beside) <= 4  # GDAL asks for the size first
    (served.folder / f"{cog[0]}.aux.xml").write_text("<PAMDataset/>")
    copied = served.folder / f"copied-{cog[0]}"
    copied.write_bytes((served.folder / cog[0]).read_bytes())
    (served.folder / f"{copied.name}.aux.xml").write_text("<PAMDataset/>")
    with pytest.warns(GeodetectWarning, match=rf"{copied.name}\.aux\.xml beside it"):
        open_raster(f"{served.url}/{copied.name}")


@pytest.mark.parametrize(("suffix", "ending"), [("jpg", "jgw"), ("png", "pngw"), ("tif", "wld")])
def test_a_world_file_on_a_server_is_told_where_it_would_decide(
    served: RasterServer, tmp_path: Path, suffix: str, ending: str
) -> None:
    with rasterio.open(
        tmp_path / f"x.{suffix}", "w", width=64, height=64, count=3, dtype="uint8"
    ) as dataset:
        dataset.write(np.full((3, 64, 64), 9, np.uint8))
    (served.folder / f"{ending}.{suffix}").write_bytes((tmp_path / f"x.{suffix}").read_bytes())
    (served.folder / f"{ending}.{ending}").write_text("1\n0\n0\n-1\n0\n0\n")
    url = f"{served.url}/{ending}.{suffix}"
    with pytest.warns(GeodetectWarning, match=rf"{ending}\.{ending} beside it on the server"):
        open_raster(url, RasterOptions(pixels_allowed=True))
    with pytest.raises(GeoreferenceError, match=r"files beside a raster on a server.* not read"):
        open_raster(url)
    assert "not read" in inspect_raster(url)["problem"]


def test_a_server_that_answers_everything_with_a_page_warns_of_nothing(
    served: RasterServer, cog: tuple[str, Any]
) -> None:
    for ending in (".msk", ".aux.xml"):
        (served.folder / f"{cog[0]}{ending}").write_text("<html>not here</html>")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_raster(f"{served.url}/{cog[0]}")


def test_side_files_that_stall_hold_up_opening_for_a_limited_time(
    served: RasterServer, cog: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geodetect.io.raster.dataset.SIDE_FILE_TIMEOUT_S", 1)
    url = f"{served.url}/{cog[0]}"
    inspect_raster(url)
    served.fail(STALL)  # GDAL remembers the raster itself
    start = time.monotonic()
    open_raster(url)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("fault", [STALL, STALL_IN_BODY], ids=["first-byte", "body"])
@pytest.mark.parametrize("number", [1, 4], ids=["opening", "reading"])
def test_tries_after_a_stall_are_limited_in_all(
    served: RasterServer,
    cog: tuple[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    fault: int,
    number: int,
) -> None:
    """Threads that read have the same limit."""
    monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_LIMIT", "100")
    monkeypatch.setitem(remote.HTTP_OPTIONS, "GDAL_HTTP_LOW_SPEED_TIME", 1)
    monkeypatch.setattr(remote, "OPEN_TIMEOUT_S", 2.0)
    monkeypatch.setattr(remote, "STALL_TIMEOUT_S", 1.5)
    monkeypatch.setattr("geodetect.io.raster.dataset.SIDE_FILE_TIMEOUT_S", 1)

    def read_in_threads() -> None:
        with ThreadPoolExecutor(3) as pool, open_raster(f"{served.url}/{cog[0]}") as raster:
            for future in [pool.submit(raster.read, window) for window in CORNERS[:3]]:
                future.result()

    served.fail(fault, first=number)
    start = time.monotonic()
    with pytest.raises(RasterError, match=r"takes too long|too slow|connection broke|sent less"):
        read_in_threads()
    assert time.monotonic() - start < 10
