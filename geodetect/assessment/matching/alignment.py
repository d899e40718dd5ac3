"""Alignment of predictions and truth: boxes of both layers in one grid."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS

from geodetect.assessment.matching.comparison_grid import comparison_grid, crs_grid
from geodetect.assessment.matching.outlines import Outlines
from geodetect.class_names import NO_CLASS
from geodetect.errors import GeodetectWarning, GeoreferenceError, LabelError
from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import bounds_px
from geodetect.geo.crs import parse_crs
from geodetect.geo.geodesic import cartesian_points_m, ground_sizes
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import densify, reproject
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray


@dataclass(frozen=True)
class LayerBoxes:
    """Bounding boxes of the rows of a layer that are compared.

    Args:
        rows: ``int64[N]`` their row numbers in the layer, ascending.
        boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixels of the comparison grid.
        scores: ``float64[N]``.
        class_names: ``object[N]``.
        outlines: Outlines of the rows; None: only boxes are compared.
    """

    rows: IntArray
    boxes: FloatArray
    scores: FloatArray
    class_names: ObjectArray
    outlines: Outlines | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: BoolArray | IntArray) -> LayerBoxes:
        """Return the layer with some of its rows."""
        return LayerBoxes(
            self.rows[index],
            self.boxes[index],
            self.scores[index],
            self.class_names[index],
            None if self.outlines is None else self.outlines[index],
        )

    @property
    def centres(self) -> FloatArray:
        """Centres of the boxes, ``float64[N, 2]`` in pixels of the comparison grid."""
        return box_ops.centres(self.boxes)

    @property
    def is_flat(self) -> BoolArray:
        """Rows without extent, such as points, ``bool[N]``."""
        return ~np.asarray((self.boxes[:, :2] < self.boxes[:, 2:]).all(axis=1))


@dataclass(frozen=True)
class AlignedLayers:
    """Predictions and truth in one grid.

    Args:
        grid: Comparison grid, in whose pixels boxes are.
        predictions: Boxes of the predictions.
        truth: Boxes of the true objects; their scores have no meaning.
    """

    grid: Grid
    predictions: LayerBoxes
    truth: LayerBoxes

    @property
    def has_flat(self) -> bool:
        """True if a row has no extent, so that there is no IoU."""
        return bool(self.predictions.is_flat.any() or self.truth.is_flat.any())

    def geocentric_centres(self) -> tuple[FloatArray, FloatArray]:
        """Return the centres of predictions and truth where straight lines are metres.

        Raises:
            GeoreferenceError: The layers have no CRS.
        """
        if self.grid.crs is None:
            raise GeoreferenceError("distances on the ground need layers with a CRS")
        return (
            cartesian_points_m(self.grid.to_map(self.predictions.centres), self.grid.crs),
            cartesian_points_m(self.grid.to_map(self.truth.centres), self.grid.crs),
        )

    def truth_sizes_m(self) -> FloatArray:
        """Return the side of the square with the area of each object, ``float64[M]`` metres.

        The area is that of the outlines if they are compared, else of the boxes. The object size of
        COCO (Lin et al. 2014) is the area in pixels; NaN without a CRS.
        """
        if self.truth.outlines is not None and self.grid.crs is not None:
            return np.sqrt(self.truth.outlines.areas_m2(self.grid))
        rings = self.grid.boxes_to_map(self.truth.boxes)
        return np.sqrt(ground_sizes(rings, self.grid.crs)[2])


def align_layers(
    predictions: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    *,
    crs: str | None = None,
    by_centre: bool = False,
    by_outline: bool = False,
) -> AlignedLayers:
    """Compute the bounding boxes of two layers in one grid, and their outlines if these compare.

    Args:
        predictions: Geometry and, if present, ``score`` (else all are 1) and ``class``.
        truth: Geometry and, if present, ``class``.
        crs: CRS along whose axes boxes are drawn; None: see ``comparison_grid``.
        by_centre: Only centres are compared, so that points are accepted.
        by_outline: Outlines are compared.

    Raises:
        LabelError: A layer has points only, which are not accepted, or scores are missing.
        GeoreferenceError: Only one of the layers has a CRS.
    """
    if (predictions.crs is None) != (truth.crs is None):
        name, parameter = ("truth", "truth_crs")
        if predictions.crs is None:
            name, parameter = ("predictions", "pred_crs")
        raise GeoreferenceError(f"only the {name} have no CRS; name it with `{parameter}`")
    if predictions.crs is None:
        grid = crs_grid(None)
    elif crs is not None:
        grid = crs_grid(parse_crs(crs, parameter="crs"))
    else:
        outlines = np.asarray(predictions.geometry)
        outlines = outlines[shapely.get_num_coordinates(outlines) > 0]
        grid = comparison_grid(outlines, predictions.crs, truth.crs)
    return AlignedLayers(
        grid,
        _compute_boxes(
            predictions, "predictions", grid=grid, by_centre=by_centre, by_outline=by_outline
        ),
        _compute_boxes(truth, "truth", grid=grid, by_centre=by_centre, by_outline=by_outline),
    )


def _compute_boxes(
    table: gpd.GeoDataFrame, name: str, *, grid: Grid, by_centre: bool, by_outline: bool
) -> LayerBoxes:
    geometries = np.asarray(table.geometry)
    if table.crs is None:
        boxes = np.asarray(shapely.bounds(geometries))
    else:
        boxes = bounds_px(geometries, table.crs, grid)
    scores = np.asarray(table["score"], float) if "score" in table else np.ones(len(table))
    if np.isnan(scores).any():
        raise LabelError(
            f"{np.isnan(scores).sum():,} of {len(scores):,} {name} have no score; fill them, or "
            f"name another column with `score_field`"
        )
    classes = table.get("class", [NO_CLASS] * len(table))
    class_names = np.array([str(value).strip() for value in classes], dtype=object)
    outlines = None
    if by_outline:
        outlines = Outlines.from_geometries(geometries, table.crs, grid, name=f"the {name}")
    layer = LayerBoxes(np.arange(len(table)), boxes, scores, class_names, outlines)
    is_unusable = layer.is_flat  # NaN counts as flat
    if by_centre:
        is_unusable = np.asarray(np.isnan(boxes).any(axis=1), dtype=bool)
    elif len(layer) and is_unusable.all():
        raise LabelError(
            f"{len(layer):,} of {len(layer):,} rows of the {name} have no extent, as points have "
            f"none; compare centres with `distance` in metres"
        )
    if is_unusable.any():
        warnings.warn(
            f"{is_unusable.sum():,} of {len(layer):,} rows of the {name} have no "
            f"{'geometry' if by_centre else 'extent'} and are left out",
            GeodetectWarning,
            stacklevel=3,
        )
    return layer[~is_unusable]


def restrict_layers(
    layers: AlignedLayers, truth_of: IntArray, *, is_inside: tuple[BoolArray, BoolArray]
) -> AlignedLayers:
    """Restrict layers to the area where the truth is complete.

    Objects count when their centre is inside. Predictions count when they match such an object, or
    match none and have their centre inside; so nothing is a false positive only because the edge
    of the area runs between two centres.

    Args:
        layers: All rows.
        truth_of: ``int64[N]`` the object that each prediction matches, or -1.
        is_inside: ``bool[N]`` and ``bool[M]`` centres of predictions and of objects inside.
    """
    is_prediction_inside, is_truth_inside = is_inside
    is_match_inside = np.append(is_truth_inside, False)[truth_of]
    counts = np.where(truth_of >= 0, is_match_inside, is_prediction_inside)
    return replace(
        layers, predictions=layers.predictions[counts], truth=layers.truth[is_truth_inside]
    )


def centres_in_area(
    layers: AlignedLayers, area: shapely.Geometry, crs: CRS | None
) -> tuple[BoolArray, BoolArray]:
    """Return True for centres in or on a polygon: ``bool[N]`` predictions, ``bool[M]`` objects.

    Args:
        layers: Predictions and truth.
        area: A polygon or multipolygon.
        crs: CRS of the area; None: it is in pixels of the comparison grid.
    """
    if crs is not None and layers.grid.crs is not None:
        outline = densify(np.array([area], dtype=object), crs)
        area = shapely.transform(reproject(outline, crs, layers.grid.crs)[0], layers.grid.to_px)
    shapely.prepare(area)
    return (
        np.asarray(shapely.intersects_xy(area, *layers.predictions.centres.T), dtype=bool),
        np.asarray(shapely.intersects_xy(area, *layers.truth.centres.T), dtype=bool),
    )
