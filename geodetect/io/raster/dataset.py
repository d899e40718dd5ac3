"""GDAL datasets: opening, configuration options, and errors on one line."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geodetect.errors import RasterError, error_text
from geodetect.io.raster.georeference import GDAL_ERRORS

BLOCK_CACHE_BYTES = 256 * 1024**2  # rasterio passes bytes on, where GDAL itself takes megabytes
REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi")


def open_dataset(path: str, *, overviews: bool = True, **options: Any) -> Any:
    """Open a rasterio dataset.

    Args:
        path: File, URL or anything GDAL opens.
        overviews: Read from overviews where their resolution is enough.
        options: More options for ``rasterio.open``.

    Raises:
        RasterError: It cannot be opened, or holds no bands.
    """
    if not overviews:
        options["overview_level"] = "NONE"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, sharing=False, **options)
    except UnicodeEncodeError as error:
        raise RasterError(
            f"{path}: its name is not in UTF-8, as GDAL needs it; rename it"
        ) from error
    except GDAL_ERRORS as error:
        if not path.startswith(REMOTE) and not Path(path).exists():
            raise RasterError(f"{path}: no such file") from error
        raise RasterError(
            f"{path}: not a raster that GDAL can open ({root_cause(error)})"
        ) from error
    if dataset.count == 0:
        subdatasets = dataset.subdatasets
        dataset.close()
        hint = f"; name one of its subdatasets, e.g. {subdatasets[0]}" if subdatasets else ""
        raise RasterError(f"{path}: holds no raster bands{hint}")
    return dataset


def gdal_options(path: str) -> dict[str, Any]:
    """Return GDAL options for reading: a bounded block cache, no directory listings of servers.

    A block cache that the user has set in the environment stays.
    """
    options: dict[str, Any] = {}
    if "GDAL_CACHEMAX" not in os.environ:
        options["GDAL_CACHEMAX"] = BLOCK_CACHE_BYTES
    if path.startswith(REMOTE):
        options |= {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "VSI_CACHE": True}
    return options


def root_cause(error: BaseException) -> str:
    """Return GDAL's message, the first of a chain of errors, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error_text(error)
