"""The worst errors of a model on held-out ground, as chips and as contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
from PIL import Image

from geodetect.errors import InputError, RasterError
from geodetect.io.vector.qgis_style import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE
from geodetect.reporting.drawing.canvas import RasterFrame, open_to_show, raster_frame
from geodetect.reporting.drawing.contact_sheet import CHIP_PX
from geodetect.reporting.drawing.layers import Objects, place
from geodetect.reporting.drawing.match_result import rank_misses
from geodetect.reporting.drawing.object_images import chip, outlines_near
from geodetect.settings import PictureSettings
from geodetect.types import IntArray

Pictures = dict[Any, Image.Image]  # by row


@dataclass(frozen=True)
class ErrorChips:
    """The worst errors of a kind.

    Args:
        total: How many errors of the kind there are.
        chips: Pictures of the worst, with captions, the worst first.
        unread: Why rasters could not be shown, by name.
    """

    total: int
    chips: tuple[tuple[Image.Image, str], ...]
    unread: dict[str, str]


def worst_misses(truth: gpd.GeoDataFrame, conf: float) -> IntArray:
    """Rows of objects that no detection of at least this score found, as `rank_misses` has them."""
    scores = truth["found_score"].to_numpy(np.float64)
    return rank_misses(scores, truth.bounds.to_numpy(), least=conf)


def worst_false_alarms(detections: gpd.GeoDataFrame, conf: float) -> IntArray:
    """Rows of detections of at least this score that show no object, the surest first."""
    scores = detections["score"].to_numpy(np.float64)
    wrong = np.flatnonzero((scores >= conf) & ~detections["correct"].to_numpy(bool))
    return wrong[np.argsort(-scores[wrong], kind="stable")]


def error_chips(
    detections: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, *, conf: float, count: int
) -> tuple[ErrorChips, ErrorChips]:
    """Chips of the worst misses and of the worst false alarms.

    Args:
        detections: With ``class, score, correct, raster, source``.
        truth: With ``class, found_score, raster, source``, in the same CRS.
        conf: Score from which detections count.
        count: Most chips of a kind.
    """
    missed, wrong = worst_misses(truth, conf), worst_false_alarms(detections, conf)
    shown = truth.iloc[missed[:count]], detections.iloc[wrong[:count]]
    sure = detections[detections["score"] >= conf]
    several = len({*truth["class"], *detections["class"]}) > 1
    pictures: tuple[Pictures, Pictures] = ({}, {})
    unread: dict[str, str] = {}
    for source in dict.fromkeys([*shown[0]["source"], *shown[1]["source"]]):
        own = [table[table["source"] == source] for table in shown]
        others = [table[table["source"] == source] for table in (truth, sure)]
        try:
            drawn = _on_one_raster(source, own, others, conf)
        except (RasterError, InputError) as error:
            unread[source] = str(error)
            continue
        for kept, new in zip(pictures, drawn, strict=True):
            kept.update(new)
    misses, alarms = (
        ErrorChips(
            total,
            tuple(
                (images[row], _caption(record, is_class_shown=several))
                for row, record in table.iterrows()
                if row in images
            ),
            {
                name: unread[source]
                for name, source in zip(table["raster"], table["source"], strict=True)
                if source in unread
            },
        )
        for total, table, images in zip((len(missed), len(wrong)), shown, pictures, strict=True)
    )
    return misses, alarms


def _on_one_raster(
    source: str, shown: Sequence[gpd.GeoDataFrame], others: Sequence[gpd.GeoDataFrame], conf: float
) -> list[Pictures]:
    """Chips of some misses and false alarms by their row, drawn with all that is near them."""
    with open_to_show(source, PictureSettings()) as raster:
        frame = raster_frame(raster)
        truth, sure = (_placed(table, frame) for table in others)
        found = sure.table["correct"].to_numpy(bool)
        missed = ~(truth.table["found_score"].to_numpy(np.float64) >= conf)
        layers = [
            (truth.boxes[missed], FALSE_NEGATIVE),
            (sure.boxes[found], TRUE_POSITIVE),
            (sure.boxes[~found], FALSE_POSITIVE),
        ]
        return [
            {
                row: chip(frame, box, side_px=CHIP_PX, outlines=outlines_near(frame, box, layers))
                for row, box in zip(placed.table["row"], placed.boxes, strict=True)
            }
            for placed in (_placed(table, frame) for table in shown)
        ]


def _placed(table: gpd.GeoDataFrame, frame: RasterFrame) -> Objects:
    """Objects on the raster, with their ``row`` in the whole table."""
    return place(table.assign(row=table.index), frame, what="objects")


def _caption(record: gpd.GeoSeries, *, is_class_shown: bool) -> str:
    """Score, and class if there are several."""
    score = record["score"] if "score" in record else record["found_score"]
    text = "not found" if np.isnan(score) else f"score {score:.3f}"
    return f"{text}   {record['class']}" if is_class_shown else text
