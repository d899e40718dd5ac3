"""From rasters and labels to a model file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from geodetect.errors import DivergenceError, OutputError
from geodetect.io.staging import check_folder, check_vacant
from geodetect.learning.anchor_fit import Anchors
from geodetect.learning.chips import ChipSampler, Ground
from geodetect.learning.grounds import TrainingGround, read_grounds
from geodetect.learning.heldout import HeldOut
from geodetect.learning.learner import Learner
from geodetect.learning.loop import Loop
from geodetect.learning.lr_range import run_range_test
from geodetect.learning.negatives import NegativeMiner
from geodetect.learning.runs import LABELS, SPLIT, RunFolder, write_json
from geodetect.learning.selection import Weights
from geodetect.learning.split import save_split
from geodetect.learning.tally import TrainingTally
from geodetect.learning.validation import Validation, calibrated
from geodetect.model.bundle import save_bundle
from geodetect.model.card import ModelCard, NetworkConfig, TrainingRecord
from geodetect.model.initial import initialise
from geodetect.model.presets import network_config
from geodetect.model.retinanet import RetinaNet
from geodetect.progress import Progress, silent
from geodetect.settings import TrainSettings

TILE_PX = 1024  # larger than a chip: less overlap is computed twice
PATHS = ("val_area", "val_rasters", "val_labels", "init")

Source = str | os.PathLike[str]


def train(
    rasters: Sequence[Source],
    labels: Sequence[Source],
    output: Source,
    *,
    settings: TrainSettings | None = None,
    run_dir: Source | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    tally: TrainingTally | None = None,
) -> ModelCard:
    """Train a model on labelled rasters and write it to a file.

    Labels are looked over first. Some ground is held out, and the averaged weights are measured on
    it now and then; the model written is the best one by that, unless ``settings`` ask for the
    last. How it went is in the run folder: ``metrics.csv``, ``split.geojson``, ``labels.json``,
    ``validation.gpkg``, and until the end ``checkpoint.pt``.

    Args:
        rasters: Files, folders of rasters, or anything GDAL opens; one given several times is
            drawn from that much more often. Those that cannot be read are left out with a
            ``GeodetectWarning``.
        labels: Label files and data sets of any kind, see
            ``geodetect.io.label_files.read_labels``; each raster takes the objects that lie on it.
        output: Model file to write, ``.safetensors``.
        settings: See ``TrainSettings``.
        run_dir: The run folder; None: ``NAME_run`` beside ``output``.
        resume: Go on from the checkpoint in the run folder.
        overwrite: Replace ``output`` and the files of an earlier training in the run folder.
        progress: Told of every step, with ``loss, step, lr, chips_per_s``, the ``best_ap50`` so far
            and, after a validation, ``val_ap50``.
        tally: Filled with what was done.

    Returns:
        The card of the model.

    Raises:
        AnnotationError: The labels cannot be used.
        DivergenceError: The loss is no longer a number. The best model so far is written; if none
            was measured yet, the last checkpoint stays.
        InputError: Settings, rasters and labels do not go together.
        RasterError: No raster can be read.
        OutputError: The model or the run folder cannot be written.
    """
    settings = settings or TrainSettings()
    tally = tally if tally is not None else TrainingTally()
    target = Path(output)
    folder = RunFolder.beside(target) if run_dir is None else RunFolder(Path(run_dir))
    _check_target(target, overwrite=overwrite)
    folder.check(resume=resume, overwrite=overwrite)
    tally.run_dir = str(folder.path)
    with ExitStack() as stack:
        config = network_config(settings.network, backbone=settings.backbone)
        anchors = Anchors(config.strides, config.anchor_sizes_px, config.anchor_ratios)
        grounds = read_grounds(rasters, labels, settings, anchors=anchors, stack=stack)
        tally.left_out |= grounds.left_out
        card = _new_card(target, grounds, settings, network=config)
        torch.manual_seed(settings.seed)
        network = RetinaNet(config, len(card.classes))
        start = initialise(network, settings.init)
        held_out = HeldOut(grounds.measured, card, device=settings.device)
        sampler = _sampler(grounds, card, settings)
        lr = _peak_lr(network, card, sampler, settings, resume=resume)
        learner = Learner(network, card, device=settings.device, lr=lr, chip_px=settings.chip_px)
        loop = Loop(
            learner,
            sampler,
            settings,
            validator=held_out if held_out.objects else None,
            folder=folder,
            miner=_miner(grounds, card, settings),
        )
        if resume:
            loop.resume()
        else:
            _make_folder(folder, grounds)
        plan = _Plan(target, folder, settings, card, start, grounds, held_out)
        try:
            loop.run(progress)
        except DivergenceError as error:
            raise DivergenceError(f"{error}; {_saved_from(loop, plan, tally)}") from error
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(_interrupted(loop, folder)) from error
        finally:
            _count(tally, loop, [sampler.damaged, held_out.damaged])
        card = _write(loop, plan, tally)
        loop.discard()
    return card


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is needed to write the model of a training."""

    target: Path
    folder: RunFolder
    settings: TrainSettings
    card: ModelCard
    start: str
    grounds: TrainingGround
    held_out: HeldOut


def _check_target(target: Path, *, overwrite: bool) -> None:
    """See whether the model can be written."""
    if target.suffix != ".safetensors":
        raise OutputError(f"{target}: the name of a model file ends in .safetensors")
    check_folder(target)
    check_vacant(target, overwrite=overwrite)


def _new_card(
    target: Path, grounds: TrainingGround, settings: TrainSettings, *, network: NetworkConfig
) -> ModelCard:
    trained = grounds.trained
    gsd_m = settings.gsd or round(float(np.median([g.gsd_m for g in trained])), 3)
    sides = np.concatenate(
        [(g.boxes[:, 2:] - g.boxes[:, :2]).max(axis=1) * g.gsd_m for g in trained if len(g.boxes)]
    )
    small, middle, large = np.percentile(sides, [1, 50, 99]).round(2)
    return ModelCard(
        name=settings.name or target.stem,
        description=settings.description,
        classes=grounds.classes,
        gsd_m=gsd_m,
        tile_px=TILE_PX,
        object_size_m=(float(small), float(middle), float(large)),
        network=network,
    )


def _sampler(grounds: TrainingGround, card: ModelCard, settings: TrainSettings) -> ChipSampler:
    return ChipSampler(
        grounds.trained,
        gsd_m=float(card.gsd_m or 1.0),
        chip_px=settings.chip_px,
        object_share=settings.object_share,
        seed=settings.seed,
        augment=settings.augment,
    )


def _peak_lr(
    network: RetinaNet,
    card: ModelCard,
    sampler: ChipSampler,
    settings: TrainSettings,
    *,
    resume: bool,
) -> float:
    """The learning rate of the settings, or the one that a range test finds."""
    if settings.lr != "auto":
        return settings.lr
    if resume:  # the checkpoint holds it
        return 1.0
    return run_range_test(
        network,
        card,
        sampler,
        device=settings.device,
        chip_px=settings.chip_px,
        batch_size=settings.batch_size,
    ).lr


def _miner(
    grounds: TrainingGround, card: ModelCard, settings: TrainSettings
) -> NegativeMiner | None:
    if not settings.mine_negatives:
        return None
    return NegativeMiner(
        grounds.trained,
        card,
        device=settings.device,
        count=settings.mine_negatives,
        seed=settings.seed,
    )


def _make_folder(folder: RunFolder, grounds: TrainingGround) -> None:
    """The run folder with all that is known before the first step."""
    distinct = grounds.distinct
    with folder.made() as path:
        save_split(
            [ground.raster.grid for ground in distinct],
            [ground.held_out for ground in distinct],
            path / SPLIT,
            names=[ground.raster.name for ground in distinct],
            boxes=[ground.boxes for ground in distinct],
        )
        if grounds.report is not None:
            write_json(path / LABELS, grounds.report.as_dict())
        RunFolder(path).metrics.start()


def _write(loop: Loop, plan: _Plan, tally: TrainingTally) -> ModelCard:
    """Write the model that is kept, and what was measured of it."""
    step, weights, measured = _kept(loop, plan)
    card = plan.card.model_copy(update={"training": _record(plan, step, loop)})
    if measured is not None:
        card = calibrated(card, measured)
        measured.save(plan.folder.path)
    save_bundle(plan.target, card, weights)
    tally.kept_step = step
    tally.kept = "last" if step == loop.step else "best"
    return card


def _kept(loop: Loop, plan: _Plan) -> tuple[int, Weights, Validation | None]:
    """Steps, weights and figures of the state that is kept."""
    best = loop.selection.best
    if best is None:
        return loop.step, loop.learner.weights(), None
    if plan.settings.keep == "last" and loop.selection.last_step == loop.step:
        step, best = loop.step, loop.learner.weights()
    else:
        step = loop.selection.best_step
    measured = loop.measured.get(step)
    if measured is None:  # before the training was resumed
        measured = plan.held_out.measure(best)
    return step, best, measured


def _saved_from(loop: Loop, plan: _Plan, tally: TrainingTally) -> str:
    """Keep what a training that went wrong has brought, and say where it is."""
    if loop.selection.best is not None:
        _write(loop, plan, tally)
        best = loop.selection
        return (
            f"the best model so far (step {best.best_step}, AP50 {best.best_ap50:.3f}) is written "
            f"to {plan.target}"
        )
    if plan.folder.checkpoint.exists():
        return f"the last good checkpoint is {plan.folder.checkpoint}"
    return "no checkpoint was written yet"


def _interrupted(loop: Loop, folder: RunFolder) -> str:
    if folder.checkpoint.exists():
        return f"interrupted at step {loop.step}; go on from {folder.checkpoint} with --resume"
    return f"interrupted at step {loop.step}, before the first checkpoint; no result was written"


def _count(tally: TrainingTally, loop: Loop, damaged: Sequence[dict[str, str]]) -> None:
    tally.steps, tally.seconds, tally.lr = loop.step, loop.seconds, loop.learner.lr
    tally.validations = loop.selection.validations
    tally.stopped_early = loop.stalled
    if loop.selection.best is not None:
        tally.best_ap50 = loop.selection.best_ap50
    for found in damaged:
        tally.left_out |= found


def _record(plan: _Plan, step: int, loop: Loop) -> TrainingRecord:
    settings = plan.settings
    dumped = settings.model_dump(mode="json", exclude={"data", "licence", "description", "name"})
    dumped["lr"] = loop.learner.lr
    for key in PATHS:  # the card says what, not where it lay
        dumped[key] = _names(dumped[key])
    plain = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in dumped.items()}
    return TrainingRecord(
        data=settings.data,
        licence=settings.licence,
        initial_weights=plan.start,
        objects=sum(int(ground.trainable.sum()) for ground in _distinct(plan.grounds.trained)),
        steps=step,
        settings=plain,
    )


def _names(paths: str | list[str] | None) -> str | list[str] | None:
    if isinstance(paths, list):
        return [Path(path).name for path in paths]
    return Path(paths).name if paths else paths


def _distinct(grounds: Sequence[Ground]) -> list[Ground]:
    """Each raster once: one that was given twice is drawn from twice as often, not more ground."""
    return list({ground.raster.path: ground for ground in grounds}.values())
