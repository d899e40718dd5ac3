"""Labels of Cannes for the training of the built-in model, corrected by boxes and detections."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import shapely

from benchmarks.harness.datasets import CANNES_HOLDOUT_BOUNDS, corrected_holdout
from benchmarks.harness.paths import DATA
from geodetect.geo import boxes as box_ops
from geodetect.types import ObjectArray

LEAST_SCORE = 0.3  # of detections that complete an outline
LEAST_INSIDE = 0.5  # fraction of an outline inside its box
LEAST_COVERED = 0.7  # fraction of an outline inside the detection that completes it
LEAST_GROWTH = 1.3  # area of that detection over the outline's
MARGIN = 0.125  # of a box on each side of the water: boxes have 1.7 times the area of its bounds


def correct_labels(detections: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the labels of Cannes, corrected by its box labels and the detections of a model.

    Those of the holdout are corrected by boxes alone, see ``corrected_holdout``. Elsewhere each box
    shows a pool. Its outlines stay, unless a detection says that they hold only part of the water,
    as of green, covered and shaded pools; then the detection is the label. A box without outline
    gets the detection in it, else a smaller box.

    Args:
        detections: Outlines with scores on all of Cannes.
    """
    table = gpd.read_file(DATA / "cannes_north.geojson")
    boxes = table.geometry[~table.centroid.within(shapely.box(*CANNES_HOLDOUT_BOUNDS))]
    outlines = gpd.read_file(DATA / "cannes_north_outlines.geojson").geometry.to_numpy()
    shapes = detections.sort_values("score", ascending=False).geometry.to_numpy()
    outline_tree, shape_tree = shapely.STRtree(outlines), shapely.STRtree(shapes)
    labels = list(corrected_holdout()[0].geometry)
    for box in _without_duplicates(boxes.to_numpy()):
        inside = outlines[outline_tree.query(box, predicate="intersects")]
        inside = inside[_fraction_in(box, inside) > LEAST_INSIDE]
        rows = np.sort(shape_tree.query(box, predicate="intersects"))
        centred = shapes[rows][shapely.contains(box, shapely.centroid(shapes[rows]))]
        labels += _labels_of_box(box, list(inside), centred[0] if len(centred) else None)
    return gpd.GeoDataFrame({"class": ["pool"] * len(labels)}, geometry=labels, crs=table.crs)


def _labels_of_box(
    box: shapely.Polygon, outlines: list[shapely.Polygon], detection: shapely.Polygon | None
) -> list[shapely.Polygon]:
    """Return the labels of the pool that a box shows.

    Args:
        box: Box label.
        outlines: Outlines that lie in it for the most part.
        detection: That of the highest score centred in it; None: the model misses the pool.
    """
    if detection is None:
        return outlines or [shapely.box(*box_ops.widen(np.array([box.bounds]), -MARGIN)[0])]
    if not outlines:
        return [detection]
    largest = max(outlines, key=lambda outline: outline.area)
    is_larger = detection.area > LEAST_GROWTH * largest.area
    is_there = _fraction_in(detection, largest) > LEAST_COVERED
    is_inside = _fraction_in(box, detection) > LEAST_COVERED
    return [detection] if is_larger and is_there and is_inside else outlines


def _fraction_in(region: shapely.Polygon, shapes: ObjectArray | shapely.Polygon) -> ObjectArray:
    """Return the fraction of the area of shapes inside a region."""
    return shapely.area(shapely.intersection(shapes, region)) / shapely.area(shapes)


def _without_duplicates(boxes: ObjectArray) -> ObjectArray:
    """Return boxes without those that lie for the most part in a larger box."""
    small, large = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    is_smaller = shapely.area(boxes[small]) < shapely.area(boxes[large])
    small, large = small[is_smaller], large[is_smaller]
    is_duplicate = np.zeros(len(boxes), dtype=bool)
    is_duplicate[small[_fraction_in(boxes[large], boxes[small]) > LEAST_INSIDE]] = True
    return boxes[~is_duplicate]
