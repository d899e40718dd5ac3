"""Time and peak memory of ``geodetect merge`` on the records of very many tiles.

    python -m benchmarks.scale.merge  # 10,000,000 detections: five minutes and 1 GB of disk
    python -m benchmarks.scale.merge --boxes 1000000

The ground is a field of small objects, see ``benchmarks.speed.seam_merge``; records of its shards
are written with the detections of each tile. One process merges them and writes GeoParquet: read,
merged across seams, reduced to one box for each object, polygons made and written. The share of
the merge alone is that of a second process, which writes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from affine import Affine

from benchmarks.harness.options import new_parser
from benchmarks.harness.processes import load_average, run_program, run_python
from benchmarks.harness.rasters import write_empty_raster
from benchmarks.harness.tables import machine, save_table
from benchmarks.speed.seam_merge import OVERLAP_PX, TILE_PX, Field
from geodetect import CallableDetector, PredictSettings
from geodetect.detection.coverage import ImageryMask
from geodetect.detection.detections import TileResult
from geodetect.detection.run.observations import GroundObservations
from geodetect.detection.run.packed_results import PackedResults
from geodetect.detection.sharding.manifest import Manifest
from geodetect.detection.sharding.merge import ShardRecords, merge_layer
from geodetect.detection.sharding.plan_run import plan_to_folder
from geodetect.detection.sharding.record import ShardRecord
from geodetect.io.object_store import open_store

SETTINGS = PredictSettings(tile_size=TILE_PX, overlap=OVERLAP_PX)
PLACE = Affine(0.2, 0, 700_000, 0, -0.2, 6_600_000)
SHARD_PX = 2e8  # shards of the size that a worker computes in a minute
TARGET_S, TARGET_BYTES = 60, 2e9


def write_run(field: Field, folder: Path) -> int:
    """Plan a raster of the size of a field, write the records of all shards; count the boxes."""
    scheme = field.scheme
    raster = write_empty_raster(
        folder / "field.tif", scheme.width, scheme.height, crs="EPSG:2154", transform=PLACE
    )
    detector = CallableDetector(lambda image: ([], [], []), identity="field", tile_px=TILE_PX)
    manifest = plan_to_folder(
        raster, folder / "run", detector, settings=SETTINGS, shard_px=SHARD_PX
    )
    store = open_store(folder / "run")
    (plan,) = manifest.read_plans(store)
    mask, boxes = ImageryMask(plan.scheme), 0
    for number, shard in enumerate(manifest.shards):
        results = [
            TileResult(tile, field.detect(tile), np.ones_like(mask.cell_states(tile, None)))
            for run in plan.runs([shard.block])
            for tile in run.tiles
        ]
        packed = PackedResults.from_results(results)
        boxes += len(packed.detections)
        record = ShardRecord(
            plan=manifest.digest,
            number=number,
            tiles=shard.tiles,
            computed_by="field",
            runs_on="nowhere",
            results=packed,
            observations=GroundObservations(),
        )
        store.put(record.name, record.to_bytes())
    return boxes


def merge_only(location: str) -> None:
    """Merge the records of a run without writing a layer; print the number of objects."""
    store = open_store(location)
    manifest = Manifest.read(store)
    print(len(merge_layer(ShardRecords(store, manifest), manifest)))


def main() -> None:
    """Write records, merge them, and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--boxes", type=int, default=10_400_000)
    parser.add_argument("--merge", help="only merge the records of a run")
    options = parser.parse_args()
    if options.merge:
        merge_only(options.merge)
        return
    load = f"{load_average()} before"
    field = Field.with_boxes(options.boxes)
    with TemporaryDirectory() as name:
        folder = Path(name)
        boxes = write_run(field, folder)
        run, output = folder / "run", folder / "field.parquet"
        alone = run_python(["-m", "benchmarks.scale.merge", "--merge", run])
        whole = run_program(["merge", run, "-o", output, "--json"])
        objects = json.loads(whole.output)["objects"]
        rows = [
            {
                "step": step,
                "detections of tiles": f"{boxes:,}",
                "objects": f"{int(count):,} of {field.objects:,}",
                **usage.columns(),
                "target": f"< {TARGET_S} s, < {TARGET_BYTES / 1e9:g} GB",
            }
            for step, usage, count in (
                ("records read and merged", alone, alone.output),
                ("and written as GeoParquet", whole, objects),
            )
        ]
    save_table("scale/merge", f"{machine()}, {load}", rows)


if __name__ == "__main__":
    main()
