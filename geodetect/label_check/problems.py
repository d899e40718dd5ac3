"""Labels that are probably wrong, each with the reason, as features for a map."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import densified
from geodetect.geo.crs import WGS84
from geodetect.geo.reproject import reproject_each
from geodetect.io.labels.label_set import ImageLabels, LabelSet, MapLabels, RowDefect
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.vector.geopackage import Layer, write_layers
from geodetect.io.vector.qgis_style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    YELLOW,
    Symbol,
    categorised_qml,
)
from geodetect.label_check.coverage import EmptyBlock
from geodetect.types import ObjectArray

DUPLICATE_IOU = 0.9
LEAST_VISIBLE = 0.3  # of a box; training ignores objects of which less is seen
ODD_RATIO = 10.0  # of the long side to the median of its class
LEAST_FOR_MEDIAN = 10  # objects of a class; of fewer, nothing is odd
LAYER = "problems"
COLOURS = {
    "off the imagery": VERMILLION,
    "cut by the edge of the imagery": YELLOW,
    "on nodata": ORANGE,
    "duplicate": PURPLE,
    "duplicate of another class": BLUE,
    "much larger than its class": GREEN,
    "much smaller than its class": GREEN,
    "crosses itself": SKY_BLUE,
    "no area": SKY_BLUE,
    "no label near": GREY,
}
COLUMNS = ("reason", "detail", "class", "source", "row", "raster")


@dataclass(frozen=True)
class Problem:
    """One label, and what seems wrong with it.

    Args:
        reason: What, in few words.
        number: Number of the label in the ``LabelSet``.
        detail: More, for people.
    """

    reason: str
    number: int
    detail: str = ""


def off_imagery(labels: LabelSet, sheets: Sequence[LabelledRaster]) -> list[Problem]:
    """Labels that no raster shows, and those of which the best one shows too little."""
    visible = np.zeros(len(labels))
    for sheet in sheets:
        np.maximum.at(visible, sheet.ids, sheet.visible_fraction)
    off = [Problem("off the imagery", int(n)) for n in np.flatnonzero(visible <= 0)]
    cut = np.flatnonzero((visible > 0) & (visible < LEAST_VISIBLE))
    return off + [
        Problem("cut by the edge of the imagery", int(n), f"{visible[n]:.0%} of it is visible")
        for n in cut
    ]


def duplicates(labels: LabelSet, sheets: Sequence[LabelledRaster]) -> list[Problem]:
    """The later ones of labels that lie on each other, with an IoU above 0.9 of their boxes."""
    found: dict[int, Problem] = {}
    for sheet in sheets:
        pairs = box_ops.overlap_pairs(sheet.boxes, sheet.boxes)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        same = box_ops.iou(sheet.boxes[pairs[:, 0]], sheet.boxes[pairs[:, 1]]) > DUPLICATE_IOU
        for first, second in np.sort(sheet.ids[pairs[same]], axis=1).tolist():
            found.setdefault(second, _duplicate(labels, first, second))
    return [found[number] for number in sorted(found)]


def _duplicate(labels: LabelSet, first: int, second: int) -> Problem:
    source, position = labels.locate(first)
    row = int(source.rows[position])
    detail = f"lies on row {row} of {Path(source.source).name}, class {labels.names[first]}"
    same = labels.names[first] == labels.names[second]
    return Problem("duplicate" if same else "duplicate of another class", second, detail)


def odd_sizes(sheets: Sequence[LabelledRaster]) -> list[Problem]:
    """Labels more than ten times as long, or less than a tenth, as is usual in their class."""
    sides: dict[str, dict[int, float]] = defaultdict(dict)
    for sheet in sheets:
        longest = sheet.sizes_m.max(axis=1).tolist()
        for name, number, side in zip(sheet.class_names, sheet.ids.tolist(), longest, strict=True):
            sides[name][number] = side
    found = []
    for name, by_number in sides.items():
        usual = float(np.median(list(by_number.values())))
        if len(by_number) < LEAST_FOR_MEDIAN:
            continue
        for number, side in by_number.items():
            detail = f"{side:.3g} m long; usual for {name} are {usual:.3g} m"
            if side > ODD_RATIO * usual:
                found.append(Problem("much larger than its class", number, detail))
            elif side * ODD_RATIO < usual:
                found.append(Problem("much smaller than its class", number, detail))
    return found


def problem_table(
    problems: Iterable[Problem],
    labels: LabelSet,
    sheets: Sequence[LabelledRaster],
    *,
    blocks: Iterable[EmptyBlock] = (),
) -> gpd.GeoDataFrame:
    """Problems as features on WGS 84.

    Args:
        problems: Labels with reasons.
        labels: All labels; rows of the files that gave no object are added.
        sheets: Rasters with their labels.
        blocks: Ground without labels, added as ``no label near``.

    Returns:
        Columns ``reason, detail, class, source`` (file name), ``row`` (counted from 0),
        ``raster`` and ``geometry``; the geometry is missing where there is none, or it has no
        place on WGS 84.
    """
    where = _places(sheets)
    rows = [
        *(_of_fault(fault, source) for source in labels.sources for fault in source.defects),
        *(_of_label(problem, labels, where) for problem in problems),
        *(_of_block(block) for block in blocks),
    ]  # fmt: skip
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    geometries = _on_wgs84([(row["geometry"], row["crs"]) for row in rows])
    table = gpd.GeoDataFrame(pd.DataFrame(columns), geometry=geometries, crs=WGS84)
    table["row"] = table["row"].astype("Int64")
    return table


def write_problems(
    problems: gpd.GeoDataFrame, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write problems as a map layer; in a GeoPackage QGIS draws each reason in its colour.

    Args:
        problems: A table of ``problem_table``.
        path: The file; its suffix chooses the format.
        overwrite: Replace the file if it exists.

    Raises:
        InputError: An unknown format.
        OutputError: The file exists, or it cannot be written.
    """
    reasons = set(problems["reason"])
    symbols = {name: Symbol(colour) for name, colour in COLOURS.items() if name in reasons}
    layer = Layer(LAYER, problems, categorised_qml("reason", symbols))
    return write_layers([layer], path, overwrite=overwrite)


def _places(sheets: Sequence[LabelledRaster]) -> dict[int, tuple[LabelledRaster, int]]:
    """The first raster each label lies on, and its row there."""
    places: dict[int, tuple[LabelledRaster, int]] = {}
    for sheet in sheets:
        for row, number in enumerate(sheet.ids.tolist()):
            places.setdefault(number, (sheet, row))
    return places


def _of_label(
    problem: Problem, labels: LabelSet, where: dict[int, tuple[LabelledRaster, int]]
) -> dict[str, Any]:
    source, position = labels.locate(problem.number)
    geometry, crs, raster = None, None, ""
    if problem.number in where:
        sheet, row = where[problem.number]
        raster, crs = sheet.raster.name, sheet.grid.crs
        geometry = shapely.polygons(sheet.grid.boxes_to_map(sheet.boxes[row : row + 1]))[0]
    if isinstance(source, MapLabels):
        geometry, crs = source.geometries[position], source.crs
    return {
        "reason": problem.reason,
        "detail": problem.detail,
        "class": str(labels.names[problem.number]),
        "source": Path(source.source).name,
        "row": int(source.rows[position]),
        "raster": raster,
        "geometry": geometry,
        "crs": crs,
    }


def _of_fault(fault: RowDefect, source: MapLabels | ImageLabels) -> dict[str, Any]:
    named = {"reason": fault.reason, "detail": "", "class": "", "source": Path(source.source).name}
    crs = source.crs if isinstance(source, MapLabels) else None
    return named | {"row": fault.row, "raster": "", "geometry": fault.geometry, "crs": crs}


def _of_block(block: EmptyBlock) -> dict[str, Any]:
    detail = f"{block.area_km2:.3g} km² of imagery without a label"
    named = {"reason": "no label near", "detail": detail, "class": "", "source": ""}
    outline = shapely.transform(block.outline, block.grid.to_map)
    return named | {
        "row": None, "raster": block.raster, "geometry": outline, "crs": block.grid.crs
    }  # fmt: skip


def _on_wgs84(placed: Sequence[tuple[shapely.Geometry | None, CRS | None]]) -> ObjectArray:
    """Geometries of several CRS on WGS 84; None where they have no place there."""
    moved = np.full(len(placed), None, object)
    by_crs: dict[CRS, list[int]] = defaultdict(list)
    for row, (shape, crs) in enumerate(placed):
        if crs is not None and shape is not None:
            by_crs[crs].append(row)
    for crs, rows in by_crs.items():
        shapes = np.array([placed[i][0] for i in rows], dtype=object)
        moved[rows] = reproject_each(densified(shapes, crs), crs, WGS84)
    return moved
