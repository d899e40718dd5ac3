"""Rasters in folders, files that are named twice, and names that tell rasters apart."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.shutil import copy as copy_raster

from geodetect.chips.export import export_chips
from geodetect.errors import GeodetectWarning, InputError, RasterError
from geodetect.io.raster.names import shortest_names
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.sources.find import find_rasters, without_repetitions
from geodetect.settings import ChipSettings
from tests.conftest import Save

PIXELS = np.full((3, 40, 60), 90, np.uint8)


def _names(folder: Path, *, pixel_coords: bool = False) -> list[str]:
    return [Path(p).name for p in find_rasters(folder, pixel_coords=pixel_coords)]


def test_folders_give_their_rasters_in_order(tmp_path: Path) -> None:
    (tmp_path / "sheets").mkdir()
    for name in ("b.tif", "a.TIF", "c.jp2", "._a.tif", "a.tif.aux.xml", "a.tfw", "c.j2w", "b.ovr"):
        (tmp_path / "sheets" / name).write_bytes(b"")
    names = [Path(p).name for p in find_rasters([tmp_path / "sheets", "other.tif"])]
    assert names == ["a.TIF", "b.tif", "c.jp2", "other.tif"]
    assert len(find_rasters(tmp_path / "sheets")) == 3


def test_a_folder_without_rasters_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no raster in this folder"):
        find_rasters([tmp_path])
    (tmp_path / "labels.geojson").write_text("{}")
    with pytest.raises(InputError, match=r"no raster.*; found only labels\.geojson"):
        find_rasters([tmp_path])


@pytest.mark.parametrize(
    ("driver", "name"),
    [("JPEG", "b.jpg"), ("PNG", "b.png"), ("JPEG", "b.JPEG"), ("ENVI", "b"), ("BMP", "b.bmp"),
     ("WEBP", "b.webp"), ("GIF", "b.gif"), ("EHdr", "b.bil"), ("BMP", "b.dib")],
)  # fmt: skip
def test_a_folder_gives_what_gdal_opens_with_its_world_files(
    driver: str, name: str, save: Save, tmp_path: Path
) -> None:
    scene = save(PIXELS[:1] if driver in ("GIF", "EHdr") else PIXELS, "a.tif")
    copy_raster(scene, tmp_path / name, driver=driver)
    assert _names(tmp_path) == ["a.tif", name]


def test_a_jpeg_with_a_world_file_alone_is_a_raster(save: Save, tmp_path: Path) -> None:
    copy_raster(save(PIXELS, "a.tif"), tmp_path / "b.jpg", driver="JPEG", worldfile="YES")
    next(tmp_path.glob("*.aux.xml")).unlink()
    assert _names(tmp_path) == ["a.tif", "b.jpg"]


def test_what_is_left_out_of_a_folder_is_named(save: Save, tmp_path: Path) -> None:
    save(PIXELS, "a.tif")
    with warnings.catch_warnings(action="ignore"):
        copy_raster(save(PIXELS, "q.tif", transform=None, crs=None), tmp_path / "look.png")
    (tmp_path / "q.tif").unlink()
    for name in ("notes.txt", "a.json", "a.xml", "labels.csv", "data.yaml", "labels.geojson"):
        (tmp_path / name).write_text("no imagery, and not missed")
    (tmp_path / "archive.bin").write_bytes(b"\0\1")
    shutil.copytree(tmp_path, tmp_path / "2019")
    match = r"1 rasters are read; left out: 2019/, archive\.bin, look\.png \(no georeference\)$"
    with pytest.warns(GeodetectWarning, match=match):
        assert _names(tmp_path) == ["a.tif"]
    with pytest.warns(GeodetectWarning, match=r"2 rasters are read"):
        assert _names(tmp_path, pixel_coords=True) == ["a.tif", "look.png"]


def test_images_that_all_lack_a_georeference_are_rasters(tmp_path: Path, save: Save) -> None:
    with warnings.catch_warnings(action="ignore"):
        copy_raster(save(PIXELS, "q.tif", transform=None, crs=None), tmp_path / "a.png")
    (tmp_path / "q.tif").unlink()
    assert _names(tmp_path) == ["a.png"]


def test_a_mosaic_of_the_rasters_of_its_folder_is_left_out(save: Save, tmp_path: Path) -> None:
    copy_raster(save(PIXELS, "a.tif"), tmp_path / "all.vrt", driver="VRT")
    with pytest.warns(GeodetectWarning, match=r"left out: all\.vrt \(a mosaic"):
        assert _names(tmp_path) == ["a.tif"]
    (tmp_path / "a.tif").rename(tmp_path.parent / "a.tif")
    assert _names(tmp_path) == ["all.vrt"]


@pytest.mark.parametrize("image_format", ["png", "jpg", "tif"])
def test_chips_are_rasters(image_format: str, save: Save, tmp_path: Path) -> None:
    labels = tmp_path / "labels.geojson"
    box = shapely.box(700_002, 6_599_994, 700_004, 6_599_996)
    gpd.GeoDataFrame(geometry=[box], crs="EPSG:2154").to_file(labels)
    settings = ChipSettings(tile_size=64, image_format=image_format)
    export_chips(save(np.tile(PIXELS, (1, 4, 4))), labels, tmp_path / "chips", settings=settings)
    with pytest.raises(InputError, match=r"chips: no raster in this folder; .* found only images/"):
        find_rasters(tmp_path / "chips")
    chips = find_rasters(tmp_path / "chips" / "images")
    assert chips
    assert {Path(path).suffix for path in chips} == {f".{image_format}"}


def test_a_raster_that_is_named_twice_is_used_once(save: Save, tmp_path: Path) -> None:
    scene = save(PIXELS)
    (tmp_path / "link.tif").symlink_to(scene)
    (tmp_path / "hard.tif").hardlink_to(scene)
    paths = [
        str(scene),
        "https://example.org/a.tif",
        f"{scene.parent}/../{scene.parent.name}/{scene.name}",
        str(tmp_path / "link.tif"),
        str(tmp_path / "hard.tif"),
        "https://example.org/a.tif",
    ]
    with pytest.warns(
        GeodetectWarning, match=r"is (the same file as .*|named twice); it is used once"
    ) as caught:
        assert without_repetitions(paths) == paths[:2]
    assert len(caught) == 4


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.tif", "x/b.tif"], ["a.tif", "b.tif"]),
        (["nest/2019/o.tif", "nest/2020/o.tif", "nest/b.tif"],
         ["2019/o.tif", "2020/o.tif", "b.tif"]),
        (["a/x/o.tif", "b/x/o.tif", "c/y/o.tif"], ["a/x/o.tif", "b/x/o.tif", "y/o.tif"]),
        (["o.tif", "x/o.tif"], ["o.tif", "x/o.tif"]),
        (["/o.tif", "/x/o.tif"], ["//o.tif", "x/o.tif"]),
        (["https://a.org/o.tif?key=1", "https://b.org/o.tif?key=2"],
         ["https://a.org/o.tif", "https://b.org/o.tif"]),
        (["https://a.org/o.tif?id=1", "https://a.org/o.tif?id=2"],
         ["https://a.org/o.tif", "https://a.org/o.tif (2)"]),
        (["https://user:pass@a.org/2019/o.tif", "s3://bucket/2019/o.tif"],
         ["https://a.org/2019/o.tif", "s3://bucket/2019/o.tif"]),
        (["o.tif", "o.tif"], ["o.tif", "o.tif"]),
        (["/vsicurl/https://a.org/o.tif?sig=SECRET"], ["o.tif"]),
        (["/vsicurl?max_retry=2&url=https%3A%2F%2Fa.org%2Fo.tif%3Fsig%3DSECRET"], ["o.tif"]),
        (["/vsizip/a.zip/o.tif", "/vsizip/b.zip/o.tif"], ["a.zip/o.tif", "b.zip/o.tif"]),
        (["a/o.tif", "a/O.tif"], ["o.tif", "O.tif"]),
    ],
)  # fmt: skip
def test_names_are_the_shortest_ends_of_paths_that_differ(
    paths: list[str], names: list[str]
) -> None:
    assert shortest_names(paths) == names


def test_a_folder_is_not_one_raster(save: Save, tmp_path: Path) -> None:
    save(PIXELS)
    with pytest.raises(RasterError, match=r"is a folder; expected the name of one raster$"):
        open_raster(tmp_path)


def test_a_pattern_stands_for_the_rasters_that_match_it(tmp_path: Path, save: Save):
    pixels = np.full((3, 8, 8), 60, np.uint8)
    names = ["b_1.tif", "b_2.tif", "c.tif", "b_[3].tif"]
    paths = {name: str(save(pixels, name)) for name in names}
    (tmp_path / "b_1.tif.aux.xml").write_text("<PAMDataset/>")
    assert find_rasters(f"{tmp_path}/b_?.tif") == [paths["b_1.tif"], paths["b_2.tif"]]
    assert find_rasters([f"{tmp_path}/b_1*", paths["c.tif"]]) == [paths["b_1.tif"], paths["c.tif"]]
    assert find_rasters(paths["b_[3].tif"]) == [paths["b_[3].tif"]]
    assert find_rasters("https://example.org/a.tif?x=*") == ["https://example.org/a.tif?x=*"]
    with pytest.raises(InputError, match="no raster matches this pattern"):
        find_rasters(f"{tmp_path}/z*.tif")
