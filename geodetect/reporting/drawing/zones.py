"""Zones on a canvas, with their counts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geodetect.assessment.spatial_join import repair_table
from geodetect.assessment.summarize.count_correction import ErrorRates
from geodetect.assessment.summarize.object_areas import AreaSum, ObjectAreas
from geodetect.assessment.summarize.zone_areas import ASSUMED, count_overlapping_pairs
from geodetect.assessment.summarize.zone_layers import (
    CORRECTED,
    COUNT_COLUMNS,
    OBJECT_AREA,
    ZONES,
    find_count_columns,
    name_zones,
    read_zones,
)
from geodetect.assessment.summarize.zones import ZoneSummary, join_centres, summarize
from geodetect.errors import GeodetectWarning, InputError
from geodetect.geo.reproject import densify, reproject
from geodetect.io.vector.features import box_centres, find_column
from geodetect.io.vector.read import LayerSource
from geodetect.reporting.drawing.canvas import Canvas
from geodetect.reporting.drawing.statuses import (
    Status,
    find_statuses,
    is_detected,
    status_words,
)
from geodetect.settings import SummarizeSettings
from geodetect.types import FloatArray, IntArray, ObjectArray

TOLERANCE_PX = 0.5  # to which outlines are simplified, in pixels of the canvas
MAX_VERTICES = 100_000  # of all outlines together: about 1 MB of page
NEARLY_ALL = 0.995  # fraction of a zone that counts as all of it
MAX_OFF_MAP = 200  # zones without objects that are listed although they are not on the map


@dataclass(frozen=True)
class Zone:
    """A zone with its count.

    Args:
        name: Its name, or number.
        outline: Polygon in pixels of the canvas, simplified; empty if it is not on the canvas.
        count: Number of predictions; None where nothing was searched.
        density: Predictions per square kilometre of searched ground; None: unknown.
        expected: Number of objects to expect, and the ends of its 95 % interval; None: the counts
            are not corrected.
        object_area_m2: Area of the predictions together, and the ends of its 95 % interval, None
            where there is none; None: points, or nothing was searched.
        area_km2: Area on the ground.
        searched: "all", "part", "none", or "assumed" without a coverage.
        searched_fraction: Fraction of the area that was searched.
        status_counts: Number of objects by status; None unless they are changes.
    """

    name: str
    outline: shapely.Geometry
    count: int | None
    density: float | None
    expected: tuple[float, float, float] | None
    object_area_m2: tuple[float, float | None, float | None] | None
    area_km2: float | None
    searched: str
    searched_fraction: float | None
    status_counts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ZoneCounts:
    """Zones and the objects in them.

    Args:
        zones: Zones on the canvas, and others.
        conf: Score threshold of the counted predictions; None: all count, or it is not known.
        counted: Number of predictions, in zones or elsewhere.
        in_zones: Number of predictions in a zone.
        in_several: Number of predictions in several zones.
        overlapping_pairs: Pairs of zones that overlap.
        object_area: Area of the predictions in a zone together.
        corrected: Number of objects to expect in all zones, and the ends of its 95 % interval.
        source: Origin of the error rates.
        left_out: Number of zones off the canvas, without objects, that are not listed.
    """

    zones: tuple[Zone, ...]
    conf: float | None
    counted: int
    in_zones: int
    in_several: int
    overlapping_pairs: int
    object_area: AreaSum
    corrected: tuple[float, float, float] | None = None
    source: str = ""
    left_out: int = 0


def count_zones(
    predictions: gpd.GeoDataFrame,
    zones: LayerSource,
    canvas: Canvas,
    *,
    statuses: tuple[Status, ...] = (),
    coverage: LayerSource | None = None,
    default_coverage: LayerSource | None = None,
    rates: ErrorRates | None = None,
    conf: float | None = None,
    zones_crs: str | None = None,
) -> ZoneCounts:
    """Count predictions by zone, as `summarize` does, or take the counts that it wrote.

    Of changes, those with a prediction count.

    Args:
        predictions: Predictions or changes with ``class`` and, if they have any, ``score``.
        zones: Polygons, or the layer that ``summarize`` wrote.
        canvas: The canvas.
        statuses: Statuses to count separately, of changes.
        coverage: Area that was searched.
        default_coverage: The area without ``coverage``, unless the zones are counted already.
        rates: Error rates of the detector.
        conf: Score threshold of the counts; None: that of the rates, else all count.
        zones_crs: CRS of the zones, whatever the file says.

    Raises:
        InputError: The zones cannot be used, are counted already where `coverage` or error rates
            are stated, or the predictions have no CRS.

    Warns:
        GeodetectWarning: Zones reach beyond the imagery without a coverage, or counts of a layer
            cannot be those of the predictions.
    """
    if predictions.crs is None:
        raise InputError("`zones` need predictions with a CRS, not in pixels of a raster")
    table = repair_table(read_zones(zones, crs=zones_crs), ZONES.name)
    polygons = table.geometry.to_numpy()
    detected = predictions
    if statuses:
        has_prediction = is_detected(predictions, find_statuses(predictions))
        detected = predictions[has_prediction].reset_index(drop=True)
    count_columns = find_count_columns(table)
    if count_columns:
        if coverage is not None or rates is not None:
            raise InputError(
                "`zones` are counted already, as `summarize` wrote them; leave `coverage` and the "
                "error rates away, or name the zones without counts"
            )
        summary = _read_summary(table, detected, count_columns)
    else:
        settings = SummarizeSettings(conf=conf if "score" in detected else None)
        searched = default_coverage if coverage is None else coverage
        summary = summarize(detected, table, coverage=searched, rates=rates, settings=settings)
    outlines = _place_outlines(polygons, table, canvas)
    status_counts = None
    if statuses:
        centres = box_centres(predictions, table.crs)
        pairs = join_centres(centres, polygons, table.crs)
        status_counts = _count_statuses(status_words(predictions), pairs, statuses, len(table))
    listed = _list_zones(summary, name_zones(table), outlines, status_counts)
    _warn_of_unseen_ground(listed, summary, polygons, table, canvas)
    zones_on_map = [zone for zone in listed if not zone.outline.is_empty or zone.count]
    left_out = len(listed) - len(zones_on_map)
    if left_out <= MAX_OFF_MAP:
        zones_on_map, left_out = listed, 0
    return ZoneCounts(
        tuple(zones_on_map),
        conf=summary.conf,
        counted=summary.n_predictions,
        in_zones=summary.in_zones,
        in_several=summary.in_several,
        overlapping_pairs=summary.overlapping_pairs,
        object_area=summary.object_area,
        corrected=summary.corrected,
        source="" if summary.rates is None else summary.rates.source,
        left_out=left_out,
    )


def _read_summary(
    table: gpd.GeoDataFrame, predictions: gpd.GeoDataFrame, columns: dict[str, str]
) -> ZoneSummary:
    """Return the summary that a layer of counted zones holds, with counts of all zones together."""
    values = {
        name: table[column]
        if name == "searched"
        else pd.to_numeric(table[column], errors="coerce").astype("Float64")
        for name, column in columns.items()
    }
    polygons = table.geometry.to_numpy()
    pairs = join_centres(box_centres(predictions, table.crs), polygons, table.crs)
    inside, times = np.unique(pairs[:, 0], return_counts=True)
    possible = np.bincount(pairs[:, 1], minlength=len(table))
    count = values["count"].fillna(0).to_numpy(np.float64)
    too_many = np.flatnonzero(count > possible)
    if len(too_many):
        zone = int(too_many[0])
        warnings.warn(
            f"{ZONES.name}: {name_zones(table)[zone]!r} counts {count[zone]:,.0f} predictions, but "
            f"{possible[zone]:,} lie in it: the zones were counted from other predictions; count "
            f"them again with `summarize`",
            GeodetectWarning,
            stacklevel=4,
        )
    return ZoneSummary(
        gpd.GeoDataFrame(values, geometry=polygons, crs=table.crs),
        n_predictions=len(predictions),
        in_zones=len(inside),
        in_several=int((times > 1).sum()),
        overlapping_pairs=count_overlapping_pairs(polygons),
        object_area=ObjectAreas.from_table(predictions).total(inside),
        corrected=None,
        rates=None,
        conf=None,
    )


def _count_statuses(
    words: pd.Series[str], pairs: IntArray, statuses: Sequence[Status], n_zones: int
) -> IntArray:
    """Return the number of objects by zone and status, ``int64[Z, S]``."""
    codes = {status.name: code for code, status in enumerate(statuses)}
    code = np.asarray(words.map(codes).fillna(-1), dtype=np.int64)[pairs[:, 0]]
    counts = np.zeros((n_zones, len(statuses)), np.int64)
    np.add.at(counts, (pairs[code >= 0, 1], code[code >= 0]), 1)
    return counts


def _list_zones(
    summary: ZoneSummary,
    names: Sequence[str],
    outlines: ObjectArray,
    status_counts: IntArray | None,
) -> list[Zone]:
    table = summary.zones
    columns = {name: find_column(table, name) for name in COUNT_COLUMNS}

    def value(row: int, name: str) -> Any:
        column = columns[name]
        cell = None if column is None else table[column].iloc[row]
        return None if pd.isna(cell) else cell

    def number(row: int, name: str) -> float | None:
        cell = value(row, name)
        return None if cell is None else float(cell)

    zones = []
    for row, (name, outline) in enumerate(zip(names, outlines, strict=True)):
        expected, low, high = (value(row, column) for column in CORRECTED)
        count = value(row, "count")
        area_m2, low_m2, high_m2 = (number(row, column) for column in OBJECT_AREA)
        zones.append(
            Zone(
                name,
                outline,
                count=None if count is None else int(count),
                density=number(row, "density_per_km2"),
                expected=None if expected is None else (float(expected), float(low), float(high)),
                object_area_m2=None if area_m2 is None else (area_m2, low_m2, high_m2),
                area_km2=number(row, "area_km2"),
                searched=str(value(row, "searched") or ASSUMED),
                searched_fraction=number(row, "covered_fraction"),
                status_counts=None if status_counts is None else tuple(status_counts[row].tolist()),
            )
        )
    return zones


def place_zones(zones: LayerSource, canvas: Canvas, *, zones_crs: str | None) -> list[Zone]:
    """Return zones on a canvas without counts.

    Args:
        zones: Polygons.
        canvas: The canvas, with a CRS.
        zones_crs: CRS of the zones, whatever the file says.

    Raises:
        InputError: The zones cannot be used, or none is on the canvas.
    """
    table = repair_table(read_zones(zones, crs=zones_crs), ZONES.name)
    outlines = _place_outlines(table.geometry.to_numpy(), table, canvas)
    return [
        Zone(name, outline, None, None, None, None, None, ASSUMED, None)
        for name, outline in zip(name_zones(table), outlines, strict=True)
    ]


def _place_outlines(polygons: ObjectArray, table: gpd.GeoDataFrame, canvas: Canvas) -> ObjectArray:
    """Return polygons in pixels of the canvas, cut at some distance of it and simplified.

    Raises:
        InputError: None is on the canvas.
    """
    grid = canvas.grid
    if grid.crs is None:
        raise InputError("`zones` need imagery with a CRS, or predictions with one")
    projected = reproject(densify(polygons, table.crs), table.crs, grid.crs)
    placed = shapely.transform(projected, grid.to_px)
    width, height = canvas.size.tolist()
    is_on_canvas = shapely.intersects(shapely.make_valid(placed), shapely.box(0, 0, width, height))
    if len(placed) and not is_on_canvas.any():
        raise InputError(
            f"none of the {len(placed):,} zones lies on "
            f"{canvas.raster.name if canvas.raster else 'the map'}; check that both show the same "
            f"area, and correct a wrong CRS with `zones_crs`"
        )
    # cut a map's size beyond its edge, so that borders of the cut are not seen
    outlines = shapely.clip_by_rect(placed, -width, -height, 2 * width, 2 * height)
    outlines[~is_on_canvas] = shapely.Polygon()
    tolerance = TOLERANCE_PX
    simplified = shapely.simplify(outlines, tolerance)
    while shapely.get_num_coordinates(simplified).sum() > MAX_VERTICES and tolerance < width:
        tolerance *= 2
        simplified = shapely.simplify(outlines, tolerance)
    return np.asarray(simplified)


def _warn_of_unseen_ground(
    zones: Sequence[Zone],
    summary: ZoneSummary,
    polygons: ObjectArray,
    table: gpd.GeoDataFrame,
    canvas: Canvas,
) -> None:
    """Warn of zones that reach beyond the imagery although they count as searched everywhere."""
    if canvas.raster is None or not any(zone.searched == ASSUMED for zone in zones):
        return
    grid, raster = canvas.grid, canvas.raster
    imagery = shapely.union_all(shapely.box(*_imagery_boxes(canvas).T))
    projected = reproject(densify(polygons, table.crs), table.crs, grid.crs or table.crs)
    placed = shapely.make_valid(shapely.transform(projected, grid.to_px))
    area = shapely.area(placed)
    fraction = np.divide(
        shapely.area(shapely.intersection(placed, imagery)),
        area,
        out=np.ones(len(area)),
        where=area > 0,
    )
    n_beyond = int((fraction < NEARLY_ALL).sum())
    if n_beyond:
        warnings.warn(
            f"{n_beyond:,} of {len(zones):,} zones reach beyond {raster.name}, but count as "
            f"searched everywhere; name the ground that was searched with `coverage`",
            GeodetectWarning,
            stacklevel=3,
        )


def _imagery_boxes(canvas: Canvas) -> FloatArray:
    """Return boxes around the imagery in pixels of the canvas, ``float64[N, 4]``."""
    raster = canvas.raster
    if raster is None or raster.imagery is None:
        return canvas.grid.box[None]
    return raster.imagery * np.tile(raster.grid.scale_to(canvas.grid), 2)
