"""Make the town of the tutorial from a raster and its labels: sheets, a register, communes.

The raster is cut into a grid of sheets. The register holds a point for each label, some metres off,
without those that its keeper does not know of; a part of its entries has a permit. The communes
share the ground, with bent borders::

    python sample_data/make_town.py -o town
    python sample_data/make_town.py ortho.tif pools.geojson -o town --sheets 6 4
"""

import argparse
import itertools
import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
import shapely.ops
from rasterio.windows import Window

FOLDER = Path(__file__).parent
SAMPLE = FOLDER / "neighbourhood.tif", FOLDER / "neighbourhood.geojson"
COMMUNES = (
    "Aubrac-les-Bains", "Belmont", "Castelnau", "Doucigny", "Esterelle", "Fontvieille", "Grimont",
    "Hauterive",
)  # fmt: skip
STREETS = "Rue du Lavoir", "Avenue des Pins", "Chemin du Puits", "Allée des Oliviers"
BLOCK = 16  # pixels: sheets begin at multiples of it, as blocks of JPEG do
BENDS = 24  # vertices of a border between two communes
PERMITTED = 0.8  # share of the entries of the register with a permit


def cut_sheets(raster: Path, folder: Path, columns: int, rows: int) -> list[Path]:
    """Cut a raster into a grid of GeoTIFFs that touch, named by row and column.

    Sheets without a valid pixel are not written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sheets = []
    with rasterio.open(raster) as source:
        xs, ys = _split(source.width, columns), _split(source.height, rows)
        for row, (top, bottom) in enumerate(itertools.pairwise(ys)):
            for column, (left, right) in enumerate(itertools.pairwise(xs)):
                window = Window(left, top, right - left, bottom - top)
                mask = source.dataset_mask(window=window)
                if not mask.any():
                    continue
                sheet = folder / f"sheet_{row + 1}_{column + 1}.tif"
                profile = source.profile | {
                    "width": right - left,
                    "height": bottom - top,
                    "transform": source.window_transform(window),
                    "tiled": True,
                    "blockxsize": 256,
                    "blockysize": 256,
                    "compress": "deflate",  # without loss: pixels stay those of the raster
                    "photometric": "rgb" if source.count == 3 else "minisblack",
                }
                with (
                    rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
                    rasterio.open(sheet, "w", **profile) as target,
                ):
                    target.write(source.read(window=window))
                    if not mask.all():
                        target.write_mask(mask)
                sheets.append(sheet)
    return sheets


def make_register(
    labels: gpd.GeoDataFrame,
    *,
    missing: float,
    noise_m: float,
    metres: float,
    rng: np.random.Generator,
) -> gpd.GeoDataFrame:
    """Return the register of a town: points near the labels, with address and permit.

    Args:
        labels: Objects in the CRS of the raster.
        missing: Share of the objects that the register does not hold.
        noise_m: Standard deviation of the distance in each direction, in metres on the ground.
        metres: Metres on the ground of a unit of the CRS.
        rng: Random numbers.
    """
    rows = np.flatnonzero(rng.random(len(labels)) >= missing)
    centres = shapely.get_coordinates(shapely.centroid(labels.geometry.to_numpy()[rows]))
    points = centres + rng.normal(0, noise_m / metres, centres.shape)
    has_permit = rng.random(len(rows)) < PERMITTED
    return gpd.GeoDataFrame(
        {
            "address": [f"{3 * k % 97 + 1} {STREETS[k % len(STREETS)]}" for k in range(len(rows))],
            "permit": [f"DP-{k:05d}" if p else None for k, p in enumerate(has_permit)],
        },
        geometry=shapely.points(points),
        crs=labels.crs,
    )


def make_communes(
    bounds: tuple[float, float, float, float], crs: object, count: int, rng: np.random.Generator
) -> gpd.GeoDataFrame:
    """Return communes that share a rectangle without gaps: two rows, bent borders between them."""
    west, south, east, north = bounds
    upper = math.ceil(count / 2)
    middle = south + (north - south) * (0.5 + _bend(rng, BENDS, 0.08))
    across = np.column_stack((np.linspace(west, east, BENDS), middle))
    halves = shapely.ops.split(
        shapely.box(*bounds),
        shapely.LineString([(west - 1, middle[0]), *across, (east + 1, middle[-1])]),
    ).geoms
    polygons = []
    for half, parts in zip(
        sorted(halves, key=lambda p: -p.centroid.y), (upper, count - upper), strict=True
    ):
        rest = half
        for number in range(1, parts):
            x = west + (east - west) * (number / parts + _bend(rng, BENDS, 0.04))
            y = np.linspace(south - 1, north + 1, BENDS)
            pieces = shapely.ops.split(rest, shapely.LineString(np.column_stack((x, y)))).geoms
            left, *others = sorted(pieces, key=lambda p: p.centroid.x)
            polygons.append(left)
            rest = shapely.union_all(others)
        polygons.append(rest)
    return gpd.GeoDataFrame({"name": list(COMMUNES[: len(polygons)])}, geometry=polygons, crs=crs)


def _bend(rng: np.random.Generator, count: int, size: float) -> np.ndarray:
    """Return offsets of a bent line, at most ``size``."""
    t = np.linspace(0, 2 * np.pi, count)
    waves = [np.sin(k * t + rng.uniform(0, 2 * np.pi)) / k for k in (1, 2, 3)]
    total = np.sum(waves, axis=0)
    return size * total / np.abs(total).max()


def _split(size: int, parts: int) -> list[int]:
    edges = [round(size * k / parts / BLOCK) * BLOCK for k in range(parts)]
    return [*edges, size]


def main() -> None:
    """Make a town."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("raster", type=Path, nargs="?", default=SAMPLE[0])
    parser.add_argument("labels", type=Path, nargs="?", default=SAMPLE[1])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--sheets", type=int, nargs=2, default=(6, 4), metavar=("COLUMNS", "ROWS"))
    parser.add_argument("--communes", type=int, default=8, choices=range(2, len(COMMUNES) + 1))
    parser.add_argument("--missing", type=float, default=0.1, help="share not in the register")
    parser.add_argument("--noise", type=float, default=3.0, help="of the register, in metres")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    sheets = cut_sheets(options.raster, options.output / "sheets", *options.sheets)
    with rasterio.open(options.raster) as raster:
        bounds, crs = tuple(raster.bounds), raster.crs
    labels = gpd.read_file(options.labels).to_crs(crs)
    register = make_register(
        labels,
        missing=options.missing,
        noise_m=options.noise,
        metres=_metres_per_unit(bounds, crs),
        rng=rng,
    )
    register.to_file(options.output / "register.gpkg")
    communes = make_communes(bounds, crs, options.communes, rng)
    communes.to_file(options.output / "communes.gpkg")
    print(
        f"{len(sheets)} sheets, {len(register)} entries of the register, {len(communes)} communes"
    )


def _metres_per_unit(bounds: tuple[float, ...], crs: object) -> float:
    """Return the ground length of a unit of the CRS in the middle of the bounds."""
    west, south, east, north = bounds
    x, y = (west + east) / 2, (south + north) / 2
    line = gpd.GeoSeries([shapely.LineString([(x, y), (x + 1, y)])], crs=crs).to_crs("EPSG:4326")
    return float(line.crs.get_geod().geometry_length(line.iloc[0]))


if __name__ == "__main__":
    main()
