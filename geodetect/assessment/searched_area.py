"""Area that a detector searched, as ``predict`` writes it into the layer ``coverage``."""

from __future__ import annotations

import os

import geopandas as gpd
import numpy as np
import shapely

from geodetect.assessment.spatial_join import repair_table
from geodetect.detection.coverage import COVERAGE_STYLE, SEARCHED, STATUSES
from geodetect.errors import InputError, list_names
from geodetect.geo.polygons import union_polygons
from geodetect.io.vector.features import find_column
from geodetect.io.vector.geopackage import Layer
from geodetect.io.vector.read import (
    CHANGE_LAYERS,
    COVERAGE_LAYER,
    PREDICTION_LAYERS,
    LayerRole,
    LayerSource,
    has_layer,
    read_features,
)

COVERAGE = LayerRole("the coverage", layer_names=(COVERAGE_LAYER,), points=False)


def find_coverage(predictions: LayerSource) -> str | None:
    """Return the coverage layer beside predictions or changes in one GeoPackage.

    Args:
        predictions: A file, or a table, which has no such layer.

    Returns:
        ``FILE|layername=coverage``; None if there is no such layer.
    """
    if isinstance(predictions, gpd.GeoDataFrame):
        return None
    file, _, layer = os.fspath(predictions).partition("|layername=")
    if not file.lower().endswith(".gpkg"):
        return None
    for names in (PREDICTION_LAYERS, CHANGE_LAYERS):
        if layer in ("", names[0]) and all(has_layer(file, name) for name in names):
            return f"{file}|layername={COVERAGE_LAYER}"
    return None


def read_searched_area(source: LayerSource) -> gpd.GeoSeries:
    """Read the area that a detector searched.

    Args:
        source: The coverage that ``predict`` writes, of which only polygons with the ``status`` of
            searched imagery count. In a layer without such a column all polygons do.

    Returns:
        Valid polygons that do not overlap, with their CRS.

    Raises:
        InputError: The layer cannot be read, has no CRS, or its ``status`` means something else.
    """
    table = read_features(source, COVERAGE)
    column = find_column(table, "status")
    if column is not None:
        statuses = sorted(set(map(str, table[column])))
        if statuses and not set(statuses) & STATUSES:
            raise InputError(
                f"`coverage`: column {column!r} holds {list_names(statuses)}; expected "
                f"{', '.join(sorted(STATUSES))}, as `geodetect predict` writes"
            )
        table = table[np.asarray(table[column] == SEARCHED)]
    valid = repair_table(table.reset_index(drop=True), COVERAGE.name)
    union = union_polygons(np.asarray(valid.geometry.array))
    return gpd.GeoSeries(shapely.get_parts(union), crs=table.crs)


def searched_layer(area: gpd.GeoSeries) -> Layer:
    """Return a searched area as a layer ``coverage``, which `read_searched_area` reads."""
    table = gpd.GeoDataFrame({"status": [SEARCHED] * len(area)}, geometry=area.array)
    return Layer(COVERAGE_LAYER, table, COVERAGE_STYLE)
