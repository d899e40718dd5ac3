"""Detections and truth as they are drawn: boxes in the pixels of a frame."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import shapely

from geodetect.assessment.evaluate.read_layers import read_predictions, read_truth
from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError
from geodetect.geo.bounds import bounds_px, projected_bounds
from geodetect.geo.grid import Grid
from geodetect.io.labels.label_set import DEFAULT_CLASS
from geodetect.reporting.drawing.canvas import Frame, plain_frame
from geodetect.settings import PictureSettings, ReportSettings
from geodetect.types import FloatArray, PathLike

PIXELS = (  # stands for pixel columns and rows where a CRS has to be named
    'ENGCRS["pixels",EDATUM["raster"],CS[Cartesian,2],AXIS["column",east],AXIS["row",south],'
    'LENGTHUNIT["pixel",1]]'
)


@dataclass(frozen=True)
class Objects:
    """Objects on a frame.

    Args:
        table: Their attributes: ``class``, of detections ``score``, and the rest.
        boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixel edges of the frame.
        left_out: Objects that are not on the frame.
    """

    table: gpd.GeoDataFrame
    boxes: FloatArray
    left_out: int = 0
    classes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = self.table["class"].value_counts()
        object.__setattr__(self, "classes", tuple(sorted(map(str, names.index))))

    @property
    def scores(self) -> FloatArray | None:
        """``float64[N]``, or None if the layer has none."""
        return np.asarray(self.table["score"], float) if "score" in self.table else None

    def sure(self, conf: float | None) -> int:
        """How many of the first rows have at least this score; all if there are no scores."""
        if conf is None or self.scores is None:
            return len(self)
        return int(np.sum(self.scores >= conf))

    def __len__(self) -> int:
        return len(self.boxes)


def read_detections(
    source: PathLike | gpd.GeoDataFrame, settings: PictureSettings
) -> gpd.GeoDataFrame:
    """Detections of any program, the surest first.

    Args:
        source: Vector file of any format, or a table.
        settings: CRS, and column of scores.

    Returns:
        All columns, with ``class`` (str; "object" if there is none), ``score`` (float64) if there
        is one, and ``geometry``, without rows that have no geometry.

    Raises:
        InputError: It cannot be read, has no CRS, or its scores are no numbers.
    """
    crs = PIXELS if settings.pixel_coords else settings.pred_crs
    table = read_predictions(source, crs=crs, score_field=settings.score_field)
    table = _placed(table, settings, "the detections", "--pred-crs")
    there = ~(shapely.is_missing(table.geometry) | shapely.is_empty(table.geometry))
    table = table[np.asarray(there)]
    table["class"] = table["class"].astype(str) if "class" in table else DEFAULT_CLASS
    if "score" in table:
        table = table.sort_values("score", ascending=False, kind="stable")
    return table.reset_index(drop=True)


def read_objects(source: PathLike | gpd.GeoDataFrame, settings: ReportSettings) -> gpd.GeoDataFrame:
    """The truth, with ``class`` (str; "object" if there is none) and ``geometry``.

    Raises:
        LabelError: It cannot be read, has no CRS, or holds nothing with an area.
    """
    crs = PIXELS if settings.pixel_coords else settings.truth_crs
    table = read_truth(source, crs=crs, class_field=settings.class_field)
    table = _placed(table, settings, "the truth", "--truth-crs")
    table["class"] = table["class"].astype(str) if "class" in table else DEFAULT_CLASS
    return table


def frame_around(*tables: gpd.GeoDataFrame) -> Frame:
    """Plain ground around all objects, in the CRS of the first table.

    Raises:
        InputError: There are none.
        GeoreferenceError: Only some tables have a CRS.
    """
    crs = tables[0].crs
    bounds = [projected_bounds(np.asarray(t.geometry), t.crs, crs) for t in tables]
    every = np.concatenate(bounds)
    return plain_frame(every[np.isfinite(every).all(axis=1)], crs)


def place(table: gpd.GeoDataFrame, frame: Frame, *, what: str) -> Objects:
    """Objects in the pixels of a frame; those beyond its edge are left out, with a warning.

    Args:
        table: Objects, with a CRS unless the frame has none.
        frame: Where they are drawn.
        what: How to call them in messages.

    Raises:
        InputError: None of them is on the raster.
        GeoreferenceError: Only one of the two has a CRS.
    """
    boxes = _boxes_on(table, frame.grid)
    touching = (boxes[:, :2] <= frame.size).all(axis=1)  # NaN compares false
    touching &= (boxes[:, 2:] >= 0).all(axis=1)
    outside = int((~touching).sum())
    name = frame.raster.name if frame.raster else "the map"
    if outside and not touching.any():
        raise InputError(
            f"none of the {len(table):,} {what} lies on {name}: {_whereabouts(table, frame)}; see "
            f"that both show the same place, and name a wrong CRS right with --pred-crs, "
            f"--truth-crs or --src-crs"
        )
    if outside:
        warnings.warn(
            f"{outside:,} of {len(table):,} {what} lie outside {name} and are left out",
            GeodetectWarning,
            stacklevel=2,
        )
    return Objects(table[touching].reset_index(drop=True), boxes[touching], outside)


def _placed(
    table: gpd.GeoDataFrame, settings: PictureSettings, what: str, option: str
) -> gpd.GeoDataFrame:
    """The table with the CRS that counts: none if everything is in pixels."""
    if settings.pixel_coords:
        return table.set_crs(None, allow_override=True)
    if table.crs is None:
        raise GeoreferenceError(
            f"{what} have no coordinate reference system; name it with {option}"
        )
    return table


def _boxes_on(table: gpd.GeoDataFrame, grid: Grid) -> FloatArray:
    """Bounding boxes in pixels, ``float64[N, 4]``."""
    geometries, source = np.asarray(table.geometry), table.crs
    if (source is None) != (grid.crs is None):
        which, other = ("objects", "map") if source is None else ("raster", "objects")
        raise GeoreferenceError(
            f"the {which} have no CRS and the {other} have one; name it with --pred-crs or "
            f"--src-crs, or use --pixel-coords for both"
        )
    if source is not None:
        return bounds_px(geometries, source, grid)
    bounds = projected_bounds(geometries, None, None)
    corners = grid.to_px(bounds.reshape(-1, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _whereabouts(table: gpd.GeoDataFrame, frame: Frame) -> str:
    """Where objects and raster are, in the CRS of the raster."""
    bounds = projected_bounds(np.asarray(table.geometry), table.crs, frame.grid.crs)
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    if len(bounds) == 0:
        return "its CRS does not reach them"
    corners = frame.grid.to_map(np.array([[0.0, 0.0], [1, 0], [0, 1], [1, 1]]) * frame.size)
    here = [*corners.min(axis=0), *corners.max(axis=0)]
    there = [*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)]
    return f"they are at {_area(there)}, it is at {_area(here)}"


def _area(bounds: list[float]) -> str:
    x1, y1, x2, y2 = (f"{value:.7g}" for value in bounds)
    return f"x {x1} to {x2}, y {y1} to {y2}"
