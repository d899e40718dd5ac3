"""Number of tiles in work at a time."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import geodetect
from geodetect.detection.detections import Detections
from geodetect.detection.plan import GroundPlan
from geodetect.detection.plan_rasters import plan_rasters
from geodetect.detection.run.concurrency import (
    Concurrency,
    concurrency_within_memory,
    preferred_concurrency,
)
from geodetect.errors import GeodetectWarning, OutOfMemoryError
from geodetect.model.card import ModelCard
from geodetect.settings import PredictSettings
from tests.conftest import Save
from tests.helpers.program import PROGRAM, check_one_line, program_environment
from tests.helpers.tiny_model import save_tiny_model

SIDE, TILE_PX = 1024, 256
BYTES_PER_PX = 1000
TILE = TILE_PX**2 * 4  # three bands and a mask
IMAGE = TILE_PX**2 * BYTES_PER_PX
CACHE = 256 * 1024**2  # of GDAL
PLENTY = 10**12


class Hungry:
    """Takes memory for each pixel, as much as it says, or fails as a library does."""

    card = ModelCard(name="hungry", classes=("thing",), tile_px=TILE_PX)
    streams, batch_size, bytes_per_px = 4, 1, BYTES_PER_PX

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def __call__(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Detections]:
        if self._error is not None:
            raise self._error
        return [Detections.empty() for _ in pixels]


@pytest.fixture
def plans(save: Save) -> list[GroundPlan]:
    path = save(np.full((3, SIDE, SIDE), 9, np.uint8))
    return plan_rasters(path, Hungry.card, PredictSettings())


def fitting(plans: list[GroundPlan], free: float, **changes: object) -> Concurrency:
    settings = PredictSettings.model_validate({"workers": 4} | changes)
    with closing(plans[0].ground):
        return concurrency_within_memory(plans, Hungry(), settings, free=int(free))


def test_with_enough_memory_all_is_as_wanted(plans: list[GroundPlan]) -> None:
    assert fitting(plans, PLENTY) == Concurrency(1, 4, 4)
    assert fitting(plans, PLENTY, batch_size=7) == Concurrency(7, 4, 4)


@pytest.mark.parametrize("images", [1.5, 2.5, 3.5])
def test_as_many_tiles_side_by_side_as_fit(plans: list[GroundPlan], images: float) -> None:
    free = (images * IMAGE + 60 * TILE + CACHE) / 0.8
    with pytest.warns(GeodetectWarning, match=r"GB of memory are free: batches of one tile, \d at"):
        concurrency = fitting(plans, free)
    assert concurrency == Concurrency(1, int(images), 4)


def test_batches_shrink_before_streams(plans: list[GroundPlan]) -> None:
    with pytest.warns(GeodetectWarning, match="instead of batches of 64 tiles, 4 at once"):
        concurrency = fitting(plans, (4 * IMAGE + 100 * TILE + CACHE) / 0.8, batch_size=64)
    assert concurrency.streams == 4
    assert 1 <= concurrency.batch_size < 16


def test_the_estimate_grows_with_everything() -> None:
    sizes = {"tile": 10, "image": 1000, "max_images": 4}
    least = Concurrency(1, 1, 1).memory_bytes(**sizes)
    for more in (Concurrency(2, 1, 1), Concurrency(1, 2, 1), Concurrency(1, 1, 2)):
        assert more.memory_bytes(**sizes) > least


def test_every_smaller_capacity_is_smaller_and_the_last_is_the_least() -> None:
    steps = list(Concurrency(8, 3, 4).reductions())
    assert steps[0] == Concurrency(8, 3, 4)
    assert steps[-1] == Concurrency(1, 1, 1)
    sizes = [step.batch_size * step.streams * step.workers for step in steps]
    assert sizes == sorted(set(sizes), reverse=True)
    ahead = [step.read_ahead for step in steps]
    assert ahead == sorted(ahead, reverse=True)
    assert ahead[-1] == 2


@pytest.mark.parametrize("streams", [1, 4])
def test_a_tile_that_does_not_fit_says_what_to_lower(
    plans: list[GroundPlan], streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hungry, "streams", streams)  # with one, there is nothing to reduce
    with pytest.raises(OutOfMemoryError, match=r"256 x 256 px takes about .* GB .*`tile_size`"):
        fitting(plans, IMAGE / 2, workers=streams)


def test_a_tile_is_no_larger_than_the_raster(save: Save) -> None:
    settings = PredictSettings(tile_size=100_000)
    plans = plan_rasters(save(np.full((3, 64, 64), 9, np.uint8)), Hungry.card, settings)
    with closing(plans[0].ground):
        concurrency = concurrency_within_memory(plans, Hungry(), settings, free=2 * CACHE)
    assert concurrency == preferred_concurrency(Hungry(), settings)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3.00 GiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("Exception from src/inference: std::bad_alloc"),
    ],
)
def test_a_library_that_runs_out_of_memory_is_one_line_that_says_what_to_lower(
    error: Exception, save: Save
) -> None:
    path = save(np.full((3, SIDE, SIDE), 9, np.uint8))
    with pytest.raises(OutOfMemoryError, match="`tile_size`, `batch_size` or `workers`") as caught:
        geodetect.predict(path, Hungry(error))
    assert "\n" not in str(caught.value)
    assert "256 x 256 px" in str(caught.value)


def test_other_errors_of_libraries_stay_what_they_are(save: Save) -> None:
    path = save(np.full((3, SIDE, SIDE), 9, np.uint8))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        geodetect.predict(path, Hungry(RuntimeError("shapes cannot be multiplied")))


@pytest.mark.skipif(sys.platform != "linux", reason="needs ulimit -v")
def test_the_program_ends_with_one_line_where_memory_is_limited(save: Save, tmp_path: Path) -> None:
    path = save(np.zeros((3, 12_000, 12_000), np.uint8), nodata=255, compress="deflate")
    model = save_tiny_model(tmp_path / "m.safetensors", gsd_m=None)
    output = tmp_path / "found.geojson"
    options = ["--tile-size", "12000", "--device", "cpu"]
    command = [*PROGRAM, "predict", str(path), "-m", str(model), "-o", str(output), *options]
    process = subprocess.run(
        ["bash", "-c", 'ulimit -v 6000000; exec "$@"', "limited", *command],
        capture_output=True,
        text=True,
        env=program_environment(GEODETECT_CACHE_DIR=str(tmp_path)),
        timeout=240,
        check=False,
    )
    assert process.returncode == 1, process.stderr
    check_one_line(process.stderr, "Error: a tile of 12,000 x 12,000 px takes about", "--tile-size")
    assert not output.exists()
