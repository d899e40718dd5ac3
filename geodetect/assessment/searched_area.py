"""Area that a detector searched, as ``predict`` writes it into the layer ``coverage``."""

from __future__ import annotations

import os
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS

from geodetect.assessment.spatial_join import join_points, repair_table
from geodetect.detection.coverage import LAYER, SEARCHED, STATUSES
from geodetect.errors import InputError
from geodetect.geo.reproject import densify, reproject
from geodetect.io.vector.features import box_centres, find_column
from geodetect.io.vector.read import PREDICTION_LAYERS, LayerRole, has_layer, read_features
from geodetect.types import BoolArray, ObjectArray, PathLike

COVERAGE = LayerRole("the coverage", layer_names=(LAYER,), points=False)


@dataclass(frozen=True)
class SearchedArea:
    """Area that a detector searched.

    Args:
        polygons: ``object[N]`` valid polygons that do not overlap.
        crs: CRS of the polygons.
    """

    polygons: ObjectArray
    crs: CRS

    def contains_centres(self, features: gpd.GeoDataFrame) -> BoolArray:
        """Return True for each feature whose centre lies in the area, ``bool[M]``."""
        is_inside = np.zeros(len(features), dtype=bool)
        is_inside[join_points(box_centres(features, self.crs), self.polygons)[:, 0]] = True
        return is_inside

    def polygons_in(self, crs: CRS) -> ObjectArray:
        """Return the polygons in another CRS."""
        return reproject(densify(self.polygons, self.crs), self.crs, crs)


def find_coverage(predictions: PathLike | gpd.GeoDataFrame) -> str | None:
    """Return the coverage layer that ``predict`` wrote beside predictions into one GeoPackage.

    Args:
        predictions: A file, or a table, which has no such layer.

    Returns:
        ``FILE|layername=coverage``; None if there is no such layer.
    """
    if isinstance(predictions, gpd.GeoDataFrame):
        return None
    file, _, layer = os.fspath(predictions).partition("|layername=")
    holds_predictions = layer in ("", PREDICTION_LAYERS[0]) and file.lower().endswith(".gpkg")
    if not holds_predictions or not all(has_layer(file, name) for name in PREDICTION_LAYERS):
        return None
    return f"{file}|layername={LAYER}"


def read_searched_area(source: PathLike | gpd.GeoDataFrame) -> SearchedArea:
    """Read the area that a detector searched.

    Args:
        source: The coverage that ``predict`` writes, of which only polygons with the ``status`` of
            searched imagery count. In a layer without such a column all polygons do.

    Raises:
        InputError: The layer cannot be read, has no CRS, or its ``status`` means something else.
    """
    table = read_features(source, COVERAGE)
    column = find_column(table, "status")
    if column is not None:
        statuses = sorted(set(map(str, table[column])))
        if statuses and not set(statuses) & STATUSES:
            raise InputError(
                f"`coverage`: column {column!r} holds {', '.join(statuses[:5])}; expected "
                f"{', '.join(sorted(STATUSES))}, as `geodetect predict` writes"
            )
        table = table[np.asarray(table[column] == SEARCHED)]
    valid = repair_table(table.reset_index(drop=True), COVERAGE.name)
    union = shapely.union_all(np.asarray(valid.geometry.array))
    return SearchedArea(np.asarray(shapely.get_parts(union)), table.crs)
