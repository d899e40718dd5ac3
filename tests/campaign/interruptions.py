"""Seeds and moments of the parts that interrupt runs."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.campaign import child, scenes
from tests.campaign.child import AUDITED, Interruption, Surroundings
from tests.campaign.commands import WRITERS, Writer
from tests.campaign.scenes import Scene


@dataclass(frozen=True)
class WholeRun:
    """A run that was not interrupted: its seconds, file operations and the files it has written."""

    seconds: float
    events: int
    contents: dict[str, bytes]


@dataclass(frozen=True)
class Seeds:
    """A scene, and a whole run of each writing command."""

    scene: Scene
    runs: list[WholeRun]


def prepare(folder: Path) -> Seeds:
    """Run every writing command once."""
    scene = scenes.prepare_scene(folder)
    return Seeds(
        scene, [run_whole(writer, scene, folder / str(n)) for n, writer in enumerate(WRITERS)]
    )


def random_moment(rng: random.Random, number: int, run: WholeRun) -> Interruption:
    """Return a signal at a moment of a run: with a file operation, or after some time."""
    if rng.random() < 0.5:
        return Interruption(number, at_event=rng.randrange(1, run.events + 1))
    return Interruption(number, after_s=rng.uniform(0, run.seconds))


def contents(files: Sequence[Path]) -> dict[str, bytes]:
    """Return the contents of files and of all files in folders, by their path."""
    content = {}
    for file in files:
        for part in sorted(file.rglob("*")) if file.is_dir() else [file]:
            if part.is_file():
                content[str(part.relative_to(file.parent))] = part.read_bytes()
    return content


def run_whole(writer: Writer, scene: Scene, folder: Path) -> WholeRun:
    """Run a command in a child that counts its file operations."""
    folder.mkdir()
    output, count_file = folder / "out", folder / "events"
    output.mkdir()
    files = writer.files(output)
    arguments = writer.arguments(scene, output)
    start = time.monotonic()
    action = partial(_count_events, arguments, count_file)
    outcome = child.run_child(action, Surroundings(folder), max_seconds=600)
    if outcome.code != 0:
        raise RuntimeError(outcome.stderr)
    return WholeRun(time.monotonic() - start, int(count_file.read_text()), contents(files))


def _count_events(arguments: list[str], count_file: Path) -> None:
    count = 0

    def hook(event: str, _: object) -> None:
        nonlocal count
        count += event in AUDITED

    sys.addaudithook(hook)
    try:
        child.run_program(arguments)
    finally:
        count_file.write_text(str(count))
