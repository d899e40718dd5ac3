"""Rasters in: anything GDAL opens, read tile by tile at any ground resolution."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geodetect.errors import InputError, RasterError
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Tile
from geodetect.io.bands import Stretch, choose_bands, colour_table, holds_value, read_palette
from geodetect.io.georeference import RESAMPLING, locate

SAMPLE_PX = 1024
BLOCK_CACHE_MB = 256
SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".cog")
REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi")


@dataclass(frozen=True)
class Pixels:
    """The pixels of one tile.

    Args:
        values: ``uint8[C, H, W]``; 0 where not valid.
        valid: ``bool[H, W]`` False outside the imagery: nodata, masked or transparent.
    """

    values: NDArray[np.uint8]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class RasterOptions:
    """What the user says of a raster.

    Args:
        bands: Bands to read, counted from 1; None: by colour interpretation.
        value_range: Values that become 0 and 255 for rasters that are not 8-bit; None: estimated
            once for the raster.
        src_crs: CRS to use instead of the raster's own.
        pixel_coords: Work without georeference; coordinates are columns and rows.
    """

    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    src_crs: str | None = None
    pixel_coords: bool = False


@dataclass
class Raster:
    """An open raster. Each thread that reads gets a handle of its own.

    Use as a context manager; ``open_raster`` makes one. ``grid`` is the grid of its own pixels
    (of the north-up grid it is warped to, when it has ground control points or RPCs only).

    Args:
        path: File or URL.
        grid: Its pixels on the map.
        bands: The bands that ``read`` returns, counted from 1.
        dtype: Data type of the file.
        stretch: Rule from values to bytes; None for 8-bit rasters.
    """

    path: str
    grid: Grid
    bands: tuple[int, ...]
    dtype: str
    stretch: Stretch | None
    _warp: dict[str, Any] | None = None
    _palette: NDArray[np.uint8] | None = None
    _alpha: int | None = None
    _handles: list[Any] = field(default_factory=list)
    _local: threading.local = field(default_factory=threading.local)

    @property
    def name(self) -> str:
        """File name, as it appears in results."""
        return Path(self.path).name

    @property
    def band_count(self) -> int:
        """Bands that ``read`` returns: three for a palette."""
        return len(self.bands) if self._palette is None else 3

    def read(self, tile: Tile, grid: Grid | None = None) -> Pixels:
        """Read one tile.

        Args:
            tile: Window in pixels of ``grid``.
            grid: The raster's own grid or a resampled one (``Grid.resampled``); values are then
                interpolated with a cubic kernel, widened when shrinking, and overviews are used.

        Raises:
            RasterError: The pixels cannot be read.
        """
        window, shape = self._window(tile, grid or self.grid)
        with self._reading(f"pixels {tile.x0}..{tile.x0 + tile.width} x {tile.y0}.."):
            valid = self._valid(window, shape)
            if not valid.any():
                return Pixels(np.zeros((self.band_count, *shape), np.uint8), valid)
            values = self._values(window, shape)
        if np.issubdtype(values.dtype, np.floating):
            valid &= np.isfinite(values).all(axis=0)
        data = values if self.stretch is None else self.stretch(values)
        data = data.astype(np.uint8, copy=False)
        return Pixels(np.where(valid, data, np.uint8(0)), valid)

    def read_valid(self, tile: Tile, grid: Grid | None = None) -> NDArray[np.bool_]:
        """Only the valid mask of a tile, ``bool[H, W]``: cheap where a raster is empty."""
        with self._reading("the mask"):
            return self._valid(*self._window(tile, grid or self.grid))

    def close(self) -> None:
        """Close the handles of all threads."""
        while self._handles:
            self._handles.pop().close()
        self._local = threading.local()

    def __enter__(self) -> Raster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _window(self, tile: Tile, grid: Grid) -> tuple[Window, tuple[int, int]]:
        scale_x, scale_y = self.grid.width / grid.width, self.grid.height / grid.height
        window = Window(
            tile.x0 * scale_x, tile.y0 * scale_y, tile.width * scale_x, tile.height * scale_y
        )
        return window, (tile.height, tile.width)

    def _values(self, window: Window, shape: tuple[int, int]) -> NDArray[Any]:
        handle = self._handle()
        if self._palette is not None:
            return read_palette(handle, self._palette, window, shape)
        values: NDArray[Any] = handle.read(
            self.bands, window=window, out_shape=(len(self.bands), *shape), resampling=RESAMPLING
        )
        return values

    def _valid(self, window: Window, shape: tuple[int, int]) -> NDArray[np.bool_]:
        handle = self._handle()
        options: dict[str, Any] = {"window": window, "out_shape": shape}
        valid = np.ones(shape, bool)
        if self._alpha is not None:
            valid &= handle.read(self._alpha, **options) > 0
        flags = [handle.mask_flag_enums[band - 1] for band in self.bands]
        if any(MaskFlags.nodata in flag for flag in flags):  # valid where any band holds a value
            bands = sorted(set(self.bands))
            values = handle.read(bands, **options)
            holds = [
                holds_value(v, handle.nodatavals[b - 1]) for v, b in zip(values, bands, strict=True)
            ]
            valid &= np.logical_or.reduce(holds)
        elif MaskFlags.per_dataset in flags[0] and MaskFlags.alpha not in flags[0]:
            valid &= handle.read_masks(self.bands[0], **options) > 0
        return valid

    def _handle(self) -> Any:
        handle = getattr(self._local, "handle", None)
        if handle is None:
            dataset = open_dataset(self.path)
            handle = dataset if self._warp is None else WarpedVRT(dataset, **self._warp)
            self._local.handle = handle
            self._handles.append(handle)
        return handle

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            with rasterio.Env(**_gdal_options(self.path)):
                yield
        except RasterioError as error:
            raise RasterError(
                f"{self.path}: cannot read {what} ({_root_cause(error)}); the file may be damaged "
                f"or incomplete"
            ) from error


def find_rasters(sources: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Files as they are, and the rasters in folders, in alphabetical order.

    Raises:
        InputError: A folder holds no raster.
    """
    found: list[str] = []
    for source in sources:
        path = Path(source)
        if not path.is_dir():
            found.append(os.fspath(source))
            continue
        inside = sorted(str(p) for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not inside:
            raise InputError(f"{path}: no raster in this folder; expected {', '.join(SUFFIXES)}")
        found += inside
    return found


def open_raster(
    path: str | os.PathLike[str],
    options: RasterOptions | None = None,
    *,
    needed_bands: int | None = None,
) -> Raster:
    """Open a raster for reading tiles.

    Args:
        path: File, URL or anything GDAL opens.
        options: Bands, values and CRS as the user states them.
        needed_bands: How many bands the model takes; None: any number.

    Raises:
        RasterError: It cannot be opened.
        BandError: It is not plain which bands to read.
        GeoreferenceError: It has no georeference and none was given.
    """
    options = options or RasterOptions()
    name = os.fspath(path)
    with rasterio.Env(**_gdal_options(name)), open_dataset(name) as dataset:
        try:
            return _describe(name, dataset, options, needed_bands)
        except RasterioError as error:
            raise RasterError(f"{name}: {_root_cause(error)}") from error
        except InputError as error:
            raise type(error)(f"{name}: {error}") from error


def _describe(name: str, dataset: Any, options: RasterOptions, needed_bands: int | None) -> Raster:
    grid, warp = locate(dataset, src_crs=options.src_crs, pixel_coords=options.pixel_coords)
    palette = colour_table(dataset) if options.bands is None else None
    colours = dataset.colorinterp
    bands = (
        (1,) if palette is not None else choose_bands(colours, options.bands, needed=needed_bands)
    )
    dtype = str(dataset.dtypes[bands[0] - 1])
    if "complex" in dtype:
        raise InputError(f"band {bands[0]} holds complex numbers; expected real values")
    alpha = colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else None
    if warp is not None and alpha is None and dataset.nodata is None:
        warp["add_alpha"] = True
        alpha = dataset.count + 1
    raster = Raster(name, grid, bands, dtype, None, _warp=warp, _palette=palette, _alpha=alpha)
    if options.value_range is not None:
        raster.stretch = Stretch(*options.value_range)
    elif dtype != "uint8":
        with raster:
            raster.stretch = Stretch.of_sample(_sample(raster))
    return raster


def _sample(raster: Raster) -> NDArray[Any]:
    """Valid values spread over a raster: a small overview, or windows where there is none."""
    width, height = raster.grid.width, raster.grid.height
    handle = raster._handle()
    if handle.overviews(1) or width * height <= 16 * SAMPLE_PX**2:
        scale = min(1.0, SAMPLE_PX / max(width, height))
        shape = max(1, round(height * scale)), max(1, round(width * scale))
        windows = [(Window(0, 0, width, height), shape)]
    else:
        side = SAMPLE_PX // 8
        corners = [(x, y) for y in range(8) for x in range(8)]
        windows = [
            (Window((width - side) * x // 7, (height - side) * y // 7, side, side), (side, side))
            for x, y in corners
        ]
    parts = []
    for window, shape in windows:
        values = handle.read(raster.bands, window=window, out_shape=(len(raster.bands), *shape))
        parts.append(values[:, raster._valid(window, shape)].ravel())
    return np.concatenate(parts)


def open_dataset(path: str) -> Any:
    """Open a rasterio dataset; what can be wrong with a path becomes one line of error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, sharing=False)
    except RasterioError as error:
        if not path.startswith(REMOTE) and not Path(path).exists():
            raise RasterError(f"{path}: no such file") from error
        raise RasterError(
            f"{path}: not a raster that GDAL can open ({_root_cause(error)})"
        ) from error
    if dataset.count == 0:
        subdatasets = dataset.subdatasets
        dataset.close()
        hint = f"; name one of its subdatasets, e.g. {subdatasets[0]}" if subdatasets else ""
        raise RasterError(f"{path}: holds no raster bands{hint}")
    return dataset


def _gdal_options(path: str) -> dict[str, Any]:
    """A bounded block cache, unless the user set one; no directory listings over the network."""
    remote = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "VSI_CACHE": True}
    cache = {} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": BLOCK_CACHE_MB}
    return {**cache, **(remote if path.startswith(REMOTE) else {})}


def _root_cause(error: BaseException) -> str:
    """The first message of a chain of errors: GDAL's own words, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
