"""The ground that was looked at, as ``predict`` writes it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS

from geodetect.assessment.spatial_join import with_valid_polygons
from geodetect.detection.coverage import LAYER, LOOKED_AT, STATUSES
from geodetect.errors import InputError
from geodetect.geo.bounds import densified
from geodetect.geo.reproject import reproject
from geodetect.io.vector.features import Role, box_centres, named_column, read_features
from geodetect.io.vector.read import OF_PREDICT, has_layer
from geodetect.types import BoolArray, ObjectArray, PathLike

COVERAGE = Role("the coverage", "--coverage", layers=(LAYER,), points=False)


@dataclass(frozen=True)
class SeenGround:
    """Ground that was looked at.

    Args:
        polygons: ``object[N]`` valid polygons without holes between them, which do not overlap.
        crs: Their CRS.
    """

    polygons: ObjectArray
    crs: CRS

    def holds(self, features: gpd.GeoDataFrame) -> BoolArray:
        """Whether the centre of each feature was looked at, ``bool[M]``."""
        centres = box_centres(features, self.crs)
        inside = np.zeros(len(features), dtype=bool)
        if len(self.polygons):
            tree = shapely.STRtree(shapely.points(np.nan_to_num(centres, nan=np.inf)))
            inside[tree.query(self.polygons, predicate="intersects")[1]] = True
        return inside

    def polygons_in(self, crs: CRS) -> ObjectArray:
        """The polygons on another map."""
        return reproject(densified(self.polygons, self.crs), self.crs, crs)


def own_coverage(found: PathLike | gpd.GeoDataFrame) -> str | None:
    """The ground that ``predict`` wrote beside detections into one GeoPackage; None: there is none.

    Args:
        found: Detections: a file, or a table, which has no such thing.
    """
    if isinstance(found, gpd.GeoDataFrame):
        return None
    file, _, layer = os.fspath(found).partition("|layername=")
    is_of_predict = layer in ("", OF_PREDICT[0]) and file.lower().endswith(".gpkg")
    if not is_of_predict or not all(has_layer(file, name) for name in OF_PREDICT):
        return None
    return f"{file}|layername={LAYER}"


def read_coverage(source: PathLike | gpd.GeoDataFrame) -> SeenGround:
    """Read the ground that was looked at.

    Args:
        source: What ``predict --coverage`` wrote: only polygons whose ``status`` is "looked at"
            count. In a layer without such a column all do, so any area will do.

    Raises:
        InputError: It cannot be read, has no CRS, or its ``status`` means something else.
    """
    table = read_features(source, COVERAGE)
    status = named_column(table, "status")
    if status is not None:
        words = sorted(set(map(str, table[status])))
        if words and not set(words) & STATUSES:
            raise InputError(
                f"--coverage: column {status!r} holds {', '.join(words[:5])}; expected "
                f"{', '.join(sorted(STATUSES))}, as predict --coverage writes"
            )
        table = table[np.asarray(table[status] == LOOKED_AT)]
    valid = with_valid_polygons(table.reset_index(drop=True), COVERAGE.name)
    whole = shapely.union_all(np.asarray(valid.geometry.array))
    return SeenGround(np.asarray(shapely.get_parts(whole)), table.crs)
