"""``geodetect predict`` killed at random moments and resumed: equal bytes, little repeated work.

    python -m benchmarks.reproducibility.resume  # the drawn sample
    python -m benchmarks.reproducibility.resume --cannes --kills 20  # the holdout of Cannes

Runs once without interruption, then again, killed (SIGKILL) ``--kills`` times, each time after a
row of tiles and a random delay, then to its end. The two files must be the same to the byte, and
each run may only repeat the row of tiles that the kill interrupted. Tiles are identified by their
pixels, and a log records every tile that goes through the network.
"""

from __future__ import annotations

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
from benchmarks.harness.datasets import CANNES_HOLDOUT_BOUNDS
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import DATA, SAMPLE
from benchmarks.harness.tables import machine, save_table
from geodetect import Detections

MD5_CHARACTERS = 32


def run_logged(log: Path, arguments: list[str]) -> None:
    """Run the program in this process, and log a digest of every tile that it predicts."""
    from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
    from geodetect_cli.app import main as program

    detect = RetinaNetDetector.__call__

    def detect_logged(
        self: RetinaNetDetector, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> list[Detections]:
        digests = "".join(f"{hashlib.md5(image.tobytes()).hexdigest()}\n" for image in pixels)
        with log.open("a") as stream:
            stream.write(digests)
        return detect(self, pixels, valid)

    RetinaNetDetector.__call__ = detect_logged  # type: ignore[method-assign]
    sys.argv = ["geodetect", *arguments]
    program()


def read_log(log: Path) -> set[str]:
    """Return the digests of the tiles of a run, without an incomplete last line."""
    lines = log.read_text().split("\n") if log.exists() else []
    return {line for line in lines if len(line) == MD5_CHARACTERS}


def start_program(arguments: list[str], output: Path, log: Path) -> subprocess.Popen[str]:
    """Start a prediction in a separate process."""
    command = [sys.executable, "-m", __spec__.name, "--log", str(log), *arguments]
    command += ["--work-dir", str(output.parent), "-o", str(output), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for_summary(process: subprocess.Popen[str]) -> dict[str, int]:
    """Return the summary that a run prints; exit if it failed."""
    output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"predict ended with {process.returncode}")
    summary: dict[str, int] = json.loads(output)
    return summary


def tiles_per_row(raster: Path, bbox: str, tile_size: int) -> int:
    """Return the number of tiles in the longest row."""
    box = tuple(map(float, bbox.split(","))) if bbox else None
    settings = geodetect.PredictSettings(tile_size=tile_size, bbox=box)
    (plan,) = geodetect.plan(raster, settings=settings)
    with plan.ground:
        return max(len(run.tiles) for run in plan.runs())


def file_size(file: Path) -> int:
    """Return the bytes of a file; 0 if it does not exist."""
    return file.stat().st_size if file.exists() else 0


def main() -> None:
    """Predict, kill, resume and print the table; fail if a byte differs."""
    if sys.argv[1:2] == ["--log"]:
        run_logged(Path(sys.argv[2]), sys.argv[3:])
        return
    parser = new_parser(__doc__)
    parser.add_argument("raster", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--bbox", default="")
    parser.add_argument("--cannes", action="store_true", help="the holdout of Cannes")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tile-size", type=int, default=256)
    parser.add_argument("--format", default="gpkg", help="suffix of the result")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.cannes:
        bbox = ",".join(map(str, CANNES_HOLDOUT_BOUNDS))
        options.raster, options.bbox = DATA / "cannes_north.tif", bbox
    arguments = ["predict", str(options.raster), "--tile-size", str(options.tile_size)]
    arguments += ["--bbox", options.bbox] if options.bbox else []
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        complete = folder / f"complete.{options.format}"
        resumed = folder / f"resumed.{options.format}"
        logs = [folder / f"{run}.tiles" for run in range(options.kills + 2)]
        start = time.perf_counter()
        summary = wait_for_summary(start_program(arguments, complete, logs[-1]))
        seconds = time.perf_counter() - start
        journal = resumed.with_name(f"{resumed.name}.journal")
        journal_bytes, kills = [0], 0
        while kills < options.kills:
            process = start_program(arguments, resumed, logs[kills])
            # most of a short run is start-up: wait for a row, so that each run makes progress
            while process.poll() is None and file_size(journal) <= journal_bytes[-1]:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, seconds / options.kills / 2))
            if process.poll() is not None:
                break
            process.kill()
            process.communicate()
            kills += 1
            journal_bytes.append(file_size(journal))
            if journal_bytes[-1] < journal_bytes[-2]:
                before, after = journal_bytes[-2:]
                raise SystemExit(f"the journal shrank from {before} to {after} bytes")
        resumed_tiles = -1
        if not resumed.exists():
            last = wait_for_summary(start_program(arguments, resumed, logs[kills]))
            resumed_tiles = last["resumed_tiles"]
        is_same = complete.read_bytes() == resumed.read_bytes()
        expected = {complete.name, resumed.name, *(log.name for log in logs)}
        leftovers = sorted({path.name for path in folder.iterdir()} - expected)
        runs = [read_log(log) for log in logs[: kills + 1]]
        repeated = [len(run & set().union(*runs[n + 1 :])) for n, run in enumerate(runs)]
        distinct = len(read_log(logs[-1]))
    per_row = tiles_per_row(options.raster, options.bbox, options.tile_size)
    row = {
        "raster": options.raster.name,
        "tiles": f"{summary['tiles'] + summary['empty_tiles']}",
        "kills": f"{kills}",
        "tiles from the journal in the last run": f"{resumed_tiles}",
        "predictions per tile": f"{sum(map(len, runs)) / distinct:.2f}",
        "repeated after a kill, at most": f"{max(repeated)} tiles ({per_row} in a row)",
        "same bytes": "yes" if is_same else "NO",
        "leftover files": ", ".join(leftovers) or "none",
    }
    save_table("reproducibility/resume", f"Resume after SIGKILL on {machine()}", [row])
    if not is_same:
        raise SystemExit("the results differ")


if __name__ == "__main__":
    main()
