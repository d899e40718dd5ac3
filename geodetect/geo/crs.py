"""Coordinate reference systems: parsing, horizontal parts, comparison, transformers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from geodetect.errors import GeoreferenceError

WGS84 = CRS("EPSG:4326")
_EARTH_RADIUS_M = 6_371_000.0


def parse_crs(value: Any, *, parameter: str = "") -> CRS:
    """Parse anything PROJ understands (``EPSG:2154``, WKT, PROJ string).

    Args:
        value: Text, or a CRS of another library that has a ``to_wkt`` method.
        parameter: Name of the parameter it came from, for the error.

    Raises:
        GeoreferenceError: PROJ does not understand it.
    """
    try:
        return CRS.from_user_input(value)
    except CRSError as error:
        prefix = f"`{parameter}`: " if parameter else ""
        raise GeoreferenceError(
            f"{prefix}{value!r} is no coordinate reference system; expected e.g. EPSG:2154 or WKT"
        ) from error


def normalize_crs(crs: CRS) -> CRS:
    """Return a CRS reduced to the information in its WKT.

    PROJ adds the codes of all parts to a CRS made from a code (EPSG:2154), but not to the same CRS
    read from a file. Without them, output files do not depend on how the CRS was given.
    """
    return CRS(crs.to_wkt())


@lru_cache(maxsize=64)
def horizontal_crs(crs: CRS) -> CRS:
    """Return the horizontal part of a CRS, normalized: compound and 3D ones lose their height."""
    crs = normalize_crs(crs)
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if len(crs.axis_info) == 3:
        crs = crs.to_2d()
    return normalize_crs(crs)


@lru_cache(maxsize=64)
def same_crs(a: CRS, b: CRS) -> bool:
    """Return True if two CRS have the same horizontal part, whatever the order of its axes."""
    return horizontal_crs(a).equals(horizontal_crs(b), ignore_axis_order=True)


@lru_cache(maxsize=64)
def transformer_between(source: CRS, target: CRS) -> Transformer:
    """Return the cached transformer between two horizontal CRS, with x before y in both.

    Raises:
        GeoreferenceError: PROJ knows none, as from a local CRS without a place on the Earth.
    """
    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        local = [crs.name for crs in (source, target) if crs.is_engineering]
        reason = f"; {local[0]} is local, without a place on the Earth" if local else ""
        raise GeoreferenceError(
            f"there is no conversion from {source.name} to {target.name}{reason}"
        ) from error


def metres_per_unit(crs: CRS) -> float:
    """Return the approximate length of a map unit on the ground, of a degree along a meridian."""
    return unit_factor(crs) * (_EARTH_RADIUS_M if crs.is_geographic else 1.0)


def unit_factor(crs: CRS) -> float:
    """Return the unit of the first axis in metres, in radians if the CRS is geographic."""
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
