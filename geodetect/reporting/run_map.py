"""Map of a planned run: its ground, with each shard in the colour of its status."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw
from pyproj import CRS

from geodetect.detection.plan import GroundPlan
from geodetect.detection.sharding.manifest import Manifest
from geodetect.detection.sharding.status import RunStatus, run_status
from geodetect.errors import InputError
from geodetect.geo.reproject import densify, reproject_or_none
from geodetect.io.atomic import check_folder, check_overwrite, final_path
from geodetect.io.inputs import protect_inputs
from geodetect.io.object_store import open_store
from geodetect.io.vector.qgis_style import GREEN, ORANGE, PURPLE, SKY_BLUE, VERMILLION, Colour
from geodetect.reporting.drawing import primitives
from geodetect.reporting.drawing.images import FORMATS, write_image
from geodetect.types import ObjectArray, PathLike

IMAGE_PX = 900  # longer side
ABSENT: Colour = (205, 210, 216)
MAX_CLIPPED = 5_000  # rasters; shards over more are drawn with the gaps between rasters
GAP = 0.05  # between images without a CRS, as a fraction of their width
PADDING_PX, LINE_PX, FONT_PX, SWATCH_PX = 16, 24, 13, 14


def draw_run_map(
    location: PathLike,
    output: PathLike | None = None,
    *,
    overwrite: bool = False,
    status: RunStatus | None = None,
) -> Image.Image:
    """Draw the ground of a planned run, with each shard in the colour of its status.

    Grounds in other CRS are warped to that of the first; images without a CRS lie side by side.

    Args:
        location: Folder of the run, see ``plan_to_folder``.
        output: Image file to write: ``*.png``, ``*.jpg`` or ``*.webp``; None: no file.
        overwrite: Replace the file.
        status: Status of the run; None: it is read.

    Returns:
        An RGB image.

    Raises:
        InputError: There is no plan, or ``output`` is no image file.
        OutputError: The file exists, or cannot be written.
    """
    target = None if output is None else Path(output)
    store = open_store(location)
    manifest = Manifest.read(store)
    plans = manifest.read_plans(store)
    if target is not None:  # before the work, not only after it
        if target.suffix.lower() not in FORMATS:
            raise InputError(
                f"{target.name} is no image file; end `output` in one of {', '.join(FORMATS)}"
            )
        rasters = [raster.path for plan in plans for raster in plan.ground.rasters]
        with protect_inputs(rasters):
            check_folder(final_path(target))
            check_overwrite(final_path(target), overwrite=overwrite)
    image = _draw(plans, manifest, status or run_status(location))
    if target is not None:
        write_image(image, target, overwrite=overwrite)
    return image


def _draw(plans: list[GroundPlan], manifest: Manifest, status: RunStatus) -> Image.Image:
    shapes = _shapes_on_map(plans, manifest)
    x1, y1, x2, y2 = shapely.total_bounds(shapes)
    map_px = max(x2 - x1, y2 - y1) / IMAGE_PX  # map units
    width, height = (max(1, math.ceil(side / map_px)) for side in (x2 - x1, y2 - y1))
    legend = _list_legend(status)
    footer_px = 3 * LINE_PX + len(legend) * LINE_PX
    size = max(width, IMAGE_PX // 2) + 2 * PADDING_PX, height + 2 * PADDING_PX + footer_px
    image = Image.new("RGB", size, primitives.WHITE)
    draw = ImageDraw.Draw(image)
    corner, scale = np.array([x1, y2]), np.array([1, -1]) / map_px
    in_image = shapely.transform(shapes, lambda xy: (xy - corner) * scale + PADDING_PX)
    colours = _colours(status)
    for number, shape in enumerate(in_image):
        for part in shapely.get_parts(shape):
            ring = shapely.get_coordinates(part.exterior).ravel().tolist()
            draw.polygon(ring, colours.get(number, ABSENT), primitives.WHITE)
    y = height + 2 * PADDING_PX + LINE_PX
    first = plans[0].grid
    unit_m = None  # metres of a map unit
    if first.gsd_m is not None:
        unit_m = first.gsd_m / math.sqrt(abs(first.transform.determinant))
    gsd_m = None if unit_m is None else map_px * unit_m
    primitives.draw_scale_bar(image, (PADDING_PX, y), gsd_m=gsd_m)
    font = primitives.load_font(FONT_PX)
    for colour, text in legend:
        y += LINE_PX
        box = (PADDING_PX, y - SWATCH_PX // 2, PADDING_PX + SWATCH_PX, y + SWATCH_PX // 2)
        draw.rectangle(box, colour, primitives.GREY)
        left = PADDING_PX + SWATCH_PX + 8
        draw.text((left, y), text, primitives.BLACK, font, anchor="lm")
    return image


def _shapes_on_map(plans: list[GroundPlan], manifest: Manifest) -> ObjectArray:
    """Return the ground of each shard in the CRS of the first ground, y upwards."""
    crs, shapes, left = plans[0].grid.crs, list[shapely.Geometry](), 0.0
    for number, plan in enumerate(plans):
        blocks = [shard.block for shard in manifest.shards if shard.ground == number]
        boxes = []
        for block in blocks:
            first = plan.scheme.tile(block.first_row, block.first_col)
            last = plan.scheme.tile(block.end_row - 1, block.end_col - 1)
            boxes.append(shapely.box(first.x, first.y, last.x + last.width, last.y + last.height))
        in_pixels = np.array(boxes, dtype=object)
        if len(plan.ground.rasters) <= MAX_CLIPPED:
            scale = plan.ground.grid.scale_to(plan.grid)
            imagery = shapely.transform(
                shapely.union_all(plan.ground.outlines), lambda xy, s=scale: xy * s
            )
            in_pixels = shapely.intersection(in_pixels, imagery)
        shapes += list(_to_map(in_pixels, plan, crs, left))
        left += plan.grid.width * (1 + GAP)
    return np.array(shapes, dtype=object)


def _to_map(in_pixels: ObjectArray, plan: GroundPlan, crs: CRS | None, left: float) -> ObjectArray:
    """Return shapes in pixels of a plan on the map; without a CRS to the right of ``left``."""
    if plan.grid.crs is None or crs is None:
        return np.asarray(shapely.transform(in_pixels, lambda xy: xy * [1, -1] + [left, 0]))
    on_map = np.asarray(shapely.transform(in_pixels, plan.grid.to_map), dtype=object)
    placed = reproject_or_none(densify(on_map, plan.grid.crs), plan.grid.crs, crs)
    return np.where(shapely.is_missing(placed), shapely.Polygon(), placed)


def _colours(status: RunStatus) -> dict[int, Colour]:
    """Return the colour of each shard that a worker has begun, by number."""
    return (
        dict.fromkeys(status.finished, GREEN)
        | dict.fromkeys(status.with_holes, ORANGE)
        | dict.fromkeys(status.interrupted, PURPLE)
        | dict.fromkeys(status.failed, VERMILLION)
        | dict.fromkeys(status.running, SKY_BLUE)
    )


def _list_legend(status: RunStatus) -> list[tuple[Colour, str]]:
    """Return the colour and the text of each status that occurs."""
    begun = {*status.running, *status.failed, *status.interrupted}
    counts = (
        (GREEN, len(status.finished), "computed"),
        (ORANGE, len(set(status.with_holes) - set(status.running)), "computed, with holes"),
        (SKY_BLUE, len(status.running), "running"),
        (VERMILLION, len(status.failed), "failed"),
        (PURPLE, len(status.interrupted), "interrupted"),
        (ABSENT, len(set(status.absent) - begun), "absent"),
    )
    return [
        (colour, f"{count:,} of {status.shards:,} shards {text}")
        for colour, count, text in counts
        if count
    ]
