"""Which labels lie on which raster."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import GeodetectWarning, GeoreferenceError, LabelError
from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import bounds_px, projected_bounds
from geodetect.geo.grid import Grid
from geodetect.io.labels.label_set import ImageLabels, LabelSet, MapLabels
from geodetect.types import FloatArray, IntArray, ObjectArray

Sheets = Sequence[tuple[str, Grid]]

_NAMED = 3  # how many of a list a message names


@dataclass(frozen=True, eq=False)
class PlacedLabels:
    """The labels on one raster.

    Args:
        boxes: ``float64[K, 4]`` x1, y1, x2, y2 in pixel edges of the raster, not cut at its
            border.
        names: ``object[K]`` their classes.
        numbers: ``int64[K]`` their numbers in the ``LabelSet``, ascending.
    """

    boxes: FloatArray
    names: ObjectArray
    numbers: IntArray


def place_labels(labels: LabelSet, rasters: Sheets) -> list[PlacedLabels]:
    """Which labels lie on which raster, with complaints about those that lie on none.

    Objects on a map lie on every raster whose ground their box touches. Images are matched with
    rasters by their file names without suffix; folders tell images of the same name apart.

    Args:
        labels: Labels of any kind.
        rasters: Path and grid of each raster.

    Returns:
        The labels on each raster. A file or an image without any raster gives a
        ``GeodetectWarning``.

    Raises:
        LabelError: No label lies on any raster, it is not plain which raster an image is, or
            a raster has another size than the image that was labelled.
        GeoreferenceError: There are labels on a map, but a raster has no CRS.
    """
    placed = match_labels(labels, rasters)
    used = np.unique(np.concatenate([np.empty(0, np.int64), *(p.numbers for p in placed)]))
    if not len(used):
        raise LabelError(nothing_placed(labels, rasters))
    for message in unplaced_sources(labels, rasters, used):
        warnings.warn(message, GeodetectWarning, stacklevel=2)
    return placed


def match_labels(labels: LabelSet, rasters: Sheets) -> list[PlacedLabels]:
    """Like ``place_labels``, without complaints about labels that lie nowhere."""
    boxes: list[list[FloatArray]] = [[np.empty((0, 4))] for _ in rasters]
    numbers: list[list[IntArray]] = [[np.empty(0, np.int64)] for _ in rasters]
    for source, start in zip(labels.sources, labels.starts, strict=False):
        if isinstance(source, MapLabels):
            parts = _place_map(source, rasters)
        else:
            parts = _place_images(source, rasters)
        for which, found, positions in parts:
            boxes[which].append(found)
            numbers[which].append(positions + start)
    joined = [(np.concatenate(b), np.concatenate(n)) for b, n in zip(boxes, numbers, strict=True)]
    return [PlacedLabels(box, labels.names[number], number) for box, number in joined]


def nothing_placed(labels: LabelSet, rasters: Sheets) -> str:
    """What to say when no label lies on any raster."""
    if not len(labels):
        return (
            f"the labels ({_some([s.source for s in labels.sources])}) hold no objects; a training "
            f"needs some"
        )
    first = labels.sources[int(np.searchsorted(labels.starts, 0, side="right")) - 1]
    if isinstance(first, ImageLabels):
        hint = (
            f"{first.source} has images called {_some([i.name for i in first.images])}, the "
            f"rasters are called {_some([PurePosixPath(path).name for path, _ in rasters])}"
        )
    else:
        hint = f"check their CRS (first labels: {CRS(first.crs).name})" + _mistaken(first, rasters)
    return f"none of the {len(labels)} labels lies on any of the {len(rasters)} rasters; {hint}"


def unplaced_sources(labels: LabelSet, rasters: Sheets, used: IntArray) -> list[str]:
    """A line for each label file, and for the images of each data set, that no raster takes.

    Args:
        labels: Labels of any kind.
        rasters: Path and grid of each raster.
        used: ``int64[U]`` numbers of the labels that lie on a raster, ascending.
    """
    lines = []
    edges = np.searchsorted(used, labels.starts)
    for source, count in zip(labels.sources, np.diff(edges), strict=True):
        if isinstance(source, ImageLabels):
            taken = set(_match_images(source, [path for path, _ in rasters]).values())
            lost = [image.name for i, image in enumerate(source.images) if i not in taken]
            if lost:
                lines.append(
                    f"{source.source}: {len(lost)} of {len(source.images)} labelled images match "
                    f"no raster by name ({_some(lost)})"
                )
        elif len(source) and not count:
            lines.append(f"{source.source}: none of its {len(source)} labels lies on a raster")
    return lines


def _place_map(source: MapLabels, rasters: Sheets) -> list[tuple[int, FloatArray, IntArray]]:
    """Boxes and positions of the objects that touch each raster."""
    found = []
    for which, near in _near_rasters(source, rasters):
        grid = rasters[which][1]
        boxes = bounds_px(source.geometries[near], source.crs, grid)
        on = _touching(boxes, np.array([0, 0, grid.width, grid.height], np.float64))
        found.append((which, boxes[on], near[on]))
    return found


def _near_rasters(source: MapLabels, rasters: Sheets) -> Iterator[tuple[int, IntArray]]:
    """The objects whose bounds on the map touch those of each raster that any does.

    Bounds are projected once for each CRS, and searched with a tree, so many sheets cost little.
    """
    by_crs: dict[str, list[int]] = defaultdict(list)
    for which, (path, grid) in enumerate(rasters):
        if grid.crs is None:
            raise GeoreferenceError(f"{path} has no CRS to place labels on; name it with --src-crs")
        by_crs[grid.crs].append(which)
    for crs, members in by_crs.items():
        bounds = projected_bounds(source.geometries, source.crs, crs)
        reached = np.flatnonzero(np.isfinite(bounds).all(axis=1))
        frames = np.array([_map_frame(rasters[which][1]) for which in members])
        pairs = box_ops.overlap_pairs(frames, bounds[reached])
        ends = np.searchsorted(pairs[:, 0], np.arange(1, len(members)))
        for which, rows in zip(members, np.split(pairs[:, 1], ends), strict=True):
            if len(rows):
                yield which, reached[rows]


def _place_images(source: ImageLabels, rasters: Sheets) -> list[tuple[int, FloatArray, IntArray]]:
    """Boxes and positions of the objects of the image that each raster is."""
    starts = np.cumsum([0, *(len(image.rows) for image in source.images)])
    found = []
    for which, number in _match_images(source, [path for path, _ in rasters]).items():
        path, grid = rasters[which]
        boxes = source.images[number].boxes_on(grid, path)
        found.append((which, boxes, np.arange(starts[number], starts[number + 1])))
    return found


def _match_images(source: ImageLabels, paths: Sequence[str]) -> dict[int, int]:
    """The image that each raster is, by position; rasters that are none are left out.

    Raises:
        LabelError: Several images or rasters of one name cannot be told apart.
    """
    by_stem: dict[str, list[int]] = defaultdict(list)
    for number, image in enumerate(source.images):
        by_stem[_stem(image.name)].append(number)
    matched: dict[int, int] = {}
    owner: dict[int, str] = {}
    for which, path in enumerate(paths):
        same = by_stem.get(_stem(path), [])
        if not same:
            continue
        number = _nearest(path, same, source=source)
        if owner.get(number, path) != path:  # one raster may be given twice
            raise LabelError(
                f"{source.source}: the image {source.images[number].name} may be {owner[number]} "
                f"or {path}; give one of them with --rasters, or rename them"
            )
        owner[number] = path
        matched[which] = number
    return matched


def _nearest(path: str, numbers: Sequence[int], *, source: ImageLabels) -> int:
    """Of images with the file name of a raster, the one that shares most folders with it."""
    folders = _folders(path)
    shared = [len(folders & _folders(source.images[number].name)) for number in numbers]
    best = [n for n, s in zip(numbers, shared, strict=True) if s == max(shared)]
    if len(best) > 1:
        raise LabelError(
            f"{source.source}: {path} may be any of the images "
            f"{_some([source.images[number].name for number in best])}; rename them, or give the "
            f"labels of each folder with the rasters of that folder"
        )
    return best[0]


def _stem(path: str) -> str:
    """File name without folders and suffix, in lower case, of a path on any system."""
    return PurePosixPath(path.replace("\\", "/").partition("?")[0]).stem.casefold()


def _folders(path: str) -> set[str]:
    return set(PurePosixPath(path.replace("\\", "/")).parts[:-1]) - {".", "..", "/"}


def _map_frame(grid: Grid) -> FloatArray:
    """Lowest and highest map coordinates of a grid, ``float64[4]``."""
    w, h = grid.width, grid.height
    corners = grid.to_map(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64))
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def _touching(boxes: FloatArray, frame: FloatArray) -> IntArray:
    """Rows of the boxes that share ground with a frame; NaN shares none."""
    inside = (boxes[:, :2] < frame[2:]).all(axis=1) & (boxes[:, 2:] > frame[:2]).all(axis=1)
    return np.flatnonzero(inside)


def _mistaken(source: MapLabels, rasters: Sheets) -> str:
    """What would bring labels onto the rasters, if a common mistake is the cause."""
    bounds = projected_bounds(source.geometries, None, None)
    for path, grid in rasters:
        frame = _map_frame(grid)
        if len(_touching(bounds, frame)) and grid.crs is not None:
            authority = CRS(grid.crs).to_authority()
            name = ":".join(authority) if authority else CRS(grid.crs).name
            return (
                f"; their numbers would lie on {path} in its own CRS: name it with "
                f"--labels-crs {name}"
            )
    swapped = replace(source, geometries=_swapped(source.geometries))
    if any(len(positions) for _, _, positions in _place_map(swapped, rasters)):
        return "; with x and y swapped they would lie there: save them again in the right order"
    return ""


def _swapped(geometries: ObjectArray) -> ObjectArray:
    return np.asarray(shapely.transform(geometries, lambda xy: xy[:, ::-1]), dtype=object)


def _some(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = ", ..." if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
