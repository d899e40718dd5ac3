"""Comparison of predictions with a register, or with the predictions of another year."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import geopandas as gpd
import numpy as np
from pyproj import CRS

from geodetect.assessment.change_statuses import (
    EARLIER,
    NOT_SEARCHED,
    REGISTER,
    ReferenceKind,
)
from geodetect.assessment.compare.area_changes import AreaAgreement
from geodetect.assessment.compare.change_layer import (
    LAYER,
    ComparedLayer,
    FeaturePairs,
    change_style,
    change_table,
)
from geodetect.assessment.compare.parcels import ParcelCounts, count_by_parcel
from geodetect.assessment.layer_distance import FAR_M, measure_gap
from geodetect.assessment.matching.assignment import assign
from geodetect.assessment.matching.comparison_grid import crs_grid
from geodetect.assessment.matching.layer_offset import LayerOffset, estimate_offset
from geodetect.assessment.matching.near_pairs import near_pairs
from geodetect.assessment.matching.scatter import estimate_scatter
from geodetect.assessment.searched_area import find_coverage, read_searched_area, searched_layer
from geodetect.assessment.spatial_join import join_points
from geodetect.display import Displayed, Rows
from geodetect.errors import GeodetectWarning, InputError, list_names
from geodetect.geo.geodesic import cartesian_points_m
from geodetect.io.inputs import protect_inputs, source_names
from geodetect.io.labels.class_column import read_class_names
from geodetect.io.labels.label_set import LabelOptions
from geodetect.io.vector.features import box_centres, filter_by_score
from geodetect.io.vector.geopackage import Layer, write_layers
from geodetect.io.vector.read import PREDICTIONS, LayerRole, LayerSource, read_features
from geodetect.io.vector.write import format_of
from geodetect.progress import phase
from geodetect.settings import CompareSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import CompareKeywords
from geodetect.types import FloatArray, ObjectArray, PathLike

MATTERS = 0.5  # of the distance that confirms; a smaller offset moves few objects beyond it
CONFIRMED_FRACTION, PAIRED_FRACTION = 0.95, 0.98  # of the common objects that limits shall hold
WIDER = 2.0  # limits, beyond which neighbours would be paired
_ROUNDING_M = 1e-6  # so that a distance of exactly the limit counts


@dataclass(frozen=True, repr=False)
class Comparison(Displayed):
    """Changes between two layers.

    Args:
        changes: One row per feature; see ``change_table``. With parcels it also has ``parcel``,
            the parcel of its centre.
        kind: Kind of layer that the predictions were compared with.
        statuses: The statuses that are possible.
        by_class: Only features of one class could be paired.
        offset: Systematic offset of the layer that predictions were compared with; None: none is
            certain.
        aligned: The offset was taken out before features were paired.
        parcels: Number of features by parcel; None without parcels.
        searched: Area that was searched; None: it is not known.
        sources: Files that were read, which ``write`` never replaces.
    """

    changes: gpd.GeoDataFrame
    kind: ReferenceKind
    statuses: tuple[str, ...]
    by_class: bool = False
    offset: LayerOffset | None = None
    aligned: bool = False
    parcels: ParcelCounts | None = None
    searched: gpd.GeoSeries | None = None
    sources: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of features by status, in the order of ``statuses``."""
        counts = self.changes["status"].value_counts()
        return {status: int(counts.get(status, 0)) for status in self.statuses}

    def display_rows(self) -> Rows:
        """Return the counts by status, and how far pairs lie apart."""
        yield from ((status.capitalize(), f"{count:,}") for status, count in self.counts.items())
        distance = self.changes["distance_m"].dropna()
        if len(distance):
            median, most = distance.quantile(0.5), distance.quantile(0.95)
            yield "Distance of pairs", f"median {median:.2f} m, 95 % below {most:.2f} m"
        if (areas := AreaAgreement.from_changes(self.changes)) is not None:
            yield "Areas", str(areas)
        if self.offset is not None:
            state = "taken out" if self.aligned else "in the distances"
            yield "Offset", f"{self.kind.role.name} {self.offset}, {state}"
        yield "Classes", "compared" if self.by_class else "ignored"

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for JSON; undefined values are None."""
        distance = self.changes["distance_m"].dropna()
        areas = AreaAgreement.from_changes(self.changes)
        values: dict[str, Any] = {
            "objects": sum(self.counts[s] for s in (self.kind.added, "confirmed", "moved")),
            "counts": self.counts,
            "pairs": len(distance),
            "median_distance_m": round(float(distance.median()), 2) if len(distance) else None,
            "areas": areas and asdict(areas),
            "classes_compared": self.by_class,
            "offset": self.offset and self.offset.as_dict() | {"taken_out": self.aligned},
            "parcels": None,
            "outside_parcels": None,
            "in_several_parcels": None,
        }
        return values if self.parcels is None else values | self.parcels.as_dict()

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers ``changes`` and, with parcels, ``parcels``, styled for QGIS."""
        changes = Layer(LAYER, self.changes, change_style(self.changes, self.kind))
        return (changes,) if self.parcels is None else (changes, self.parcels.layer())

    @phase("Writing the layers")
    def write(self, path: PathLike, *, crs: str | None = None, overwrite: bool = False) -> Path:
        """Write the layers to a vector file; with parcels it must be a GeoPackage.

        A GeoPackage also gets the searched area as layer ``coverage``, where it is known.

        Args:
            path: The file; its suffix names the format.
            crs: CRS of the file; None: that of each layer.
            overwrite: Replace an existing file.

        Raises:
            InputError: The format holds one layer only, or the CRS cannot be used.
            OutputError: The file exists or cannot be written.
        """
        layers = self.layers()
        if self.searched is not None and format_of(Path(path)).name == "gpkg":
            layers += (searched_layer(self.searched),)
        with protect_inputs(self.sources):
            return write_layers(layers, path, crs=crs, overwrite=overwrite)


@takes_settings(CompareSettings)
def compare(
    predictions: LayerSource,
    register: LayerSource | None = None,
    *,
    before: LayerSource | None = None,
    parcels: LayerSource | None = None,
    coverage: LayerSource | None = None,
    settings: CompareSettings | Mapping[str, Any] | None = None,
    **keywords: Unpack[CompareKeywords],
) -> Comparison:
    """Find the features of two layers that are the same object, and those of one layer only.

    Two features can be the same object if their centres are at most ``settings.distance`` apart
    on the ground: the centres of their bounding boxes in the CRS of the predictions. Each feature
    is paired with at most one by optimal assignment: the most pairs, and of all ways to that
    number the one with the least sum of distances. With ``settings.align`` a systematic offset
    between the layers is taken out of these distances first; geometries stay as they are, and
    without it a ``GeodetectWarning`` names an offset that matters. Multipolygons are one feature
    each, and polygons are taken as they are: holes and self-crossings do not change their boxes.

    Classes are compared, whatever their case, if both layers have a column of classes with a name
    in common; a feature without a class can be paired with any.

    Args:
        predictions: Points or polygons.
        register: Objects that should exist: points or polygons.
        before: Predictions of an earlier time, instead of a register.
        parcels: Polygons into which features are counted by their centre.
        coverage: Area that was searched (see ``read_searched_area``); features of the register
            elsewhere are "not searched" instead of missing. None: the coverage that ``predict``
            wrote into the GeoPackage of the predictions, else everything.
        settings: See ``CompareSettings``.
        keywords: Settings by name, such as ``distance=8``; they win over ``settings``.

    Returns:
        A row for each feature in ``changes``, and the counts by status and parcel.

    Raises:
        InputError: Files that cannot be used, or not one of register and before.
    """
    settings = CompareSettings.resolve(settings, keywords)
    if (register is None) == (before is None):
        number = "neither" if register is None else "both"
        raise InputError(f"expected `register` or `before`, found {number}; name one file")
    kind, source = (EARLIER, before) if register is None else (REGISTER, register)
    assert source is not None
    table = read_features(predictions, PREDICTIONS, crs=settings.pred_crs)
    table = filter_by_score(table, settings.conf, settings.score_field)
    predicted = ComparedLayer(table, box_centres(table), _read_class_names(table, PREDICTIONS))
    reference = _read_reference(source, kind.role, table.crs, settings)
    extents = np.tile(predicted.centres, 2), np.tile(reference.centres, 2)
    gap_m, message = measure_gap(*extents, crs_grid(table.crs), (PREDICTIONS, kind.role))
    if gap_m > FAR_M:
        warnings.warn(message, GeodetectWarning, stacklevel=2)
    by_class = not settings.ignore_classes and _have_common_classes(predicted, reference, kind.role)
    is_searched, statuses = np.ones(len(reference.table), dtype=bool), kind.statuses
    searched = None
    if coverage is None:
        coverage = find_coverage(predictions)
    if coverage is not None:
        searched = read_searched_area(coverage)
        centres = box_centres(reference.table, searched.crs)
        inside = join_points(centres, searched.to_numpy())[:, 0]
        is_searched = np.isin(np.arange(len(centres)), inside)
        statuses = (*statuses, NOT_SEARCHED)
    points = [cartesian_points_m(layer.centres, table.crs) for layer in (predicted, reference)]
    offset = estimate_offset(*points)
    is_aligned = settings.align and offset is not None
    if offset is not None and settings.align:
        points[1] = offset.take_out(points[1])
    pair_features = partial(_pair_features, predicted, reference, points, by_class=by_class)
    pairs = pair_features(distance_m=settings.distance)
    if offset is not None and not is_aligned:
        _warn_of_offset(offset, pairs, kind.role, settings)
    else:
        _warn_of_scatter(pairs, pair_features, points[0], kind, settings)
    changes = change_table(
        predicted,
        reference,
        pairs,
        kind=kind,
        is_searched=is_searched,
        settings=settings,
    )
    sources = tuple(source_names([predictions, register, before, parcels, coverage]))
    comparison = Comparison(
        changes,
        kind,
        statuses,
        by_class,
        offset=offset,
        aligned=is_aligned,
        searched=searched,
        sources=sources,
    )
    if parcels is None:
        return comparison
    numbered, counts = count_by_parcel(
        changes, parcels, statuses=statuses, parcel_field=settings.parcel_field
    )
    return replace(comparison, changes=numbered, parcels=counts)


def _read_reference(
    source: LayerSource, role: LayerRole, crs: CRS, settings: CompareSettings
) -> ComparedLayer:
    """Read the other layer, without rows that the CRS of the predictions does not reach."""
    table = read_features(source, role, crs=settings.register_crs)
    centres = box_centres(table, crs)
    is_reached = np.asarray(np.isfinite(centres).all(axis=1))
    if not is_reached.all():
        warnings.warn(
            f"{role.name}: {(~is_reached).sum():,} of {len(is_reached):,} rows lie where the CRS "
            f"of the predictions is not defined; left out",
            GeodetectWarning,
            stacklevel=3,
        )
        table = table[is_reached].reset_index(drop=True)
    names = _read_class_names(table, role, settings.class_field)
    return ComparedLayer(table, centres[is_reached], names)


def _read_class_names(
    table: gpd.GeoDataFrame, role: LayerRole, class_field: str | None = None
) -> ObjectArray:
    """Return the class of each row, ``object[N]``; blank where there is none."""
    names = read_class_names(table, role.name, LabelOptions(class_field, default_class=""))
    return np.full(len(table), "", dtype=object) if names is None else names


def _have_common_classes(
    predicted: ComparedLayer, reference: ComparedLayer, role: LayerRole
) -> bool:
    """Return True if the layers have names of classes in common.

    Raises:
        InputError: Both layers have several classes, but none in common.
    """
    names, reference_names = (
        {name.lower() for name in layer.class_names if name} for layer in (predicted, reference)
    )
    if min(len(names), len(reference_names)) > 1 and not names & reference_names:
        raise InputError(
            f"the predictions ({list_names(sorted(names))}) and {role.name} "
            f"({list_names(sorted(reference_names))}) have no class in common; name another "
            f"column with `class_field`, or ignore classes with `ignore_classes`"
        )
    return bool(names & reference_names)


def _warn_of_offset(
    offset: LayerOffset, pairs: FeaturePairs, role: LayerRole, settings: CompareSettings
) -> None:
    """Warn of an offset because of which many objects are not confirmed."""
    limit_m = min(settings.moved_from, settings.distance)
    if offset.distance_m < MATTERS * limit_m or offset.most_m <= limit_m:
        return
    confirmed = int((pairs.distances_m < settings.moved_from).sum())
    affected = max(offset.pairs - confirmed, 0)
    least_m = math.ceil(offset.most_m)
    enough_m = least_m + (least_m + 1 <= settings.distance)  # with a margin, if it is to be had
    advice = "take the offset out with `align`"
    if enough_m <= settings.distance:
        advice += f", or try `moved_from` {enough_m}"
    elif enough_m <= WIDER * settings.distance:
        advice += f", or try `distance` {enough_m} with `moved_from` {enough_m}"
    warnings.warn(
        f"{role.name} {'lie' if role.name.endswith('s') else 'lies'} about {offset} of the "
        f"predictions, so {affected:,} of {offset.pairs:,} common objects are not confirmed: "
        f"{advice}",
        GeodetectWarning,
        stacklevel=3,
    )


def _warn_of_scatter(
    pairs: FeaturePairs,
    pair_features: Callable[..., FeaturePairs],
    points: FloatArray,
    kind: ReferenceKind,
    settings: CompareSettings,
) -> None:
    """Warn of positions that scatter so much that many common objects are not paired.

    Pairs up to the limit tell that it cuts many off, those up to a wider limit how many.
    """
    scatter = estimate_scatter(pairs.distances_m, settings.distance, points)
    if scatter is None or not scatter.cuts_much_off(settings.distance):
        return
    wider_m = WIDER * settings.distance
    scatter = estimate_scatter(pair_features(distance_m=wider_m).distances_m, wider_m, points)
    if scatter is None or not scatter.cuts_much_off(settings.distance):
        return
    confirmed_m, paired_m = (
        math.ceil(min(scatter.radius_m(fraction), wider_m))
        for fraction in (CONFIRMED_FRACTION, PAIRED_FRACTION)
    )
    cut_off = scatter.cut_off(settings.distance)
    warnings.warn(
        f"positions differ from those of {kind.role.name} by about {scatter.deviation_m:.1f} m in "
        f"each direction, so about {cut_off:.0%} of the common objects lie more than "
        f"{settings.distance:g} m apart and count as {kind.added} and {kind.removed}: try "
        f"`distance` {paired_m} with `moved_from` {confirmed_m}",
        GeodetectWarning,
        stacklevel=3,
    )


@phase("Pairing objects")
def _pair_features(
    predicted: ComparedLayer,
    reference: ComparedLayer,
    layer_points: Sequence[FloatArray],
    *,
    distance_m: float,
    by_class: bool,
) -> FeaturePairs:
    """Pair the features that are the same object, by the Cartesian points of their centres.

    Of several optimal assignments the one that is chosen depends on the order of points. So they
    are put into the order of their coordinates first: the order of rows changes nothing.
    """
    orders, points = [], []
    for layer, coordinates in zip((predicted, reference), layer_points, strict=True):
        names = np.unique(layer.class_names.astype(str), return_inverse=True)[1]
        orders.append(np.lexsort((names, *layer.centres.T)))
        points.append(coordinates[orders[-1]])
    pairs, distances = near_pairs(
        points[0], points[1], distance_m + _ROUNDING_M, parameter="distance"
    )
    rows = np.stack([order[column] for order, column in zip(orders, pairs.T, strict=True)], axis=1)
    if by_class:
        names, reference_names = (
            np.array([name.lower() for name in layer.class_names], dtype=object)[rows[:, column]]
            for column, layer in enumerate((predicted, reference))
        )
        is_same = (names == reference_names) | (names == "") | (reference_names == "")
        pairs, rows, distances = pairs[is_same], rows[is_same], distances[is_same]
    assigned = assign(pairs, distances)
    return FeaturePairs(rows[assigned], distances[assigned], by_class)
