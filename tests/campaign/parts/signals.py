"""Runs that are asked to end at random moments, as by Ctrl-C."""

from __future__ import annotations

import signal

from tests.campaign import interruptions
from tests.campaign.child import Interruption
from tests.campaign.commands import WRITERS
from tests.campaign.harness import Case, Kind, Part, business
from tests.campaign.interruptions import Seeds, prepare

MAX_SECONDS = 2.0  # from the signal to the end
PROCESSES = 0.1  # share of cases that begin with the start of a process


def try_case(case: Case, seeds: Seeds) -> None:
    """Interrupt a run: it must end soon with one line, and leave whole files only."""
    rng = case.random
    number = rng.randrange(len(WRITERS))
    writer = WRITERS[number]
    files = writer.files(case.output)
    chosen = rng.choice((signal.SIGINT, signal.SIGTERM))
    is_process = rng.random() < PROCESSES
    if is_process:
        moment = Interruption(chosen, after_s=rng.uniform(0.05, 2))
    else:
        moment = interruptions.random_moment(rng, chosen, seeds.runs[number])
    outcome = case.run(
        *writer.arguments(seeds.scene, case.output),
        interruption=moment,
        is_process=is_process,
        expects="signal" if is_process else "one line",
    )
    after_s = outcome.seconds_after_signal
    if after_s is not None and after_s > MAX_SECONDS * business():
        case.report(Kind.HANG, f"{after_s:.1f} s from the signal to the end")
    case.check_outputs(*files)
    journal = files[0].with_name(f"{files[0].name}.journal")
    case.check_leftovers(*files, journal)
    if outcome.code == 0 and not all(file.exists() for file in files):
        case.report(Kind.SHORTFALL, "success without the files")


PART = Part("signals", prepare, try_case)
