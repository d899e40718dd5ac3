"""Parts of the campaign, their cases, and the findings of a case.

A case is a part, a seed and a number: all that is random in it comes from these three, so that it
can be repeated alone. Findings are of five kinds; see ``Kind``.
"""

from __future__ import annotations

import os
import random
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from tests.campaign import child, outputs
from tests.campaign.child import Interruption, Outcome, Surroundings

MAX_BYTES = 2 * 2**30  # resident memory of a run
MAX_SECONDS = 20.0  # of a run
LAST_LINES = 12  # of the output that a finding shows

Seeds = TypeVar("Seeds")


class Kind(StrEnum):
    """Kinds of findings."""

    TRACEBACK = "tracebacks"  # also crashes, and failures that end in no line, or in several
    HANG = "hangs"  # over 20 s; after a signal, over 2 s
    MEMORY = "memory"  # over 2 GB resident
    SHORTFALL = "shortfalls"  # success, yet objects, rows or pixels are missing without a word
    HALF_FILE = "half files"  # a file that does not open or is short, or one that was left behind


@dataclass(frozen=True)
class Finding:
    """A fault that a case has shown."""

    part: str
    seed: int
    number: int
    kind: Kind
    text: str
    command: str
    output: str

    def __str__(self) -> str:
        again = (
            f"python -m tests.campaign --part {self.part} --seed {self.seed} --case {self.number}"
        )
        lines = [f"[{self.kind}] {self.text}", f"  again:   {again}", f"  command: {self.command}"]
        lines += [f"  | {line}" for line in self.output.splitlines()[-LAST_LINES:]]
        return "\n".join(lines)


@dataclass
class Case:
    """One case of a part: its folders, its random numbers and its findings.

    Args:
        part: Name of the part.
        seed: Seed of the campaign.
        number: Number of the case.
        folder: Folder of the case, with ``in`` for its input and ``out`` for its output.
        shared: Folder of the part: seeds, and the cache of converted networks.
    """

    part: str
    seed: int
    number: int
    folder: Path
    shared: Path
    findings: list[Finding] = field(default_factory=list)
    last: tuple[str, Outcome] | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed} {self.part} {self.number}")
        self.input.mkdir()
        self.output.mkdir()

    @property
    def input(self) -> Path:
        """Folder of the files that the case reads."""
        return self.folder / "in"

    @property
    def output(self) -> Path:
        """Folder of the files that the program writes."""
        return self.folder / "out"

    def report(self, kind: Kind, text: str, output: str = "") -> None:
        """Record a finding of the last command, whose output it shows unless there is another."""
        command, outcome = self.last or ("", None)
        shown = output or (
            "" if outcome is None else outcome.stdout[-200:] + outcome.native + outcome.stderr
        )
        self.findings.append(Finding(self.part, self.seed, self.number, kind, text, command, shown))

    def run(
        self,
        *arguments: object,
        surroundings: Surroundings | None = None,
        interruption: Interruption | None = None,
        is_process: bool = False,
        action: Callable[[], object] | None = None,
        expects: str = "one line",
    ) -> Outcome:
        """Run the program, and report what no input may cause.

        Args:
            arguments: Arguments of the program.
            surroundings: Environment and limits; the folder of the case by default.
            interruption: Signal to the program.
            is_process: Start a real process, instead of a fork of this one.
            action: What the child does instead of running the program.
            expects: End of a failure: "one line"; "signal": also by the signal that was sent, or
                before the program has begun; or "anything".
        """
        texts = [os.fsencode(str(argument)) for argument in arguments]
        run = child.become_program if is_process else child.run_program
        outcome = child.run_child(
            action or partial(run, texts),
            surroundings or Surroundings(self.folder),
            interruption=interruption,
            max_seconds=MAX_SECONDS * business(),
        )
        command = shlex.join(["geodetect", *map(os.fsdecode, texts)])
        self.last = command.replace(f"{self.folder}/", ""), outcome
        self._check_end(outcome, interruption, expects)
        return outcome

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns in a child: reading with GDAL leaves traces."""
        return child.call_in_child(function, *arguments)

    def check_outputs(self, *files: Path) -> None:
        """Report files that do not open or are short; those that do not exist are unwritten."""
        for file in files:
            if file.is_file() or (file.is_dir() and not file.is_symlink()):
                try:
                    self.call(outputs.check_file, file)
                except child.ChildError as error:
                    self.report(Kind.HALF_FILE, f"{file.name}: {error}")

    def check_leftovers(self, *expected: Path) -> None:
        """Report files that a run has left in the folder of the output, beside those expected."""
        allowed = {file.name for file in expected}
        extra = sorted(f.name for f in self.output.iterdir() if f.name not in allowed)
        if extra:
            self.report(Kind.HALF_FILE, f"left behind: {', '.join(extra[:8])}")

    def _check_end(self, outcome: Outcome, interruption: Interruption | None, expects: str) -> None:
        if outcome.timed_out:
            self.report(Kind.HANG, f"no end after {outcome.seconds:.0f} s")
            return
        if outcome.peak_bytes > MAX_BYTES:
            self.report(Kind.MEMORY, f"{outcome.peak_bytes / 1e9:.1f} GB")
        sent = 0 if interruption is None else interruption.number
        is_early = "Traceback" in outcome.stderr and ", in main\n" not in outcome.stderr
        if expects == "signal" and (outcome.code == -sent or is_early):
            return
        if sent and outcome.code == -sent and not outcome.stderr + outcome.native:
            return  # before the program began, in a child of the harness
        if outcome.code < 0:
            self.report(Kind.TRACEBACK, f"ended by signal {-outcome.code}")
        elif "Traceback (most recent call last)" in outcome.stderr + outcome.stdout:
            self.report(Kind.TRACEBACK, outcome.stderr.strip().rpartition("\n")[2][:200])
        elif outcome.code != 0 and expects != "anything":
            lines = outcome.stderr.splitlines()
            errors = [line for line in lines if line.startswith("Error:")]
            if len(errors) != 1 or lines[-1] != errors[0]:
                self.report(Kind.TRACEBACK, f"exit code {outcome.code} and no single last line")


@dataclass(frozen=True)
class Part(Generic[Seeds]):
    """A part of the campaign.

    Args:
        name: Name.
        prepare: Writes the seeds of all cases to a folder and returns what cases need to know.
        try_case: Tries one case.
        modules: Modules to import before the first case, beside those of all parts.
    """

    name: str
    prepare: Callable[[Path], Seeds]
    try_case: Callable[[Case, Seeds], None]
    modules: Sequence[str] = ()


def business() -> float:
    """Return by what factor everything takes longer because other processes use the machine."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def run_cases(
    part: Part[Any],
    numbers: Iterable[int],
    *,
    seed: int,
    seconds: float,
    keep: bool = False,
) -> Iterable[tuple[int, list[Finding]]]:
    """Try cases of a part, and yield the number and the findings of each.

    Args:
        part: The part.
        numbers: Numbers of the cases.
        seed: Seed of the campaign.
        seconds: Time after the preparation in which cases begin.
        keep: Keep the folders of cases, and print their names.
    """
    with child.temporary_folder(part.name) as shared:
        seeds = child.call_in_child(part.prepare, shared)
        until = time.monotonic() + seconds
        for number in numbers:
            if time.monotonic() > until:
                break
            with child.temporary_folder(f"{part.name}-{number}", keep=keep) as folder:
                case = Case(part.name, seed, number, folder, shared)
                try:
                    part.try_case(case, seeds)
                except Exception as error:  # also output that is not as the part expects
                    case.report(Kind.TRACEBACK, f"{error!r} in the case", traceback.format_exc())
                if keep:
                    print(f"{folder}: files of the case", file=sys.stderr)  # noqa: T201
            yield number, case.findings
