"""One program on one raster, in a process and a Python of its own; `peers` starts it.

    PYTHON worker.py deepforest task.json result.npz

It needs nothing of geodetect unless geodetect is the program to run, so any virtual environment
that holds the program will do. Only public interfaces of the programs are called. The clock runs
from the opening of the model to the boxes of the whole raster; imports come before.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Task = dict[str, Any]
Found = tuple[np.ndarray, np.ndarray]  # boxes float[N, 4] in pixel edges, scores float[N]
Program = Callable[[Task], tuple[Callable[[], Any], Callable[[Any], Found]]]

BACKBONE = "resnet50-0676ba61.pth"  # what torchvision calls its file of the trunk alone
KIB = 1024


def deepforest(task: Task) -> tuple[Callable[[], Any], Callable[[Any], Found]]:
    """DeepForest's ``predict_tile`` with its default strategy."""
    import torch
    from deepforest import main
    from deepforest.models.retinanet import RetinaNetHub
    from torchvision.models import resnet50

    # it asks for a pretrained trunk before it takes the weights; a file there is not downloaded
    trunk = Path(os.environ["TORCH_HOME"], "hub/checkpoints", BACKBONE)
    if not trunk.exists():
        trunk.parent.mkdir(parents=True, exist_ok=True)
        torch.save(resnet50(weights=None).state_dict(), trunk)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    limits = {"score_thresh": task["conf"], "nms_thresh": task["iou"]}
    labels = {"object": 0}

    def load() -> Any:
        network = RetinaNetHub(
            backbone_weights=None, num_classes=1, label_dict=labels, **limits
        ).eval()
        network.load_state_dict(torch.load(task["weights"], weights_only=True))
        config = {"num_classes": 1, "label_dict": labels, **limits}
        program = main.deepforest(model=network, config_args=config)
        program.set_labels(labels)
        return program

    def predict(program: Any) -> Found:
        table = program.predict_tile(
            path=task["raster"],
            patch_size=task["tile_px"],
            patch_overlap=task["overlap"],
            iou_threshold=task["iou"],
        )
        return table[["xmin", "ymin", "xmax", "ymax"]].to_numpy(), table["score"].to_numpy()

    return load, predict


def sahi(task: Task) -> tuple[Callable[[], Any], Callable[[Any], Found]]:
    """SAHI's sliced prediction, without its further pass over the whole shrunk image."""
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    def load() -> Any:
        return AutoDetectionModel.from_pretrained(
            "torchvision", model=_torchvision(task), confidence_threshold=task["conf"], device="cpu"
        )

    def predict(model: Any) -> Found:
        found = get_sliced_prediction(
            task["raster"],
            model,
            slice_height=task["tile_px"],
            slice_width=task["tile_px"],
            overlap_height_ratio=task["overlap"],
            overlap_width_ratio=task["overlap"],
            perform_standard_pred=False,
            postprocess_type="NMS",
            postprocess_match_metric="IOU",
            postprocess_match_threshold=task["iou"],
            verbose=0,
        ).object_prediction_list
        boxes = np.array([one.bbox.to_xyxy() for one in found]).reshape(-1, 4)
        return boxes, np.array([one.score.value for one in found])

    return load, predict


def geodeep(task: Task) -> tuple[Callable[[], Any], Callable[[Any], Found]]:
    """GeoDeep, which opens the model and predicts in one call."""
    import geodeep as program

    def predict(_: Any) -> Found:
        found = program.detect(task["raster"], task["onnx"], "raw", conf_threshold=task["conf"])
        return found[:, :4], found[:, 4]

    return lambda: None, predict


def geodetect(task: Task) -> tuple[Callable[[], Any], Callable[[Any], Found]]:
    """Ours: ``predict`` with a model file, or the built-in model with all its defaults."""
    import rasterio

    import geodetect as program
    from geodetect.detection.retinanet_detector import load_detector

    own = {key: task[key] for key in ("conf", "iou") if key in task}
    tiles = {"tile_size": task["tile_px"], "overlap": task["overlap"]} if "tile_px" in task else {}
    choice = {key: task[key] for key in ("runtime", "precision") if key in task}

    def load() -> Any:
        return load_detector(task["model"], device="cpu", **own, **choice)

    def predict(detector: Any) -> Found:
        settings = program.PredictSettings(**own, **tiles)
        table = program.predict(task["raster"], detector, settings=settings)
        with rasterio.open(task["raster"]) as raster:
            to_px = ~raster.transform
        x1, y1, x2, y2 = table.geometry.bounds.to_numpy().T
        left, top = to_px * (x1, y2)
        right, bottom = to_px * (x2, y1)
        return np.stack([left, top, right, bottom], axis=1), table["score"].to_numpy()

    return load, predict


PROGRAMS: dict[str, Program] = {
    "deepforest": deepforest,
    "sahi": sahi,
    "geodeep": geodeep,
    "geodetect": geodetect,
}


def merge_with_sahi(task: Task) -> dict[str, float]:
    """SAHI's suppression of the boxes in ``task["views"]``; its objects are made before."""
    from sahi.postprocess.combine import NMSPostprocess
    from sahi.prediction import ObjectPrediction

    views = np.load(task["views"])
    found = [
        ObjectPrediction(bbox=list(box), category_id=0, category_name="object", score=float(score))
        for box, score in zip(views["boxes"].tolist(), views["scores"], strict=True)
    ]
    merge = NMSPostprocess(match_threshold=task["iou"], match_metric="IOU", class_agnostic=False)
    before, start, processors = peak_bytes(), time.perf_counter(), time.process_time()
    kept = merge(found)
    return {
        "seconds": time.perf_counter() - start,
        "processor_s": time.process_time() - processors,
        "peak": peak_bytes(),
        "before": before,
        "objects": len(kept),
    }


def _torchvision(task: Task) -> Any:
    import torch
    from torchvision.models.detection import retinanet_resnet50_fpn

    network = retinanet_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=1,
        score_thresh=task["conf"],
        nms_thresh=task["iou"],
    )
    network.load_state_dict(torch.load(task["weights"], weights_only=True))
    return network.eval()


def peak_bytes() -> int:
    """Most memory this process ever held; not what its parent held before it began."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else KIB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) * KIB


def _measure(name: str, task: Task, target: Path) -> None:
    load, predict = PROGRAMS[name](task)
    start, processors = time.perf_counter(), time.process_time()
    model = load()
    loaded = time.perf_counter()
    boxes, scores = predict(model)
    ended, processors = time.perf_counter(), time.process_time() - processors
    np.savez(
        target,
        boxes=np.asarray(boxes, np.float64),
        scores=np.asarray(scores, np.float32),
        load_s=loaded - start,
        predict_s=ended - loaded,
        processor_s=processors,
        peak_bytes=peak_bytes(),
        version=version(name),
    )


def main() -> None:
    """Run what the command line says."""
    warnings.simplefilter("ignore")
    name, task_file, target = sys.argv[1:]
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    if name == "merge_with_sahi":
        Path(target).write_text(json.dumps(merge_with_sahi(task)), encoding="utf-8")
    else:
        _measure(name, task, Path(target))


if __name__ == "__main__":
    main()
