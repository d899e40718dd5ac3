"""Detections against a register, or against the detections of another year: what changed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TypeAlias

import geopandas as gpd
import numpy as np

from geodetect.assessment.compare.change_layer import (
    NOT_LOOKED_AT,
    Pairs,
    Side,
    Words,
    change_table,
)
from geodetect.assessment.compare.parcels import ParcelCounts, count_by_parcel
from geodetect.assessment.matching.assignment import assign, near_pairs
from geodetect.assessment.searched_area import read_coverage
from geodetect.errors import GeodetectWarning, InputError
from geodetect.geo.geocentric import ground_points
from geodetect.geo.grid import ground_distances_m
from geodetect.io.labels.class_column import read_class_names
from geodetect.io.labels.label_set import LabelOptions
from geodetect.io.vector.features import PREDICTIONS, Role, box_centres, read_features, sure_enough
from geodetect.settings import CompareSettings
from geodetect.types import ObjectArray, PathLike

Table: TypeAlias = PathLike | gpd.GeoDataFrame

REGISTER = Words(
    Role("the register", "--register", "--register-crs"),
    found="new",
    gone="missing",
    prefix="register_",
)
EARLIER = Words(
    Role("the earlier detections", "--before", "--register-crs", ("detections",)),
    found="appeared",
    gone="gone",
    prefix="before_",
)
FAR_M = 1000.0  # layers further apart than this do not show the same ground
_ROUNDING_M = 1e-6  # so that a distance of exactly the tolerance counts


@dataclass(frozen=True)
class Comparison:
    """What changed.

    Args:
        changes: One row per feature; see ``change_table``. With parcels it also has ``parcel``,
            the one that its centre lies in.
        words: What is compared, and how to speak of it.
        statuses: The statuses there can be.
        by_class: Whether only features of one class could be the same object.
        parcels: Number of features by parcel; None without parcels.
    """

    changes: gpd.GeoDataFrame
    words: Words
    statuses: tuple[str, ...]
    by_class: bool = False
    parcels: ParcelCounts | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Number of features by status, in the order of ``statuses``."""
        found = self.changes["status"].value_counts()
        return {status: int(found.get(status, 0)) for status in self.statuses}


def compare(
    found: Table,
    register: Table | None = None,
    *,
    before: Table | None = None,
    parcels: Table | None = None,
    coverage: Table | None = None,
    settings: CompareSettings | None = None,
) -> Comparison:
    """Tell which features of two layers are the same object, and which only one layer has.

    Two features can be the same object if their centres are at most ``settings.tolerance`` apart
    on the ground: the centres of their bounding boxes in the CRS of the detections. Each feature
    is paired with at most one: so that the most pairs come about, and of all ways to do that the
    one with the least sum of distances. Multipolygons are one feature each, and polygons are taken
    as they are: holes and self-crossings do not change their boxes.

    Classes are compared, whatever their case, if both layers have a column of classes with a name
    in common; a feature without a class goes with any.

    Args:
        found: Detections: points or polygons.
        register: What should be there: points or polygons.
        before: Detections of an earlier time, instead of a register.
        parcels: Polygons into which features are counted by their centre.
        coverage: The ground that was looked at (see ``read_coverage``); what lies elsewhere in the
            register and is not found is "not looked at" instead of missing.
        settings: See ``CompareSettings``.

    Returns:
        What changed: a row for each feature in ``changes``, and the counts by status and parcel.

    Raises:
        InputError: Files that cannot be used, or not one of register and before.
    """
    settings = settings or CompareSettings()
    if (register is None) == (before is None):
        which = "neither" if register is None else "both"
        raise InputError(f"expected --register or --before, found {which}; name one file")
    words = EARLIER if register is None else REGISTER
    ours = _our_side(found, settings)
    theirs = _their_side(before if register is None else register, words, ours, settings)
    _say_if_far(ours, theirs, words)
    by_class = not settings.ignore_classes and _comparable(ours, theirs, words)
    unseen, statuses = np.zeros(len(theirs.table), dtype=bool), words.statuses
    if coverage is not None:
        unseen = ~read_coverage(coverage).holds(theirs.table)
        statuses = (*statuses, NOT_LOOKED_AT)
    pairs = _pairs(ours, theirs, settings.tolerance, by_class=by_class)
    changes = change_table(
        ours, theirs, pairs, moved_from=settings.moved_from, unseen=unseen, words=words
    )
    comparison = Comparison(changes, words, statuses, by_class)
    if parcels is None:
        return comparison
    numbered, counts = count_by_parcel(
        changes, parcels, statuses=statuses, parcel_id=settings.parcel_id
    )
    return replace(comparison, changes=numbered, parcels=counts)


def _our_side(found: Table, settings: CompareSettings) -> Side:
    table = read_features(found, PREDICTIONS, crs=settings.pred_crs)
    table = sure_enough(table, settings.conf, PREDICTIONS)
    return Side(table, box_centres(table), _names(table, PREDICTIONS))


def _their_side(source: Table | None, words: Words, ours: Side, settings: CompareSettings) -> Side:
    """The other layer, as far as the CRS of the detections reaches."""
    assert source is not None
    table = read_features(source, words.role, crs=settings.register_crs)
    places = box_centres(table, ours.table.crs)
    reached = np.asarray(np.isfinite(places).all(axis=1))
    if not reached.all():
        warnings.warn(
            f"{words.role.name}: {(~reached).sum():,} of {len(reached):,} rows lie where the CRS "
            f"of the detections is not defined; left out",
            GeodetectWarning,
            stacklevel=3,
        )
        table = table[reached].reset_index(drop=True)
    return Side(table, places[reached], _names(table, words.role, settings.class_field))


def _names(table: gpd.GeoDataFrame, role: Role, field: str | None = None) -> ObjectArray:
    """The class of each row, ``object[N]``; blank where there is none."""
    names = read_class_names(table, role.name, LabelOptions(class_field=field, default_class=""))
    return np.full(len(table), "", dtype=object) if names is None else names


def _say_if_far(ours: Side, theirs: Side, words: Words) -> None:
    """Warn if the extents of both layers are so far apart that something must be wrong."""
    if not (len(ours.places) and len(theirs.places)):
        return
    here, there = ((side.places.min(axis=0), side.places.max(axis=0)) for side in (ours, theirs))
    start = np.clip(np.clip(np.mean(here, axis=0), *there), *here)  # as near as they come
    ends = np.stack([start, np.clip(start, *there)])
    gap_m = float(ground_distances_m(ends[:1], ends[1:], ours.table.crs)[0])
    if gap_m > FAR_M:
        warnings.warn(
            f"{words.role.name} and the detections lie {gap_m / 1000:,.0f} km apart; check the "
            f"files, or name their CRS with --pred-crs and {words.role.crs_option}",
            GeodetectWarning,
            stacklevel=3,
        )


def _comparable(ours: Side, theirs: Side, words: Words) -> bool:
    """Whether classes can tell features apart: the layers have names in common.

    Raises:
        InputError: Both layers have several classes, but none in common.
    """
    mine, yours = ({name.lower() for name in s.names if name} for s in (ours, theirs))
    if min(len(mine), len(yours)) > 1 and not mine & yours:
        raise InputError(
            f"the detections ({', '.join(sorted(mine)[:5])}) and {words.role.name} "
            f"({', '.join(sorted(yours)[:5])}) have no class in common; name another column with "
            f"--class-field, or ignore classes with --ignore-classes"
        )
    return bool(mine & yours)


def _pairs(ours: Side, theirs: Side, tolerance_m: float, *, by_class: bool) -> Pairs:
    """Which features are the same object."""
    crs = ours.table.crs
    points = ground_points(ours.places, crs), ground_points(theirs.places, crs)
    rows, distances = near_pairs(*points, tolerance_m + _ROUNDING_M)
    if by_class:
        mine, yours = (
            np.array([name.lower() for name in side.names], dtype=object)[rows[:, column]]
            for column, side in enumerate((ours, theirs))
        )
        same = (mine == yours) | (mine == "") | (yours == "")
        rows, distances = rows[same], distances[same]
    chosen = assign(rows, distances)
    return Pairs(rows[chosen], distances[chosen], by_class)
