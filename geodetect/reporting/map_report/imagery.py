"""Imagery of a report: image tiles inside the page, or in a folder beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodetect.geo.grid import Grid
from geodetect.io.raster.reader import Raster
from geodetect.progress import Progress
from geodetect.reporting.drawing.images import data_uri
from geodetect.reporting.html.output_folder import INDEX
from geodetect.reporting.map_report.image_pyramid import TILE_PX, PyramidPlan, build_pyramid


@dataclass(frozen=True)
class Imagery:
    """The image tiles of a report.

    Args:
        grid: The pixels of the finest level.
        tiles: Number of tiles.
        size_bytes: Size of all tiles.
        folder: Their folder; None: they are inside the page.
        payload: Description for the script of the page.
    """

    grid: Grid
    tiles: int
    size_bytes: int
    folder: Path | None
    payload: dict[str, Any]


def write_imagery(raster: Raster, plan: PyramidPlan, folder: Path, progress: Progress) -> Imagery:
    """Cut a raster into image tiles, and write them to a folder if they go beside the page.

    Args:
        raster: An open raster.
        plan: Resolution and location.
        folder: The folder to make.
        progress: Called with the number of finished tiles at level 0.

    Raises:
        RasterError: The pixels cannot be read.
    """
    sizes: dict[str, int] = {}
    uris: dict[str, str] = {}
    is_beside = plan.placement == "beside"
    if is_beside:
        folder.mkdir()

    def save(key: str, webp: bytes) -> None:
        sizes[key] = len(webp)
        if is_beside:
            file = folder / f"{key}.webp"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(webp)
        else:
            uris[key] = data_uri(webp)

    build_pyramid(raster, plan, save, progress=progress)
    payload = {
        "width": plan.grid.width,
        "height": plan.grid.height,
        "levels": plan.levels,
        "tile_px": TILE_PX,
        "folder": folder.name if is_beside else None,
        "tiles": list(sizes) if is_beside else uris,
    }
    if is_beside:
        (folder / INDEX).write_text(json.dumps(payload), encoding="utf-8")
    size_bytes = sum(sizes.values())
    return Imagery(plan.grid, len(sizes), size_bytes, folder if is_beside else None, payload)
