"""What the program of the report page gets: plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from geodetect.geo.crs import WGS84
from geodetect.geo.reproject import reproject
from geodetect.io.vector.qgis_style import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    SCORE_BREAKS,
    SCORE_COLOURS,
    TRUE_POSITIVE,
    hex_colour,
)
from geodetect.reporting.drawing.canvas import Frame
from geodetect.reporting.drawing.layers import Objects
from geodetect.reporting.drawing.match_result import Judgement
from geodetect.reporting.map_report.column_encoding import encode_columns, tenths
from geodetect.reporting.map_report.scene import Scene
from geodetect.types import IntArray

LATTICE = 9  # places along each side where the size of a pixel is known
DEGREE_DECIMALS = 6  # 0.1 m


def scene_content(scene: Scene) -> dict[str, Any]:
    """The frame, the detections and the truth."""
    classes = _classes(scene)
    return {
        "frame": _frame(scene.frame),
        "palette": palette(),
        "classes": list(classes.values()),
        "objects": _detections(scene.found, classes),
        "truth": None if scene.judgement is None else _truth(scene.judgement, classes),
    }


def palette() -> dict[str, Any]:
    """Colours, the same as in the QGIS style and in pictures."""
    return {
        "breaks": list(SCORE_BREAKS),
        "scores": [hex_colour(colour) for colour in SCORE_COLOURS],
        "found": hex_colour(TRUE_POSITIVE),
        "false": hex_colour(FALSE_POSITIVE),
        "missed": hex_colour(FALSE_NEGATIVE),
    }


def facts(scene: Scene) -> list[tuple[str, str]]:
    """What is worth knowing of the ground, as names and values."""
    grid, raster = scene.frame.grid, scene.frame.raster
    rows = []
    if raster is not None:
        own = raster.grid
        rows.append(("Imagery", raster.name))
        rows.append(("Size", f"{own.width:,} x {own.height:,} px"))
        if own.gsd_m is not None:
            rows.append(("Resolution", f"{_length(own.gsd_m)} per pixel"))
    if grid.gsd_m is not None:
        extent_m = scene.frame.size * grid.gsd_m
        rows.append(("Extent", f"{_length(extent_m[0])} x {_length(extent_m[1])}"))
    if grid.crs is not None:
        rows.append(("CRS", _crs_name(grid.crs)))
    return rows


def _frame(frame: Frame) -> dict[str, Any]:
    lattice = frame.gsd_lattice_m(LATTICE)
    sizes = None if lattice is None else [float(f"{v:.6g}") for v in lattice.ravel()]
    return {
        "width": frame.grid.width,
        "height": frame.grid.height,
        "gsd_m": sizes,
        "lattice": LATTICE,
    }


def _classes(scene: Scene) -> dict[str, str]:
    """Names of all classes by their lower case, in alphabetical order."""
    judgement = scene.judgement
    truth = judgement.truth.classes if judgement is not None and judgement.by_class else ()
    return {name.lower(): name for name in sorted((*truth, *scene.found.classes), key=str.lower)}


def _class_numbers(objects: Objects, classes: Mapping[str, str]) -> IntArray:
    numbers = {name: number for number, name in enumerate(classes)}
    return objects.table["class"].str.lower().map(numbers).to_numpy(np.int64)


def _detections(found: Objects, classes: Mapping[str, str]) -> dict[str, Any]:
    hidden = ["class", "score", found.table.geometry.name]
    attributes = pd.DataFrame(found.table.drop(columns=hidden, errors="ignore"))
    return {
        **_boxes(found),
        "class": _class_numbers(found, classes).tolist(),
        "score": None if found.scores is None else np.round(found.scores, 6).tolist(),
        "columns": encode_columns(pd.concat([attributes, _centres(found)], axis=1)),
    }


def _truth(judgement: Judgement, classes: Mapping[str, str]) -> dict[str, Any]:
    truth, overall = judgement.truth, judgement.metrics.overall
    only = 0 if len(classes) == 1 else -1  # -1: of no class in particular
    numbers = _class_numbers(truth, classes) if judgement.by_class else np.full(len(truth), only)
    return {
        **_boxes(truth),
        "class": numbers.tolist(),
        "found_by": judgement.found_by.tolist(),
        "truth_of": judgement.truth_of.tolist(),
        "iou": judgement.metrics.iou,
        "ap50": _finite(overall.ap50),
        "ap50_95": _finite(overall.ap50_95),
    }


def _boxes(objects: Objects) -> dict[str, Any]:
    """Upper left corners and sizes in tenths of a pixel, which draws them sharply enough."""
    x1, y1, x2, y2 = objects.boxes.T
    return {"x": tenths(x1), "y": tenths(y1), "w": tenths(x2 - x1), "h": tenths(y2 - y1)}


def _centres(objects: Objects) -> pd.DataFrame:
    """Longitude and latitude of the middle of each object."""
    table = objects.table
    if table.crs is None or len(table) == 0:
        return pd.DataFrame(index=table.index)
    middles = reproject(shapely.centroid(np.asarray(table.geometry)), table.crs, WGS84)
    lon, lat = np.round(shapely.get_coordinates(middles), DEGREE_DECIMALS).T
    # as text, so that all decimals are kept
    return pd.DataFrame(
        {"centre": [f"{y:.6f}, {x:.6f}" for x, y in zip(lon, lat, strict=True)]}, index=table.index
    )


def _finite(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None


def _length(metres: float) -> str:
    if metres >= 1000:
        return f"{metres / 1000:.3g} km"
    return f"{metres:.3g} m" if metres < 100 else f"{metres:.0f} m"


def _crs_name(crs: CRS) -> str:
    authority = crs.to_authority()
    return f"{crs.name} ({':'.join(authority)})" if authority else str(crs.name)
