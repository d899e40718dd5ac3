"""Matching of predictions to the true objects of their class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geodetect.assessment.matching.alignment import AlignedLayers, LayerBoxes
from geodetect.assessment.matching.greedy_matching import Matches, match_boxes_at, match_points
from geodetect.class_names import NO_CLASS, PLACEHOLDERS
from geodetect.errors import LabelError, list_names
from geodetect.types import IntArray

ClassRows = dict[str, tuple[IntArray, IntArray]]

COCO_IOUS = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))


@dataclass(frozen=True)
class ClassMatches:
    """Matches of one class.

    Args:
        name: Name of the class.
        predicted: ``int64[N]`` its predictions, as positions in ``AlignedLayers.predictions``.
        truth: ``int64[M]`` its objects, as positions in ``AlignedLayers.truth``.
        matches: Matches by the criterion, between positions in these two.
        coco: Matches at the IoUs of COCO, ``COCO_IOUS``; empty if a row has no extent.
    """

    name: str
    predicted: IntArray
    truth: IntArray
    matches: Matches
    coco: tuple[Matches, ...]


@dataclass(frozen=True)
class LayerMatches:
    """Matches of all classes.

    Args:
        layers: Predictions and truth.
        iou: Least IoU of a match, unless a distance decided.
        by_class: Predictions match objects of their class only.
        classes: Matches by class, in alphabetical order; one entry if classes were not compared.
    """

    layers: AlignedLayers
    iou: float
    by_class: bool
    classes: tuple[ClassMatches, ...]

    @cached_property
    def pooled(self) -> ClassMatches:
        """All classes as one, matched within their classes."""
        if len(self.classes) == 1:
            return self.classes[0]
        matches = self._pool([entry.matches for entry in self.classes])
        by_iou = zip(*(entry.coco for entry in self.classes), strict=True)
        coco = tuple(self._pool(at_iou) for at_iou in by_iou)
        predicted = np.arange(len(self.layers.predictions))
        truth = np.arange(len(self.layers.truth))
        return ClassMatches(NO_CLASS, predicted, truth, matches, coco)

    def _pool(self, by_class: Sequence[Matches]) -> Matches:
        scores = self.layers.predictions.scores
        truth_of, iou = np.full(len(scores), -1), np.zeros(len(scores))
        for entry, matches in zip(self.classes, by_class, strict=True):
            is_tp = matches.is_tp
            truth_of[entry.predicted[is_tp]] = entry.truth[matches.truth_of[is_tp]]
            iou[entry.predicted] = matches.iou
        return Matches(truth_of, iou, scores, len(self.layers.truth), by_class[0].threshold)


def match_layers(
    layers: AlignedLayers,
    *,
    iou: float = 0.5,
    distance_m: float | None = None,
    by_class: bool | None = None,
) -> LayerMatches:
    """Match the predictions of each class to its objects.

    Classes are compared (by name, whatever its case) if the layers share a name and together have
    several. If they share none, as "object" and "pool", classes are ignored, unless both layers
    have several: that is an error.

    Args:
        layers: Predictions and truth.
        iou: Least IoU of a match, unless there is a distance: of the outlines if the layers have
            them, else of the boxes.
        distance_m: Greatest distance of the centres of a match on the ground.
        by_class: Compare classes, or ignore them; None: by the rule above.

    Raises:
        LabelError: The layers share none of their classes.
        InputError: An IoU or distance that cannot be used.
        GeoreferenceError: A distance on the ground between layers without CRS.
    """
    predictions, truth = layers.predictions, layers.truth
    is_by_class = _is_by_class(predictions, truth, by_class)
    if is_by_class:
        rows_by_class = _group_by_class(predictions, truth)
    else:
        name = _find_only_class(predictions, truth)
        rows_by_class = {name: (np.arange(len(predictions)), np.arange(len(truth)))}
    centres = None if distance_m is None else layers.geocentric_centres()
    outlines = None
    if predictions.outlines is not None and truth.outlines is not None:
        outlines = predictions.outlines.polygons, truth.outlines.polygons
    classes = []
    for name, (p, t) in rows_by_class.items():
        coco: tuple[Matches, ...] = ()
        if not layers.has_flat:
            *at_ious, matches = match_boxes_at(
                predictions.boxes[p],
                predictions.scores[p],
                truth.boxes[t],
                ious=(*COCO_IOUS, iou),
                outlines=None if outlines is None else (outlines[0][p], outlines[1][t]),
            )
            coco = tuple(at_ious)
        if centres is not None and distance_m is not None:
            matches = match_points(
                centres[0][p], predictions.scores[p], centres[1][t], distance=distance_m
            )
        classes.append(ClassMatches(name, p, t, matches, coco))
    return LayerMatches(layers, iou, is_by_class, tuple(classes))


def _is_by_class(predictions: LayerBoxes, truth: LayerBoxes, by_class: bool | None) -> bool:
    """Return True if classes are compared, by the rule of ``match_layers``."""
    names, truth_names = (
        {name.lower() for name in layer.class_names} for layer in (predictions, truth)
    )
    if by_class is not None:
        return by_class and bool(names | truth_names)
    if names and truth_names and not names & truth_names:
        if len(names) > 1 and len(truth_names) > 1:
            raise LabelError(
                f"the predictions ({list_names(sorted(names))}) and the truth "
                f"({list_names(sorted(truth_names))}) have no class in common; rename classes, or "
                f"ignore them with `ignore_classes`"
            )
        return False
    return len(names | truth_names) > 1


def _find_only_class(predictions: LayerBoxes, truth: LayerBoxes) -> str:
    """Return the name of the class if a layer names one and neither names several.

    Else it is ``NO_CLASS``; the spelling of the truth comes first.
    """
    names = [
        {key: name for key, name in _spellings(layer).items() if key not in PLACEHOLDERS}
        for layer in (truth, predictions)
    ]
    only = [next(iter(spellings.values())) for spellings in names if len(spellings) == 1]
    return only[0] if only and max(map(len, names)) == 1 else NO_CLASS


def _spellings(layer: LayerBoxes) -> dict[str, str]:
    """Return the classes of a layer: the last spelling in alphabetical order by lower case."""
    return {name.lower(): name for name in sorted(set(layer.class_names))}


def _group_by_class(predictions: LayerBoxes, truth: LayerBoxes) -> ClassRows:
    """Return the positions of each class in both layers, in alphabetical order."""
    spelling = _spellings(predictions) | _spellings(truth)
    keys, truth_keys = (
        np.array([name.lower() for name in layer.class_names], object)
        for layer in (predictions, truth)
    )
    return {
        spelling[key]: (np.flatnonzero(keys == key), np.flatnonzero(truth_keys == key))
        for key in sorted(spelling)
    }
