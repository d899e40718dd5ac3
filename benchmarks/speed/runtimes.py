"""Speed of all runtimes and precisions, and their agreement with PyTorch in single precision.

    python -m benchmarks.speed.runtimes  # the built-in model on the drawn sample
    python -m benchmarks.speed.runtimes scene.tif --model my.safetensors

Megapixels are those of the tiles that go through the network, not of the raster; reading is not
counted. The ground truth of the average precision, at an IoU of 0.5 and 0.75, is the prediction of
PyTorch in single precision at the model's own threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import SAMPLE
from benchmarks.harness.processes import Stopwatch
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.detection.detectors.imported_detector import ImportedDetector
from geodetect.detection.detectors.load import load_detector
from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.errors import InputError, MissingDependencyError

COMBINATIONS = [
    ("torch", "fp32"),  # the reference
    ("torch", "bf16"),
    ("torch", "fp16"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "fp16"),
    ("openvino", "int8"),
    ("onnx", "fp32"),
]
MIN_SCORE = 0.05
IOUS = (0.5, 0.75)
TilePixels = tuple[NDArray[np.uint8], NDArray[np.bool_]]


@dataclass(frozen=True)
class Result:
    """Measurement of a runtime and precision.

    Args:
        detector: The network.
        megapixels: Of all tiles.
        time: To predict them.
        boxes: ``float64[N, 4]`` predictions in the raster's CRS.
        scores: ``float32[N]``.
    """

    detector: RetinaNetDetector | ImportedDetector
    megapixels: float
    time: Stopwatch
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]

    def row(self, reference: Result) -> dict[str, str]:
        """Return the row of the table."""
        truth = reference.boxes[reference.scores >= reference.detector.card.conf]
        matches = [match_boxes(self.boxes, self.scores, truth, iou=iou) for iou in IOUS]
        return {
            "runtime": self.detector.runs_on,
            "streams": f"{self.detector.streams}",
            "Mpx/s": f"{self.megapixels / self.time.seconds:.2f}",
            "CPU seconds per Mpx": f"{self.time.cpu_s / self.megapixels:.3f}",
            "AP against torch fp32": ", ".join(f"{average_precision(m):.4f}" for m in matches),
        }


def read_tiles(raster: Path, detector: RetinaNetDetector | ImportedDetector) -> list[TilePixels]:
    """Return pixels and mask of every tile, as batches of one."""
    (plan,) = geodetect.plan(raster, detector)
    with plan.ground:
        tiles = [plan.ground.read(tile, plan.grid) for run in plan.runs() for tile in run.tiles]
    return [(tile.values[None], tile.valid[None]) for tile in tiles]


def time_detector(
    detector: RetinaNetDetector | ImportedDetector, tiles: list[TilePixels]
) -> Stopwatch:
    """Return the time of all tiles, in batches that fill all streams, after one to warm up."""
    step = detector.streams
    batches = [
        tuple(np.concatenate(part) for part in zip(*tiles[start : start + step], strict=True))
        for start in range(0, len(tiles), step)
    ]
    detector(*batches[0])
    with Stopwatch() as stopwatch:
        for pixels, valid in batches:
            detector(pixels, valid)
    return stopwatch


def measure(raster: Path, model: str, runtime: str, precision: str, *, device: str) -> Result:
    """Time a runtime on all tiles of a raster, and predict the whole raster."""
    detector = load_detector(
        model, device=device, conf=MIN_SCORE, runtime=runtime, precision=precision
    )
    tiles = read_tiles(raster, detector)
    time = time_detector(detector, tiles)
    settings = geodetect.PredictSettings(conf=MIN_SCORE)
    predictions = geodetect.predict(raster, detector, settings=settings)
    megapixels = sum(valid.size for _, valid in tiles) / 1e6
    scores = predictions["score"].to_numpy(np.float32)
    return Result(detector, megapixels, time, predictions.bounds.to_numpy(), scores)


def main() -> None:
    """Measure all that are installed and print the table."""
    parser = new_parser(__doc__, model=True)
    parser.add_argument("raster", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--device", default="cpu", help="of torch; the others run on cpu")
    options = parser.parse_args()
    results = []
    for runtime, precision in COMBINATIONS:
        device = options.device if runtime == "torch" else "cpu"
        try:
            result = measure(options.raster, options.model, runtime, precision, device=device)
        except (InputError, MissingDependencyError) as error:
            print(f"{runtime} {precision} left out: {error}")
        else:
            results.append(result)
    title = f"{Path(options.model).stem} on {options.raster.name}, {machine()}"
    save_table("speed/runtimes", title, [result.row(results[0]) for result in results])


if __name__ == "__main__":
    main()
