"""Rasters in: anything GDAL opens, read tile by tile at any ground resolution."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import rasterio
from rasterio import windows
from rasterio.enums import ColorInterp, Interleaving, MaskFlags
from rasterio.vrt import WarpedVRT

from geodetect.errors import BandError, InputError, RasterError
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.io.raster.bands import Stretch, choose_bands, colour_table, holds_value, read_palette
from geodetect.io.raster.dataset import gdal_options, open_dataset, root_cause
from geodetect.io.raster.empty_blocks import EmptyBlocks
from geodetect.io.raster.georeference import GDAL_ERRORS, RESAMPLING, locate
from geodetect.io.raster.value_sample import (
    LEAST_VALID,
    overviews_are_shifted,
    sample_windows,
    values_in,
    whole_window,
)
from geodetect.types import AnyArray, BoolArray, UInt8Array

SHRUNK = 1.5  # from this ratio on GDAL may read from an overview of half the size
SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".cog")


@dataclass(frozen=True)
class Pixels:
    """The pixels of one tile.

    Args:
        values: ``uint8[C, H, W]``; 0 where not valid.
        valid: ``bool[H, W]`` False outside the imagery: nodata, masked or transparent.
    """

    values: UInt8Array
    valid: BoolArray


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
        dtype: Data type of these bands in the file.
        value_range: Values that become 0 and 255, as the user states them.
        block_width: Columns of a block of the file, which is decoded as a whole; as many as the
            raster has where it is stored in strips.
        bytes_per_px: Of what is decoded at once: all bands where they share blocks.
    """

    path: str
    grid: Grid
    bands: tuple[int, ...]
    dtype: str
    value_range: tuple[float, float] | None = None
    block_width: int = 1
    bytes_per_px: int = 1
    _warp: dict[str, Any] | None = None
    _palette: UInt8Array | None = None
    _alpha: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _handles: list[Any] = field(default_factory=list)
    _local: threading.local = field(default_factory=threading.local)

    @property
    def name(self) -> str:
        """File name, as it appears in results; of a URL without its query, which may be secret."""
        remote = self.path.startswith(("http://", "https://"))
        return Path(urlsplit(self.path).path if remote else self.path).name

    @property
    def band_count(self) -> int:
        """Bands that ``read`` returns: three for a palette."""
        return len(self.bands) if self._palette is None else 3

    @cached_property
    def stretch(self) -> Stretch | None:
        """Rule from values to bytes, one for the whole raster; None: they are bytes.

        Raises:
            RasterError: The pixels it is estimated from cannot be read.
        """
        if self.value_range is not None:
            return Stretch(*self.value_range)
        if self.dtype == "uint8" or self._palette is not None:
            return None
        with self._reading("a sample of the values"):
            return Stretch.of_sample(self._sample())

    @cached_property
    def _empty(self) -> EmptyBlocks:
        return EmptyBlocks(self.path, self.bands, self._alpha)

    @cached_property
    def _shifted_overviews(self) -> bool:
        """Whether reading from the overviews would move what is seen."""
        if not self._handle().overviews(1):
            return False
        with (
            open_dataset(self.path, overviews=False) as full,
            open_dataset(self.path, overview_level=0) as overview,
        ):
            return overviews_are_shifted(full, overview)

    def read(self, window: Window | None = None, grid: Grid | None = None) -> Pixels:
        """Read the pixels of a window.

        Args:
            window: In pixels of ``grid``; None: all of it.
            grid: The raster's own grid or a resampled one (``Grid.resampled``); values are then
                interpolated with a cubic kernel, widened when shrinking, and overviews are used.

        Raises:
            RasterError: The pixels cannot be read.
        """
        window, source = self._source_window(window, grid or self.grid)
        shape = window.height, window.width
        with self._reading(f"pixels {window.x}..{window.x + window.width} x {window.y}.."):
            handle = self._handle_for(source, shape)
            if self._empty.cover(handle, source):
                return self._nothing(shape)
            valid = self._valid(handle, source, shape)
            if not valid.any():
                self._empty.learn(handle, source)
                return self._nothing(shape)
            values = self._values(handle, source, shape)
        if np.issubdtype(values.dtype, np.floating):
            valid &= np.isfinite(values).all(axis=0)
        with self._lock:  # estimated by the first thread that comes, for all
            stretch = self.stretch
        data = values if stretch is None else stretch(values)
        data = data.astype(np.uint8, copy=False)
        return Pixels(data if valid.all() else np.where(valid, data, np.uint8(0)), valid)

    def read_valid(self, window: Window | None = None, grid: Grid | None = None) -> BoolArray:
        """Read only the valid mask of a window, ``bool[H, W]``, from overviews where there are any.

        Numbers that are not finite count as valid unless they are the nodata value.
        """
        with self._reading("the mask"):
            window, source = self._source_window(window, grid or self.grid)
            return self._valid(self._handle(), source, (window.height, window.width))

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

    def _nothing(self, shape: tuple[int, int]) -> Pixels:
        zeros = np.broadcast_to(np.uint8(0), (self.band_count, *shape))  # takes no memory
        return Pixels(zeros, np.broadcast_to(np.False_, shape))

    def _source_window(self, window: Window | None, grid: Grid) -> tuple[Window, windows.Window]:
        """Return a window of a resampled grid (None: all of it), and the same in the file."""
        window = window or Window(0, 0, grid.width, grid.height)
        x, y = grid.scale_to(self.grid).tolist()
        source = windows.Window(window.x * x, window.y * y, window.width * x, window.height * y)
        return window, source

    def _values(self, handle: Any, window: windows.Window, shape: tuple[int, int]) -> AnyArray:
        if self._palette is not None:
            return read_palette(handle, self._palette, window, shape)
        options: dict[str, Any] = {"window": window, "resampling": RESAMPLING}
        if len({handle.dtypes[band - 1] for band in self.bands}) > 1:  # rasterio refuses these
            bands = [handle.read(band, out_shape=shape, **options) for band in self.bands]
            return np.stack(bands).astype(self.dtype, copy=False)
        return np.asarray(handle.read(self.bands, out_shape=(len(self.bands), *shape), **options))

    def _valid(self, handle: Any, window: windows.Window, shape: tuple[int, int]) -> BoolArray:
        options: dict[str, Any] = {"window": window, "out_shape": shape}
        valid = np.ones(shape, bool)
        if self._alpha is not None:
            valid &= handle.read(self._alpha, **options) > 0
        of_all = handle.mask_flag_enums  # asked for once: it takes a call for each band
        flags = [of_all[band - 1] for band in self.bands]
        if any(MaskFlags.nodata in flag for flag in flags):  # valid where any band holds a value
            holds = [
                holds_value(handle.read(band, **options), handle.nodatavals[band - 1])
                for band in set(self.bands)
            ]
            valid &= np.logical_or.reduce(holds)
        elif MaskFlags.per_dataset in flags[0] and MaskFlags.alpha not in flags[0]:
            valid &= handle.read_masks(self.bands[0], **options) > 0
        return valid

    def _sample(self) -> AnyArray:
        """Values spread over the raster, of all bands that are read.

        Where the places that are looked at first lie beside the imagery, as where sheets have wide
        margins, the whole raster is gone through.
        """
        handle = self._handle()
        windows = sample_windows(handle)
        values = self._values_in(windows)
        looked_at = len(self.bands) * sum(rows * columns for _, (rows, columns) in windows)
        if len(windows) > 1 and len(values) < LEAST_VALID * looked_at:
            return self._values_in([whole_window(handle)])
        return values

    def _values_in(self, windows: Sequence[tuple[windows.Window, tuple[int, int]]]) -> AnyArray:
        """Values of all bands that are read, in windows with the shape to read them in."""
        handle, parts = self._handle(), []
        for window, shape in windows:
            valid = self._valid(handle, window, shape)
            for band in self.bands:
                values = handle.read(band, window=window, out_shape=shape)
                parts.append(values_in(values, valid, handle.nodatavals[band - 1]))
        return np.concatenate(parts)

    def _handle_for(self, window: windows.Window, shape: tuple[int, int]) -> Any:
        """The handle of this thread for reading a window in some resolution."""
        if window.width < SHRUNK * shape[1] and window.height < SHRUNK * shape[0]:
            return self._handle()
        with self._lock:  # looked at by the first thread that comes, for all
            shifted = self._shifted_overviews
        return self._handle(overviews=not shifted)

    def _handle(self, *, overviews: bool = True) -> Any:
        own: dict[Any, Any] = self._local.__dict__
        if overviews not in own:
            handle = open_dataset(self.path, overviews=overviews)
            self._handles.append(handle)
            if self._warp is not None:
                handle = WarpedVRT(handle, **self._warp)
                self._handles.append(handle)
            own[overviews] = handle
        return own[overviews]

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            with rasterio.Env(**gdal_options(self.path)):
                yield
        except GDAL_ERRORS as error:
            raise RasterError(
                f"{self.path}: cannot read {what} ({root_cause(error)}); the file may be damaged "
                f"or incomplete"
            ) from error


def find_rasters(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[str]:
    """Files as they are, and the rasters in folders, in alphabetical order.

    Args:
        sources: One or several files, folders or URLs.

    Raises:
        InputError: A folder holds no raster.
    """
    found: list[str] = []
    for source in [sources] if isinstance(sources, str | os.PathLike) else sources:
        path = Path(source)
        if not path.is_dir():
            found.append(os.fspath(source))
            continue
        files = [p for p in path.iterdir() if not p.name.startswith(".")]  # left by some systems
        inside = sorted(str(p) for p in files if p.suffix.lower() in SUFFIXES)
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
    with rasterio.Env(**gdal_options(name)), open_dataset(name) as dataset:
        try:
            return _describe(name, dataset, options, needed_bands)
        except GDAL_ERRORS as error:
            raise RasterError(f"{name}: {root_cause(error)}") from error
        except InputError as error:
            raise type(error)(f"{name}: {error}") from error


def _describe(name: str, dataset: Any, options: RasterOptions, needed_bands: int | None) -> Raster:
    grid, warp = locate(dataset, src_crs=options.src_crs, pixel_coords=options.pixel_coords)
    palette = colour_table(dataset) if options.bands is None else None
    colours = dataset.colorinterp
    bands = (
        (1,) if palette is not None else choose_bands(colours, options.bands, needed=needed_bands)
    )
    if palette is not None and needed_bands not in (None, len(palette)):
        raise BandError(
            f"the model takes {needed_bands} bands, but this raster has a colour table, which "
            f"makes 3; choose a band with --bands to look at its numbers instead"
        )
    dtype = np.result_type(*(_real(dataset.dtypes[band - 1], band) for band in bands))
    alpha = colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else None
    if warp is not None and alpha is None and dataset.nodata is None:
        warp["add_alpha"] = True
        alpha = dataset.count + 1
    return Raster(
        name,
        grid,
        bands,
        str(dtype),
        options.value_range and _ordered(options.value_range),
        max(dataset.block_shapes[band - 1][1] for band in bands),
        _decoded_bytes(dataset, bands),
        _warp=warp,
        _palette=palette,
        _alpha=alpha,
    )


def _decoded_bytes(dataset: Any, bands: Sequence[int]) -> int:
    """Bytes of a pixel in memory: of all bands where they share blocks, else of those read."""
    together = dataset.interleaving == Interleaving.pixel
    dtypes = dataset.dtypes if together else [dataset.dtypes[band - 1] for band in bands]
    return sum(np.dtype(dtype).itemsize for dtype in dtypes)


def _real(dtype: str, band: int) -> str:
    if "complex" in dtype:
        raise InputError(f"band {band} holds complex numbers; expected real values")
    return dtype


def _ordered(value_range: tuple[float, float]) -> tuple[float, float]:
    stretch = Stretch(*value_range)  # refuses what is no range
    return stretch.low, stretch.high
