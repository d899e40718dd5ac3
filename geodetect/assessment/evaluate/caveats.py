"""What the user should know of an evaluation before believing its figures."""

from __future__ import annotations

import numpy as np

from geodetect.assessment.evaluate.metrics import DetectionMetrics
from geodetect.assessment.matching.alignment import Side
from geodetect.assessment.matching.class_matching import NO_NAMES, Pairing
from geodetect.types import ObjectArray

MANY_BEYOND = 0.1  # share of detections outside the extent of the truth that is worth a note


def notes_on(
    pairing: Pairing, metrics: DetectionMetrics, *, gap_m: float, is_scored: bool
) -> tuple[str, ...]:
    """Sentences on what limits the meaning of figures.

    Args:
        pairing: What was compared.
        metrics: The figures.
        gap_m: How far apart the extents of the two layers are.
        is_scored: Whether the detections have scores.
    """
    notes = [] if is_scored else ["the predictions have no scores: all are taken as equally sure"]
    found, wanted = pairing.sides.predicted, pairing.sides.truth
    notes += [f"there are no {what}" for what, side in _sides(pairing) if len(side) == 0]
    ours, theirs = _said(found.names), _said(wanted.names)
    if not pairing.by_class and ours and theirs and ours != theirs:
        notes.append(
            f"classes are not compared: predictions have {', '.join(sorted(ours))}, "
            f"the truth has {', '.join(sorted(theirs))}"
        )
    if gap_m > 0:
        notes.append(
            f"the predictions and the truth share no ground: they are {gap_m:,.0f} m apart"
        )
    elif len(found) and len(wanted):
        notes += _of_places(pairing, metrics)
    left_out = int((~metrics.truth_inside).sum())
    if left_out:
        notes.append(
            f"{left_out:,} of {len(metrics.truth_inside):,} objects do not count: they lie outside "
            f"the area or the imagery, or have no extent"
        )
    return tuple(notes)


def _sides(pairing: Pairing) -> tuple[tuple[str, Side], ...]:
    return ("detections", pairing.sides.predicted), ("objects", pairing.sides.truth)


def _said(names: ObjectArray) -> set[str]:
    """The classes a layer names."""
    return {name.lower() for name in names} - set(NO_NAMES)


def _of_places(pairing: Pairing, metrics: DetectionMetrics) -> list[str]:
    """Detections where there is no truth, or near to it but never on it."""
    sides = pairing.sides
    sure = sides.predicted.scores >= metrics.score_threshold
    low, high = sides.truth.boxes[:, :2].min(axis=0), sides.truth.boxes[:, 2:].max(axis=0)
    centres = sides.predicted.centres[sure]
    beyond = int(((centres < low) | (centres > high)).any(axis=1).sum())
    notes = []
    if beyond > MANY_BEYOND * len(centres):
        notes.append(
            f"{beyond:,} of {len(centres):,} detections lie outside the extent of the truth; if it "
            f"is not known there, limit the comparison with --area"
        )
    if not pairing.pooled.chosen.correct.any() and sides.grid.crs is not None:
        from scipy.spatial import KDTree

        found, wanted = sides.ground_centres()
        distance = float(np.median(KDTree(found).query(wanted)[0]))
        notes.append(
            f"no detection matches any object; the one nearest to an object is {distance:,.1f} m "
            f"away (median)"
        )
    return notes
