"""Detections counted by zone, with the number of objects to expect there."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from geodetect.assessment.change_statuses import without_prediction
from geodetect.assessment.layer_distance import measure_gap
from geodetect.assessment.matching.comparison_grid import crs_grid
from geodetect.assessment.searched_area import find_coverage
from geodetect.assessment.spatial_join import join_points, repair_table
from geodetect.assessment.summarize.count_correction import ErrorRates, corrected_counts
from geodetect.assessment.summarize.object_areas import AreaSum, ObjectAreas
from geodetect.assessment.summarize.zone_areas import (
    compute_zone_areas,
    count_overlapping_pairs,
)
from geodetect.assessment.summarize.zone_layers import (
    LAYER,
    OBJECT_AREA,
    ZONES,
    read_zones,
    refuse_same_layer,
    refuse_zones,
)
from geodetect.display import Displayed, Rows
from geodetect.errors import GeodetectWarning, InputError, list_names
from geodetect.io.inputs import protect_inputs, source_names
from geodetect.io.labels.class_column import read_class_names
from geodetect.io.labels.label_set import LabelOptions
from geodetect.io.vector.features import (
    box_centres,
    filter_by_score,
    find_score_column,
    prefix_collisions,
    read_scores,
)
from geodetect.io.vector.geojson import cut_at_antimeridian
from geodetect.io.vector.geopackage import Layer, write_layers
from geodetect.io.vector.qgis_style import graduated_qml
from geodetect.io.vector.read import PREDICTIONS, LayerSource, read_features
from geodetect.progress import phase
from geodetect.settings import SummarizeSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import SummarizeKeywords
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray, PathLike

Columns = dict[str, Any]  # of a table, in order

SCORE_MARGIN = 0.05  # between the thresholds of counts and of error rates
LEAST_SCORES = 50  # of which the lowest tells the threshold of a prediction


@dataclass(frozen=True, repr=False)
class ZoneSummary(Displayed):
    """Detections counted by zone.

    Args:
        zones: One row per zone; see ``summarize``.
        n_predictions: Number of detections that were counted, in zones or elsewhere.
        in_zones: Number of detections in a zone.
        in_several: Number of detections in several zones; they count in each.
        overlapping_pairs: Pairs of zones that overlap.
        object_area: Area of the detections in a zone together.
        corrected: Number of objects to expect in all zones together, and the ends of its 95 %
            interval; None without error rates.
        rates: Error rates of the detector.
        conf: Score threshold of the detections that were counted; None: all were.
        sources: Files that were read, which ``write`` never replaces.
    """

    zones: gpd.GeoDataFrame
    n_predictions: int
    in_zones: int
    in_several: int
    overlapping_pairs: int
    object_area: AreaSum
    corrected: tuple[float, float, float] | None
    rates: ErrorRates | None
    conf: float | None
    sources: tuple[str, ...] = ()

    def display_rows(self) -> Rows:
        """Return the counts of all zones together."""
        yield "Zones", f"{len(self.zones):,}, {self.zones['area_km2'].sum():,.3f} km²"
        least = "" if self.conf is None else f" with a score of at least {self.conf:g}"
        yield "Predictions", f"{self.n_predictions:,}{least}"
        yield "In a zone", f"{self.in_zones:,}"
        if not math.isnan(self.object_area.m2):
            yield "Their area", str(self.object_area)
        if self.corrected is not None and self.rates is not None:
            count, low, high = self.corrected
            yield "Objects expected", f"{count:,.0f} (95 %: {low:,.0f} to {high:,.0f})"
            rates = f"precision {self.rates.precision:.3f}, recall {self.rates.recall:.3f}"
            yield "Corrected by", rates
        searched = self.zones["searched"].value_counts()
        yield "Searched", list_names(f"{word}: {count:,}" for word, count in searched.items())
        if self.overlapping_pairs:
            yield "Overlaps", f"{self.overlapping_pairs:,} pairs of zones"

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for JSON; undefined values are None."""
        values: dict[str, Any] = {
            "zones": len(self.zones),
            "by_searched": {
                str(word): int(n) for word, n in self.zones["searched"].value_counts().items()
            },
            "predictions": self.n_predictions,
            "objects": self.in_zones,
            "in_several_zones": self.in_several,
            "overlapping_pairs": self.overlapping_pairs,
            "object_area_m2": _to_json(self.object_area.m2),
            "object_area_interval": None,
            "score_threshold": self.conf,
            "corrected": None,
            "by_zone": self.records(),
        }
        if not math.isnan(self.object_area.low_m2):
            values["object_area_interval"] = [self.object_area.low_m2, self.object_area.high_m2]
        if self.corrected is not None and self.rates is not None:
            estimate, low, high = self.corrected
            values["corrected"] = {
                "count": round(estimate, 1),
                "count_interval": [low, high],
                "precision": round(self.rates.precision, 6),
                "recall": round(self.rates.recall, 6),
                "dispersion": round(self.rates.dispersion, 4),
                "source": self.rates.source,
            }
        return values

    def records(self) -> list[dict[str, Any]]:
        """Return the columns of each zone for JSON, without its outline."""
        columns = self.zones.drop(columns=self.zones.geometry.name)
        return [
            {str(name): _to_json(value) for name, value in row.items()}
            for row in columns.to_dict("records")
        ]

    def layers(self) -> tuple[Layer, ...]:
        """Return the layer ``zones``; its QGIS style has five classes of density."""
        style = graduated_qml("density_per_km2", self.zones["density_per_km2"].to_numpy())
        return (Layer(LAYER, self.zones, style),)

    @phase("Writing the zones")
    def write(self, path: PathLike, *, crs: str | None = None, overwrite: bool = False) -> Path:
        """Write the zones to a vector file; a GeoPackage also holds their style.

        Args:
            path: The file; its suffix names the format.
            crs: CRS of the file; None: that of the zones.
            overwrite: Replace an existing file.

        Raises:
            InputError: The format is not known, or the CRS cannot be used.
            OutputError: The file exists or cannot be written.
        """
        with protect_inputs(self.sources):
            return write_layers(self.layers(), path, crs=crs, overwrite=overwrite)


@takes_settings(SummarizeSettings)
def summarize(
    predictions: LayerSource,
    zones: LayerSource,
    *,
    coverage: LayerSource | None = None,
    rates: ErrorRates | None = None,
    settings: SummarizeSettings | Mapping[str, Any] | None = None,
    **keywords: Unpack[SummarizeKeywords],
) -> ZoneSummary:
    """Count detections by zone.

    A detection lies in a zone if the centre of its bounding box, in the CRS of the zones, is
    in or on it; where zones overlap it counts in each. Zones that cross themselves are repaired.

    Args:
        predictions: Detections: points or polygons. Of changes that ``compare`` wrote, those with
            a detection count.
        zones: Polygons.
        coverage: Area that was searched (see ``read_searched_area``); None: the coverage that
            ``predict`` or ``compare`` wrote into the GeoPackage of the detections, else everything.
        rates: Error rates of the detector (see ``geodetect.assessment.summarize.error_rates``);
            None: counts are not corrected.
        settings: See ``SummarizeSettings``.
        keywords: Settings by name, such as ``conf=0.5``; they win over ``settings``.

    Returns:
        The zones with their columns (``zone_`` before names that are taken), and

        - ``count`` Int64: detections; missing where nothing was searched
        - ``density_per_km2`` float64: detections per square kilometre of searched ground
        - ``object_area_m2`` float64: sum of their true areas; missing for points
        - ``object_area_low_m2``, ``object_area_high_m2`` float64: the 95 % interval of this sum;
          only of detections with intervals
        - ``mean_score`` float64: missing without scores
        - ``corrected_count`` float64, ``corrected_low``, ``corrected_high`` Int64: objects to
          expect on the searched ground, and the 95 % interval; with ``rates`` only
        - ``area_km2``, ``covered_km2`` float64: true area of the zone, and of its searched part
        - ``covered_fraction`` float64: their ratio
        - ``searched`` str: "all", "part", "none", or "assumed" without a coverage

    Raises:
        InputError: Files that cannot be used, or a class that no detection has.
    """
    settings = SummarizeSettings.resolve(settings, keywords)
    refuse_same_layer(predictions, zones)
    coverage = find_coverage(predictions) if coverage is None else coverage
    table = read_features(predictions, PREDICTIONS, crs=settings.pred_crs)
    refuse_zones(table, settings.score_field)
    table = table[~without_prediction(table)].reset_index(drop=True)
    conf = settings.conf
    if conf is None and rates and find_score_column(table, settings.score_field) is not None:
        conf = rates.score_threshold
    table = filter_by_score(table, conf, settings.score_field)
    if rates is not None and find_score_column(table, settings.score_field) is not None:
        _warn_of_other_threshold(read_scores(table, settings.score_field), settings.conf, rates)
    if settings.classes is not None:
        table = _filter_by_class(table, settings.classes, settings.class_field)
    zone_table = repair_table(read_zones(zones, crs=settings.zones_crs), ZONES.name)
    polygons, crs = zone_table.geometry.to_numpy(), zone_table.crs
    centres = box_centres(table, crs)
    pairs = join_centres(centres, polygons, crs)
    if not len(pairs):
        extents = np.tile(centres, 2), shapely.bounds(polygons)
        gap_m, message = measure_gap(*extents, crs_grid(crs), (PREDICTIONS, ZONES))
        if gap_m > 0:
            warnings.warn(message, GeodetectWarning, stacklevel=2)
    areas = compute_zone_areas(polygons, crs, coverage)
    scores = read_scores(table, settings.score_field)
    object_areas = ObjectAreas.from_table(table)
    columns = _compute_count_columns(object_areas, scores, pairs, areas, rates=rates) | areas
    attributes = prefix_collisions(zone_table, columns, "zone_")
    inside, times = np.unique(pairs[:, 0], return_counts=True)
    corrected = None
    if rates is not None:
        total = corrected_counts(np.array([len(inside)]), rates)
        corrected = float(total.estimate[0]), float(total.low[0]), float(total.high[0])
    zone_columns = [*attributes.columns.drop("geometry"), *columns, "geometry"]
    return ZoneSummary(
        attributes.assign(**columns)[zone_columns],
        n_predictions=len(table),
        in_zones=len(inside),
        in_several=int((times > 1).sum()),
        overlapping_pairs=count_overlapping_pairs(polygons),
        object_area=object_areas.total(inside),
        corrected=corrected,
        rates=rates,
        conf=conf,
        sources=tuple(source_names([predictions, zones, coverage])),
    )


def _warn_of_other_threshold(scores: FloatArray, conf: float | None, rates: ErrorRates) -> None:
    """Warn of counts at another score threshold than that of the error rates.

    Args:
        scores: ``float64[N]`` of the predictions that count.
        conf: Score threshold that the user chose; None: they count as they are.
        rates: Error rates.
    """
    threshold, lowest = rates.score_threshold, conf
    if conf is None and len(scores) >= LEAST_SCORES:
        lowest = float(np.nanmin(scores))  # above the threshold, rows are missing in the file
    if threshold is None or lowest is None:
        return
    difference = lowest - threshold if conf is None else abs(lowest - threshold)
    if difference > SCORE_MARGIN:
        warnings.warn(
            f"the error rates of {rates.source} are those of scores from {threshold:.3g} on, but "
            f"the predictions that count begin at {lowest:.3g}, so that corrected counts are "
            f"wrong: count with `conf` {threshold:.3g}, predicted with this or less, or evaluate "
            f"with `conf` {lowest:.3g}",
            GeodetectWarning,
            stacklevel=3,
        )


@phase("Counting by zone")
def join_centres(centres: FloatArray, polygons: ObjectArray, crs: CRS) -> IntArray:
    """Return pairs of a centre and a zone around it, as ``join_points``.

    Longitudes of either may lie beyond 180 degrees, where zones cross the antimeridian.
    """
    if crs.is_geographic:
        turns = np.round(centres[:, 0] / 360) * (np.abs(centres[:, 0]) > 180)
        centres = centres - np.stack([360 * turns, np.zeros(len(turns))], axis=1)
        polygons = cut_at_antimeridian(polygons)
    return join_points(centres, polygons)


def _filter_by_class(
    table: gpd.GeoDataFrame, classes: tuple[str, ...], class_field: str | None
) -> gpd.GeoDataFrame:
    names = read_class_names(table, PREDICTIONS.name, LabelOptions(class_field, default_class=""))
    if names is None:
        names = np.full(len(table), "", dtype=object)
    absent = [name for name in classes if name not in set(names)]
    if absent and len(table):
        raise InputError(
            f"`classes`: the predictions have no {absent[0]!r}, only "
            f"{list_names(sorted(set(names) - {''})) or 'rows without a class'}"
        )
    return table[np.isin(names.astype(str), classes)].reset_index(drop=True)


def _compute_count_columns(
    object_areas: ObjectAreas,
    scores: FloatArray,
    pairs: IntArray,
    areas: Columns,
    *,
    rates: ErrorRates | None,
) -> Columns:
    """Return the counts of each zone; missing where nothing was searched and nothing detected."""
    rows, zone = pairs.T
    n_zones = len(areas["area_km2"])
    count = np.bincount(zone, minlength=n_zones)
    is_unknown = (areas["covered_km2"] <= 0) & (count == 0)
    area = object_areas.sums(rows, zone, n_zones=n_zones)
    area_limits = object_areas.sum_limits(rows, zone, n_zones=n_zones)
    has_score = np.isfinite(scores[rows])
    n_scores = np.bincount(zone[has_score], minlength=n_zones)
    total_score = np.bincount(zone[has_score], scores[rows][has_score], minlength=n_zones)
    columns: Columns = {
        "count": _to_nullable_integers(count, is_unknown),
        "density_per_km2": np.round(_divide(count, areas["covered_km2"]), 3),
        "object_area_m2": np.where(is_unknown, np.nan, area),
        "mean_score": np.round(_divide(total_score, n_scores), 4),
    }
    if area_limits is not None:
        for name, limits in zip(OBJECT_AREA[1:], area_limits.T, strict=True):
            columns[name] = np.where(is_unknown, np.nan, limits)
    if rates is None:
        return columns
    corrected = corrected_counts(count, rates)
    return columns | {
        "corrected_count": np.where(is_unknown, np.nan, np.round(corrected.estimate, 1)),
        "corrected_low": _to_nullable_integers(corrected.low, is_unknown),
        "corrected_high": _to_nullable_integers(corrected.high, is_unknown),
    }


def _divide(part: FloatArray | IntArray, whole: FloatArray | IntArray) -> FloatArray:
    """Return the ratio, NaN where ``whole`` is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=np.asarray(whole) > 0)


def _to_nullable_integers(numbers: FloatArray | IntArray, is_missing: BoolArray) -> pd.Series[int]:
    return pd.Series(numbers.astype(np.int64), dtype="Int64").mask(pd.Series(is_missing))


def _to_json(value: Any) -> Any:
    if not pd.api.types.is_scalar(value):  # a list of JSON or Parquet
        return str(value)
    if pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, bool | int | float | str) else str(value)
