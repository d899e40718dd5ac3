"""``plan``, ``predict --plan``, ``merge`` and ``status``, as schedulers and people call them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.program import PROGRAM, check_failure, invoke, program_environment
from tests.helpers.square_scenes import grid_corners, squares_image, write_raster
from tests.helpers.tiny_model import save_tiny_model

TILED = ("--tile-size", "64", "--overlap", "16")
SCHEDULERS = ("SLURM_ARRAY_TASK_ID", "AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX",
              "CLOUD_RUN_TASK_INDEX")  # fmt: skip


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SCHEDULERS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A planned run of five rows of tiles, each of which is a shard."""
    monkeypatch.chdir(tmp_path)
    write_raster(tmp_path / "scene.tif", squares_image(256, grid_corners(256)))
    save_tiny_model(tmp_path / "squares.safetensors")
    result = invoke("plan", "scene.tif", "-o", "run", "-m", "squares.safetensors", *TILED,
                    "--shard", "10kpx", catch_exceptions=False)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return tmp_path / "run"


def names(run: Path) -> list[int]:
    return sorted(int(path.stem) for path in (run / "shards").glob("*.shard"))


def test_a_run_is_planned_computed_in_parts_watched_and_merged(run: Path, tmp_path: Path) -> None:
    predict = ["predict", "scene.tif", "-m", "squares.safetensors", "-o", "one.gpkg", *TILED]
    assert invoke(*predict, "--device", "cpu").exit_code == 0
    status = json.loads(invoke("status", run, "--json").stdout)
    assert status["absent"] == list(range(status["shards"]))
    assert status["next"] == f"geodetect predict --plan {run}"
    check_failure(invoke("merge", run, "-o", "merged.gpkg"), "shards are not computed yet")
    for index in (2, 1):
        result = invoke("predict", "--plan", run, "--shard", f"{index}/2", "--device", "cpu",
                        "--json")  # fmt: skip
        assert result.exit_code == 0, result.stderr
        values = json.loads(result.stdout)
        assert {number % 2 for number in values["computed"]} == {index % 2}
    assert values["absent"] == []
    assert values["next"].startswith(f"geodetect merge {run} -o run.gpkg")
    result = invoke("status", run)
    assert f"{status['shards']} of {status['shards']} computed" in result.stdout
    merged = json.loads(invoke("merge", run, "-o", "merged.gpkg", "--json").stdout)
    assert merged["command"] == "merge"
    assert merged["objects"] > 0
    assert (tmp_path / "merged.gpkg").read_bytes() == (tmp_path / "one.gpkg").read_bytes()
    check_failure(invoke("merge", run, "-o", "merged.gpkg"), "--overwrite")


@pytest.mark.parametrize(
    ("variables", "computed"),
    [
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "3"}, {0}),
        ({"SLURM_ARRAY_TASK_ID": "8", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "4",
          "SLURM_ARRAY_TASK_MAX": "8", "SLURM_ARRAY_TASK_STEP": "2"}, {2}),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, {1}),
        ({"CLOUD_RUN_TASK_INDEX": "2", "CLOUD_RUN_TASK_COUNT": "3"}, {2}),
    ],
)  # fmt: skip
def test_a_scheduler_states_the_part(
    variables: dict[str, str], computed: set[int], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = invoke("predict", "--plan", run, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert {number % 3 for number in names(run)} == computed
    assert next(iter(variables)) in result.stderr


def test_an_index_without_a_number_of_tasks_is_a_shard(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    assert invoke("predict", "--plan", run, "--device", "cpu").exit_code == 0
    assert names(run) == [1]
    assert invoke("predict", "--plan", run, "--shard", "0", "--device", "cpu").exit_code == 0
    assert names(run) == [0, 1]
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "700")
    check_failure(
        invoke("predict", "--plan", run),
        "JOB_COMPLETION_INDEX is 700, and there are",
        "shards, counted from 0",
        "--shard",
    )
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "17")
    for name, value in (("COUNT", "2"), ("MIN", "3"), ("MAX", "17"), ("STEP", "1")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    check_failure(invoke("predict", "--plan", run), "an array with gaps", "--shard")


@pytest.mark.parametrize("shard", ["8/7", "x", "1/0", "-1/3", "1/2/3", "1/"])
def test_a_part_that_is_none_is_refused_in_one_line(shard: str, run: Path) -> None:
    check_failure(invoke("predict", "--plan", run, f"--shard={shard}"), "--shard", "17/400")


def test_options_of_another_kind_of_run_are_refused(run: Path, tmp_path: Path) -> None:
    for options, words in (
        (("scene.tif",), "RASTER goes without --plan"),
        (("-o", "x.gpkg"), "--output goes without --plan"),
        (("--dry-run",), "--dry-run goes without --plan"),
        (("--no-journal",), "--no-journal goes without --plan"),
    ):
        result = invoke("predict", "--plan", run, *options)
        assert (result.exit_code, words in result.stderr) == (2, True), result.stderr
    result = invoke("predict", "scene.tif", "--shard", "1/2")
    assert (result.exit_code, "--plan" in result.stderr) == (2, True), result.stderr
    check_failure(invoke("predict", "--plan", run, "--conf", "0.9"), "--conf", "plan")
    check_failure(invoke("predict", "--plan", run, "--model", "pools"), "another model", "--model")
    check_failure(invoke("predict", "--plan", tmp_path), "no run was planned there")
    check_failure(invoke("status", tmp_path / "none"), "no run was planned there")
    again = ["plan", "scene.tif", "-o", run, "-m", "squares.safetensors", *TILED]
    assert invoke(*again, "--shard", "10kpx").exit_code == 0  # the same plan
    check_failure(invoke(*again), "holds another plan", "shard_px", "--overwrite")
    assert invoke(*again, "--overwrite").exit_code == 0
    for shard in ("2Gpixel", "0", "-5"):
        result = invoke(*again, "--shard", shard)
        assert (result.exit_code, "--shard" in result.stderr) == (2, True), result.stderr


def test_a_cluster_that_does_not_answer_is_one_line(run: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    cluster = ("--engine", "ray", "--ray-address", "127.0.0.1:1", "-q")
    expected = "--ray-address: no cluster of Ray answers at 127.0.0.1:1 (Connection refused)"
    check_failure(invoke("predict", "--plan", run, *cluster), expected)
    rasters = ("scene.tif", "-m", "squares.safetensors", "-o", "a.gpkg", *TILED)
    check_failure(invoke("predict", *rasters, *cluster), expected)
    assert (run.parent / "a.gpkg.run/plan.json").is_file()  # the same again goes on from there
    check_failure(invoke("predict", *rasters, *cluster, "--no-journal"), "state --work-dir")


def test_an_address_of_a_cluster_needs_its_engine(run: Path) -> None:
    result = invoke("predict", "--plan", run, "--ray-address", "127.0.0.1:6379")
    assert result.exit_code == 2
    assert "add --engine ray" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_sigterm_puts_the_finished_rows_of_a_shard_from_which_the_next_worker_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = save_tiny_model(tmp_path / "m.safetensors", gsd_m=None)
    raster = write_raster(tmp_path / "scene.tif", squares_image(1000, grid_corners(1000, 60)))
    chosen = ("--device", "cpu", "--tile-size", "64", "--conf", "0.1")
    assert invoke("predict", raster, "-m", model, "-o", "whole.gpkg", *chosen).exit_code == 0
    assert invoke("plan", raster, "-m", model, "-o", "run", *chosen).exit_code == 0
    worker = ("predict", "--plan", "run", "--device", "cpu")
    with subprocess.Popen(
        [*PROGRAM, *worker, "--progress", "json", "--progress-every", "0.1"],
        env=program_environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line).get("completed", 0) > 60:
                break
        process.send_signal(signal.SIGTERM)
        *_, last = process.stderr
    assert process.returncode == 128 + signal.SIGTERM
    assert json.loads(last)["text"].startswith("interrupted in shard 0; run the same again")
    assert [path.name for path in Path("run/shards").iterdir()] == ["000000.partial"]
    assert invoke(*worker).exit_code == 0
    assert invoke("merge", "run", "-o", "merged.gpkg").exit_code == 0
    assert Path("merged.gpkg").read_bytes() == Path("whole.gpkg").read_bytes()
