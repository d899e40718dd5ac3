"""Distance between the extents of two layers: far apart, one of them has a wrong CRS."""

from __future__ import annotations

import warnings
from typing import TypeAlias

import numpy as np

from geodetect.errors import GeodetectWarning, InputError
from geodetect.geo.crs import horizontal_crs, transformer_between
from geodetect.geo.geodesic import ground_distances_m
from geodetect.geo.grid import Grid
from geodetect.io.vector.read import LayerRole
from geodetect.types import FloatArray

Roles: TypeAlias = tuple[LayerRole, LayerRole]

FAR_M = 1000.0  # layers further apart than this do not show the same place


def extent_gap_m(a: FloatArray, b: FloatArray, grid: Grid) -> float:
    """Return the distance on the ground between the extents of two layers, in metres.

    Args:
        a: ``float64[N, 4]`` bounding boxes of one layer, in pixels of the grid.
        b: ``float64[M, 4]`` bounding boxes of the other layer.
        grid: Grid that the boxes refer to.

    Returns:
        0 if the extents overlap, a layer is empty, or the grid has no CRS.
    """
    if not (len(a) and len(b)) or grid.crs is None:
        return 0.0
    (low, high), (low_b, high_b) = (
        (np.nanmin(boxes[:, :2], axis=0), np.nanmax(boxes[:, 2:], axis=0)) for boxes in (a, b)
    )
    nearest = np.clip(np.clip((low + high) / 2, low_b, high_b), low, high)
    ends = grid.to_map(np.stack([nearest, np.clip(nearest, low_b, high_b)]))
    return float(ground_distances_m(ends[:1], ends[1:], grid.crs)[0])


def check_distance(a: FloatArray, b: FloatArray, grid: Grid, roles: Roles) -> float:
    """Return the distance between the extents of two layers, as ``extent_gap_m``.

    Args:
        a: ``float64[N, 4]`` bounding boxes of one layer, in pixels of the grid.
        b: ``float64[M, 4]`` bounding boxes of the other layer.
        grid: Grid that the boxes refer to.
        roles: Roles of both layers, for the message.

    Raises:
        InputError: They lie so far apart that they cannot show the same place.
    """
    gap_m = extent_gap_m(a, b, grid)
    if gap_m > FAR_M:
        raise InputError(_message(a, b, grid, roles, gap_m))
    return gap_m


def warn_if_apart(
    a: FloatArray, b: FloatArray, grid: Grid, roles: Roles, *, limit_m: float = FAR_M
) -> None:
    """Give a ``GeodetectWarning`` if the extents of two layers lie further apart than a limit.

    Args:
        a: ``float64[N, 4]`` bounding boxes of one layer, in pixels of the grid.
        b: ``float64[M, 4]`` bounding boxes of the other layer.
        grid: Grid that the boxes refer to.
        roles: Roles of both layers, for the message.
        limit_m: Greatest distance without a warning.
    """
    gap_m = extent_gap_m(a, b, grid)
    if gap_m > limit_m:
        warnings.warn(_message(a, b, grid, roles, gap_m), GeodetectWarning, stacklevel=3)


def _message(a: FloatArray, b: FloatArray, grid: Grid, roles: Roles, gap_m: float) -> str:
    names = [
        f"{role.name} ({_describe_location(boxes, grid)})"
        for role, boxes in zip(roles, (a, b), strict=True)
    ]
    distance = f"{gap_m / 1000:,.0f} km" if gap_m >= FAR_M else f"{gap_m:,.0f} m"
    return (
        f"{names[0]} and {names[1]} lie {distance} apart; check the files, or name their CRS with "
        f"`{roles[0].crs_parameter}` and `{roles[1].crs_parameter}`"
    )


def _describe_location(boxes: FloatArray, grid: Grid) -> str:
    """Return the centre of an extent as text, in degrees if the CRS is tied to the Earth."""
    centre = (np.nanmin(boxes[:, :2], axis=0) + np.nanmax(boxes[:, 2:], axis=0)) / 2
    point = grid.to_map(centre[None])[0]
    crs = grid.crs and horizontal_crs(grid.crs)
    if crs is None or crs.geodetic_crs is None:
        return f"around {point[0]:.0f}, {point[1]:.0f}"
    lon, lat = transformer_between(crs, crs.geodetic_crs.to_2d()).transform(*point)
    return f"around lon {lon:.3f}, lat {lat:.3f}"
