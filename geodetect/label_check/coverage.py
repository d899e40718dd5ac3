"""Labels on nodata, and imagery far from any label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import CRS

from geodetect.arrays.summed_area import SummedAreaTable
from geodetect.errors import RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import reproject_or_none
from geodetect.geo.tiles import Window
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.raster.info import inspect_raster
from geodetect.progress import phase
from geodetect.types import BoolArray, FloatArray

OVERVIEW_PX = 1024  # longest side of the overview of a raster
MOST_PIXELS = 5e8  # decoded to find nodata; rasters with overviews or all valid cost none
LEAST_VALID = 0.3  # fraction of a box below which it counts as nodata
SURELY_VALID = 0.9  # fraction of a box in the overview; labels below it are read in full
FAR_DISTANCES = 10.0  # far: this many median distances between neighbouring labels
LEAST_FAR_M = 50.0
DISTANCE_CELLS = 256  # per side, for distances from labels of other rasters
LEAST_AREA_FRACTION = 0.02  # of the imagery, for an area without labels to be listed
MOST_AREAS = 20


@dataclass(frozen=True, eq=False)
class UnlabelledArea:
    """A large connected area of imagery far from any label.

    Args:
        raster: File name.
        area_km2: True area on the ground.
        outline: Polygon in pixels of the raster.
        grid: Grid of the raster.
    """

    raster: str
    area_km2: float
    outline: shapely.Geometry
    grid: Grid


@dataclass(frozen=True, eq=False)
class LabelCoverage:
    """Coverage of labels by imagery, and of imagery by labels.

    Args:
        rasters: Number of rasters that were read; of many large ones, a sample.
        area_km2: Area with imagery in them.
        far_m: Imagery farther than this from the nearest label counts as far; None: unknown, as
            there are too few labels.
        far_fraction: Fraction of the imagery that is far from any label, 0..1.
        unlabelled_areas: Its largest connected areas.
        on_nodata: Ids of the labels that lie on nodata of a raster, by its path.
        on_nodata_only: Ids of labels that lie on nodata of all rasters, ascending.
        unreadable: Errors of rasters that cannot be read, by path.
    """

    rasters: int
    area_km2: float
    far_m: float | None
    far_fraction: float
    unlabelled_areas: tuple[UnlabelledArea, ...]
    on_nodata: dict[str, tuple[int, ...]]
    on_nodata_only: tuple[int, ...]
    unreadable: dict[str, str]


@dataclass(frozen=True, eq=False)
class _Overview:
    """Nodata of a raster at a coarse resolution."""

    labelled: LabelledRaster
    grid: Grid  # at most OVERVIEW_PX wide and high
    valid: BoolArray  # bool[H, W], False on nodata

    @property
    def pixel_size_m(self) -> FloatArray:
        """Ground size of a pixel along rows and columns, ``float64[2]``."""
        return np.array(self.grid.gsd_xy_m or (1.0, 1.0))

    @property
    def scale(self) -> FloatArray:
        """Pixels per pixel of the raster: x, y, x, y."""
        return np.tile(self.labelled.grid.scale_to(self.grid), 2)

    def area_km2(self, pixels: BoolArray) -> float:
        """Return the true area of the pixels in a mask ``bool[H, W]``."""
        return float(pixels.sum()) * self.pixel_size_m[1] * self.pixel_size_m[0] / 1e6


@phase("Reading masks")
def measure_coverage(
    rasters: Sequence[LabelledRaster], *, far_m: float | None = None, seed: int = 0
) -> LabelCoverage:
    """Find labels on nodata, and imagery without labels.

    Args:
        rasters: Rasters with their labels.
        far_m: Imagery farther than this from any label counts as far; None: ten times the
            median distance between neighbouring labels, but at least 50 m.
        seed: Random seed of the choice of rasters when they are too many.
    """
    unreadable: dict[str, str] = {}
    overviews: list[_Overview] = []
    on_nodata: dict[str, tuple[int, ...]] = {}
    for labelled in _choose_affordable(rasters, seed):
        scale = min(1.0, OVERVIEW_PX / max(labelled.grid.width, labelled.grid.height))
        grid = labelled.grid.resampled(scale, scale)
        try:
            with labelled.raster as raster:  # reads open it, this closes it
                overviews.append(_Overview(labelled, grid, raster.read_valid(grid=grid)))
                if ids := _find_on_nodata(overviews[-1]):
                    on_nodata[raster.path] = ids
        except RasterError as error:
            unreadable[labelled.raster.path] = str(error)
    nodata_ids = {label_id for ids in on_nodata.values() for label_id in ids}
    visible_ids: set[int] = set()
    for labelled in rasters:
        covered = labelled.ids[labelled.visible_fraction >= LEAST_VALID].tolist()
        visible_ids.update(set(covered).difference(on_nodata.get(labelled.raster.path, ())))
    area_km2 = sum(overview.area_km2(overview.valid) for overview in overviews)
    far_m = far_m or _default_far_m(rasters)
    far_km2, areas = 0.0, []
    if far_m is not None:
        centres = {crs: _label_centres(rasters, crs) for crs in {o.grid.crs for o in overviews}}
        for overview in overviews:
            is_far = _is_far_from_labels(overview, centres[overview.grid.crs], far_m)
            far_km2 += overview.area_km2(is_far)
            areas += _list_areas(overview, is_far, LEAST_AREA_FRACTION * area_km2)
    areas.sort(key=lambda area: -area.area_km2)
    return LabelCoverage(
        rasters=len(overviews),
        area_km2=round(area_km2, 4),
        far_m=far_m,
        far_fraction=far_km2 / area_km2 if area_km2 else 0.0,
        unlabelled_areas=tuple(areas[:MOST_AREAS]),
        on_nodata=on_nodata,
        on_nodata_only=tuple(sorted(nodata_ids - visible_ids)),
        unreadable=unreadable,
    )


def _choose_affordable(rasters: Sequence[LabelledRaster], seed: int) -> list[LabelledRaster]:
    """Choose random rasters, at least one, within ``MOST_PIXELS`` pixels to decode."""
    chosen: list[int] = []
    pixels = 0.0
    for number in np.random.default_rng(seed).permutation(len(rasters)).tolist():
        raster = rasters[number].raster
        header = inspect_raster(raster.path, external_sources=raster.external_sources)
        if not header["overviews"] and header["mask"] != ["all_valid"]:
            pixels += raster.grid.width * raster.grid.height
        if pixels <= MOST_PIXELS or not chosen:
            chosen.append(number)
    return [rasters[number] for number in sorted(chosen)]


def _find_on_nodata(overview: _Overview) -> tuple[int, ...]:
    """Return ids of labels on nodata: suspects in the overview are read at full resolution."""
    if overview.valid.all():
        return ()
    labelled = overview.labelled
    boxes = box_ops.clip(labelled.boxes, labelled.grid.box)
    fractions = SummedAreaTable(overview.valid).fractions(boxes * overview.scale)
    rows = []
    for row in np.flatnonzero((box_ops.area(boxes) > 0) & (fractions < SURELY_VALID)):
        x1, y1 = np.floor(boxes[row, :2]).astype(int).tolist()
        x2, y2 = np.ceil(boxes[row, 2:]).astype(int).tolist()
        if labelled.raster.read_valid(Window(x1, y1, x2 - x1, y2 - y1)).mean() < LEAST_VALID:
            rows.append(row)
    return tuple(labelled.ids[rows].tolist())


def _default_far_m(rasters: Sequence[LabelledRaster]) -> float | None:
    """Return ``FAR_DISTANCES`` median distances between neighbours; None without neighbours."""
    from scipy.spatial import KDTree

    distances = []
    for labelled in rasters:
        if len(labelled.boxes) > 1:
            centres_m = box_ops.centres(labelled.boxes) * np.array(labelled.grid.gsd_xy_m)
            distances.append(KDTree(centres_m).query(centres_m, k=2)[0][:, 1])
    if not distances:
        return None
    return max(LEAST_FAR_M, round(FAR_DISTANCES * float(np.median(np.concatenate(distances)))))


def _label_centres(rasters: Sequence[LabelledRaster], crs: CRS | None) -> FloatArray:
    """Return the centres ``float64[N, 2]`` of all labels that can be projected to a CRS."""
    centres = [np.empty((0, 2))]
    for labelled in rasters:
        if crs is not None and labelled.grid.crs is not None:
            points = shapely.points(labelled.grid.to_map(box_ops.centres(labelled.boxes)))
            moved = reproject_or_none(points, labelled.grid.crs, crs)
            centres.append(shapely.get_coordinates(moved[~shapely.is_missing(moved)]))
    return np.concatenate(centres)


def _is_far_from_labels(overview: _Overview, centres: FloatArray, far_m: float) -> BoolArray:
    """Return True where imagery is farther than ``far_m`` from any label, ``bool[H, W]``.

    Distances from boxes of labels on the raster are exact; those from labels beyond its edge are
    measured from their ``centres`` (``float64[N, 2]``, in the CRS of the overview), at
    ``DISTANCE_CELLS`` per side.
    """
    from scipy import ndimage
    from scipy.spatial import KDTree

    height, width = overview.valid.shape
    pixel_size_m = overview.pixel_size_m
    is_free = np.ones((height, width), bool)
    boxes = box_ops.clip(overview.labelled.boxes * overview.scale, overview.grid.box)
    for x1, y1, x2, y2 in boxes[box_ops.area(boxes) > 0]:
        is_free[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = False
    is_far = overview.valid
    if not is_free.all():
        distances_m = ndimage.distance_transform_edt(is_free, sampling=pixel_size_m[::-1])
        is_far = is_far & (distances_m > far_m)
    centres_m = overview.grid.to_px(centres) * pixel_size_m
    size_m = np.array([width, height]) * pixel_size_m
    is_beyond = ((centres_m < 0) | (centres_m > size_m)).any(axis=1)
    is_near = ((centres_m > -far_m) & (centres_m < size_m + far_m)).all(axis=1)
    if not is_far.any() or not (is_beyond & is_near).any():
        return is_far
    cells_m = np.stack(np.meshgrid(_cell_centres(width), _cell_centres(height)), axis=-1)
    tree = KDTree(centres_m[is_beyond & is_near])
    distances_m = tree.query(cells_m * pixel_size_m, distance_upper_bound=far_m)[0]
    rows = np.arange(height) * DISTANCE_CELLS // max(height, DISTANCE_CELLS)
    columns = np.arange(width) * DISTANCE_CELLS // max(width, DISTANCE_CELLS)
    return np.asarray(is_far & np.isinf(distances_m)[np.ix_(rows, columns)])


def _cell_centres(side_px: int) -> FloatArray:
    """Return the centres of the cells that a side is divided into, in its pixels."""
    count = min(side_px, DISTANCE_CELLS)
    return (np.arange(count) + 0.5) * side_px / count


def _list_areas(overview: _Overview, is_far: BoolArray, least_km2: float) -> list[UnlabelledArea]:
    """List connected areas of at least ``least_km2``."""
    from rasterio.features import shapes
    from scipy import ndimage

    components, count = ndimage.label(is_far)
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    areas_km2 = sizes * overview.pixel_size_m[1] * overview.pixel_size_m[0] / 1e6
    large = [i for i in range(1, count + 1) if areas_km2[i] >= max(least_km2, 1e-9)]
    outlines = shapes(components.astype(np.int32), mask=np.isin(components, large))
    to_raster_px = 1 / overview.scale[:2]
    return [
        UnlabelledArea(
            overview.labelled.raster.name,
            round(float(areas_km2[int(value)]), 4),
            shapely.transform(shapely.geometry.shape(outline), lambda xy: xy * to_raster_px),
            overview.labelled.grid,
        )
        for outline, value in outlines
    ]
