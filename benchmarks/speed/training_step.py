"""Time of a training step in bf16 and in single precision.

    python -m benchmarks.speed.training_step
    python -m benchmarks.speed.training_step --rounds 10 --device cuda

The built-in network, 8 chips of 384 px a step. The precisions take turns, so that a busy machine
slows both. Drawing chips is not timed; the chips are noise with six objects each.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from benchmarks.harness.options import new_parser
from benchmarks.harness.tables import machine, save_table
from geodetect import TrainSettings
from geodetect.hardware.torch_device import pick_device
from geodetect.model.checkpoints.initialization import initialise
from geodetect.model.file import load_card
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes.torch import has_bf16_units
from geodetect.training.data.chip_sampler import Chip, crop_target
from geodetect.training.distributed import Processes
from geodetect.training.learner import Learner

OBJECTS, SIDE_PX = 6, 40
PRECISIONS = ("bf16", "fp32")


def noise_chips(count: int, side: int) -> list[Chip]:
    """Return chips of random pixels."""
    rng = np.random.default_rng(0)
    chips = []
    for _ in range(count):
        corner = rng.uniform(0, side - SIDE_PX, (OBJECTS, 2))
        boxes = np.concatenate([corner, corner + SIDE_PX], axis=1)
        image = rng.integers(0, 256, (3, side, side), dtype=np.uint8)
        target = crop_target(boxes, np.zeros(OBJECTS, np.int64), np.array([0.0, 0, side, side]))
        chips.append(Chip(image, np.ones((side, side), bool), target))
    return chips


def new_learner(settings: TrainSettings, device: str, *, in_bf16: bool) -> Learner:
    """Return a learner with the weights of the built-in model."""
    card = load_card("pools")
    assert card.network is not None
    network = RetinaNet(card.network, len(card.classes))
    initialise(network, "pools")
    return Learner(
        network,
        card,
        settings,
        lr=8e-4,
        processes=Processes(device=device),
        in_bf16=in_bf16,
    )


def main() -> None:
    """Time steps of both precisions and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="steps of each precision")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    settings = TrainSettings(batch_size=8)
    chips = noise_chips(settings.batch_size, settings.tile_size)
    learners = {
        name: new_learner(settings, options.device, in_bf16=name == "bf16") for name in PRECISIONS
    }
    seconds: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    for turn in range(1 + options.rounds):
        for name, learner in learners.items():
            start = time.perf_counter()
            learner.train_step(chips, 1.0)  # returns the losses, so all work has ended by then
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    default = "bf16" if has_bf16_units(pick_device(options.device)) else "fp32"
    rows = [
        {
            "precision": name + (" (geodetect train)" if name == default else ""),
            "s/step": f"{median:.2f}",
            "chips/s": f"{settings.batch_size / median:.1f}",
            "time relative to fp32": f"{median / medians['fp32']:.2f}",
        }
        for name, median in medians.items()
    ]
    save_table("speed/training_step", f"A training step on {machine()}", rows)


if __name__ == "__main__":
    main()
