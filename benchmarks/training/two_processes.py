"""A training shared by two processes against the same one in one process.

    python -m benchmarks.training.two_processes
    python -m benchmarks.training.two_processes --steps 1000 --seeds 3

Trees and cars on drawn scenes, from the built-in model, which knows neither; some scenes are held
out whole. Two processes share the chips of every step, so they see what one process sees, and
differ from it by rounding, which training amplifies. How far apart two trainings may end without
any difference in how they are made, other seeds tell.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness.tables import machine, save_table
from benchmarks.training.new_classes import CLASSES, draw, labels_of
from geodetect.model.file import load_card

SCENES, HELD_OUT = 5, 2
FIGURES = ("ap50", "ap50_95", "f1", *(f"ap50 {name}" for name in CLASSES))


def train(folder: Path, scenes: list[Path], *, processes: int, seed: int, steps: int) -> Path:
    """Run the program, under torchrun if there are several processes."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    model = folder / f"{processes}_{seed}.safetensors"
    held_out, known = scenes[:HELD_OUT], scenes[HELD_OUT:]
    options = {"--steps": steps, "--seed": seed, "--val-every": steps, "--output": model}
    lists = {"--rasters": known, "--labels": labels_of(known)}
    lists |= {"--val-rasters": held_out, "--val-labels": labels_of(held_out)}
    given = [str(part) for name, value in options.items() for part in (name, value)]
    given += [str(part) for name, files in lists.items() for f in files for part in (name, f)]
    subprocess.run(
        [
            sys.executable,
            *(launcher if processes > 1 else []),
            *("-m", "geodetect_cli", "train", "--init", "pools", "--quiet"),
            *given,
        ],
        check=True,
    )
    return model


def main() -> None:
    """Draw, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = draw(folder, count=SCENES, seed=500)
        for seed in range(options.seeds):
            for processes in (1, 2):
                model = train(folder, scenes, processes=processes, seed=seed, steps=options.steps)
                metrics = load_card(model).metrics
                row = {"processes": f"{processes}", "seed": f"{seed}"}
                rows.append(row | {name: f"{metrics[name]:.3f}" for name in FIGURES})
    title = f"{options.steps} steps on drawn scenes, {machine()}"
    save_table("training/two_processes", title, rows)


if __name__ == "__main__":
    main()
