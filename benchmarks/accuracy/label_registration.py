"""Rate at which ``check`` reports a shift: of well-placed labels and of labels that were moved.

    python -m benchmarks.accuracy.label_registration  # the drawn sample, and real imagery
    python -m benchmarks.accuracy.label_registration --draws 20

Each draw takes some labels at random and moves them in a random direction by 0 to 3 m.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import SAMPLE
from benchmarks.harness.tables import machine, save_table
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.open_raster import open_raster
from geodetect.label_check.registration import estimate_shifts

OFFSETS_M = (0.0, 1.5, 2.0, 3.0)
LABEL_COUNTS = (25, 50, 100, 200)


def measure(raster: LabelledRaster, draws: int) -> Iterator[dict[str, str]]:
    """Yield a row for each number of labels: the fraction of draws with a suspected shift."""
    for count in (count for count in LABEL_COUNTS if count <= len(raster.boxes)):
        row = {"dataset": raster.raster.name, "labels": f"{count}"}
        for offset_m in OFFSETS_M:
            errors = [shift_error(raster, count, offset_m, seed=seed) for seed in range(draws)]
            row[f"{offset_m:g} m"] = f"{np.mean([error is not None for error in errors]):.0%}"
        errors_m = [error for error in errors if error is not None]  # of the largest offset
        row["error"] = f"{np.median(errors_m):.2f} m" if errors_m else "-"
        yield row


def shift_error(raster: LabelledRaster, count: int, offset_m: float, *, seed: int) -> float | None:
    """Return the error in metres of the estimated shift; None: no shift is suspected.

    Args:
        raster: Raster with labels.
        count: Number of labels to draw.
        offset_m: Distance to move them.
        seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    offset = offset_m * np.array([np.cos(angle), np.sin(angle)])
    rows = rng.permutation(len(raster.boxes))[:count]
    boxes = raster.boxes[rows] + np.tile(offset / raster.gsd_m, 2)
    moved = replace(raster.select(rows), boxes=boxes)
    for estimate in estimate_shifts([moved], seed=seed):
        if estimate.suspected:
            shift = np.array([estimate.right_m, estimate.down_m])
            return float(np.hypot(*(offset + shift)))
    return None


def main() -> None:
    """Draw labels of every raster and print the table."""
    parser = new_parser(__doc__, data=True)
    parser.add_argument("--draws", type=int, default=10, help="for each number and offset")
    options = parser.parse_args()
    real = (options.data / f"{name}.tif" for name in ("california_west", "cannes_north"))
    rows = list[dict[str, str]]()
    for file in (SAMPLE, *(file for file in real if file.exists())):
        labels = read_labels(file.with_suffix(".geojson"))
        (raster,) = place_labels(labels, [open_raster(file)])
        rows += measure(raster, options.draws)
    title = f"Fraction of draws in which a shift is suspected, by its length, on {machine()}"
    save_table("accuracy/label_registration", title, rows)


if __name__ == "__main__":
    main()
