"""Average precision of classes that are learned from scratch: trees and cars.

    python -m benchmarks.training.new_classes
    python -m benchmarks.training.new_classes --minutes 5 --init pools

Scenes are drawn for the training and, with other random seeds, for the test. The classes are those
of the labels; no setting names them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import geodetect
from benchmarks.harness.datasets import draw_scenes, label_files
from benchmarks.harness.options import new_parser
from benchmarks.harness.tables import machine, save_table
from geodetect.progress import TqdmProgress

CLASSES = ("car", "tree")
SCENE_OPTIONS = ("--size", "1600", "--classes", ",".join(CLASSES))
MIN_SCORE = 0.05


def main() -> None:
    """Draw, train, evaluate and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--init", default="none", help="as of geodetect train")
    parser.add_argument("--scenes", type=int, default=8, help="to train on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, TqdmProgress("training", unit="s") as progress:
        folder, count = Path(name), str(options.scenes)
        train = draw_scenes(folder / "train", *SCENE_OPTIONS, "--count", count, "--seed", "300")
        test = draw_scenes(folder / "test", *SCENE_OPTIONS, "--count", "3", "--seed", "900")
        model = folder / "trees_and_cars.safetensors"
        settings = geodetect.TrainSettings(init=options.init, minutes=options.minutes)
        geodetect.train(train, label_files(train), model, settings=settings, progress=progress)
        metrics = geodetect.evaluate_model(
            model,
            test,
            label_files(test),
            geodetect.EvaluateSettings(resamples=0),
            predict_settings=geodetect.PredictSettings(conf=MIN_SCORE),
        ).metrics
    rows = [
        {
            "class": figures.class_name,
            "objects": f"{figures.n_truth}",
            "AP50": f"{figures.ap50:.3f}",
            "AP75": f"{figures.ap75:.3f}",
            "AP50:95": f"{figures.ap50_95:.3f}",
            "F1 at the model's threshold": f"{figures.at_threshold.f1:.3f}",
        }
        for figures in (*metrics.classes, metrics.overall)
    ]
    title = f"Trained for {options.minutes:g} minutes from --init {options.init}, {machine()}"
    save_table("training/new_classes", title, rows)


if __name__ == "__main__":
    main()
