"""Runs that are killed at random moments and repeated."""

from __future__ import annotations

import signal

from tests.campaign import interruptions
from tests.campaign.commands import WRITERS
from tests.campaign.harness import Case, Kind, Part
from tests.campaign.interruptions import Seeds, prepare


def try_case(case: Case, seeds: Seeds) -> None:
    """Kill a run one to three times, then let it end: the bytes must be those of a whole run."""
    rng = case.random
    number = rng.randrange(len(WRITERS))
    writer = WRITERS[number]
    files = writer.files(case.output)
    arguments = writer.arguments(seeds.scene, case.output)
    for _ in range(rng.choice((1, 1, 2, 3))):
        kill = interruptions.random_moment(rng, signal.SIGKILL, seeds.runs[number])
        case.run(*arguments, "--overwrite", interruption=kill, expects="signal")
        case.check_outputs(*files)
    outcome = case.run(*arguments, "--overwrite")
    if outcome.code != 0:
        case.report(Kind.TRACEBACK, "a run that was killed cannot be repeated")
        return
    case.check_outputs(*files)
    case.check_leftovers(*files)
    if interruptions.contents(files) != seeds.runs[number].contents:
        case.report(Kind.HALF_FILE, "other bytes than of a run that was not killed")


PART = Part("kills", prepare, try_case)
