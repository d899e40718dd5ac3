"""How long the program takes to begin: its help, what a raster is, the first detection.

python -m benchmarks.speed.startup
python -m benchmarks.speed.startup --runs 5

Every run is a process of its own, and the fastest of several counts. Processor seconds tell the
same on a machine that has other work to do.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import rasterio
from rasterio.windows import Window

from benchmarks.harness.tables import machine, save_table
from geodetect.model.runtimes.cache import FOLDER_VARIABLE

SAMPLE = Path(__file__).parents[2] / "sample_data/neighbourhood.tif"
SIDE_PX = 1024


@dataclass(frozen=True)
class Case:
    """A command to time.

    Args:
        name: How it is called in the table.
        arguments: Of the program.
        target_s: What it should stay below, in seconds.
        keeps_cache: Run before with the same cache folder.
    """

    name: str
    arguments: tuple[str, ...]
    target_s: float
    keeps_cache: bool = True


def cut_scene(folder: Path) -> Path:
    """A corner of the drawn sample, ``SIDE_PX`` wide and high."""
    file = folder / "scene.tif"
    with rasterio.open(SAMPLE) as scene:
        window = Window(0, 0, SIDE_PX, SIDE_PX)
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": scene.crs}
        with rasterio.open(
            file,
            "w",
            width=SIDE_PX,
            height=SIDE_PX,
            transform=scene.window_transform(window),
            **profile,
        ) as target:
            target.write(scene.read(window=window))
    return file


def cases(scene: Path) -> list[Case]:
    """What is timed."""
    output = str(scene.with_suffix(".geojson"))
    predict = ("predict", str(scene), "-o", output, "--overwrite", "--quiet")
    return [
        Case("--help", ("--help",), 0.5),
        Case("info scene.tif", ("info", str(scene)), 1.0),
        Case("first detection, nothing cached", predict, 8.0, keeps_cache=False),
        Case("first detection, conversion cached", predict, 4.0),
    ]


def run(arguments: Sequence[str], cache: Path) -> tuple[float, float]:
    """Seconds by the clock and of the processors that one process took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "geodetect_cli", *arguments],
        check=True,
        capture_output=True,
        env={**os.environ, FOLDER_VARIABLE: str(cache)},
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(case: Case, runs: int, folder: Path) -> dict[str, str]:
    """One row of the table."""
    results = []
    for number in range(runs + case.keeps_cache):
        cache = folder / ("kept" if case.keeps_cache else f"{number}")
        results.append(run(case.arguments, cache))
    counted = results[case.keeps_cache :]  # the first fills the cache
    return {
        "command": case.name,
        "seconds": f"{min(seconds for seconds, _ in counted):.2f}",
        "processor seconds": f"{min(processors for _, processors in counted):.2f}",
        "to stay below": f"{case.target_s:.1f} s",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    with TemporaryDirectory() as folder:
        scene = cut_scene(Path(folder))
        rows = [measure(case, runs, Path(folder)) for case in cases(scene)]
    save_table("speed/startup", f"Start of the program on {machine()}", rows)


if __name__ == "__main__":
    main()
