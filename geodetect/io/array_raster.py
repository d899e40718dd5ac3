"""Arrays in place of raster files: numpy, open datasets of rasterio, and xarray."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self
from weakref import finalize

import numpy as np
from affine import Affine
from pyproj import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile
from rasterio.vrt import WarpedVRT

from geodetect.errors import InputError, short_repr
from geodetect.geo.crs import parse_crs
from geodetect.types import AnyArray, PathLike, RasterSource

TILE_PX = 512
KINDS = "biuf"  # of numpy: Booleans and real numbers
SPACING_TOLERANCE = 1e-3  # of the coordinates of xarray, as a fraction of a pixel


class ArrayRaster(str):
    """An array as a raster: a file in memory, to give wherever a raster file is taken.

    The value is the path of the file for GDAL. The memory is freed with the last reference.

    Args:
        array: ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]`` of real numbers, with fewer bands than
            rows and columns; masked elements are nodata. The first three bands are red, green and
            blue.
        transform: Affine transform from pixel edges to map coordinates.
        crs: CRS, as anything pyproj understands; with ``transform`` only.
        nodata: Value of pixels without imagery; None: NaN in floating-point arrays.
        name: Name in results and messages.

    Raises:
        InputError: The array or the georeference cannot be used.
    """

    name: str

    def __new__(
        cls,
        array: AnyArray,
        *,
        transform: Affine | None = None,
        crs: CRS | str | int | None = None,
        nodata: float | None = None,
        name: str = "array",
    ) -> Self:
        """Copy the array into memory of GDAL."""
        if (transform is None) != (crs is None):
            missing = "transform" if transform is None else "crs"
            raise InputError(
                f"{name}: expected both `transform` and `crs` of an array, or none; found no "
                f"`{missing}`"
            )
        bands = _as_bands(array, name)
        if nodata is None and bands.dtype.kind == "f":
            nodata = float("nan")
        file = MemoryFile(filename=name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with file.open(
                driver="GTiff",
                width=bands.shape[2],
                height=bands.shape[1],
                count=len(bands),
                dtype=bands.dtype.name,
                crs=None if crs is None else parse_crs(crs, parameter="crs").to_wkt(),
                transform=transform,
                nodata=nodata,
                tiled=True,
                blockxsize=TILE_PX,
                blockysize=TILE_PX,
                bigtiff="if_safer",
                photometric="rgb" if len(bands) >= 3 else "minisblack",
                alpha="no",  # a fourth band is near infrared as often as a mask
            ) as dataset:
                dataset.write(np.ma.getdata(bands))
                if np.ma.is_masked(bands):
                    dataset.write_mask(~np.ma.getmaskarray(bands).any(axis=0))
        raster = super().__new__(cls, file.name)
        raster.name = name
        finalize(raster, file.close)
        return raster

    def __format__(self, specification: str) -> str:
        """Return the name, for messages."""
        return format(self.name, specification)


def as_raster_paths(sources: RasterSource | Iterable[RasterSource]) -> list[PathLike]:
    """Return rasters as paths: files, folders and URLs as they are, others as ``ArrayRaster``.

    Args:
        sources: Paths, arrays, open datasets of rasterio, or ``DataArray`` of xarray; one or
            several.

    Raises:
        InputError: Something else, or an array that cannot be used.
    """
    is_single = isinstance(sources, str | os.PathLike) or hasattr(sources, "shape")
    items: Sequence[Any]
    if is_single:
        items = [sources]
    elif isinstance(sources, Iterable):
        items = list(sources)
    else:
        items = [sources]
    names = Counter(map(_array_name, items))
    numbers: Counter[str] = Counter()
    paths: list[PathLike] = []
    for item in items:
        name = _array_name(item)
        if names[name] > 1:
            numbers[name] += 1
            name = f"{name} {numbers[name]}"
        paths.append(_as_path(item, name))
    return paths


def _array_name(source: Any) -> str:
    name = getattr(source, "name", None)
    return name.replace("/", " ") if isinstance(name, str) and hasattr(source, "dims") else "array"


def _as_path(source: Any, name: str) -> PathLike:
    if isinstance(source, str | os.PathLike):
        return source
    if isinstance(source, DatasetReader | WarpedVRT):
        return _path_of_dataset(source)
    if hasattr(source, "dims") and hasattr(source, "coords"):
        return _from_xarray(source, name)
    if isinstance(source, np.ndarray):
        return ArrayRaster(source, name=name)
    raise InputError(
        f"`rasters`: expected paths, arrays, datasets of rasterio or DataArrays; found "
        f"{short_repr(source)}"
    )


def _path_of_dataset(dataset: Any) -> PathLike:
    """Return the file of a dataset, which is read anew; a warped one is read into memory."""
    if dataset.closed:
        raise InputError(f"{dataset.name}: the dataset is closed; expected its path, or it open")
    if isinstance(dataset, WarpedVRT):
        return ArrayRaster(
            dataset.read(masked=True),
            transform=dataset.transform,
            crs=dataset.crs.to_wkt(),
            nodata=dataset.nodata,
            name=Path(dataset.src_dataset.name).name,
        )
    return str(dataset.name)


def _from_xarray(array: Any, name: str) -> ArrayRaster:
    """Return a ``DataArray`` with dimensions y and x, and its georeference by CF conventions."""
    spatial = [str(dim) for dim in array.dims if str(dim) in ("y", "x", "lat", "lon")]
    if len(array.dims) not in (2, 3) or len(spatial) != 2:
        raise InputError(
            f"{name}: expected a DataArray with the dimensions y and x, and at most one of bands; "
            f"found {', '.join(map(str, array.dims))}"
        )
    y, x = sorted(spatial, key=lambda dim: dim in ("x", "lon"))
    ordered = array.transpose(..., y, x)
    crs = _crs_of_xarray(array)
    transform = None
    if crs is not None:
        transform = _transform_of_axes(np.asarray(array[x]), np.asarray(array[y]), name)
    nodata = array.attrs.get("_FillValue", array.attrs.get("nodata"))
    return ArrayRaster(
        np.asarray(ordered.values), transform=transform, crs=crs, nodata=nodata, name=name
    )


def _crs_of_xarray(array: Any) -> str | None:
    """Return the CRS of the grid mapping, as rioxarray writes it; None: there is none."""
    grid_mapping = array.encoding.get("grid_mapping", array.attrs.get("grid_mapping"))
    variable = array.coords.get(grid_mapping or "spatial_ref")
    attributes = {} if variable is None else variable.attrs
    return attributes.get("crs_wkt") or attributes.get("spatial_ref") or array.attrs.get("crs")


def _transform_of_axes(x: AnyArray, y: AnyArray, name: str) -> Affine:
    """Return the transform of evenly spaced centres of pixels."""
    steps = []
    for centres in (x, y):
        step = (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
        even = centres[0] + step * np.arange(len(centres))
        if not step or np.abs(centres - even).max() > SPACING_TOLERANCE * abs(step):
            raise InputError(f"{name}: its coordinates are not evenly spaced; resample it first")
        steps.append(float(step))
    left, top = float(x[0]) - steps[0] / 2, float(y[0]) - steps[1] / 2
    return Affine(steps[0], 0, left, 0, steps[1], top)


def _as_bands(array: AnyArray, name: str) -> AnyArray:
    """Return an array as ``[C, H, W]`` of a type that GDAL has."""
    shape = " x ".join(map(str, array.shape))
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape or array.shape[0] == array.shape[2]:
        raise InputError(
            f"{name}: expected an array of height x width x bands or bands x height x width; "
            f"found {shape}"
        )
    if array.shape[2] < array.shape[0]:
        array = array.transpose(2, 0, 1)
    if array.dtype.kind not in KINDS:
        raise InputError(f"{name}: expected real numbers; found {array.dtype}")
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    return array.astype(np.float32) if array.dtype == np.float16 else array
