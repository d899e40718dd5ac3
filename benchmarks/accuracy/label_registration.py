"""How often a shift of labels is suspected, of good labels and of labels that were moved.

python -m benchmarks.accuracy.label_registration  # the drawn sample, and the real grounds if there
python -m benchmarks.accuracy.label_registration --draws 20
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.harness.tables import machine, save_table
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.reader import open_raster
from geodetect.label_check.registration import estimate_shifts

ROOT = Path(__file__).parents[2]
OFFSETS_M = (0.0, 1.5, 2.0, 3.0)
LABELS = (25, 50, 100, 200)


def rates(sheet: LabelledRaster, draws: int) -> Iterator[dict[str, str]]:
    """For each number of labels the share of draws in which a shift is suspected."""
    for count in (n for n in LABELS if n <= len(sheet.boxes)):
        row = {"ground": sheet.raster.name, "labels": f"{count}"}
        for offset_m in OFFSETS_M:
            found = [drawn(sheet, count, offset_m, seed=seed) for seed in range(draws)]
            row[f"{offset_m:g} m"] = f"{np.mean([f is not None for f in found]):.0%}"
        errors = [error for error in found if error is not None]  # of the largest offset
        row["error"] = f"{np.median(errors):.2f} m" if errors else "-"
        yield row


def drawn(sheet: LabelledRaster, count: int, offset_m: float, *, seed: int) -> float | None:
    """Error of the shift that is suspected of some labels, moved in some direction; None: none."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    offset = offset_m * np.array([np.cos(angle), np.sin(angle)])
    rows = rng.permutation(len(sheet.boxes))[:count]
    boxes = sheet.boxes[rows] + np.tile(offset / sheet.gsd_m, 2)
    moved = replace(sheet.select(rows), boxes=boxes)
    for estimate in estimate_shifts([moved], seed=seed):
        if estimate.suspected:
            shift = np.array([estimate.right_m, estimate.down_m])
            return float(np.hypot(*(offset + shift)))
    return None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=10)
    draws = parser.parse_args().draws
    data = ROOT.parent / "shared/data/pools"
    known = (
        ROOT / "sample_data/neighbourhood.tif",
        *(data / f"{name}.tif" for name in ("california_west", "cannes_north")),
    )
    rows = []
    for path in known:
        if path.exists():
            labels = read_labels(path.with_suffix(".geojson"))
            (sheet,) = place_labels(labels, [open_raster(path)])
            rows += list(rates(sheet, draws))
    title = f"Share of draws in which a shift is suspected, by its length, on {machine()}"
    save_table("accuracy/label_registration", title, rows)


if __name__ == "__main__":
    main()
