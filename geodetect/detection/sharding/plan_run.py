"""Plan of a run that many machines share: the manifest in the folder of the run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Unpack

import shapely

from geodetect.detection.detectors.detector import Detector
from geodetect.detection.plan import SHARD_PX
from geodetect.detection.plan_rasters import plan_rasters
from geodetect.detection.run.tile_pipeline import class_numbers
from geodetect.detection.search import check_conversions
from geodetect.detection.shapes.outlines import check_outlines
from geodetect.detection.sharding.manifest import (
    PLAN,
    Manifest,
    PlannedGround,
    PlannedShard,
    digest_of_rasters,
    list_changes,
)
from geodetect.detection.sharding.record import FOLDER
from geodetect.detection.sharding.worker import identity_of
from geodetect.errors import InputError, OutputError, list_names
from geodetect.io.array_raster import ArrayRaster, as_raster_paths
from geodetect.io.object_store import Store, open_store
from geodetect.io.raster.remote import is_remote
from geodetect.model.file import draws_outlines, list_models, load_card
from geodetect.progress import Progress, phase, reports_progress
from geodetect.settings import PredictSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import PredictKeywords
from geodetect.types import PathLike


@takes_settings(PredictSettings)
@reports_progress
def plan_to_folder(
    rasters: PathLike | Sequence[PathLike],
    location: PathLike,
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | Mapping[str, Any] | None = None,
    shard_px: float = SHARD_PX,
    overwrite: bool = False,
    progress: Progress | bool = False,
    **keywords: Unpack[PredictKeywords],
) -> Manifest:
    """Plan a run that many machines share, as ``geodetect plan`` does; only headers are read.

    The folder gets a manifest, ``plan.json``: rasters, lattices of tiles, digests of model and
    settings, and shards. Any number of workers computes the shards with ``predict_shards``, in any
    order, and ``merge_to_file`` makes one layer of them. Nothing but the folder is shared.

    Args:
        rasters: Files, folders of rasters or URLs, as for ``predict``; workers need them at the
            same place.
        location: Folder of the run.
        model: As for ``predict``. A ``Detector`` needs an ``identity``.
        settings: As for ``predict``. Device, runtime, precision, batch size and threads are those
            of workers that state none.
        shard_px: Pixels of the working resolution that a shard covers, at least about a tile.
        overwrite: Replace another plan, and remove its records.
        progress: As for ``predict``.
        keywords: Settings by name, such as ``conf=0.5``; they win over ``settings``.

    Returns:
        The manifest.

    Raises:
        RasterError: As for ``predict``.
        InputError: As for ``predict``; or rasters are arrays.
        OutputError: The folder holds another plan, or cannot be written.
    """
    settings = PredictSettings.resolve(settings, keywords)
    paths = as_raster_paths(rasters)
    sources = [paths] if isinstance(paths, str | os.PathLike) else paths
    if any(isinstance(source, ArrayRaster) for source in sources):
        raise InputError("`rasters`: expected files or URLs, which workers open; found an array")
    if not shard_px >= 1:
        raise InputError(f"`shard_px` must be at least 1, found {shard_px}")
    store = open_store(location)
    card = model.card if callable(model) else load_card(model)
    class_numbers(card, settings)  # checks them
    has_outlines = draws_outlines(card)
    if callable(model):
        has_outlines = getattr(model, "has_outlines", False)
    check_outlines(has_outlines, settings, model=card.name)
    with ExitStack() as stack:
        left_out: dict[str, str] = {}
        plans = plan_rasters(paths, card, settings, shard_px=shard_px, left_out=left_out)
        for plan in plans:
            stack.enter_context(plan.ground)
        check_conversions(plans, ())
        opened = [raster for plan in plans for raster in plan.ground.rasters]
        numbers = {id(raster): number for number, raster in enumerate(opened)}
        with phase("Reading states of files"):
            rasters_digest = digest_of_rasters(opened)
        manifest = Manifest(
            model=None if callable(model) else _lasting_path(model),
            model_identity=identity_of(model),
            card=card,
            settings=settings.model_copy(update={"aoi": None, "bbox": None}),
            shard_px=shard_px,
            rasters=len(opened),
            rasters_digest=rasters_digest,
            left_out=left_out,
            grounds=tuple(
                PlannedGround(
                    rasters=tuple(numbers[id(raster)] for raster in plan.ground.rasters),
                    tile_px=plan.scheme.tile_px,
                    overlap_px=plan.scheme.overlap_px,
                    area=None if plan.area is None else shapely.to_wkb(plan.area, hex=True),
                )
                for plan in plans
            ),
            shards=tuple(
                PlannedShard(
                    ground=number,
                    rows=(block.first_row, block.end_row),
                    columns=(block.first_col, block.end_col),
                    tiles=tiles,
                )
                for number, plan in enumerate(plans)
                for block in plan.shards
                if (tiles := plan.count_tiles(block))
            ),
        )
    if _check_target(store, manifest, overwrite=overwrite):
        manifest.write(store, opened)
    return manifest


def _lasting_path(path: PathLike) -> str:
    """Return a path that workers in other folders understand; names and URLs as they are."""
    text = os.fspath(path)
    if is_remote(text) or text in list_models() or not Path(text).exists():
        return text
    return str(Path(text).absolute())


def _check_target(store: Store, manifest: Manifest, *, overwrite: bool) -> bool:
    """Check that a folder holds no other run, or remove it; return False if it holds this one.

    Raises:
        OutputError: It does, and must not be replaced.
    """
    names = store.names()
    if PLAN not in names and not any(name.startswith(FOLDER) for name in names):
        return True
    try:
        earlier = Manifest.read(store)
        if earlier.digest == manifest.digest:
            return False
        changes = list_names(list_changes(earlier, manifest))
        problem = f"holds another plan (not the same: {changes})"
    except InputError as error:
        problem = f"holds another run ({error})"
    if not overwrite:
        raise OutputError(
            f"{store.location} {problem}; choose another `output`, or set `overwrite` to remove "
            f"its plan and its records"
        )
    for name in [PLAN, *(name for name in names if name != PLAN)]:
        if name == PLAN or name.startswith(FOLDER):
            store.delete(name)
    return True
