"""What the results of a run depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from geodetect.detection.detector import Detector
from geodetect.detection.plan import RasterPlan
from geodetect.errors import InputError
from geodetect.io.dataset import open_dataset
from geodetect.io.raster import Raster
from geodetect.settings import PredictSettings
from geodetect.version import __version__

WITHOUT_EFFECT = {"batch_size", "workers"}
STATE_HEADERS = ("Content-Length", "ETag", "Last-Modified")
PATIENCE_S = 20
STATISTICS = ".aux.xml"  # which comes when somebody looks at a raster in a GIS
KNOWN_OTHERWISE = {"aoi", "bbox", "device", "runtime", "precision"}  # by the plan and the detector


def run_identity(
    detector: Detector, settings: PredictSettings, plans: Sequence[RasterPlan]
) -> dict[str, str]:
    """What the results of each tile depend on, by name, for a journal to compare.

    A file is known by its name, size and time of change, on a web server as the server tells them:
    reading it whole would take as long as the work that a journal saves.

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
        **rasters,
    }


def _of_plan(one: RasterPlan) -> str:
    area = "everywhere" if one.area is None else _digest(one.area.wkb)
    grids = f"{one.raster.grid!r} {one.grid!r} {one.scheme!r} {one.raster.bands}"
    return f"{_of_file(one.raster)} {_digest(grids)} {area}"


def _of_file(raster: Raster) -> str:
    """The files a raster is made of: of a VRT, those it points to, too."""
    with open_dataset(raster.path) as dataset:
        files = [Path(file) for file in sorted(dataset.files)]
    known = [file.stat() for file in files if file.is_file() and not file.name.endswith(STATISTICS)]
    if not known:  # a URL, or one of GDAL's virtual files
        return f"{raster.path} {_on_server(raster.path)}"
    return ", ".join(f"{one.st_size} bytes, changed {one.st_mtime_ns}" for one in known)


def _on_server(url: str) -> str:
    """What a web server says that a file's size, version and time of change are."""
    url = url.removeprefix("/vsicurl/")
    if not url.startswith(("http://", "https://")):
        return ""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=PATIENCE_S) as answer:
            return ", ".join(answer.headers.get(name, "") for name in STATE_HEADERS)
    except (OSError, ValueError, HTTPException):  # some servers only let files be read
        return ""


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]
