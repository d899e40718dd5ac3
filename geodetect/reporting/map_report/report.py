"""``geodetect report``: detections on their imagery as a page that works offline."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd

from geodetect.progress import Progress, no_progress
from geodetect.reporting.drawing.canvas import open_to_show
from geodetect.reporting.html.output_folder import check_page, files_folder, staged_page
from geodetect.reporting.map_report.gallery import error_gallery, object_chips
from geodetect.reporting.map_report.image_pyramid import plan_imagery
from geodetect.reporting.map_report.imagery_store import Imagery, store
from geodetect.reporting.map_report.page import page_html
from geodetect.reporting.map_report.payload import facts, scene_content
from geodetect.reporting.map_report.scene import Scene, load
from geodetect.settings import ReportSettings
from geodetect.types import PathLike

COARSE = 1.5  # from this ratio on, objects in coarser imagery come with chips of their own


@dataclass(frozen=True)
class ReportSummary:
    """What a report holds.

    Args:
        output: The page.
        objects: Detections on it.
        left_out: Detections that are not on the raster.
        page_bytes: Size of the page.
        files: Folder of the pictures beside it; None if they are inside, or there are none.
        pictures: How many pictures the imagery was cut into.
        picture_bytes: Their size together.
        imagery_gsd_m: Ground size of the finest pixels shown; None without imagery or CRS.
    """

    output: Path
    objects: int
    left_out: int
    page_bytes: int
    files: Path | None
    pictures: int
    picture_bytes: int
    imagery_gsd_m: float | None


def report(
    predicted: PathLike | gpd.GeoDataFrame,
    output: str | os.PathLike[str],
    *,
    raster: str | os.PathLike[str] | None = None,
    truth: PathLike | gpd.GeoDataFrame | None = None,
    settings: ReportSettings | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> ReportSummary:
    """Write a page that shows detections on their imagery; it works without any network.

    The page has a map with boxes over the imagery, a score threshold, a class filter, counts,
    histograms, and, with truth, precision, recall, their curve and the worst errors. Everything is
    drawn in the pixels of the raster, so any georeference will do. Small rasters are inside the
    page; large ones are cut into pictures in a folder beside it, ``report_files``. The same input
    gives the same files.

    Args:
        predicted: Vector file of any format and CRS, or a table.
        output: The page, ``*.html``.
        raster: The imagery below; without it boxes are drawn on plain ground.
        truth: What should have been found, to see what is right.
        settings: How it is shown.
        overwrite: Replace the page and its folder.
        progress: Told how many pictures of the imagery are done.

    Returns:
        What was written.

    Raises:
        InputError: Files that cannot be used, or that show different places.
        RasterError: The imagery cannot be read.
        OutputError: The page exists, or cannot be written.
    """
    settings, target = settings or ReportSettings(), Path(output)
    check_page(target, overwrite=overwrite)
    with nullcontext() if raster is None else open_to_show(raster, settings) as image:
        scene = load(predicted, image, truth, settings)
        with staged_page(target, overwrite=overwrite) as page:
            imagery = _imagery(scene, settings, files_folder(page), progress)
            data = _data(scene, settings, imagery, source=_name(predicted))
            page.write_text(page_html(data["title"], data), encoding="utf-8")
            page_bytes = page.stat().st_size
    return ReportSummary(
        target,
        len(scene.found),
        scene.found.left_out,
        page_bytes,
        files_folder(target) if imagery and imagery.folder else None,
        imagery.pictures if imagery else 0,
        imagery.picture_bytes if imagery else 0,
        imagery.grid.gsd_m if imagery else None,
    )


def _imagery(
    scene: Scene, settings: ReportSettings, folder: Path, progress: Progress
) -> Imagery | None:
    if scene.frame.raster is None:
        return None
    plan = plan_imagery(scene.frame.grid, placement=settings.imagery, gsd_m=settings.gsd)
    return store(scene.frame.raster, plan, folder, progress)


def _data(
    scene: Scene, settings: ReportSettings, imagery: Imagery | None, *, source: str
) -> dict[str, Any]:
    """All that the page is made of, as plain values."""
    subject = scene.frame.raster.name if scene.frame.raster else source
    coarse = imagery is not None and scene.frame.grid.width > COARSE * imagery.grid.width
    return {
        "title": settings.title or (f"Detections in {subject}" if subject else "Detections"),
        "note": settings.note or "",
        "facts": facts(scene),
        "conf": settings.conf,
        **scene_content(scene),
        "gallery": error_gallery(scene, conf=settings.conf, count=settings.chips),
        "chips": object_chips(scene) if coarse else [],
        "imagery": imagery.content if imagery else None,
    }


def _name(source: PathLike | gpd.GeoDataFrame) -> str:
    return "" if isinstance(source, gpd.GeoDataFrame) else Path(source).name
