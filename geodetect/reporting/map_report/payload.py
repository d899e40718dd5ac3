"""Data for the script of the report page, as plain values for JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import shapely

from geodetect.class_names import PLACEHOLDERS
from geodetect.geo import boxes as box_ops
from geodetect.geo.crs import WGS84
from geodetect.geo.geodesic import ground_areas_m2
from geodetect.geo.reproject import reproject
from geodetect.io.vector.features import find_column
from geodetect.io.vector.qgis_style import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    QUANTILE_COLOURS,
    SCORE_BREAKS,
    SCORE_COLOURS,
    TRUE_POSITIVE,
    hex_colour,
    quantile_edges,
)
from geodetect.noun import Noun
from geodetect.reporting.drawing.canvas import Canvas
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.reporting.drawing.match_result import LOOSE, MatchResult
from geodetect.reporting.drawing.mosaic import Mosaic
from geodetect.reporting.drawing.shapes import outline_rings
from geodetect.reporting.drawing.statuses import STATUS
from geodetect.reporting.drawing.zones import ZoneCounts
from geodetect.reporting.map_report.column_encoding import encode_columns, to_tenths
from geodetect.reporting.map_report.column_names import find_address, find_permit, has_permit
from geodetect.reporting.map_report.work_list import WorkList
from geodetect.types import FloatArray

GSD_SAMPLES = 9  # along each side of the canvas
DEGREE_DECIMALS = 6  # 0.1 m


def map_payload(
    canvas: Canvas,
    predictions: CanvasLayer,
    matches: MatchResult | None,
    *,
    address_field: str | None = None,
    permit_field: str | None = None,
) -> dict[str, Any]:
    """Return canvas, colours, predictions and ground truth for the script of the page.

    Args:
        canvas: The canvas.
        predictions: Predictions, or changes.
        matches: Predictions matched with the ground truth.
        address_field: Column of addresses; None: see `find_address`.
        permit_field: Column of permits; None: that of changes, see `find_permit`.
    """
    gsd_m = canvas.sample_gsd_m(GSD_SAMPLES)
    truth_classes = matches.truth.classes if matches is not None and matches.by_class else ()
    all_classes = sorted((*truth_classes, *predictions.classes), key=str.lower)
    names = {name.lower(): name for name in all_classes}  # names may differ in case only
    noun = name_objects(predictions, matches)
    permit = permitted = work = None
    if predictions.statuses or permit_field is not None:
        permit = find_permit(predictions.table, permit_field)
    if permit is not None:
        permitted = has_permit(predictions.table[permit])
    if predictions.statuses:
        work = WorkList.from_layer(predictions, noun, permitted)
    return {
        "grid": {
            "width": canvas.grid.width,
            "height": canvas.grid.height,
            "gsd_m": None if gsd_m is None else [float(f"{v:.6g}") for v in gsd_m.ravel()],
            "gsd_samples": GSD_SAMPLES,
        },
        "palette": {
            "breaks": list(SCORE_BREAKS),
            "scores": [hex_colour(colour) for colour in SCORE_COLOURS],
            "tp": hex_colour(TRUE_POSITIVE),
            "fp": hex_colour(FALSE_POSITIVE),
            "fn": hex_colour(FALSE_NEGATIVE),
            "loose": hex_colour(LOOSE),
            "zones": [hex_colour(colour) for colour in QUANTILE_COLOURS],
        },
        "noun": dataclasses.asdict(noun),
        "classes": list(names.values()),
        "statuses": None if work is None else _statuses_payload(predictions),
        "work": None if work is None else work.headline or None,
        "address": find_address(
            predictions.table,
            address_field,
            rows=None if work is None else predictions.status_codes == 0,
        ),
        "permit": permit,
        "predictions": {
            **_predictions_payload(predictions, list(names), work),
            "permitted": None if permitted is None else permitted.astype(int).tolist(),
        },
        "truth": None if matches is None else _truth_payload(matches, list(names)),
    }


def name_objects(predictions: CanvasLayer, matches: MatchResult | None) -> Noun:
    """Return the noun for the objects: that of the ground truth where predictions have no class."""
    classes = [name for name in predictions.classes if name.lower() not in PLACEHOLDERS]
    if not classes and matches is not None:
        classes = matches.truth.classes
    return Noun.from_classes(classes)


def zones_payload(counts: ZoneCounts) -> dict[str, Any]:
    """Return zones and their counts for the script of the page."""
    density = np.array([np.nan if z.density is None else z.density for z in counts.zones])
    breaks = quantile_edges(density)
    shades = np.clip(np.searchsorted(breaks, density, side="right") - 1, 0, max(0, len(breaks) - 2))
    corrected = None
    if counts.corrected is not None:
        count, low, high = counts.corrected
        corrected = {"count": round(count, 1), "low": low, "high": high, "source": counts.source}
    return {
        "list": [
            {
                "name": zone.name,
                "rings": [to_tenths(ring.ravel()) for ring in outline_rings(zone.outline)],
                "count": zone.count,
                "density": zone.density,
                **dict(zip(("expected", "low", "high"), zone.expected or [None] * 3, strict=True)),
                "object_area": zone.object_area_m2,
                "area_km2": zone.area_km2,
                "searched": zone.searched,
                "searched_fraction": zone.searched_fraction,
                "shade": None if zone.density is None else int(shade),
                "statuses": zone.status_counts,
            }
            for zone, shade in zip(counts.zones, shades, strict=True)
        ],
        "score_threshold": counts.conf,
        "counted": counts.counted,
        "in_zones": counts.in_zones,
        "object_area": None
        if math.isnan(counts.object_area.m2)
        else [None if math.isnan(v) else v for v in dataclasses.astuple(counts.object_area)],
        "in_several": counts.in_several,
        "overlapping_pairs": counts.overlapping_pairs,
        "corrected": corrected,
        "left_out": counts.left_out,
        "breaks": breaks,
    }


def imagery_facts(canvas: Canvas) -> list[tuple[str, str]]:
    """Return names and values of the properties of the imagery, for the head of the page."""
    facts = []
    if canvas.raster is not None:
        grid = canvas.raster.grid
        name = canvas.raster.name
        if isinstance(canvas.raster, Mosaic):
            rasters = canvas.raster.rasters
            name += f", {rasters[0].name} to {rasters[-1].name}"
        facts.append(("Imagery", name))
        facts.append(("Size", f"{grid.width:,} x {grid.height:,} px"))
        if grid.gsd_m is not None:
            facts.append(("Resolution", f"{_format_metres(grid.gsd_m)} per pixel"))
    if canvas.grid.gsd_m is not None:
        width_m, height_m = canvas.size * canvas.grid.gsd_m
        facts.append(("Extent", f"{_format_metres(width_m)} x {_format_metres(height_m)}"))
    if canvas.grid.crs is not None:
        crs = canvas.grid.crs
        authority = crs.to_authority()
        suffix = f" ({':'.join(authority)})" if authority else ""
        facts.append(("CRS", f"{crs.name}{suffix}"))
    return facts


def _class_codes(layer: CanvasLayer, lower_names: list[str]) -> list[int]:
    codes = {name: code for code, name in enumerate(lower_names)}
    return layer.table["class"].str.lower().map(codes).astype(np.int64).tolist()


def describe_objects(
    predictions: CanvasLayer, matches: MatchResult | None, threshold: float | None
) -> str:
    """Return the numbers of objects in words: "887 pools: 18 new, 6 moved, 863 confirmed".

    With ground truth, "887 detections, 31 pools missed".
    """
    rows = predictions.visible_rows(threshold)
    noun = name_objects(predictions, matches)
    if matches is not None:
        detections = Noun("detection", "detections").count(len(rows))
        return f"{detections}, {noun.count(len(matches.false_negatives(len(rows))))} missed"
    text = noun.count(len(rows))
    if not predictions.statuses:
        return text
    counts = np.bincount(predictions.status_codes[rows], minlength=len(predictions.statuses))
    parts = [
        f"{count:,} {status.name or 'without a status'}"
        for status, count in zip(predictions.statuses, counts.tolist(), strict=True)
    ]
    return f"{text}: {', '.join(parts)}"


def _statuses_payload(predictions: CanvasLayer) -> list[dict[str, Any]]:
    return [
        {
            "name": status.name,
            "text": status.text,
            "colour": hex_colour(status.colour),
            "dashed": status.dashed,
            "detected": status.detected,
            "count": predictions.status_counts[status.name],
        }
        for status in predictions.statuses
    ]


def _predictions_payload(
    predictions: CanvasLayer, lower_names: list[str], work: WorkList | None
) -> dict[str, Any]:
    table, scores = predictions.table, predictions.scores
    shown_elsewhere = ["class", "score", table.geometry.name]
    if work is not None:
        shown_elsewhere.append(str(find_column(table, STATUS)))
    extra = table.drop(columns=shown_elsewhere, errors="ignore")
    columns = [pd.DataFrame(extra)]
    if table.crs is not None and len(table):
        centres = shapely.centroid(np.asarray(table.geometry))
        centres = reproject(centres, table.crs, WGS84)
        lon, lat = np.round(shapely.get_coordinates(centres), DEGREE_DECIMALS).T
        # as text, so that all decimals are kept
        texts = [f"{y:.6f}, {x:.6f}" for x, y in zip(lon, lat, strict=True)]
        columns.append(pd.DataFrame({"centre": texts}, index=table.index))
    return {
        **_shapes_payload(predictions),
        "class": _class_codes(predictions, lower_names),
        "score": None
        if scores is None
        else [None if math.isnan(score) else score for score in np.round(scores, 6).tolist()],
        "status": None if work is None else predictions.status_codes.tolist(),
        "order": None if work is None else work.order.tolist(),
        "columns": encode_columns(pd.concat(columns, axis=1)),
    }


def _truth_payload(matches: MatchResult, lower_names: list[str]) -> dict[str, Any]:
    truth, ap50 = matches.truth, matches.metrics.overall.ap50
    if matches.by_class:
        classes = _class_codes(truth, lower_names)
    else:  # -1: any class
        classes = [0 if len(lower_names) == 1 else -1] * len(truth)
    return {
        **_shapes_payload(truth),
        "class": classes,
        "prediction_rows": matches.prediction_rows.tolist(),
        "truth_rows": matches.truth_rows.tolist(),
        "loose_rows": [
            [row, target, round(iou, 3)]
            for row, target, iou in zip(
                matches.loose.predictions.tolist(),
                matches.loose.truth.tolist(),
                matches.loose.iou.tolist(),
                strict=True,
            )
        ],
        "iou": matches.metrics.iou,
        "distance_m": matches.distance_m,
        "ap50": round(ap50, 6) if np.isfinite(ap50) else None,
    }


def _shapes_payload(layer: CanvasLayer) -> dict[str, Any]:
    """Return upper left corners and sizes in tenths of a pixel, which is sharp enough to draw.

    If there are outlines, also ``outlines``: 0 for a box, else for each ring its first vertex
    relative to the corner, and the steps to the next vertices; and ``areas`` on the ground.
    """
    x1, y1, x2, y2 = layer.boxes.T
    values = {"x": x1, "y": y1, "w": x2 - x1, "h": y2 - y1}
    payload: dict[str, Any] = {name: to_tenths(column) for name, column in values.items()}
    if layer.shapes.has_outlines:
        payload["outlines"] = [
            0 if outline is None else _encode_rings(outline, corner)
            for outline, corner in zip(layer.shapes.outlines, layer.boxes[:, :2], strict=True)
        ]
        payload["areas"] = [float(f"{area:.4g}") for area in _measure_areas(layer).tolist()]
    return payload


def _encode_rings(outline: shapely.Geometry, corner: FloatArray) -> list[list[int]]:
    """Return the vertices of closed rings, without the last, as steps in tenths from a corner."""
    rings = [np.rint(ring[:-1] * 10) - np.rint(corner * 10) for ring in outline_rings(outline)]
    steps = [np.diff(ring, axis=0, prepend=np.zeros((1, 2))) for ring in rings]
    return [step.astype(np.int64).ravel().tolist() for step in steps]


def _measure_areas(layer: CanvasLayer) -> FloatArray:
    """Return the areas of objects in square metres, without a CRS in square pixels."""
    if layer.table.crs is not None:
        return ground_areas_m2(layer.table.geometry.to_numpy(), layer.table.crs)
    outlines = layer.shapes.outlines
    return np.where(shapely.is_missing(outlines), box_ops.area(layer.boxes), shapely.area(outlines))


def _format_metres(metres: float) -> str:
    if metres >= 1000:
        return f"{metres / 1000:.3g} km"
    return f"{metres:.3g} m" if metres < 100 else f"{metres:.0f} m"
