"""Description of a raster from its header."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from geodetect.display import Displayed, Rows
from geodetect.errors import GeoreferenceError
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.raster.dataset import read_dataset
from geodetect.io.raster.georeference import read_georeference
from geodetect.io.raster.remote import SIDE_FILES_HINT, is_remote
from geodetect.redaction import redact
from geodetect.types import RasterSource


class RasterInfo(Displayed, dict[str, Any]):
    """Description of a raster: a dictionary of values for JSON."""

    def display_rows(self) -> Rows:
        """Return size, type, place and resolution."""
        yield "Path", str(self["path"])
        bands = f"{self['band_count']:,} bands of {self['dtype']}"
        yield "Size", f"{self['width']:,} x {self['height']:,} px, {bands}"
        yield "Format", str(self["driver"])
        yield "CRS", str(self["crs_name"] or "none")
        if self["gsd_m"] is not None:
            yield "Resolution", f"{self['gsd_m']:.4g} m"
        yield "Nodata", "none" if self["nodata"] is None else str(self["nodata"])
        yield "Overviews", ", ".join(map(str, self["overviews"])) or "none"


def inspect_raster(raster: RasterSource, *, external_sources: bool = False) -> RasterInfo:
    """Describe a raster without reading its pixels.

    Args:
        raster: File, URL, array or open dataset of rasterio.
        external_sources: See ``open_dataset``.

    Returns:
        Values for JSON: ``path, driver, width, height, band_count, dtype, bands`` (number,
        data type, colour and nodata of each), ``mask, nodata, block, overviews, compression``,
        ``georeference`` (how it is located), ``crs`` (as ``EPSG:2154``, or WKT where it has no
        code), ``crs_name``, ``gsd_m`` (true ground size of the central pixel), ``gsd_xy_m`` and
        ``bounds`` in the CRS. Unknown values are None.

    Raises:
        RasterError: It cannot be opened, or its metadata cannot be used.
    """
    (path,) = as_raster_paths(raster)
    return read_dataset(os.fspath(path), _describe, external_sources=external_sources)


def _describe(dataset: Any) -> RasterInfo:
    bands = zip(
        dataset.indexes, dataset.dtypes, dataset.colorinterp, dataset.nodatavals, strict=True
    )
    values = {
        "path": redact(dataset.name),
        "driver": dataset.driver,
        "width": dataset.width,
        "height": dataset.height,
        "band_count": dataset.count,
        "dtype": dataset.dtypes[0],
        "bands": [
            {"band": i, "dtype": dtype, "colour": colour.name, "nodata": _json_number(nodata)}
            for i, dtype, colour, nodata in bands
        ],
        "mask": [flag.name for flag in dataset.mask_flag_enums[0]],
        "nodata": _json_number(dataset.nodata),
        "block": list(dataset.block_shapes[0]),
        "overviews": list(dataset.overviews(1)),
        "compression": getattr(dataset.compression, "value", dataset.compression),
        **_describe_georeference(dataset),
    }
    return RasterInfo(values)


def _describe_georeference(dataset: Any) -> dict[str, Any]:
    gcps, _ = dataset.gcps
    kinds = {"transform": not dataset.transform.is_identity, "gcps": gcps, "rpcs": dataset.rpcs}
    kind = next((name for name, is_present in kinds.items() if is_present), None)
    unknown = {"crs": None, "crs_name": None, "gsd_m": None, "gsd_xy_m": None, "bounds": None}
    try:
        grid, warp = read_georeference(dataset, src_crs=None)
        gsd_xy_m = grid.gsd_xy_m
    except GeoreferenceError as error:
        hint = SIDE_FILES_HINT if is_remote(dataset.name) else ""
        return {"georeference": kind, **unknown, "problem": f"{error}{hint}"}
    corners = grid.boxes_to_map(grid.box)[0]
    authority = None if grid.crs is None else grid.crs.to_authority()
    return {
        "georeference": f"{kind}, warped to north-up" if warp else kind,
        "crs": ":".join(authority) if authority else grid.crs_wkt,
        "crs_name": None if grid.crs is None else grid.crs.name,
        "gsd_m": None if grid.gsd_m is None else round(grid.gsd_m, 6),
        "gsd_xy_m": None if gsd_xy_m is None else [round(size, 6) for size in gsd_xy_m],
        "bounds": [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()],
    }


def _json_number(value: float | None) -> float | str | None:
    """Return a number for JSON, which has no NaN."""
    return "nan" if value is not None and np.isnan(value) else value
