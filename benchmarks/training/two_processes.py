"""A training in two processes under torchrun against the same training in one process.

    python -m benchmarks.training.two_processes
    python -m benchmarks.training.two_processes --steps 1000 --seeds 3

Trees and cars on drawn scenes, from the built-in model, which has neither class; whole scenes are
held out. Two processes share the chips of every step, so they train on the same chips as one
process, and differ from it by rounding, which training amplifies. The difference between random
seeds shows how far two equivalent trainings may end apart.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.datasets import draw_scenes, label_files
from benchmarks.harness.options import new_parser
from benchmarks.harness.processes import run_python
from benchmarks.harness.tables import machine, save_table
from geodetect.model.file import load_card

SCENES, HOLDOUT = 5, 2
CLASSES = ("car", "tree")
SCENE_OPTIONS = ("--size", "1600", "--classes", ",".join(CLASSES))
METRICS = ("ap50", "ap50_95", "f1", *(f"ap50 {name}" for name in CLASSES))


def train(folder: Path, scenes: list[Path], *, processes: int, seed: int, steps: int) -> Path:
    """Run the program, under torchrun if there are several processes; return the model."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    model = folder / f"{processes}_{seed}.safetensors"
    holdout, rasters = scenes[:HOLDOUT], scenes[HOLDOUT:]
    options: dict[str, list[Any]] = {
        "--rasters": rasters,
        "--labels": label_files(rasters),
        "--val-rasters": holdout,
        "--val-labels": label_files(holdout),
        "--steps": [steps],
        "--seed": [seed],
        "--val-every": [steps],
        "--output": [model],
    }
    run_python([
        *(launcher if processes > 1 else []),
        *("-m", "geodetect_cli", "train", "--init", "pools", "--quiet"),
        *(part for name, values in options.items() for v in values for part in (name, v)),
    ])  # fmt: skip
    return model


def main() -> None:
    """Draw, train and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = draw_scenes(folder, *SCENE_OPTIONS, "--count", str(SCENES), "--seed", "500")
        for seed in range(options.seeds):
            for processes in (1, 2):
                model = train(folder, scenes, processes=processes, seed=seed, steps=options.steps)
                metrics = load_card(model).metrics
                row = {"processes": f"{processes}", "seed": f"{seed}"}
                rows.append(row | {name: f"{metrics[name]:.3f}" for name in METRICS})
    title = f"{options.steps} steps on drawn scenes, {machine()}"
    save_table("training/two_processes", title, rows)


if __name__ == "__main__":
    main()
