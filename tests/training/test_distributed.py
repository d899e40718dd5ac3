"""Several processes that train one network together."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from geodetect.errors import InputError
from geodetect.training.distributed import Processes, is_main_process, join_processes
from geodetect.training.run.folder import RunFolder
from tests.helpers.program import program_environment

PATIENCE_S = 240
Results = list[dict[str, Any]]  # of a scenario, by rank


def launched(rank: int, port: int, count: int = 2) -> dict[str, str]:
    """Environment variables that ``torchrun`` sets."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


@pytest.fixture(scope="module")
def result_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the results of two processes."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.helpers.distributed_scenarios", str(folder)]
    started = [
        subprocess.Popen(
            command, env=program_environment(**launched(rank, port)), stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    try:
        stderr = [process.communicate(timeout=PATIENCE_S)[1].decode() for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(stderr)
    return folder


@pytest.fixture(scope="module")
def scenarios(result_folder: Path) -> dict[str, Results]:
    both = [json.loads((result_folder / f"{rank}.json").read_text()) for rank in range(2)]
    return {name: [results.get(name, {}) for results in both] for name in both[0]}


def ranks_agree(results: Results, *names: str) -> bool:
    return all(results[0][name] == results[1][name] for name in names)


def test_a_step_of_two_processes_is_that_of_one_with_the_whole_batch(
    scenarios: dict[str, Results],
) -> None:
    for results in scenarios["steps_in_single_precision"]:
        assert results["gradient 2"] < 1e-5, "though one of them has no object"
        assert results["gradient 5"] < 1e-5, "though they have unlike numbers of chips and objects"
        assert max(results["loss 2"], results["loss 5"]) < 1e-5


def test_the_first_measures_and_reports_and_all_stay_equal_to_the_bit(
    scenarios: dict[str, Results], result_folder: Path
) -> None:
    first, second = results = scenarios["several_steps"]
    assert ranks_agree(results, "bits", "step", "best_step", "negatives")
    assert (first["error"], first["step"], first["best_step"]) == ("", 5, 2)
    assert (first["measured"], second["measured"]) == (3, 0)
    assert len(first["negatives"]) == 2, "mined twice, not after the last step"
    rows = RunFolder(result_folder / "whole").metrics.rows()
    assert [row["step"] for row in rows] == first["calls"] == [1, 2, 3, 4, 5]


def test_an_error_of_the_first_ends_all_and_a_resumed_training_equals_a_whole_one_to_the_bit(
    scenarios: dict[str, Results],
) -> None:
    for results, whole in zip(
        scenarios["cut_off_and_resumed"], scenarios["several_steps"], strict=True
    ):
        assert results["cut"] == "OutputError: the disk is full"
        assert (results["since"], results["step"]) == (3, 5)
        assert results["bits"] == whole["bits"]


def test_patience_and_minutes_end_all_at_the_same_step(scenarios: dict[str, Results]) -> None:
    patient, timed = scenarios["out_of_patience"], scenarios["by_the_clock"]
    assert [result["step"] for result in patient] == [3, 3]
    assert ranks_agree(timed, "step", "bits")
    assert timed[0]["step"] > 0


def test_a_chip_that_one_cannot_read_is_the_error_of_all(scenarios: dict[str, Results]) -> None:
    results = scenarios["damaged_for_one"]
    assert [result["error"] for result in results] == ["RasterError: chip 5 cannot be read"] * 2
    assert ranks_agree(results, "step", "bits")


def test_a_loss_that_is_no_number_for_one_ends_all(scenarios: dict[str, Results]) -> None:
    for results in scenarios["diverging"]:
        assert results["error"].startswith(
            "DivergenceError: the loss is no longer a number at step"
        )
        assert results["step"] == 0


def test_all_find_the_same_learning_rate(scenarios: dict[str, Results]) -> None:
    assert ranks_agree(scenarios["range_test"], "losses", "lr")
    assert len(scenarios["range_test"][0]["losses"]) > 1


def test_a_process_that_is_gone_is_one_line(scenarios: dict[str, Results]) -> None:
    error = scenarios["left_alone"][0]["error"]
    assert error.startswith("LostProcessError: another process of the training has ended")
    assert "`resume`" in error
    assert "\n" not in error


def test_every_row_of_a_batch_is_looked_at_once() -> None:
    shares = [Processes(rank, 3).batch_rows(8) for rank in range(3)]
    assert sorted(row for share in shares for row in share) == list(range(8))
    assert list(Processes().batch_rows(8)) == list(range(8))


def test_fewer_chips_than_processes_are_refused() -> None:
    with pytest.raises(InputError, match="`batch_size` is 2; expected at least 3"):
        Processes(1, 3).check_batch_size(2)
    Processes(1, 3).check_batch_size(3)


def test_one_process_is_alone_and_first() -> None:
    with join_processes("mps") as processes:
        assert processes == Processes(0, 1, "mps")
    assert is_main_process()


@pytest.mark.parametrize("device", ["mps", "cuda:0", "cuda", "giraffe"])
def test_devices_that_several_processes_cannot_have_are_refused(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    for name, value in launched(1, 1, count=99).items():
        monkeypatch.setitem(os.environ, name, value)
    assert not is_main_process()
    with (
        pytest.raises(InputError, match=rf"`device` is {device}.* 99 processes"),
        join_processes(device),
    ):
        pass
