"""A raster that has changed is recognised without reading it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT

from geodetect.io.cloud_store import CloudStore
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.state import changed_files, list_files_beside
from tests.conftest import Save
from tests.helpers.s3_server import S3Server

PIXELS = np.random.default_rng(0).integers(1, 255, (3, 40, 40)).astype(np.uint8)


def state_of(path: Path | str) -> str:
    with open_raster(path) as raster:
        return raster.state


def test_a_source_of_a_virtual_raster_inside_another_counts(save: Save, tmp_path: Path) -> None:
    source = save(PIXELS)
    inner, outer = tmp_path / "inner.vrt", tmp_path / "outer.vrt"
    for target, path in ((inner, source), (outer, inner)):
        with rasterio.open(path) as opened, WarpedVRT(opened) as warped:
            copy(warped, target, driver="VRT")
    before = state_of(outer)
    assert state_of(outer) == before
    os.utime(source, ns=(1, 1))
    assert state_of(outer) != before


def test_where_nobody_tells_of_a_change_pixels_do(save: Save) -> None:
    with rasterio.MemoryFile(save(PIXELS).read_bytes()) as memory:
        before = state_of(memory.name)
        assert state_of(memory.name) == before
        with rasterio.open(memory.name, "r+") as dataset:
            dataset.write(255 - dataset.read())
        assert state_of(memory.name) != before


def test_a_source_that_is_missing_stops_nothing_before_it_is_read(
    save: Save, tmp_path: Path
) -> None:
    source, vrt = save(PIXELS), tmp_path / "mosaic.vrt"
    copy(source, vrt, driver="VRT")
    source.unlink()
    assert state_of(vrt)


@pytest.mark.parametrize(
    ("name", "is_counted"),
    [
        ("a.tfw", True),
        ("A.TIF.msk", True),
        ("a.tif.aux.xml", True),
        ("a.aux.xml", True),
        ("a_rpc.txt", True),
        ("ab.tfw", False),
        ("a.b.tif", False),
    ],
)
def test_files_that_gdal_may_read_with_a_raster_are_listed(
    name: str, is_counted: bool, tmp_path: Path
) -> None:
    raster = tmp_path / "a.tif"
    for path in (raster, tmp_path / name):
        path.touch()
    assert list_files_beside(str(raster)) == (name if is_counted else "")


def test_statistics_of_a_gis_change_no_state(save: Save) -> None:
    path = save(PIXELS)
    before = state_of(path)
    path.with_name(f"{path.name}.aux.xml").write_text("<PAMDataset></PAMDataset>")
    assert state_of(path) == before


def test_an_object_that_was_replaced_has_another_state(save: Save, s3_server: S3Server) -> None:
    pytest.importorskip("obstore", reason="needs the extra cloud")
    store, data = CloudStore(s3_server.url("states")), save(PIXELS).read_bytes()
    store.put("a.tif", data)
    url = s3_server.url("states/a.tif")
    for path in (url, url.replace("s3://", "/vsis3/")):
        raster = open_raster(path, with_state=True)
        assert raster.recorded_state is not None
        assert raster.recorded_state.is_certain
        assert changed_files([raster.recorded_state]) == [""]
        store.put("a.tif", data + b"\0")
        (changed,) = changed_files([raster.recorded_state])
        assert changed.endswith("states/a.tif")
        store.put("a.tif", data)
