"""Fixtures of several packages: GeoTIFFs, and data that is not part of the repository."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from tests.helpers.s3_server import S3Server, serve_s3

METRES = Affine(0.2, 0, 700_000, 0, -0.2, 6_600_000)  # 0.2 m pixels in EPSG:2154
SHARED = Path(__file__).parents[2] / "shared" / "data"

Save = Callable[..., Path]

# converted networks go to a temporary folder, not to the user's cache; pytest's workers inherit it
if "GEODETECT_CACHE_DIR" not in os.environ:
    os.environ["GEODETECT_CACHE_DIR"] = cache = tempfile.mkdtemp(prefix="geodetect-tests-")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)

# an example that takes long on a busy machine is no failure
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Function that writes ``[C, H, W]`` or ``[H, W]`` as a GeoTIFF, with options of rasterio."""

    def save_raster(pixels: Any, name: str = "scene.tif", **options: Any) -> Path:
        pixels = np.atleast_3d(np.asarray(pixels).T).T
        colours, mask = options.pop("colours", None), options.pop("mask", None)
        overviews = options.pop("overviews", None)
        options = {"crs": "EPSG:2154", "transform": METRES, "driver": "GTiff"} | options
        if options["transform"] is None:
            del options["transform"]
        count, height, width = pixels.shape
        if count == 3 and pixels.dtype == np.uint8:
            options.setdefault("photometric", "RGB")
        path = tmp_path / name
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path, "w", width=width, height=height, count=count, dtype=pixels.dtype, **options
            ) as dataset,
        ):
            dataset.write(pixels)
            if colours:
                dataset.colorinterp = colours
            if mask is not None:
                dataset.write_mask(mask)
            if overviews:
                dataset.build_overviews(*overviews)
        return path

    return save_raster


@pytest.fixture
def shared_data() -> Path:
    """Folder of imagery that is not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data, which is not part of the repository")
    return SHARED


@pytest.fixture(scope="session")
def timm() -> Any:
    return pytest.importorskip("timm", reason="needs the extra timm")


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[S3Server]:
    with serve_s3() as server:
        yield server


@pytest.fixture
def s3_server(
    _s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[S3Server]:
    """S3-compatible server with an empty folder; its address and keys are in the environment."""
    _s3_server.folder = tmp_path.name
    for name, value in _s3_server.environment.items():
        monkeypatch.setenv(name, value)
    yield _s3_server
    if not _s3_server.is_running:
        _s3_server.start()


@pytest.fixture(scope="module")
def no_stored_networks() -> Iterator[None]:
    """Models that are written hold parameters only: a conversion for OpenVINO takes a second."""
    from geodetect.model.runtimes import conversion

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "network_names", lambda card: ())
        yield
