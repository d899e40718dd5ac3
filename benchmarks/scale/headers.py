"""Time and peak memory of the plan of very many sheets: the first one, and with the index.

    python -m benchmarks.scale.headers  # 100,000 sheets: five minutes and 1 GB of disk
    python -m benchmarks.scale.headers --sheets 5000

The sheets are GeoTIFFs of 2,048 px that touch each other; their blocks are absent from the files
(sparse), as a plan reads headers only. The first plan reads all headers and writes the index of
headers into an empty cache folder, the second finds them there. After it, one sheet in a thousand
is changed. Each plan is a process of its own, which counts the tiles of all grounds, too.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

from affine import Affine

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.processes import load_average, run_python
from benchmarks.harness.rasters import write_empty_raster
from benchmarks.harness.tables import machine, save_table
from geodetect.io.user_cache import FOLDER_VARIABLE

SHEET_PX, GSD_M, TILE_PX = 2048, 0.2, 1024
LEFT_M, TOP_M = 100_000.0, 6_900_000.0
TARGET_RATE, TARGET_S, TARGET_BYTES = 500, 10, 1e9
CHANGED = 1000  # one sheet in so many


def write_sheets(folder: Path, count: int) -> None:
    """Write sheets in rows, from one file whose corner is replaced."""
    template = folder / "template.tif"
    corner = Affine(GSD_M, 0, LEFT_M + 0.123, 0, -GSD_M, TOP_M + 0.456)
    write_empty_raster(template, SHEET_PX, SHEET_PX, crs="EPSG:2154", transform=corner)
    data = template.read_bytes()
    template.unlink()
    before, _, after = data.partition(struct.pack("<2d", corner.c, corner.f))
    columns = math.ceil(math.sqrt(count))
    for number in range(count):
        row, column = divmod(number, columns)
        side_m = SHEET_PX * GSD_M
        moved = struct.pack("<2d", LEFT_M + column * side_m, TOP_M - row * side_m)
        (folder / f"{row:04}_{column:04}.tif").write_bytes(before + moved + after)


def plan_sheets(folder: str) -> None:
    """Plan the sheets of a folder, and print the number of tiles."""
    detector = geodetect.CallableDetector(lambda image: ([], [], []), tile_px=TILE_PX, gsd_m=GSD_M)
    plans = geodetect.plan(folder, detector)
    print(sum(plan.tile_count for plan in plans))


def main() -> None:
    """Measure and print a table."""
    parser = new_parser(__doc__)
    parser.add_argument("--sheets", type=int, default=100_000)
    parser.add_argument("--plan", help="only plan the sheets of a folder")
    options = parser.parse_args()
    if options.plan:
        plan_sheets(options.plan)
        return
    rows, load = [], f"{load_average()} before"
    with TemporaryDirectory() as name:
        folder = Path(name, "sheets")
        folder.mkdir()
        write_sheets(folder, options.sheets)
        environment = {FOLDER_VARIABLE: str(Path(name, "cache"))}
        for kind in ("the first", "with the index", "with one in a thousand changed"):
            if "changed" in kind:
                for sheet in sorted(folder.iterdir())[::CHANGED]:
                    os.utime(sheet, (1, 1))
            usage = run_python(
                ["-m", "benchmarks.scale.headers", "--plan", folder], environment=environment
            )
            rows.append({
                "plan": kind,
                "tiles": f"{int(usage.output):,}",
                "sheets/s": f"{options.sheets / usage.seconds:,.0f}",
                "target": f">= {TARGET_RATE}/s" if kind == "the first" else f"< {TARGET_S} s",
                **usage.columns(),
                "target of memory": f"< {TARGET_BYTES / 1e9:g} GB",
            })  # fmt: skip
    save_table("scale/headers", f"{options.sheets:,} sheets, {machine()}, {load}", rows)


if __name__ == "__main__":
    main()
