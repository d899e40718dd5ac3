"""Predictions and ground truth as boxes and outlines in the pixels of a canvas."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import geopandas as gpd
import numpy as np
import shapely

from geodetect.assessment.compare.change_layer import LAYER as CHANGE_LAYER
from geodetect.assessment.evaluate.read_layers import check_scores, read_predictions, read_truth
from geodetect.assessment.summarize.zone_layers import refuse_zones
from geodetect.class_names import DEFAULT_CLASS
from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError
from geodetect.geo.bounds import bounds_px, projected_bounds
from geodetect.geo.grid import Grid
from geodetect.io.vector.features import find_score_column
from geodetect.io.vector.read import PREDICTIONS
from geodetect.reporting.drawing.canvas import Canvas
from geodetect.reporting.drawing.mosaic import Mosaic
from geodetect.reporting.drawing.shapes import Shapes
from geodetect.reporting.drawing.statuses import Status, find_statuses, status_words
from geodetect.settings import DrawingSettings, ReportSettings
from geodetect.types import FloatArray, IntArray, PathLike

PIXEL_CRS = (  # stands for pixel columns and rows, where the readers ask for a CRS
    'ENGCRS["pixels",EDATUM["raster"],CS[Cartesian,2],AXIS["column",east],AXIS["row",south],'
    'LENGTHUNIT["pixel",1]]'
)


SHOWN = replace(PREDICTIONS, layer_names=(CHANGE_LAYER, *PREDICTIONS.layer_names))


@dataclass(frozen=True)
class CanvasLayer:
    """Objects with their boxes on a canvas.

    Args:
        table: ``class``, for predictions ``score``, and all other attributes.
        boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixel edges of the canvas.
        n_outside: Number of objects left out because they are not on the canvas.
        grid: Grid of the canvas; None: all objects are drawn as boxes.
    """

    table: gpd.GeoDataFrame
    boxes: FloatArray
    n_outside: int = 0
    grid: Grid | None = None

    @cached_property
    def shapes(self) -> Shapes:
        """Shapes of the objects on the canvas."""
        if self.grid is None:
            return Shapes.from_boxes(self.boxes)
        geometries = np.asarray(self.table.geometry)
        return Shapes.from_geometries(geometries, self.boxes, crs=self.table.crs, grid=self.grid)

    @property
    def classes(self) -> list[str]:
        """Names of the classes in alphabetical order."""
        return sorted(map(str, self.table["class"].unique()))

    @property
    def scores(self) -> FloatArray | None:
        """``float64[N]`` in descending order, or None if the layer has none.

        In a layer of changes, objects without a prediction come last: NaN.
        """
        return np.asarray(self.table["score"], float) if "score" in self.table else None

    @cached_property
    def statuses(self) -> tuple[Status, ...]:
        """Statuses of a layer of changes, in the order in which they are worked on."""
        return find_statuses(self.table)

    @cached_property
    def status_codes(self) -> IntArray:
        """Position of the status of each object in ``statuses``, ``int64[N]``."""
        codes = {status.name: code for code, status in enumerate(self.statuses)}
        return np.asarray(status_words(self.table).map(codes), dtype=np.int64)

    @property
    def status_counts(self) -> dict[str, int]:
        """Number of objects by status."""
        counts = np.bincount(self.status_codes, minlength=len(self.statuses)).tolist()
        return {status.name: n for status, n in zip(self.statuses, counts, strict=True)}

    @property
    def n_detected(self) -> int:
        """Number of objects with a prediction: of changes, not those of the register only."""
        detected = [status.name for status in self.statuses if status.detected]
        return sum(self.status_counts[name] for name in detected) if self.statuses else len(self)

    def count_at(self, threshold: float | None) -> int:
        """Return the number of objects, from the first on, that reach a score threshold.

        Without a threshold all objects that have a score count, without scores all objects.
        """
        if self.scores is None:
            return len(self)
        return int(np.sum(self.scores >= (-np.inf if threshold is None else threshold)))

    def visible_rows(self, threshold: float | None) -> IntArray:
        """Return the rows that reach a score threshold, and those without a score."""
        rows = np.arange(len(self), dtype=np.int64)
        is_visible = rows < self.count_at(threshold)
        if self.scores is not None:
            is_visible |= np.isnan(self.scores)
        return rows[is_visible]

    def __len__(self) -> int:
        return len(self.boxes)


def read_prediction_table(
    source: PathLike | gpd.GeoDataFrame, settings: DrawingSettings
) -> gpd.GeoDataFrame:
    """Read predictions of any program, or changes, in descending order of their scores.

    Args:
        source: Vector file of any format, or a table.
        settings: CRS, and column of scores.

    Returns:
        All columns, with ``class`` (str; "object" if there is none), ``score`` (float64) if there
        is one, and ``geometry``, without rows that have no geometry. Only rows of changes may lack
        a score; they come last, and take the class of the others if there is but one.

    Raises:
        InputError: It cannot be read, holds zones, has no CRS, no row has a geometry, or its
            scores are no numbers.

    Warns:
        GeodetectWarning: Rows have no geometry.
    """
    crs = PIXEL_CRS if settings.pixel_coords else settings.pred_crs
    table = read_predictions(
        source, crs=crs, score_field=settings.score_field, role=SHOWN, require_scores=False
    )
    refuse_zones(table, settings.score_field)
    column = find_score_column(table, settings.score_field)
    if find_statuses(table):
        table = _complete_changes(table)
    elif column is not None:
        check_scores(table["score"].to_numpy(), column, SHOWN)
    table = _complete_table(table, settings, "the predictions have", parameter="pred_crs")
    geometries = np.asarray(table.geometry)
    has_geometry = np.asarray(~(shapely.is_missing(geometries) | shapely.is_empty(geometries)))
    n_missing = int((~has_geometry).sum())
    if n_missing and not has_geometry.any():
        raise InputError(
            f"{SHOWN.name}: none of the {len(table):,} rows has a geometry; expected points or "
            f"polygons"
        )
    if n_missing:
        warnings.warn(
            f"{SHOWN.name}: {n_missing:,} of {len(table):,} rows have no geometry and are left out",
            GeodetectWarning,
            stacklevel=2,
        )
    table = table[has_geometry]
    if "score" in table:
        table = table.sort_values("score", ascending=False, kind="stable")
    return table.reset_index(drop=True)


def _complete_changes(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Give changes without a class the class of the others, and drop scores that no row has."""
    if "class" in table:
        classes = set(table["class"]) - {DEFAULT_CLASS}
        if len(classes) == 1:
            table = table.assign(**{"class": classes.pop()})
    if "score" in table and table["score"].isna().all():
        table = table.drop(columns="score")
    return table


def read_truth_table(
    source: PathLike | gpd.GeoDataFrame, settings: ReportSettings
) -> gpd.GeoDataFrame:
    """Read the ground truth, with ``class`` (str; "object" if there is none) and ``geometry``.

    Raises:
        LabelError: It cannot be read, has no CRS, or holds nothing with an area.
    """
    crs = PIXEL_CRS if settings.pixel_coords else settings.truth_crs
    table = read_truth(source, crs=crs, class_field=settings.class_field)
    return _complete_table(table, settings, "the ground truth has", parameter="truth_crs")


def _complete_table(
    table: gpd.GeoDataFrame, settings: DrawingSettings, subject: str, *, parameter: str
) -> gpd.GeoDataFrame:
    """Complete the class column, remove the CRS that stands for pixels, and require any other."""
    table["class"] = table["class"].astype(str) if "class" in table else DEFAULT_CLASS
    if settings.pixel_coords:
        return table.set_crs(None, allow_override=True)
    if table.crs is None:
        raise GeoreferenceError(
            f"{subject} no coordinate reference system; set `{parameter}` to name it"
        )
    return table


def blank_canvas(*tables: gpd.GeoDataFrame) -> Canvas:
    """Return a canvas around all objects, in the CRS of the first table.

    Raises:
        InputError: There are no objects.
        GeoreferenceError: Only some tables have a CRS.
    """
    crs = tables[0].crs
    bounds = np.concatenate([projected_bounds(np.asarray(t.geometry), t.crs, crs) for t in tables])
    return Canvas.from_bounds(bounds[np.isfinite(bounds).all(axis=1)], crs)


def place_on_canvas(
    table: gpd.GeoDataFrame, canvas: Canvas, *, name: str | None = None
) -> CanvasLayer:
    """Transform objects to the pixels of a canvas; leave out those beyond its edge, with a warning.

    Args:
        table: Objects, with a CRS unless the canvas has none.
        canvas: The canvas.
        name: Plural noun for the objects, in messages; None: predictions or changes.

    Raises:
        InputError: None of the objects is on the canvas.
        GeoreferenceError: Only one of the two has a CRS.
    """
    geometries, grid = np.asarray(table.geometry), canvas.grid
    if name is None:
        name = "changes" if find_statuses(table) else "predictions"
    if (table.crs is None) != (grid.crs is None):
        state = "raster has no CRS, but the objects have"
        if table.crs is None:
            state = "objects have no CRS, but the map has"
        raise GeoreferenceError(
            f"the {state} one; set `pred_crs` or `src_crs` to name it, or `pixel_coords` if both "
            f"are in pixels"
        )
    if table.crs is not None:
        boxes = bounds_px(geometries, table.crs, grid)
    else:
        corners = grid.to_px(projected_bounds(geometries, None, None).reshape(-1, 2, 2))
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    is_inside = (boxes[:, :2] <= canvas.size).all(axis=1)  # False for NaN
    is_inside &= (boxes[:, 2:] >= 0).all(axis=1)
    n_outside = int((~is_inside).sum())
    canvas_name = canvas.raster.name if canvas.raster else "the map"
    if n_outside and not is_inside.any():
        raise InputError(
            f"none of the {len(table):,} {name} lies on {canvas_name}: "
            f"{_describe_extents(table, canvas)}; check that both show the same area, and correct "
            f"a wrong CRS with `pred_crs`, `truth_crs` or `src_crs`"
        )
    if n_outside:
        verbs = ("lies", "is") if n_outside == 1 else ("lie", "are")
        warnings.warn(
            f"{n_outside:,} of {len(table):,} {name} {verbs[0]} outside {canvas_name} and "
            f"{verbs[1]} left out",
            GeodetectWarning,
            stacklevel=2,
        )
    _check_imagery_below(boxes[is_inside], canvas, name)
    placed = table[is_inside].reset_index(drop=True)
    return CanvasLayer(placed, boxes[is_inside], n_outside, grid)


def _check_imagery_below(boxes: FloatArray, canvas: Canvas, name: str) -> None:
    """Warn of boxes in gaps between rasters; raise an error if all of them are."""
    raster = canvas.raster
    if not isinstance(raster, Mosaic) or len(boxes) == 0:
        return
    imagery = raster.imagery * np.tile(raster.grid.scale_to(canvas.grid), 2)
    tree = shapely.STRtree(shapely.box(*imagery.T))
    n_blank = len(boxes) - len(
        np.unique(tree.query(shapely.box(*boxes.T), predicate="intersects")[0])
    )
    if n_blank == len(boxes):
        raise InputError(
            f"none of the {len(boxes):,} {name} lies on {raster.name}, only in gaps between their "
            f"imagery; check that both show the same area"
        )
    if n_blank:
        warnings.warn(
            f"{n_blank:,} of {len(boxes):,} {name} {'lies' if n_blank == 1 else 'lie'} in gaps "
            f"between {raster.name}, where the "
            f"map is blank",
            GeodetectWarning,
            stacklevel=3,
        )


def _describe_extents(table: gpd.GeoDataFrame, canvas: Canvas) -> str:
    """Return the extents of objects and canvas in words, in the CRS of the canvas."""
    bounds = projected_bounds(np.asarray(table.geometry), table.crs, canvas.grid.crs)
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    if len(bounds) == 0:
        return "its CRS does not reach them"
    corners = canvas.grid.to_map(np.array([[0.0, 0.0], [1, 0], [0, 1], [1, 1]]) * canvas.size)
    extents = (
        (*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)),
        (*corners.min(axis=0), *corners.max(axis=0)),
    )
    objects, raster = (f"x {x1:.7g} to {x2:.7g}, y {y1:.7g} to {y2:.7g}"
                       for x1, y1, x2, y2 in extents)  # fmt: skip
    return f"they are at {objects}, it is at {raster}"
