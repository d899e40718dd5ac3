"""Layers of vector files as geopandas reads them, checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from pyproj import CRS

from geodetect.errors import InputError, LabelError
from geodetect.geo.crs import WGS84, horizontal_crs, unit_factor
from geodetect.io.vector.geojson import LINES
from geodetect.types import FloatArray, PathLike


@dataclass(frozen=True)
class Wording:
    """How to complain about a layer."""

    error: type[InputError]
    crs_advice: str


LABELS = Wording(LabelError, "name it with --labels-crs")
AREA = Wording(InputError, "save it with one, e.g. as GeoPackage")
OF_PREDICT = ("detections", "coverage")  # layers that ``predict`` writes to one file


def read_layer(
    path: PathLike, crs: CRS | None, wording: Wording, *, preferred: Sequence[str] = ()
) -> gpd.GeoDataFrame:
    """Read one layer.

    Args:
        path: Any format GDAL reads, or GeoParquet; ``FILE|layername=NAME`` picks a layer.
        crs: CRS of its coordinates, whatever the file says.
        wording: How to complain.
        preferred: Names of layers, the first of which is read where a file has several. Of a
            file of ``predict`` it is the detections unless one of these is there.

    Returns:
        The layer, without heights, in the horizontal part of its CRS. What is no geometry in spite
        of all is missing.

    Raises:
        InputError: As ``wording.error``: no such file or layer, no geometries, no CRS.
    """
    file, _, layer = os.fspath(path).partition("|layername=")
    if "://" not in file and not file.startswith("/vsi") and not Path(file).exists():
        raise wording.error(f"{file} does not exist; expected a vector file")
    try:
        if file.lower().endswith((".parquet", ".geoparquet")):
            table = gpd.read_parquet(file)
        elif _is_empty_lines(file):
            table = gpd.GeoDataFrame(geometry=[], crs=WGS84)
        else:
            table = pyogrio.read_dataframe(
                file,
                layer=layer or _only_layer(file, wording, preferred),
                on_invalid="fix",  # rings that are left open are closed
            )
    except (OSError, RuntimeError, ValueError, NotImplementedError) as error:
        if isinstance(error, InputError):
            raise
        raise wording.error(f"{file} cannot be read as a vector file: {error}") from error
    if not isinstance(table, gpd.GeoDataFrame):
        raise wording.error(f"{path} has no geometries; expected polygons")
    crs = crs or _stated_crs(table)
    if crs is None:
        raise wording.error(f"{path} has no coordinate reference system; {wording.crs_advice}")
    crs = horizontal_crs(crs)
    flat = shapely.force_2d(np.asarray(table.geometry))
    _check_range(shapely.bounds(flat), crs, f"{path}", wording)
    columns = table.drop(columns=table.geometry.name)
    return gpd.GeoDataFrame(columns, geometry=flat, crs=crs)


def has_layer(path: PathLike, name: str) -> bool:
    """Whether a file that can hold several layers has one of this name."""
    try:
        return name in {str(layer) for layer, _ in pyogrio.list_layers(os.fspath(path))}
    except (OSError, RuntimeError, ValueError):
        return False


def _is_empty_lines(file: str) -> bool:
    """Whether it is newline-delimited GeoJSON of no feature, in which GDAL sees no format."""
    path = Path(file)
    return path.suffix.lower() in LINES and path.is_file() and path.stat().st_size == 0


def _only_layer(file: str, wording: Wording, preferred: Sequence[str]) -> str | None:
    """The name of the layer to read when none was named."""
    layers = [(str(name), kind) for name, kind in pyogrio.list_layers(file)]
    spatial = [(name, kind) for name, kind in layers if kind is not None]
    polygons = [name for name, kind in spatial if "Polygon" in kind]
    candidates = polygons or [name for name, _ in spatial]
    candidates = [name for name in preferred if name in dict(spatial)][:1] or candidates
    if sorted(candidates) == sorted(OF_PREDICT):
        return OF_PREDICT[0]
    if len(candidates) > 1:
        raise wording.error(
            f"{file} has the layers {', '.join(candidates)}; pick one as "
            f"{file}|layername={candidates[0]}"
        )
    return candidates[0] if candidates else None


def _stated_crs(table: gpd.GeoDataFrame) -> CRS | None:
    """The CRS of a table; GeoPackage's "Undefined Cartesian SRS" is none."""
    if table.crs is None or table.crs.name.lower().startswith("undefined"):
        return None
    return table.crs


def _check_range(bounds: FloatArray, crs: CRS, path: str, wording: Wording) -> None:
    """Metres read as degrees are the commonest mistake in GeoJSON: find it at once."""
    if not crs.is_geographic:
        return
    limit = np.array([2 * np.pi, np.pi / 2]) / unit_factor(crs) * 1.0001
    if (np.abs(bounds.reshape(-1, 2, 2)) > limit).any():
        raise wording.error(
            f"{path} has coordinates up to {np.nanmax(np.abs(bounds)):.0f}, which are no degrees "
            f"of its CRS {crs.name}; {wording.crs_advice}"
        )
