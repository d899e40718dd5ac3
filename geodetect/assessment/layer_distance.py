"""Distance between the extents of two layers: far apart, one of them has a wrong CRS."""

from __future__ import annotations

import numpy as np

from geodetect.geo.crs import horizontal_crs, transformer_between
from geodetect.geo.geodesic import ground_distances_m
from geodetect.geo.grid import Grid
from geodetect.io.vector.read import LayerRole
from geodetect.types import FloatArray

FAR_M = 1000.0  # layers further apart than this do not show the same place


def measure_gap(
    a: FloatArray, b: FloatArray, grid: Grid, roles: tuple[LayerRole, LayerRole]
) -> tuple[float, str]:
    """Return the distance on the ground between the extents of two layers, and a message about it.

    Args:
        a: ``float64[N, 4]`` bounding boxes of one layer, in pixels of the grid.
        b: ``float64[M, 4]`` bounding boxes of the other layer.
        grid: Grid that the boxes refer to.
        roles: Roles of both layers, for the message.

    Returns:
        Metres, and the text of an error or warning. They are 0 and empty if the extents overlap, a
        layer is empty, or the grid has no CRS.
    """
    if not (len(a) and len(b)) or grid.crs is None:
        return 0.0, ""
    (low, high), (low_b, high_b) = extents = [
        (np.nanmin(boxes[:, :2], axis=0), np.nanmax(boxes[:, 2:], axis=0)) for boxes in (a, b)
    ]
    nearest = np.clip(np.clip((low + high) / 2, low_b, high_b), low, high)
    ends = grid.to_map(np.stack([nearest, np.clip(nearest, low_b, high_b)]))
    gap_m = float(ground_distances_m(ends[:1], ends[1:], grid.crs)[0])
    if not gap_m > 0:  # or NaN
        return 0.0, ""
    crs = horizontal_crs(grid.crs)
    layers = []
    for role, extent in zip(roles, extents, strict=True):
        x, y = grid.to_map(np.mean(extent, axis=0)[None])[0]
        location = f"{x:.0f}, {y:.0f}"
        if crs.geodetic_crs is not None:
            lon, lat = transformer_between(crs, crs.geodetic_crs.to_2d()).transform(x, y)
            location = f"lon {lon:.3f}, lat {lat:.3f}"
        layers.append(f"{role.name} (around {location})")
    distance = f"{gap_m / 1000:,.0f} km" if gap_m >= FAR_M else f"{gap_m:,.0f} m"
    return gap_m, (
        f"{' and '.join(layers)} lie {distance} apart; check the files, or name their CRS with "
        f"`{roles[0].crs_parameter}` and `{roles[1].crs_parameter}`"
    )
