"""What the choice of a threshold on little ground costs on all the rest.

    python benchmarks/threshold_choice.py
    python benchmarks/threshold_choice.py --model mine.safetensors --draws 400

A training picks the model's threshold on the ground that it held out, often a few dozen objects.
Here square blocks of ground are drawn at random until they hold about as many; the threshold is
picked there, once where F1 is highest and once as trainings do (``steady_threshold``), and F1 is
measured on all other blocks. The table has means over the draws and, in brackets, their tenth
percentile, at an IoU of 0.5.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accuracy import CALIFORNIA, HELD_OUT, LEAST_CONF, ROOT, Place, detect, place_called
from numpy.typing import NDArray
from report import machine, save_table

from geodetect.assessment.evaluate.precision_recall import PrecisionRecallCurve
from geodetect.assessment.evaluate.thresholds import steady_threshold
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.model.calibration import calibrated_score
from geodetect.model.file import load_card

BLOCK_M = 100.0  # in units of the map
OBJECTS = (5, 10, 20, 40, 80, 160)


@dataclass(frozen=True)
class Blocks:
    """Detections and objects, each in its block of ground.

    Args:
        scores: ``float64[N]`` of the detections, descending.
        correct: ``bool[N]`` whether each found an object.
        found: ``int64[N]`` block of each detection, by its centre.
        wanted: ``int64[M]`` block of each object.
    """

    scores: NDArray[np.float64]
    correct: NDArray[np.bool_]
    found: NDArray[np.int64]
    wanted: NDArray[np.int64]

    @classmethod
    def of(cls, place: Place, model: str) -> Blocks:
        """What a model finds in a place."""
        detections, truth = detect(place, model)
        detections = detections.sort_values("score", ascending=False)
        boxes, objects = detections.bounds.to_numpy(), truth.bounds.to_numpy()
        scores = detections["score"].to_numpy(np.float64)
        corner = objects[:, :2].min(axis=0)
        correct = match_boxes(boxes, scores, objects, iou=0.5).correct
        return cls(scores, correct, _block(boxes, corner), _block(objects, corner))

    def curve(self, blocks: NDArray[np.int64], *, inside: bool) -> PrecisionRecallCurve:
        """Of the detections and objects in these blocks, or in all others."""
        here = np.isin(self.found, blocks, invert=not inside)
        right = np.cumsum(self.correct[here])
        wanted = int(np.isin(self.wanted, blocks, invert=not inside).sum())
        return PrecisionRecallCurve(self.scores[here], right, max(wanted, *right[-1:], 0))


def _block(boxes: NDArray[np.float64], corner: NDArray[np.float64]) -> NDArray[np.int64]:
    column, row = ((boxes[:, :2] + boxes[:, 2:]) / 2 - corner).T // BLOCK_M
    return (column * 100_000 + row).astype(np.int64)


def row(place: str, blocks: Blocks, count: int, *, draws: int, least: float) -> dict[str, str]:
    """F1 elsewhere when about so many objects were held out."""
    rng = np.random.default_rng(count)
    numbers, sizes = np.unique(blocks.wanted, return_counts=True)
    reached = []
    for _ in range(draws):
        order = rng.permutation(len(numbers))
        taken = numbers[order[: np.searchsorted(np.cumsum(sizes[order]), count) + 1]]
        here, elsewhere = (blocks.curve(taken, inside=inside) for inside in (True, False))
        picked = here.best_f1().score_threshold, steady_threshold(here, least=least)
        reached.append([*(elsewhere.at(p).f1 for p in picked), elsewhere.best_f1().f1])
    mean, tenth = np.nanmean(reached, axis=0), np.nanpercentile(reached, 10, axis=0)
    names = "where F1 is highest", "steady", "best there is"
    shown = (f"{m:.3f} ({t:.3f})" for m, t in zip(mean, tenth, strict=True))
    return {
        "ground": place,
        "objects held out": f"{count} of {len(blocks.wanted)}",
        **dict(zip(names, shown, strict=True)),
    }


def main() -> None:
    """Draw, pick, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pools")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args()
    least = calibrated_score(LEAST_CONF, load_card(options.model).calibration)
    rows = []
    for name in (HELD_OUT, CALIFORNIA):
        blocks = Blocks.of(place_called(name, options.data), options.model)
        rows += [row(name, blocks, n, draws=options.draws, least=least) for n in OBJECTS]
    title = f"F1 by a threshold picked on little ground, {Path(options.model).name}, {machine()}"
    save_table("threshold_choice", title, rows)


if __name__ == "__main__":
    main()
