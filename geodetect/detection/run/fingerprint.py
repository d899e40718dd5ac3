"""Fingerprint of a run: model, settings and rasters that its results depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from itertools import product
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from rasterio.windows import Window

from geodetect.detection.detector import Detector
from geodetect.detection.plan import GroundPlan
from geodetect.errors import InputError
from geodetect.io.raster.dataset import read_dataset, root_cause, source_files
from geodetect.io.raster.georeference import GDAL_ERRORS
from geodetect.io.raster.reader import Raster
from geodetect.io.raster.remote import http_cause
from geodetect.settings import PredictSettings
from geodetect.version import __version__

WITHOUT_EFFECT = {"batch_size", "workers", "external_sources"}
# part of the fingerprints of plans and models
IN_PLAN_OR_MODEL = {"aoi", "bbox", "device", "runtime", "precision"}
STATE_HEADERS = ("Content-Length", "ETag", "Last-Modified")
TIMEOUT_S = 20
SAMPLE_PX, SAMPLES = 64, 3  # windows of pixels along each axis
UNKNOWN = "unknown"
MAX_REQUESTS = 16  # to servers, at once
STATISTICS = ".aux.xml"  # written by a GIS when it displays a raster


def run_fingerprint(
    detector: Detector,
    settings: PredictSettings,
    plans: Sequence[GroundPlan],
    *,
    batch_size: int | None = None,
) -> dict[str, str]:
    """Return the fingerprint of a run, by name of each part, for a journal to compare.

    Files are recognised by name, size and time of change, on a web server by its headers: reading
    them completely would take as long as the work that a journal saves. If the server sends no
    size, ETag or date, a few sampled pixels are hashed.

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
        f"ground {i}, {plan.ground.name}": _plan_fingerprint(plan)
        for i, plan in enumerate(plans, 1)
    }
    rasters = [raster for plan in plans for raster in plan.ground.rasters]
    states = {f"raster {i}, {r.name}": _raster_state(r) for i, r in enumerate(rasters, 1)}
    return {
        "version of geodetect": __version__,
        "model": f"{identity} {_digest(detector.card.model_dump_json())}",
        "settings": settings.model_dump_json(exclude=WITHOUT_EFFECT | IN_PLAN_OR_MODEL),
        "batches": f"{batch_size}" if getattr(detector, "depends_on_batch", False) else "any",
        **grounds,
        **states,
    }


def _plan_fingerprint(plan: GroundPlan) -> str:
    """Return digests of how a ground is put together and tiled."""
    ground, grid = plan.ground, plan.grid
    tiling = f"{grid.crs_wkt} {ground.grid!r} {grid!r} {plan.scheme!r}"
    area = "everywhere" if plan.area is None else _digest(plan.area.wkb)
    rasters = _digest(ground.boxes.tobytes() + ground.is_aligned.tobytes())
    return f"{_digest(tiling)} {rasters} {area}"


def _raster_state(raster: Raster) -> str:
    """Return the state of the files of a raster, and a digest of how it is read.

    Of a VRT, its source files count, too.
    """
    states, values = read_dataset(
        raster.path,
        partial(_dataset_state, external_sources=raster.external_sources),
        external_sources=raster.external_sources,
    )
    return (
        f"{', '.join(states)}, {_digest(repr(values))} {_digest(f'{raster.grid!r} {raster.bands}')}"
    )


def _dataset_state(dataset: Any, *, external_sources: bool) -> tuple[list[str], list[Any]]:
    """Return the states of the files of a dataset, and properties that they do not tell."""
    values = [dataset.dtypes, dataset.nodatavals, dataset.mask_flag_enums, dataset.colorinterp]
    files = sorted(source_files(dataset, external_sources=external_sources))
    with ThreadPoolExecutor(MAX_REQUESTS) as pool:
        states = list(filter(None, pool.map(_file_state, files)))
    if not states or UNKNOWN in states:
        states.append(_hash_samples(dataset))
    return states, values


def _file_state(file: str) -> str | None:
    """Return size and time of change of a file, or UNKNOWN; None: the file has no effect."""
    if file.endswith(STATISTICS):
        return None
    path = Path(file)
    if path.is_file():
        status = path.stat()
        return f"{status.st_size} bytes, changed {status.st_mtime_ns}"
    url = file.removeprefix("/vsicurl/")
    if not url.startswith(("http://", "https://")):
        return UNKNOWN
    try:
        with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT_S) as response:
            headers = [response.headers.get(name, "") for name in STATE_HEADERS]
    except (OSError, ValueError, HTTPException):  # some servers only allow reading
        return UNKNOWN
    # a digest, as a query may contain secrets
    return f"{_digest(file)} {', '.join(headers)}" if any(headers) else UNKNOWN


def _hash_samples(dataset: Any) -> str:
    """Return a digest of small windows spread over a raster."""
    digest = hashlib.sha256(dataset.name.encode())
    width, height = min(SAMPLE_PX, dataset.width), min(SAMPLE_PX, dataset.height)
    for column, row in product(range(SAMPLES), repeat=2):
        x = (dataset.width - width) * column // (SAMPLES - 1)
        y = (dataset.height - height) * row // (SAMPLES - 1)
        try:
            digest.update(dataset.read(window=Window(x, y, width, height)).tobytes())
        except GDAL_ERRORS as error:  # perhaps outside the area of interest
            if http_cause([root_cause(error)]) is not None:
                raise
            digest.update(b"unreadable")
    return f"pixels {digest.hexdigest()[:16]}"


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]
