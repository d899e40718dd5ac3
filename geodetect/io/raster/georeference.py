"""Georeference of a raster: transform, ground control points or RPCs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import from_gcps
from rasterio.vrt import WarpedVRT

from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid

GCP_AFFINE_TOLERANCE_PX = 0.05
WARP_TOLERANCE_PX = 0.01
# rasterio wraps most, but not all, of GDAL's errors, and decodes all texts as UTF-8
GDAL_ERRORS = (RasterioError, CPLE_BaseError, UnicodeDecodeError)
RESAMPLING = Resampling.cubic  # GDAL widens the kernel when shrinking, which prevents aliasing
PIXEL_COORDS_ADVICE = "set `pixel_coords` for results in pixel columns and rows"


@contextmanager
def georeference_advice(advice: str) -> Iterator[None]:
    """Replace the advice to set `pixel_coords` in errors, for callers without this parameter.

    Args:
        advice: What to do with a raster that has no georeference.

    Raises:
        GeoreferenceError: With this advice.
    """
    try:
        yield
    except GeoreferenceError as error:
        raise GeoreferenceError(str(error).replace(PIXEL_COORDS_ADVICE, advice)) from error


def has_georeference(dataset: Any) -> bool:
    """Return True if a dataset has a CRS with a transform or ground control points, or RPCs."""
    gcps, gcps_crs = dataset.gcps
    has_transform = dataset.crs is not None and not dataset.transform.is_identity
    return has_transform or bool(gcps and gcps_crs) or dataset.rpcs is not None


def pixel_grid(dataset: Any, *, unit_m: float | None = None) -> Grid:
    """Return the grid of a dataset in pixel coordinates.

    Args:
        dataset: An open rasterio dataset.
        unit_m: Ground size of its pixels, if it is known.
    """
    return Grid(None, Affine.identity(), dataset.width, dataset.height, unit_m)


def read_orientation(dataset: Any) -> int:
    """Return the orientation of a photograph by EXIF, 1 to 8; 1 if it states none.

    GDAL reads pixels as they are stored, whatever it says.
    """
    text = dataset.tags().get("EXIF_Orientation", "1").strip()
    return int(text) if text in tuple("12345678") else 1


def read_georeference(dataset: Any, *, src_crs: str | None) -> tuple[Grid, dict[str, Any] | None]:
    """Read the grid of a dataset, and how it has to be warped.

    Ground control points that lie on an affine (rotated or not) are used as that affine, so no
    pixel is resampled; others, and RPCs, are warped to a north-up grid.

    Args:
        dataset: An open rasterio dataset.
        src_crs: CRS to use instead of the dataset's own.

    Returns:
        The grid, and the arguments of a ``WarpedVRT`` (None: read without warping).

    Raises:
        GeoreferenceError: There is no CRS or no transform.
    """
    width, height = dataset.width, dataset.height
    gcps, gcps_crs = dataset.gcps
    crs = src_crs or (dataset.crs or gcps_crs)
    transform = dataset.transform
    if not transform.is_identity:
        grid = Grid(_parse_dataset_crs(crs), transform, width, height)
        if not np.isfinite(tuple(transform)).all() or transform.determinant == 0:
            raise GeoreferenceError(
                f"its transform {tuple(transform)[:6]} gives pixels no area; correct it, or "
                f"{PIXEL_COORDS_ADVICE}"
            )
        return grid, None
    if gcps:
        affine = _fit_affine(gcps)
        if affine is not None:
            return Grid(_parse_dataset_crs(crs), affine, width, height), None
        wkt = _parse_dataset_crs(crs).to_wkt()
        return _warp_north_up(dataset, {"src_crs": wkt, "crs": wkt})
    if dataset.rpcs:
        rpc = {"src_crs": "EPSG:4326", "crs": "EPSG:4326", "SRC_METHOD": "RPC"}
        return _warp_north_up(dataset, rpc)
    raise GeoreferenceError(
        f"no georeference found (no transform, ground control points or RPCs); add a world file, "
        f"or {PIXEL_COORDS_ADVICE}"
    )


def _warp_north_up(dataset: Any, warp: dict[str, Any]) -> tuple[Grid, dict[str, Any]]:
    warp |= {"resampling": RESAMPLING, "tolerance": WARP_TOLERANCE_PX}
    try:
        with WarpedVRT(dataset, **warp) as vrt:
            return Grid(_parse_dataset_crs(vrt.crs), vrt.transform, vrt.width, vrt.height), warp
    except GDAL_ERRORS as error:
        raise GeoreferenceError(
            f"its ground control points or RPCs cannot be used ({error}); {PIXEL_COORDS_ADVICE}"
        ) from error


def _fit_affine(gcps: Sequence[Any]) -> Affine | None:
    """Fit an affine to ground control points; None if it misses some of them."""
    places = np.array([(gcp.col, gcp.row, 1.0) for gcp in gcps])
    if np.linalg.matrix_rank(places) < 3:
        raise GeoreferenceError(
            f"its {len(gcps)} ground control points lie on one line; expected three or more that "
            f"do not, or {PIXEL_COORDS_ADVICE}"
        )
    affine = from_gcps(gcps)  # least squares
    if affine.determinant == 0:
        return None
    fitted = np.array([~affine @ (gcp.x, gcp.y) for gcp in gcps])
    errors_px = np.hypot(*(fitted - places[:, :2]).T)
    return affine if errors_px.max() < GCP_AFFINE_TOLERANCE_PX else None


def _parse_dataset_crs(crs: Any) -> CRS:
    """Parse the CRS of a dataset, or the text of ``src_crs``."""
    if not crs:
        raise GeoreferenceError(
            f"no coordinate reference system found; set `src_crs` (e.g. to EPSG:2154), or "
            f"{PIXEL_COORDS_ADVICE}"
        )
    if isinstance(crs, str):
        return parse_crs(crs, parameter="src_crs")
    return _parse_wkt(crs.to_wkt())


@lru_cache(maxsize=64)
def _parse_wkt(wkt: str) -> CRS:
    """Parse the CRS of a dataset; all rasters share the object, which takes 70 kB."""
    return parse_crs(wkt)
