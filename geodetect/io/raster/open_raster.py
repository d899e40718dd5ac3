"""Opening of rasters: their headers, as a ``Raster`` that reads windows."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, Resampling

from geodetect.errors import (
    BandError,
    GeodetectWarning,
    GeoreferenceError,
    InputError,
    list_names,
)
from geodetect.io.raster.dataset import (
    SERVICES,
    find_side_files,
    largest_block,
    read_dataset,
    source_files,
)
from geodetect.io.raster.empty_blocks import source_boxes
from geodetect.io.raster.georeference import (
    has_georeference,
    pixel_grid,
    read_georeference,
    read_orientation,
)
from geodetect.io.raster.names import shortest_names
from geodetect.io.raster.reader import Raster, RasterOptions
from geodetect.io.raster.remote import SIDE_FILES_HINT, is_remote
from geodetect.io.raster.state import RasterState
from geodetect.io.raster.values.bands import (
    choose_bands,
    read_colour_table,
)
from geodetect.io.raster.values.stretch import Stretch
from geodetect.io.untrusted.tiff_directories import has_damaged_directories
from geodetect.types import PathLike


def name_rasters(rasters: Sequence[Raster]) -> None:
    """Give rasters names that tell them apart, see ``shortest_names``."""
    names = shortest_names([raster.path for raster in rasters])
    for raster, name in zip(rasters, names, strict=True):
        raster.name = name


def open_raster(
    path: PathLike,
    options: RasterOptions | None = None,
    *,
    needed_bands: int | None = None,
    with_state: bool = False,
) -> Raster:
    """Open a raster for reading windows.

    Args:
        path: File, URL or anything GDAL opens.
        options: Bands, value range and CRS.
        needed_bands: Number of bands the model takes; None: any.
        with_state: Record the state of its files.

    Raises:
        RasterError: It cannot be opened.
        BandError: The choice of bands is ambiguous or impossible.
        GeoreferenceError: It has no georeference and none is stated.

    Warns:
        GeodetectWarning: Directories of a TIFF file are damaged, or files beside a raster on a
            server are not read.
    """
    name, options = os.fspath(path), options or RasterOptions()

    def read(dataset: Any) -> Raster:
        try:
            return _raster_from_dataset(name, dataset, options, needed_bands, with_state=with_state)
        except InputError as error:
            hint = (
                SIDE_FILES_HINT if isinstance(error, GeoreferenceError) and is_remote(name) else ""
            )
            raise type(error)(f"{name}: {error}{hint}") from error

    raster = read_dataset(name, read, external_sources=options.external_sources)
    raster.doubts = tuple(_find_doubts(raster, options))
    warn_of_doubts(raster)
    return raster


def warn_of_doubts(raster: Raster) -> None:
    """Warn of what is doubtful about the files of a raster.

    Warns:
        GeodetectWarning: For each of its ``doubts``.
    """
    for doubt in raster.doubts:
        warnings.warn(f"{raster.path}: {doubt}", GeodetectWarning, stacklevel=3)


def _find_doubts(raster: Raster, options: RasterOptions) -> Iterator[str]:
    path = raster.path
    # an address with a query has no files beside it, nor has a web service
    if is_remote(path) and "?" not in path and not raster.is_service:
        is_place_open = options.pixels_allowed and not options.pixel_coords and not raster.grid.crs
        side_files = find_side_files(path, world_files=is_place_open)
        if side_files:
            yield (
                f"{list_names(map(os.path.basename, side_files))} beside it on the server is not "
                f"read, so that masks, nodata values and a georeference in it do not count; "
                f"download all files to use it"
            )
    if Path(path).is_file() and has_damaged_directories(Path(path)):
        yield (
            "the list of its masks and overviews is damaged, so that ground without imagery may "
            "count as imagery; write the file again"
        )


def _raster_from_dataset(
    name: str,
    dataset: Any,
    options: RasterOptions,
    needed_bands: int | None,
    *,
    with_state: bool,
) -> Raster:
    pixel_coords = options.pixel_coords
    if options.pixels_allowed and not options.src_crs:
        pixel_coords = not has_georeference(dataset)
    if pixel_coords:
        grid, warp = pixel_grid(dataset, unit_m=options.pixel_size_m), None
    else:
        grid, warp = read_georeference(dataset, src_crs=options.src_crs)
    colour_table = table = read_colour_table(dataset)
    if options.bands is not None:
        colour_table = None
    colours = dataset.colorinterp
    if colour_table is None:
        bands = choose_bands(colours, options.bands, needed=needed_bands)
    elif needed_bands in (None, 3):
        bands = (1,)
    else:
        raise BandError(
            f"the model takes {needed_bands} bands, but this raster has a colour table, which "
            f"makes 3; set `bands` to read the numbers of a band instead"
        )
    dtypes_of_all, block_shapes = dataset.dtypes, dataset.block_shapes  # a call for each band
    dtypes = [dtypes_of_all[band - 1] for band in bands]
    for band, dtype in zip(bands, dtypes, strict=True):
        if "complex" in dtype:
            raise InputError(f"band {band} holds complex numbers; expected real values")
    alpha = colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else None
    if warp is not None and alpha is None and dataset.nodata is None:
        warp["add_alpha"] = True
        alpha = dataset.count + 1
    if warp is not None and table is not None:
        warp["resampling"] = Resampling.nearest  # numbers of colours have no values between
    if options.value_range is not None:
        Stretch(*options.value_range)  # checks it
    # rasterio's property fails for values that it does not know
    share_blocks = dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL"
    px_bytes = sum(
        np.dtype(dtype).itemsize for dtype in (dtypes_of_all if share_blocks else dtypes)
    )
    block = largest_block(dataset)
    raster = Raster(
        name,
        grid,
        bands,
        str(np.result_type(*dtypes)),
        options.value_range,
        max(block_shapes[band - 1][1] for band in bands),
        px_bytes,
        external_sources=options.external_sources,
        orientation=read_orientation(dataset),
        block_bytes=math.prod(block) * px_bytes,
        largest_block=block,
        remote_files=_remote_files(name, dataset, options),
        is_service=dataset.driver in SERVICES,
        imagery=source_boxes(dataset) if warp is None else None,
        nodata=_common_nodata(dataset, bands),
        has_overviews=bool(dataset.overviews(1)),
        warp=warp,
        colour_table=colour_table,
        is_opaque=None if table is None or table[3].all() else table[3] > 0,
        alpha=alpha,
    )
    _ = raster.cache_bytes  # a block that does not fit into memory is an error now
    if with_state:
        raster.recorded_state = RasterState.from_dataset(
            dataset, external_sources=options.external_sources
        )
    return raster


def _common_nodata(dataset: Any, bands: Sequence[int]) -> float | None:
    """Return the nodata value of all bands; None: there is none, or not the same."""
    values = [dataset.nodatavals[band - 1] for band in bands]
    return values[0] if len(set(map(repr, values))) == 1 else None


def _remote_files(name: str, dataset: Any, options: RasterOptions) -> tuple[str, ...]:
    """Return the files on servers that a dataset is read from; a web service is one itself."""
    if dataset.driver in SERVICES:
        return (name,)
    files = source_files(dataset, external_sources=options.external_sources)
    return tuple(sorted(filter(is_remote, files)))
