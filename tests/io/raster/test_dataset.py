"""Opening of datasets, in one thread or several."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from geodetect.errors import GeodetectWarning, RasterError
from geodetect.io.raster.dataset import open_dataset
from tests.conftest import Save
from tests.helpers.raster_server import STALL, serve_rasters


def test_a_warning_is_not_lost_while_another_thread_opens_a_raster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")

    def open_stalled() -> None:
        with suppress(RasterError):
            open_dataset(f"{server.url}/scene.tif")

    with serve_rasters(tmp_path, tmp_path / "requests") as server:
        server.fail(STALL)
        thread = Thread(target=open_stalled)
        thread.start()
        server.wait_for_request(1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            thread.join()  # the other thread has ended while this one records warnings
            warnings.warn("a doubt", GeodetectWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["a doubt"]


def test_a_raster_without_georeference_opens_without_a_warning_whatever_the_filters(
    save: Save,
) -> None:
    path = str(save(np.zeros((3, 8, 8), np.uint8), crs=None, transform=None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_dataset(path).close()
        warnings.resetwarnings()
        warnings.simplefilter("error")
        open_dataset(path).close()
