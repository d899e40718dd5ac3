"""Coordinate reference systems: reading them, their horizontal parts, and transformers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from geodetect.errors import GeoreferenceError

WGS84 = CRS("EPSG:4326")
_EARTH_RADIUS_M = 6_371_000.0


def parse_crs(value: Any, *, option: str = "") -> CRS:
    """Read a CRS from anything PROJ understands (``EPSG:2154``, WKT, PROJ string).

    Args:
        value: Text, or a CRS of another library that has a ``to_wkt`` method.
        option: The option it came from, for the error.

    Raises:
        GeoreferenceError: PROJ does not understand it.
    """
    try:
        return CRS.from_user_input(value)
    except CRSError as error:
        raise GeoreferenceError(
            f"{f'{option}: ' if option else ''}{value!r} is no coordinate reference system; "
            f"expected e.g. EPSG:2154 or WKT"
        ) from error


def normalize_crs(crs: CRS) -> CRS:
    """Return a CRS as its WKT states it.

    PROJ knows more of a CRS that is named by its code (codes of all its parts) than of the same one
    read from a file. Without that, what is written does not depend on how the CRS was named.
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
    """Return True if two CRS mean the same horizontal coordinates, the order of axes aside."""
    return horizontal_crs(a).equals(horizontal_crs(b), ignore_axis_order=True)


@lru_cache(maxsize=64)
def transformer_between(source: CRS, target: CRS) -> Transformer:
    """Return a transformer between two horizontal CRS, x before y whatever their axes say."""
    return Transformer.from_crs(source, target, always_xy=True)


def metres_per_unit(crs: CRS) -> float:
    """Return the length on the ground of a map unit, for degrees that of a step to the north."""
    return unit_factor(crs) * (_EARTH_RADIUS_M if crs.is_geographic else 1.0)


def unit_factor(crs: CRS) -> float:
    """Return the unit of the first axis in metres (radians if the CRS is geographic)."""
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
