"""``geodetect preview``: a scene, its detections, and chips of some of them as one picture."""

from __future__ import annotations

import os
from pathlib import Path

import geopandas as gpd
from PIL import Image

from geodetect.errors import InputError
from geodetect.io.atomic import check_folder, check_overwrite
from geodetect.reporting.drawing.canvas import open_to_show, raster_frame
from geodetect.reporting.drawing.contact_sheet import draw_sheet
from geodetect.reporting.drawing.images import FORMATS, write_picture
from geodetect.reporting.drawing.layers import place, read_detections
from geodetect.reporting.drawing.overview import draw_overview
from geodetect.settings import PreviewSettings
from geodetect.types import PathLike


def preview(
    scene: str | os.PathLike[str],
    predicted: PathLike | gpd.GeoDataFrame | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    settings: PreviewSettings | None = None,
    overwrite: bool = False,
) -> Image.Image:
    """Draw a raster with its detections, or a contact sheet of some of them.

    The overview shows the whole raster, boxes coloured by score, a legend and a scale bar. Contact
    sheets show chips of the ``best`` or ``worst`` scores, or of the most ``uncertain`` ones: those
    nearest to ``conf`` (0.5 without it), on either side. Memory does not grow with the raster.

    Args:
        scene: The raster.
        predicted: Vector file of any format and CRS, or a table; None: only the raster.
        output: Where to write the picture: ``*.png``, ``*.jpg`` or ``*.webp``.
        settings: What is drawn, and how.
        overwrite: Replace the file.

    Returns:
        An RGB picture.

    Raises:
        InputError: Files or options that cannot be used, or that show different places.
        RasterError: The raster cannot be read.
        OutputError: The file exists, or cannot be written.
    """
    settings = settings or PreviewSettings()
    if output is not None:
        _check_target(Path(output), overwrite=overwrite)
    if settings.sheet is not None and predicted is None:
        raise InputError("a contact sheet shows detections; name their file after the scene")
    with open_to_show(scene, settings) as raster:
        frame = raster_frame(raster)
        table = None if predicted is None else read_detections(predicted, settings)
        found = None if table is None else place(table, frame, what="detections")
        if found is not None and settings.sheet is not None:
            image = draw_sheet(frame, found, settings)
        else:
            image = draw_overview(frame, found, settings)
    if output is not None:
        write_picture(image, Path(output), overwrite=overwrite)
    return image


def _check_target(target: Path, *, overwrite: bool) -> None:
    """Raise now what `write_picture` would raise later."""
    if target.suffix.lower() not in FORMATS:
        raise InputError(
            f"{target.name}: a picture is one of {', '.join(FORMATS)}; call --output overview.png"
        )
    check_folder(target.resolve())
    check_overwrite(target.resolve(), overwrite=overwrite)
