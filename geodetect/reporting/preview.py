"""``geodetect preview``: a raster and its predictions, or some predictions, as one image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import geopandas as gpd
from PIL import Image

from geodetect.errors import InputError
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.atomic import check_folder, check_overwrite, final_path
from geodetect.io.inputs import protect_inputs
from geodetect.reporting.drawing.canvas import RasterCanvas
from geodetect.reporting.drawing.contact_sheet import draw_contact_sheet
from geodetect.reporting.drawing.images import FORMATS, write_image
from geodetect.reporting.drawing.layers import place_on_canvas, read_prediction_table
from geodetect.reporting.drawing.mosaic import open_imagery
from geodetect.reporting.drawing.overview import draw_overview
from geodetect.reporting.drawing.zones import place_zones
from geodetect.settings import PreviewSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import PreviewKeywords
from geodetect.types import PathLike, RasterSource


@takes_settings(PreviewSettings)
def preview(
    raster: RasterSource | Sequence[RasterSource],
    predictions: PathLike | gpd.GeoDataFrame | None = None,
    *,
    zones: PathLike | gpd.GeoDataFrame | None = None,
    output: str | os.PathLike[str] | None = None,
    settings: PreviewSettings | Mapping[str, Any] | None = None,
    overwrite: bool = False,
    **keywords: Unpack[PreviewKeywords],
) -> Image.Image:
    """Draw a raster with its predictions or changes, or a contact sheet of some of them.

    The overview shows the whole raster, outlines or boxes coloured by score or status, a
    legend, a scale bar, and outlines of zones. Contact
    sheets show thumbnails of the ``best`` or ``worst`` scores, or of the most ``uncertain`` ones:
    those nearest to ``conf`` (0.5 without it), above or below. Memory does not grow with the
    raster.

    Args:
        raster: Files, folders or URLs, arrays, or open datasets of rasterio. Several are one map:
            where they overlap the first is on top, and those in other CRS are warped to that of the
            first.
        predictions: Vector file of any format and CRS, or a table: predictions, or the changes that
            ``compare`` wrote. None: only the raster.
        zones: Polygons to outline; not on contact sheets.
        output: Image file to write: ``*.png``, ``*.jpg`` or ``*.webp``; None: no file.
        settings: Kind of image, size and score threshold.
        overwrite: Replace the file.
        keywords: Settings by name, such as ``image_size=800``; they win over ``settings``.

    Returns:
        An RGB image.

    Raises:
        InputError: Files or settings that cannot be used, or files of different areas.
        RasterError: The raster cannot be read.
        OutputError: The file exists, or cannot be written.
    """
    settings, paths = PreviewSettings.resolve(settings, keywords), as_raster_paths(raster)
    target = None if output is None else Path(output)
    if target is not None:  # before the work, not only after it
        if target.suffix.lower() not in FORMATS:
            raise InputError(
                f"{target.name} is no image file; end `output` in one of {', '.join(FORMATS)}"
            )
        with protect_inputs(paths, predictions, zones):
            check_folder(final_path(target))
            check_overwrite(final_path(target), overwrite=overwrite)
    if settings.sheet is not None and predictions is None:
        raise InputError("a contact sheet shows predictions; name their file after the raster")
    with open_imagery(paths, settings) as opened:
        canvas, layer = RasterCanvas.from_raster(opened), None
        if predictions is not None:
            table = read_prediction_table(predictions, settings)
            layer = place_on_canvas(table, canvas)
        if layer is not None and settings.sheet is not None:
            image = draw_contact_sheet(canvas, layer, settings)
        else:
            outlines = (
                [] if zones is None else place_zones(zones, canvas, zones_crs=settings.zones_crs)
            )
            image = draw_overview(canvas, layer, settings, outlines)
    if target is not None:
        write_image(image, target, overwrite=overwrite)
    return image
