"""Prediction on a cluster, from rasters to files: plan, shards and merge in one."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence

from geodetect.detection.detection_layer import DetectionLayer
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.predict_to_file import PredictionFiles
from geodetect.detection.sharding.merge import merge_into
from geodetect.detection.sharding.plan_run import plan_to_folder
from geodetect.detection.sharding.predict_shards import predict_shards
from geodetect.errors import IncompleteWarning, InputError
from geodetect.progress import Progress, no_progress
from geodetect.settings import PredictSettings
from geodetect.types import PathLike

SHARD_PX = 2.5e8  # half a minute of a few cores: also a town keeps many workers busy


def predict_on_cluster(
    files: PredictionFiles,
    rasters: PathLike | Sequence[PathLike],
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | None = None,
    ray_address: str | None = None,
    progress: Progress = no_progress,
) -> DetectionLayer:
    """Detect objects in rasters on a cluster of Ray and write them to files.

    Plan and finished shards are kept in a folder beside the output, or in ``work_dir``, until all
    files are written: a run that was interrupted resumes when it is called again. All nodes need
    that folder and the rasters under the same paths.

    Args:
        files: Files of the run.
        rasters: As for ``plan_to_folder``.
        model: As for ``plan_to_folder``.
        settings: As for ``predict``.
        ray_address: As for ``predict_shards``.
        progress: As for ``predict_shards``.

    Returns:
        The objects of all rasters, with the summary and the coverage of the run.

    Raises:
        InputError: As for ``plan_to_folder`` and ``predict_shards``; or there is no folder for the
            run.
        OutputError: As for ``predict_to_file``; or the folder holds another run.
        LostProcessError: As for ``predict_shards``.
    """
    files.check()
    run = files.run_folder
    if run is None:
        raise InputError(
            "`engine`: ray keeps finished shards in a folder beside the output; state `work_dir` "
            "for it, without `no_journal`"
        )
    if files.restart:
        shutil.rmtree(run, ignore_errors=True)
    try:
        plan_to_folder(
            rasters, run, model, settings=settings, shard_px=SHARD_PX, overwrite=files.overwrite
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IncompleteWarning)  # the merge tells them
            predict_shards(
                run,
                model if callable(model) else None,
                engine="ray",
                ray_address=ray_address,
                progress=progress,
            )
        layer = merge_into(files, run)
    except KeyboardInterrupt:
        message = "interrupted; run the same again to resume where it stopped"
        raise KeyboardInterrupt(message) from None
    if not layer.summary.left_out:  # else running again reads what is missing
        shutil.rmtree(run)
    return layer
