"""Type aliases shared by all modules."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import geopandas as gpd
    import shapely
    from rasterio.io import DatasetReader
    from rasterio.vrt import WarpedVRT

PathLike = str | os.PathLike[str]
AreaSource: TypeAlias = "PathLike | gpd.GeoDataFrame | gpd.GeoSeries | shapely.Geometry"

AnyArray = NDArray[Any]
RasterSource: TypeAlias = "PathLike | AnyArray | DatasetReader | WarpedVRT"
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
ObjectArray = NDArray[np.object_]
UInt8Array = NDArray[np.uint8]
