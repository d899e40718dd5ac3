"""Run of one program on one raster, started by ``benchmarks.peers.programs``.

    PYTHON worker.py deepforest task.json result.npz

It imports geodetect only if geodetect is the program to run, so that it works in any virtual
environment with the program. Only public interfaces of the programs are called. Time is measured
from the opening of the model to the boxes of the whole raster, without imports.
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
Predictions = tuple[np.ndarray, np.ndarray]  # boxes float[N, 4] in pixel edges, scores float[N]
Program = tuple[Callable[[], Any], Callable[[Any], Predictions]]  # load a model, predict with it

BACKBONE = "resnet50-0676ba61.pth"  # torchvision's name for its file of ImageNet weights
KIB = 1024


def deepforest(task: Task) -> Program:
    """Return DeepForest's ``predict_tile`` with its default strategy."""
    import torch
    from deepforest import main
    from deepforest.models.retinanet import RetinaNetHub
    from torchvision.models import resnet50

    # it loads a pretrained backbone before it takes the weights; an existing file is not downloaded
    backbone = Path(os.environ["TORCH_HOME"], "hub/checkpoints", BACKBONE)
    if not backbone.exists():
        backbone.parent.mkdir(parents=True, exist_ok=True)
        torch.save(resnet50(weights=None).state_dict(), backbone)
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

    def predict(program: Any) -> Predictions:
        table = program.predict_tile(
            path=task["raster"],
            patch_size=task["tile_px"],
            patch_overlap=task["overlap"],
            iou_threshold=task["iou"],
        )
        return table[["xmin", "ymin", "xmax", "ymax"]].to_numpy(), table["score"].to_numpy()

    return load, predict


def sahi(task: Task) -> Program:
    """Return SAHI's sliced prediction, without its further pass over the whole shrunk image.

    With a file of a YOLO network it runs in Ultralytics, else with the weights of torchvision's.
    """
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    if "yolo" in task:
        import ultralytics  # noqa: F401  SAHI imports it on first use: not measured

    def load() -> Any:
        if "yolo" in task:
            network = {"model_type": "ultralytics", "model_path": task["yolo"]}
        else:
            network = {"model_type": "torchvision", "model": _torchvision_network(task)}
        return AutoDetectionModel.from_pretrained(
            **network, confidence_threshold=task["conf"], device="cpu"
        )

    def predict(model: Any) -> Predictions:
        objects = get_sliced_prediction(
            task["raster"],
            model,
            slice_height=task["tile_px"],
            slice_width=task["tile_px"],
            overlap_height_ratio=task["overlap"],
            overlap_width_ratio=task["overlap"],
            perform_standard_pred=False,
            postprocess_match_threshold=task["iou"],
            verbose=0,
            **task.get("merging", {}),
        ).object_prediction_list
        boxes = np.array([item.bbox.to_xyxy() for item in objects]).reshape(-1, 4)
        return boxes, np.array([item.score.value for item in objects])

    return load, predict


def _torchvision_network(task: Task) -> Any:
    """Return torchvision's RetinaNet with the weights of a task."""
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


def ultralytics(task: Task) -> Program:
    """Return Ultralytics' prediction tile by tile, and non-maximum suppression of all boxes.

    It has no tiles of its own: they lie as those of GeoDeep and SAHI.
    """
    import rasterio
    import torch
    from rasterio.windows import Window
    from torchvision.ops import nms
    from ultralytics import YOLO

    side = task["tile_px"]

    def starts(length: int) -> list[int]:
        """Return the starts of tiles along an axis, the last one at its end."""
        return [*range(0, length - side, side - int(side * task["overlap"])), length - side]

    def predict(model: Any) -> Predictions:
        rows = [np.empty((0, 6), np.float32)]
        with rasterio.open(task["raster"]) as raster:
            for y in starts(raster.height):
                for x in starts(raster.width):
                    red_first = raster.read(window=Window(x, y, side, side))
                    image = np.ascontiguousarray(red_first[::-1].transpose(1, 2, 0))
                    (result,) = model.predict(
                        image, imgsz=side, conf=task["conf"], iou=task["iou"], verbose=False
                    )
                    shift = np.array([x, y, x, y, 0, 0], np.float32)
                    rows.append(result.boxes.data.cpu().numpy() + shift)
        boxes, scores = np.split(np.concatenate(rows)[:, :5], [4], axis=1)
        selected = nms(torch.from_numpy(boxes), torch.from_numpy(scores[:, 0]), task["iou"])
        return boxes[selected.numpy()], scores[selected.numpy(), 0]

    return lambda: YOLO(task["yolo"], task="detect"), predict


def geodeep(task: Task) -> Program:
    """Return GeoDeep, which opens the model and predicts in one call."""
    import geodeep as program

    def predict(_: Any) -> Predictions:
        rows = program.detect(task["raster"], task["onnx"], "raw", conf_threshold=task["conf"])
        return rows[:, :4], rows[:, 4]

    return lambda: None, predict


def geodetect(task: Task) -> Program:
    """Return ``geodetect.predict`` with a model file, or the built-in model with its defaults."""
    import rasterio

    from geodetect import PredictSettings
    from geodetect import predict as predict_rasters  # geodetect imports by need: now, not later
    from geodetect.detection.detectors.load import load_detector

    thresholds = {key: task[key] for key in ("conf", "iou") if key in task}
    tiles = {"tile_size": task["tile_px"], "overlap": task["overlap"]} if "tile_px" in task else {}
    runtime = {key: task[key] for key in ("runtime", "precision") if key in task}

    def load() -> Any:
        outlines = task.get("outlines", False)
        return load_detector(
            task["model"], device="cpu", outlines=outlines, **thresholds, **runtime
        )

    def predict(detector: Any) -> Predictions:
        settings = PredictSettings(**thresholds, **tiles)
        table = predict_rasters(task["raster"], detector, settings=settings)
        with rasterio.open(task["raster"]) as raster:
            to_px = ~raster.transform
        x1, y1, x2, y2 = table.geometry.bounds.to_numpy().T
        left, top = to_px * (x1, y2)
        right, bottom = to_px * (x2, y1)
        return np.stack([left, top, right, bottom], axis=1), table["score"].to_numpy()

    return load, predict


PROGRAMS: dict[str, Callable[[Task], Program]] = {
    "deepforest": deepforest,
    "sahi": sahi,
    "geodeep": geodeep,
    "ultralytics": ultralytics,
    "geodetect": geodetect,
}


def sahi_nms(task: Task) -> dict[str, float]:
    """Run SAHI's non-maximum suppression on the boxes in the file ``task["detections"]``.

    The time does not count the making of SAHI's objects.
    """
    from sahi.postprocess.combine import NMSPostprocess
    from sahi.prediction import ObjectPrediction

    detections = np.load(task["detections"])
    predictions = [
        ObjectPrediction(bbox=list(box), category_id=0, category_name="object", score=float(score))
        for box, score in zip(detections["boxes"].tolist(), detections["scores"], strict=True)
    ]
    nms = NMSPostprocess(match_threshold=task["iou"], match_metric="IOU", class_agnostic=False)
    before, start, start_cpu = peak_bytes(), time.perf_counter(), time.process_time()
    objects = nms(predictions)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_s": time.process_time() - start_cpu,
        "peak": peak_bytes(),
        "before": before,
        "objects": len(objects),
    }


def peak_bytes() -> int:
    """Return the largest resident set of this process, without that of its parent."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else KIB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) * KIB


def _measure(name: str, task: Task, target: Path) -> None:
    load, predict = PROGRAMS[name](task)
    start, start_cpu = time.perf_counter(), time.process_time()
    boxes, scores = predict(load())
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    np.savez(
        target,
        boxes=np.asarray(boxes, np.float64),
        scores=np.asarray(scores, np.float32),
        seconds=seconds,
        cpu_s=cpu_s,
        peak_bytes=peak_bytes(),
        version=version(name),
    )


def main() -> None:
    """Run the program and task of the command line."""
    warnings.simplefilter("ignore")
    name, task_file, target = sys.argv[1:]
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    if name == "sahi_nms":
        Path(target).write_text(json.dumps(sahi_nms(task)), encoding="utf-8")
    else:
        _measure(name, task, Path(target))


if __name__ == "__main__":
    main()
