"""Training of a model: from rasters and labels to a model file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from geodetect.errors import DivergenceError, GeodetectWarning, InputError
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.atomic import final_path
from geodetect.io.inputs import protect_inputs
from geodetect.io.sources.find import find_rasters
from geodetect.io.vector.read import LayerSource
from geodetect.io.vector.write import write
from geodetect.model.card import ModelCard, NetworkConfig, TrainingRecord, new_card
from geodetect.model.checkpoints.initialization import (
    comparable_start,
    initial_model_card,
    initialise,
    match_heads,
    select_outline_head,
)
from geodetect.model.file import check_target
from geodetect.model.network.anchor_fit import AnchorShapes
from geodetect.model.network.presets import network_config
from geodetect.model.network.retinanet import RetinaNet
from geodetect.progress import (
    Progress,
    announce,
    as_progress,
    format_duration,
    no_progress,
    phase,
    reports_progress,
)
from geodetect.settings import TrainSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import TrainKeywords
from geodetect.training.advice.advise import advise
from geodetect.training.advice.facts import TrainingFacts
from geodetect.training.anchors.selection import DEFAULT_NETWORK, select_anchors
from geodetect.training.data.chip_sampler import ChipSampler
from geodetect.training.data.hard_negatives import HardNegativeMiner
from geodetect.training.data.holdout_doubts import list_holdout_doubts, trained_ground
from geodetect.training.data.holdout_split import split_table
from geodetect.training.data.training_data import TrainingData, read_training_data
from geodetect.training.distributed import is_restarted, join_processes
from geodetect.training.learner import Learner
from geodetect.training.loop import TrainingLoop
from geodetect.training.lr_finder import run_range_test
from geodetect.training.model_output import WrittenModel, is_model_of, write_model
from geodetect.training.run.description import describe_training
from geodetect.training.run.folder import (
    LABELS,
    SETTINGS,
    SPLIT,
    SUMMARY,
    RunFolder,
    write_json,
    write_settings,
)
from geodetect.training.run.summary import TrainingSummary
from geodetect.training.run.tensorboard import TensorBoardLog, load_summary_writer
from geodetect.training.validation.uncertainty import metric_intervals
from geodetect.training.validation.validator import Validator
from geodetect.types import PathLike, RasterSource

VOTE_IOU = 0.6  # of boxes that vote: AP75 is higher by 0.03 to 0.04, see docs/experiments.md
TILE_PX = 1024  # of predictions; larger than a chip, so that fewer pixels are computed twice


@takes_settings(TrainSettings)
@reports_progress
def train(
    rasters: RasterSource | Sequence[RasterSource],
    labels: LayerSource | Sequence[LayerSource],
    output: PathLike,
    *,
    settings: TrainSettings | Mapping[str, Any] | None = None,
    run_dir: PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    keep_checkpoint: bool = False,
    progress: Progress | bool = False,
    **keywords: Unpack[TrainKeywords],
) -> TrainingSummary:
    """Train a model on labelled rasters and write it to a file.

    Labels are checked first. Some areas are held out, and the averaged weights are validated on
    them at intervals; the best ones are written, unless the setting ``keep`` is ``last``. The run
    folder records the training: ``metrics.csv``, ``split.geojson``, ``labels.json``,
    ``settings.toml``, ``validation.gpkg``, ``summary.json``, and until the end ``checkpoint.pt``.

    A training that starts from a complete model validates that first, at step 0. If the trained
    weights are worse than it beyond chance, a ``GeodetectWarning`` says so, and the weights of the
    start are written; the trained ones if ``keep`` is ``last`` or its classes have other names.
    A ``GeodetectWarning`` also names a holdout on ground that the start was trained on, or close
    to training ground, so that the validation is better than on other ground.

    Called in each of the processes that ``torchrun`` starts, they train together, see
    ``geodetect.training.distributed``; the main process writes files and reports progress. All
    processes need to read the rasters and labels. Those that it starts again (``max-restarts``)
    continue from the checkpoint.

    An interrupt (``KeyboardInterrupt``, as the program makes of SIGINT and SIGTERM) waits for the
    end of a step and writes the checkpoint; ``resume`` continues from there.

    Args:
        rasters: Files, folders of rasters, or anything GDAL opens; one that is named
            twice is sampled twice as often. Those that cannot be read are left out with a
            ``GeodetectWarning``.
        labels: Label files and data sets of any kind, see
            ``geodetect.io.labels.read.read_labels``.
        output: Model file to write, ``.safetensors``.
        settings: See ``TrainSettings``.
        run_dir: The run folder; None: ``NAME_run`` beside ``output``.
        resume: Continue from the checkpoint in the run folder, or start over, with a
            ``GeodetectWarning``, if a training was killed before the first one.
        overwrite: Replace ``output`` and the files of an earlier training in the run folder.
        tensorboard: Also write the metrics for TensorBoard, into the run folder.
        keep_checkpoint: Leave the checkpoint in the run folder at the end. The caller removes it
            once all that it makes of the model is written, so that ``resume`` can repeat that.
        progress: Called after every step with ``loss, step, lr, chips_per_s``, ``best_ap50`` and
            ``best_ap30``, those of the best validation so far, and after a validation its
            ``val_ap50, val_ap30``. Before the first step, at step 0, those of the start, without
            the loss.
        keywords: Settings by name, such as ``steps=500``; they win over ``settings``.

    Returns:
        Summary of the training, with the card of the model.

    Raises:
        LabelError: The labels cannot be used.
        DivergenceError: The loss is no longer finite. The best model so far is written; if there
            was no validation yet, the last checkpoint stays.
        InputError: Settings, rasters and labels are inconsistent.
        LostProcessError: Another process of the training has ended.
        MissingDependencyError: TensorBoard is requested, but not installed.
        RasterError: No raster can be read.
        OutputError: The model or the run folder cannot be written.
    """
    settings = TrainSettings.resolve(settings, keywords)
    rasters = as_raster_paths(rasters)
    progress = as_progress(progress)
    output = Path(output)
    folder = RunFolder.from_model_path(output) if run_dir is None else RunFolder(Path(run_dir))
    with join_processes(settings.device) as processes, ExitStack() as stack:
        with processes.fail_together():
            sources = [find_rasters(rasters, quiet=True), settings.init, settings.val_aoi]
            sources.append(find_rasters(settings.val_rasters or (), quiet=True))
            folders = [labels, list(settings.val_labels or ())]
            stack.enter_context(protect_inputs(*sources, folders=folders))
            if final_path(output) == final_path(folder.path):
                raise InputError(f"{output}: `output` and `run_dir` are the same; rename one")
            if processes.is_main:
                resume = resume or is_restarted()
                is_own = resume and folder.checkpoint.is_file() and is_model_of(output, settings)
                check_target(output, overwrite=overwrite or is_own)
                resume = folder.check(resume=resume, overwrite=overwrite)
                stack.enter_context(folder.lock())
        resume = processes.broadcast(resume)
        with processes.fail_together():
            if tensorboard:
                load_summary_writer()
            processes.check_batch_size(settings.batch_size)

            config = network_config(settings.network, backbone=settings.backbone)
            if settings.network == DEFAULT_NETWORK:
                config = match_heads(config, settings.init)
            anchors = AnchorShapes.from_config(config)
            data = read_training_data(rasters, labels, settings, anchors=anchors, stack=stack)
            gsd_m = settings.gsd
            if gsd_m is None:
                gsd_m = round(float(np.median([raster.gsd_m for raster in data.train])), 3)
            config = select_anchors(config, data.train, settings, gsd_m=gsd_m)
            config = select_outline_head(config, settings, outlined=data.outlined_objects)
            torch.manual_seed(settings.seed)
            network = RetinaNet(config, len(data.classes))
            initial_weights = initialise(network, settings.init)
            initial_card = comparable_start(network, settings.init, data.classes)
            split = split_table(data.rasters)
            start = initial_model_card(settings.init)
            for doubt in list_holdout_doubts(data.rasters, split, settings, start=start):
                warnings.warn(doubt, GeodetectWarning, stacklevel=2)
            card = _first_card(
                settings.name or output.stem,
                data,
                settings,
                network=config,
                gsd_m=gsd_m,
                initial_weights=initial_weights,
                ground=trained_ground(split, start),
            )
            validator = Validator(data.validation, card, device=processes.device)
            sampler = ChipSampler(data.train, settings, gsd_m=gsd_m, outline=config.outline)
            miner = HardNegativeMiner(data.train, card, settings, device=processes.device)
        if processes.world_size > 1:
            network.load_state_dict(processes.broadcast(network.state_dict()))

        opening_lines = describe_training(
            card, data, settings, processes, held_out=validator.objects
        )
        announce(*opening_lines)
        lr = 1.0 if resume else settings.lr  # the checkpoint holds it
        if lr == "auto":
            with phase("Finding the learning rate"):
                lr = run_range_test(network, card, sampler, settings, processes=processes).lr
        loop = TrainingLoop(
            Learner(network, card, settings, lr=lr, processes=processes),
            sampler,
            settings,
            validator=validator if validator.objects else None,
            folder=folder if processes.is_main else None,
            miner=miner if settings.mine_negatives else None,
            data_fingerprint=data.fingerprint,
            initial_card=initial_card,
        )
        if resume:
            loop.resume()
            announce(f"resumed at step {loop.step:,}, after {format_duration(loop.seconds)}")
        with processes.fail_together():
            if processes.is_main and not resume:
                with folder.create() as path:
                    write(split, path / SPLIT)
                    if data.report is not None:
                        write_json(path / LABELS, data.report.as_dict())
                    write_settings(path / SETTINGS, settings, rasters=rasters, labels=labels)
                    RunFolder(path).metrics.create()
            if processes.is_main and tensorboard:
                log = TensorBoardLog(folder.path, step=loop.step)
                loop.tensorboard = stack.enter_context(closing(log))

        try:
            unit = "steps" if settings.minutes is None else "seconds"
            with phase("Training", unit, progress=progress) as advance:
                loop.run(advance if processes.is_main else no_progress)
        except DivergenceError as error:
            best, rescued = loop.selection, "no checkpoint was written yet"
            with processes.fail_together():
                if processes.is_main and best.best_weights is not None:
                    write_model(output, card, loop)
                    rescued = (
                        f"the best model so far (step {best.best_step}, AP50 {best.best_ap50:.3f}) "
                        f"is written to {output}"
                    )
                elif folder.checkpoint.exists():
                    rescued = f"the last good checkpoint is {folder.checkpoint}"
            raise DivergenceError(f"{error}; {rescued}") from error
        except KeyboardInterrupt as error:
            text = f"interrupted at step {loop.step}"
            if folder.checkpoint.exists():
                text += f"; set `resume` to continue from {folder.checkpoint}"
            else:
                text += ", before the first checkpoint; no model was written, start again"
            raise KeyboardInterrupt(text) from error

        unreadable = data.unreadable | sampler.unreadable | validator.unreadable
        for reasons in processes.all_gather(sampler.unreadable):
            unreadable |= reasons
        summary = None
        with processes.fail_together():
            if processes.is_main:
                model = write_model(output, card, loop)
                summary = _summarize(
                    model, loop, data, output, opening_lines=opening_lines, left_out=unreadable
                )
                write_json(folder.path / SUMMARY, summary.as_dict())
                if not keep_checkpoint:
                    folder.checkpoint.unlink(missing_ok=True)
        summary = processes.broadcast(summary)
    assert summary is not None
    return summary


def _summarize(
    model: WrittenModel,
    loop: TrainingLoop,
    data: TrainingData,
    output: Path,
    *,
    opening_lines: tuple[str, str],
    left_out: dict[str, str],
) -> TrainingSummary:
    """Return the summary of a training whose model is written, with advice."""
    assert loop.folder is not None
    validations = loop.selection.validations
    facts = TrainingFacts(
        rows=loop.folder.metrics.rows(),
        settings=loop.settings,
        lr=loop.learner.lr,
        card=model.card,
        result=model.result,
        gain=model.gain,
        class_objects=data.class_objects,
        finest_gsd_m=min(raster.gsd_m for raster in data.train),
        findings=() if data.report is None else data.report.findings,
    )
    return TrainingSummary(
        output=output,
        card=model.card,
        run_dir=loop.folder.path,
        opening_lines=opening_lines,
        steps=loop.step,
        seconds=loop.seconds,
        lr=loop.learner.lr,
        validations=validations,
        kept_state=model.state,
        kept_step=model.card.training.steps,
        best_ap50=loop.selection.best_ap50 if validations else None,
        best_ap30=loop.selection.best_ap30 if validations else None,
        intervals={} if model.result is None else metric_intervals(model.result),
        gain=model.gain,
        advice=advise(facts),
        stopped_early=loop.is_stalled,
        left_out=left_out,
    )


def _first_card(
    name: str,
    data: TrainingData,
    settings: TrainSettings,
    *,
    network: NetworkConfig,
    gsd_m: float,
    initial_weights: str,
    ground: str,
) -> ModelCard:
    """Return the card as far as it is known before the first step."""
    sizes_m = np.concatenate([raster.sizes_m.max(axis=1) for raster in data.train])
    small, median, large = np.percentile(sizes_m, [1, 50, 99]).round(2)
    return new_card(
        name=name,
        description=settings.description,
        classes=data.classes,
        gsd_m=gsd_m,
        tile_px=TILE_PX,
        vote_iou=VOTE_IOU,
        object_size_m=(float(small), float(median), float(large)),
        network=network,
        training=TrainingRecord(
            data=settings.data_source,
            licence=settings.licence,
            initial_weights=initial_weights,
            ground=ground,
            objects=sum(int(raster.is_trainable.sum()) for raster in data.rasters),
        ),
    )
