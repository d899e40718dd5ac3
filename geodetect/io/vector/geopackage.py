"""Writer of several layers to one GeoPackage, each with its QGIS style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from geodetect.errors import InputError
from geodetect.io.vector import write as vector
from geodetect.io.vector.chunks import MappedChunks, Table, TableChunks
from geodetect.io.vector.gdal import (
    TableSchema,
    check_geopackage,
    embed_style,
    geopackage_to_build,
    read_schema,
    write_layer,
)
from geodetect.types import PathLike

_TO_MULTI = {
    "Polygon": shapely.multipolygons,
    "LineString": shapely.multilinestrings,
    "Point": shapely.multipoints,
}


@dataclass(frozen=True)
class Layer:
    """Layer of a file.

    Args:
        name: Name of the layer.
        table: Its features.
        style: Default style in QGIS, as QML; None: QGIS chooses one.
    """

    name: str
    table: Table
    style: str | None = None


def write_layers(
    layers: Sequence[Layer],
    path: PathLike,
    *,
    crs: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write layers to one file, complete or not at all.

    Args:
        layers: One layer for any format; several need a GeoPackage, which also keeps their styles.
            A layer of simple and multiple geometries of one kind gets multiple ones throughout.
        path: The file.
        crs: CRS of the file; by default that of each table.
        overwrite: Replace the file, with its parts, if it exists.

    Returns:
        The path.

    Raises:
        InputError: An unknown format, or several layers for a format that holds one.
        GeoreferenceError: A CRS that cannot be used.
        OutputError: The file exists, or it cannot be written; then nothing of it remains.
    """
    target = Path(path)
    kind = check_layers(target, len(layers))
    vector.check_options(kind, crs=crs)
    names = [layer.name for layer in layers]
    with vector.staged_file(target, kind, overwrite=overwrite, layers=names) as path_staged:
        encode_layers(layers, path_staged, kind, crs=crs)
    return target


def encode_layers(
    layers: Sequence[Layer], path: Path, kind: vector.Format, *, crs: str | None
) -> None:
    """Write layers to a path, for ``staged_file``; arguments as for ``write_layers``."""
    if kind.name != "gpkg":
        vector.encode(layers[0].table, path, kind, crs=crs)
        return
    with geopackage_to_build(path) as file:
        for layer in layers:
            table, schema = _with_one_geometry_type(vector.project_table(layer.table, crs))
            write_layer(table, file, driver="GPKG", layer=layer.name, schema=schema)
        for layer in layers:
            if layer.style is not None:
                embed_style(file, layer.name, style=layer.style, name=layer.name[:30])
        check_geopackage(file, {layer.name: len(layer.table) for layer in layers})


def check_layers(path: PathLike, count: int) -> vector.Format:
    """Return the format of a file that can hold ``count`` layers: only a GeoPackage holds several.

    Raises:
        InputError: Several layers for another format, or an unknown format.
    """
    kind = vector.format_of(Path(path), takes_format=False)
    if count > 1 and kind.name != "gpkg":
        raise InputError(
            f"{Path(path).name}: {kind.name} holds one layer, but there are {count} to write; "
            f"choose a GeoPackage (.gpkg) as `output`"
        )
    return kind


def _with_one_geometry_type(table: TableChunks) -> tuple[TableChunks, TableSchema]:
    """Promote simple geometries where multiple ones occur too: GIS expect one type per layer."""
    schema = read_schema(table)
    for simple in _TO_MULTI:
        if schema.geometry_types == {simple, f"Multi{simple}"}:
            promoted = MappedChunks(table, partial(_promote_to_multi, simple), table.crs)
            return promoted, replace(schema, geometry_types=frozenset({f"Multi{simple}"}))
    return table, schema


def _promote_to_multi(simple: str, table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    geometry = np.asarray(table.geometry.array).copy()
    rows = np.flatnonzero(np.asarray(table.geom_type) == simple)
    geometry[rows] = _TO_MULTI[simple](geometry[rows], indices=np.arange(len(rows)))
    return table.set_geometry(gpd.array.from_shapely(geometry, crs=table.crs))
