"""Kill ``geodetect predict`` at random moments and see whether it goes on where it stopped.

    python benchmarks/resume.py                        # the sample scene
    python benchmarks/resume.py --cannes --kills 20    # the held-out part of Cannes

Runs once without interruption, then again, killed (SIGKILL) ``--kills`` times, each time after a
row of tiles and a random time more, then left to its end. The two files must be the same to the
byte, and each run may only repeat the row of tiles in flight when the one before was killed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import machine, save_table

ROOT = Path(__file__).parents[1]


def start(options: argparse.Namespace, output: Path) -> subprocess.Popen[str]:
    """The program on the raster."""
    command = [sys.executable, "-m", "geodetect_cli", "predict", str(options.raster), "--json"]
    limits = ["--bbox", options.bbox] if options.bbox else []
    tiles = ["--tile-size", str(options.tile_size), "--work-dir", str(output.parent)]
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


def size(file: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    return file.stat().st_size if file.exists() else 0


def main() -> None:
    """Measure and print; fail when a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cannes = ROOT.parent / "shared/data/pools/cannes_north.tif"
    sample = ROOT / "sample_data/neighbourhood.tif"
    parser.add_argument("raster", type=Path, nargs="?", default=sample)
    parser.add_argument("--bbox", default="")
    parser.add_argument("--cannes", action="store_true", help=f"the held-out part of {cannes.name}")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tile-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.cannes:
        options.raster, options.bbox = cannes, "1023400,6281825.6,1025000,6285000"
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder, "whole.geojson"), Path(folder, "broken.geojson")
        began = time.perf_counter()
        plain = finish(start(options, whole))
        seconds = time.perf_counter() - began
        journal, kept, kills = broken.with_name(f"{broken.name}.journal"), [0], 0
        while kills < options.kills:
            run = start(options, broken)
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
        resumed = finish(start(options, broken)) if not broken.exists() else {"resumed_tiles": -1}
        same = whole.read_bytes() == broken.read_bytes()
        rest = sorted(path.name for path in Path(folder).iterdir())
    row = {
        "raster": options.raster.name,
        "tiles": f"{plain['tiles'] + plain['empty_tiles']}",
        "kills": f"{kills}",
        "tiles from the journal in the last run": f"{resumed['resumed_tiles']}",
        "same bytes": "yes" if same else "NO",
        "left behind": ", ".join(name for name in rest if "journal" in name) or "nothing",
    }
    save_table("resume", f"Resume after SIGKILL on {machine()}", [row])
    if not same:
        raise SystemExit("the results differ")


if __name__ == "__main__":
    main()
