"""Rasters grouped by the ground that they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import shapely
from pyproj import CRS

from geodetect.arrays.components import connected_components
from geodetect.geo.crs import same_crs
from geodetect.geo.grid import map_corners
from geodetect.io.ground.ground import Ground
from geodetect.io.raster.reader import Raster


def group_rasters(rasters: Sequence[Raster], reaches: Sequence[float]) -> list[Ground]:
    """Group rasters of one CRS that lie so near to each other that a tile may show two of them.

    Farther apart they stay separate grounds, each with the resolution of its place, and without
    tiles between them. Rasters without a CRS and web services, which show the whole world, are a
    ground each.

    Args:
        rasters: The rasters, in the order of their priority.
        reaches: Side of a tile in map units, for each raster.

    Returns:
        Grounds in the order of their first rasters.
    """
    systems: list[CRS] = []
    number_of_wkt: dict[str, int] = {}
    by_kind: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, raster in enumerate(rasters):
        crs, wkt = raster.grid.crs, raster.grid.crs_wkt
        if crs is None or wkt is None or raster.is_service:
            by_kind[-1 - number, 0].append(number)
            continue
        if wkt not in number_of_wkt:
            same = (n for n, system in enumerate(systems) if same_crs(system, crs))
            number_of_wkt[wkt] = next(same, len(systems))
            if number_of_wkt[wkt] == len(systems):
                systems.append(crs)
        by_kind[number_of_wkt[wkt], raster.band_count].append(number)
    groups: list[list[int]] = []
    for numbers in by_kind.values():
        corners = map_corners([rasters[number].grid for number in numbers])
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        reach = np.array([reaches[number] for number in numbers])[:, None]
        tree = shapely.STRtree(shapely.box(*boxes.T))
        near = shapely.box(*np.concatenate([boxes[:, :2] - reach, boxes[:, 2:] + reach], axis=1).T)
        a, b = tree.query(near)
        components = connected_components(len(numbers), a, b)
        members: dict[int, list[int]] = defaultdict(list)
        for number, component in zip(numbers, components.tolist(), strict=True):
            members[component].append(number)
        groups += members.values()
    return [Ground.from_rasters([rasters[n] for n in group]) for group in sorted(groups)]
