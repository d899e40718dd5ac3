"""From rasters and labels to a model file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import torch

from geodetect.errors import DivergenceError, InputError
from geodetect.model.card import ModelCard, NetworkConfig
from geodetect.model.checkpoints.initialization import initialise, match_head_depth
from geodetect.model.file import check_target
from geodetect.model.network.anchor_fit import AnchorShapes
from geodetect.model.network.presets import network_config
from geodetect.model.network.retinanet import RetinaNet
from geodetect.progress import Progress, no_progress
from geodetect.settings import TrainSettings
from geodetect.training.anchors.selection import OURS, with_anchors
from geodetect.training.data.chip_sampler import ChipSampler
from geodetect.training.data.hard_negatives import NegativeMiner
from geodetect.training.data.holdout_split import save_split
from geodetect.training.data.training_data import TrainingGround, read_grounds
from geodetect.training.distributed import Processes, joined
from geodetect.training.learner import Learner
from geodetect.training.loop import Loop
from geodetect.training.lr_finder import run_range_test
from geodetect.training.model_output import Plan, save_best, write_model
from geodetect.training.run.folder import (
    LABELS,
    SETTINGS,
    SPLIT,
    RunFolder,
    write_json,
    write_settings,
)
from geodetect.training.run.summary import TrainingSummary
from geodetect.training.run.tensorboard import TensorBoardLog, load_writer
from geodetect.training.validation.validator import HeldOut
from geodetect.types import PathLike

TILE_PX = 1024  # larger than a chip: less overlap is computed twice


def train(
    rasters: PathLike | Sequence[PathLike],
    labels: PathLike | Sequence[PathLike],
    output: PathLike,
    *,
    settings: TrainSettings | None = None,
    run_dir: PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    progress: Progress = no_progress,
    tally: TrainingSummary | None = None,
) -> ModelCard:
    """Train a model on labelled rasters and write it to a file.

    Labels are looked over first. Some ground is held out, and the averaged weights are measured on
    it now and then; the model written is the best one by that, unless ``settings`` ask for the
    last. How it went is in the run folder: ``metrics.csv``, ``split.geojson``, ``labels.json``,
    ``settings.toml``, ``validation.gpkg``, and until the end ``checkpoint.pt``.

    Called in each of the processes that ``torchrun`` starts, they train together, see
    ``geodetect.training.distributed``; files are written and progress is told by the first. All
    need to read the rasters and labels.

    Args:
        rasters: Files, folders of rasters, or anything GDAL opens; one given several times is
            drawn from that much more often. Those that cannot be read are left out with a
            ``GeodetectWarning``.
        labels: Label files and data sets of any kind, see
            ``geodetect.io.labels.read.read_labels``; each raster takes the objects that lie on it.
        output: Model file to write, ``.safetensors``.
        settings: See ``TrainSettings``.
        run_dir: The run folder; None: ``NAME_run`` beside ``output``.
        resume: Go on from the checkpoint in the run folder.
        overwrite: Replace ``output`` and the files of an earlier training in the run folder.
        tensorboard: Write the metrics for TensorBoard as well, into the run folder.
        progress: Told of every step, with ``loss, step, lr, chips_per_s``, the ``best_ap50`` so far
            and, after a validation, ``val_ap50``.
        tally: Filled with what was done.

    Returns:
        The card of the model.

    Raises:
        LabelError: The labels cannot be used.
        DivergenceError: The loss is no longer a number. The best model so far is written; if none
            was measured yet, the last checkpoint stays.
        InputError: Settings, rasters and labels do not go together.
        LostProcessError: Another process of the training has ended.
        MissingDependencyError: TensorBoard is asked for and not installed.
        RasterError: No raster can be read.
        OutputError: The model or the run folder cannot be written.
    """
    settings = settings or TrainSettings()
    tally = tally if tally is not None else TrainingSummary()
    target = Path(output)
    folder = RunFolder.beside(target) if run_dir is None else RunFolder(Path(run_dir))
    tally.run_dir = str(folder.path)
    with joined(settings.device) as processes, ExitStack() as stack:
        with processes.together():
            if processes.is_first:
                check_target(target, overwrite=overwrite)
                folder.check(resume=resume, overwrite=overwrite)
                stack.enter_context(folder.held())
            if tensorboard:
                load_writer()
            _check_batch(settings, processes)
            config = network_config(settings.network, backbone=settings.backbone)
            if settings.network == OURS:
                config = match_head_depth(config, settings.init)
            anchors = AnchorShapes.from_config(config)
            grounds = read_grounds(rasters, labels, settings, anchors=anchors, stack=stack)
            gsd_m = settings.gsd or _median_gsd_m(grounds)
            config = with_anchors(config, grounds.trained, settings, gsd_m=gsd_m)
            card = _new_card(target, grounds, settings, network=config, gsd_m=gsd_m)
            torch.manual_seed(settings.seed)
            network = RetinaNet(config, len(card.classes))
            start = initialise(network, settings.init)
            held_out = HeldOut(grounds.measured, card, device=processes.device)
            plan = Plan(target, folder, settings, card, start, grounds, held_out, processes)
            sampler = sampler_of(grounds, settings, gsd_m=gsd_m)
        tally.left_out |= grounds.left_out
        loop = _loop(network, plan, sampler, resume=resume)
        if resume:
            loop.resume()
        with processes.together():
            if processes.is_first and not resume:
                with folder.made() as path:
                    _fill_folder(path, grounds)
                    write_settings(path / SETTINGS, settings, rasters=rasters, labels=labels)
            if processes.is_first and tensorboard:
                board = TensorBoardLog(folder.path, step=loop.step)
                loop.board = stack.enter_context(closing(board))
        _run(loop, plan, tally, progress=progress if processes.is_first else no_progress)
        with processes.together():
            if processes.is_first:
                card = write_model(loop, plan, tally)
                loop.discard()
        card, done = processes.from_first((card, vars(tally)))
        vars(tally).update(done)
    return card


def _check_batch(settings: TrainSettings, processes: Processes) -> None:
    if settings.batch_size < processes.count:
        raise InputError(
            f"--batch-size {settings.batch_size}: expected at least {processes.count}, one chip "
            f"for each of the processes that share the chips of a step"
        )


def _median_gsd_m(grounds: TrainingGround) -> float:
    return round(float(np.median([ground.gsd_m for ground in grounds.trained])), 3)


def _new_card(
    target: Path,
    grounds: TrainingGround,
    settings: TrainSettings,
    *,
    network: NetworkConfig,
    gsd_m: float,
) -> ModelCard:
    sides_m = np.concatenate([ground.sides_m.max(axis=1) for ground in grounds.trained])
    small, middle, large = np.percentile(sides_m, [1, 50, 99]).round(2)
    return ModelCard(
        name=settings.name or target.stem,
        description=settings.description,
        classes=grounds.classes,
        gsd_m=gsd_m,
        tile_px=TILE_PX,
        object_size_m=(float(small), float(middle), float(large)),
        network=network,
    )


def sampler_of(grounds: TrainingGround, settings: TrainSettings, *, gsd_m: float) -> ChipSampler:
    """What draws the chips of a training.

    Raises:
        LabelError: No object is left to learn from.
    """
    return ChipSampler(
        grounds.trained,
        gsd_m=gsd_m,
        chip_px=settings.chip_px,
        object_share=settings.object_share,
        seed=settings.seed,
        augment=settings.augment,
        turns=settings.turn,
    )


def _loop(network: RetinaNet, plan: Plan, sampler: ChipSampler, *, resume: bool) -> Loop:
    """The training before its first step."""
    processes = plan.processes
    if processes.count > 1:
        network.load_state_dict(processes.from_first(network.state_dict()))
    learner = Learner(
        network,
        plan.card,
        device=processes.device,
        lr=_peak_lr(network, plan, sampler, resume=resume),
        chip_px=plan.settings.chip_px,
        assignment=plan.settings.assignment,
        processes=processes,
    )
    return Loop(
        learner,
        sampler,
        plan.settings,
        validator=plan.held_out if plan.held_out.objects else None,
        folder=plan.folder if processes.is_first else None,
        miner=_miner(plan),
        processes=processes,
        ground=plan.grounds.fingerprint,
    )


def _peak_lr(network: RetinaNet, plan: Plan, sampler: ChipSampler, *, resume: bool) -> float:
    """The learning rate of the settings, or the one that a range test finds."""
    settings = plan.settings
    if settings.lr != "auto":
        return settings.lr
    if resume:  # the checkpoint holds it
        return 1.0
    return run_range_test(
        network,
        plan.card,
        sampler,
        device=plan.processes.device,
        chip_px=settings.chip_px,
        batch_size=settings.batch_size,
        assignment=settings.assignment,
        processes=plan.processes,
    ).lr


def _miner(plan: Plan) -> NegativeMiner | None:
    if not plan.settings.mine_negatives:
        return None
    return NegativeMiner(
        plan.grounds.trained,
        plan.card,
        device=plan.processes.device,
        count=plan.settings.mine_negatives,
        seed=plan.settings.seed,
    )


def _fill_folder(path: Path, grounds: TrainingGround) -> None:
    """Write what is known before the first step to the run folder."""
    distinct = grounds.distinct
    save_split(
        [ground.raster.grid for ground in distinct],
        [ground.held_out for ground in distinct],
        path / SPLIT,
        names=[ground.raster.name for ground in distinct],
        boxes=[ground.shown[ground.is_seen] for ground in distinct],
        excluded=[ground.excluded for ground in distinct],
    )
    if grounds.report is not None:
        write_json(path / LABELS, grounds.report.as_dict())
    RunFolder(path).metrics.start()


def _run(loop: Loop, plan: Plan, tally: TrainingSummary, *, progress: Progress) -> None:
    """Train, and say what is left of a training that does not come to its end."""
    damaged = [loop.sampler.damaged, plan.held_out.damaged]
    try:
        loop.run(progress)
        damaged += plan.processes.gathered(loop.sampler.damaged)
    except DivergenceError as error:
        with plan.processes.together():
            saved = save_best(loop, plan, tally) if plan.processes.is_first else ""
        raise DivergenceError(f"{error}; {saved}") from error
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_interrupted(loop, plan.folder)) from error
    finally:
        _count(tally, loop, damaged)


def _interrupted(loop: Loop, folder: RunFolder) -> str:
    if folder.checkpoint.exists():
        return f"interrupted at step {loop.step}; go on from {folder.checkpoint} with --resume"
    return f"interrupted at step {loop.step}, before the first checkpoint; no result was written"


def _count(tally: TrainingSummary, loop: Loop, damaged: Sequence[dict[str, str]]) -> None:
    tally.steps, tally.seconds, tally.lr = loop.step, loop.seconds, loop.learner.lr
    tally.validations = loop.selection.validations
    tally.stopped_early = loop.stalled
    if loop.selection.validations:
        tally.best_ap50 = loop.selection.best_ap50
    for found in damaged:
        tally.left_out |= found
