"""A run on a cluster of Ray whose workers, nodes and driver are killed: the bytes of a local run.

    python -m benchmarks.reproducibility.cluster --kills 20

Three nodes on this machine compute the shards of a painted scene. After each shard that is
finished, a worker, a node or the driver (the process that started the workers) is killed, by
random choice; nodes and driver start again.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from affine import Affine

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.rasters import write_raster
from benchmarks.harness.tables import machine, save_table
from geodetect import PredictSettings
from geodetect.detection.sharding.merge import merge_to_file
from geodetect.detection.sharding.plan_run import plan_to_folder
from tests.helpers.painted_scenes import mixed
from tests.helpers.ray_cluster import compute_with_kills, run_ray_cluster
from tests.helpers.ray_driver import SLOW

SIDE = 864  # 13 x 13 tiles
PLACE = Affine(0.2, 0, 700_000, 0, -0.2, 6_600_000)
SETTINGS = PredictSettings(tile_size=96, overlap=32)
SHARD_PX = 64.0**2 * 3.5  # up to four tiles
KINDS = ("worker", "worker", "worker", "node", "driver")


def main() -> None:
    """Compute, kill, merge and print the table; fail if a byte differs."""
    parser = new_parser(__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kills = random.Random(options.seed).choices(KINDS, k=options.kills)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene, run = folder / "scene.tif", folder / "run"
        pixels = mixed(SIDE, seed=5, largest=200).pixels
        write_raster(scene, pixels, crs="EPSG:2154", transform=PLACE)
        manifest = plan_to_folder(scene, run, SLOW, settings=SETTINGS, shard_px=SHARD_PX)
        start = time.perf_counter()
        with run_ray_cluster(options.seed) as cluster:
            compute_with_kills(run, cluster, kills)
        seconds = time.perf_counter() - start
        merge_to_file(run, folder / "cluster.gpkg")
        geodetect.predict_to_file(scene, folder / "local.gpkg", SLOW, settings=SETTINGS)
        is_same = (folder / "cluster.gpkg").read_bytes() == (folder / "local.gpkg").read_bytes()
    counts = Counter(kills)
    row = {
        "shards": f"{len(manifest.shards)}",
        "kills of workers": f"{counts['worker']}",
        "of nodes": f"{counts['node']}",
        "of the driver": f"{counts['driver']}",
        "seconds": f"{seconds:.0f}",
        "same bytes": "yes" if is_same else "NO",
    }
    title = f"Three nodes of Ray on {machine()}, killed at random"
    save_table("reproducibility/cluster", title, [row])
    if not is_same:
        raise SystemExit("the results differ")


if __name__ == "__main__":
    main()
