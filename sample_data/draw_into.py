"""Draw small above-ground pools, and things that look like them, into real imagery.

The imagery is copied with its labelled pools, and the drawn ones are added to the labels. The copy
lies north of the original, so that labels of one never lie on the other::

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
class Part:
    """The windows of a raster that are copied, and where they come to lie.

    Attributes:
        first: Number of the first column of windows.
        end: Number of the column of windows after the last one.
        rows: Number of rows of windows.
        place: Transform of the copy, from its pixels to the CRS.
    """

    first: int
    end: int
    rows: int
    place: Affine

    @classmethod
    def of(cls, source: Any, columns: tuple[int, int], north_m: float) -> "Part":
        """The windows that lie in these columns of pixels as a whole, moved to the north."""
        first, end = -(-columns[0] // SIDE), columns[1] // SIDE
        moved = Affine.translation(0, north_m) @ source.transform
        place = moved @ Affine.translation(first * SIDE, 0)
        return cls(first, end, source.height // SIDE, place)

    def windows(self) -> Iterator[tuple[Window, Window]]:
        """Each window of the original, and of the copy."""
        for row in range(self.rows):
            for column in range(self.first, self.end):
                yield (
                    Window(column * SIDE, row * SIDE, SIDE, SIDE),
                    Window((column - self.first) * SIDE, row * SIDE, SIDE, SIDE),
                )

    def profile(self, crs: object) -> dict[str, object]:
        """How the copy is stored."""
        tiled = {"tiled": True, "blockxsize": SIDE, "blockysize": SIDE}
        small = {"compress": "jpeg", "jpeg_quality": 92, "photometric": "ycbcr"}
        shape = {"width": (self.end - self.first) * SIDE, "height": self.rows * SIDE, "count": 3}
        kind = {"driver": "GTiff", "dtype": "uint8", "crs": crs, "transform": self.place}
        return {**kind, **shape, **tiled, **small}


def draw_into(
    photo: Path, labels: Path, output: Path, *, columns: tuple[int, int], seed: int, north_m: float
) -> tuple[int, int]:
    """Write the imagery with more pools, and the labels of all beside it as a GeoPackage.

    Args:
        photo: Imagery of red, green and blue in 8 bit, north up, in a CRS in metres.
        labels: Its pools.
        output: GeoTIFF to write; the labels get its name.
        columns: Pixels to copy. Windows of `SIDE` pixels that reach over the end are left out;
            those that are not covered by imagery as a whole are copied as they are.
        seed: Of what is drawn.
        north_m: How far north of the original it comes to lie.

    Returns:
        How many labels were copied, and how many added.
    """
    rng = np.random.default_rng(seed)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(photo) as source:
        known = gpd.read_file(labels).to_crs(source.crs)
        pools_px = shapely.STRtree(known.affine_transform((~source.transform).to_shapely()).array)
        gsd_m = source.transform.a
        textures = make_textures(rng, gsd_m)
        part = Part.of(source, columns, north_m)
        drawn: list[BaseGeometry] = []
        with rasterio.open(output, "w", **part.profile(source.crs)) as copy:
            for window, to in part.windows():
                valid = source.dataset_mask(window=window)
                if not valid.any():
                    continue
                pixels = source.read(window=window)
                if valid.all():
                    image, added = draw_into_photograph(
                        pixels.transpose(1, 2, 0),
                        _inside(window, pools_px),
                        textures,
                        gsd_m=gsd_m,
                        rng=rng,
                    )
                    pixels = image.transpose(2, 0, 1)
                    onto = (part.place @ Affine.translation(to.col_off, to.row_off)).to_shapely()
                    drawn += [affinity.affine_transform(pool, onto) for pool in added]
                copy.write(pixels, window=to)
                copy.write_mask(valid, window=to)
            ground = shapely.box(*copy.bounds)
    copied = known.translate(0, north_m)
    copied = copied[copied.centroid.within(ground)]
    pools = gpd.GeoDataFrame(
        {"label": "pool", "drawn": [False] * len(copied) + [True] * len(drawn)},
        geometry=[*copied, *drawn],
        crs=known.crs,
    )
    pools.to_file(output.with_suffix(".gpkg"))
    return len(copied), len(drawn)


def _inside(window: Window, shapes: shapely.STRtree) -> list[BaseGeometry]:
    """The shapes that touch a window, in its own pixels."""
    x, y = window.col_off, window.row_off
    there = shapes.query(shapely.box(x, y, x + window.width, y + window.height))
    return [affinity.translate(shapes.geometries[i], -x, -y) for i in there]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("labels", type=Path, help="its pools")
    parser.add_argument("-o", "--output", type=Path, required=True, help="GeoTIFF to write")
    parser.add_argument("--columns", type=int, nargs=2, required=True, help="the part to copy")
    parser.add_argument("--seed", type=int, default=3)
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
