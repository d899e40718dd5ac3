"""Rasters of bright squares in many formats, and what plain GDAL reads from them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning

from tests.helpers.square_scenes import (
    CRS,
    GSD_M,
    ORIGIN_M,
    SQUARE_PX,
    grid_corners,
    square_boxes,
    squares_image,
)

SIDE = 192
CORNERS = grid_corners(SIDE)
BOXES = square_boxes(CORNERS)
REACH_PX = 24  # ground around a square that the toy network looks at
LARGEST_READING = 50_000_000  # samples
TRANSFORM = Affine(GSD_M, 0, ORIGIN_M[0], 0, -GSD_M, ORIGIN_M[1])
TIFF_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"compress": "deflate", "tiled": True, "blockxsize": 64, "blockysize": 64},
    {"compress": "lzw", "predictor": 2, "interleave": "band"},
    {"compress": "zstd", "tiled": True, "blockxsize": 128, "blockysize": 128},
    {"compress": "jpeg", "photometric": "ycbcr", "jpeg_quality": 95},
    {"compress": "lzma", "bigtiff": "yes"},
    {"compress": "webp", "webp_lossless": True, "tiled": True, "blockxsize": 64, "blockysize": 64},
    {"compress": "packbits", "blockysize": 1, "endianness": "big"},
)


@dataclass(frozen=True)
class Reading:
    """What plain GDAL reads from a raster: the truth about a damaged file.

    Args:
        grid: All that decides how the program sees it: size, transform, CRS, types, bands, nodata.
        pixels: ``[C, H, W]``; None: GDAL raised an error.
        valid: ``bool[H, W]``.
        problem: Error of GDAL when it reads the pixels; empty: none.
    """

    grid: tuple[object, ...]
    pixels: NDArray[Any] | None
    valid: NDArray[np.bool_] | None
    problem: str


NO_READING = Reading((), None, None, "")


@dataclass(frozen=True)
class RasterSeed:
    """An undamaged raster.

    Args:
        files: Names and contents; the first one is opened.
        reading: What GDAL reads from it.
        options: Options of the program that it needs.
    """

    files: dict[str, bytes]
    reading: Reading
    options: tuple[str, ...] = ()


def write_seeds(folder: Path) -> dict[str, RasterSeed]:
    """Write rasters of every format, and return them by name."""
    folder.mkdir(parents=True)
    seeds = {}
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
        for name, options in _write_all(folder):
            path = folder / name
            files = {
                file.name: file.read_bytes()
                for file in sorted(path.parent.iterdir(), key=lambda f: (f != path, f))
            }
            seeds[path.parent.name] = RasterSeed(files, read_plainly(path), options)
    return seeds


def read_plainly(path: Path) -> Reading:
    """Read a raster with GDAL, block after block."""
    try:
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.open(path) as dataset,
        ):
            grid = (
                dataset.shape,
                tuple(dataset.transform),
                str(dataset.crs),
                dataset.dtypes,
                dataset.colorinterp,
                dataset.nodatavals,
                tuple(map(tuple, dataset.mask_flag_enums)),
                dataset.scales,
                dataset.offsets,
                len(dataset.gcps[0]),
                dataset.rpcs is None,
                tuple(dataset.colormap(1).items())
                if dataset.colorinterp[0] == ColorInterp.palette
                else (),
            )
            if dataset.width * dataset.height * dataset.count > LARGEST_READING:
                return NO_READING
            try:
                pixels = dataset.read()
            except Exception as error:
                return Reading(grid, None, None, str(error) or type(error).__name__)
            return Reading(grid, pixels, dataset.dataset_mask() > 0, "")
    except Exception:  # a header that GDAL cannot use: no expectation
        return NO_READING


def visible_squares(seed: Reading, damaged: Reading) -> list[int]:
    """Return the numbers of the squares whose ground the damage has left as it was."""
    if damaged.pixels is None or seed.pixels is None or damaged.grid != seed.grid:
        return []
    assert seed.valid is not None
    assert damaged.valid is not None
    is_same = (seed.pixels == damaged.pixels).all(axis=0) & (seed.valid == damaged.valid)
    visible = []
    for number, (x, y) in enumerate(CORNERS):
        rows = slice(max(y - REACH_PX, 0), y + SQUARE_PX + REACH_PX)
        columns = slice(max(x - REACH_PX, 0), x + SQUARE_PX + REACH_PX)
        if is_same[rows, columns].all():
            visible.append(number)
    return visible


def _write_all(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Write one raster into a folder of its own, and yield its path and the options it needs."""
    image = squares_image(SIDE, CORNERS)
    for number, options in enumerate(TIFF_OPTIONS):
        yield _write(folder, f"tiff{number}/scene.tif", image, **options), ()
    wide = image.astype(np.uint16) * 16
    scaled = ("--value-range", "0,4080")
    yield _write(folder, "uint16/scene.tif", wide, compress="deflate", predictor=2), scaled
    yield _write(folder, "float32/scene.tif", wide.astype(np.float32), compress="lzw"), scaled
    yield (
        _write(
            folder, "nodata/scene.tif", image, nodata=0, tiled=True, blockxsize=64, blockysize=64
        ),
        (),
    )
    yield _write(folder, "grey/scene.tif", image[:1]), ()
    bands = np.concatenate([image, np.full_like(image[:1], 255)])
    colours = (*_RGB, ColorInterp.alpha)
    yield _write(folder, "alpha/scene.tif", bands, colours=colours, compress="deflate"), ()
    yield _write(folder, "masked/scene.tif", image, mask=True), ()
    yield _write(folder, "palette/scene.tif", (image[:1] == 220).astype(np.uint8), palette=True), ()
    yield (
        _write(
            folder,
            "overviews/scene.tif",
            image,
            overviews=True,
            tiled=True,
            blockxsize=64,
            blockysize=64,
            compress="deflate",
        ),
        (),
    )
    yield (
        _write(folder, "ungeoreferenced/scene.tif", image, crs=None),
        ("--pixel-coords", "--gsd", "1"),
    )
    source = folder / "tiff0" / "scene.tif"
    for name, driver, options in (
        ("cog/scene.tif", "COG", {"compress": "deflate", "blocksize": 128}),
        ("png/scene.png", "PNG", {"worldfile": "yes"}),
        ("jpeg/scene.jpg", "JPEG", {"worldfile": "yes", "quality": 95}),
        ("jp2/scene.jp2", "JP2OpenJPEG", {"quality": 100, "reversible": "yes"}),
        ("gpkg/scene.gpkg", "GPKG", {"tile_format": "png"}),
        ("hfa/scene.img", "HFA", {"compressed": "yes"}),
        ("bmp/scene.bmp", "BMP", {"worldfile": "yes"}),
        ("ers/scene.ers", "ERS", {}),
        ("mrf/scene.mrf", "MRF", {}),
    ):
        path = folder / name
        path.parent.mkdir()
        rasterio.shutil.copy(source, path, driver=driver, **options)
        no_crs = driver in {"PNG", "JPEG", "BMP"}
        yield name, ("--src-crs", CRS) if no_crs else ()
    mosaic = folder / "vrt" / "scene.vrt"
    mosaic.parent.mkdir()
    tile = mosaic.with_name("tile.tif")
    tile.write_bytes(source.read_bytes())
    rasterio.shutil.copy(tile, mosaic, driver="VRT")
    yield "vrt/scene.vrt", ()


_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def _write(
    folder: Path,
    name: str,
    image: NDArray[Any],
    *,
    crs: str | None = CRS,
    colours: tuple[ColorInterp, ...] = (),
    mask: bool = False,
    palette: bool = False,
    overviews: bool = False,
    **options: Any,
) -> str:
    path = folder / name
    path.parent.mkdir()
    count, height, width = image.shape
    options = {"driver": "GTiff", "width": width, "height": height, "count": count} | options
    options |= {"dtype": image.dtype}
    if crs is not None:
        options |= {"crs": crs, "transform": TRANSFORM}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **options) as target,
    ):
        if palette:
            target.write_colormap(1, {0: (60, 60, 60, 255), 1: (220, 220, 220, 255)})
        target.write(image)
        if colours or (count == 3 and "photometric" not in options):
            target.colorinterp = colours or _RGB
        if mask:
            target.write_mask(np.ones((height, width), bool))
        if overviews:
            target.build_overviews([2, 4], Resampling.average)
    return name
