"""Fingerprint of a run: model, settings and grounds that its results depend on."""

from __future__ import annotations

from collections.abc import Sequence

from geodetect.detection.detectors.detector import Detector
from geodetect.detection.plan import GroundPlan
from geodetect.errors import InputError
from geodetect.io.raster.state import short_digest
from geodetect.settings import PredictSettings
from geodetect.version import __version__

WITHOUT_EFFECT = {"batch_size", "workers", "external_sources", "strict"}
# part of the fingerprints of plans and models
IN_PLAN_OR_MODEL = {"aoi", "bbox", "device", "runtime", "precision"}


def run_fingerprint(
    detector: Detector,
    settings: PredictSettings,
    plans: Sequence[GroundPlan],
    *,
    batch_size: int | None = None,
) -> dict[str, str]:
    """Return the fingerprint of a run, by name of each part, for a journal to compare.

    Of rasters, their names and places count. The state of their files is kept with each run of
    tiles (``TileRun.state``), so that a repaired raster costs the tiles that show it, no more.

    Args:
        detector: The detector.
        settings: Settings of the run.
        plans: Plans of the grounds.
        batch_size: Tiles in one call of the detector; only matters to detectors with
            ``depends_on_batch``.

    Raises:
        InputError: The detector has no identity.
    """
    identity = getattr(detector, "identity", None)
    if identity is None:
        raise InputError(
            f"the detector {detector.card.name!r} has no `identity`, so a journal could not tell "
            f"it from another one; give CallableDetector an identity=, or keep no journal"
        )
    grounds = {
        f"ground {i}, {plan.ground.name}": plan_fingerprint(plan) for i, plan in enumerate(plans, 1)
    }
    return {
        "version of geodetect": __version__,
        "model": f"{identity} {short_digest(detector.card.model_dump_json())}",
        "settings": settings.model_dump_json(exclude=WITHOUT_EFFECT | IN_PLAN_OR_MODEL),
        "batches": f"{batch_size}" if getattr(detector, "depends_on_batch", False) else "any",
        **grounds,
    }


def plan_fingerprint(plan: GroundPlan) -> str:
    """Return digests of how a ground is put together and tiled."""
    ground, grid = plan.ground, plan.grid
    tiling = f"{grid.crs_wkt} {ground.grid!r} {grid!r} {plan.scheme!r}"
    area = "everywhere" if plan.area is None else short_digest(plan.area.wkb)
    names = "/".join(raster.name for raster in ground.rasters)
    rasters = short_digest(names.encode() + ground.boxes.tobytes() + ground.is_aligned.tobytes())
    return f"{short_digest(tiling)} {rasters} {area}"
