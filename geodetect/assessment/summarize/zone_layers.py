"""Layers of zones: zones that are counted already, and layers that are mistaken for zones."""

from __future__ import annotations

import os

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geodetect.errors import InputError
from geodetect.geo.geodesic import ground_areas_m2
from geodetect.io.labels.class_column import CLASS_FIELDS
from geodetect.io.vector.features import find_column, find_score_column
from geodetect.io.vector.read import PREDICTIONS, LayerRole, LayerSource, has_layer, read_features

LAYER = "zones"
ZONES = LayerRole("the zones", "zones_crs", (LAYER,), points=False)

# columns that ``summarize`` writes, with the names that a Shapefile cuts them to
COUNT_COLUMNS = {
    "count": "count",
    "density_per_km2": "density_pe",
    "object_area_m2": "object_are",
    "object_area_low_m2": "object_a_1",
    "object_area_high_m2": "object_a_2",
    "corrected_count": "corrected_",
    "corrected_low": "correcte_1",
    "corrected_high": "correcte_2",
    "area_km2": "area_km2",
    "covered_fraction": "covered_fr",
    "searched": "searched",
}
CORRECTED = ("corrected_count", "corrected_low", "corrected_high")
OBJECT_AREA = ("object_area_m2", "object_area_low_m2", "object_area_high_m2")
LARGEST_OBJECT_M2 = 1e4  # zones with scores are larger
SMALLEST_ZONE_M2 = 1e5  # objects without score and class are smaller


def read_zones(source: LayerSource, *, crs: str | None = None) -> gpd.GeoDataFrame:
    """Read zones; predictions are refused.

    Args:
        source: Polygons.
        crs: CRS of the coordinates, whatever the file says.

    Raises:
        InputError: They cannot be read, are no polygons, or are predictions.
    """
    table = read_features(source, ZONES, crs=crs)
    _refuse_predictions(table)
    return table


def refuse_same_layer(predictions: LayerSource, zones: LayerSource) -> None:
    """Refuse one layer as predictions and as zones.

    Raises:
        InputError: Both are the same table, or the same layer of a file.
    """
    is_same = predictions is zones
    if not isinstance(predictions, gpd.GeoDataFrame) and not isinstance(zones, gpd.GeoDataFrame):
        (file, _, layer), (zone_file, _, zone_layer) = (
            os.fspath(source).partition("|layername=") for source in (predictions, zones)
        )
        is_same_file = os.path.realpath(file) == os.path.realpath(zone_file)
        # of a GeoPackage without layer names, each role may pick another layer
        is_same = (
            is_same_file
            and layer == zone_layer
            and not (
                layer == ""
                and has_layer(file, LAYER)
                and has_layer(file, PREDICTIONS.layer_names[0])
            )
        )
    if is_same:
        raise InputError(
            f"{ZONES.name} are the layer of the predictions; expected polygons to count by, such "
            f"as communes, as `zones`"
        )


def find_count_columns(table: pd.DataFrame) -> dict[str, str]:
    """Return the columns of zones that ``summarize`` counted, by the names that it gives them.

    Returns:
        Empty if the zones are not counted; without those of corrected counts if they are not
        corrected.
    """
    columns = {
        name: find_column(table, name) or find_column(table, short)
        for name, short in COUNT_COLUMNS.items()
    }
    present = {name: column for name, column in columns.items() if column is not None}
    return present if COUNT_COLUMNS.keys() - {*CORRECTED, *OBJECT_AREA} <= present.keys() else {}


def name_zones(table: gpd.GeoDataFrame) -> list[str]:
    """Return the first column of texts of zones, else their numbers in the file.

    Texts that are numbers, as all are in CSV, and codes, come second.
    """
    columns = list(table.columns.drop(table.geometry.name))
    count = find_column(table, "count")
    attributes = columns if count is None else columns[: columns.index(count)]
    texts = [name for name in attributes if table[name].dtype.kind not in "iufbM"]
    texts.sort(key=lambda name: bool(pd.to_numeric(table[name], errors="coerce").notna().all()))
    if not texts:
        return [str(number) for number in range(1, len(table) + 1)]
    return ["" if pd.isna(name) else str(name) for name in table[texts[0]]]


def refuse_zones(table: gpd.GeoDataFrame, score_field: str | None = None) -> None:
    """Refuse zones in the place of predictions.

    Args:
        table: Predictions as they were read.
        score_field: Column of their scores; None: the obvious one.

    Raises:
        InputError: They are counted zones, or very large polygons without score and class.
    """
    if find_count_columns(table):
        raise InputError(
            f"{PREDICTIONS.name} are zones that `summarize` counted; name them as `zones`, and the "
            f"detections as predictions"
        )
    is_described = score_field is not None or find_score_column(table) is not None
    is_described |= any(find_column(table, name) for name in (*CLASS_FIELDS, "status"))
    if is_described:
        return
    area_m2 = _median_area_m2(table)
    if area_m2 >= SMALLEST_ZONE_M2:
        raise InputError(
            f"{PREDICTIONS.name} have no class and no score, and polygons of {area_m2 / 1e6:.3g} "
            f"km² (median), as zones have; name them as `zones`, or give objects of this size a "
            f"column class"
        )


def _refuse_predictions(table: gpd.GeoDataFrame) -> None:
    """Refuse predictions or changes in the place of zones."""
    if find_count_columns(table):
        return
    is_changes = all(find_column(table, name) for name in ("status", "distance_m"))
    column = find_score_column(table)
    has_scores = column is not None and bool(table[column].notna().any())
    if is_changes or (has_scores and _median_area_m2(table) < LARGEST_OBJECT_M2):
        kind = "changes that `compare` wrote" if is_changes else f"detections with {column!r}"
        raise InputError(
            f"{ZONES.name} are {kind}; expected polygons to count by, such as communes, as `zones`"
        )


def _median_area_m2(table: gpd.GeoDataFrame) -> float:
    """Return the median true area of the features; 0 without any, or without a CRS."""
    geometry = np.asarray(table.geometry)
    geometry = geometry[shapely.get_dimensions(geometry) == 2]
    if table.crs is None or not len(geometry):
        return 0.0
    return float(np.median(ground_areas_m2(geometry, table.crs)))
