"""Weights of torchvision and DeepForest as model files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from torchvision.models.detection import RetinaNet_ResNet50_FPN_Weights

from geodetect.errors import InputError, ModelFileError, OutputError
from geodetect.model.card import ModelCard, TrainingRecord
from geodetect.model.checkpoints.state_dict import Checkpoint, read_checkpoint
from geodetect.model.checkpoints.torchvision import StockNetwork, configure, recognise, translate
from geodetect.model.file import check_target, write_model_file
from geodetect.model.network.presets import PAPER_ANCHORS_PX

NO_CLASS = ("__background__", "N/A")  # in torchvision's list of COCO's categories
COCO_OUTPUTS = 91
RESIZE_PX = 800  # torchvision's and DeepForest's ``min_size``
NORM_EPS = 1e-5
COCO_NORM_EPS = 0.0  # torchvision sets it for its weights of version 1


@dataclass(frozen=True)
class Habits:
    """How a program uses its models, where the user does not say otherwise.

    Args:
        program: Its name.
        tile_px: Side of its tiles.
        conf: Least score of a detection.
        iou: Overlap from which two boxes of a tile are the same object.
    """

    program: str
    tile_px: int
    conf: float
    iou: float


TORCHVISION = Habits("torchvision", tile_px=512, conf=0.05, iou=0.5)  # RetinaNet.__init__
DEEPFOREST = Habits("DeepForest", tile_px=400, conf=0.1, iou=0.05)  # conf/config.yaml


def convert(
    weights: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    gsd_m: float | None = None,
    name: str | None = None,
    tile_px: int | None = None,
    resize_px: int | None = RESIZE_PX,
    norm_eps: float | None = None,
    anchors_px: Sequence[float] = PAPER_ANCHORS_PX,
    overwrite: bool = False,
) -> ModelCard:
    """Write a RetinaNet of torchvision or DeepForest as a model file with equal outputs.

    Args:
        weights: State dict or training checkpoint (``.pt .pth .pl .ckpt .bin``) or
            ``.safetensors``; no code in it is run.
        output: Model file to write, ``.safetensors``.
        classes: Class names; None: those of the checkpoint, or COCO's for a head of 91 outputs.
            One name less than outputs: the first output is background, torchvision's convention.
        gsd_m: Ground size of a pixel the model was trained at, in metres; None: unknown.
        name: Of the model; None: the output's.
        tile_px: Side of the tiles; None: as the program it comes from.
        resize_px: Side that tiles are enlarged to before they enter the network; None: as read.
        norm_eps: Added to the variances of the trunk's batch norms; None: as the program it
            comes from.
        anchors_px: Smallest anchor size of each of the five levels, in input pixels.
        overwrite: Replace ``output`` if it exists.

    Returns:
        The card of the model.

    Raises:
        ModelFileError: The weights cannot be read or are of another kind.
        InputError: The class names do not fit.
        OutputError: The model cannot be written.
    """
    source, target = Path(weights).expanduser(), Path(output)
    if target.resolve() == source.resolve():
        raise OutputError(f"{target}: the weights to convert; choose another --output")
    check_target(target, overwrite=overwrite)
    for option, value in (("--tile-size", tile_px), ("--resize", resize_px)):
        if value is not None and value < 1:
            raise InputError(f"{option} must be at least 1 px, found {value}")
    checkpoint = read_checkpoint(source)
    stock = recognise(checkpoint.tensors, checkpoint.path)
    habits = _habits(stock, checkpoint.values)
    names, outputs = _classes(stock, classes or _labels(checkpoint.values), checkpoint.path)
    eps = _norm_eps(stock, checkpoint.values) if norm_eps is None else norm_eps
    config = configure(stock, checkpoint.path, norm_eps=eps, anchors_px=anchors_px)
    state = translate(stock, config, outputs, checkpoint.path)
    side_px = tile_px or habits.tile_px
    kind = f"{habits.program} RetinaNet" + (f" v{stock.version}" if habits is TORCHVISION else "")
    card = ModelCard(
        name=name or target.stem,
        description=f"{kind}, converted.",
        classes=names,
        gsd_m=gsd_m,
        tile_px=side_px,
        input_scale=(resize_px or side_px) / side_px,
        conf=habits.conf,
        iou=habits.iou,
        network=config,
        training=_record(checkpoint, kind),
    )
    write_model_file(target, card, {key: value.numpy() for key, value in state.items()})
    return card


def _habits(stock: StockNetwork, values: Mapping[str, Any]) -> Habits:
    """DeepForest counts classes from 0 and has no background: one output is none of torchvision."""
    is_deepforest = stock.version == 1 and (_label_dict(values) or stock.outputs == 1)
    if not is_deepforest:
        return TORCHVISION
    config = _deepforest_config(values)
    side, conf, iou = (config.get(key) for key in ("patch_size", "score_thresh", "nms_thresh"))
    return Habits(
        DEEPFOREST.program,
        tile_px=side if isinstance(side, int) and side > 0 else DEEPFOREST.tile_px,
        conf=conf if _is_share(conf) else DEEPFOREST.conf,
        iou=iou if _is_share(iou) else DEEPFOREST.iou,
    )


def _deepforest_config(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings that DeepForest keeps in its Lightning checkpoints, from version 2 on."""
    return _mapping(_mapping(values.get("hyper_parameters")).get("config"))


def _label_dict(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """DeepForest's class names and their numbers; its first versions kept them with settings."""
    settings = _mapping(values.get("hyper_parameters"))
    return _mapping(values.get("label_dict")) or _mapping(settings.get("label_dict"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_share(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 < value <= 1


def _labels(values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Class names in the order of their numbers."""
    labels = _label_dict(values)
    numbers = list(labels.values())
    if not all(number in numbers for number in range(len(labels))):
        return None
    return tuple(str(name) for name in sorted(labels, key=labels.__getitem__)) or None


def _classes(
    stock: StockNetwork, names: Sequence[str] | None, source: Path
) -> tuple[tuple[str, ...], list[int]]:
    """Class names, and the outputs they belong to."""
    count = stock.outputs
    if names is None and count == COCO_OUTPUTS:
        categories = RetinaNet_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
        outputs = [i for i, name in enumerate(categories) if name not in NO_CLASS]
        return tuple(categories[i] for i in outputs), outputs
    if names is None and count == 1:
        return ("object",), [0]
    if names is not None and len(names) in (count, count - 1):
        return tuple(names), list(range(count - len(names), count))
    given = "no names" if names is None else f"{len(names)} names ({', '.join(names)})"
    raise InputError(
        f"{source}: its head has {count} outputs, found {given}; name them with --classes: "
        f"{count - 1} names if the first output is background (torchvision), else {count}"
    )


def _norm_eps(stock: StockNetwork, values: Mapping[str, Any]) -> float:
    """What the program would use that wrote the weights; the weights do not say.

    torchvision sets 0 for its COCO weights of version 1 (``overwrite_eps``), and so does
    DeepForest where a model was started from these (``model.name`` is null).
    """
    model = _deepforest_config(values).get("model")
    from_coco = isinstance(model, Mapping) and model.get("name", "") is None
    is_coco = stock.outputs == COCO_OUTPUTS and stock.trunk_was_frozen
    return COCO_NORM_EPS if stock.version == 1 and (from_coco or is_coco) else NORM_EPS


def _record(checkpoint: Checkpoint, kind: str) -> TrainingRecord:
    try:
        digest = hashlib.sha256(checkpoint.path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"{checkpoint.path}: cannot be read ({error})") from error
    return TrainingRecord(
        initial_weights=f"{kind} from {checkpoint.path.name}",
        settings={"converted_sha256": digest},
    )
