"""Vector layers with known rows in many formats, and what plain GDAL reads from them."""

from __future__ import annotations

import glob
import random
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from shapely.geometry.base import BaseGeometry

from tests.campaign.seeds.rasters import BOXES, SIDE
from tests.helpers.square_scenes import CRS, GSD_M, ORIGIN_M

FORMATS = {  # drivers by the suffix of their files
    "layer.geojson": "GeoJSON",
    "layer.geojsonl": "GeoJSONSeq",
    "layer.gpkg": "GPKG",
    "layer.fgb": "FlatGeobuf",
    "layer.shp": "ESRI Shapefile",
    "layer.gml": "GML",
    "layer.kml": "KML",
    "layer.csv": "CSV",
    "layer.parquet": "",
    "layer.sqlite": "SQLite",
    "layer.tab": "MapInfo File",
    "layer.mif": "MapInfo File",
}
LON_LAT = {"GeoJSON", "GeoJSONSeq", "KML", "CSV"}
WRITABLE = (
    "layer.geojson",
    "layer.geojsonl",
    "layer.gpkg",
    "layer.fgb",
    "layer.csv",
    "layer.parquet",
)


@dataclass(frozen=True)
class VectorSeed:
    """An undamaged layer: names and contents of its files, and the number of its rows."""

    files: dict[str, bytes]
    rows: int


def squares_table() -> gpd.GeoDataFrame:
    """Return the squares of the scene with classes and scores."""
    low = np.column_stack([ORIGIN_M[0] + BOXES[:, 0] * GSD_M, ORIGIN_M[1] - BOXES[:, 3] * GSD_M])
    side = (BOXES[:, 2] - BOXES[:, 0])[:, None] * GSD_M
    squares = shapely.box(*low.T, *(low + side).T)
    columns = {
        "id": np.arange(len(BOXES)),
        "class": ["square", "pond"] * (len(BOXES) // 2),
        "score": np.linspace(0.5, 0.9, len(BOXES)).round(3),
        "remark": [f"number {n}, é" for n in range(len(BOXES))],
    }
    return gpd.GeoDataFrame(columns, geometry=squares, crs=CRS)


def zones_table() -> gpd.GeoDataFrame:
    """Return two halves of the scene."""
    side = SIDE * GSD_M
    x, y = ORIGIN_M[0], ORIGIN_M[1] - side
    halves = [
        shapely.box(x, y, x + side / 2, y + side),
        shapely.box(x + side / 2, y, x + side, y + side),
    ]
    return gpd.GeoDataFrame({"name": ["west", "east"]}, geometry=halves, crs=CRS)


def write_table(table: gpd.GeoDataFrame, file: Path) -> None:
    """Write a table in the format of the suffix."""
    driver = FORMATS[file.name]
    if not driver:
        table.to_parquet(file)
        return
    if driver in LON_LAT:
        table = table.to_crs("EPSG:4326")
    options = {"GEOMETRY": "AS_WKT"} if driver == "CSV" else {}
    with warnings.catch_warnings(action="ignore"):
        pyogrio.write_dataframe(table, file, driver=driver, **options)


def write_seeds(folder: Path, table: gpd.GeoDataFrame) -> dict[str, VectorSeed]:
    """Write a table in every format, and return the layers by the name of their first file."""
    seeds = {}
    for name in FORMATS:
        path = folder / name.replace(".", "-") / name
        path.parent.mkdir(parents=True)
        write_table(table, path)
        files = sorted(path.parent.iterdir(), key=lambda file: (file != path, file))
        seeds[name] = VectorSeed({file.name: file.read_bytes() for file in files}, len(table))
    return seeds


def count_rows(file: Path) -> int:
    """Return the rows that GDAL, or pyarrow, reads from a layer.

    Raises:
        Exception: It cannot be read to the end.
    """
    if file.suffix == ".parquet":
        return len(gpd.read_parquet(file))
    with TemporaryDirectory() as folder:  # pyogrio drops tabs from the names of files
        for part in file.parent.glob(f"{glob.escape(file.stem)}.*"):
            shutil.copyfile(part, Path(folder, f"layer{part.suffix}"))
        path = Path(folder, f"layer{file.suffix}")
        return len(pyogrio.read_dataframe(path, on_invalid="ignore"))


def spoil_rows(table: gpd.GeoDataFrame, rng: random.Random) -> gpd.GeoDataFrame:
    """Return a table of as many rows, of which one to five have unusable or strange values."""
    table = table.copy()
    geometries: list[BaseGeometry | None] = list(table.geometry)
    for row in rng.sample(range(len(table)), min(rng.choice((1, 2, 5)), len(table))):
        column = rng.choice(["geometry", "geometry", *table.columns.drop("geometry")])
        if column == "geometry":
            geometries[row] = _spoil(geometries[row], rng)
        elif not pd.api.types.is_numeric_dtype(table[column]):
            table.loc[row, column] = rng.choice(
                (None, "", " ", "nan", "SQUARE", "square ", "1", "\u202e", "x" * 300)
            )
        else:
            table[column] = table[column].astype(float)
            table.loc[row, column] = rng.choice((np.nan, np.inf, -1.0, 0.0, 1.5, 1e300))
    return table.set_geometry(gpd.GeoSeries(geometries, index=table.index, crs=table.crs))


def _spoil(geometry: BaseGeometry, rng: random.Random) -> BaseGeometry | None:
    west, south, east, north = geometry.bounds
    nan, inf = float("nan"), float("inf")
    return rng.choice(
        (
            None,
            shapely.Polygon(),
            shapely.MultiPolygon(),
            shapely.Point(west, south),
            shapely.Point(),
            shapely.LineString([(west, south), (east, north)]),
            shapely.MultiPoint([(west, south), (east, north)]),
            shapely.GeometryCollection([geometry, shapely.Point(west, south)]),
            shapely.MultiPolygon([geometry, geometry]),
            shapely.Polygon([(west, south), (east, north), (east, south), (west, north)]),
            shapely.box(west, south, west, north),
            shapely.box(west, south, west, south),
            shapely.Polygon([(west, south), (nan, north), (east, north)]),
            shapely.Polygon([(west, south), (inf, north), (east, north)]),
            shapely.transform(geometry, lambda xy: xy + 1e9),
            shapely.transform(geometry, lambda xy: xy * 1e300),
            shapely.force_3d(geometry, nan),
            shapely.polygons([[(west, south)] * 3 + [(west, south)]])[0],
        )
    )
