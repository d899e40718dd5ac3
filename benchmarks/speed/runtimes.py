"""Runtimes and precisions of the network: how fast, and how close to PyTorch in single precision.

    python -m benchmarks.speed.runtimes  # the built-in model on the drawn sample
    python -m benchmarks.speed.runtimes scene.tif --model my.safetensors

Megapixels are those of the tiles that go through the network, not of the raster; reading is not
counted. The truth of the average precision, at overlaps (IoU) of 0.5 and 0.75, is what PyTorch
finds in single precision at the model's own threshold.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import geodetect
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.detection.retinanet_detector import RetinaNetDetector, load_detector
from geodetect.errors import InputError, MissingDependencyError

SAMPLE = Path(__file__).parents[2] / "sample_data/neighbourhood.tif"
REFERENCE = ("torch", "fp32")
CHOICES = [
    REFERENCE,
    ("torch", "bf16"),
    ("torch", "fp16"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "fp16"),
    ("openvino", "int8"),
    ("onnx", "fp32"),
]
LEAST_CONF = 0.05
IOUS = (0.5, 0.75)
Tile = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def tiles_of(raster: Path, detector: RetinaNetDetector) -> list[Tile]:
    """Pixels and mask of every tile."""
    (one,) = geodetect.plan(raster, detector)
    with one.raster:
        read = [one.raster.read(tile, one.grid) for row in one.rows() for tile in row]
    return [(pixels.values[None], pixels.valid[None]) for pixels in read]


def run(detector: RetinaNetDetector, tiles: list[Tile]) -> tuple[float, float]:
    """Seconds by the clock and of all processors for all tiles, after one batch to warm up."""
    step = detector.streams
    batches = [
        tuple(np.concatenate(part) for part in zip(*tiles[i : i + step], strict=True))
        for i in range(0, len(tiles), step)
    ]
    detector(*batches[0])
    clock, processors = time.perf_counter(), time.process_time()
    for pixels, valid in batches:
        detector(pixels, valid)
    return time.perf_counter() - clock, time.process_time() - processors


@dataclass(frozen=True)
class Result:
    """What one choice of runtime and precision did.

    Args:
        detector: The network.
        megapixels: Of all tiles.
        seconds: By the clock.
        processor_seconds: Of all processors.
        boxes: ``float64[N, 4]`` on the map.
        scores: ``float32[N]``.
    """

    detector: RetinaNetDetector
    megapixels: float
    seconds: float
    processor_seconds: float
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]

    def row(self, reference: Result) -> dict[str, str]:
        """Of the table."""
        truth = reference.boxes[reference.scores >= reference.detector.card.conf]
        close = [
            average_precision(match_boxes(self.boxes, self.scores, truth, iou=iou)) for iou in IOUS
        ]
        return {
            "runtime": self.detector.runs_on,
            "streams": f"{self.detector.streams}",
            "Mpx/s": f"{self.megapixels / self.seconds:.2f}",
            "processor seconds per Mpx": f"{self.processor_seconds / self.megapixels:.3f}",
            "AP against torch fp32": ", ".join(f"{ap:.4f}" for ap in close),
        }


def measure(raster: Path, model: str, choice: tuple[str, str], *, device: str) -> Result:
    """Time a choice on all tiles of a raster, and find what there is."""
    name, precision = choice
    detector = load_detector(
        model, device=device, conf=LEAST_CONF, runtime=name, precision=precision
    )
    tiles = tiles_of(raster, detector)
    seconds, processor_seconds = run(detector, tiles)
    settings = geodetect.PredictSettings(conf=LEAST_CONF)
    found = geodetect.predict(raster, detector, settings=settings)
    megapixels = sum(valid.size for _, valid in tiles) / 1e6
    boxes, scores = found.bounds.to_numpy(), found["score"].to_numpy(np.float32)
    return Result(detector, megapixels, seconds, processor_seconds, boxes, scores)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raster", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--model", default="pools")
    parser.add_argument("--device", default="cpu", help="of torch; the others run on cpu")
    options = parser.parse_args()
    results = []
    for choice in CHOICES:
        device = options.device if choice[0] == "torch" else "cpu"
        try:
            results.append(measure(options.raster, options.model, choice, device=device))
        except (InputError, MissingDependencyError) as error:
            print(f"{' '.join(choice)}: left out: {error}")
    title = f"{Path(options.model).stem} on {options.raster.name}, {machine()}"
    save_table("speed/runtimes", title, [result.row(results[0]) for result in results])


if __name__ == "__main__":
    main()
