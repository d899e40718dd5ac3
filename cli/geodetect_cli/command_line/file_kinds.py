"""Kinds of files by their suffixes, for hints in errors and completion in the shell."""

from __future__ import annotations

from pathlib import PurePath

RASTER = (".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img", ".ecw", ".sid", ".webp")
LAYER = (
    ".gpkg", ".geojson", ".geojsonl", ".geojsons", ".ndjson", ".json", ".shp", ".fgb", ".parquet",
    ".geoparquet", ".csv", ".kml", ".gml",
)  # fmt: skip
MODEL = (".safetensors",)
WEIGHTS = (".pt", ".pth", ".pl", ".ckpt", ".bin", ".safetensors")


def file_kind(name: str) -> str:
    """Return ``raster``, ``layer`` or ``model`` for the name of a file, else an empty text.

    GeoPackages may hold rasters, and are layers here.
    """
    suffix = PurePath(name.partition("|")[0]).suffix.lower()
    if suffix in RASTER:
        return "raster"
    if suffix in LAYER:
        return "layer"
    return "model" if suffix in (*MODEL, *WEIGHTS) else ""
