"""Run folder of a training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from geodetect.errors import GeodetectWarning, InputError, OutputError
from geodetect.training.run.folder import COLUMNS, MetricsLog, RunFolder, write_json


@pytest.fixture
def log(tmp_path: Path) -> MetricsLog:
    log = MetricsLog(tmp_path / "metrics.csv")
    log.create()
    return log


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_rows_are_on_disk_at_once_and_what_is_missing_stays_empty(log: MetricsLog) -> None:
    log.append({"step": 10, "seconds": 1.5, "loss": 0.123456789, "val_ap50": math.nan})
    lines = log.path.read_text().splitlines()
    empty = "," * (len(COLUMNS) - 4)
    assert lines == [",".join(COLUMNS), f"10,1.5,,0.123457{empty}"]
    (row,) = log.rows()
    assert (row["step"], row["loss"]) == (10, 0.123457)
    assert math.isnan(row["lr"])


def test_rows_of_later_steps_and_half_a_row_are_cut_off(log: MetricsLog) -> None:
    for step in (10, 20, 30):
        log.append({"step": step})
    with log.path.open("a") as file:
        file.write("4")
    log.truncate(20)
    assert [row["step"] for row in log.rows()] == [10, 20]
    log.append({"step": 25})
    assert [row["step"] for row in log.rows()] == [10, 20, 25]
    assert names(log.path.parent) == ["metrics.csv"]


def test_metrics_that_cannot_be_written_are_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"metrics\.csv cannot be written"):
        MetricsLog(tmp_path / "no/metrics.csv").append({"step": 1})


def test_the_usual_folder_is_beside_the_model(tmp_path: Path) -> None:
    folder = RunFolder.from_model_path(tmp_path / "my.pools.safetensors")
    assert folder.path == tmp_path / "my.pools_run"


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_the_name_of_no_file_has_a_usual_folder_too(name: str) -> None:
    """The check of the model file refuses the name."""
    assert RunFolder.from_model_path(Path(name)).path.name == "_run"


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(OutputError), folder.create() as path:
        write_json(path / "no" / "labels.json", {"a": 1})
    assert names(tmp_path) == []
    with folder.create() as path:
        write_json(path / "labels.json", {"a": 1})
        assert not folder.path.exists()
    assert names(tmp_path) == ["run"]
    assert names(folder.path) == ["labels.json"]


def test_a_new_training_replaces_the_files_of_another_and_no_others(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    for name in ("checkpoint.pt", "metrics.csv", "validation.gpkg", "my notes.txt"):
        (folder.path / name).write_text("old")
    with folder.create() as path:
        RunFolder(path).metrics.create()
    assert names(folder.path) == ["metrics.csv", "my notes.txt"]
    assert folder.metrics.rows() == []
    assert (folder.path / "my notes.txt").read_text() == "old"
    assert names(tmp_path) == ["run"]


def test_a_folder_with_anything_in_it_is_not_used_unasked(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.check(resume=False, overwrite=False)
    folder.path.mkdir()
    folder.check(resume=False, overwrite=False)
    (folder.path / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="`run_dir`"):
        folder.check(resume=False, overwrite=False)
    folder.check(resume=False, overwrite=True)
    folder.checkpoint.write_text("hours of work")
    with pytest.raises(OutputError, match="`resume`"):
        folder.check(resume=False, overwrite=False)
    assert folder.check(resume=True, overwrite=False)


def test_a_training_that_was_killed_before_its_first_checkpoint_starts_over(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path / "run")
    starts_over = pytest.warns(GeodetectWarning, match=r"no checkpoint .*from the beginning")
    with starts_over:  # killed while it read its data
        assert not folder.check(resume=True, overwrite=False)
    folder.path.mkdir()
    folder.metrics.create()
    (folder.path / "settings.toml").touch()
    (folder.path / "split.geojson").touch()
    with starts_over:
        assert not folder.check(resume=True, overwrite=False)
    with pytest.raises(OutputError, match="set `resume` to continue it"):
        folder.check(resume=False, overwrite=False)
    (folder.path / "validation.gpkg").touch()  # of a training that has ended
    with pytest.raises(OutputError, match="already holds files"):
        folder.check(resume=True, overwrite=False)
    with starts_over:
        assert not folder.check(resume=True, overwrite=True)


def test_resume_takes_no_folder_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="already holds files"):
        RunFolder(tmp_path / "run").check(resume=True, overwrite=False)


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="no folder"):
        RunFolder(tmp_path / "file").check(resume=False, overwrite=True)
    with pytest.raises(OutputError, match="does not exist"):
        RunFolder(tmp_path / "no/run").check(resume=False, overwrite=False)


def test_two_trainings_never_share_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        with pytest.raises(InputError, match="in use by another training"), folder.lock():
            pass
        with pytest.raises(InputError, match="in use"), folder.lock():  # the failure frees nothing
            pass
    with folder.lock():
        pass
    assert names(tmp_path) == []
