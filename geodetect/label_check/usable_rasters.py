"""Rasters that a training can use: they open, have the bands and a CRS, and can be read."""

from __future__ import annotations

from collections.abc import Sequence

from geodetect.errors import InputError, list_names
from geodetect.geo.tiles import Window
from geodetect.io.labels.label_set import LabelSet
from geodetect.io.raster.georeference import georeference_advice
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Raster, RasterOptions
from geodetect.settings.inputs import RasterSettings

ADVICE_IN_PIXELS = "set `gsd` to the ground size of its pixels, to use it in pixel coordinates"
ADVICE_ON_MAP = "leave it out: labels on a map need one"
BANDS = 3  # input bands of a network
MOST_PROBED = 100  # rasters whose pixels are probed
PROBE_PX = 16


def raster_options(
    labels: LabelSet,
    settings: RasterSettings,
    *,
    gsd_m: float | None,
) -> RasterOptions:
    """Return the options for rasters with labels, which need no georeference in pixels.

    Args:
        labels: Labels of any kind.
        settings: Settings for reading the rasters.
        gsd_m: Ground resolution of the training; also that of rasters without georeference.
    """
    return RasterOptions(
        bands=settings.bands,
        value_range=settings.value_range,
        src_crs=settings.src_crs,
        external_sources=settings.external_sources,
        pixels_allowed=labels.in_pixels and gsd_m is not None,
        pixel_size_m=gsd_m,
    )


def check_one_kind(rasters: Sequence[Raster]) -> None:
    """Check that all rasters have a georeference, or none.

    Raises:
        InputError: Some have one, and others are in pixel coordinates.
    """
    in_pixels = [raster.path for raster in rasters if raster.grid.crs is None]
    if 0 < len(in_pixels) < len(rasters):
        raise InputError(
            f"{len(in_pixels)} of {len(rasters)} rasters have no georeference "
            f"({list_names(in_pixels)}), the others have one; train with one kind, or add world "
            f"files"
        )


def open_usable(
    path: str, options: RasterOptions, labels: LabelSet, *, probe: bool = True
) -> Raster:
    """Open a raster that a training can use.

    Args:
        path: The file.
        options: See ``raster_options``.
        labels: Labels of the training.
        probe: Read two small windows, the centre and the last pixels, which a truncated file lacks.

    Raises:
        InputError: It lacks the bands that a network takes, or its CRS cannot be used.
        RasterError: It cannot be opened or read.
    """
    advice = ADVICE_IN_PIXELS if labels.in_pixels else ADVICE_ON_MAP
    with georeference_advice(advice):
        raster = open_raster(path, options, needed_bands=BANDS)
    grid = raster.grid
    grid.gsd_xy_m  # noqa: B018 (raises where the CRS is not defined)
    if probe:
        width, height = min(PROBE_PX, grid.width), min(PROBE_PX, grid.height)
        with raster:  # reads open it, this closes it: a system has only so many open files
            for fraction in (0.5, 1.0):
                x = int((grid.width - width) * fraction)
                y = int((grid.height - height) * fraction)
                raster.read(Window(x, y, width, height))
    return raster
