"""Detections counted by zone, with the number of objects that is to be expected there."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from geodetect.assessment.searched_area import own_coverage, read_coverage
from geodetect.assessment.spatial_join import places_in, with_valid_polygons
from geodetect.assessment.summarize.count_correction import ErrorRates, corrected_counts
from geodetect.errors import GeodetectWarning, InputError
from geodetect.geo.areas import ground_areas_m2
from geodetect.io.labels.class_column import read_class_names
from geodetect.io.labels.label_set import LabelOptions
from geodetect.io.vector.features import (
    PREDICTIONS,
    Role,
    box_centres,
    read_features,
    score_column,
    scores_of,
    sure_enough,
    without_collisions,
)
from geodetect.io.vector.qgis_style import graduated_qml
from geodetect.settings import SummarizeSettings
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray, PathLike

Table: TypeAlias = PathLike | gpd.GeoDataFrame
Columns = dict[str, Any]  # of a table, in order

ZONES = Role("the zones", "--zones", "--zones-crs", ("zones",), points=False)
LAYER = "zones"

ALL, PART, NOTHING, ASSUMED = "all", "part", "nothing", "assumed"
NEARLY_ALL = 0.995  # cells of the coverage are a 16th of a tile
SLIVER = 1e-6  # share of the smaller zone from which on two zones overlap
M2_PER_KM2 = 1e6


@dataclass(frozen=True)
class ZoneSummary:
    """Detections counted by zone.

    Args:
        zones: One row per zone; see ``summarize``.
        detections: How many detections were counted, wherever they lie.
        inside: How many of them lie in a zone.
        in_several: How many lie in several zones, and count in each.
        overlaps: Pairs of zones that overlap.
        corrected: Number of objects to be expected in all zones together, and the ends of its 95 %
            interval; None if it is not known how the detector errs.
        rates: How the detector errs.
        conf: Least score of the detections that were counted; None: all were.
    """

    zones: gpd.GeoDataFrame
    detections: int
    inside: int
    in_several: int
    overlaps: int
    corrected: tuple[float, float, float] | None
    rates: ErrorRates | None
    conf: float | None


def summarize(
    found: Table,
    zones: Table,
    *,
    coverage: Table | None = None,
    rates: ErrorRates | None = None,
    settings: SummarizeSettings | None = None,
) -> ZoneSummary:
    """Count detections by zone.

    A detection lies in a zone if the centre of its bounding box, in the CRS of the detections, is
    in or on it; where zones overlap it counts in each. Zones that cross themselves are repaired.

    Args:
        found: Detections: points or polygons.
        zones: Polygons.
        coverage: The ground that was looked at (see ``read_coverage``); None: what ``predict``
            wrote into the GeoPackage of the detections, else all of it.
        rates: Error rates of the detector (see ``geodetect.assessment.summarize.error_rates``);
            None: counts are not corrected.
        settings: See ``SummarizeSettings``.

    Returns:
        The zones with their own columns (``zone_`` before names that are taken), and

        - ``count`` Int64: detections; missing where nothing was looked at
        - ``density_per_km2`` float64: detections per square kilometre of ground looked at
        - ``object_area_m2`` float64: sum of their true areas; missing for points
        - ``mean_score`` float64: missing without scores
        - ``corrected_count`` float64, ``corrected_low``, ``corrected_high`` Int64: objects to be
          expected on the ground looked at, and the 95 % interval; with ``rates`` only
        - ``area_km2``, ``covered_km2`` float64: true area of the zone, and what of it was looked at
        - ``covered_share`` float64: their ratio
        - ``looked_at`` str: "all", "part", "nothing", or "assumed" where no coverage is known

    Raises:
        InputError: Files that cannot be used, or a class that is not there.
    """
    settings = settings or SummarizeSettings()
    coverage = own_coverage(found) if coverage is None else coverage
    table, conf = _counted(found, rates, settings)
    areas = with_valid_polygons(read_features(zones, ZONES, crs=settings.zones_crs), ZONES.name)
    polygons = np.asarray(areas.geometry.array, dtype=object)
    crs = areas.crs
    pairs = places_in(box_centres(table, crs), polygons)
    ground = _ground(polygons, crs, coverage)
    inside, times = np.unique(pairs[:, 0], return_counts=True)
    if not len(inside):
        _say_if_apart(table, areas)
    return ZoneSummary(
        _zone_table(areas, _figures(table, pairs, ground, rates=rates) | ground),
        detections=len(table),
        inside=len(inside),
        in_several=int((times > 1).sum()),
        overlaps=_overlapping_pairs(polygons),
        corrected=None if rates is None else _total(len(inside), rates),
        rates=rates,
        conf=conf,
    )


def zone_style(zones: gpd.GeoDataFrame) -> str:
    """How QGIS draws the layer: by density, in five classes with about as many zones each."""
    return graduated_qml("density_per_km2", zones["density_per_km2"].to_numpy())


def _counted(
    found: Table, rates: ErrorRates | None, settings: SummarizeSettings
) -> tuple[gpd.GeoDataFrame, float | None]:
    """The detections that count, and their least score."""
    table = read_features(found, PREDICTIONS, crs=settings.pred_crs)
    conf = settings.conf
    if conf is None and rates is not None and score_column(table) is not None:
        conf = rates.score_threshold
    table = sure_enough(table, conf, PREDICTIONS)
    if settings.classes is None:
        return table, conf
    names = read_class_names(table, PREDICTIONS.name, LabelOptions(default_class=""))
    present = np.full(len(table), "") if names is None else names
    unknown = [name for name in settings.classes if name not in set(present)]
    if unknown and len(table):
        raise InputError(
            f"--classes: the detections have no {unknown[0]!r}, only "
            f"{', '.join(sorted(set(present) - {''})) or 'detections without a class'}"
        )
    return table[np.isin(present.astype(str), settings.classes)].reset_index(drop=True), conf


def _ground(polygons: ObjectArray, crs: CRS, coverage: Table | None) -> Columns:
    """How large zones are, and how much of them was looked at."""
    area = ground_areas_m2(polygons, crs) / M2_PER_KM2
    covered, word = area, np.full(len(polygons), ASSUMED, dtype=object)
    share = np.ones(len(polygons))
    if coverage is not None:
        covered = _covered_m2(polygons, crs, coverage) / M2_PER_KM2
        share = np.clip(np.divide(covered, area, out=np.zeros_like(area), where=area > 0), 0, 1)
        word = np.where(share >= NEARLY_ALL, ALL, np.where(covered > 0, PART, NOTHING))
    return {
        "area_km2": np.round(area, 9),
        "covered_km2": np.round(covered, 9),
        "covered_share": np.round(share, 4),
        "looked_at": pd.Series(word, dtype=str),
    }


def _covered_m2(polygons: ObjectArray, crs: CRS, coverage: Table) -> FloatArray:
    """True area of each zone that was looked at."""
    seen = read_coverage(coverage).polygons_in(crs)
    tree = shapely.STRtree(polygons)
    covered = np.zeros(len(polygons))
    whole = np.unique(tree.query(seen, predicate="covers")[1])
    covered[whole] = ground_areas_m2(polygons[whole], crs)
    piece, zone = tree.query(seen, predicate="intersects")
    partly = ~np.isin(zone, whole)
    piece, zone = piece[partly], zone[partly]
    shared = ground_areas_m2(shapely.intersection(seen[piece], polygons[zone]), crs)
    return np.asarray(covered + np.bincount(zone, shared, minlength=len(polygons)))


def _figures(
    table: gpd.GeoDataFrame, pairs: IntArray, ground: Columns, *, rates: ErrorRates | None
) -> Columns:
    """What was found in each zone; where nothing was looked at and found, nothing is known."""
    rows, zone = pairs.T
    n_zones = len(ground["area_km2"])
    count = np.bincount(zone, minlength=n_zones)
    unknown = (ground["covered_km2"] <= 0) & (count == 0)
    columns: Columns = {
        "count": _whole(count, unknown),
        "density_per_km2": np.round(_ratio(count, ground["covered_km2"]), 3),
        "object_area_m2": np.where(unknown, np.nan, _areas(table, rows, zone, n_zones=n_zones)),
        "mean_score": _means(scores_of(table, PREDICTIONS)[rows], zone, n_zones),
    }
    if rates is None:
        return columns
    corrected = corrected_counts(count, rates)
    return columns | {
        "corrected_count": np.where(unknown, np.nan, np.round(corrected.estimate, 1)),
        "corrected_low": _whole(corrected.low, unknown),
        "corrected_high": _whole(corrected.high, unknown),
    }


def _areas(table: gpd.GeoDataFrame, rows: IntArray, zone: IntArray, *, n_zones: int) -> FloatArray:
    """Sum of the true areas of the detections in each zone; NaN for points."""
    geometry = np.asarray(table.geometry.array, dtype=object)
    if len(geometry) and (shapely.get_dimensions(geometry) < 2).all():
        return np.full(n_zones, np.nan)
    areas = ground_areas_m2(geometry, table.crs)
    return np.round(np.bincount(zone, areas[rows], minlength=n_zones), 1)


def _means(values: FloatArray, zone: IntArray, n_zones: int) -> FloatArray:
    """Mean of the numbers among the values of each zone; NaN without any."""
    known = np.isfinite(values)
    total = np.bincount(zone[known], values[known], minlength=n_zones)
    return np.round(_ratio(total, np.bincount(zone[known], minlength=n_zones)), 4)


def _ratio(part: FloatArray | IntArray, whole: FloatArray | IntArray) -> FloatArray:
    """Quotients, NaN where there is nothing to divide by."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=np.asarray(whole) > 0)


def _whole(numbers: FloatArray | IntArray, missing: BoolArray) -> pd.Series[int]:
    """Whole numbers with gaps."""
    return pd.Series(numbers.astype(np.int64), dtype="Int64").mask(pd.Series(missing))


def _say_if_apart(table: gpd.GeoDataFrame, areas: gpd.GeoDataFrame) -> None:
    """Warn if the extents of both layers are disjoint, so that nothing could be counted."""
    if not (len(table) and len(areas)):
        return
    places, zones = box_centres(table, areas.crs), areas.total_bounds
    low, high = np.nanmin(places, axis=0), np.nanmax(places, axis=0)
    if (low > zones[2:]).any() or (high < zones[:2]).any():
        warnings.warn(
            f"the zones and the {len(table):,} detections share no ground; check the files, or "
            f"name their CRS with --pred-crs and --zones-crs",
            GeodetectWarning,
            stacklevel=3,
        )


def _total(inside: int, rates: ErrorRates) -> tuple[float, float, float]:
    total = corrected_counts(np.array([inside]), rates)
    return float(total.estimate[0]), float(total.low[0]), float(total.high[0])


def _overlapping_pairs(polygons: ObjectArray) -> int:
    """How many pairs of zones share more than slivers along their borders."""
    a, b = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    a, b = a[a < b], b[a < b]
    shared = shapely.area(shapely.intersection(polygons[a], polygons[b]))
    smaller = np.minimum(shapely.area(polygons[a]), shapely.area(polygons[b]))
    return int((shared > SLIVER * smaller).sum())


def _zone_table(areas: gpd.GeoDataFrame, columns: Columns) -> gpd.GeoDataFrame:
    """The zones with their own columns first."""
    own = without_collisions(areas, set(columns), "zone_")
    table = pd.concat([pd.DataFrame(own.drop(columns="geometry")), pd.DataFrame(columns)], axis=1)
    return gpd.GeoDataFrame(table, geometry=areas.geometry.array)
