"""Conversion of ONNX detectors of other programs to model files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from geodetect.class_names import normalize_class_name
from geodetect.errors import GeodetectWarning, InputError, ModelFileError, list_names
from geodetect.model.card import ImportedNetwork, ModelCard, TrainingRecord, new_card
from geodetect.model.file import write_model_file
from geodetect.model.layouts.base import (
    BYTE_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Layout,
    Match,
    Preprocessing,
)
from geodetect.model.layouts.corners import MAX_FRACTION, BoxesScores, BoxesScoresLabels
from geodetect.model.onnx_import import coco_classes
from geodetect.model.onnx_import.graph import RGB, OnnxGraph
from geodetect.model.onnx_import.metadata import OnnxMetadata, read_metadata
from geodetect.model.onnx_import.onnx_file import OnnxFile
from geodetect.model.onnx_import.recognition import recognise_layout
from geodetect.model.runtimes.openvino_library import serialize
from geodetect.model.runtimes.stored_networks import NETWORK, store_network
from geodetect.noun import Noun
from geodetect.progress import phase
from geodetect.settings import ConvertSettings
from geodetect.types import AnyArray

NAME = Noun("name", "names")
CHECKPOINT_SETTINGS = ("anchor_sizes", "norm_eps", "resize", "no_resize")
BANDS = {1: ("grey",), RGB: ("red", "green", "blue")}
SCALINGS = {
    "0-1": ((0.0,) * RGB, (1.0,) * RGB),
    "0-255": ((0.0,) * RGB, BYTE_STD),
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
}


@phase("Converting the network")
def convert_onnx(source: Path, target: Path, settings: ConvertSettings) -> ModelCard:
    """Convert an ONNX detector to a model file with equal outputs.

    Layout of the outputs, class names, input size, scaling and resolution are those of
    ``settings``, else of the metadata of the file, else recognised from the graph.

    Args:
        source: ONNX file.
        target: Model file to write; a file of its name is replaced.
        settings: See ``ConvertSettings``.

    Returns:
        The card of the model.

    Raises:
        ModelFileError: The file cannot be read, or is no detector that is recognised.
        InputError: Settings and model do not fit together.
        OutputError: The model cannot be written.

    Warns:
        GeodetectWarning: The metadata do not fit the graph.
    """
    unused = [n for n in CHECKPOINT_SETTINGS if n in settings.model_fields_set]
    if unused:
        listed = " and ".join(f"`{name}`" for name in unused)
        raise InputError(f"{source}: {listed}: only for checkpoints, leave it out for an ONNX file")
    file = OnnxFile.read(source)
    metadata = read_metadata(file.metadata)
    if metadata.other_task and settings.layout is None:
        raise ModelFileError(
            f"{source}: a model for {metadata.other_task}, as its metadata say; expected a "
            f"detector, or its `layout` if it is one"
        )
    graph = OnnxGraph(file, tile_px=settings.tile_size, stated_px=metadata.input_px)
    names = settings.classes or metadata.classes
    facts = graph.facts(None if names is None else len(names))
    layout, match = recognise_layout(
        facts,
        name=settings.layout,
        hint=metadata.layout,
        source=str(source),
    )
    _warn_of_lies(source, metadata, graph, layout)
    classes, numbers = _class_numbers(source, names, layout, match, settings)
    usual = layout.preprocessing_of(facts)
    preprocessing = _preprocessing(usual, metadata, settings, graph)
    network = graph.converted(match.outputs, preprocessing)
    outputs = graph.run(network, _probe(graph))
    _check_outputs(source, layout, outputs)
    height, width = graph.input_px
    card = new_card(
        name=settings.name or target.stem,
        description=f"{layout.title}, converted from ONNX.",
        classes=classes,
        gsd_m=settings.gsd or metadata.gsd_m,
        bands=BANDS.get(graph.channels, tuple(f"band {n + 1}" for n in range(graph.channels))),
        mean=preprocessing.mean,
        std=preprocessing.std,
        tile_px=min(height, width),
        conf=metadata.conf or layout.conf,
        iou=metadata.iou or layout.iou,
        imported=ImportedNetwork(
            layout=layout.name,
            input_px=graph.input_px,
            fill=preprocessing.fill,
            class_numbers=numbers,
            output_classes=match.classes,
            has_fractions=_has_fractions(layout, outputs, settings),
        ),
        training=TrainingRecord(
            initial_weights=f"{layout.title} from {source.name}",
            settings={"converted_sha256": file.sha256},
        ),
    )
    write_model_file(target, card, store_network(card, {}, NETWORK, serialize(network)))
    return card


def _warn_of_lies(source: Path, metadata: OnnxMetadata, graph: OnnxGraph, layout: Layout) -> None:
    """Warn of metadata that the graph contradicts, or that cannot be used."""
    doubts = []
    if metadata.unusable:
        doubts.append(f"cannot be used for {list_names(metadata.unusable)}")
    if metadata.layout is not None and metadata.layout != layout.name:
        doubts.append(f"name the layout {metadata.layout}, found {layout.name}")
    if metadata.input_px is not None and metadata.input_px != graph.input_px:
        stated, actual = (f"{w} x {h} px" for h, w in (metadata.input_px, graph.input_px))
        doubts.append(f"state an input of {stated}, found {actual}")
    if doubts:
        warnings.warn(
            f"{source}: its metadata {'; they '.join(doubts)}; the graph is believed",
            GeodetectWarning,
            stacklevel=4,
        )


def _class_numbers(
    source: Path,
    names: Sequence[str] | None,
    layout: Layout,
    match: Match,
    settings: ConvertSettings,
) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Return the class names, and their numbers in the outputs; None: 0, 1, 2 and so on.

    Raises:
        InputError: There are no names, or another number than of classes in the outputs.
    """
    count = match.classes
    if names is None:
        if count == len(coco_classes.CLASSES):
            return coco_classes.CLASSES, None
        if count == coco_classes.OUTPUTS:
            return coco_classes.CLASSES, coco_classes.NUMBERS
        if count == 1:
            return ("object",), None
        has = "class numbers" if count is None else f"{count} classes"
        raise InputError(f"{source}: its outputs hold {has} without names; state them as `classes`")
    unique = _distinct(names)
    if count is None:
        background = layout.background
        first = 0 if background is None else 1
        return unique, tuple(range(first, first + len(names))) if first else None
    if len(names) == count:
        return unique, None
    if layout.background is not None and len(names) == count - 1:
        numbers = [number for number in range(count) if number != layout.background % count]
        return unique, tuple(numbers)
    stated = "`classes`" if settings.classes else "its metadata"
    raise InputError(
        f"{source}: its outputs hold {count} classes, found {NAME.count(len(names))} in "
        f"{stated} ({list_names(names)}); state {NAME.count(count)} as `classes`, or another "
        f"`layout` than {layout.name}"
    )


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return class names in their written form; blank and repeated ones get their number."""
    distinct = list[str]()
    for number, name in enumerate(names):
        text = normalize_class_name(name).strip() or "class"
        distinct.append(text if text not in (*distinct, "class") else f"{text} {number}")
    return tuple(distinct)


def _preprocessing(
    usual: Preprocessing, metadata: OnnxMetadata, settings: ConvertSettings, graph: OnnxGraph
) -> Preprocessing:
    """Return the form of pixels: of the settings, else of the metadata, else the usual one.

    Graphs that take whole numbers take bytes.

    Raises:
        InputError: There is not one number for each channel.
    """
    channels = graph.channels
    if (settings.mean is None) != (settings.std is None):
        raise InputError("`mean` and `std` belong together, found only one of them")
    if settings.mean is not None and settings.std is not None:
        mean, std = settings.mean, settings.std
    elif settings.scaling is not None:
        mean, std = SCALINGS[settings.scaling]
    elif graph.takes_bytes:
        mean, std = SCALINGS["0-255"]
    elif metadata.mean is not None and metadata.std is not None:
        mean, std = metadata.mean, metadata.std
    else:
        mean, std = usual.mean, usual.std
    if len(set(mean)) == len(set(std)) == 1:
        mean, std = mean[:1] * channels, std[:1] * channels
    if not len(mean) == len(std) == channels:
        raise InputError(
            f"`mean` and `std`: {len(mean)} and {len(std)} numbers for {channels} channels of its "
            f"input; state one for each channel"
        )
    is_bgr = usual.is_bgr if settings.channels is None else settings.channels == "bgr"
    return Preprocessing(mean, std, is_bgr and channels == RGB, usual.fill)


def _probe(graph: OnnxGraph) -> AnyArray:
    """Return a drawn image, so that the outputs of a graph can be seen."""
    height, width = graph.input_px
    pixels = np.random.default_rng(0).integers(0, 256, (graph.channels, height, width), np.uint8)
    pixels[:, height // 4 : height // 2, width // 4 : width // 2] = 255
    return pixels


def _check_outputs(source: Path, layout: Layout, outputs: Sequence[AnyArray]) -> None:
    """Raise an error if the outputs for an image are no numbers.

    Raises:
        ModelFileError: They are not.
    """
    bad = sum(int(np.count_nonzero(~np.isfinite(o))) for o in outputs if o.dtype.kind == "f")
    total = sum(output.size for output in outputs)
    if bad:
        raise ModelFileError(
            f"{source}: {bad:,} of {total:,} numbers that it returns for a drawn image are NaN or "
            f"infinite ({layout.name}); its weights are damaged, or it needs another `scaling`"
        )


def _has_fractions(layout: Layout, outputs: Sequence[AnyArray], settings: ConvertSettings) -> bool:
    """Return True if the boxes of a layout that leaves their unit open are fractions.

    Raises:
        InputError: The layout fixes their unit, and another is stated.
    """
    is_open = isinstance(layout, BoxesScores | BoxesScoresLabels)
    if settings.box_unit is not None and not is_open:
        raise InputError(
            f"`box_unit`: the layout {layout.name} fixes the unit of boxes; leave it out"
        )
    if not is_open or settings.box_unit is not None:
        return settings.box_unit == "fraction"
    boxes = outputs[0]
    return bool(boxes.size and np.abs(boxes[..., :4]).max() <= MAX_FRACTION)
