"""Sparse GeoTIFFs: blocks that were never written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from rasterio.enums import Interleaving, MaskFlags
from rasterio.windows import Window


def never_written(dataset: Any, bands: Sequence[int], window: Window) -> bool:
    """Whether a window lies on blocks that hold nothing but the nodata value, without reading.

    Only GeoTIFFs tell: a block that was never written has no place in the file.

    Args:
        dataset: Open rasterio dataset.
        bands: Bands that are read, counted from 1.
        window: In pixels of the dataset.
    """
    if dataset.driver != "GTiff":
        return False
    flags = dataset.mask_flag_enums  # of all bands: asked for once, it takes a call for each
    if not all(MaskFlags.nodata in flags[band - 1] for band in bands):
        return False
    together = dataset.interleaving == Interleaving.pixel
    for band in bands[:1] if together else bands:
        height, width = dataset.block_shapes[band - 1]
        columns = _blocks(window.col_off, window.width, width, dataset.width)
        rows = _blocks(window.row_off, window.height, height, dataset.height)
        places = (f"BLOCK_OFFSET_{column}_{row}" for row, column in product(rows, columns))
        if any(dataset.get_tag_item(place, "TIFF", band) is not None for place in places):
            return False
    return True


def _blocks(start: float, length: float, block_px: int, size: int) -> range:
    """Numbers of the blocks along one axis that a window touches."""
    first = max(0, math.floor(start / block_px))
    last = min(math.ceil(size / block_px), math.ceil((start + length) / block_px))
    return range(first, last)
