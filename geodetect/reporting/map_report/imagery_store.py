"""Where the pictures of a page go: into it, or into a folder beside it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodetect.geo.grid import Grid
from geodetect.io.raster.reader import Raster
from geodetect.progress import Progress
from geodetect.reporting.drawing.images import PIECE_PX
from geodetect.reporting.html.output_folder import INDEX
from geodetect.reporting.map_report.image_pyramid import Plan, build


@dataclass(frozen=True)
class Imagery:
    """The pictures of a page.

    Args:
        grid: The pixels of the finest level.
        pictures: How many there are.
        picture_bytes: Their size together.
        folder: Where they are; None: inside the page.
        content: What the program of the page gets.
    """

    grid: Grid
    pictures: int
    picture_bytes: int
    folder: Path | None
    content: dict[str, Any]


def store(raster: Raster, plan: Plan, folder: Path, progress: Progress) -> Imagery:
    """Cut a raster into pictures and put them where the plan says.

    Args:
        raster: An open raster.
        plan: Resolution and place.
        folder: The folder to make if they go beside the page.
        progress: Told how many pictures of the finest level are done.

    Raises:
        RasterError: The pixels cannot be read.
    """
    beside = plan.placement == "beside"
    shelf: _Folder | _Inside = _Folder(folder) if beside else _Inside()
    build(raster, plan, shelf.save, progress=progress)
    content = {
        "width": plan.grid.width,
        "height": plan.grid.height,
        "levels": plan.levels,
        "side": PIECE_PX,
        "folder": folder.name if beside else None,
        "pictures": list(shelf.sizes) if beside else shelf.uris,
    }
    if beside:
        (folder / INDEX).write_text(json.dumps(content), encoding="utf-8")
    sizes = shelf.sizes.values()
    return Imagery(plan.grid, len(sizes), sum(sizes), folder if beside else None, content)


def data_uri(webp: bytes) -> str:
    """A picture as text that stands for a file."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


@dataclass
class _Inside:
    """Collects pictures as texts."""

    uris: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def save(self, key: str, webp: bytes) -> None:
        self.uris[key] = data_uri(webp)
        self.sizes[key] = len(webp)


@dataclass
class _Folder:
    """Writes pictures to files."""

    path: Path
    uris: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path.mkdir()

    def save(self, key: str, webp: bytes) -> None:
        file = self.path / f"{key}.webp"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(webp)
        self.sizes[key] = len(webp)
