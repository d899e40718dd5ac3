"""Which detection shows which object, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geodetect.assessment.matching.alignment import NO_CLASS, Side, Sides
from geodetect.assessment.matching.greedy_matching import Matches, match_boxes_at, match_points
from geodetect.errors import LabelError
from geodetect.io.labels.label_set import DEFAULT_CLASS
from geodetect.types import IntArray, ObjectArray

Groups = dict[str, tuple[IntArray, IntArray]]

NO_NAMES = (NO_CLASS, DEFAULT_CLASS)  # of layers that state no class
COCO_IOUS = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))


@dataclass(frozen=True)
class Criterion:
    """When a detection can show an object.

    Args:
        iou: Least IoU of their boxes, unless there is a distance.
        distance_m: Greatest distance of their centres on the ground.
    """

    iou: float = 0.5
    distance_m: float | None = None


@dataclass(frozen=True)
class ClassPairing:
    """The matches of one class.

    Args:
        name: Name of the class.
        predicted: ``int64[N]`` its detections, as positions in ``Sides.predicted``.
        truth: ``int64[M]`` its objects, as positions in ``Sides.truth``.
        chosen: Matches by the criterion asked for, between positions in these two.
        coco: Matches at the IoUs of COCO, ``COCO_IOUS``; none if something has no extent.
    """

    name: str
    predicted: IntArray
    truth: IntArray
    chosen: Matches
    coco: tuple[Matches, ...]


@dataclass(frozen=True)
class Pairing:
    """The matches of all classes.

    Args:
        sides: What was matched.
        criterion: When a detection can show an object.
        by_class: Whether classes were compared.
        classes: In alphabetical order; one entry if classes were not compared.
    """

    sides: Sides
    criterion: Criterion
    by_class: bool
    classes: tuple[ClassPairing, ...]

    @cached_property
    def pooled(self) -> ClassPairing:
        """All classes as one, as matched within each."""
        if len(self.classes) == 1:
            return self.classes[0]
        chosen = self._pooled([one.chosen for one in self.classes])
        by_iou = zip(*(one.coco for one in self.classes), strict=True)
        coco = tuple(self._pooled(matches) for matches in by_iou)
        predicted, truth = np.arange(len(self.sides.predicted)), np.arange(len(self.sides.truth))
        return ClassPairing(NO_CLASS, predicted, truth, chosen, coco)

    def _pooled(self, matches: Sequence[Matches]) -> Matches:
        scores = self.sides.predicted.scores
        truth_of, iou = np.full(len(scores), -1), np.zeros(len(scores))
        for one, part in zip(self.classes, matches, strict=True):
            truth_of[one.predicted[part.correct]] = one.truth[part.truth_of[part.correct]]
            iou[one.predicted] = part.iou
        return Matches(truth_of, iou, scores, len(self.sides.truth), matches[0].threshold)


def pair(sides: Sides, criterion: Criterion, *, by_class: bool | None = None) -> Pairing:
    """Match the detections of each class to its objects.

    Classes are compared (by name, whatever its case) if the layers share a name and together have
    several. If they share none, as "object" and "pool", classes are ignored, unless both layers
    have several: that is an error.

    Args:
        sides: Detections and objects.
        criterion: When a detection can show an object.
        by_class: Compare classes, or ignore them; None: by the rule above.

    Raises:
        LabelError: The layers share none of their classes.
        InputError: A criterion that cannot be used.
        GeoreferenceError: A distance on the ground between layers without CRS.
    """
    found, wanted = sides.predicted, sides.truth
    compared = _is_by_class(found.names, wanted.names, by_class)
    groups = _groups(found, wanted) if compared else _one_group(found, wanted)
    centres = None if criterion.distance_m is None else sides.ground_centres()
    classes = []
    for name, (p, t) in groups.items():
        coco: tuple[Matches, ...] = ()
        if not sides.flat:
            ious = (*COCO_IOUS, criterion.iou)
            *lower, chosen = match_boxes_at(
                found.boxes[p], found.scores[p], wanted.boxes[t], ious=ious
            )
            coco = tuple(lower)
        if centres is not None and criterion.distance_m is not None:
            points = centres[0][p], centres[1][t]
            chosen = match_points(
                points[0], found.scores[p], points[1], distance=criterion.distance_m
            )
        classes.append(ClassPairing(name, p, t, chosen, coco))
    return Pairing(sides, criterion, compared, tuple(classes))


def _one_group(found: Side, wanted: Side) -> Groups:
    """Everything may match everything; the name is that of the only class a layer states."""
    said = [
        {name.lower(): name for name in side.names if name.lower() not in NO_NAMES}
        for side in (wanted, found)
    ]
    only = [next(iter(names.values())) for names in said if len(names) == 1]
    name = only[0] if only and max(map(len, said)) == 1 else NO_CLASS
    return {name: (np.arange(len(found)), np.arange(len(wanted)))}


def _groups(found: Side, wanted: Side) -> Groups:
    """Positions in both sides that may match each other, by class in alphabetical order."""
    spelling = {name.lower(): name for name in (*found.names, *wanted.names)}  # truth's wins
    keys = [np.array([name.lower() for name in side.names], object) for side in (found, wanted)]
    return {
        spelling[key]: (np.flatnonzero(keys[0] == key), np.flatnonzero(keys[1] == key))
        for key in sorted(spelling)
    }


def _is_by_class(found: ObjectArray, wanted: ObjectArray, by_class: bool | None) -> bool:
    """The rule of ``pair``."""
    ours, theirs = ({name.lower() for name in names} for names in (found, wanted))
    if by_class is not None:
        return by_class and bool(ours | theirs)
    if ours and theirs and not ours & theirs:
        if len(ours) > 1 and len(theirs) > 1:
            raise LabelError(
                f"the predictions ({', '.join(sorted(ours))}) and the truth "
                f"({', '.join(sorted(theirs))}) have no class in common; rename classes, or "
                f"ignore them with --ignore-classes"
            )
        return False
    return len(ours | theirs) > 1
