"""Another kind of object, learned from scratch: trees and cars, with average precision per class.

    python -m benchmarks.training.new_classes
    python -m benchmarks.training.new_classes --minutes 5 --init pools

Scenes are drawn for training and others, with other seeds, for the test. Nothing but the labels
tells the program what the classes are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import geodetect
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.metrics import ClassMetrics
from geodetect.progress import TqdmProgress

ROOT = Path(__file__).parents[2]
CLASSES = ("car", "tree")
LEAST_CONF = 0.05


def draw(folder: Path, *, count: int, seed: int, classes: Sequence[str] = CLASSES) -> list[Path]:
    """Draw scenes with labels; give the rasters."""
    command = [sys.executable, str(ROOT / "sample_data/generate.py"), "-o", str(folder)]
    options = {"count": count, "size": 1600, "seed": seed, "classes": ",".join(classes)}
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return sorted(folder.glob("*.tif"))


def labels_of(rasters: list[Path]) -> list[Path]:
    """The label file beside each raster."""
    return [raster.with_suffix(".geojson") for raster in rasters]


def row(found: ClassMetrics) -> dict[str, str]:
    """One row of the table."""
    return {
        "class": found.class_name,
        "objects": f"{found.n_truth}",
        "AP50": f"{found.ap50:.3f}",
        "AP75": f"{found.ap75:.3f}",
        "AP50:95": f"{found.ap50_95:.3f}",
        "F1 at the model's threshold": f"{found.at_threshold.f1:.3f}",
    }


def main() -> None:
    """Draw, train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--init", default="none")
    parser.add_argument("--scenes", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, TqdmProgress("training", unit="s") as progress:
        folder = Path(name)
        known = draw(folder / "known", count=options.scenes, seed=300)
        unseen = draw(folder / "unseen", count=3, seed=900)
        model = folder / "trees_and_cars.safetensors"
        settings = geodetect.TrainSettings(init=options.init, minutes=options.minutes)
        geodetect.train(known, labels_of(known), model, settings=settings, progress=progress)
        metrics = geodetect.evaluate_model(
            model,
            unseen,
            labels_of(unseen),
            geodetect.EvaluateSettings(resamples=0),
            predict_settings=geodetect.PredictSettings(conf=LEAST_CONF),
        ).metrics
    title = f"Trained for {options.minutes:g} minutes from --init {options.init}, {machine()}"
    save_table(
        "training/new_classes", title, [row(one) for one in (*metrics.classes, metrics.overall)]
    )


if __name__ == "__main__":
    main()
