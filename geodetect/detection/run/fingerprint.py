"""What the results of a run depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from itertools import product
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import rasterio
from rasterio.windows import Window

from geodetect.detection.detector import Detector
from geodetect.detection.plan import RasterPlan
from geodetect.errors import InputError, RasterError
from geodetect.io.raster.dataset import gdal_options, open_dataset
from geodetect.io.raster.georeference import GDAL_ERRORS
from geodetect.io.raster.reader import Raster
from geodetect.settings import PredictSettings
from geodetect.version import __version__

WITHOUT_EFFECT = {"batch_size", "workers"}
STATE_HEADERS = ("Content-Length", "ETag", "Last-Modified")
PATIENCE_S = 20
PROBE_PX, PROBES = 64, 3  # along each axis
UNKNOWN = "unknown"
MOST_ASKED = 16  # servers at once
STATISTICS = ".aux.xml"  # which comes when somebody looks at a raster in a GIS
KNOWN_OTHERWISE = {"aoi", "bbox", "device", "runtime", "precision"}  # by the plan and the detector


def run_fingerprint(
    detector: Detector,
    settings: PredictSettings,
    plans: Sequence[RasterPlan],
    *,
    batch_size: int | None = None,
) -> dict[str, str]:
    """What the results of each tile depend on, by name, for a journal to compare.

    A file is known by its name, size and time of change, on a web server as the server tells them:
    reading it whole would take as long as the work that a journal saves. Where nobody tells, it is
    known by some of its pixels.

    Args:
        detector: What finds objects.
        settings: Those of the run.
        plans: How the rasters are looked at.
        batch_size: Tiles that the detector is to get in one call; only matters to detectors with
            ``depends_on_batch``.

    Raises:
        InputError: The detector has no identity.
    """
    identity = getattr(detector, "identity", None)
    if identity is None:
        raise InputError(
            f"the detector {detector.card.name!r} has no `identity`, so a journal could not tell "
            f"it from another one; give CallableDetector an identity=, or go without a journal"
        )
    others = WITHOUT_EFFECT | KNOWN_OTHERWISE
    rasters = {f"raster {i}, {one.raster.name}": _of_plan(one) for i, one in enumerate(plans, 1)}
    return {
        "version of geodetect": __version__,
        "model": f"{identity} {_digest(detector.card.model_dump_json())}",
        "settings": settings.model_dump_json(exclude=others),
        "batches": f"{batch_size}" if getattr(detector, "depends_on_batch", False) else "any",
        **rasters,
    }


def _of_plan(one: RasterPlan) -> str:
    area = "everywhere" if one.area is None else _digest(one.area.wkb)
    grids = f"{one.grid.crs_wkt} {one.raster.grid!r} {one.grid!r} {one.scheme!r} {one.raster.bands}"
    return f"{_of_file(one.raster)} {_digest(grids)} {area}"


def _of_file(raster: Raster) -> str:
    """The files a raster is made of: of a VRT, those it points to, too; and how it is read."""
    with rasterio.Env(**gdal_options(raster.path)), open_dataset(raster.path) as dataset:
        read = [dataset.dtypes, dataset.nodatavals, dataset.mask_flag_enums, dataset.colorinterp]
        with ThreadPoolExecutor(MOST_ASKED) as pool:
            known = [one for one in pool.map(_of_part, sorted(_files(dataset, set()))) if one]
        if not known or UNKNOWN in known:  # nobody tells of a change
            known.append(_of_pixels(dataset))
    return f"{', '.join(known)}, {_digest(repr(read))}"


def _files(dataset: Any, seen: set[str]) -> set[str]:
    """All files that are read; a VRT may point to another one."""
    new = {str(file) for file in dataset.files or [dataset.name]} - seen
    seen |= new
    for file in new:
        if file.lower().endswith(".vrt") and file != dataset.name:
            with suppress(RasterError), open_dataset(file) as inner:  # reading tells of it
                _files(inner, seen)
    return seen


def _of_part(file: str) -> str | None:
    """What tells whether a file has changed, or UNKNOWN; None: it does not matter."""
    if file.endswith(STATISTICS):
        return None
    path = Path(file)
    if path.is_file():
        status = path.stat()
        return f"{status.st_size} bytes, changed {status.st_mtime_ns}"
    told = _on_server(file)
    return f"{_digest(file)} {told}" if told else UNKNOWN  # what follows a ? may be secret


def _on_server(url: str) -> str:
    """What a web server says that a file's size, version and time of change are."""
    url = url.removeprefix("/vsicurl/")
    if not url.startswith(("http://", "https://")):
        return ""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=PATIENCE_S) as answer:
            told = [answer.headers.get(name, "") for name in STATE_HEADERS]
    except (OSError, ValueError, HTTPException):  # some servers only let files be read
        return ""
    return ", ".join(told) if any(told) else ""


def _of_pixels(dataset: Any) -> str:
    """A digest of small windows spread over a raster."""
    digest = hashlib.sha256(dataset.name.encode())
    width, height = (min(PROBE_PX, side) for side in (dataset.width, dataset.height))
    for column, row in product(range(PROBES), repeat=2):
        x = (dataset.width - width) * column // (PROBES - 1)
        y = (dataset.height - height) * row // (PROBES - 1)
        try:
            digest.update(dataset.read(window=Window(x, y, width, height)).tobytes())
        except GDAL_ERRORS:  # it may be that nobody needs them
            digest.update(b"unreadable")
    return f"pixels {digest.hexdigest()[:16]}"


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]
