"""Conversion of weights of torchvision and DeepForest, and of older model files, to model files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from torchvision.models.detection import RetinaNet_ResNet50_FPN_Weights

from geodetect.errors import InputError, ModelFileError, list_names
from geodetect.model.card import ModelCard, TrainingRecord, new_card
from geodetect.model.checkpoints.state_dict import read_checkpoint
from geodetect.model.checkpoints.torchvision import TorchvisionRetinaNet
from geodetect.model.file import is_model_file, read_model_file, write_model_file
from geodetect.model.runtimes.conversion import add_networks
from geodetect.progress import phase
from geodetect.settings import ConvertSettings

UNUSED_CATEGORIES = ("__background__", "N/A")  # in torchvision's list of COCO's categories
COCO_OUTPUTS = 91
NORM_EPS = 1e-5
COCO_NORM_EPS = 0.0  # torchvision sets it for its weights of version 1


@dataclass(frozen=True)
class ProgramDefaults:
    """Defaults of the program that wrote the weights.

    Args:
        program: Name of the program.
        tile_px: Side of its tiles.
        conf: Score threshold.
        iou: IoU threshold of its non-maximum suppression.
    """

    program: str
    tile_px: int
    conf: float
    iou: float


TORCHVISION = ProgramDefaults("torchvision", tile_px=512, conf=0.05, iou=0.5)  # RetinaNet.__init__
DEEPFOREST = ProgramDefaults("DeepForest", tile_px=400, conf=0.1, iou=0.05)  # conf/config.yaml


@phase("Converting the weights")
def convert_checkpoint(source: Path, target: Path, settings: ConvertSettings) -> ModelCard:
    """Convert a RetinaNet of torchvision or DeepForest to a model file with equal outputs.

    A model file of an older version gets its network in OpenVINO's form, which runs without
    PyTorch; card and parameters stay as they are.

    Args:
        source: State dict or training checkpoint (``.pt .pth .pl .ckpt .bin``) or
            ``.safetensors``; no code in it is run.
        target: Model file to write; a file of its name is replaced.
        settings: See ``ConvertSettings``.

    Returns:
        The card of the model.

    Raises:
        ModelFileError: The weights cannot be read or are not a RetinaNet of torchvision.
        InputError: The class names, sizes or anchors do not fit.
        OutputError: The model cannot be written.
    """
    if is_model_file(source):
        return _update_model_file(source, target, settings)
    checkpoint = read_checkpoint(source)
    retinanet = TorchvisionRetinaNet.from_state_dict(checkpoint.tensors, source)
    # DeepForest's checkpoints: Lightning's hyper_parameters hold its settings since version 2, and
    # held the class numbers by name in its first versions
    values = checkpoint.values
    stored = _as_mapping(values.get("hyper_parameters"))
    config = _as_mapping(stored.get("config"))
    labels = _as_mapping(values.get("label_dict")) or _as_mapping(stored.get("label_dict"))
    defaults = _program_defaults(retinanet, config, labels)
    names = settings.classes or None
    if not names and labels and all(i in labels.values() for i in range(len(labels))):
        names = tuple(str(name) for name in sorted(labels, key=labels.__getitem__))
    names, outputs = _class_outputs(retinanet, names)
    norm_eps = settings.norm_eps
    if norm_eps is None:
        norm_eps = _default_norm_eps(retinanet, config)
    network = retinanet.architecture(norm_eps=norm_eps, anchor_sizes=settings.anchor_sizes)
    parameters = retinanet.convert_parameters(network, outputs)
    tile_px = settings.tile_size or defaults.tile_px
    try:
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"{source}: cannot be read ({error})") from error
    kind = f"{defaults.program} RetinaNet"
    if defaults is TORCHVISION:
        kind += f" v{retinanet.version}"
    card = new_card(
        name=settings.name or target.stem,
        description=f"{kind}, converted.",
        classes=names,
        gsd_m=settings.gsd,
        tile_px=tile_px,
        input_scale=1.0 if settings.no_resize else settings.resize / tile_px,
        conf=defaults.conf,
        iou=defaults.iou,
        network=network,
        training=TrainingRecord(
            initial_weights=f"{kind} from {source.name}", settings={"converted_sha256": digest}
        ),
    )
    arrays = {key: value.numpy() for key, value in parameters.items()}
    write_model_file(target, card, add_networks(card, arrays))
    return card


def _update_model_file(source: Path, target: Path, settings: ConvertSettings) -> ModelCard:
    if settings != ConvertSettings():
        raise InputError(
            f"{source}: is a model file, whose card states classes and sizes already; expected no "
            f"setting, or weights of torchvision or DeepForest"
        )
    card, arrays = read_model_file(source)
    if card.imported is not None:
        raise InputError(f"{source}: was converted from ONNX already; nothing is left to convert")
    write_model_file(target, card, add_networks(card, arrays))
    return card


def _program_defaults(
    retinanet: TorchvisionRetinaNet, config: Mapping[str, Any], labels: Mapping[str, Any]
) -> ProgramDefaults:
    """Return the defaults of the program that wrote a checkpoint.

    DeepForest numbers classes from 0 and has no background; torchvision has two outputs or more.
    """
    if retinanet.version != 1 or not (labels or retinanet.outputs == 1):
        return TORCHVISION
    side, conf, iou = (config.get(key) for key in ("patch_size", "score_thresh", "nms_thresh"))
    return ProgramDefaults(
        DEEPFOREST.program,
        tile_px=side if isinstance(side, int) and side > 0 else DEEPFOREST.tile_px,
        conf=conf if _is_fraction(conf) else DEEPFOREST.conf,
        iou=iou if _is_fraction(iou) else DEEPFOREST.iou,
    )


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_fraction(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 < value <= 1


def _class_outputs(
    retinanet: TorchvisionRetinaNet, names: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int]]:
    """Return the names of the classes and the number of each in the outputs of the head."""
    count = retinanet.outputs
    if names is None and count == COCO_OUTPUTS:
        categories = RetinaNet_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
        outputs = [i for i, name in enumerate(categories) if name not in UNUSED_CATEGORIES]
        return tuple(categories[i] for i in outputs), outputs
    if names is None and count == 1:
        return ("object",), [0]
    if names is not None and len(names) in (count, count - 1):
        return tuple(names), list(range(count - len(names), count))
    listed = "no names" if names is None else f"{len(names)} names ({list_names(names)})"
    raise InputError(
        f"{retinanet.source}: its head has {count} outputs, found {listed}; name them with "
        f"`classes`: {count - 1} names if the first output is background (torchvision), else "
        f"{count}"
    )


def _default_norm_eps(retinanet: TorchvisionRetinaNet, config: Mapping[str, Any]) -> float:
    """Return the constant of the batch norms that the program uses; no file of weights states it.

    torchvision sets 0 for its COCO weights of version 1 (``overwrite_eps``), and so does
    DeepForest where a model was started from these (``model.name`` is null).
    """
    model = config.get("model")
    started_from_coco = isinstance(model, Mapping) and model.get("name", "") is None
    is_coco = retinanet.outputs == COCO_OUTPUTS and retinanet.has_frozen_norms
    has_coco_eps = retinanet.version == 1 and (started_from_coco or is_coco)
    return COCO_NORM_EPS if has_coco_eps else NORM_EPS
