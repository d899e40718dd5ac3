"""Detectors of model files: RetinaNets, and networks imported from ONNX."""

from __future__ import annotations

import os

from geodetect.detection.detectors.imported_detector import ImportedDetector
from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.errors import OutOfMemoryError, error_text
from geodetect.hardware.memory import is_out_of_memory
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights, checksum, read_model_file
from geodetect.model.runtimes.open import open_runtime


def load_detector(
    model: str | os.PathLike[str],
    *,
    device: str = "auto",
    conf: float | None = None,
    iou: float | None = None,
    runtime: str = "auto",
    precision: str = "auto",
    outlines: bool = False,
) -> RetinaNetDetector | ImportedDetector:
    """Return the detector of a model.

    Args:
        model: Name of a built-in model or path of a model file.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``.
        conf: Score threshold; None: the card's.
        iou: Overlap (IoU) of duplicates; None: the card's.
        runtime: ``auto``, ``torch``, ``openvino``, ``onnx``: see ``open_runtime``.
        precision: ``auto``, ``fp32``, ``bf16``, ``fp16``, ``int8``.
        outlines: Return outlines, if the model has an outline head or oriented boxes.

    Raises:
        ModelFileError: There is no such model or its file is damaged.
        InputError: There is no such device, or not for this runtime and precision.
        MissingDependencyError: The runtime is not installed.
        OutOfMemoryError: There is too little memory for the network.
    """
    try:
        card, weights = read_model_file(model)
        return make_detector(
            card,
            weights,
            device=device,
            conf=conf,
            iou=iou,
            identity=checksum(model),
            runtime=runtime,
            precision=precision,
            outlines=outlines,
        )
    except (MemoryError, RuntimeError, ImportError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"model {os.fspath(model)}: too little memory to load it "
            f"({error_text(error)}); close other programs, "
            f"or choose a smaller `model` or another `runtime`"
        ) from error


def make_detector(
    card: ModelCard,
    weights: Weights,
    *,
    device: str = "auto",
    conf: float | None = None,
    iou: float | None = None,
    identity: str = "",
    runtime: str = "auto",
    precision: str = "auto",
    outlines: bool = False,
) -> RetinaNetDetector | ImportedDetector:
    """Return the detector of a model that has been read; see ``load_detector``.

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        device: See ``load_detector``, as all that follow.
        conf: Score threshold.
        iou: Overlap (IoU) of duplicates.
        identity: Text that changes with the model file.
        runtime: Library that runs the network.
        precision: Number format.
        outlines: Return outlines.

    Raises:
        InputError: There is no such device, or not for this runtime and precision.
        MissingDependencyError: The runtime is not installed.
        ModelFileError: The network cannot be read.
    """
    if card.imported is not None:
        return ImportedDetector(
            card,
            weights,
            conf=conf,
            iou=iou,
            identity=identity,
            runtime=runtime,
            precision=precision,
            device=device,
            outlines=outlines,
        )
    has_head = card.network is not None and card.network.outline is not None
    opened = open_runtime(
        card,
        weights,
        runtime=runtime,
        precision=precision,
        device=device,
        outlines=outlines and has_head,
    )
    identity = f"{identity} {opened.identity}{' outlines' if opened.has_outlines else ''}"
    return RetinaNetDetector(opened, conf=conf, iou=iou, identity=identity)
