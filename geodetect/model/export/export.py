"""Export of a model file for another program."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Unpack

from geodetect.errors import InputError, MissingDependencyError, OutputError
from geodetect.hardware.torch_library import require_torch
from geodetect.io.atomic import check_folder, check_overwrite, final_path, write_atomically
from geodetect.io.inputs import protect_inputs
from geodetect.model.card import ModelCard
from geodetect.model.export.metadata import plain_metadata, tile_metadata
from geodetect.model.file import Weights, model_path, read_model_file
from geodetect.model.runtimes.stored_networks import network_parameters
from geodetect.progress import phase
from geodetect.settings import ExportSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import ExportKeywords
from geodetect.types import PathLike

SUFFIXES = {"mlm": ".json", "deepness": ".onnx", "geodeep": ".onnx", "onnx": ".onnx"}


@takes_settings(ExportSettings)
@phase("Exporting the model")
def export_model(
    model: PathLike,
    output: PathLike,
    *,
    settings: ExportSettings | Mapping[str, Any] | None = None,
    overwrite: bool = False,
    **keywords: Unpack[ExportKeywords],
) -> ModelCard:
    """Export a model for another program: Deepness, GeoDeep, ONNX Runtime, or a STAC catalogue.

    An exported detector takes an image ``float32[1, 3, tile, tile]`` in 0..1. Decoding of boxes and
    non-maximum suppression are part of its graph, and its scores are calibrated. For Deepness and
    GeoDeep its output has the layout of YOLOv5, and metadata tell both resolution, tile size,
    classes and thresholds. ``onnx`` has outputs ``boxes``, ``scores`` and ``labels``. ``mlm`` is
    the description of the model file as a STAC item.

    Args:
        model: Name of a built-in model or path of a model file.
        output: File to write: ``.onnx``; of ``mlm`` ``.json``, usually ``NAME.mlm.json``.
        settings: See ``ExportSettings``.
        overwrite: Replace ``output`` if it exists.
        keywords: Settings by name, such as ``target="geodeep"``; they win over ``settings``.

    Returns:
        The card of the model.

    Raises:
        ModelFileError: There is no such model, or its file is damaged.
        InputError: The model was imported, or takes no images of three bands.
        MissingDependencyError: PyTorch or the extra ``onnx`` is not installed; ``mlm`` needs
            neither.
        OutputError: The file cannot be written.
    """
    settings = ExportSettings.resolve(settings, keywords)
    source, target = model_path(model), Path(output)
    suffix = SUFFIXES[settings.target]
    if target.suffix.lower() != suffix:
        raise OutputError(
            f"{target}: expected a name that ends in {suffix} for `target` {settings.target}"
        )
    with protect_inputs(source):
        check_folder(final_path(target))
        check_overwrite(final_path(target), overwrite=overwrite)
    card, weights = read_model_file(source)
    if settings.target == "mlm":
        from geodetect.model.export.mlm import mlm_item

        content = mlm_item(card, weights, file_name=source.name).encode()
    else:
        content = _to_onnx(card, weights, settings)
    with write_atomically(target, overwrite=True) as temporary:
        temporary.write_bytes(content)
    return card


def _to_onnx(card: ModelCard, weights: Weights, settings: ExportSettings) -> bytes:
    """Return an ONNX detector with its metadata."""
    if card.imported is not None:
        raise InputError(
            f"model {card.name}: was converted from an ONNX file itself "
            f"({card.training.initial_weights}); use that file, or `target` mlm"
        )
    require_torch("exporting a network")
    if find_spec("onnx") is None:
        raise MissingDependencyError(
            "exporting a network needs the package onnx; install it with: "
            "pip install 'geodetect[onnx]'"
        )
    import onnx

    from geodetect.model.export.graph import detector_to_onnx

    tile_px = settings.tile_size or card.tile_px
    is_plain = settings.target == "onnx"
    content = detector_to_onnx(
        card,
        network_parameters(weights),
        tile_px=tile_px,
        form="lists" if is_plain else "rows",
    )
    describe = plain_metadata if is_plain else tile_metadata
    exported = onnx.load_from_string(content)
    for key, value in describe(card, tile_px=tile_px).items():
        exported.metadata_props.add(key=key, value=value)
    return bytes(exported.SerializeToString())
