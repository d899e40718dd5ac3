"""Rasters of one CRS that lie together, read as one raster.

Where rasters overlap, the first named that has a valid pixel gives it. Rasters that share the
pixels of most are put together pixel by pixel and then resampled as a whole, so that their edges
leave no trace; others are interpolated one by one. GDAL's mosaics (VRT, GTI) are not used: they
hold rasters of one data type and nodata value only, and do not stretch the values of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio import windows

from geodetect.arrays.ordering import group_rows
from geodetect.errors import RasterError
from geodetect.geo.grid import Grid, map_corners
from geodetect.geo.polygons import polygons_of
from geodetect.geo.tiles import Window
from geodetect.io.ground.open_rasters import OpenRasters
from geodetect.io.ground.resampling import (
    kernel_margin,
    move,
    pick_moved,
    pick_nearest,
    resample,
)
from geodetect.io.raster.dataset import BLOCK_CACHE_BYTES
from geodetect.io.raster.reader import OVERVIEW_RATIO, Pixels, Raster, empty_pixels
from geodetect.io.raster.state import short_digest
from geodetect.types import AnyArray, BoolArray, FloatArray, IntArray, ObjectArray

T = TypeVar("T")
SAME_PX = 0.02  # grids whose pixels lie apart by less, anywhere in a raster, are one grid
MAX_BUFFER_PX = 2**26  # of pixels that are put together before they are resampled
MARGIN_PX = 3  # around a window that is interpolated
NO_RASTER = -1
MANY_RASTERS = 1000  # whose boxes are searched with an index
HIDDEN_PX = 1.0  # largest visible area of a hidden raster


@dataclass(frozen=True)
class _Layer:
    """Pixels of a window that one or several rasters give.

    Args:
        pixels: The pixels.
        raster: ``int32[H, W]`` number of the raster of each pixel; NO_RASTER: not valid.
    """

    pixels: Pixels
    raster: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Ground:
    """Rasters of one CRS that lie together, read as one.

    Args:
        rasters: The rasters, in the order of their priority.
        grid: Pixels of most rasters, extended around all of them.
        boxes: ``int64[N, 4]`` box of each raster in pixels of ``grid``; around those with other
            pixels.
        is_aligned: ``bool[N]`` True for rasters that have the pixels of ``grid``.
        failures: Error message of each raster that could not be read somewhere, by its number.
    """

    rasters: tuple[Raster, ...]
    grid: Grid
    boxes: IntArray
    is_aligned: BoolArray
    failures: dict[int, str] = field(default_factory=dict)
    _open: OpenRasters = field(default_factory=OpenRasters)

    @classmethod
    def from_rasters(cls, rasters: Sequence[Raster]) -> Ground:
        """Return the ground of rasters (at least one) in one CRS."""
        first = rasters[0].grid
        if len(rasters) == 1:
            box = np.array([[0, 0, first.width, first.height]])
            return cls(tuple(rasters), first, box, np.ones(1, bool))
        grids = [raster.grid for raster in rasters]
        reference, is_aligned = _choose_pixels(grids)
        corners = reference.to_px(map_corners(grids))
        low, high = corners.min(axis=1) + SAME_PX, corners.max(axis=1) - SAME_PX
        boxes = np.concatenate([np.floor(low), np.ceil(high)], axis=1).astype(np.int64)
        sizes = np.array([(grid.width, grid.height) for grid in grids])
        boxes[is_aligned, :2] = np.round(corners[is_aligned, 0])
        boxes[is_aligned, 2:] = boxes[is_aligned, :2] + sizes[is_aligned]
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        width, height = (high - low).tolist()
        aligned = np.flatnonzero(is_aligned)
        transform = _corner_transform(reference, low, [grids[n] for n in aligned], boxes[aligned])
        grid = Grid(reference.crs, transform, width, height, reference.unit_m)
        return cls(tuple(rasters), grid, boxes - np.tile(low, 2), is_aligned)

    @property
    def name(self) -> str:
        """Name of the only raster, else the number of rasters, for messages."""
        first = self.rasters[0]
        return first.name if len(self.rasters) == 1 else f"{len(self.rasters):,} rasters"

    @property
    def path(self) -> str:
        """Path of the only raster, else of the first one and the number of others, for messages."""
        first, further = self.rasters[0].path, len(self.rasters) - 1
        return f"{first} and {further:,} more" if further else first

    @property
    def band_count(self) -> int:
        """Number of bands that ``read`` returns."""
        return self.rasters[0].band_count

    @cached_property
    def outlines(self) -> ObjectArray:
        """Outlines of the rasters in pixels of ``grid``, ``object[N]``."""
        outlines = shapely.box(*self.boxes.T.astype(np.float64))
        for number in np.flatnonzero(~self.is_aligned).tolist():
            outlines[number] = shapely.transform(self.rasters[number].grid.outline, self.grid.to_px)
        return outlines

    def rasters_at(self, points: FloatArray) -> IntArray:
        """Return the number of the first raster at each place; between rasters, of the nearest.

        Args:
            points: ``float64[N, 2]`` in pixels of ``grid``.
        """
        if len(self.rasters) == 1:
            return np.zeros(len(points), np.int64)
        places, tree = shapely.points(points), shapely.STRtree(self.outlines)
        numbers = np.full(len(points), len(self.rasters))
        np.minimum.at(numbers, *tree.query(places, predicate="intersects"))
        between = np.flatnonzero(numbers == len(self.rasters))
        numbers[between] = tree.nearest(places[between])
        return numbers

    @cached_property
    def visible_parts(self) -> list[shapely.Geometry]:
        """Part of each raster that no earlier one covers, as polygons in pixels of ``grid``."""
        parts = list(self.outlines)
        later, earlier, _ = self._overlaps
        for rows in group_rows(later):
            number = int(later[rows[0]])
            parts[number] = self._visible_part(number, earlier[rows])
        return parts

    @property
    def hidden_rasters(self) -> list[str]:
        """Names of the rasters that show only ground of earlier ones."""
        later, earlier, areas = self._overlaps
        covered = np.zeros(len(self.rasters))
        np.add.at(covered, later, areas)
        # others are not hidden, wherever the earlier ones lie
        doubtful = covered > shapely.area(self.outlines) - HIDDEN_PX
        return [
            self.rasters[number].name
            for number in np.flatnonzero(doubtful).tolist()
            if self._visible_part(number, earlier[later == number]).area < HIDDEN_PX
        ]

    @cached_property
    def _overlaps(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Numbers of rasters and of earlier ones that their boxes overlap, and the shared area.

        They are ordered by the first; sheets that only touch are no pairs.
        """
        boxes = self.boxes
        pairs = self._tree.query(shapely.box(*boxes.T.astype(np.float64)))
        later, earlier = pairs[:, pairs[0] > pairs[1]]
        low = np.maximum(boxes[later, :2], boxes[earlier, :2])
        high = np.minimum(boxes[later, 2:], boxes[earlier, 2:])
        areas = np.clip(high - low, 0, None).prod(axis=1).astype(np.float64)
        overlap = np.flatnonzero(areas > 0)
        order = overlap[np.lexsort((earlier[overlap], later[overlap]))]
        return later[order], earlier[order], areas[order]

    def _visible_part(self, number: int, earlier: IntArray) -> shapely.Geometry:
        """Return the part of a raster that earlier ones, by their numbers, do not cover."""
        covered = shapely.union_all(self.outlines[earlier])
        return polygons_of(shapely.difference(self.outlines[number], covered))

    def state_in(self, window: Window, grid: Grid) -> str:
        """Return a digest of the states of all rasters that a window may show.

        Args:
            window: In pixels of ``grid``.
            grid: The ground's own grid or a resampled one.

        Raises:
            RasterError: The files of a raster cannot be read.
        """
        numbers = self._numbers_in(self._needed_window(window, grid.scale_to(self.grid)))
        return short_digest(" ".join(self.rasters[number].state for number in numbers.tolist()))

    @property
    def is_service(self) -> bool:
        """It is a web service, which shows the whole world."""
        return self.rasters[0].is_service

    @property
    def cache_bytes(self) -> int:
        """Bytes of GDAL's block cache that reading needs."""
        return max(raster.cache_bytes for raster in self.rasters)

    def needs_one_thread(self, row_px: float) -> bool:
        """Return True if blocks of the rasters are decoded only once if one thread reads them all.

        Args:
            row_px: Height of a row of tiles in pixels of the rasters.
        """
        if len(self.rasters) > 1:  # each column of tiles has rasters of its own
            return False
        raster = self.rasters[0]
        row_bytes = raster.grid.width * row_px * raster.bytes_per_px
        is_strip = raster.block_width >= raster.grid.width and row_bytes < BLOCK_CACHE_BYTES
        return is_strip or raster.has_large_blocks

    @property
    def imagery(self) -> FloatArray | None:
        """Boxes ``float64[N, 4]`` in pixels outside of which there is no imagery.

        None: it may be anywhere, as in one raster.
        """
        if len(self.rasters) == 1:
            return self.rasters[0].imagery
        parts = []
        for raster, box, is_aligned in zip(self.rasters, self.boxes, self.is_aligned, strict=True):
            is_known = is_aligned and raster.imagery is not None
            parts.append(raster.imagery + np.tile(box[:2], 2) if is_known else box[None])
        return np.concatenate(parts).astype(np.float64)

    def read(
        self, window: Window | None = None, grid: Grid | None = None, *, with_holes: bool = False
    ) -> Pixels:
        """Read the pixels of a window, as ``Raster.read``.

        Args:
            window: In pixels of ``grid``; None: all of it.
            grid: The ground's own grid or a resampled one (``Grid.resampled``).
            with_holes: Where a raster cannot be read, note it in ``failures`` and leave a hole.

        Raises:
            RasterError: The pixels of a raster cannot be read, and there may be no holes.
        """
        grid = grid or self.grid
        window = window or Window(0, 0, grid.width, grid.height)
        if len(self.rasters) == 1:
            return self._read_only_raster(window, grid, with_holes=with_holes)
        ratio = grid.scale_to(self.grid)
        needed = self._needed_window(window, ratio)
        layers: list[_Layer | None] = []
        numbers = self._numbers_in(needed)
        is_together = self._are_together(numbers, needed, ratio)
        if is_together.any():
            layers.append(
                self._read_together(
                    numbers[is_together], window, needed, ratio, with_holes=with_holes
                )
            )
        layers += [
            self._read_alone(number, window, grid, with_holes=with_holes)
            for number in numbers[~is_together].tolist()
        ]
        return _combine(layers, self.band_count, (window.height, window.width))

    def read_valid(self, window: Window | None = None, grid: Grid | None = None) -> BoolArray:
        """Read only the valid mask of a window, ``bool[H, W]``, as ``Raster.read_valid``.

        Args:
            window: In pixels of ``grid``; None: all of it.
            grid: The ground's own grid or a resampled one.

        Raises:
            RasterError: The pixels of a raster cannot be read.
        """
        grid = grid or self.grid
        window = window or Window(0, 0, grid.width, grid.height)
        if len(self.rasters) == 1:
            return self.rasters[0].read_valid(window, grid)
        valid = np.zeros((window.height, window.width), bool)
        for number in self.rasters_in(window, grid):
            placed = self._place(int(number), window, grid)
            if placed is None:
                continue
            own_grid, own_window, to_own = placed
            self._open.touch(self.rasters[number])
            mask = self.rasters[number].read_valid(own_window, own_grid)
            valid |= pick_moved(mask, to_own, valid.shape)
        return valid

    def rasters_in(self, window: Window, grid: Grid) -> IntArray:
        """Return the numbers of the rasters that reading a window may need, in order.

        Args:
            window: In pixels of ``grid``.
            grid: The ground's own grid or a resampled one.
        """
        return self._numbers_in(self._needed_window(window, grid.scale_to(self.grid)))

    def close(self) -> None:
        """Close the files of all rasters."""
        self._open.clear()
        for raster in self.rasters:
            raster.close()

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _needed_window(self, window: Window, ratio: FloatArray) -> Window:
        """Return the pixels of the ground's grid that a window of a resampled grid needs."""
        margin = np.array([0 if r == 1 else kernel_margin(r) for r in ratio])
        box = window.box.reshape(2, 2) * ratio
        size = np.array([self.grid.width, self.grid.height])
        low = np.clip(np.floor(box[0]) - margin, 0, size).astype(np.int64)
        high = np.clip(np.ceil(box[1]) + margin, 0, size).astype(np.int64)
        return Window(*low.tolist(), *(high - low).tolist())

    def _numbers_in(self, window: Window) -> IntArray:
        """Return the numbers of the rasters that overlap a window, in order."""
        x1, y1, x2, y2 = window.box
        numbers = np.arange(len(self.boxes))
        if len(numbers) > MANY_RASTERS:
            numbers = np.sort(self._tree.query(shapely.box(x1, y1, x2, y2)))
        b = self.boxes[numbers]
        overlaps = (b[:, 0] < x2) & (b[:, 2] > x1) & (b[:, 1] < y2) & (b[:, 3] > y1)
        return numbers[overlaps]

    @cached_property
    def _tree(self) -> shapely.STRtree:
        """Index of ``boxes``."""
        return shapely.STRtree(shapely.box(*self.boxes.T.astype(np.float64)))

    def _are_together(self, numbers: IntArray, needed: Window, ratio: FloatArray) -> BoolArray:
        """Return True for rasters that are put together before they are resampled."""
        together = self.is_aligned[numbers].copy()
        if ratio.max() == 1:
            return together
        if needed.width * needed.height > MAX_BUFFER_PX:
            return np.zeros_like(together)
        if ratio.max() >= OVERVIEW_RATIO:  # overviews of parts never equal those of the whole
            together &= [not self.rasters[number].has_overviews for number in numbers.tolist()]
        return together

    def _read_only_raster(self, window: Window, grid: Grid, *, with_holes: bool) -> Pixels:
        pixels = self._try(0, lambda raster: raster.read(window, grid), with_holes=with_holes)
        if pixels is not None:
            return pixels
        shape = window.height, window.width
        return replace(empty_pixels(self.band_count, shape), unread=np.ones(shape, bool))

    def _read_together(
        self,
        numbers: IntArray,
        window: Window,
        needed: Window,
        ratio: FloatArray,
        *,
        with_holes: bool,
    ) -> _Layer:
        """Put rasters together pixel by pixel, and resample them as one.

        Args:
            numbers: Numbers of aligned rasters.
            window: Window of a resampled grid.
            needed: Window of the ground's grid around it.
            ratio: Pixels of the ground's grid for each pixel of the other one, along x and y.
            with_holes: As for ``read``.
        """
        rasters = [self.rasters[number] for number in numbers.tolist()]
        kinds = {(raster.dtype, raster.nodata, raster.value_range) for raster in rasters}
        # values of several stretches become bytes first
        has_one_stretch = rasters[0].dtype == "uint8" or rasters[0].value_range is not None
        as_bytes = len(kinds) > 1 or any(raster.has_colour_table for raster in rasters)
        as_bytes |= len(rasters) > 1 and not has_one_stretch
        nodata = None if as_bytes else rasters[0].nodata
        shape = needed.height, needed.width
        dtype = np.uint8 if as_bytes else rasters[0].dtype
        values = np.full((self.band_count, *shape), 0 if nodata is None else nodata, dtype)
        raster_of = np.full(shape, NO_RASTER, np.int32)
        constant, unread = np.zeros(shape, bool), np.zeros(shape, bool)
        for number in numbers.tolist():
            part, own_window = self._overlap(number, needed)
            is_open = raster_of[part] == NO_RASTER
            if not is_open.any():
                continue
            read = partial(_read_part, window=own_window, as_bytes=as_bytes)
            result = self._try(number, read, with_holes=with_holes)
            if result is None:
                unread[part] |= is_open
                continue
            data, valid, is_constant = result
            new = is_open & valid
            if new.all():
                values[(slice(None), *part)] = data
                raster_of[part] = number
            elif new.any():
                values[(slice(None), *part)][:, new] = data[:, new]
                raster_of[part][new] = number
            if is_constant is not None:
                constant[part] |= is_constant & new
        size = window.height, window.width
        if ratio.max() != 1 or ratio.min() != 1:
            x, y = ratio.tolist()
            source = windows.Window(window.x * x, window.y * y, window.width * x, window.height * y)
            corner = needed.x, needed.y
            is_valid = raster_of != NO_RASTER
            values = resample(values, is_valid, source, size, corner=corner, nodata=nodata)
            raster_of, constant, unread = (
                pick_nearest(array, source, size, corner=corner)
                for array in (raster_of, constant, unread)
            )
        valid = raster_of != NO_RASTER
        if as_bytes:
            pixels = Pixels(np.where(valid, values, np.uint8(0)), valid, constant)
        else:
            pixels = rasters[0].to_pixels(values, valid)
            raster_of = np.where(pixels.valid, raster_of, np.int32(NO_RASTER))
        return _Layer(replace(pixels, unread=unread if unread.any() else None), raster_of)

    def _read_alone(
        self, number: int, window: Window, grid: Grid, *, with_holes: bool
    ) -> _Layer | None:
        """Read one raster in a window of a grid, interpolated where its pixels are not those."""
        placed = self._place(number, window, grid)
        if placed is None:
            return None
        own_grid, own_window, to_own = placed
        shape = window.height, window.width
        result = self._try(number, lambda r: r.read(own_window, own_grid), with_holes=with_holes)
        if result is None:
            hole = pick_moved(np.ones((own_window.height, own_window.width), bool), to_own, shape)
            pixels = replace(empty_pixels(self.band_count, shape), unread=hole)
            return _Layer(pixels, np.full(shape, NO_RASTER, np.int32))
        if not result.valid.any():
            return None
        values, valid = move(result.values, result.valid, to_own, shape)
        constant = None if result.constant is None else pick_moved(result.constant, to_own, shape)
        raster_of = np.where(valid, np.int32(number), np.int32(NO_RASTER))
        return _Layer(Pixels(values, valid, constant), raster_of)

    def _try(self, number: int, read: Callable[[Raster], T], *, with_holes: bool) -> T | None:
        """Read from a raster; if that fails and there may be holes, note the error.

        A server that has failed is not asked again, as that takes a minute each time.
        """
        raster = self.rasters[number]
        if with_holes and number in self.failures and raster.remote_files:
            return None
        self._open.touch(raster)
        try:
            return read(raster)
        except RasterError as error:
            if not with_holes:
                raise
            self.failures.setdefault(number, str(error))
            return None

    def _place(self, number: int, window: Window, grid: Grid) -> tuple[Grid, Window, Affine] | None:
        """Return the part of a raster that a window of a grid shows.

        Returns:
            Grid of the raster in about the resolution of the other grid, and no finer than its own;
            window in it; pixel coordinates of the window of the other grid to those of this one.
            None: they do not overlap.
        """
        raster_grid = self.rasters[number].grid
        step = ~raster_grid.transform @ grid.transform
        scale_x, scale_y = math.hypot(step.a, step.b), math.hypot(step.d, step.e)
        own_grid = raster_grid
        if max(scale_x, scale_y) > 1 + SAME_PX:
            own_grid = raster_grid.resampled(min(1.0, 1 / scale_x), min(1.0, 1 / scale_y))
        to_own = ~own_grid.transform @ grid.transform @ Affine.translation(window.x, window.y)
        corners = [(0, 0), (window.width, 0), (0, window.height), (window.width, window.height)]
        points = np.array([to_own @ corner for corner in corners])
        size = np.array([own_grid.width, own_grid.height])
        low = np.clip(np.floor(points.min(axis=0)) - MARGIN_PX, 0, size).astype(np.int64)
        high = np.clip(np.ceil(points.max(axis=0)) + MARGIN_PX, 0, size).astype(np.int64)
        if not (low < high).all():
            return None
        own_window = Window(*low.tolist(), *(high - low).tolist())
        return own_grid, own_window, Affine.translation(*(-low).tolist()) @ to_own

    def _overlap(self, number: int, window: Window) -> tuple[tuple[slice, slice], Window]:
        """Return the part of a window that an aligned raster covers, and the same in its pixels."""
        low = np.maximum(self.boxes[number, :2], [window.x, window.y])
        high = np.minimum(
            self.boxes[number, 2:], [window.x + window.width, window.y + window.height]
        )
        (x0, y0), (x1, y1) = (low - [window.x, window.y]), (high - [window.x, window.y])
        x, y = (low - self.boxes[number, :2]).tolist()
        own_window = Window(x, y, int(x1 - x0), int(y1 - y0))
        return (slice(int(y0), int(y1)), slice(int(x0), int(x1))), own_window


def _read_part(
    raster: Raster, window: Window, *, as_bytes: bool
) -> tuple[AnyArray, BoolArray, BoolArray | None]:
    """Return values, valid pixels and, of bytes, constant pixels of a window."""
    read = raster.read_values(window)
    if read is None:
        pixels = empty_pixels(raster.band_count, (window.height, window.width))
    elif as_bytes:
        pixels = raster.to_pixels(*read)
    else:
        return *read, None
    return pixels.values, pixels.valid, pixels.constant


def _combine(layers: Sequence[_Layer | None], band_count: int, shape: tuple[int, int]) -> Pixels:
    """Return the pixels of the first named raster that has a valid one."""
    present = [layer for layer in layers if layer is not None]
    if not present:
        return empty_pixels(band_count, shape)
    first, *later = present
    pixels, raster = first.pixels, first.raster
    for layer in later:
        is_first = (layer.raster != NO_RASTER) & ((raster == NO_RASTER) | (layer.raster < raster))
        raster = np.where(is_first, layer.raster, raster)
        constant = pixels.constant
        if constant is not None or layer.pixels.constant is not None:
            no_areas = np.zeros(shape, bool)
            constant = np.where(
                is_first,
                no_areas if layer.pixels.constant is None else layer.pixels.constant,
                no_areas if constant is None else constant,
            )
        values = np.where(is_first, layer.pixels.values, pixels.values)
        unread = [p.unread for p in (pixels, layer.pixels) if p.unread is not None]
        hole = np.logical_or.reduce(unread) if unread else None
        pixels = Pixels(values, raster != NO_RASTER, constant, unread=hole)
    if pixels.unread is not None:
        hole = pixels.unread & ~pixels.valid
        pixels = replace(pixels, unread=hole if hole.any() else None)
    return replace(pixels, raster=raster)


def _choose_pixels(grids: Sequence[Grid]) -> tuple[Grid, BoolArray]:
    """Return a grid whose pixels most of the area has, and True for the grids that have them."""
    transforms = np.array([grid.transform[:6] for grid in grids])
    sizes = np.array([(grid.width, grid.height) for grid in grids])
    is_open = np.ones(len(grids), bool)
    best, most = np.zeros(len(grids), bool), 0
    while is_open.any():
        reference = grids[int(np.argmax(is_open))]
        is_aligned = is_open & _are_aligned(transforms, sizes, reference)
        is_open &= ~is_aligned
        area = int(sizes[is_aligned].prod(axis=1).sum())
        if area > most:
            best, most = is_aligned, area
        if most >= int(sizes[is_open].prod(axis=1).sum()):
            break
    return grids[int(np.argmax(best))], best


def _are_aligned(transforms: FloatArray, sizes: IntArray, reference: Grid) -> BoolArray:
    """Return True for grids with the pixels of another one.

    Args:
        transforms: ``float64[N, 6]`` a, b, c, d, e, f of each grid.
        sizes: ``int64[N, 2]`` columns and rows.
        reference: The other grid.
    """
    t = ~reference.transform
    a, b, c, d, e, f = transforms.T
    width, height = sizes.T
    x, y = t.a * c + t.b * f + t.c, t.d * c + t.e * f + t.f
    drifts = [
        (t.a * a + t.b * d - 1) * width,
        (t.a * b + t.b * e) * height,
        (t.d * a + t.e * d) * width,
        (t.d * b + t.e * e - 1) * height,
        x - np.round(x),
        y - np.round(y),
    ]
    return np.asarray(np.abs(drifts).max(axis=0) < SAME_PX)


def _corner_transform(
    reference: Grid, low: IntArray, grids: Sequence[Grid], boxes: IntArray
) -> Affine:
    """Return the transform of a grid of pixels whose upper left corner is another one.

    Args:
        reference: Grid with the same pixels.
        low: ``int64[2]`` column and row of the corner in its pixels.
        grids: More grids with the same pixels.
        boxes: ``int64[N, 4]`` their boxes in pixels of the reference.
    """
    t = reference.transform @ Affine.translation(*low.tolist())
    if not reference.transform.is_rectilinear:
        return t
    # the coordinates of a raster that begins there, without the rounding of a multiplication
    left, top = (np.flatnonzero(boxes[:, axis] == low[axis]) for axis in (0, 1))
    x = grids[left[0]].transform.c if len(left) else t.c
    y = grids[top[0]].transform.f if len(top) else t.f
    return Affine(t.a, t.b, x, t.d, t.e, y)
