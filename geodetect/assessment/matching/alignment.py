"""The two layers that are compared, as boxes in one frame."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS

from geodetect.assessment.matching.comparison_grid import comparison_grid, plain_grid
from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError, LabelError
from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import bounds_px, densified
from geodetect.geo.crs import horizontal_crs, parse_crs, transformer_between
from geodetect.geo.geocentric import ground_points
from geodetect.geo.grid import Grid, ground_distances_m, ground_sizes
from geodetect.geo.reproject import reproject
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

NO_CLASS = "all"
FAR_M = 1000.0  # layers further apart than this do not show the same ground


@dataclass(frozen=True)
class Side:
    """The rows of a layer that are compared.

    Args:
        rows: ``int64[N]`` their row numbers in the layer, ascending.
        boxes: ``float64[N, 4]`` in the frame.
        scores: ``float64[N]``.
        names: ``object[N]`` class names.
    """

    rows: IntArray
    boxes: FloatArray
    scores: FloatArray
    names: ObjectArray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, keep: BoolArray | IntArray) -> Side:
        """Some of its rows."""
        return Side(self.rows[keep], self.boxes[keep], self.scores[keep], self.names[keep])

    @property
    def centres(self) -> FloatArray:
        """``float64[N, 2]`` of the boxes, in the frame."""
        return box_ops.centres(self.boxes)

    @property
    def flat(self) -> BoolArray:
        """``bool[N]`` which rows have no extent."""
        return ~np.asarray((self.boxes[:, :2] < self.boxes[:, 2:]).all(axis=1))


@dataclass(frozen=True)
class Sides:
    """Detections and objects in one frame.

    Args:
        grid: The frame: boxes are in its pixels.
        predicted: Detections.
        truth: Objects; their scores mean nothing.
    """

    grid: Grid
    predicted: Side
    truth: Side

    @property
    def flat(self) -> bool:
        """Whether something has no extent, so that boxes cannot be compared."""
        return bool(self.predicted.flat.any() or self.truth.flat.any())

    def ground_centres(self) -> tuple[FloatArray, FloatArray]:
        """Centres of detections and objects where straight lines are metres.

        Raises:
            GeoreferenceError: The layers have no CRS.
        """
        if self.grid.crs is None:
            raise GeoreferenceError("distances on the ground need layers with a CRS")
        crs = self.grid.crs
        return (
            ground_points(self.grid.to_map(self.predicted.centres), crs),
            ground_points(self.grid.to_map(self.truth.centres), crs),
        )

    def truth_sizes_m(self) -> FloatArray:
        """Side of the square with the area of each object's box, ``float64[M]`` true metres.

        The object size of COCO (Lin et al. 2014) is the area in pixels; NaN without a CRS.
        """
        rings = self.grid.boxes_to_map(self.truth.boxes)
        return np.sqrt(ground_sizes(rings, self.grid.crs)[2])


def align(
    predicted: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    *,
    crs: str | None = None,
    by_centre: bool = False,
) -> Sides:
    """Bring two layers into one frame.

    Args:
        predicted: Detections: geometry and, if present, ``score`` (else all are equally sure) and
            ``class``.
        truth: Objects: geometry and, if present, ``class``.
        crs: CRS along whose axes boxes are drawn; None: see ``comparison_grid``.
        by_centre: Only centres matter: what has no extent may stay.

    Raises:
        LabelError: A layer has points only, and they cannot stay, or scores are missing.
        GeoreferenceError: Only one of the layers has a CRS.
    """
    grid = _frame(predicted, truth, crs)
    found = _side(predicted, "predictions", grid=grid, by_centre=by_centre)
    wanted = _side(truth, "truth", grid=grid, by_centre=by_centre)
    return Sides(grid, found, wanted)


def _frame(predicted: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, crs: str | None) -> Grid:
    if (predicted.crs is None) != (truth.crs is None):
        which, option = ("predictions", "pred") if predicted.crs is None else ("truth", "truth")
        raise GeoreferenceError(f"only the {which} have no CRS; name it with --{option}-crs")
    if predicted.crs is None:
        return plain_grid(None)
    if crs is not None:
        return plain_grid(parse_crs(crs, option="--crs"))
    outlines = np.asarray(predicted.geometry)
    outlines = outlines[~(shapely.is_missing(outlines) | shapely.is_empty(outlines))]
    return comparison_grid(outlines, predicted.crs, truth.crs)


def _side(table: gpd.GeoDataFrame, which: str, *, grid: Grid, by_centre: bool) -> Side:
    source = table.crs
    geometries = np.asarray(table.geometry)
    boxes = (
        np.asarray(shapely.bounds(geometries), dtype=np.float64).reshape(-1, 4)
        if source is None
        else bounds_px(geometries, source, grid)
    )
    scores = np.asarray(table["score"], float) if "score" in table else np.ones(len(table))
    if np.isnan(scores).any():
        raise LabelError(
            f"{np.isnan(scores).sum():,} of {len(scores):,} {which} have no score; fill them, or "
            f"name another column with --score-field"
        )
    names = list(table["class"]) if "class" in table else [NO_CLASS] * len(table)
    texts = np.array([str(name).strip() for name in names], dtype=object)
    side = Side(np.arange(len(table)), boxes, scores, texts)
    absent = np.isnan(boxes).any(axis=1)
    unusable = np.asarray(absent if by_centre else side.flat, dtype=bool)  # NaN counts as flat
    if not by_centre and len(side) and side.flat.all():
        raise LabelError(
            f"{len(side):,} of {len(side):,} rows of the {which} have no extent, as points have "
            f"none; compare centres with --distance METRES"
        )
    if unusable.any():
        warnings.warn(
            f"{unusable.sum():,} of {len(side):,} rows of the {which} have no "
            f"{'geometry' if by_centre else 'extent'} and are left out",
            GeodetectWarning,
            stacklevel=2,
        )
    return side[~unusable]


def limited(sides: Sides, truth_of: IntArray, *, inside: tuple[BoolArray, BoolArray]) -> Sides:
    """What concerns the ground where the truth is known.

    Objects count when their centre is on that ground. Detections count when they match such an
    object, or match none and have their own centre there; so nothing is wrong only because the
    edge of that ground runs between two centres.

    Args:
        sides: Everything.
        truth_of: ``int64[N]`` the object that each detection matches, or -1.
        inside: ``bool[N]`` and ``bool[M]``: whose centres are on that ground.
    """
    found, wanted = inside
    of_object = np.append(wanted, False)[truth_of]
    keep = np.where(truth_of >= 0, of_object, found)
    return replace(sides, predicted=sides.predicted[keep], truth=sides.truth[wanted])


def centres_in(
    sides: Sides, area: shapely.Geometry, crs: CRS | None
) -> tuple[BoolArray, BoolArray]:
    """Whose centres are in or on a polygon: ``bool[N]`` detections, ``bool[M]`` objects.

    Args:
        sides: Detections and objects.
        area: A polygon or multipolygon.
        crs: Its CRS; None: it is in the coordinates of the frame.
    """
    if crs is not None and sides.grid.crs is not None:
        outline = densified(np.array([area], dtype=object), crs)
        area = shapely.transform(reproject(outline, crs, sides.grid.crs)[0], sides.grid.to_px)
    shapely.prepare(area)
    found, wanted = (
        np.asarray(shapely.intersects_xy(area, *side.centres.T), dtype=bool)
        for side in (sides.predicted, sides.truth)
    )
    return found, wanted


def check_nearness(sides: Sides) -> float:
    """How far apart the extents of detections and objects are, in metres; 0 if they share ground.

    Raises:
        InputError: So far that they cannot show the same ground.
    """
    if not (len(sides.predicted) and len(sides.truth)) or sides.grid.crs is None:
        return 0.0
    extents = [
        shapely.box(*side.boxes[:, :2].min(axis=0), *side.boxes[:, 2:].max(axis=0))
        for side in (sides.predicted, sides.truth)
    ]
    line = sides.grid.to_map(shapely.get_coordinates(shapely.shortest_line(*extents)))
    gap_m = float(ground_distances_m(line[:1], line[1:], sides.grid.crs)[0])
    if gap_m <= FAR_M:
        return gap_m
    places = [_place(extent, sides.grid) for extent in extents]
    raise InputError(
        f"the predictions ({places[0]}) and the truth ({places[1]}) lie {gap_m / 1000:,.0f} km "
        f"apart; check the files, or name their CRS with --pred-crs and --truth-crs"
    )


def _place(extent: shapely.Geometry, grid: Grid) -> str:
    """Where the centre of an extent is, in degrees if that is known."""
    point = grid.to_map(shapely.get_coordinates(extent.centroid))[0]
    crs = grid.crs and horizontal_crs(grid.crs)
    if crs is None or crs.geodetic_crs is None:
        return f"around {point[0]:.0f}, {point[1]:.0f}"
    lon, lat = transformer_between(crs, crs.geodetic_crs.to_2d()).transform(*point)
    return f"around lon {lon:.3f}, lat {lat:.3f}"
