"""JSON of ``info`` for a raster."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from geodetect_cli.json_output.envelope import Count, JsonOutput, JsonValues, PathText

Nodata = float | Literal["nan"] | None
NODATA = "Value of pixels without data; `nan`: not a number; null: none."


class BandValues(JsonValues):
    """A band of a raster."""

    band: Count = Field(description="Number of the band, from 1.")
    dtype: str = Field(description="Data type of the pixels.")
    colour: str = Field(description="Colour interpretation.")
    nodata: Nodata = Field(description=NODATA)


class RasterInfoOutput(JsonOutput):
    """Output of ``info`` for a raster."""

    command: Literal["info"] = Field("info", description="Name of the command.")
    path: PathText = Field(description="Path of the raster.")
    driver: str = Field(description="Driver of GDAL.")
    width: Count = Field(description="Width, in pixels.")
    height: Count = Field(description="Height, in pixels.")
    band_count: Count = Field(description="Number of bands.")
    dtype: str = Field(description="Data type of the first band.")
    bands: tuple[BandValues, ...] = Field(description="The bands.")
    mask: tuple[str, ...] = Field(description="Kinds of the mask of the first band.")
    nodata: Nodata = Field(description=NODATA)
    block: tuple[int, int] = Field(description="Rows and columns of a block, in pixels.")
    overviews: tuple[int, ...] = Field(description="Factors of the overviews.")
    compression: str | None = Field(description="Compression; null: none.")
    georeference: str | None = Field(
        description="Kind of the georeference: transform, gcps or rpcs; null: none."
    )
    crs: str | None = Field(description="CRS as a code (EPSG:2154) or WKT; null: unknown.")
    crs_name: str | None = Field(description="Name of the CRS; null: unknown.")
    gsd_m: float | None = Field(
        description="Ground resolution of the central pixel, in metres per pixel; null: unknown."
    )
    gsd_xy_m: tuple[float, float] | None = Field(
        description="Ground size of the central pixel along columns and rows, in metres; null: "
        "unknown."
    )
    bounds: tuple[float, float, float, float] | None = Field(
        description="Minimum x, minimum y, maximum x, maximum y, in units of the CRS; null: "
        "unknown."
    )
    problem: str | None = Field(
        None, description="Reason that the georeference cannot be used; null: it can."
    )
