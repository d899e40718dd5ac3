"""Which sheets share a ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from affine import Affine

from geodetect.io.ground.grouping import group_rasters
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Raster, RasterOptions
from tests.conftest import METRES, Save

SHEET = np.full((3, 50, 50), 9, np.uint8)


def sheet(save: Save, name: str, x: int = 0, y: int = 0, **options: object) -> Path:
    return save(SHEET, name, transform=METRES @ Affine.translation(x, y), **options)


def names(rasters: list[Raster], reach_px: float = 100) -> list[list[str]]:
    grounds = group_rasters(rasters, [reach_px * METRES.a] * len(rasters))
    return [[Path(raster.path).stem for raster in ground.rasters] for ground in grounds]


def test_sheets_nearer_than_a_tile_are_one_ground(save: Save) -> None:
    places = {"a": 0, "far": 1000, "b": 140, "c": 280, "also far": 1149}
    rasters = [open_raster(sheet(save, f"{name}.tif", x)) for name, x in places.items()]
    assert names(rasters) == [["a", "b", "c"], ["far", "also far"]]
    assert names(rasters, reach_px=80) == [["a"], ["far"], ["b"], ["c"], ["also far"]]


def test_each_crs_has_a_ground_of_its_own_whatever_its_text(save: Save) -> None:
    with_height = open_raster(sheet(save, "c.tif"), RasterOptions(src_crs="EPSG:2154+5720"))
    rasters = [
        open_raster(sheet(save, "a.tif")),
        open_raster(sheet(save, "b.tif", crs="EPSG:3945")),
        with_height,
    ]
    assert names(rasters) == [["a", "c"], ["b"]]


def test_rasters_without_crs_are_a_ground_each(save: Save) -> None:
    rasters = [open_raster(sheet(save, f"{n}.tif"), RasterOptions(pixel_coords=True)) for n in "ab"]
    assert names(rasters) == [["a"], ["b"]]


def test_sheets_of_other_bands_share_a_ground_where_the_same_ones_are_read(save: Save) -> None:
    four = np.full((4, 50, 50), 9, np.uint8)
    paths = [
        sheet(save, "rgb.tif"),
        save(four, "rgbi.tif", transform=METRES @ Affine.translation(50, 0), photometric="RGB"),
    ]
    rgb = [open_raster(path, needed_bands=3) for path in paths]
    assert names(rgb) == [["rgb", "rgbi"]]
