"""From rasters and labels to a model file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import shapely
import torch
from numpy.typing import NDArray

from geodetect.detection.network import NetworkDetector
from geodetect.errors import GeoreferenceError, OutputError
from geodetect.geo import boxes as bx
from geodetect.geo.reproject import reproject
from geodetect.io.annotations import read_area
from geodetect.io.label_files import read_labels
from geodetect.io.labels import LabelOptions, LabelSet
from geodetect.io.placement import place_labels
from geodetect.io.raster import Raster, RasterOptions, find_rasters, open_raster
from geodetect.io.staging import check_folder, check_vacant
from geodetect.learning.chips import ChipSampler, Ground
from geodetect.learning.loop import Loop
from geodetect.learning.split import area_boxes, hold_out_blocks
from geodetect.learning.validation import LEAST_CONF, validate
from geodetect.model.bundle import save_bundle
from geodetect.model.card import ModelCard, NetworkConfig, TrainingRecord
from geodetect.model.initial import initialise
from geodetect.model.presets import network_config
from geodetect.model.retinanet import RetinaNet
from geodetect.model.runtimes.pytorch import TorchRuntime
from geodetect.progress import Progress, silent
from geodetect.settings import TrainSettings

TILE_PX = 1024  # larger than a chip: less overlap is computed twice
ANCHOR_BASE = 2.5  # smallest anchor of a level over its stride
ANCHORS_PER_OCTAVE = 3

Source = str | os.PathLike[str]


def train(
    rasters: Sequence[Source],
    labels: Sequence[Source],
    output: Source,
    *,
    settings: TrainSettings | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ModelCard:
    """Train a model on labelled rasters and write it to a file.

    Args:
        rasters: Files, folders of rasters, or anything GDAL opens; one given several times is
            drawn from that much more often.
        labels: Label files and data sets of any kind, see
            ``geodetect.io.label_files.read_labels``; each raster takes the objects that lie on it.
        output: Model file to write, ``.safetensors``.
        settings: See ``TrainSettings``.
        resume: Go on from the checkpoint beside ``output``.
        overwrite: Replace ``output`` if it exists.
        progress: Told of every step.

    Returns:
        The card of the model.

    Raises:
        AnnotationError: The labels cannot be used.
        RasterError: A raster cannot be read.
        OutputError: The model or its checkpoint cannot be written.
    """
    settings = settings or TrainSettings()
    target = Path(output)
    checkpoint = target.with_suffix(".checkpoint")
    _check_target(target, checkpoint, resume=resume, overwrite=overwrite)
    options = LabelOptions(
        settings.class_field, crs=settings.labels_crs, point_size_m=settings.point_size
    )
    label_set = read_labels(labels, options)
    label_set.warn_of_changes()
    classes = label_set.classes
    with ExitStack() as stack:
        opened = [stack.enter_context(_open(path, settings)) for path in find_rasters(rasters)]
        grounds = _grounds(opened, label_set, classes, settings=settings)
        card = _new_card(target, grounds, classes, settings)
        sampler = ChipSampler(
            grounds,
            gsd_m=float(card.gsd_m or 1.0),
            chip_px=settings.chip_px,
            object_share=settings.object_share,
            seed=settings.seed,
            augment=settings.augment,
        )
        torch.manual_seed(settings.seed)
        assert card.network is not None
        network = RetinaNet(card.network, len(classes))
        start = initialise(network, settings.init)
        loop = Loop(network, card, sampler, settings, checkpoint)
        if resume:
            loop.resume()
        loop.run(progress)
        weights = _arrays(loop.averaged)
        card = card.model_copy(update={"training": _record(settings, start, grounds, loop)})
        runtime = TorchRuntime(card, weights, settings.device)
        measured = validate(NetworkDetector(runtime, conf=LEAST_CONF), _distinct(grounds))
        if measured is not None:
            card = card.model_copy(update={"conf": measured.conf, "metrics": measured.metrics})
        save_bundle(target, card, weights)
        loop.discard()
    return card


def _check_target(target: Path, checkpoint: Path, *, resume: bool, overwrite: bool) -> None:
    """See whether the model can be written and no training is lost by it."""
    if target.suffix != ".safetensors":
        raise OutputError(f"{target}: the name of a model file ends in .safetensors")
    check_folder(target)
    check_vacant(target, overwrite=overwrite)
    if checkpoint.exists() and not (resume or overwrite):
        raise OutputError(
            f"{checkpoint} holds a training that is not finished; go on from it with --resume, or "
            f"start again with --overwrite"
        )


def _open(path: str, settings: TrainSettings) -> Raster:
    options = RasterOptions(bands=settings.bands, src_crs=settings.src_crs)
    return open_raster(path, options, needed_bands=3)


def _grounds(
    rasters: Sequence[Raster],
    label_set: LabelSet,
    classes: tuple[str, ...],
    *,
    settings: TrainSettings,
) -> list[Ground]:
    """Rasters with their objects and the ground that is held out."""
    boxes, labels = [], []
    placed = place_labels(label_set, [(raster.path, raster.grid) for raster in rasters])
    for raster, found in zip(rasters, placed, strict=True):
        frame = np.array([0, 0, raster.grid.width, raster.grid.height], np.float64)
        boxes.append(bx.clip(found.boxes, frame))
        labels.append(np.array([classes.index(name) for name in found.names], np.int64))
    held = _held_out(rasters, boxes, settings)
    return [
        Ground(raster, box, label, out, _gsd_m(raster))
        for raster, box, label, out in zip(rasters, boxes, labels, held, strict=True)
    ]


def _held_out(
    rasters: Sequence[Raster], boxes: Sequence[NDArray[np.float64]], settings: TrainSettings
) -> list[NDArray[np.float64]]:
    grids = [raster.grid for raster in rasters]
    if settings.val_area is None:
        return hold_out_blocks(
            grids,
            boxes,
            share=settings.val_share,
            seed=settings.seed,
            least_px=2 * settings.chip_px,
        )
    area, crs = read_area(settings.val_area)
    held = []
    for grid in grids:
        on_map = reproject(np.array([area], dtype=object), crs, grid.crs or crs)[0]
        held.append(area_boxes(shapely.transform(on_map, grid.to_px), grid))
    return held


def _gsd_m(raster: Raster) -> float:
    if raster.grid.gsd_m is None:
        raise GeoreferenceError(f"{raster.path}: training needs a CRS; name it with --src-crs")
    return raster.grid.gsd_m


def _new_card(
    target: Path, grounds: Sequence[Ground], classes: tuple[str, ...], settings: TrainSettings
) -> ModelCard:
    gsd_m = settings.gsd or round(float(np.median([g.gsd_m for g in grounds])), 3)
    sides = np.concatenate(
        [(g.boxes[:, 2:] - g.boxes[:, :2]).max(axis=1) * g.gsd_m for g in grounds if len(g.boxes)]
    )
    small, middle, large = np.percentile(sides, [1, 50, 99]).round(2)
    strides = NetworkConfig.model_fields["strides"].default
    return ModelCard(
        name=settings.name or target.stem,
        description=settings.description,
        classes=classes,
        gsd_m=gsd_m,
        tile_px=TILE_PX,
        object_size_m=(float(small), float(middle), float(large)),
        network=network_config(
            settings.network,
            backbone=settings.backbone,
            anchor_sizes_px=tuple(_anchor_sizes(s) for s in strides),
        ),
    )


def _anchor_sizes(stride: int) -> tuple[float, ...]:
    """Anchor sizes of a level: a third of an octave apart, as in the paper."""
    steps = range(ANCHORS_PER_OCTAVE)
    return tuple(round(ANCHOR_BASE * stride * 2 ** (i / ANCHORS_PER_OCTAVE), 2) for i in steps)


def _distinct(grounds: Sequence[Ground]) -> list[Ground]:
    """Each raster once: one that was given twice is drawn from twice as often, not more ground."""
    return list({ground.raster.path: ground for ground in grounds}.values())


def _record(
    settings: TrainSettings, start: str, grounds: Sequence[Ground], loop: Loop
) -> TrainingRecord:
    dumped = settings.model_dump(mode="json", exclude={"data", "licence", "description", "name"})
    plain = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in dumped.items()}
    for key in ("val_area", "init"):  # the card says what, not where it lay
        plain[key] = Path(plain[key]).name if plain[key] else plain[key]
    return TrainingRecord(
        data=settings.data,
        licence=settings.licence,
        initial_weights=start,
        objects=sum(int(ground.trainable.sum()) for ground in _distinct(grounds)),
        steps=loop.step,
        settings=plain,
    )


def _arrays(network: RetinaNet) -> dict[str, NDArray[np.generic]]:
    """Parameters as half precision: half the file, and no measurable difference."""
    return {
        key: value.detach().cpu().contiguous().numpy().astype(np.float16)
        for key, value in network.state_dict().items()
    }
