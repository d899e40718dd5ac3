"""Cutting of labelled rasters into chips."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from affine import Affine

from geodetect.arrays.summed_area import SummedAreaTable
from geodetect.chips.annotation_formats import LabelledChip
from geodetect.chips.images import write_image
from geodetect.errors import InputError
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid, check_gsd_of_imagery
from geodetect.geo.polygons import clip_polygons
from geodetect.geo.tiles import TileScheme, Window, overlap_px
from geodetect.io.labels.label_set import LabelSet
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import place_labels
from geodetect.io.raster.georeference import georeference_advice
from geodetect.io.raster.open_raster import name_rasters, open_raster
from geodetect.io.raster.reader import RasterOptions
from geodetect.io.sources.find import find_rasters, without_repetitions
from geodetect.progress import Progress
from geodetect.redaction import redact
from geodetect.settings import ChipSettings
from geodetect.types import FloatArray, IntArray, ObjectArray, PathLike

SEED = 0  # random seed of the choice of chips without objects


@dataclass(frozen=True, eq=False)
class ChipSource:
    """Labelled raster at the resolution of the chips.

    Args:
        labelled: The raster with its labels.
        stem: First part of the file names of its chips.
        grid: Its grid at the resolution of the chips.
        boxes: ``float64[K, 4]`` boxes of its labels in pixels of ``grid``.
        outlines: ``object[K]`` outlines in pixels of ``grid``; None for labels that are boxes.
    """

    labelled: LabelledRaster
    stem: str
    grid: Grid
    boxes: FloatArray
    outlines: ObjectArray


@dataclass(frozen=True, eq=False)
class ChipCandidate:
    """Window of a raster that may become a chip.

    Args:
        source: The raster.
        window: In pixels of the source's grid.
        rows: ``int64[T]`` rows of the labels that overlap the window.
    """

    source: ChipSource
    window: Window
    rows: IntArray


def open_sources(
    paths: PathLike | Sequence[PathLike], labels: LabelSet, settings: ChipSettings
) -> list[ChipSource]:
    """Open rasters and place labels on them.

    Args:
        paths: Files, folders or URLs of rasters.
        labels: Labels of any kind.
        settings: Settings of the export.

    Raises:
        LabelError: An image of a data set matches several rasters.
        InputError: The image format cannot hold the bands of a raster.
    """
    options = RasterOptions(
        settings.bands,
        settings.value_range,
        settings.src_crs,
        external_sources=settings.external_sources,
        pixels_allowed=labels.in_pixels,
    )
    with georeference_advice("leave it out: labels on a map need one"):
        rasters = [open_raster(path, options) for path in without_repetitions(find_rasters(paths))]
    name_rasters(rasters)
    sources: list[ChipSource] = []
    for labelled in place_labels(labels, rasters):
        raster, grid = labelled.raster, labelled.grid
        if settings.image_format != "tif" and raster.band_count not in (1, 3):
            raise InputError(
                f"{raster.path} gives {raster.band_count} bands, but {settings.image_format} takes "
                f"1 or 3; choose them with `bands`, or set `image_format` to tif"
            )
        if settings.gsd is not None:
            if grid.gsd_xy_m is None:
                raise InputError(
                    f"{raster.path}: `gsd` needs a raster whose ground resolution is known; this "
                    f"one has no georeference"
                )
            along_row, along_column = grid.gsd_xy_m
            check_gsd_of_imagery(settings.gsd, math.sqrt(along_row * along_column), raster.path)
            grid = grid.resampled(along_row / settings.gsd, along_column / settings.gsd)
        base = re.sub(r"[^\w.-]+", "_", Path(redact(raster.path)).stem)
        names = (base if n == 1 else f"{base}-{n}" for n in itertools.count(1))
        used = {source.stem for source in sources}  # rasters in other folders may share a name
        stem = next(name for name in names if name not in used)
        scale = labelled.grid.scale_to(grid)
        outlines = np.full(len(labelled.boxes), None, dtype=object)
        if labelled.outlines is not None:
            outlines = shapely.transform(labelled.outlines, partial(np.multiply, scale))
        boxes = labelled.boxes * np.tile(scale, 2)
        sources.append(ChipSource(labelled, stem, grid, boxes, outlines))
    return sources


def cut_chips(
    sources: Sequence[ChipSource], settings: ChipSettings, images: Path, progress: Progress
) -> list[LabelledChip]:
    """Write the images of all chips, those with objects first.

    Args:
        sources: The rasters.
        settings: Settings of the export.
        images: Folder to make for the images.
        progress: Receives the number of windows that are completed.

    Returns:
        The chips with their labels.
    """
    images.mkdir()
    candidates = [c for source in sources for c in _find_candidates(source, settings)]
    with_objects = [candidate for candidate in candidates if len(candidate.rows)]
    without_objects = [candidate for candidate in candidates if not len(candidate.rows)]
    if not math.isinf(settings.empty):
        order = np.random.default_rng(SEED).permutation(len(without_objects))
        without_objects = [without_objects[i] for i in order]

    def count_empty(chips_with_objects: int) -> int:
        if math.isinf(settings.empty):
            return len(without_objects)
        return min(len(without_objects), round(settings.empty * chips_with_objects))

    total = len(with_objects) + count_empty(len(with_objects))
    completed = itertools.count(1)

    def cut(candidates: Sequence[ChipCandidate], count: int) -> list[LabelledChip]:
        chips: list[LabelledChip] = []
        for _, group in itertools.groupby(candidates, key=lambda candidate: candidate.source.stem):
            raster_candidates = list(group)
            with raster_candidates[0].source.labelled.raster:  # reads open it, this closes it
                for candidate in raster_candidates:
                    if len(chips) == count:
                        return chips
                    chip = _cut_chip(candidate, settings, images)
                    progress(min(next(completed), total), total)
                    if chip is not None:
                        chips.append(chip)
        return chips

    chips = cut(with_objects, len(with_objects))
    return chips + cut(without_objects, count_empty(len(chips)))


def _find_candidates(source: ChipSource, settings: ChipSettings) -> list[ChipCandidate]:
    """Return the windows of a raster, each with the labels that overlap it."""
    size = source.grid.width, source.grid.height
    overlap = overlap_px(settings.overlap, settings.tile_size)
    windows = list(TileScheme(*size, settings.tile_size, overlap))
    window_boxes = np.array([window.box for window in windows])
    pairs = box_ops.overlap_pairs(window_boxes, source.boxes)
    shared = box_ops.intersection(window_boxes[pairs[:, 0]], source.boxes[pairs[:, 1]])
    pairs = pairs[shared > 0]
    ends = np.searchsorted(pairs[:, 0], np.arange(1, len(windows)))
    return [
        ChipCandidate(source, window, rows)
        for window, rows in zip(windows, np.split(pairs[:, 1], ends), strict=True)
    ]


def _cut_chip(
    candidate: ChipCandidate, settings: ChipSettings, images: Path
) -> LabelledChip | None:
    """Write a chip; None if no pixel is valid, or its objects are not visible enough."""
    source, window, rows = candidate.source, candidate.window, candidate.rows
    labelled = source.labelled
    pixels = labelled.raster.read(window, source.grid)
    if not pixels.valid.any():
        return None
    unclipped = source.boxes[rows]
    clipped = box_ops.clip(unclipped, window.box)
    inside_fraction = box_ops.area(clipped) / box_ops.area(unclipped)
    boxes = clipped - np.tile(window.box[:2], 2)
    visible_fraction = inside_fraction * SummedAreaTable(pixels.valid).fractions(boxes)
    is_visible = visible_fraction >= settings.min_visible - 1e-9
    if len(rows) and not is_visible.any():
        return None
    outlines = clip_polygons(source.outlines[rows][is_visible], window.box)
    outlines = shapely.transform(outlines, lambda points: points - window.box[:2])
    name = f"{source.stem}_x{window.x:05d}_y{window.y:05d}.{settings.image_format}"
    x, y = source.grid.to_map(np.array([window.x, window.y], dtype=np.float64)).tolist()
    t = source.grid.transform
    transform = Affine(t.a, t.b, x, t.d, t.e, y)
    grid = Grid(source.grid.crs, transform, window.width, window.height)
    write_image(images / name, pixels, grid)
    return LabelledChip(
        image=name,
        raster=labelled.raster.name,
        window=window,
        grid=grid,
        bands=len(pixels.values),
        boxes=boxes[is_visible],
        class_ids=labelled.class_ids[rows][is_visible],
        truncated=(inside_fraction < 1 - 1e-9)[is_visible],
        label_ids=labelled.ids[rows][is_visible],
        outlines=outlines,
    )
