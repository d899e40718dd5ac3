"""Cutting rasters and their labels into chips."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geodetect.chips.annotation_formats import LabelledChip
from geodetect.chips.images import chip_grid, write_image
from geodetect.errors import InputError
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.geo.summed_area import SummedAreaTable
from geodetect.geo.tiles import Tile, TileScheme
from geodetect.io.labels.label_set import LabelSet
from geodetect.io.labels.placement import place_labels
from geodetect.io.raster.reader import Raster, RasterOptions, find_rasters, open_raster
from geodetect.progress import Progress
from geodetect.settings import ChipSettings
from geodetect.types import FloatArray, IntArray, ObjectArray, PathLike

SEED = 0  # of the choice of chips without objects


@dataclass(frozen=True)
class Sheet:
    """A raster at the resolution of the chips, with the labels on it.

    Args:
        raster: The raster; reading opens it, closing it leaves it usable.
        stem: How the names of its chips begin.
        grid: Its pixels at the resolution of the chips.
        boxes: ``float64[K, 4]`` labels on it, in pixels of ``grid``.
        names: ``object[K]`` their classes.
        rows: ``int64[K]`` their numbers in the ``LabelSet``.
    """

    raster: Raster
    stem: str
    grid: Grid
    boxes: FloatArray
    names: ObjectArray
    rows: IntArray


@dataclass(frozen=True)
class Place:
    """Where a chip may be cut.

    Args:
        sheet: The raster.
        tile: Its window in pixels of the sheet's grid.
        touched: ``int64[T]`` labels of the sheet that share ground with it.
    """

    sheet: Sheet
    tile: Tile
    touched: IntArray


@dataclass(frozen=True)
class Cutter:
    """Makes the chip of a place, unless there is nothing on it to learn from.

    Args:
        images: Folder of the images.
        settings: Settings of the export.
        classes: Names of the classes, in the order of their numbers.
    """

    images: Path
    settings: ChipSettings
    classes: Sequence[str]

    def __call__(self, place: Place) -> LabelledChip | None:
        """Write the image; None if nothing is valid, or no object it touches visible enough."""
        sheet, tile, rows = place.sheet, place.tile, place.touched
        pixels = sheet.raster.read(tile, sheet.grid)
        if not pixels.valid.any():
            return None
        whole = sheet.boxes[rows]
        boxes = box_ops.clip(whole, tile.box)
        inside = box_ops.area(boxes) / box_ops.area(whole)
        boxes = boxes - np.tile(tile.box[:2], 2)
        kept = (
            inside * SummedAreaTable(pixels.valid).fractions(boxes)
            >= self.settings.min_visible - 1e-9
        )
        if len(rows) and not kept.any():
            return None
        name = f"{sheet.stem}_x{tile.x:05d}_y{tile.y:05d}.{self.settings.image_format}"
        grid = chip_grid(sheet.grid, tile)
        write_image(self.images / name, pixels, grid)
        return LabelledChip(
            name,
            sheet.raster.name,
            *(tile.x, tile.y, grid, len(pixels.values)),
            boxes=boxes[kept],
            labels=np.array([self.classes.index(sheet.names[r]) for r in rows[kept]], np.int64),
            truncated=(inside < 1 - 1e-9)[kept],
            rows=sheet.rows[rows[kept]],
        )


def open_sheets(
    paths: PathLike | Sequence[PathLike],
    labels: LabelSet,
    settings: ChipSettings,
) -> list[Sheet]:
    """The rasters at the resolution of the chips, with the labels on them.

    Args:
        paths: Files, folders or URLs of rasters.
        labels: Labels of any kind.
        settings: Settings of the export.

    Raises:
        LabelError: It is not plain which raster an image of a data set is.
        InputError: The image format cannot hold the bands of a raster.
    """
    options = RasterOptions(settings.bands, settings.value_range, settings.src_crs)
    rasters = [open_raster(path, options) for path in find_rasters(paths)]
    sheets: list[Sheet] = []
    for labelled in place_labels(labels, rasters):
        raster = labelled.raster
        if settings.image_format != "tif" and raster.band_count not in (1, 3):
            raise InputError(
                f"{raster.path} gives {raster.band_count} bands, but {settings.image_format} takes "
                f"1 or 3; choose them with `bands`, or set `image_format` to tif"
            )
        grid = raster.grid
        if settings.gsd is not None and grid.gsd_xy_m is not None:
            along_row, along_column = grid.gsd_xy_m
            grid = grid.resampled(along_row / settings.gsd, along_column / settings.gsd)
        stem = re.sub(r"[^\w.-]+", "_", Path(raster.path).stem)
        stem = _free_name(stem, {sheet.stem for sheet in sheets})
        boxes = labelled.boxes * np.tile(raster.grid.scale_to(grid), 2)
        sheets.append(Sheet(raster, stem, grid, boxes, labelled.class_names, labelled.ids))
    return sheets


def _free_name(stem: str, taken: set[str]) -> str:
    """Sheets of the same name in different folders are told apart by a number."""
    names = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _places(sheet: Sheet, settings: ChipSettings) -> list[Place]:
    """All chips of a raster, with the labels they touch."""
    size = sheet.grid.width, sheet.grid.height
    tiles = list(TileScheme(*size, settings.chip_px, settings.overlap_px))
    frames = np.array([tile.box for tile in tiles])
    pairs = box_ops.overlap_pairs(frames, sheet.boxes)
    pairs = pairs[box_ops.intersection(frames[pairs[:, 0]], sheet.boxes[pairs[:, 1]]) > 0]
    ends = np.searchsorted(pairs[:, 0], np.arange(1, len(tiles)))
    by_tile = np.split(pairs[:, 1], ends)
    return [Place(sheet, tile, touched) for tile, touched in zip(tiles, by_tile, strict=True)]


def cut_chips(sheets: Sequence[Sheet], cut: Cutter, progress: Progress) -> list[LabelledChip]:
    """Write all chips that are wanted, those with objects first.

    Args:
        sheets: The rasters.
        cut: Writes one chip.
        progress: Told how many places were looked at.
    """
    cut.images.mkdir()
    places = [place for sheet in sheets for place in _places(sheet, cut.settings)]
    full = [place for place in places if len(place.touched)]
    bare = [place for place in places if not len(place.touched)]
    per_full = cut.settings.empty
    if not np.isinf(per_full):
        bare = [bare[i] for i in np.random.default_rng(SEED).permutation(len(bare))]
    most = _share(per_full, len(full), len(bare))
    steps, total = itertools.count(1), len(full) + most

    def tick() -> None:
        progress(min(next(steps), total), total)

    chips = list(_take(full, cut, most=len(full), tick=tick))
    most = _share(per_full, len(chips), len(bare))
    return chips + list(_take(bare, cut, most=most, tick=tick))


def _share(per_full: float, full: int, bare: int) -> int:
    """How many chips without objects are wanted."""
    return bare if np.isinf(per_full) else min(bare, round(per_full * full))


def _take(
    places: Sequence[Place], cut: Cutter, *, most: int, tick: Callable[[], None]
) -> Iterator[LabelledChip]:
    """The chips of the places, until there are enough; one raster is open at a time."""
    taken = 0
    for _, group in itertools.groupby(places, key=lambda place: place.sheet.stem):
        own = list(group)
        with own[0].sheet.raster:  # reads open it, this closes it
            for place in own:
                if taken == most:
                    return
                chip = cut(place)
                tick()
                if chip is not None:
                    taken += 1
                    yield chip
