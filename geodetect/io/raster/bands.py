"""Which bands of a raster are looked at, and how their values become bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.warp import reproject
from rasterio.windows import Window

from geodetect.errors import BandError, InputError
from geodetect.io.raster.georeference import RESAMPLING
from geodetect.types import AnyArray, BoolArray, UInt8Array

COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
PLANE = "EPSG:3857"  # any projected CRS: pixels are only resampled, not moved
STRETCH_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Stretch:
    """One linear rule for a whole raster: ``low`` becomes 0 and ``high`` becomes 255.

    Args:
        low: Value that becomes 0.
        high: Value that becomes 255.
        estimated: Taken from a sample of the raster instead of stated by the user.
    """

    low: float
    high: float
    estimated: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise InputError(
                f"--value-range needs two finite numbers, the lower one first; found "
                f"{self.low:g},{self.high:g}"
            )

    def __call__(self, values: NDArray[np.generic]) -> UInt8Array:
        """Values of any real dtype to bytes, rounded and clipped; NaN becomes 0."""
        clipped = np.clip(values.astype(np.float64), self.low, self.high)
        scaled = np.rint((clipped - self.low) * (255 / (self.high - self.low)))
        return np.nan_to_num(scaled, nan=0).astype(np.uint8)

    @classmethod
    def of_sample(cls, values: NDArray[np.generic]) -> Stretch:
        """The rule for a raster, from a sample of its valid values (all bands together).

        All bands share one rule, so colours keep their balance. A raster of one value gets a rule
        that maps it to 0.
        """
        sample = values[np.isfinite(values)].astype(np.float64)
        if sample.size == 0:
            return cls(0.0, 1.0, estimated=True)
        low, high = np.percentile(sample, STRETCH_PERCENTILES)
        if high <= low:
            low, high = sample.min(), sample.max()
        if high <= low:
            high = low + max(1.0, abs(low) * 1e-6)
        return cls(float(low), float(high), estimated=True)


def choose_bands(
    colours: Sequence[ColorInterp], wanted: Sequence[int] | None, *, needed: int | None
) -> tuple[int, ...]:
    """The bands to read, counted from 1.

    Args:
        colours: Colour interpretation of each band of the raster.
        wanted: The user's choice, or None: red, green and blue where the raster names them, else
            all bands but alpha.
        needed: How many bands the model takes; None when it takes any number. If it takes more
            than three, red, green and blue are followed by the others in the order of the file.

    Raises:
        BandError: The raster lacks a wanted band, or it is not plain which bands to take.
    """
    if wanted is not None:
        return _check_choice(len(colours), wanted, needed)
    data = [i for i, c in enumerate(colours, start=1) if c != ColorInterp.alpha]
    if all(colour in colours for colour in COLOURS):
        rgb = [list(colours).index(colour) + 1 for colour in COLOURS]
        others = [i for i in data if i not in rgb]
        data = rgb + (others if (needed or 0) > len(rgb) else [])
    if needed is None or len(data) == needed:
        return tuple(data)
    found = ", ".join(f"{i} {c.name}" for i, c in enumerate(colours, start=1))
    example = ",".join(["1"] * needed if len(data) < needed else map(str, range(1, needed + 1)))
    raise BandError(
        f"the model takes {needed} bands and this raster does not say which: it has "
        f"{_shorten(found)}; choose with --bands, e.g. --bands {example}"
    )


def _check_choice(count: int, wanted: Sequence[int], needed: int | None) -> tuple[int, ...]:
    missing = [band for band in wanted if not 1 <= band <= count]
    if missing:
        raise BandError(
            f"--bands asks for band {missing[0]}, but this raster has {count} "
            f"(counted from 1 to {count})"
        )
    if not wanted or (needed is not None and len(wanted) != needed):
        raise BandError(
            f"--bands names {len(wanted)} bands, but the model takes {needed or 'some'}"
        )
    return tuple(wanted)


def _shorten(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def colour_table(dataset: Any) -> UInt8Array | None:
    """Colour table as ``uint8[3, values]``, or None."""
    if dataset.colorinterp[0] != ColorInterp.palette or dataset.dtypes[0] not in (
        "uint8",
        "uint16",
    ):
        return None
    table = np.zeros((3, np.iinfo(dataset.dtypes[0]).max + 1), np.uint8)
    for index, colour in dataset.colormap(1).items():
        table[:, index] = colour[:3]
    return table


def holds_value(values: AnyArray, nodata: float | None) -> BoolArray:
    """Where values are not the nodata value, which is compared in the data type of the file."""
    if nodata is None:
        return np.ones(values.shape, bool)
    if np.isnan(nodata):
        return ~np.isnan(values)
    with np.errstate(over="ignore", invalid="ignore"):
        same = values == np.float64(nodata).astype(values.dtype)
    fits = values.dtype.kind == "f" or (
        float(nodata).is_integer()
        and np.iinfo(values.dtype).min <= nodata <= np.iinfo(values.dtype).max
    )
    return ~same if fits else np.ones(values.shape, bool)


def read_palette(
    handle: Any, palette: UInt8Array, window: Window, shape: tuple[int, int]
) -> UInt8Array:
    """Colours of a palette raster, ``uint8[3, H, W]``: colours are interpolated, never indices."""
    if (window.height, window.width) == shape:  # not resampled, so the window is whole pixels
        return palette[:, handle.read(1, window=window)]
    step = Affine.scale(window.width / shape[1], window.height / shape[0])
    reach = np.ceil(2 * np.maximum([step.a, step.e], 1) + 1)  # of the kernel beyond the window
    start = np.floor([window.col_off, window.row_off]) - reach
    stop = np.ceil([window.col_off + window.width, window.row_off + window.height]) + reach
    x0, y0 = np.maximum(start, 0).astype(int).tolist()
    x1, y1 = np.minimum(stop, [handle.width, handle.height]).astype(int).tolist()
    colours = palette[:, handle.read(1, window=Window(x0, y0, x1 - x0, y1 - y0))]
    resized = np.zeros((3, *shape), np.uint8)
    reproject(
        colours,
        resized,
        src_transform=Affine.identity(),
        dst_transform=Affine.translation(window.col_off - x0, window.row_off - y0) @ step,
        src_crs=PLANE,
        dst_crs=PLANE,
        resampling=RESAMPLING,
    )
    return resized
