"""Networks of Ultralytics, made in its own environment for ``benchmarks.peers.programs``.

    PYTHON yolo_worker.py yolo task.json network.onnx
    PYTHON yolo_worker.py yolo task.json network_openvino_model

The network is trained on ``task["images"]``, a folder with labels beside each image, or has random
weights. Only public interfaces of Ultralytics are called.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# options of the export by the suffix of what is written
EXPORTS: dict[str, dict[str, Any]] = {
    ".onnx": {"format": "onnx", "simplify": False},
    "": {"format": "openvino"},
}
# one class of plain objects, learnt from random weights in some hundred steps
TRAINING = {
    "optimizer": "AdamW",
    "lr0": 1e-3,
    "lrf": 0.05,
    "warmup_epochs": 1.0,
    "mosaic": 0.0,
    "scale": 0.2,
    "close_mosaic": 0,
}
QUIET = {"plots": False, "val": False, "save": True, "verbose": False, "workers": 0, "amp": False}


def make_network(task: dict[str, Any], target: Path) -> None:
    """Train and export a network.

    Args:
        task: ``architecture``, such as ``yolo11n``; ``input_px``; ``images``, a folder or None:
            random weights; ``epochs``, ``batch`` and ``crop_px`` of the training.
        target: ONNX file, or folder of OpenVINO's files.
    """
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    network = YOLO(f"{task['architecture']}.yaml")
    if task.get("images"):
        data = {"path": task["images"], "train": "images", "val": "images", "names": ["object"]}
        file = target.with_name("data.yaml")
        file.write_text(json.dumps(data), encoding="utf-8")  # JSON is YAML
        network.train(
            data=str(file),
            epochs=task["epochs"],
            batch=task["batch"],
            nbs=task["batch"],  # a step of the optimiser after every batch
            imgsz=task["crop_px"],
            device="cpu",
            project=str(target.parent),
            **TRAINING,
            **QUIET,
        )
    exported = network.export(imgsz=task["input_px"], **EXPORTS[target.suffix])
    Path(exported).rename(target)


def main() -> None:
    """Make the network of the command line."""
    _, task_file, target = sys.argv[1:]
    make_network(json.loads(Path(task_file).read_text(encoding="utf-8")), Path(target))


if __name__ == "__main__":
    main()
