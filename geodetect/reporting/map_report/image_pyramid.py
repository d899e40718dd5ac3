"""Imagery as a pyramid of small pictures, of which a page loads those in sight."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from geodetect.geo.grid import Grid
from geodetect.io.raster.reader import Raster
from geodetect.progress import Progress, no_progress
from geodetect.reporting.drawing.images import PIECE_PX, encoded, is_blank, strip

INSIDE_PX = 16_000_000  # about 2 MB of page
BESIDE_PX = 400_000_000  # about 80 MB of files

Placement = Literal["inside", "beside"]
Save = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Plan:
    """How imagery is shown.

    Args:
        placement: ``inside`` the page, or in files ``beside`` it.
        grid: The pixels of the finest level.
    """

    placement: Placement
    grid: Grid

    @property
    def levels(self) -> int:
        """Levels until one picture holds everything; each has half the resolution."""
        side = max(self.grid.width, self.grid.height)
        return 1 + max(0, math.ceil(math.log2(side / PIECE_PX)))

    @property
    def pieces(self) -> int:
        """Pictures of the finest level."""
        across, down = math.ceil(self.grid.width / PIECE_PX), math.ceil(self.grid.height / PIECE_PX)
        return across * down


def plan_imagery(
    grid: Grid, *, placement: Literal["auto", "inside", "beside"], gsd_m: float | None = None
) -> Plan:
    """Decide where pictures go and how fine they are.

    By size: up to ``INSIDE_PX`` pixels go inside the page, more beside it. What exceeds the limit
    of its place (``INSIDE_PX``, ``BESIDE_PX``) is shown coarser, unless a resolution is given.

    Args:
        grid: The pixels of the raster.
        placement: Where; ``auto`` by size.
        gsd_m: Finest ground resolution in metres; the raster's own is never exceeded.
    """
    scale = 1.0 if gsd_m is None or grid.gsd_m is None else min(1.0, grid.gsd_m / gsd_m)
    pixels = grid.width * grid.height * scale**2
    place: Placement = "inside" if placement == "inside" or (
        placement == "auto" and pixels <= INSIDE_PX
    ) else "beside"  # fmt: skip
    limit = INSIDE_PX if place == "inside" else BESIDE_PX
    if gsd_m is None and pixels > limit:
        scale = math.sqrt(limit / pixels)
    return Plan(place, grid if scale == 1.0 else grid.resampled(scale, scale))


def build(raster: Raster, plan: Plan, save: Save, *, progress: Progress = no_progress) -> None:
    """Cut a raster into pictures of ``PIECE_PX`` pixels, at all levels.

    Every pixel is read once: coarser levels are averages of finer ones, made strip by strip, so
    memory grows with the width of the raster but not with its height. Pictures without any valid
    pixel are left out.

    Args:
        raster: An open raster.
        plan: Resolution and levels.
        save: Takes ``LEVEL/COLUMN_ROW``, level 0 being the finest, and the WebP file.
        progress: Told how many pictures of the finest level are done.

    Raises:
        RasterError: The pixels cannot be read.
    """
    strips: Iterator[Image.Image] = _read(raster, plan, progress)
    strips = _saved(strips, 0, save)
    for level in range(1, plan.levels):
        strips = _saved(_halved(strips), level, save)
    for _ in strips:  # each level draws on the one below it
        pass


def _read(raster: Raster, plan: Plan, progress: Progress) -> Iterator[Image.Image]:
    rows = range(0, plan.grid.height, PIECE_PX)
    for done, y0 in enumerate(rows, start=1):
        yield strip(raster, plan.grid, y0)
        progress(plan.pieces * done // len(rows), plan.pieces)


def _saved(strips: Iterator[Image.Image], level: int, save: Save) -> Iterator[Image.Image]:
    """Pass strips on, and save their pictures."""
    for row, image in enumerate(strips):
        for column, x0 in enumerate(range(0, image.width, PIECE_PX)):
            piece = image.crop((x0, 0, min(x0 + PIECE_PX, image.width), image.height))
            if not is_blank(piece):
                save(f"{level}/{column}_{row}", encoded(piece))
        yield image


def _halved(strips: Iterator[Image.Image]) -> Iterator[Image.Image]:
    """Strips of half the resolution, each of two; odd edges keep a pixel of half the weight."""
    halves = (image.reduce(2) for image in strips)
    for upper in halves:
        lower = next(halves, None)
        if lower is None:
            yield upper
            return
        both = Image.new("RGBA", (upper.width, upper.height + lower.height))
        both.paste(upper, (0, 0))
        both.paste(lower, (0, upper.height))
        yield both
