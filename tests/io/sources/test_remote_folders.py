"""Folders on web servers and in object storage."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

import geodetect
from geodetect.errors import GeodetectWarning, InputError
from geodetect.io.cloud_store import CloudStore
from geodetect.io.sources.find import find_rasters
from geodetect.io.sources.remote_folders import is_remote_folder, list_remote_folder
from tests.conftest import METRES, Save
from tests.helpers.painted_scenes import detect_nothing
from tests.helpers.raster_server import serve_rasters
from tests.helpers.s3_server import S3Server
from tests.helpers.sheets import cut_into_sheets

APACHE = """<html><head><title>Index of /ortho</title></head><body><h1>Index of /ortho</h1><pre>
<a href="?C=N;O=D">Name</a> <a href="/">Parent Directory</a> <a href="old/">old/</a>
<a href="b%20b.tif">b b.tif</a> <a href="/ortho/a.tif">a.tif</a>
<a href="https://elsewhere.org/ortho/c.tif">c.tif</a> <a href="old/d.tif">d.tif</a>
</pre></body></html>"""


@contextmanager
def serve_page(page: str) -> Iterator[str]:
    """Answer every request with a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("address", "is_folder"),
    [
        ("https://host/ortho/", True),
        ("s3://bucket/ortho/", True),
        ("s3://bucket", True),
        ("/vsis3/bucket/ortho/", True),
        ("https://host/ortho", False),
        ("https://host/a.tif", False),
        ("https://host/ortho/?key=1", False),
        ("ortho/", False),
    ],
)
def test_an_address_that_ends_in_a_slash_is_a_folder(address: str, is_folder: bool) -> None:
    assert is_remote_folder(address) == is_folder


def test_the_page_of_a_folder_names_its_files() -> None:
    with serve_page(APACHE) as url:
        names = list_remote_folder(f"{url}/ortho/")
        assert [name.removeprefix(f"{url}/ortho/") for name in names] == [
            "a.tif",
            "b%20b.tif",
            "old/",
        ]


def test_a_page_without_files_is_one_line() -> None:
    with (
        serve_page("<p>Welcome") as url,
        pytest.raises(InputError, match="lists no files there; give their addresses"),
    ):
        find_rasters(f"{url}/ortho/")


def test_sheets_in_a_folder_of_a_web_server_are_one_ground(save: Save, tmp_path: Path) -> None:
    pixels = np.full((3, 64, 64), 9, np.uint8)
    for path in cut_into_sheets(save, pixels, columns=2, transform=METRES):
        path.with_suffix(".txt").write_text("a note")
    (tmp_path / "old").mkdir()
    (tmp_path / "mosaic.vrt").write_text("<VRTDataset/>")
    with serve_rasters(tmp_path, tmp_path / "server.log") as server:
        with pytest.warns(GeodetectWarning, match=r"4 rasters are read; left out: mosaic\.vrt"):
            (plan,) = geodetect.plan(
                f"{server.url}/", geodetect.CallableDetector(detect_nothing, tile_px=64)
            )
        assert [raster.name for raster in plan.ground.rasters] == [
            *("0_0.tif", "0_1.tif", "1_0.tif", "1_1.tif")
        ]
        assert (plan.ground.grid.width, plan.ground.grid.height) == (64, 64)
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="lists no files there"):
            find_rasters(f"{server.url}/empty/")
        with pytest.raises(InputError, match=r"cannot be listed .*404"):
            find_rasters(f"{server.url}/none/")


def test_sheets_in_a_folder_of_a_bucket_are_listed(save: Save, s3_server: S3Server) -> None:
    pytest.importorskip("obstore", reason="needs the extra cloud")
    store = CloudStore(s3_server.url("sheets"))
    data = save(np.full((3, 32, 32), 9, np.uint8)).read_bytes()
    for name in ("b.tif", "a.tif", "old/c.tif", "a.txt"):
        store.put(name, data)
    sheets = [s3_server.url(f"sheets/{name}.tif") for name in "ab"]
    assert find_rasters(s3_server.url("sheets/")) == sheets
    (plan,) = geodetect.plan(sheets[0], geodetect.CallableDetector(detect_nothing))
    assert plan.tile_count == 1
    with pytest.raises(InputError, match="cannot be listed"):
        find_rasters(s3_server.url("none/"))
