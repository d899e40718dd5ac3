"""Several rasters as one, for display."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import shapely
from affine import Affine
from PIL import Image
from pyproj import CRS

from geodetect.errors import GeodetectWarning, InputError
from geodetect.geo.bounds import bounds_px
from geodetect.geo.crs import horizontal_crs, same_crs, transformer_between
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.io.raster.georeference import georeference_advice
from geodetect.io.raster.open_raster import name_rasters
from geodetect.io.raster.reader import Pixels, Raster
from geodetect.io.sources.find import find_rasters, without_repetitions
from geodetect.reporting.drawing.canvas import open_for_display
from geodetect.reporting.drawing.images import OPAQUE, PixelSource, rgba_image
from geodetect.settings import DrawingSettings
from geodetect.types import BoolArray, FloatArray, PathLike, UInt8Array

SAME_PX = 1e-3  # grids whose pixels differ by less are one grid
FINER = 0.98  # a raster whose pixels are smaller by this ratio decides the resolution
MESH_PX = 64  # side of the cells in which a projection is taken as straight
MARGIN_PX = 3  # around a window that is interpolated
MAX_OPEN = 64  # rasters with open files, far below the limit of operating systems
FAR_SIDES = 20  # a raster further from all others, in sides of the largest, is a doubtful neighbour
# pixel centres are shifted by so much, so that one on the border of two rasters lies in one of them
TIE_PX = 1e-6


@dataclass(frozen=True)
class Mosaic:
    """Several rasters as one: where they overlap the first named is on top, gaps are blank.

    Rasters in other CRS or of other pixels are interpolated. GDAL's VRT mosaics are not used: they
    hold rasters of one CRS, type and number of bands only, in which values are not stretched alike.

    Args:
        rasters: Open rasters.
        grid: Grid around all of them, in the CRS of the first and of the finest resolution.
        imagery: ``float64[N, 4]`` boxes around the rasters in pixels of the grid.
    """

    rasters: tuple[Raster, ...]
    grid: Grid
    imagery: FloatArray
    _recent: list[int] = field(default_factory=list)  # rasters that were read, the last one last

    @classmethod
    def from_rasters(cls, rasters: Sequence[Raster]) -> Mosaic:
        """Return the mosaic of rasters.

        Raises:
            InputError: A raster lies where the CRS of the first is not defined.

        Warns:
            GeodetectWarning: A raster lies far from all others.
        """
        base = _choose_grid([raster.grid for raster in rasters])
        boxes = np.concatenate(
            [
                bounds_px(np.array([raster.grid.outline]), _crs_of(raster.grid), base)
                for raster in rasters
            ]
        )
        is_reached = np.isfinite(boxes).all(axis=1)
        if not is_reached.all():
            raster = rasters[int(np.flatnonzero(~is_reached)[0])]
            raise InputError(
                f"{raster.path} lies where the CRS of {rasters[0].path} ({_crs_of(base).name}) is "
                f"not defined; name rasters of one region, the one with the CRS of the map first"
            )
        _warn_of_distance(rasters, boxes, base)
        low = np.floor(boxes[:, :2].min(axis=0) + SAME_PX)
        width, height = (np.ceil(boxes[:, 2:].max(axis=0) - SAME_PX) - low).astype(int).tolist()
        transform = base.transform @ Affine.translation(*low.tolist())
        grid = Grid(base.crs, transform, max(1, width), max(1, height))
        return cls(tuple(rasters), grid, boxes - np.tile(low, 2))

    @property
    def name(self) -> str:
        """Name in titles."""
        return f"{len(self.rasters):,} rasters"

    @property
    def covered_fraction(self) -> float:
        """Fraction of the grid with imagery, at most; overlaps count twice."""
        sides = self.imagery[:, 2:] - self.imagery[:, :2]
        return min(1.0, float(sides.prod(axis=1).sum() / (self.grid.width * self.grid.height)))

    def read(self, window: Window | None = None, grid: Grid | None = None) -> Pixels:
        """Read three bands of a window, as `Raster.read`.

        Args:
            window: In pixels of ``grid``; None: all of it.
            grid: The grid of the mosaic or a resampled one.

        Raises:
            RasterError: The pixels cannot be read.
        """
        grid = grid or self.grid
        window = window or Window(0, 0, grid.width, grid.height)
        values = np.zeros((3, window.height, window.width), np.uint8)
        valid = np.zeros((window.height, window.width), bool)
        corner = np.array([window.x, window.y])
        boxes = self.imagery * np.tile(self.grid.scale_to(grid), 2) - np.tile(corner, 2)
        starts = np.clip(np.floor(boxes[:, :2] + SAME_PX), 0, valid.shape[::-1]).astype(int)
        stops = np.clip(np.ceil(boxes[:, 2:] - SAME_PX), 0, valid.shape[::-1]).astype(int)
        for number in np.flatnonzero((starts < stops).all(axis=1)).tolist():
            (x0, y0), (x1, y1) = starts[number].tolist(), stops[number].tolist()
            part = slice(y0, y1), slice(x0, x1)
            if valid[part].all():
                continue
            target = Window(window.x + x0, window.y + y0, x1 - x0, y1 - y0)
            rgb, is_valid = self._read_part(number, target, grid)
            is_new = is_valid & ~valid[part]
            values[(slice(None), *part)][:, is_new] = rgb[:, is_new]
            valid[part] |= is_new
        return Pixels(values, valid)

    def close(self) -> None:
        """Close all rasters."""
        for raster in self.rasters:
            raster.close()

    def _read_part(self, number: int, window: Window, grid: Grid) -> tuple[UInt8Array, BoolArray]:
        """Read one raster in a window of the grid: ``uint8[3, H, W]`` and ``bool[H, W]``."""
        raster = self.rasters[number]
        if number in self._recent:
            self._recent.remove(number)
        self._recent.append(number)
        if len(self._recent) > MAX_OPEN:
            self.rasters[self._recent.pop(0)].close()
        aligned = self._aligned[number] and _shift_to(raster.grid, grid)
        if aligned:
            src_grid, (x, y) = aligned
            inside = Window(window.x - x, window.y - y, window.width, window.height)
            if _holds(src_grid, inside):
                return _split_image(rgba_image(raster.read(inside, src_grid)))
        return _split_image(_interpolate(raster, window, grid))

    @cached_property
    def _aligned(self) -> list[bool]:
        """True for rasters in the CRS of the grid."""
        return [same_crs(_crs_of(raster.grid), _crs_of(self.grid)) for raster in self.rasters]


@contextmanager
def open_imagery(
    sources: PathLike | Sequence[PathLike], settings: DrawingSettings
) -> Iterator[PixelSource]:
    """Open one raster, or several as a mosaic, for display.

    Args:
        sources: Files, folders and URLs.
        settings: Bands, value range and CRS of the rasters.

    Raises:
        InputError: A folder holds no raster, or several rasters have no place on the map.
        RasterError: A raster cannot be opened.
    """
    paths = find_rasters(sources, pixel_coords=settings.pixel_coords)
    if not paths:
        raise InputError("`raster` is empty; expected at least one file or folder")
    paths = without_repetitions(paths)
    if len(paths) == 1:
        with open_for_display(paths[0], settings) as raster:
            yield raster
        return
    if settings.pixel_coords:
        raise InputError(
            f"`pixel_coords` is for the pixels of one raster, found {len(paths):,}; name one of "
            f"them, or leave it away"
        )
    rasters: list[Raster] = []
    try:
        with georeference_advice("leave it out"):
            rasters += [open_for_display(path, settings) for path in paths]  # none has open files
        name_rasters(rasters)
        yield Mosaic.from_rasters(rasters)
    finally:
        for raster in rasters:
            raster.close()


def _crs_of(grid: Grid) -> CRS:
    """Return the CRS of a grid that has one."""
    assert grid.crs is not None
    return grid.crs


def _choose_grid(grids: Sequence[Grid]) -> Grid:
    """Return a grid with CRS and resolution of a mosaic: that of a raster if all are parallel.

    Else it is north-up, in the CRS of the first raster.
    """
    first = grids[0]
    # sides of squares with the area of a pixel, in units of the CRS
    sizes = [float(np.sqrt(abs(grid.transform.determinant))) for grid in grids]
    directions = [np.array(grid.transform[:6])[[0, 1, 3, 4]] for grid in grids]
    is_parallel = all(
        same_crs(_crs_of(grid), _crs_of(first))
        and np.allclose(d / size, directions[0] / sizes[0], atol=1e-6)
        for grid, d, size in zip(grids, directions, sizes, strict=True)
    )
    gsd_m = [grid.gsd_m or 1.0 for grid in grids]
    finest = min(range(len(grids)), key=gsd_m.__getitem__)
    if gsd_m[finest] >= FINER * gsd_m[0]:
        finest = 0
    if is_parallel:
        return grids[finest]
    side = sizes[0] * gsd_m[finest] / gsd_m[0]
    corner = first.transform.c, first.transform.f
    return Grid(first.crs, Affine(side, 0, corner[0], 0, -side, corner[1]), 1, 1)


def _warn_of_distance(rasters: Sequence[Raster], boxes: FloatArray, grid: Grid) -> None:
    """Warn of rasters so far from all others that they hardly belong to them."""
    limit = FAR_SIDES * float((boxes[:, 2:] - boxes[:, :2]).max())
    tree = shapely.STRtree(shapely.box(*boxes.T))
    (rows, _), distances = tree.query_nearest(
        tree.geometries, exclusive=True, return_distance=True, all_matches=False
    )
    if not len(distances):  # all are equal
        return
    far = int(np.argmax(distances))
    if distances[far] > limit:
        raster = rasters[int(rows[far])]
        distance_m = float(distances[far]) * (grid.gsd_m or 1.0)
        warnings.warn(
            f"{raster.path} lies {distance_m / 1000:,.0f} km from the other rasters; check its "
            f"CRS, or leave it out",
            GeodetectWarning,
            stacklevel=4,
        )


def _shift_to(src: Grid, grid: Grid) -> tuple[Grid, tuple[int, int]] | None:
    """Return a raster's grid in the pixels of another grid, and its place in it.

    Returns:
        The raster's grid, resampled, and column and row of its corner; None if its pixels are not
        those of the other grid.
    """
    to_src = ~src.transform @ grid.transform
    step = np.array([to_src.a, to_src.e])
    if max(abs(to_src.b), abs(to_src.d)) * max(src.width, src.height) > SAME_PX or step.min() <= 0:
        return None
    size = np.array([src.width, src.height]) / step
    corner = -np.array([to_src.c, to_src.f]) / step
    values = np.concatenate([size, corner])
    if np.abs(values - np.round(values)).max() > SAME_PX or size.min() < 1 - SAME_PX:
        return None
    x, y = np.round(corner).astype(int).tolist()
    return src.resampled(*(1 / step).tolist()), (x, y)


def _holds(grid: Grid, window: Window) -> bool:
    """Return True if a window lies inside a grid."""
    return (
        window.x >= 0
        and window.y >= 0
        and window.x + window.width <= grid.width
        and window.y + window.height <= grid.height
    )


def _interpolate(raster: Raster, window: Window, grid: Grid) -> Image.Image:
    """Return an RGBA image of a raster, interpolated to a window of a grid in any CRS.

    The raster is read in the resolution of the grid, and then moved by less than a pixel in most
    cases, so that a linear interpolation is enough.
    """
    columns, rows = (
        np.unique([*range(0, side, MESH_PX), side]) for side in (window.width, window.height)
    )
    nodes = np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float64)
    points = grid.to_map(nodes + np.array([window.x, window.y]))
    crs, src_crs = _crs_of(grid), _crs_of(raster.grid)
    if not same_crs(crs, src_crs):
        transformer = transformer_between(horizontal_crs(crs), horizontal_crs(src_crs))
        points = np.stack(transformer.transform(points[..., 0], points[..., 1]), axis=-1)
    src = raster.grid.to_px(points) + TIE_PX
    empty = Image.new("RGBA", (window.width, window.height))
    is_reached: BoolArray = np.asarray(np.isfinite(src).all(axis=-1))
    if not is_reached.any():
        return empty
    extent = np.ptp(src[is_reached], axis=0) / np.maximum(np.ptp(nodes[is_reached], axis=0), 1)
    scale = min(1.0, 1 / max(float(extent.max()), 1e-9))
    src_grid = raster.grid.resampled(scale, scale)
    src *= raster.grid.scale_to(src_grid)
    size = np.array([src_grid.width, src_grid.height])
    start = np.clip(np.floor(src[is_reached].min(axis=0)) - MARGIN_PX, 0, size).astype(int)
    stop = np.clip(np.ceil(src[is_reached].max(axis=0)) + MARGIN_PX, 0, size).astype(int)
    if not (start < stop).all():
        return empty
    visible = Window(*start.tolist(), *(stop - start).tolist())
    pixels = raster.read(visible, src_grid)
    if not pixels.valid.any():
        return empty
    src -= start
    mesh = [
        ((x0, y0, x1, y1), tuple(src[[j, j + 1, j + 1, j], [i, i, i + 1, i + 1]].ravel().tolist()))
        for j, (y0, y1) in enumerate(pairwise(rows.tolist()))
        for i, (x0, x1) in enumerate(pairwise(columns.tolist()))
        if is_reached[j : j + 2, i : i + 2].all()
    ]
    image = rgba_image(pixels)
    resampling = Image.Resampling.BILINEAR
    return image.transform(empty.size, Image.Transform.MESH, mesh, resampling)


def _split_image(image: Image.Image) -> tuple[UInt8Array, BoolArray]:
    """Return an RGBA image as ``uint8[3, H, W]`` and valid pixels ``bool[H, W]``."""
    values = np.moveaxis(np.asarray(image), -1, 0)
    return values[:3], values[3] > OPAQUE // 2
