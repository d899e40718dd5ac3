"""Workers of a planned run that fail, differ or disappear, and what its status says of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from geodetect import CallableDetector, PredictSettings
from geodetect.detection.sharding import signs
from geodetect.detection.sharding.merge import merge_to_file
from geodetect.detection.sharding.plan_run import plan_to_folder
from geodetect.detection.sharding.predict_shards import predict_shards
from geodetect.detection.sharding.status import run_status
from geodetect.detection.sharding.worker import ShardWorker
from geodetect.errors import GeodetectWarning, IncompleteWarning, InputError, RasterError
from tests.conftest import Save
from tests.helpers.painted_scenes import mixed, read_colours
from tests.helpers.sheets import cut_into_sheets, damage_pixels
from tests.helpers.tiny_model import save_tiny_model

SETTINGS = PredictSettings(tile_size=96, overlap=32, workers=1)
ROW_PX = 64.0**2 * 3  # of a row of tiles
TOY = CallableDetector(read_colours, identity="toy", tile_px=96)


@pytest.fixture
def sheets(save: Save) -> list[Path]:
    pixels = mixed(220, seed=5, largest=40).pixels
    return cut_into_sheets(save, pixels, columns=2, overlap_px=20, compress="deflate")


@pytest.fixture
def run(sheets: list[Path], tmp_path: Path) -> Path:
    """A planned run of four sheets, a row of tiles in each of its three shards."""
    plan_to_folder(sheets, tmp_path / "run", TOY, settings=SETTINGS, shard_px=ROW_PX)
    return tmp_path / "run"


def test_workers_that_give_other_numbers_are_refused_unless_they_may_be_mixed(
    sheets: list[Path], tmp_path: Path
) -> None:
    run, model = tmp_path / "run", save_tiny_model(tmp_path / "tiny.safetensors")
    plan_to_folder(sheets, run, model, settings=SETTINGS, shard_px=ROW_PX)
    first, second = {"runtime": "torch"}, {"runtime": "openvino", "precision": "fp32"}
    predict_shards(run, shard="0", settings=first)
    predict_shards(run, shard="2", settings=first)
    with pytest.raises(
        InputError, match=r"other numbers \(OpenVINO fp32.* shard 0 \(PyTorch .*`allow_mixed`"
    ):
        predict_shards(run, shard="1", settings=second)
    assert run_status(run).absent == (1,)
    predict_shards(run, shard="1", settings=second, allow_mixed=True)
    mixture = r"PyTorch .*: shards 0, 2; OpenVINO fp32.*: shards 1"
    with pytest.raises(InputError, match=rf"several kinds of machines \({mixture}\);"):
        merge_to_file(run, tmp_path / "refused.geojson")
    with pytest.warns(GeodetectWarning, match=mixture):
        merge_to_file(run, tmp_path / "mixed.geojson", allow_mixed=True)
    assert not (tmp_path / "refused.geojson").exists()
    assert (tmp_path / "mixed.geojson").exists()


def test_a_part_of_a_shard_by_another_kind_of_machine_is_computed_again(
    sheets: list[Path], tmp_path: Path
) -> None:
    run, model = tmp_path / "run", save_tiny_model(tmp_path / "tiny.safetensors")
    plan_to_folder(sheets, run, model, settings=SETTINGS)

    def interrupt(completed: int, total: int, /, **figures: float) -> None:
        if completed == total - 1:
            raise KeyboardInterrupt

    other = {"runtime": "openvino", "precision": "fp32", "batch_size": 1}
    with (
        pytest.raises(KeyboardInterrupt, match="interrupted in shard 0; run the same again"),
        ShardWorker(run, settings={"runtime": "torch", "batch_size": 1}) as worker,
    ):
        worker.detect(0, interrupt)
    assert run_status(run).interrupted == (0,)
    with ShardWorker(run, settings=other) as worker:
        worker.detect(0)
    part_by_itself = (run / "shards/000000.shard").read_bytes()
    (run / "shards/000000.shard").unlink()
    with ShardWorker(run, settings=other) as worker:
        worker.detect(0)
    assert (run / "shards/000000.shard").read_bytes() == part_by_itself


def test_strict_ends_at_a_raster_that_cannot_be_read(
    sheets: list[Path], run: Path, tmp_path: Path
) -> None:
    damage_pixels(sheets[0])
    with pytest.raises(RasterError, match=r"0_0\.tif: cannot read"):
        predict_shards(run, TOY, settings={"strict": True})
    status = run_status(run)
    assert list(status.failed) == [0]
    assert "0_0.tif: cannot read" in status.failed[0]
    assert ("Failed", "1: 0") in list(status.display_rows())
    with pytest.warns(IncompleteWarning):
        predict_shards(run, TOY)
    assert run_status(run).failed == {}
    with pytest.raises(InputError, match=r"holes in shards 0,.*`strict`"):
        merge_to_file(run, tmp_path / "strict.geojson", strict=True)


def test_a_worker_is_seen_while_it_works_and_forgotten_when_it_gives_no_more_signs(
    run: Path,
) -> None:
    statuses = []

    def look(*_: Any, **__: Any) -> None:
        statuses.append(run_status(run))

    with ShardWorker(run, TOY) as worker:
        worker.detect(1, look)
    assert {status.running for status in statuses} == {(1,)}
    assert (run_status(run).running, run_status(run).finished) == ((), (1,))
    sign = run / "shards/000002.running"
    for age_s, of_status in ((1.0, "running"), (signs.LOST_S + 60, "interrupted")):
        sign.write_text(json.dumps({"time": time.time() - age_s, "error": ""}))
        assert getattr(run_status(run), of_status) == (2,)
    predict_shards(run, TOY)
    assert [path.name for path in sorted((run / "shards").iterdir())] == [
        "000000.shard", "000001.shard", "000002.shard",
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"time": "now"}'])
def test_a_sign_that_cannot_be_read_is_none(run: Path, content: bytes) -> None:
    (run / "shards").mkdir()
    for suffix in ("running", "failed"):
        (run / f"shards/000001.{suffix}").write_bytes(content)
    status = run_status(run)
    assert (status.running, status.failed, status.absent) == ((), {}, (0, 1, 2))


def test_progress_counts_objects_and_shards_of_all_shards(run: Path) -> None:
    figures = []
    predict_shards(
        run, TOY, progress=lambda completed, total, /, **f: figures.append((completed, total, f))
    )
    completed, total, last = figures[-1]
    assert completed == total
    assert (last["shards"], last["shards_total"]) == (3, 3)
    objects = [figure["objects"] for _, _, figure in figures]
    assert objects == sorted(objects)
    assert objects[-1] > 0
