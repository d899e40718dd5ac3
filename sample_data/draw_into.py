"""Draw small above-ground pools, and objects that look like them, into real imagery.

The imagery is copied with its labelled pools, and the drawn ones are added to the labels. The copy
lies north of the original, so that the labels of both never overlap::

    python sample_data/draw_into.py photo.tif labels.gpkg --columns 0 17000 -o gardens.tif
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from drawing.photographs import draw_into_photograph
from drawing.textures import make_textures
from rasterio.windows import Window
from shapely import affinity
from shapely.geometry.base import BaseGeometry

SIDE = 512  # of the windows that are drawn into, in pixels


@dataclass(frozen=True)
class Copy:
    """Windows of a raster that are copied, and the georeference of the copy.

    Attributes:
        first: Number of the first column of windows.
        end: Number of the column of windows after the last one.
        rows: Number of rows of windows.
        transform: Of the copy, from its pixels to the CRS.
    """

    first: int
    end: int
    rows: int
    transform: Affine

    @classmethod
    def from_columns(cls, source: Any, columns: tuple[int, int], north_m: float) -> "Copy":
        """Return the windows inside a range of pixel columns, moved to the north."""
        first, end = -(-columns[0] // SIDE), columns[1] // SIDE
        moved = Affine.translation(0, north_m) @ source.transform
        transform = moved @ Affine.translation(first * SIDE, 0)
        return cls(first, end, source.height // SIDE, transform)

    def windows(self) -> Iterator[tuple[Window, Window]]:
        """Yield each window of the original, and of the copy."""
        for row in range(self.rows):
            for column in range(self.first, self.end):
                yield (
                    Window(column * SIDE, row * SIDE, SIDE, SIDE),
                    Window((column - self.first) * SIDE, row * SIDE, SIDE, SIDE),
                )

    def profile(self, crs: object) -> dict[str, object]:
        """Return the profile of the copy for rasterio."""
        blocks = {"tiled": True, "blockxsize": SIDE, "blockysize": SIDE}
        compression = {"compress": "jpeg", "jpeg_quality": 92, "photometric": "ycbcr"}
        shape = {"width": (self.end - self.first) * SIDE, "height": self.rows * SIDE, "count": 3}
        grid = {"driver": "GTiff", "dtype": "uint8", "crs": crs, "transform": self.transform}
        return {**grid, **shape, **blocks, **compression}


def draw_into(
    photo: Path, labels: Path, output: Path, *, columns: tuple[int, int], seed: int, north_m: float
) -> tuple[int, int]:
    """Write the imagery with more pools, and the labels of all beside it as a GeoPackage.

    Args:
        photo: RGB imagery in 8 bit, north up, in a CRS in metres.
        labels: Its pools.
        output: GeoTIFF to write; the labels get its name.
        columns: Range of pixel columns to copy. Only whole windows of `SIDE` pixels are copied;
            windows with missing imagery are copied unchanged.
        seed: Random seed.
        north_m: Distance of the copy to the north of the original.

    Returns:
        Numbers of labels that were copied and added.
    """
    rng = np.random.default_rng(seed)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(photo) as source:
        existing = gpd.read_file(labels).to_crs(source.crs)
        to_px = (~source.transform).to_shapely()
        pools_px = shapely.STRtree(existing.affine_transform(to_px).array)
        gsd_m = source.transform.a
        textures = make_textures(rng, gsd_m)
        copy = Copy.from_columns(source, columns, north_m)
        drawn: list[BaseGeometry] = []
        with rasterio.open(output, "w", **copy.profile(source.crs)) as target:
            for window, target_window in copy.windows():
                valid = source.dataset_mask(window=window)
                if not valid.any():
                    continue
                pixels = source.read(window=window)
                if valid.all():
                    image, added = draw_into_photograph(
                        pixels.transpose(1, 2, 0),
                        _query_window(pools_px, window),
                        textures,
                        gsd_m=gsd_m,
                        rng=rng,
                    )
                    pixels = image.transpose(2, 0, 1)
                    offset = Affine.translation(target_window.col_off, target_window.row_off)
                    to_map = (copy.transform @ offset).to_shapely()
                    drawn += [affinity.affine_transform(pool, to_map) for pool in added]
                target.write(pixels, window=target_window)
                target.write_mask(valid, window=target_window)
            area = shapely.box(*target.bounds)
    copied = existing.translate(0, north_m)
    copied = copied[copied.centroid.within(area)]
    pools = gpd.GeoDataFrame(
        {"label": "pool", "drawn": [False] * len(copied) + [True] * len(drawn)},
        geometry=[*copied, *drawn],
        crs=existing.crs,
    )
    pools.to_file(output.with_suffix(".gpkg"))
    return len(copied), len(drawn)


def _query_window(shapes: shapely.STRtree, window: Window) -> list[BaseGeometry]:
    """Return the shapes that touch a window, in pixels of the window."""
    x, y = window.col_off, window.row_off
    rows = shapes.query(shapely.box(x, y, x + window.width, y + window.height))
    return [affinity.translate(shapes.geometries[row], -x, -y) for row in rows]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("labels", type=Path, help="labelled pools of the photo")
    parser.add_argument("-o", "--output", type=Path, required=True, help="GeoTIFF to write")
    parser.add_argument("--columns", type=int, nargs=2, required=True, help="pixels to copy")
    parser.add_argument("--seed", type=int, default=3, help="random seed")
    parser.add_argument("--north", type=float, default=50_000.0, help="metres to move it by")
    options = parser.parse_args()
    first, end = options.columns
    copied, drawn = draw_into(
        options.photo,
        options.labels,
        options.output,
        columns=(first, end),
        seed=options.seed,
        north_m=options.north,
    )
    print(f"{options.output}: {copied} pools copied, {drawn} drawn")


if __name__ == "__main__":
    main()
