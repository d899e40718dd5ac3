"""GeoJSON (RFC 7946), written feature by feature.

GDAL's writer is not used: rows are streamed in chunks, and the bytes do not depend on its version.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

import numpy as np
import shapely
from pyproj import CRS

from geodetect.geo.crs import WGS84
from geodetect.geo.reproject import densify, reproject
from geodetect.io.vector.chunks import Table, as_chunks
from geodetect.json_text import compact_json
from geodetect.types import AnyArray, BoolArray, FloatArray

LINES = (".geojsonl", ".geojsons", ".ndjson")  # suffixes of newline-delimited GeoJSON
DECIMALS = 8  # of a degree: 1.1 mm


def to_geojson(table: Table, stream: TextIO) -> None:
    """Write a table as one FeatureCollection (RFC 7946).

    Longitude and latitude on WGS 84 with 8 decimals, counter-clockwise outer rings, no ``crs``
    member, geometries cut at the antimeridian (section 3.1.9), missing values as null. The column
    ``id`` is also the ``id`` of the feature.

    A table without CRS keeps its coordinates (x right, y down for pixels). The collection then
    carries the foreign member ``"coordinate_space": "pixel"``.

    Args:
        table: Any features; the geometry column becomes the geometry, all others properties.
        stream: A text stream, UTF-8 if it is to be a file.

    Raises:
        GeoreferenceError: The coordinates cannot be projected to WGS 84.
    """
    space = '"coordinate_space":"pixel",' if table.crs is None else ""
    stream.write(f'{{"type":"FeatureCollection",{space}"features":[')
    for number, feature in enumerate(features(table)):
        stream.write(",\n" if number else "\n")
        stream.write(feature)
    stream.write("\n]}\n")


def to_geojson_lines(table: Table, stream: TextIO) -> None:
    """Write a table as newline-delimited GeoJSON: one feature per line, as in `to_geojson`.

    Unlike RFC 8142 text sequences the lines carry no record separator in front.
    """
    stream.writelines(f"{feature}\n" for feature in features(table))


def features(table: Table) -> Iterator[str]:
    """Yield the rows of a table as GeoJSON features, each a text without line breaks."""
    for chunk in as_chunks(table).chunks():
        geometry = np.asarray(chunk.geometry.array)
        if chunk.crs is not None:
            geometry = project_to_degrees(geometry, chunk.crs, WGS84)
        rounded = shapely.transform(geometry, lambda xy: np.round(xy, DECIMALS) + 0.0)  # no -0.0
        texts = shapely.to_geojson(orient_polygons(np.asarray(rounded)))
        columns = {
            name: column.astype(object).where(column.notna(), None)
            for name, column in chunk.drop(columns=chunk.geometry.name).items()
        }
        rows = zip(*columns.values(), strict=True) if columns else ((),) * len(chunk)
        for text, row in zip(texts, rows, strict=True):
            values = dict(zip(columns, row, strict=True))
            key = f'"id":{compact_json(values["id"])},' if values.get("id") is not None else ""
            properties, geometry_text = compact_json(values), text or "null"
            yield (
                f'{{"type":"Feature",{key}"properties":{properties},"geometry":{geometry_text}}}'
            )


def orient_polygons(geometry: AnyArray) -> AnyArray:
    """Turn outer rings of polygons counter-clockwise and holes clockwise (RFC 7946, 3.1.6).

    Polygons oriented so already keep their first vertex.
    """
    types = shapely.get_type_id(geometry)
    is_simple = (types == 3) & (shapely.get_num_interior_rings(geometry) == 0)
    is_oriented = is_simple & shapely.is_ccw(shapely.get_exterior_ring(geometry))
    turn = np.isin(types, (3, 6)) & ~is_oriented
    oriented = geometry.copy()  # normal form has the outer ring clockwise
    oriented[turn] = shapely.reverse(shapely.normalize(geometry[turn]))
    return oriented


def project_to_degrees(geometry: AnyArray, source: CRS, target: CRS) -> AnyArray:
    """Project geometries to a geographic CRS, and cut them at the antimeridian.

    A geometry that is wider than half the globe crosses the antimeridian only if its edges do in
    ``source``, where they are straight: a zone from -170 to 170 degrees is what it is.

    Args:
        geometry: ``object[N]`` geometries in ``source``.
        source: Their CRS.
        target: Geographic CRS.

    Returns:
        ``object[N]`` as of ``cut_at_antimeridian``.

    Raises:
        GeoreferenceError: A vertex lies where ``target`` is not defined.
    """
    projected = reproject(geometry, source, target)
    bounds = shapely.bounds(projected)
    is_wide = bounds[:, 2] - bounds[:, 0] > 180
    crosses = np.zeros(len(projected), bool)
    if is_wide.any():
        dense = reproject(densify(geometry[is_wide], source), source, target)
        crosses[is_wide] = [_has_jump(shape) for shape in dense]
    return cut_at_antimeridian(projected, crosses)


def cut_at_antimeridian(geometry: AnyArray, crosses: BoolArray | None = None) -> AnyArray:
    """Shift geometries to longitudes -180..180 and cut them at the antimeridian.

    A polygon around a pole comes out as its parts on either side.

    Args:
        geometry: ``object[N]`` longitude and latitude; longitudes may lie beyond -180..180.
        crosses: ``bool[N]`` True where longitudes jump by 360 degrees at the antimeridian; None:
            nowhere.

    Returns:
        ``object[N]``; those that were cut are of the Multi type (RFC 7946, 3.1.9).
    """
    bounds = shapely.bounds(geometry)
    across = np.zeros(len(geometry), bool) if crosses is None else crosses
    astray = np.flatnonzero(across | (bounds[:, 0] < -180) | (bounds[:, 2] > 180))
    if len(astray) == 0:
        return geometry
    cut = geometry.copy()
    cut[across] = shapely.transform(
        geometry[across], lambda xy: xy + np.where(xy[:, :1] < 0, (360.0, 0.0), 0.0)
    )
    bounds = shapely.bounds(cut[astray])
    first = np.floor((bounds[:, 0] + 180) / 360)  # number of the turn around the globe
    last = np.ceil((bounds[:, 2] - 180) / 360)
    for turn in np.unique(first):
        whole = astray[(first == turn) & (last <= first)]
        cut[whole] = _shift_longitude(cut[whole], turn)
    for row, *turns in zip(astray, first, last, strict=True):
        if turns[1] > turns[0]:
            cut[row] = _cut_in_turns(cut[row], np.arange(turns[0], turns[1] + 1))
    return cut


def _has_jump(geometry: shapely.Geometry) -> bool:
    """Return True if an edge of a geometry is longer than 180 degrees of longitude."""
    parts = shapely.get_parts(geometry)
    lines = [*shapely.get_rings(parts), *parts[shapely.get_dimensions(parts) == 1]]
    longitudes = [shapely.get_coordinates(line)[:, 0] for line in lines]
    return any((np.abs(np.diff(values)) > 180).any() for values in longitudes)


def _shift_longitude(geometry: AnyArray, turns: float) -> AnyArray:
    return np.asarray(shapely.transform(geometry, lambda xy: xy - (360.0 * turns, 0.0)))


def _cut_in_turns(geometry: shapely.Geometry, turns: FloatArray) -> shapely.Geometry:
    """Return the parts of a geometry on each of these turns around the globe."""
    parts: list[shapely.Geometry] = []
    for turn in turns:
        world = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        inside = shapely.get_parts(shapely.intersection(geometry, world))
        same_dimension = shapely.get_dimensions(inside) == shapely.get_dimensions(geometry)
        parts.extend(_shift_longitude(inside[same_dimension], turn))
    collect = (shapely.multipoints, shapely.multilinestrings, shapely.multipolygons)
    to_multi = collect[int(shapely.get_dimensions(geometry))]
    # parts of a geometry as wide as the globe meet again
    return to_multi(
        parts if to_multi(parts).is_valid else shapely.get_parts(shapely.union_all(parts))
    )
