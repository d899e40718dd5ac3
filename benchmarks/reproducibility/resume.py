"""Kill ``geodetect predict`` at random moments and see whether it goes on where it stopped.

    python -m benchmarks.reproducibility.resume  # the sample scene
    python -m benchmarks.reproducibility.resume --cannes --kills 20  # the held-out part of Cannes

Runs once without interruption, then again, killed (SIGKILL) ``--kills`` times, each time after a
row of tiles and a random time more, then left to its end. The two files must be the same to the
byte, and each run may only repeat the row of tiles in flight when the one before was killed: tiles
are told apart by their pixels, and every one that goes through the network is written down.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import geodetect
from benchmarks.harness.tables import machine, save_table
from geodetect import Detections

ROOT = Path(__file__).parents[2]
DIGEST = 32  # characters of an MD5


def run_counted(log: Path, arguments: list[str]) -> None:
    """Be the program, and write down a digest of every tile that goes through the network."""
    from geodetect.detection.retinanet_detector import RetinaNetDetector
    from geodetect_cli.app import main as program

    detect = RetinaNetDetector.__call__

    def counted(
        self: RetinaNetDetector, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> list[Detections]:
        digests = "".join(f"{hashlib.md5(image.tobytes()).hexdigest()}\n" for image in pixels)
        with log.open("a") as stream:
            stream.write(digests)
        return detect(self, pixels, valid)

    RetinaNetDetector.__call__ = counted  # type: ignore[method-assign]
    sys.argv = ["geodetect", *arguments]
    program()


def tiles_in(log: Path) -> set[str]:
    """Digests of the tiles of a run; the last one may be torn."""
    lines = log.read_text().split("\n") if log.exists() else []
    return {line for line in lines if len(line) == DIGEST}


def start(options: argparse.Namespace, output: Path, log: Path) -> subprocess.Popen[str]:
    """The program on the raster."""
    command = [
        sys.executable,
        "-m",
        __spec__.name,
        "--log",
        str(log),
        "predict",
        str(options.raster),
    ]
    limits = ["--bbox", options.bbox] if options.bbox else []
    tiles = ["--tile-size", str(options.tile_size), "--work-dir", str(output.parent), "--json"]
    return subprocess.Popen(
        [*command, *limits, *tiles, "-o", str(output)], stdout=subprocess.PIPE, text=True
    )


def finish(run: subprocess.Popen[str]) -> dict[str, int]:
    """The summary of a run that must end well."""
    summary, _ = run.communicate()
    if run.returncode != 0:
        raise SystemExit(f"predict ended with {run.returncode}")
    values: dict[str, int] = json.loads(summary)
    return values


def columns(options: argparse.Namespace) -> int:
    """Tiles in a row."""
    box = tuple(map(float, options.bbox.split(","))) if options.bbox else None
    settings = geodetect.PredictSettings(tile_size=options.tile_size, bbox=box)
    (plan,) = geodetect.plan(options.raster, settings=settings)
    with plan.raster:
        return max(len(row) for row in plan.rows())


def size(file: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    return file.stat().st_size if file.exists() else 0


def main() -> None:
    """Measure and print; fail when a byte differs."""
    if sys.argv[1:2] == ["--log"]:
        run_counted(Path(sys.argv[2]), sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cannes = ROOT.parent / "shared/data/pools/cannes_north.tif"
    sample = ROOT / "sample_data/neighbourhood.tif"
    parser.add_argument("raster", type=Path, nargs="?", default=sample)
    parser.add_argument("--bbox", default="")
    parser.add_argument("--cannes", action="store_true", help=f"the held-out part of {cannes.name}")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tile-size", type=int, default=256)
    parser.add_argument("--format", default="gpkg", help="suffix of the result")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.cannes:
        options.raster, options.bbox = cannes, "1023400,6281825.6,1025000,6285000"
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = (Path(folder, f"{name}.{options.format}") for name in ("whole", "broken"))
        began = time.perf_counter()
        logs = [Path(folder, f"{run}.tiles") for run in range(options.kills + 2)]
        plain = finish(start(options, whole, logs[-1]))
        seconds = time.perf_counter() - began
        journal, kept, kills = broken.with_name(f"{broken.name}.journal"), [0], 0
        while kills < options.kills:
            run = start(options, broken, logs[kills])
            # most of a short run is start-up: wait for a row, so that each run gets somewhere
            while run.poll() is None and size(journal) <= kept[-1]:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, seconds / options.kills / 2))
            if run.poll() is not None:
                break
            run.kill()
            run.communicate()
            kills += 1
            kept.append(size(journal))
            if kept[-1] < kept[-2]:
                raise SystemExit(f"the journal shrank from {kept[-2]} to {kept[-1]} bytes")
        resumed = (
            finish(start(options, broken, logs[kills]))
            if not broken.exists()
            else {"resumed_tiles": -1}
        )
        same = whole.read_bytes() == broken.read_bytes()
        rest = sorted(path.name for path in Path(folder).iterdir())
        expected = {whole.name, broken.name, *(log.name for log in logs)}
        runs = [tiles_in(log) for log in logs[: kills + 1]]
        again = [len(one & set().union(*runs[n + 1 :])) for n, one in enumerate(runs)]
        distinct = len(tiles_in(logs[-1]))
    row = {
        "raster": options.raster.name,
        "tiles": f"{plain['tiles'] + plain['empty_tiles']}",
        "kills": f"{kills}",
        "tiles from the journal in the last run": f"{resumed['resumed_tiles']}",
        "of tiles, looked at": f"{sum(map(len, runs)) / distinct:.2f} times",
        "again after a kill, at most": f"{max(again)} tiles ({columns(options)} in a row)",
        "same bytes": "yes" if same else "NO",
        "left behind": ", ".join(name for name in rest if name not in expected) or "nothing",
    }
    save_table("reproducibility/resume", f"Resume after SIGKILL on {machine()}", [row])
    if not same:
        raise SystemExit("the results differ")


if __name__ == "__main__":
    main()
