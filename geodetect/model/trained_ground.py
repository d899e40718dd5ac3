"""Ground that a model was trained on, as its card records it."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS

from geodetect.geo.crs import WGS84, horizontal_crs, transformer_between
from geodetect.model.card import ModelCard
from geodetect.types import BoolArray, FloatArray, ObjectArray

DECIMALS = 5  # of degrees: a metre
GAPS = (1e-5, 1e-4)  # degrees between areas that are joined; the second if there are very many
MAX_POINTS = 5000


def ground_as_text(areas: ObjectArray) -> str:
    """Return areas as the text that a card records.

    Args:
        areas: ``object[N]`` polygons on WGS 84, longitude first.

    Returns:
        Well-known text of a polygon or multipolygon, to a metre; empty for no area, or for very
        many small ones far apart.
    """
    union = shapely.union_all(areas)
    for gap in GAPS:
        closed = union.buffer(gap, join_style="mitre").buffer(-gap, join_style="mitre")
        ground = shapely.simplify(closed, 10.0**-DECIMALS)
        if shapely.get_num_coordinates(ground) <= MAX_POINTS:
            break
    else:
        return ""
    return "" if ground.is_empty else shapely.to_wkt(ground, rounding_precision=DECIMALS)


def are_on_trained_ground(card: ModelCard, points: FloatArray, crs: CRS) -> BoolArray:
    """Return True for points on ground that a model was trained on, ``bool[N]``.

    Args:
        card: Card of the model; False for all points if it records no ground.
        points: ``float64[N, 2]`` map coordinates.
        crs: Their CRS.
    """
    if not card.training.ground or not len(points):
        return np.zeros(len(points), bool)
    ground = shapely.make_valid(shapely.from_wkt(card.training.ground))
    transformer = transformer_between(horizontal_crs(crs), WGS84)
    longitudes, latitudes = transformer.transform(*points.T)
    shapely.prepare(ground)
    return np.asarray(shapely.intersects_xy(ground, longitudes, latitudes), dtype=bool)
