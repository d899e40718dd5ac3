"""Placement of labels on rasters: objects on a map by their place, labelled images by name."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import GeodetectWarning, GeoreferenceError, LabelError, list_names
from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import bounds_px, projected_bounds
from geodetect.geo.grid import Grid
from geodetect.geo.polygons import are_upright_rectangles
from geodetect.geo.reproject import densify, reproject_or_none
from geodetect.io.labels.label_set import ImageLabels, LabelSet, MapLabels
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.raster.reader import Raster
from geodetect.types import FloatArray, IntArray, ObjectArray

# position of a raster; boxes in its pixels, positions in the source, and outlines or None
PlacedLabels = tuple[int, FloatArray, IntArray, ObjectArray]


def place_labels(
    labels: LabelSet, rasters: Sequence[Raster], *, classes: Sequence[str] | None = None
) -> list[LabelledRaster]:
    """Find the labels on each raster.

    Objects on a map lie on every raster that their bounding box overlaps. Images are matched with
    rasters by their file names without suffix; folders distinguish images of one name.

    Args:
        labels: Labels of any kind.
        rasters: Open rasters; a raster may be repeated.
        classes: Class names, in the order of the class ids; None: those of the labels.

    Returns:
        One for each raster, with or without labels.

    Raises:
        LabelError: An image may be several rasters or a raster several images, or a raster has
            another size than the image that was labelled.
        GeoreferenceError: There are labels on a map, but a raster has no CRS.
    """
    classes = tuple(labels.classes if classes is None else classes)
    class_id = {name: number for number, name in enumerate(classes)}
    class_ids = np.array([class_id[name] for name in labels.names], np.int64)
    boxes: list[list[FloatArray]] = [[np.empty((0, 4))] for _ in rasters]
    ids: list[list[IntArray]] = [[np.empty(0, np.int64)] for _ in rasters]
    outlines: list[list[ObjectArray]] = [[np.empty(0, object)] for _ in rasters]
    for source, start in zip(labels.sources, labels.starts, strict=False):
        if isinstance(source, MapLabels):
            parts = _place_map(source, rasters)
        else:
            parts = _place_images(source, rasters)
        for number, source_boxes, positions, source_outlines in parts:
            boxes[number].append(source_boxes)
            ids[number].append(positions + start)
            outlines[number].append(source_outlines)
    labelled = []
    for number, raster in enumerate(rasters):
        raster_ids, raster_outlines = np.concatenate(ids[number]), np.concatenate(outlines[number])
        labelled.append(
            LabelledRaster(
                raster,
                np.concatenate(boxes[number]),
                class_ids[raster_ids],
                raster_ids,
                classes,
                None if shapely.is_missing(raster_outlines).all() else raster_outlines,
            )
        )
    return labelled


def check_placement(labels: LabelSet, rasters: Sequence[LabelledRaster]) -> None:
    """Warn of label files without a label on any raster, and of images without a raster.

    Args:
        labels: Labels of any kind.
        rasters: All rasters with these labels.

    Raises:
        LabelError: No label lies on any raster.
    """
    if not any(len(raster.ids) for raster in rasters):
        raise LabelError(explain_no_placement(labels, rasters))
    for message in describe_unplaced_sources(labels, rasters):
        warnings.warn(message, GeodetectWarning, stacklevel=2)


def explain_no_placement(labels: LabelSet, rasters: Sequence[LabelledRaster]) -> str:
    """Return the message for labels of which none lies on any raster, with the likely cause."""
    if not len(labels):
        sources = list_names([source.source for source in labels.sources])
        return f"the labels ({sources}) hold no objects; a training needs some"
    first, _ = labels.locate(0)
    if isinstance(first, ImageLabels):
        hint = (
            f"{first.source} has images called {list_names([i.name for i in first.images])}, the "
            f"rasters are called {list_names([r.raster.name for r in rasters])}"
        )
    else:
        crs = f"check their CRS (first labels: {first.crs.name})"
        hint = crs + _describe_mistake(first, [raster.raster for raster in rasters])
    return f"none of the {len(labels)} labels lies on any of the {len(rasters)} rasters; {hint}"


def describe_unplaced_sources(labels: LabelSet, rasters: Sequence[LabelledRaster]) -> list[str]:
    """Return a line for each label file, and for the images of each data set, without a raster."""
    lines = []
    placed_ids = np.unique(np.concatenate([np.empty(0, np.int64), *(r.ids for r in rasters)]))
    counts = np.diff(np.searchsorted(placed_ids, labels.starts))
    for source, count in zip(labels.sources, counts, strict=True):
        if isinstance(source, ImageLabels):
            matched = set(_match_images(source, [r.raster.path for r in rasters]).values())
            unmatched = [image.name for i, image in enumerate(source.images) if i not in matched]
            if unmatched:
                lines.append(
                    f"{source.source}: {len(unmatched)} of {len(source.images)} labelled images "
                    f"match no raster by name ({list_names(unmatched)})"
                )
        elif len(source) and not count:
            lines.append(f"{source.source}: none of its {len(source)} labels lies on a raster")
    return lines


def _place_map(source: MapLabels, rasters: Sequence[Raster]) -> Iterator[PlacedLabels]:
    """Yield the position of each raster with labels, and these.

    Bounds are projected once for each CRS and searched with a tree, so many rasters cost little.
    """
    by_crs: dict[CRS, list[int]] = defaultdict(list)
    for number, raster in enumerate(rasters):
        if raster.grid.crs is None:
            raise GeoreferenceError(f"{raster.path} has no CRS to place labels on; set `src_crs`")
        by_crs[raster.grid.crs].append(number)
    for crs, numbers in by_crs.items():
        bounds = projected_bounds(source.geometries, source.crs, crs)
        projectable = np.flatnonzero(np.isfinite(bounds).all(axis=1))
        extents = np.array([rasters[number].grid.outline.bounds for number in numbers])
        pairs = box_ops.overlap_pairs(extents, bounds[projectable])
        ends = np.searchsorted(pairs[:, 0], np.arange(1, len(numbers)))
        for number, rows in zip(numbers, np.split(pairs[:, 1], ends), strict=True):
            if len(rows):
                grid, candidates = rasters[number].grid, projectable[rows]
                boxes = bounds_px(source.geometries[candidates], source.crs, grid)
                overlapping = _find_overlapping(boxes, grid.box)
                boxes, positions = boxes[overlapping], candidates[overlapping]
                yield number, boxes, positions, _outlines_px(source, positions, grid)


def _outlines_px(source: MapLabels, positions: IntArray, grid: Grid) -> ObjectArray:
    """Return labels as polygons in pixels of a raster, None for those that are no outlines."""
    outlines = np.full(len(positions), None, dtype=object)
    if source.is_outline is None:
        return outlines
    rows = np.flatnonzero(source.is_outline[positions])
    if len(rows) and grid.crs is not None:
        polygons = source.geometries[positions[rows]]
        on_map = reproject_or_none(densify(polygons, source.crs), source.crs, grid.crs)
        in_px = shapely.transform(on_map, grid.to_px)
        in_px[are_upright_rectangles(in_px)] = None  # boxes that were drawn on this raster
        outlines[rows] = in_px
    return outlines


def _place_images(source: ImageLabels, rasters: Sequence[Raster]) -> Iterator[PlacedLabels]:
    """Yield the position of each labelled raster, and its labels."""
    starts = np.cumsum([0, *(len(image.rows) for image in source.images)])
    matches = _match_images(source, [raster.path for raster in rasters])
    rotated = [rasters[number].path for number in matches if rasters[number].orientation != 1]
    if rotated:
        warnings.warn(
            f"{len(rotated)} images are stored rotated or mirrored, as EXIF states "
            f"({list_names(rotated)}): their labels are taken as positions in the image as it is "
            f"stored; if they were drawn on the upright image, save the images upright",
            GeodetectWarning,
            stacklevel=3,
        )
    for number, image in matches.items():
        raster = rasters[number]
        boxes, outlines = source.images[image].place_on(raster.grid, raster.path)
        yield number, boxes, np.arange(starts[image], starts[image + 1]), outlines


def _match_images(source: ImageLabels, paths: Sequence[str]) -> dict[int, int]:
    """Return the position of the image of each raster; rasters without an image are left out.

    Of several images with the file name of a raster, it is the one with most folders in common, and
    so it is of several rasters with the file name of an image.
    """
    by_stem: dict[str, list[int]] = defaultdict(list)
    for position, image in enumerate(source.images):
        by_stem[_stem(image.name)].append(position)
    image_of: dict[int, int] = {}
    by_image: dict[int, list[int]] = defaultdict(list)
    for number, path in enumerate(paths):
        candidates = by_stem.get(_stem(path), [])
        if not candidates:
            continue
        folders = _folders(path)
        common = [len(folders & _folders(source.images[i].name)) for i in candidates]
        best = [i for i, count in zip(candidates, common, strict=True) if count == max(common)]
        if len(best) > 1:
            raise LabelError(
                f"{source.source}: {path} may be any of the images "
                f"{list_names([source.images[i].name for i in best])}; rename them, or give the "
                f"labels of each folder with the rasters of that folder"
            )
        by_image[best[0]].append(number)
    for position, numbers in by_image.items():
        name = source.images[position].name
        common = [len(_folders(paths[number]) & _folders(name)) for number in numbers]
        nearest = [n for n, count in zip(numbers, common, strict=True) if count == max(common)]
        distinct = list(dict.fromkeys(paths[number] for number in nearest))
        if len(distinct) > 1:  # a raster may be repeated
            raise LabelError(
                f"{source.source}: the image {name} may be {distinct[0]} or {distinct[1]}; leave "
                f"one of them out of `rasters`, or rename them"
            )
        image_of |= dict.fromkeys(nearest, position)
    return image_of


def _stem(path: str) -> str:
    """File name without folders and suffix, in lower case, of a path on any system."""
    return PurePosixPath(path.replace("\\", "/").partition("?")[0]).stem.casefold()


def _folders(path: str) -> set[str]:
    return set(PurePosixPath(path.replace("\\", "/")).parts[:-1]) - {".", "..", "/"}


def _find_overlapping(boxes: FloatArray, extent: FloatArray) -> IntArray:
    """Return the rows of the boxes that overlap an extent; boxes of NaN overlap none."""
    is_inside = (boxes[:, :2] < extent[2:]).all(axis=1) & (boxes[:, 2:] > extent[:2]).all(axis=1)
    return np.flatnonzero(is_inside)


def _describe_mistake(source: MapLabels, rasters: Sequence[Raster]) -> str:
    """Return the remedy if a wrong CRS or swapped axes explain the distance, else ""."""
    bounds = projected_bounds(source.geometries, None, None)
    for raster in rasters:
        crs = raster.grid.crs
        extent = np.array(raster.grid.outline.bounds)
        if crs is not None and len(_find_overlapping(bounds, extent)):
            authority = crs.to_authority()
            name = ":".join(authority) if authority else crs.name
            return (
                f"; their numbers would lie on {raster.path} in its own CRS: set `labels_crs` to "
                f"{name}"
            )
    flipped = shapely.transform(source.geometries, lambda xy: xy[:, ::-1])
    swapped = replace(source, geometries=np.asarray(flipped, dtype=object))
    if any(len(positions) for _, _, positions, _ in _place_map(swapped, rasters)):
        return "; with x and y swapped they would lie there: save them again in the right order"
    return ""
