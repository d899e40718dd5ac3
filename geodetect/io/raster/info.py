"""What a raster is, from its header."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import rasterio
from pyproj import CRS

from geodetect.errors import GeoreferenceError
from geodetect.io.raster.dataset import gdal_options, open_dataset
from geodetect.io.raster.georeference import locate


def inspect_raster(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a raster without reading its pixels.

    Args:
        path: File or URL.

    Returns:
        Plain values for JSON: ``path, driver, width, height, band_count, dtype, bands`` (number,
        data type, colour and nodata of each), ``mask, nodata, block, overviews, compression``,
        ``georeference`` (how it is located), ``crs`` (as ``EPSG:2154``, or WKT where it has no
        code), ``crs_name``, ``gsd_m`` (true ground size of the central pixel), ``gsd_xy_m`` and
        ``bounds`` in the CRS. Values that are not known are None.

    Raises:
        RasterError: It cannot be opened.
    """
    name = os.fspath(path)
    with rasterio.Env(**gdal_options(name)), open_dataset(name) as dataset:
        return {
            "path": name,
            "driver": dataset.driver,
            "width": dataset.width,
            "height": dataset.height,
            "band_count": dataset.count,
            "dtype": dataset.dtypes[0],
            "bands": [
                {"band": i, "dtype": dtype, "colour": colour.name, "nodata": _plain(nodata)}
                for i, dtype, colour, nodata in zip(
                    dataset.indexes,
                    dataset.dtypes,
                    dataset.colorinterp,
                    dataset.nodatavals,
                    strict=True,
                )
            ],
            "mask": [flag.name for flag in dataset.mask_flag_enums[0]],
            "nodata": _plain(dataset.nodata),
            "block": list(dataset.block_shapes[0]),
            "overviews": list(dataset.overviews(1)),
            "compression": dataset.compression.value if dataset.compression else None,
            **_location(dataset),
        }


def _location(dataset: Any) -> dict[str, Any]:
    gcps, _ = dataset.gcps
    kinds = {"transform": not dataset.transform.is_identity, "gcps": gcps, "rpcs": dataset.rpcs}
    found = next((name for name, there in kinds.items() if there), None)
    unknown = {"crs": None, "crs_name": None, "gsd_m": None, "gsd_xy_m": None, "bounds": None}
    try:
        grid, warp = locate(dataset, src_crs=None, pixel_coords=False)
        size = grid.gsd_xy_m
    except GeoreferenceError as error:
        return {"georeference": found, **unknown, "problem": str(error)}
    corners = grid.to_map(
        np.array([[0, 0], [grid.width, 0], [grid.width, grid.height], [0, grid.height]], float)
    )
    return {
        "georeference": f"{found}, warped to north-up" if warp else found,
        **_crs(grid.crs),
        "gsd_m": None if grid.gsd_m is None else round(grid.gsd_m, 6),
        "gsd_xy_m": None if size is None else [round(s, 6) for s in size],
        "bounds": [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()],
    }


def _crs(crs: CRS | None) -> dict[str, str | None]:
    """A CRS for programs and its name for people."""
    if crs is None:
        return {"crs": None, "crs_name": None}
    authority = crs.to_authority()
    return {"crs": ":".join(authority) if authority else crs.to_wkt(), "crs_name": crs.name}


def _plain(value: float | None) -> float | str | None:
    """JSON has no NaN."""
    return "nan" if value is not None and np.isnan(value) else value
