"""Export of one detector by its own program, started by ``benchmarks.exchange.layouts``.

    PYTHON exports.py NAME picture.npy FOLDER

It writes ``NAME.onnx`` and ``NAME.npz``: the boxes, scores and labels that the program itself makes
of the outputs of ONNX Runtime for the picture. It does not import geodetect, so that it works in
any virtual environment with the program.

Weights are random, but such that scores differ: batch norms have the statistics of the picture, and
the last layers are wide. Non-maximum suppression is left out where it is no part of the graph.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

SIDE_PX, CLASSES, OPSET = 320, 3, 17
MIN_SCORE = 1e-4
ALL = 100_000  # boxes
HEAD_STD = 0.15  # of the weights of last layers
HEAD_BIAS = (-5.0, -2.0)  # of logits
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FIXED_SIZE = {"min_size": SIDE_PX, "max_size": SIDE_PX}  # torchvision enlarges pictures to 800 px

Found = dict[str, Any]  # boxes [N, 4] x1, y1, x2, y2 or [N, 4, 2] corners in pixels; scores; labels


def ultralytics(file: Path, picture: torch.Tensor, architecture: str, **options: Any) -> Found:
    """Export and decode by Ultralytics."""
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(file.parent)}
    from ultralytics import YOLO
    from ultralytics.utils import ops
    from ultralytics.utils.nms import non_max_suppression

    program = YOLO(f"{architecture}.yaml")
    spread(program.model, picture)
    for name, parameter in program.model.named_parameters():
        if "model.2" in name and any(branch in name for branch in ("cv2.", "cv3.", "cv4.")):
            spread_head(name, parameter, is_class="cv3" in name)
    written = program.export(format="onnx", imgsz=SIDE_PX, opset=OPSET, simplify=False, **options)
    Path(written).replace(file)
    (output,) = run_onnx(file, picture)
    is_oriented = architecture.endswith("obb")
    rows = non_max_suppression(
        output,
        MIN_SCORE,
        1.0,
        agnostic=True,  # else boxes are moved by thousands of pixels, and rounded
        max_det=ALL,
        max_nms=ALL,
        nc=len(program.names),
        rotated=is_oriented,
        end2end=output.shape[1] > output.shape[2],
    )[0]
    boxes = rows[:, :4]
    if is_oriented:
        boxes = ops.xywhr2xyxyxyxy(torch.cat([boxes, rows[:, 6:7]], 1))
    return {"boxes": boxes, "scores": rows[:, 4], "labels": rows[:, 5]}


def ultralytics_rtdetr(file: Path, picture: torch.Tensor) -> Found:
    """Export by Ultralytics, and decode as its ``RTDETRPredictor.postprocess``."""
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(file.parent)}
    from ultralytics import RTDETR
    from ultralytics.utils import ops

    program = RTDETR("rtdetr-resnet50.yaml")
    spread(program.model, picture)
    Path(program.export(format="onnx", imgsz=SIDE_PX, opset=OPSET, simplify=False)).replace(file)
    ((output,),) = run_onnx(file, picture)
    boxes = ops.xywh2xyxy(output[:, :4]) * SIDE_PX
    return {"boxes": boxes, "scores": output[:, 4], "labels": output[:, 5]}


def yolov5(file: Path, picture: torch.Tensor) -> Found:
    """Export and decode by YOLOv5."""
    import yolov5 as program
    from yolov5.models.yolo import Model
    from yolov5.utils.general import non_max_suppression

    network = Model(Path(program.__file__).with_name("models") / "yolov5n.yaml", nc=CLASSES).eval()
    spread(network, picture)
    head = network.model[-1]
    head.inplace, head.dynamic, head.export = False, False, True
    for layer in head.m:
        layer.weight.data.normal_(0, HEAD_STD)
        layer.bias.data.uniform_(-2, 1)
    export(network, (picture,), file)
    (output, *_) = run_onnx(file, picture)
    rows = non_max_suppression(output, MIN_SCORE, 1.0, agnostic=True, max_det=ALL)[0]
    return {"boxes": rows[:, :4], "scores": rows[:, 4], "labels": rows[:, 5]}


def torchvision(
    file: Path, picture: torch.Tensor, architecture: str, *, head_std: float, **options: Any
) -> Found:
    """Export by PyTorch, and decode by the network of torchvision itself."""
    from torchvision.models import detection

    network = getattr(detection, architecture)(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, **options
    ).eval()
    spread(network, picture, as_list=True)
    for name, parameter in network.named_parameters():
        if "head" in name and parameter.ndim == 4:
            parameter.data.normal_(0, head_std)
    export(network, ([picture[0]],), file)
    (found,) = network([picture[0]])
    return found


def transformers(file: Path, picture: torch.Tensor, architecture: str) -> Found:
    """Export by PyTorch, and decode by ``RTDetrImageProcessor`` of Hugging Face."""
    import transformers as program
    from transformers.models.rt_detr.image_processing_rt_detr import RTDetrImageProcessor

    config = getattr(program, f"{architecture}Config")(num_labels=CLASSES)
    network = getattr(program, f"{architecture}ForObjectDetection")(config).eval()
    spread(network, picture)

    class Tensors(nn.Module):
        """Network with a tuple as its output."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            outputs = self.network(pixel_values=pixel_values)
            return outputs.logits, outputs.pred_boxes

    export(Tensors().eval(), (picture,), file, output_names=["logits", "pred_boxes"])
    logits, boxes = run_onnx(file, picture)
    (found,) = RTDetrImageProcessor().post_process_object_detection(
        SimpleNamespace(logits=logits, pred_boxes=boxes), MIN_SCORE, [(SIDE_PX, SIDE_PX)]
    )
    return found


def rf_detr(file: Path, picture: torch.Tensor) -> Found:
    """Export and decode by RF-DETR, whose last class stands for no object."""
    from rfdetr import RFDETRNano

    program = RFDETRNano(pretrain_weights=None, num_classes=CLASSES)
    for name, parameter in program.model.model.named_parameters():
        if "class_embed" in name:
            parameter.data.normal_(0, HEAD_STD)
    size = {"shape": (SIDE_PX, SIDE_PX), "opset_version": OPSET}
    Path(program.export(output_dir=str(file.parent / file.stem), **size)).replace(file)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    boxes, logits = run_onnx(file, (picture - mean) / std)
    (found,) = program.model.postprocess(
        {"pred_logits": logits, "pred_boxes": boxes}, torch.tensor([[SIDE_PX, SIDE_PX]])
    )
    is_object = found["labels"] < CLASSES
    return {key: found[key][is_object] for key in ("boxes", "scores", "labels")}


# Ultralytics exports its networks without NMS as such if `nms` is stated to be false
EXPORTS: dict[str, tuple[str, Callable[..., Found], dict[str, Any]]] = {  # package, function
    "yolov5n": ("yolov5", yolov5, {}),
    "yolov8n": ("ultralytics", ultralytics, {"architecture": "yolov8n"}),
    "yolo11n": ("ultralytics", ultralytics, {"architecture": "yolo11n", "dynamic": True}),
    "yolo11n-nms": ("ultralytics", ultralytics, {"architecture": "yolo11n", "nms": True}),
    "yolo11n-obb": ("ultralytics", ultralytics, {"architecture": "yolo11n-obb"}),
    "yolov10n": ("ultralytics", ultralytics, {"architecture": "yolov10n", "nms": False}),
    "yolo26n": ("ultralytics", ultralytics, {"architecture": "yolo26n", "nms": False}),
    "yolo26n-obb": ("ultralytics", ultralytics, {"architecture": "yolo26n-obb", "nms": False}),
    "rtdetr-resnet50": ("ultralytics", ultralytics_rtdetr, {}),
    "rtdetr": ("transformers", transformers, {"architecture": "RTDetr"}),
    "dfine": ("transformers", transformers, {"architecture": "DFine"}),
    "rfdetr-nano": ("rfdetr", rf_detr, {}),
    "retinanet": (
        "torchvision",
        torchvision,
        {"architecture": "retinanet_resnet50_fpn", "head_std": 0.02, **FIXED_SIZE},
    ),
    "fcos": (
        "torchvision",
        torchvision,
        {"architecture": "fcos_resnet50_fpn", "head_std": 0.02, **FIXED_SIZE},
    ),
    "ssdlite": (
        "torchvision",
        torchvision,
        {"architecture": "ssdlite320_mobilenet_v3_large", "head_std": 0.15, "score_thresh": 0.3},
    ),
}


def spread(network: nn.Module, picture: torch.Tensor, *, as_list: bool = False) -> None:
    """Give random weights such that outputs differ: batch norms get the picture's statistics."""
    for parameter in network.parameters():
        if parameter.ndim == 4 and parameter.requires_grad:  # others are constants
            nn.init.kaiming_normal_(parameter)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    pair = torch.cat([picture, picture.flip(3)])  # of a cell alone there is no deviation
    network(list(pair) if as_list else pair)
    for norm in norms:
        norm.eval()


def spread_head(name: str, parameter: nn.Parameter, *, is_class: bool) -> None:
    """Give random values to a parameter if it is of the last layer of a branch of YOLO."""
    if name.endswith(".2.weight"):
        parameter.data.normal_(0, HEAD_STD)
    elif is_class and name.endswith(".2.bias"):
        parameter.data.uniform_(*HEAD_BIAS)


def export(network: nn.Module, inputs: tuple[Any, ...], file: Path, **options: Any) -> None:
    """Write a network as an ONNX file by PyTorch."""
    options |= {"opset_version": OPSET, "dynamo": False, "input_names": ["images"]}
    torch.onnx.export(network, inputs, str(file), **options)


def run_onnx(file: Path, picture: torch.Tensor) -> list[torch.Tensor]:
    """Return the outputs of ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: picture.numpy()})
    return [torch.from_numpy(np.asarray(output)) for output in outputs]


if __name__ == "__main__":
    name, picture_file, folder = sys.argv[1:]
    pixels = torch.from_numpy(np.load(picture_file))[None] / 255
    target = Path(folder).resolve() / f"{name}.onnx"
    torch.manual_seed(3)
    torch.set_grad_enabled(False)
    package, function, settings = EXPORTS[name]
    with TemporaryDirectory(dir=folder) as scratch:  # programs name their files themselves
        os.chdir(scratch)
        results = function(target, pixels, **settings)
        os.chdir(target.parent)
    np.savez(
        target.with_suffix(".npz"),
        program=f"{package} {version(package)}",
        boxes=np.asarray(results["boxes"]),
        scores=np.asarray(results["scores"]),
        labels=np.asarray(results["labels"]),
    )
