"""Objects of a raster, of the sheets that it is cut into, and of shards of these sheets.

    python -m benchmarks.reproducibility.sheets  # California if it exists, else the sample
    python -m benchmarks.reproducibility.sheets scene.tif --columns 6 --rows 4

The raster and its touching sheets are searched with the built-in model. The objects must be the
same to the last digit, and ``raster`` the sheet at the centre of each. Then the sheets are planned
in several numbers of shards, computed and merged: the files must be those of the sheets, byte for
byte. Exit code 1 if anything differs.
"""

from __future__ import annotations

import hashlib
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas as gpd
import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.windows import Window

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import DATA, SAMPLE
from benchmarks.harness.rasters import BLOCKS, write_window
from benchmarks.harness.tables import machine, save_table
from geodetect import merge_to_file, plan_to_folder, predict_shards

CALIFORNIA = DATA / "california_west.tif"
SHARDS = (1, 2, 7, 16)
ATTEMPTS = 60


def cut(raster: Path, folder: Path, columns: int, rows: int) -> list[Path]:
    """Write the sheets of a raster, ``ROW_COLUMN.tif``, without loss, its mask included."""
    paths = []
    with rasterio.open(raster) as source:
        has_mask = MaskFlags.per_dataset in source.mask_flag_enums[0]
        edges_x = np.linspace(0, source.width, columns + 1).round().astype(int)
        edges_y = np.linspace(0, source.height, rows + 1).round().astype(int)
        for row, column in product(range(rows), range(columns)):
            x1, x2 = edges_x[column : column + 2].tolist()
            y1, y2 = edges_y[row : row + 2].tolist()
            window = Window(x1, y1, x2 - x1, y2 - y1)
            mask = source.dataset_mask(window=window) if has_mask else None
            file = folder / f"{row}_{column}.tif"
            options = {"mask": mask, "nodata": source.nodata, **BLOCKS}
            paths.append(write_window(source, window, file, **options))
    return paths


def count_wrong_sheets(table: gpd.GeoDataFrame, paths: list[Path]) -> int:
    """Count the objects whose ``raster`` does not hold their centre."""
    bounds = {}
    for path in paths:
        with rasterio.open(path) as sheet:
            bounds[path.name] = sheet.bounds
    centres = table.geometry.centroid
    return sum(
        not (b.left <= point.x <= b.right and b.bottom <= point.y <= b.top)
        for point, b in zip(centres, table["raster"].map(bounds), strict=True)
    )


def plan_shards(paths: list[Path], folder: Path, number: int) -> tuple[Path, int]:
    """Plan a run with a number of shards, or the next possible; return its folder, and theirs."""
    with rasterio.open(paths[0]) as sheet:
        pixels = sheet.width * sheet.height * len(paths)
    for attempt in range(ATTEMPTS):  # shards are blocks of whole tiles
        run = folder / f"run_{number}_{attempt}"
        manifest = plan_to_folder(paths, run, shard_px=4 * pixels / number * 0.95**attempt)
        if len(manifest.shards) >= number:
            break
    return run, len(manifest.shards)


def digest(path: Path) -> str:
    """Return the start of the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def main() -> None:
    """Search, compare and print the table."""
    parser = new_parser(__doc__)
    default = CALIFORNIA if CALIFORNIA.exists() else SAMPLE
    parser.add_argument("raster", nargs="?", type=Path, default=default)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--rows", type=int, default=4)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = cut(options.raster, folder, options.columns, options.rows)
        whole = geodetect.predict(options.raster)
        of_sheets = folder / "sheets.geojson"
        geodetect.predict_to_file(paths, of_sheets)
        table = geodetect.predict(paths)
        as_text = [t.drop(columns="raster").to_json() for t in (whole, table)]
        wrong_sheets = count_wrong_sheets(table, paths)
        rows = [
            {
                "search": f"{len(paths)} sheets against the whole raster",
                "objects": f"{len(table):,} and {len(whole):,}",
                "SHA-256": digest(of_sheets),
                "same": "yes" if as_text[0] == as_text[1] and not wrong_sheets else "NO",
            }
        ]
        for number in SHARDS:
            merged = folder / f"{number}.geojson"
            run, planned = plan_shards(paths, folder, number)
            predict_shards(run)
            layer = merge_to_file(run, merged)
            rows.append(
                {
                    "search": f"{planned} shards",
                    "objects": f"{len(layer):,}",
                    "SHA-256": digest(merged),
                    "same": "yes" if digest(merged) == digest(of_sheets) else "NO",
                }
            )
    title = f"{options.raster.name}, {machine()}; {wrong_sheets} objects named after another sheet"
    save_table("reproducibility/sheets", title, rows)
    if any(row["same"] != "yes" for row in rows):
        raise SystemExit("the results differ")


if __name__ == "__main__":
    main()
