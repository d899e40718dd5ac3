"""Conversion of models of other programs to model files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from geodetect.errors import InputError
from geodetect.hardware.torch_library import require_torch
from geodetect.io.inputs import protect_inputs
from geodetect.model.card import ModelCard
from geodetect.model.file import check_target
from geodetect.model.foreign_files import check_weights
from geodetect.model.onnx_import.onnx_file import is_onnx_file
from geodetect.settings import ConvertSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import ConvertKeywords
from geodetect.types import PathLike

ONNX_SETTINGS = ("layout", "scaling", "mean", "std", "channels", "box_unit")


@takes_settings(ConvertSettings)
def convert(
    weights: PathLike,
    output: PathLike,
    *,
    settings: ConvertSettings | Mapping[str, Any] | None = None,
    overwrite: bool = False,
    **keywords: Unpack[ConvertKeywords],
) -> ModelCard:
    """Convert a model of another program to a model file with equal outputs.

    An ONNX file may be any detector whose outputs are recognised, or named as ``layout``: YOLO,
    YOLOX, NanoDet, RT-DETR and others. Other weights are RetinaNets of torchvision or DeepForest,
    and need PyTorch. A model file of an older version gets its network in OpenVINO's form, which
    runs without PyTorch; card and parameters stay as they are.

    Args:
        weights: ONNX file; or state dict or training checkpoint (``.pt .pth .pl .ckpt .bin``) or
            ``.safetensors``; no code in it is run.
        output: Model file to write, ``.safetensors``.
        settings: See ``ConvertSettings``.
        overwrite: Replace ``output`` if it exists.
        keywords: Settings by name, such as ``gsd=0.1``; they win over ``settings``.

    Returns:
        The card of the model.

    Raises:
        ModelFileError: The weights cannot be read, or are of no model that is recognised.
        InputError: The class names, sizes, anchors or the layout do not fit.
        MissingDependencyError: The weights need PyTorch, which is not installed.
        OutputError: The model cannot be written.
    """
    settings = ConvertSettings.resolve(settings, keywords)
    source, target = Path(weights).expanduser(), Path(output)
    with protect_inputs(source):
        check_target(target, overwrite=overwrite)
    if is_onnx_file(source):
        from geodetect.model.onnx_import.convert import convert_onnx

        return convert_onnx(source, target, settings)
    only_onnx = [name for name in ONNX_SETTINGS if getattr(settings, name) is not None]
    if only_onnx:
        raise InputError(
            f"{source}: `{only_onnx[0]}`: only for ONNX files; leave it out for a checkpoint"
        )
    check_weights(source)
    require_torch("converting weights")  # ONNX files do without
    from geodetect.model.checkpoints.convert import convert_checkpoint

    return convert_checkpoint(source, target, settings)
