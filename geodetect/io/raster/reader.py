"""Raster reader: anything GDAL opens, window by window, at any ground resolution."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio import windows
from rasterio.enums import MaskFlags
from rasterio.vrt import WarpedVRT

from geodetect.errors import (
    GeodetectWarning,
    OutOfMemoryError,
    RasterError,
    list_names,
)
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.hardware.memory import available_bytes
from geodetect.io.raster.dataset import (
    BLOCK_CACHE_BYTES,
    forget_requests,
    gdal_options,
    open_dataset,
    read_dataset,
    root_cause,
)
from geodetect.io.raster.empty_blocks import EmptyBlocks
from geodetect.io.raster.georeference import (
    GDAL_ERRORS,
    RESAMPLING,
)
from geodetect.io.raster.names import shortest_names
from geodetect.io.raster.remote import read_from_server
from geodetect.io.raster.state import RasterState, short_digest
from geodetect.io.raster.values.bands import (
    is_not_nodata,
    read_colours,
)
from geodetect.io.raster.values.constant import find_constant_pixels
from geodetect.io.raster.values.sample import (
    MIN_VALID_FRACTION,
    SampleWindow,
    overviews_are_shifted,
    sample_windows,
    whole_window,
)
from geodetect.io.raster.values.stretch import Stretch
from geodetect.types import AnyArray, BoolArray, FloatArray, UInt8Array

T = TypeVar("T")
LARGE_BLOCK_BYTES = BLOCK_CACHE_BYTES // 4
BLOCK_COPIES = 2  # of a decoded block: the library of the format has one, and GDAL another
CACHE_FRACTION = 0.4  # of free memory, for rows of large blocks
MASK_BAND_PX = 2**24  # pixels of bands that are read at once to find nodata
OVERVIEW_RATIO = 1.5  # least reduction at which GDAL may read from an overview of half the size


@dataclass(frozen=True)
class Pixels:
    """Pixels of a window.

    Args:
        values: ``uint8[C, H, W]``; 0 where not valid.
        valid: ``bool[H, W]`` False outside the imagery: nodata, masked or transparent.
        constant: ``bool[H, W]`` True for pixels whose neighbours have the same values in the file;
            None: no areas of them.
        raster: ``int32[H, W]`` number of the raster that each valid pixel is from; None: there is
            only one.
        unread: ``bool[H, W]`` True for pixels that are not valid because a raster could not be
            read there; None: there are none.
    """

    values: UInt8Array
    valid: BoolArray
    constant: BoolArray | None = None
    raster: NDArray[np.int32] | None = None
    unread: BoolArray | None = None


@dataclass(frozen=True)
class RasterOptions:
    """Options for opening a raster.

    Args:
        bands: Bands to read, counted from 1; None: by colour interpretation.
        value_range: Values that become 0 and 255 for rasters that are not 8-bit; None: estimated
            once for the raster.
        src_crs: CRS to use instead of the raster's own.
        pixel_coords: Work without georeference; coordinates are columns and rows.
        external_sources: See ``open_dataset``.
        pixels_allowed: Use a raster that has no georeference in pixel coordinates.
        pixel_size_m: Ground size of the pixels of such a raster, if it is known.
    """

    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    src_crs: str | None = None
    pixel_coords: bool = False
    external_sources: bool = False
    pixels_allowed: bool = False
    pixel_size_m: float | None = None


class _Handles:
    """Open handles of one raster, by thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.items: list[tuple[int, Any]] = []  # each with its thread
        self.busy: set[int] = set()  # threads that read
        self.local = threading.local()

    def close(self) -> None:
        """Close those of all threads but busy ones."""
        while self.items:
            thread, handle = self.items.pop()
            if thread not in self.busy:
                handle.close()

    def release(self) -> None:
        """Close those of this thread."""
        thread = threading.get_ident()
        for item in [item for item in self.items if item[0] == thread][::-1]:
            self.items.remove(item)
            item[1].close()
        self.local.__dict__.clear()


_first_use = threading.Lock()


@dataclass
class Raster:
    """Open raster; each thread reads through a separate handle.

    ``open_raster`` makes one. Use it as a context manager: reading opens handles, leaving the
    context closes them, and the raster stays usable.

    Args:
        path: File or URL.
        grid: Grid of its pixels; if it has only ground control points or RPCs, of the north-up
            raster it is warped to.
        bands: Bands that ``read`` returns, counted from 1.
        dtype: Data type of these bands in the file.
        value_range: Values that become 0 and 255, if the user states them.
        block_width: Columns of a block of the file, which is decoded as a whole; as many as the
            raster has if it is stored in strips.
        bytes_per_px: Bytes decoded per pixel: of all bands if they share blocks.
        external_sources: See ``open_dataset``.
        name: Name in results: the file name, or as ``name_rasters`` sets it.
        orientation: Orientation by EXIF, 1 to 8, which viewers apply to photographs; 1: as stored.
        block_bytes: Bytes of the largest block, decoded: of all bands if they share blocks, else
            of the bands that are read.
        largest_block: Columns and rows of the largest block.
        remote_files: Files on servers that it is read from; of a VRT its sources.
        is_service: It is a web service, which shows the whole world.
        imagery: ``float64[N, 4]`` boxes in pixels outside of which there is no imagery; None: it
            may be anywhere.
        nodata: Nodata value of all bands that are read; None: there is none, or not the same.
        has_overviews: Reading at a lower resolution may use overviews.
        doubts: Warnings about its files, without its path.
        recorded_state: State of its files when its header was read; None: not recorded yet.
        warp: Arguments of the ``WarpedVRT`` that it is read through; None: none.
        colour_table: ``uint8[4, values]`` colours of its values; None: they are no colours.
        is_opaque: ``bool[values]`` False for values whose colours are transparent; None: there are
            none.
        alpha: Alpha band, counted from 1; None: there is none.
    """

    path: str
    grid: Grid
    bands: tuple[int, ...]
    dtype: str
    value_range: tuple[float, float] | None = None
    block_width: int = 1
    bytes_per_px: int = 1
    external_sources: bool = False
    name: str = ""
    orientation: int = 1
    block_bytes: int = 1
    largest_block: tuple[int, int] = (1, 1)
    remote_files: tuple[str, ...] = ()
    is_service: bool = False
    imagery: FloatArray | None = None
    nodata: float | None = None
    has_overviews: bool = False
    doubts: tuple[str, ...] = ()
    recorded_state: RasterState | None = None
    warp: dict[str, Any] | None = None
    colour_table: UInt8Array | None = None
    is_opaque: BoolArray | None = None
    alpha: int | None = None
    _open: _Handles | None = None  # from the first read on: most of 100,000 rasters have none

    def __post_init__(self) -> None:
        self.name = self.name or shortest_names([self.path])[0]

    @property
    def has_large_blocks(self) -> bool:
        """Blocks are so large that one thread should read them, so that each is decoded once."""
        return self.block_bytes > LARGE_BLOCK_BYTES

    @property
    def cache_bytes(self) -> int:
        """Bytes of GDAL's block cache with which each large block is decoded once.

        It holds a row of blocks, as tiles are read row by row, or as much of it as memory allows.

        Raises:
            OutOfMemoryError: Not even one block fits into memory.
        """
        if not self.has_large_blocks:
            return BLOCK_CACHE_BYTES
        free, (width, height) = available_bytes(), self.largest_block
        if BLOCK_COPIES * self.block_bytes > free:
            raise OutOfMemoryError(
                f"{self.path}: its pixels are stored in blocks of {width:,} x {height:,} px, each "
                f"of which takes {BLOCK_COPIES * self.block_bytes / 1e9:.3g} GB of memory to "
                f"decode, and {free / 1e9:.3g} GB are free; rewrite it in smaller blocks "
                f"(gdal_translate -co TILED=YES)"
            )
        row_bytes = math.ceil(self.grid.width / width) * self.block_bytes
        return BLOCK_CACHE_BYTES + max(self.block_bytes, min(row_bytes, int(CACHE_FRACTION * free)))

    @cached_property
    def state(self) -> str:
        """Digest of the state of its files and of the way they are read.

        Raises:
            RasterError: The files were not recorded yet, and cannot be read.
        """
        if self.recorded_state is None:
            self.recorded_state = read_dataset(
                self.path,
                partial(RasterState.from_dataset, external_sources=self.external_sources),
                external_sources=self.external_sources,
            )
        grid = self.grid
        place = f"{grid.crs_wkt} {tuple(grid.transform)} {grid.width} {grid.height}"
        return short_digest(f"{self.recorded_state.digest} {place} {self.bands} {self.alpha}")

    @property
    def has_colour_table(self) -> bool:
        """Its values are the numbers of colours, which ``read`` returns."""
        return self.colour_table is not None

    @property
    def band_count(self) -> int:
        """Number of bands that ``read`` returns: three for a colour table."""
        return len(self.bands) if self.colour_table is None else 3

    @property
    def stretch(self) -> Stretch | None:
        """Stretch of the values to bytes, one for the whole raster; None if they are bytes.

        Raises:
            RasterError: The pixels it is estimated from cannot be read.

        Warns:
            GeodetectWarning: The estimate leaves out fill values, or is much wider than the
                imagery.
        """
        if self.value_range is not None:
            return Stretch(*self.value_range)
        if self.dtype == "uint8" or self.colour_table is not None:
            return None
        with self._handles.lock:  # the first thread estimates it for all threads
            return self._estimated_stretch

    @property
    def used_stretch(self) -> Stretch | None:
        """Stretch of a raster of which pixels were read; None: its pixels are bytes, or unread."""
        is_estimated = "_estimated_stretch" in self.__dict__
        return self.stretch if is_estimated or self.value_range is not None else None

    @cached_property
    def _estimated_stretch(self) -> Stretch:
        stretch = self._call("a sample of the values", self._estimate_stretch)
        self._warn_of_doubt(stretch)
        return stretch

    @cached_property
    def _empty_blocks(self) -> EmptyBlocks:
        return EmptyBlocks(self.path, self.bands, self.alpha)

    @cached_property
    def _shifted_overviews(self) -> bool:
        return self._call("its overviews", self._overviews_are_shifted)

    def _overviews_are_shifted(self) -> bool:
        """Return True if reading from the overviews would shift the imagery."""
        if not self._handle().overviews(1):
            return False
        with (
            self._open_dataset(overviews=False) as full,
            self._open_dataset(overview_level=0) as overview,
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
        values_and_valid = self._read(window, source)
        if values_and_valid is None:
            return empty_pixels(self.band_count, (window.height, window.width))
        return self.to_pixels(*values_and_valid)

    def read_values(self, window: Window) -> tuple[AnyArray, BoolArray] | None:
        """Read the values of a window as they are in the file; colours if it has a colour table.

        Args:
            window: In pixels of the raster.

        Returns:
            ``[C, H, W]`` in the data type of the file, and ``bool[H, W]`` True where they are
            valid; None: nowhere.

        Raises:
            RasterError: The pixels cannot be read.
        """
        return self._read(*self._source_window(window, self.grid))

    def to_pixels(self, values: AnyArray, valid: BoolArray) -> Pixels:
        """Return values of the raster, as ``read_values`` returns them, as bytes.

        Raises:
            RasterError: The pixels that the stretch is estimated from cannot be read.
        """
        if np.issubdtype(values.dtype, np.floating):
            valid = valid & np.isfinite(values).all(axis=0)
        stretch = self.stretch
        constant = find_constant_pixels(values)
        data = values if stretch is None else stretch(values)
        data = data.astype(np.uint8, copy=False)
        return Pixels(data if valid.all() else np.where(valid, data, np.uint8(0)), valid, constant)

    def _read(self, window: Window, source: windows.Window) -> tuple[AnyArray, BoolArray] | None:
        """Read a window of the file in the size of another one, the same ground."""
        subject = f"pixels {window.x}..{window.x + window.width} x {window.y}.."
        shape = window.height, window.width
        return self._call(subject, partial(self._read_window, source, shape))

    def read_valid(self, window: Window | None = None, grid: Grid | None = None) -> BoolArray:
        """Read only the valid mask of a window, ``bool[H, W]``, from overviews if there are any.

        Numbers that are not finite count as valid unless they are the nodata value.

        Args:
            window: In pixels of ``grid``; None: all of it.
            grid: The raster's own grid or a resampled one.

        Raises:
            RasterError: The pixels cannot be read.
        """
        window, source = self._source_window(window, grid or self.grid)
        shape = window.height, window.width
        return self._call("the mask", lambda: self._read_mask(self._handle(), source, shape))

    @cached_property
    def _gdal_options(self) -> dict[str, Any]:
        return gdal_options(
            self.path, cache_bytes=self.cache_bytes, asks_servers=bool(self.remote_files)
        )

    @property
    def _handles(self) -> _Handles:
        if self._open is None:
            with _first_use:
                if self._open is None:
                    self._open = _Handles()
        return self._open

    def close(self) -> None:
        """Close the handles of all threads; those of a thread that hangs close when it returns."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def __enter__(self) -> Raster:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _call(self, subject: str, function: Callable[[], T]) -> T:
        """Call a function that reads; its errors name the file and the subject."""
        if not self.remote_files:
            return self._call_here(subject, function)
        read = partial(self._call_here, subject, function)
        return read_from_server(read, self._start_over, path=self.path, subject=subject)

    def _call_here(self, subject: str, function: Callable[[], T]) -> T:
        thread, busy = threading.get_ident(), self._handles.busy
        is_outermost = thread not in busy
        busy.add(thread)
        try:
            with rasterio.Env(**self._gdal_options):
                return function()
        except GDAL_ERRORS as error:
            if self.remote_files:
                raise
            raise RasterError(
                f"{self.path}: cannot read {subject} ({root_cause(error)}); the file may be "
                f"damaged or incomplete"
            ) from error
        finally:
            if is_outermost:
                busy.discard(thread)

    def _source_window(self, window: Window | None, grid: Grid) -> tuple[Window, windows.Window]:
        """Return a window of a resampled grid (None: all of it), and the same in the file."""
        window = window or Window(0, 0, grid.width, grid.height)
        x, y = grid.scale_to(self.grid).tolist()
        source = windows.Window(window.x * x, window.y * y, window.width * x, window.height * y)
        return window, source

    def _read_window(
        self, source: windows.Window, shape: tuple[int, int]
    ) -> tuple[AnyArray, BoolArray] | None:
        """Return values and valid pixels of a window in the file; None: no pixel is valid."""
        handle = self._handle_for(source, shape)
        if not self.remote_files and self._empty_blocks.covers(handle, source):
            return None
        valid = self._read_mask(handle, source, shape)
        if valid.any():
            return self._read_values(handle, source, shape), valid
        if not self.remote_files:
            self._empty_blocks.learn(handle, source)
        return None

    def _read_values(self, handle: Any, window: windows.Window, shape: tuple[int, int]) -> AnyArray:
        if self.colour_table is not None:
            return read_colours(handle, self.colour_table, window, shape)
        options: dict[str, Any] = {"window": window, "resampling": RESAMPLING}
        dtypes = handle.dtypes
        if len({dtypes[band - 1] for band in self.bands}) > 1:  # rasterio refuses these
            bands = [handle.read(band, out_shape=shape, **options) for band in self.bands]
            return np.stack(bands).astype(self.dtype, copy=False)
        return np.asarray(handle.read(self.bands, out_shape=(len(self.bands), *shape), **options))

    def _read_mask(self, handle: Any, window: windows.Window, shape: tuple[int, int]) -> BoolArray:
        options: dict[str, Any] = {"window": window, "out_shape": shape}
        valid = np.ones(shape, bool)
        if self.is_opaque is not None:
            valid &= self.is_opaque[handle.read(1, **options)]
        if self.alpha is not None:
            valid &= handle.read(self.alpha, **options) > 0
        flags_of_all = handle.mask_flag_enums  # read once: it takes a call for each band
        flags = [flags_of_all[band - 1] for band in self.bands]
        if any(MaskFlags.nodata in flag for flag in flags):  # valid where any band holds a value
            holds_value = self._holds_value(handle, window, shape)
            valid &= holds_value
        elif MaskFlags.per_dataset in flags[0] and MaskFlags.alpha not in flags[0]:
            valid &= handle.read_masks(self.bands[0], **options) > 0
        return valid

    def _holds_value(
        self, handle: Any, window: windows.Window, shape: tuple[int, int]
    ) -> BoolArray:
        """Return True where any band that is read differs from its nodata value."""
        bands, nodata, dtypes = list(dict.fromkeys(self.bands)), handle.nodatavals, handle.dtypes
        is_mixed = len({dtypes[band - 1] for band in bands}) > 1  # rasterio refuses these
        holds_value = np.zeros(shape, bool)
        # most often the first band tells; each read takes time for each band of the raster
        step = 1 if is_mixed else max(1, MASK_BAND_PX // math.prod(shape))
        for group in (bands[:1], *(bands[n : n + step] for n in range(1, len(bands), step))):
            values = handle.read(group, window=window, out_shape=(len(group), *shape))
            for band, of_band in zip(group, values, strict=True):
                holds_value |= is_not_nodata(of_band, nodata[band - 1])
            if holds_value.all():
                break
        return holds_value

    def _estimate_stretch(self) -> Stretch:
        stretch = self._stretch_of(self._handle())
        is_doubtful = stretch.fill_values or stretch.narrow_middle
        if is_doubtful and self._handle().overviews(1):
            # averaged overviews hold mixtures of fill values and imagery
            stretch = self._stretch_of(self._handle(overviews=False))
        return stretch

    def _stretch_of(self, handle: Any) -> Stretch:
        """Estimate the stretch from windows, or from all of the raster where they hold little."""
        sample = sample_windows(handle)
        values = self._read_sample(handle, sample)
        stretch = Stretch.from_sample(values)
        sampled = len(self.bands) * sum(rows * columns for _, (rows, columns) in sample)
        if len(sample) > 1 and len(values) * (1 - stretch.fill_fraction) < (
            MIN_VALID_FRACTION * sampled
        ):
            # most windows lie beside the imagery, as on map sheets with wide margins
            return Stretch.from_sample(self._read_sample(handle, [whole_window(handle)]))
        return stretch

    def _warn_of_doubt(self, stretch: Stretch) -> None:
        message = ""
        if stretch.fill_values:
            fills = [f"{np.dtype(self.dtype).type(value)}" for value in stretch.fill_values]
            message = (
                f"{self.path}: {stretch.fill_fraction:.2%} of its values are "
                f"{list_names(fills, limit=3)}, far from all others; `value_range` is estimated as "
                f"{stretch.low:g},{stretch.high:g} without them; if they are no imagery, tag them "
                f"as nodata (gdal_edit.py -a_nodata {fills[0]})"
            )
        elif stretch.narrow_middle:
            low, high = stretch.narrow_middle
            message = (
                f"{self.path}: most of its values lie from {low:g} to {high:g}, a small part of "
                f"the estimated `value_range` {stretch.low:g},{stretch.high:g}, so that there is "
                f"little contrast in them; set `value_range` if objects are missed"
            )
        if message:
            warnings.warn(message, GeodetectWarning, stacklevel=4)

    def _read_sample(self, handle: Any, sample: Sequence[SampleWindow]) -> AnyArray:
        """Read the valid values of all bands in windows, each in its shape."""
        parts, nodata = [], handle.nodatavals
        for window, shape in sample:
            valid = self._read_mask(handle, window, shape)
            for band in self.bands:
                values = handle.read(band, window=window, out_shape=shape)
                parts.append(values[valid & is_not_nodata(values, nodata[band - 1])])
        return np.concatenate(parts)

    def _handle_for(self, window: windows.Window, shape: tuple[int, int]) -> Any:
        """Return this thread's handle for reading a window resampled to a shape."""
        if window.width < OVERVIEW_RATIO * shape[1] and window.height < OVERVIEW_RATIO * shape[0]:
            return self._handle()
        with self._handles.lock:  # the first thread checks for all threads
            shifted = self._shifted_overviews
        return self._handle(overviews=not shifted)

    def _handle(self, *, overviews: bool = True) -> Any:
        opened = self._handles
        of_thread: dict[Any, Any] = opened.local.__dict__
        if overviews not in of_thread:
            thread = threading.get_ident()
            handle = self._open_dataset(overviews=overviews)
            opened.items.append((thread, handle))
            if self.warp is not None:
                handle = WarpedVRT(handle, **self.warp)
                opened.items.append((thread, handle))
            of_thread[overviews] = handle
        return of_thread[overviews]

    def _open_dataset(self, **options: Any) -> Any:
        return open_dataset(self.path, external_sources=self.external_sources, **options)

    def release(self) -> None:
        """Close the handles of this thread; reading opens them again."""
        if self._open is not None:
            self._open.release()

    def _start_over(self) -> None:
        """Close the handles of this thread, and have GDAL forget what it read of the files."""
        self.release()
        forget_requests(self.remote_files)


def empty_pixels(band_count: int, shape: tuple[int, int]) -> Pixels:
    """Return pixels of a size (height, width) without any imagery, which take no memory."""
    zeros = np.broadcast_to(np.uint8(0), (band_count, *shape))
    return Pixels(zeros, np.broadcast_to(np.False_, shape))
