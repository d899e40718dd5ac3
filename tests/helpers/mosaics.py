"""VRTs of a few files far apart, as of a country of which little was flown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_mosaic(
    path: Path, side: int, places: Sequence[tuple[int, int, int, int]], *, nodata: str = ""
) -> Path:
    """Write a VRT that shows ``scene.tif`` beside it.

    Args:
        path: The VRT.
        side: Rows and columns.
        places: Column, row, columns and rows of each copy.
        nodata: Nodata value; empty: none.
    """
    bands = "".join(
        f"<VRTRasterBand dataType='Byte' band='{band}'>"
        + (f"<NoDataValue>{nodata}</NoDataValue>" if nodata else "")
        + "".join(
            f"<SimpleSource><SourceFilename relativeToVRT='1'>scene.tif</SourceFilename>"
            f"<SourceBand>{band}</SourceBand>"
            f"<SrcRect xOff='0' yOff='0' xSize='{width}' ySize='{height}'/>"
            f"<DstRect xOff='{x}' yOff='{y}' xSize='{width}' ySize='{height}'/></SimpleSource>"
            for x, y, width, height in places
        )
        + "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path.write_text(
        f"<VRTDataset rasterXSize='{side}' rasterYSize='{side}'><SRS>EPSG:2154</SRS>"
        f"<GeoTransform>600000, 0.2, 0, 6600000, 0, -0.2</GeoTransform>{bands}</VRTDataset>"
    )
    return path
