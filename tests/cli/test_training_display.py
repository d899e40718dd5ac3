"""Display of a training in progress."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from geodetect_cli.tables import training as training_display
from geodetect_cli.tables.training import TrainingDisplay
from tests.helpers.manual_clock import ManualClock

FIGURES = {"loss": 0.53123, "lr": 7.91e-4, "chips_per_s": 11.234}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    return ManualClock(monkeypatch)


def lines(out: Console) -> list[str]:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


def test_in_a_pipe_there_is_a_line_every_half_a_minute_and_for_each_validation(
    clock: ManualClock,
) -> None:
    out = Console(file=io.StringIO(), width=80)
    with training_display.show_progress(by_clock=False, quiet=False, out=out) as progress:
        for step in range(1, 41):
            clock.now += 2.0
            progress(step, 40, step=step, **FIGURES)
        progress(40, 40, step=40, best_ap50=0.9, val_ap50=0.9, **FIGURES)
        progress(40, 40, step=40, best_ap50=0.9, val_ap50=0.8, **FIGURES)
    shown = lines(out)
    assert shown[0] == "step 1 of 40  loss 0.531  lr 0.00079  11.2 chips/s"
    assert shown[1] == "step 16 of 40  loss 0.531  lr 0.00079  11.2 chips/s  48 s left"
    assert "step 40: AP50 0.900 (best so far)" in shown
    assert shown[-1] == "step 40: AP50 0.800"
    assert sum(line.startswith("step") and "of 40" in line for line in shown) <= 6


def test_by_the_clock_the_time_left_is_what_is_not_over(clock: ManualClock) -> None:
    out = Console(file=io.StringIO(), width=80)
    with training_display.show_progress(by_clock=True, quiet=False, out=out) as progress:
        progress(600, 2700, step=444, best_ap50=0.912, **FIGURES)
    assert lines(out) == [
        "step 444  loss 0.531  lr 0.00079  11.2 chips/s  best AP50 0.912  35 min 0 s left"
    ]


def test_on_a_terminal_of_80_columns_nothing_is_cut(clock: ManualClock) -> None:
    out = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    display = TrainingDisplay(out, by_clock=False)
    display._first = (0, 0.0)
    values = display._format(10_999, 12_000, {"step": 10_999, "best_ap50": 0.912, **FIGURES})
    out.print(training_display._table(10_999, 12_000, values))
    bar, head, row = lines(out)
    assert max(map(len, (bar, head, row))) <= 80
    assert head.split() == ["Step", "Loss", "LR", "Chips/s", "Best", "AP50", "Left"]
    assert row.split()[:6] == ["10999", "of", "12000", "0.531", "0.00079", "11.2"]
    assert "…" not in row


def test_a_live_table_leaves_the_lines_of_validations(clock: ManualClock) -> None:
    out = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with training_display.show_progress(by_clock=False, quiet=False, out=out) as progress:
        progress(1, 40, step=1, **FIGURES)
        progress(2, 40, step=2, best_ap50=0.5, val_ap50=0.5, **FIGURES)
    text = "\n".join(lines(out))
    assert "step 2: AP50 0.500 (best so far)" in text
    assert "1 of 40" in text or "2 of 40" in text


def test_quiet_shows_nothing(clock: ManualClock) -> None:
    out = Console(file=io.StringIO(), width=80)
    with training_display.show_progress(by_clock=False, quiet=True, out=out) as progress:
        progress(1, 40, step=1, **FIGURES)
    assert lines(out) == []
