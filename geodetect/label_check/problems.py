"""Labels that are probably wrong, each with the reason, as a vector layer."""

from __future__ import annotations

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
from geodetect.geo.crs import WGS84
from geodetect.geo.reproject import densify, reproject_or_none
from geodetect.io.labels.label_set import NO_AREA, SELF_INTERSECTION, LabelSet, MapLabels
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.vector import qgis_style
from geodetect.io.vector.geopackage import Layer, write_layers
from geodetect.label_check.coverage import UnlabelledArea
from geodetect.redaction import redact
from geodetect.types import PathLike

DUPLICATE_IOU = 0.9
LEAST_VISIBLE = 0.3  # fraction of a box; training ignores objects of which less is visible
SIZE_RATIO = 10.0  # long side to the median of its class
LEAST_FOR_MEDIAN = 10  # objects of a class; with fewer, no size is unusual
LAYER = "problems"
OFF_IMAGERY, CUT, ON_NODATA = "off the imagery", "cut by the edge of the imagery", "on nodata"
DUPLICATE, OTHER_CLASS = "duplicate", "duplicate of another class"
LARGER, SMALLER = "much larger than its class", "much smaller than its class"
SUB_PIXEL = "narrower than a pixel"
UNLABELLED = "no label near"
COLOURS = {
    OFF_IMAGERY: qgis_style.VERMILLION,
    CUT: qgis_style.YELLOW,
    ON_NODATA: qgis_style.ORANGE,
    DUPLICATE: qgis_style.PURPLE,
    OTHER_CLASS: qgis_style.BLUE,
    LARGER: qgis_style.GREEN,
    SMALLER: qgis_style.GREEN,
    SUB_PIXEL: qgis_style.GREEN,
    SELF_INTERSECTION: qgis_style.SKY_BLUE,
    NO_AREA: qgis_style.SKY_BLUE,
    UNLABELLED: qgis_style.GREY,
}
COLUMNS = ("reason", "detail", "class", "source", "row", "raster")


@dataclass(frozen=True)
class Problem:
    """Problem of one label.

    Args:
        reason: One of the keys of ``COLOURS``.
        label_id: Id of the label in the ``LabelSet``.
        detail: Figures, in words.
    """

    reason: str
    label_id: int
    detail: str = ""


def find_off_imagery(labels: LabelSet, rasters: Sequence[LabelledRaster]) -> list[Problem]:
    """Find labels on no raster, and those mostly beyond the edge of every raster."""
    visible = np.zeros(len(labels))
    for labelled in rasters:
        np.maximum.at(visible, labelled.ids, labelled.visible_fraction)
    off = [Problem(OFF_IMAGERY, int(i)) for i in np.flatnonzero(visible <= 0)]
    cut = np.flatnonzero((visible > 0) & (visible < LEAST_VISIBLE))
    return off + [Problem(CUT, int(i), f"{visible[i]:.0%} of it is visible") for i in cut]


def find_duplicates(labels: LabelSet, rasters: Sequence[LabelledRaster]) -> list[Problem]:
    """Find labels that overlap an earlier one with an IoU above ``DUPLICATE_IOU``."""
    problems: dict[int, Problem] = {}
    for labelled in rasters:
        pairs = box_ops.overlap_pairs(labelled.boxes, labelled.boxes)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        iou = box_ops.iou(labelled.boxes[pairs[:, 0]], labelled.boxes[pairs[:, 1]])
        for first, second in np.sort(labelled.ids[pairs[iou > DUPLICATE_IOU]], axis=1).tolist():
            source, position = labels.locate(first)
            row, name = int(source.rows[position]), Path(redact(source.source)).name
            detail = f"lies on row {row} of {name}, class {labels.names[first]}"
            same_class = labels.names[first] == labels.names[second]
            problem = Problem(DUPLICATE if same_class else OTHER_CLASS, second, detail)
            problems.setdefault(second, problem)
    return [problems[label_id] for label_id in sorted(problems)]


def find_unusual_sizes(rasters: Sequence[LabelledRaster]) -> list[Problem]:
    """Find labels more than ten times as long, or less than a tenth, as usual in their class."""
    lengths_m: dict[str, dict[int, float]] = defaultdict(dict)
    for labelled in rasters:
        longest = labelled.sizes_m.max(axis=1).tolist()
        for name, i, length in zip(
            labelled.class_names, labelled.ids.tolist(), longest, strict=True
        ):
            lengths_m[name][i] = length
    problems = []
    for name, by_id in lengths_m.items():
        if len(by_id) < LEAST_FOR_MEDIAN:
            continue
        median = float(np.median(list(by_id.values())))
        for label_id, length in by_id.items():
            detail = f"{length:.3g} m long; usual for {name} are {median:.3g} m"
            if length > SIZE_RATIO * median:
                problems.append(Problem(LARGER, label_id, detail))
            elif length * SIZE_RATIO < median:
                problems.append(Problem(SMALLER, label_id, detail))
    return problems


def find_sub_pixel(rasters: Sequence[LabelledRaster]) -> list[Problem]:
    """Find labels that are narrower than a pixel of every raster that shows them."""
    widest: dict[int, float] = defaultdict(float)
    for labelled in rasters:
        sides = (labelled.boxes[:, 2:] - labelled.boxes[:, :2]).min(axis=1)
        for label_id, side in zip(labelled.ids.tolist(), sides.tolist(), strict=True):
            widest[label_id] = max(widest[label_id], side)
    return [
        Problem(SUB_PIXEL, label_id, f"{side:.2g} px wide")
        for label_id, side in sorted(widest.items())
        if side < 1
    ]


def problem_table(
    problems: Iterable[Problem],
    labels: LabelSet,
    rasters: Sequence[LabelledRaster],
    *,
    areas: Iterable[UnlabelledArea] = (),
) -> gpd.GeoDataFrame:
    """Return problems as features on WGS 84.

    Args:
        problems: Problems of labels.
        labels: All labels; defective rows of their files are added.
        rasters: Rasters with their labels.
        areas: Areas without labels, added as ``no label near``.

    Returns:
        Columns ``reason, detail, class, source`` (file name), ``row`` (counted from 0),
        ``raster`` and ``geometry``; the geometry is missing where there is none, or it cannot be
        projected to WGS 84.
    """
    on_raster: dict[int, tuple[LabelledRaster, int]] = {}  # first raster of a label, row on it
    for labelled in rasters:
        for row, label_id in enumerate(labelled.ids.tolist()):
            on_raster.setdefault(label_id, (labelled, row))
    rows: list[dict[str, Any]] = [
        {
            "reason": defect.reason,
            "source": Path(redact(source.source)).name,
            "row": defect.row,
            "geometry": defect.geometry,
            "crs": getattr(source, "crs", None),  # image data sets have none
        }
        for source in labels.sources
        for defect in source.defects
    ]
    rows += [_describe_problem(p, labels, on_raster.get(p.label_id)) for p in problems]
    rows += [
        {
            "reason": UNLABELLED,
            "detail": f"{area.area_km2:.3g} km² of imagery without a label",
            "row": None,
            "raster": area.raster,
            "geometry": shapely.transform(area.outline, area.grid.to_map),
            "crs": area.grid.crs,
        }
        for area in areas
    ]
    table = pd.DataFrame({name: [row.get(name, "") for row in rows] for name in COLUMNS})
    table["row"] = table["row"].astype("Int64")
    geometries = np.full(len(rows), None, object)
    by_crs: dict[CRS, list[int]] = defaultdict(list)
    for position, feature in enumerate(rows):
        if feature["crs"] is not None and feature["geometry"] is not None:
            by_crs[feature["crs"]].append(position)
    for crs, positions in by_crs.items():
        shapes = np.array([rows[position]["geometry"] for position in positions], dtype=object)
        geometries[positions] = reproject_or_none(densify(shapes, crs), crs, WGS84)
    return gpd.GeoDataFrame(table, geometry=geometries, crs=WGS84)


def write_problems(problems: gpd.GeoDataFrame, path: PathLike, *, overwrite: bool = False) -> Path:
    """Write problems as a vector layer; in a GeoPackage QGIS draws each reason in its colour.

    Args:
        problems: A table of ``problem_table``.
        path: The file; its suffix chooses the format.
        overwrite: Replace the file if it exists.

    Raises:
        InputError: An unknown format.
        OutputError: The file exists, or it cannot be written.
    """
    reasons = [reason for reason in COLOURS if reason in set(problems["reason"])]
    symbols = {reason: qgis_style.Symbol(COLOURS[reason]) for reason in reasons}
    layer = Layer(LAYER, problems, qgis_style.categorised_qml("reason", symbols))
    return write_layers([layer], path, overwrite=overwrite)


def _describe_problem(
    problem: Problem, labels: LabelSet, on_raster: tuple[LabelledRaster, int] | None
) -> dict[str, Any]:
    source, position = labels.locate(problem.label_id)
    geometry, crs, raster = None, None, ""
    if on_raster is not None:
        labelled, row = on_raster
        raster, crs = labelled.raster.name, labelled.grid.crs
        geometry = shapely.polygons(labelled.grid.boxes_to_map(labelled.boxes[row : row + 1]))[0]
    if isinstance(source, MapLabels):
        geometry, crs = source.geometries[position], source.crs
    return {
        "reason": problem.reason,
        "detail": problem.detail,
        "class": str(labels.names[problem.label_id]),
        "source": Path(redact(source.source)).name,
        "row": int(source.rows[position]),
        "raster": raster,
        "geometry": geometry,
        "crs": crs,
    }
