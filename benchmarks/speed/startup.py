"""Time until the program prints its help, describes a raster and finds the first objects.

    python -m benchmarks.speed.startup
    python -m benchmarks.speed.startup --runs 5

Every run is a separate process, and the fastest of several counts. CPU seconds hardly depend on
other work on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import rasterio
from rasterio.windows import Window

from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import SAMPLE
from benchmarks.harness.processes import run_program
from benchmarks.harness.rasters import write_window
from benchmarks.harness.tables import machine, save_table
from geodetect.io.user_cache import FOLDER_VARIABLE
from geodetect.model.file import read_model_file, write_model_file
from geodetect.model.runtimes.stored_networks import network_parameters

SIDE_PX = 1024


@dataclass(frozen=True)
class Case:
    """A command to time.

    Args:
        name: In the table.
        arguments: Of the program.
        target_s: Upper limit of the time, in seconds.
        cached: Run once before, with the same cache folder.
    """

    name: str
    arguments: tuple[str, ...]
    target_s: float
    cached: bool = True


def list_cases(scene: Path) -> list[Case]:
    """Return the commands to time on a raster."""
    output = str(scene.with_suffix(".geojson"))
    predict = ("predict", str(scene), "-o", output, "--overwrite", "--quiet")
    old = write_old_model(scene.with_name("old.safetensors"))
    predict_old = (*predict, "--model", str(old))
    return [
        Case("--help", ("--help",), 0.5),
        Case("info scene.tif", ("info", str(scene)), 1.0),
        Case("first detection, nothing cached", predict, 2.5, cached=False),
        Case("the same, a model of an older version", predict_old, 8.0, cached=False),
        Case("the same, its conversion cached", predict_old, 4.0),
    ]


def write_old_model(path: Path) -> Path:
    """Write the built-in model as older versions did: without a network in OpenVINO's form."""
    card, arrays = read_model_file("pools")
    write_model_file(path, card.model_copy(update={"int8": None}), network_parameters(arrays))
    return path


def measure(case: Case, runs: int, folder: Path) -> dict[str, str]:
    """Return the row of one command."""
    usages = []
    for number in range(runs + case.cached):
        cache = folder / ("cache" if case.cached else f"cache_{number}")
        usages.append(run_program(case.arguments, {FOLDER_VARIABLE: str(cache)}))
    usages = usages[case.cached :]  # the first run fills the cache
    return {
        "command": case.name,
        "seconds": f"{min(usage.seconds for usage in usages):.2f}",
        "CPU seconds": f"{min(usage.cpu_s for usage in usages):.2f}",
        "target": f"{case.target_s:.1f} s",
    }


def main() -> None:
    """Time all commands and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each command")
    runs = parser.parse_args().runs
    with TemporaryDirectory() as folder:
        with rasterio.open(SAMPLE) as sample:
            corner = Window(0, 0, SIDE_PX, SIDE_PX)
            scene = write_window(sample, corner, Path(folder, "scene.tif"))
        rows = [measure(case, runs, Path(folder)) for case in list_cases(scene)]
    save_table("speed/startup", f"Start of the program on {machine()}", rows)


if __name__ == "__main__":
    main()
