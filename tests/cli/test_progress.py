"""Progress of commands: bars on terminals, lines elsewhere."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from geodetect.progress import announce, phase
from geodetect_cli.tables.progress import Phase, show_progress
from tests.helpers.json_schema import check_events
from tests.helpers.predict_command import write_inputs
from tests.helpers.program import check_one_line, invoke, run_program
from tests.helpers.square_scenes import squares_image, write_raster
from tests.helpers.terminal import run_in_terminal

OFTEN = 0.05  # seconds between lines
CHECK = ("check", "--rasters", "scene.tif", "--labels", "layer.geojson")
STEP = {"loss": 0.53123, "lr": 7.91e-4, "chips_per_s": 11.234}


def shown(out: Console) -> list[str]:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


@pytest.fixture
def pipe() -> Console:
    return Console(file=io.StringIO(), width=80)


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)


def test_a_pipe_gets_a_line_at_intervals_with_counts_and_the_time_left(pipe: Console) -> None:
    with show_progress(quiet=False, line_seconds=OFTEN, out=pipe), phase("Detecting", "tiles") as p:
        for completed in range(1000, 1200):
            p(completed, 4000, objects=12345)
            time.sleep(OFTEN / 50)
    first = shown(pipe)[0]
    assert re.fullmatch(
        r"Detecting: 1,0\d\d of 4,000 tiles, 12,345 objects, [\d.]+ s left", first
    ), first
    assert 2 <= len(shown(pipe)) <= 20


def test_a_phase_without_counts_gets_lines_too_and_one_when_it_ends(pipe: Console) -> None:
    with show_progress(quiet=False, line_seconds=OFTEN, out=pipe), phase("Converting the model"):
        time.sleep(3.5 * OFTEN)
    *regular, last = shown(pipe)
    assert regular
    assert all(re.fullmatch(r"Converting the model: 0\.\d s so far", line) for line in regular)
    assert re.fullmatch(r"Converting the model: done in 0\.\d s", last)


def test_short_phases_and_phases_within_others_get_no_line_when_they_end(pipe: Console) -> None:
    with show_progress(quiet=False, line_seconds=60, out=pipe):
        with phase("Reading headers"):
            pass
        with phase("Training", "steps"), phase("Validating"):
            announce("Step 40: AP50 0.900 (best so far)")
    assert shown(pipe) == ["Step 40: AP50 0.900 (best so far)"]


def test_the_clock_limits_a_training_so_the_time_left_is_what_is_not_over() -> None:
    training = Phase("Training", "seconds")
    training.count(600, 2700, {"step": 444, "best_ap50": 0.912, "val_ap50": 0.9, **STEP})
    assert training.counts() == "10 min 0 s of 45 min 0 s"
    assert training.time_left() == "35 min 0 s left"
    assert training.values() == ("step 444  best AP50 0.912  loss 0.531  LR 0.00079  11.2 chips/s")


def test_tiles_of_a_journal_are_not_taken_for_fast_ones() -> None:
    run = Phase("Detecting", "tiles")
    run.count(0, 1000, {})
    run.count(900, 1000, {})  # read from the journal in a moment
    run.restart_clock()
    time.sleep(0.05)
    run.count(901, 1000, {})
    assert run.seconds_left is not None
    assert run.seconds_left >= 99 * 0.05


def test_on_a_terminal_of_80_columns_nothing_is_cut(terminal: Console) -> None:
    with (
        show_progress(quiet=False, line_seconds=60, out=terminal),
        phase("Training", "steps") as progress,
    ):
        progress(10_999, 12_000, step=10_999, best_ap50=0.912, **STEP)
        time.sleep(0.3)  # until it is drawn again
    text = "\n".join(shown(terminal))
    assert "10,999 of 12,000 steps" in text
    assert "loss 0.531  LR 0.00079  11.2 chips/s" in text
    assert "…" not in text
    assert max(len(re.sub(r"\x1b\[[\d?;]*\w", "", line)) for line in shown(terminal)) <= 80


def test_quiet_shows_nothing(pipe: Console, terminal: Console) -> None:
    for out in (pipe, terminal):
        with show_progress(quiet=True, line_seconds=OFTEN, out=out), phase("Detecting"):
            announce("Model pools")
            time.sleep(2 * OFTEN)
        assert shown(out) == []


def test_a_run_of_the_program_in_a_pipe_names_its_phases(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    process = run_program(*CHECK, "--progress-every", "0.001", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    for name in ("Reading the labels", "Reading headers", "Reading masks"):
        assert f"\n{name}: " in f"\n{process.stderr}"
    assert "\x1b" not in process.stderr
    process = run_program(*CHECK, "--progress-every", "0.001", "-q", cwd=tmp_path)
    assert (process.stdout, process.stderr) == ("", "")


def test_shards_are_counted_beside_the_objects() -> None:
    run = Phase("Detecting", "tiles")
    run.count(120, 4000, {"objects": 12345, "shards": 3, "shards_total": 400})
    assert run.values() == "12,345 objects  3 of 400 shards"


def test_every_line_of_the_error_stream_is_json_for_schedulers(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    arguments = (*CHECK, "--progress", "json", "--progress-every", "0.001")
    process = run_program(*arguments, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    events = check_events(process.stderr)
    of_phase = [event for event in events if event.get("phase") == "Reading headers"]
    assert {event["command"] for event in events} == {"check"}
    assert (of_phase[0]["event"], of_phase[-1]["event"]) == ("begin", "end")
    assert of_phase[-1]["seconds"] > 0
    assert any(event["event"] == "progress" for event in events)
    texts = [event["text"] for event in events if event["event"] == "message"]
    assert "Sizes of boxes" in process.stdout, "results are no messages"
    assert texts[-2].startswith("Done in ")


def test_json_progress_holds_warnings_and_the_error_and_quiet_leaves_the_phases(
    tmp_path: Path,
) -> None:
    write_inputs(tmp_path)
    damaged = write_raster(tmp_path / "far.tif", squares_image(100, [(9, 9)]), left_px=1000)
    damaged.write_bytes(damaged.read_bytes()[:9000])
    rasters = (tmp_path / "scene.tif", damaged)
    options = ("-m", tmp_path / "squares.safetensors", "-o", tmp_path / "o.geojson")
    result = invoke("predict", *rasters, *options, "--device", "cpu", "--progress", "json", "-q")
    assert result.exit_code == 3
    events = check_events(result.stderr)
    kinds = [event["event"] for event in events]
    assert "message" not in kinds
    assert (kinds[0], kinds[-1]) == ("begin", "error")
    (warning,) = [event["text"] for event in events if event["event"] == "warning"]
    assert warning.startswith("left out: ")
    assert events[-1]["text"].startswith("finished with holes")


def test_json_progress_is_logged_as_text(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    log = tmp_path / "run.log"
    result = invoke(
        *("check", "--labels", tmp_path / "layer.geojson", "--rasters", tmp_path / "scene.tif"),
        *("--progress", "json", "--progress-every", "0.001", "--log-file", log),
    )
    check_events(result.stderr)
    text = log.read_text()
    assert "Sizes of boxes" in text
    assert "Reading headers: " in text
    assert '{"' not in text


def test_a_form_of_progress_that_is_unknown_is_one_line(tmp_path: Path) -> None:
    result = invoke("check", "--labels", "a", "--rasters", "b", "--progress", "jsno")
    assert result.exit_code == 2
    check_one_line(result.stderr, "--progress", "jsno", "json")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_run_in_a_terminal_shows_a_bar_and_removes_it(tmp_path: Path, columns: int) -> None:
    write_inputs(tmp_path)
    screen = run_in_terminal(*CHECK, cwd=tmp_path, columns=columns)
    assert screen.returncode == 0
    assert "Reading the labels" in screen.history
    assert "Reading the labels" not in screen.text
    assert "Sizes of boxes" in screen.text
    assert max(map(len, screen.text.splitlines())) <= columns


def test_without_colours_a_terminal_gets_none(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    screen = run_in_terminal(*CHECK, cwd=tmp_path, columns=80, NO_COLOR="1")
    assert not re.search(r"\x1b\[[\d;]*3\dm", screen.history)
