"""F1 and average precision of the built-in model at its default score threshold.

    python -m benchmarks.accuracy.detection  # the drawn sample, and real imagery if it exists
    python -m benchmarks.accuracy.detection --data ../shared/data/pools --model my.safetensors
    python -m benchmarks.accuracy.detection --precision fp32 bf16 int8
    python -m benchmarks.accuracy.detection --iou 0.5  # NMS keeps boxes that overlap by less
    python -m benchmarks.accuracy.detection --tile-size 512

Datasets: the drawn sample; the holdout of Cannes (columns from 17,000 on), which the model was not
trained on; California, which no training has used. Predictions and truth are matched one to one
over a whole dataset, the highest score first: by the IoU of the bounds of their polygons, and by
the distance of their centres. California's labels are boxes that are looser than the water and
shifted: look at the centres there.
"""

from __future__ import annotations

import time

import geodetect
from benchmarks.harness.datasets import (
    DEFAULT_SETTINGS,
    Dataset,
    list_datasets,
    match_layers,
    model_title,
    predict_with_truth,
)
from benchmarks.harness.options import new_parser
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.precision_recall import average_precision, precision_recall_curve
from geodetect.model.file import load_card

IOUS = (0.5, 0.3)
CENTRES_M = 4.0  # labels of California are up to so much off


def measure(
    dataset: Dataset,
    model: str,
    settings: geodetect.PredictSettings = DEFAULT_SETTINGS,
    *,
    conf: float,
) -> dict[str, str]:
    """Return the row of one dataset and precision."""
    start = time.perf_counter()
    predictions, truth = predict_with_truth(dataset, model, settings)
    seconds = time.perf_counter() - start
    row = {"dataset": dataset.name, "precision": settings.precision, "objects": f"{len(truth)}"}
    for iou in IOUS:
        matches = match_layers(predictions, truth, iou=iou)
        curve = precision_recall_curve(matches)
        at_conf, best = curve.at(conf), curve.best_f1()
        row |= {
            f"AP@{iou}": f"{average_precision(matches):.3f}",
            f"F1@{iou}": f"{at_conf.f1:.3f}",
            f"P@{iou}": f"{at_conf.precision:.3f}",
            f"R@{iou}": f"{at_conf.recall:.3f}",
            f"best F1@{iou}": f"{best.f1:.3f} (conf {best.score_threshold:.2f})",
        }
    by_centre = geodetect.EvaluateSettings(
        conf=conf, distance=CENTRES_M, ignore_classes=True, resamples=0
    )
    overall = geodetect.evaluate(predictions, truth, by_centre).metrics.overall
    point = overall.at_threshold
    row |= {f"AP@{CENTRES_M:g} m": f"{overall.ap:.3f}", f"F1@{CENTRES_M:g} m": f"{point.f1:.3f}"}
    return row | {"seconds": f"{seconds:.0f}"}


def main() -> None:
    """Predict on all datasets in all precisions and print the table."""
    parser = new_parser(__doc__, model=True, data=True)
    parser.add_argument("--conf", type=float, help="score threshold; default: that of the model")
    parser.add_argument("--iou", type=float, help="of NMS; default: that of the model")
    parser.add_argument("--tile-size", type=int, help="in pixels; default: fitted to the area")
    parser.add_argument("--precision", nargs="+", default=["auto"], help="of the network")
    options = parser.parse_args()
    conf = load_card(options.model).conf if options.conf is None else options.conf
    settings = geodetect.PredictSettings(nms_iou=options.iou, tile_size=options.tile_size)
    rows = [
        measure(dataset, options.model, settings.model_copy(update={"precision": name}), conf=conf)
        for dataset in list_datasets(options.data)
        for name in options.precision
    ]
    title = f"Accuracy of {model_title(options.model, conf)} on {machine()}"
    save_table("accuracy/detection", title, rows)


if __name__ == "__main__":
    main()
