"""The ground that labels and imagery share: nodata, and ground without any label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import reproject_each
from geodetect.geo.summed_area import SummedAreaTable
from geodetect.geo.tiles import Window
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.raster.info import inspect_raster
from geodetect.io.raster.reader import Raster
from geodetect.types import BoolArray, FloatArray

LONGEST_PX = 1024  # of the coarse picture of a raster
MOST_PIXELS = 5e8  # that are decoded to find nodata; overviews and rasters without any cost none
LEAST_VALID = 0.3  # share of a box below which it counts as nodata
NEIGHBOURS_AWAY = 10.0  # typical distances of neighbouring labels that make ground "far"
LEAST_FAR_M = 50.0
LATTICE = 256
LEAST_BLOCK_SHARE = 0.02  # of the ground looked at
MOST_BLOCKS = 20


@dataclass(frozen=True, eq=False)
class EmptyBlock:
    """A large piece of imagery without any label.

    Args:
        raster: File name.
        area_km2: Its area on the ground.
        outline: Polygon in pixels of the raster.
        grid: The raster's grid.
    """

    raster: str
    area_km2: float
    outline: shapely.Geometry
    grid: Grid


@dataclass(frozen=True, eq=False)
class Ground:
    """What the imagery is like where there are labels, and where there are none.

    Args:
        rasters: Rasters looked at; reading all of many large ones would take too long.
        area_km2: Ground with imagery in them.
        far_m: Distance from the nearest label from which ground is far; None: not known.
        far_share: Share of the ground that is far from any label, 0..1.
        blocks: Largest connected pieces of it.
        hidden: Numbers of the labels that lie on nodata of a raster, by its path.
        on_nodata: Numbers of those of which no raster shows more.
        damaged: What went wrong with rasters that cannot be read, by path.
    """

    rasters: int
    area_km2: float
    far_m: float | None
    far_share: float
    blocks: tuple[EmptyBlock, ...]
    hidden: dict[str, tuple[int, ...]]
    on_nodata: tuple[int, ...]
    damaged: dict[str, str]


@dataclass(frozen=True, eq=False)
class _Coarse:
    """A raster seen from far away.

    Args:
        sheet: The raster.
        grid: Its grid, at most ``LONGEST_PX`` wide and high.
        valid: ``bool[H, W]`` where it holds imagery.
    """

    sheet: LabelledRaster
    grid: Grid
    valid: BoolArray

    @property
    def pixel_m(self) -> tuple[float, float]:
        """Height and width of its pixels on the ground."""
        along_row, along_column = self.grid.gsd_xy_m or (1.0, 1.0)
        return along_column, along_row

    @property
    def ratio(self) -> FloatArray:
        """Its pixels per pixel of the raster: x, y, x, y."""
        return np.tile(self.sheet.grid.scale_to(self.grid), 2)


def look_at_ground(
    sheets: Sequence[LabelledRaster], *, far_m: float | None = None, seed: int = 0
) -> Ground:
    """Find labels on nodata, and ground without labels.

    Args:
        sheets: Rasters with their labels.
        far_m: From which distance ground is far from a label; None: ten times the typical
            distance between neighbouring labels, but at least 50 m.
        seed: Which rasters are looked at when they are too many.
    """
    damaged: dict[str, str] = {}
    coarse = [c for sheet in _affordable(sheets, seed) if (c := _seen(sheet, damaged)) is not None]
    far_m = far_m or _usual_distance(sheets)
    area_km2 = sum(_area_km2(c, c.valid) for c in coarse)
    hidden = {c.sheet.raster.path: found for c in coarse if (found := _hidden(c, damaged))}
    far = [] if far_m is None else _far(coarse, sheets, far_m)
    far_km2 = sum(_area_km2(c, ground) for c, ground in far)
    blocks = [b for c, ground in far for b in _blocks(c, ground, LEAST_BLOCK_SHARE * area_km2)]
    blocks.sort(key=lambda block: -block.area_km2)
    return Ground(
        rasters=len(coarse),
        area_km2=round(area_km2, 4),
        far_m=far_m,
        far_share=far_km2 / area_km2 if area_km2 else 0.0,
        blocks=tuple(blocks[:MOST_BLOCKS]),
        hidden=hidden,
        on_nodata=_hidden_everywhere(hidden, sheets),
        damaged=damaged,
    )


def _affordable(sheets: Sequence[LabelledRaster], seed: int) -> list[LabelledRaster]:
    """Rasters whose nodata can be found in seconds, at least one; a random choice of the others."""
    chosen: list[int] = []
    pixels = 0.0
    for number in np.random.default_rng(seed).permutation(len(sheets)).tolist():
        sheet = sheets[number]
        pixels += _pixels_to_decode(sheet.raster)
        if pixels <= MOST_PIXELS or not chosen:
            chosen.append(number)
    return [sheets[number] for number in sorted(chosen)]


def _pixels_to_decode(raster: Raster) -> float:
    header = inspect_raster(raster.path)
    cheap = header["overviews"] or header["mask"] == ["all_valid"]
    return 0.0 if cheap else float(raster.grid.width * raster.grid.height)


def _seen(sheet: LabelledRaster, damaged: dict[str, str]) -> _Coarse | None:
    own = sheet.grid
    scale = min(1.0, LONGEST_PX / max(own.width, own.height))
    grid = own.resampled(scale, scale)
    try:
        with sheet.raster:  # reads open it, this closes it
            valid = sheet.raster.read_valid(grid=grid)
    except RasterError as error:
        damaged[sheet.raster.path] = str(error)
        return None
    return _Coarse(sheet, grid, valid)


def _area_km2(coarse: _Coarse, ground: BoolArray) -> float:
    height, width = coarse.pixel_m
    return float(ground.sum()) * height * width / 1e6


def _hidden(coarse: _Coarse, damaged: dict[str, str]) -> tuple[int, ...]:
    """Numbers of labels on nodata: those that seem so from far away, looked at closely."""
    if coarse.valid.all():
        return ()
    sheet = coarse.sheet
    boxes = box_ops.clip(sheet.boxes, sheet.grid.box)
    suspects = np.flatnonzero(
        (box_ops.area(boxes) > 0)
        & (SummedAreaTable(coarse.valid).fractions(boxes * coarse.ratio) < 0.9)
    )
    try:
        with sheet.raster:
            rows = [r for r in suspects if _is_nodata(sheet.raster, boxes[r])]
    except RasterError as error:
        damaged[sheet.raster.path] = str(error)
        return ()
    return tuple(sheet.ids[rows].tolist())


def _hidden_everywhere(
    hidden: Mapping[str, Sequence[int]], sheets: Sequence[LabelledRaster]
) -> tuple[int, ...]:
    """Numbers of labels that lie on nodata of every raster on whose ground they lie."""
    seen: set[int] = set()
    for sheet in sheets:
        enough = sheet.ids[sheet.visible_fraction >= LEAST_VALID].tolist()
        seen.update(set(enough).difference(hidden.get(sheet.raster.path, ())))
    return tuple(sorted({number for numbers in hidden.values() for number in numbers} - seen))


def _is_nodata(raster: Raster, box: FloatArray) -> bool:
    x1, y1 = np.floor(box[:2]).astype(int).tolist()
    x2, y2 = np.ceil(box[2:]).astype(int).tolist()
    valid = raster.read_valid(Window(x1, y1, x2 - x1, y2 - y1))
    return bool(valid.mean() < LEAST_VALID)


def _usual_distance(sheets: Sequence[LabelledRaster]) -> float | None:
    """From which distance ground counts as far from any label, by how far labels lie apart."""
    from scipy.spatial import KDTree

    distances = []
    for sheet in sheets:
        centres = box_ops.centres(sheet.boxes) * np.array(sheet.grid.gsd_xy_m)
        if len(centres) > 1:
            distances.append(KDTree(centres).query(centres, k=2)[0][:, 1])
    if not distances:
        return None
    return max(LEAST_FAR_M, round(NEIGHBOURS_AWAY * float(np.median(np.concatenate(distances)))))


def _far(
    coarse: Sequence[_Coarse], sheets: Sequence[LabelledRaster], far_m: float
) -> list[tuple[_Coarse, BoolArray]]:
    """The ground of each raster that is far from the labels of all."""
    points = {crs: _label_points(sheets, crs) for crs in {one.grid.crs for one in coarse}}
    return [(one, _far_from_labels(one, points[one.grid.crs], far_m)) for one in coarse]


def _label_points(sheets: Sequence[LabelledRaster], crs: CRS | None) -> FloatArray:
    """Centres of the labels of all rasters on one map, ``float64[N, 2]``, if they lie on it."""
    found = [np.empty((0, 2))]
    for sheet in sheets:
        if crs is not None and sheet.grid.crs is not None:
            centres = sheet.grid.to_map(box_ops.centres(sheet.boxes))
            moved = reproject_each(shapely.points(centres), sheet.grid.crs, crs)
            found.append(shapely.get_coordinates(moved[~shapely.is_missing(moved)]))
    return np.concatenate(found)


def _far_from_labels(coarse: _Coarse, points: FloatArray, far_m: float) -> BoolArray:
    """Valid ground farther than ``far_m`` from any label, ``bool[H, W]``.

    Distances from labels beyond the edge are those of places at most ``LATTICE`` a side.

    Args:
        coarse: The raster.
        points: ``float64[N, 2]`` centres of the labels of all rasters on its map.
        far_m: In metres.
    """
    from scipy import ndimage
    from scipy.spatial import KDTree

    free = np.ones(coarse.valid.shape, bool)
    boxes = box_ops.clip(coarse.sheet.boxes * coarse.ratio, coarse.grid.box)
    for x1, y1, x2, y2 in boxes[box_ops.area(boxes) > 0]:
        free[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = False
    far = coarse.valid
    if not free.all():
        distances = ndimage.distance_transform_edt(free, sampling=coarse.pixel_m)
        far = far & (distances > far_m)
    metres = np.array(coarse.pixel_m[::-1])
    places = coarse.grid.to_px(points) * metres
    size = np.array(free.shape[::-1]) * metres
    beyond = ((places < 0) | (places > size)).any(axis=1)
    near = ((places > -far_m) & (places < size + far_m)).all(axis=1)
    if not far.any() or not (beyond & near).any():
        return far
    height, width = coarse.valid.shape
    middles = np.stack(np.meshgrid(_lattice(width), _lattice(height)), axis=-1) * metres
    distances = KDTree(places[beyond & near]).query(middles, distance_upper_bound=far_m)[0]
    rows = np.arange(height) * LATTICE // max(height, LATTICE)
    columns = np.arange(width) * LATTICE // max(width, LATTICE)
    return np.asarray(far & np.isinf(distances)[np.ix_(rows, columns)])


def _lattice(side: int) -> FloatArray:
    """Middles of the places that a side is cut into, in its pixels."""
    count = min(side, LATTICE)
    return (np.arange(count) + 0.5) * side / count


def _blocks(coarse: _Coarse, ground: BoolArray, least_km2: float) -> list[EmptyBlock]:
    """Connected pieces of ground of at least some area."""
    from rasterio.features import shapes
    from scipy import ndimage

    pieces, count = ndimage.label(ground)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    height, width = coarse.pixel_m
    areas = sizes * height * width / 1e6
    large = [i for i in range(1, count + 1) if areas[i] >= max(least_km2, 1e-9)]
    wanted = np.isin(pieces, large)
    outlines = shapes(pieces.astype(np.int32), mask=wanted)
    scale = 1 / coarse.ratio[:2]
    return [
        EmptyBlock(
            coarse.sheet.raster.name,
            round(float(areas[int(value)]), 4),
            shapely.transform(shapely.geometry.shape(outline), lambda xy: xy * scale),
            coarse.sheet.grid,
        )
        for outline, value in outlines
    ]
