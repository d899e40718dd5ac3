"""All that a report or a picture shows: ground, detections and truth."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd

from geodetect.io.raster.reader import Raster
from geodetect.reporting.drawing.canvas import Frame, raster_frame
from geodetect.reporting.drawing.layers import (
    Objects,
    frame_around,
    place,
    read_detections,
    read_objects,
)
from geodetect.reporting.drawing.match_result import Judgement, judge
from geodetect.settings import ReportSettings
from geodetect.types import PathLike


@dataclass(frozen=True)
class Scene:
    """Detections on their ground.

    Args:
        frame: Where everything is drawn.
        found: Detections, the surest first.
        judgement: How they agree with the truth; None without truth.
    """

    frame: Frame
    found: Objects
    judgement: Judgement | None = None


def load(
    predicted: PathLike | gpd.GeoDataFrame,
    raster: Raster | None,
    truth: PathLike | gpd.GeoDataFrame | None,
    settings: ReportSettings,
) -> Scene:
    """Read everything and place it on the raster or, without one, on plain ground.

    Raises:
        InputError: A file cannot be used, or nothing lies on the raster.
    """
    tables = [read_detections(predicted, settings)]
    if truth is not None:
        tables.append(read_objects(truth, settings))
    frame = frame_around(*tables) if raster is None else raster_frame(raster)
    detections = place(tables[0], frame, what="detections")
    if truth is None:
        return Scene(frame, detections)
    objects = place(tables[1], frame, what="objects of the truth")
    by_class = False if settings.ignore_classes else None
    judgement = judge(detections, objects, iou=settings.iou, by_class=by_class)
    return Scene(frame, detections, judgement)
