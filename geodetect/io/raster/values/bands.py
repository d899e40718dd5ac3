"""Selection of bands, and colour tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.warp import reproject
from rasterio.windows import Window

from geodetect.errors import BandError
from geodetect.io.raster.georeference import RESAMPLING
from geodetect.types import AnyArray, BoolArray, UInt8Array

RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
MAX_BANDS = 1024  # that are read unasked: rasterio checks each against all others
MAX_BAND_LIST = 120  # characters of an error message
_SAME_CRS = "EPSG:3857"  # any projected CRS: GDAL's warper asks for two, pixels are only resampled


def choose_bands(
    colours: Sequence[ColorInterp], bands: Sequence[int] | None, *, needed: int | None
) -> tuple[int, ...]:
    """Choose the bands to read, counted from 1.

    Args:
        colours: Colour interpretation of each band of the raster.
        bands: The user's choice, or None: red, green and blue if the raster has them, else all
            bands but alpha.
        needed: Number of bands the model takes; None: any. If it takes more than three, red, green
            and blue are followed by the rest in the order of the file.

    Raises:
        BandError: The raster lacks a chosen band, or the choice is ambiguous.
    """
    if bands is not None:
        missing = [band for band in bands if not 1 <= band <= len(colours)]
        if missing:
            raise BandError(
                f"`bands` asks for band {missing[0]}, but this raster has {len(colours)} "
                f"(counted from 1 to {len(colours)})"
            )
        if not bands or (needed is not None and len(bands) != needed):
            raise BandError(
                f"`bands` names {len(bands)} bands, but the model takes {needed or 'some'}"
            )
        return tuple(bands)
    data = [i for i, c in enumerate(colours, start=1) if c != ColorInterp.alpha]
    if all(colour in colours for colour in RGB):
        rgb = [list(colours).index(colour) + 1 for colour in RGB]
        rest = [i for i in data if i not in rgb]
        data = rgb + (rest if (needed or 0) > len(rgb) else [])
    if needed is None and len(data) > MAX_BANDS:
        raise BandError(
            f"this raster has {len(data):,} bands, and the detector does not say which it takes; "
            f"set `bands` to at most {MAX_BANDS:,} of them"
        )
    if needed is None or len(data) == needed:
        return tuple(data)
    band_list = ", ".join(f"{i} {c.name}" for i, c in enumerate(colours, start=1))
    if len(band_list) > MAX_BAND_LIST:
        band_list = band_list[: MAX_BAND_LIST - 3] + "..."
    example = ",".join(["1"] * needed if len(data) < needed else map(str, range(1, needed + 1)))
    raise BandError(
        f"the model takes {needed} bands and this raster does not say which: it has "
        f"{band_list}; set `bands`, e.g. to {example}"
    )


def read_colour_table(dataset: Any) -> UInt8Array | None:
    """Return the colour table of a dataset as ``uint8[4, values]``, or None.

    The rows are red, green, blue, and 255 where the entry is not completely transparent.
    A band that is called a palette and has no table holds grey levels.
    """
    dtype = dataset.dtypes[0]
    if dataset.colorinterp[0] != ColorInterp.palette or dtype not in ("uint8", "uint16"):
        return None
    try:
        colours = dataset.colormap(1)
    except ValueError:  # rasterio: NULL color table
        return None
    table = np.zeros((4, np.iinfo(dtype).max + 1), np.uint8)
    table[3] = 255  # of values without an entry
    for index, (*rgb, alpha) in colours.items():
        table[:, index] = (*rgb, 255 * (alpha > 0))
    return table


def is_not_nodata(values: AnyArray, nodata: float | None) -> BoolArray:
    """Return True where values differ from the nodata value, compared in the dtype of the file."""
    if nodata is None:
        return np.ones(values.shape, bool)
    if np.isnan(nodata):
        return ~np.isnan(values)
    with np.errstate(over="ignore", invalid="ignore"):
        same = values == np.float64(nodata).astype(values.dtype)
    is_representable = values.dtype.kind == "f" or (
        float(nodata).is_integer()
        and np.iinfo(values.dtype).min <= nodata <= np.iinfo(values.dtype).max
    )
    return ~same if is_representable else np.ones(values.shape, bool)


def read_colours(
    dataset: Any, table: UInt8Array, window: Window, shape: tuple[int, int]
) -> UInt8Array:
    """Read the colours of a raster with a colour table, interpolating colours, not indices.

    Args:
        dataset: Open rasterio dataset.
        table: ``uint8[4, values]`` RGBA; what is transparent does not mix with other pixels.
        window: In pixels of the dataset.
        shape: ``(height, width)`` to resample it to.

    Returns:
        ``uint8[3, H, W]``.
    """
    if (window.height, window.width) == shape:  # not resampled, so the window is whole pixels
        return table[:3, dataset.read(1, window=window)]
    step = Affine.scale(window.width / shape[1], window.height / shape[0])
    margin = np.ceil(2 * np.maximum([step.a, step.e], 1) + 1)  # of the kernel beyond the window
    start = np.floor([window.col_off, window.row_off]) - margin
    stop = np.ceil([window.col_off + window.width, window.row_off + window.height]) + margin
    x0, y0 = np.maximum(start, 0).astype(int).tolist()
    x1, y1 = np.minimum(stop, [dataset.width, dataset.height]).astype(int).tolist()
    has_alpha = not table[3].all()
    table = table if has_alpha else table[:3]
    colours = table[:, dataset.read(1, window=Window(x0, y0, x1 - x0, y1 - y0))]
    resampled = np.zeros((len(table), *shape), np.uint8)
    reproject(
        colours,
        resampled,
        src_transform=Affine.identity(),
        dst_transform=Affine.translation(window.col_off - x0, window.row_off - y0) @ step,
        src_crs=_SAME_CRS,
        dst_crs=_SAME_CRS,
        resampling=RESAMPLING,
        src_alpha=4 if has_alpha else 0,
        dst_alpha=4 if has_alpha else 0,
    )
    return resampled[:3]
