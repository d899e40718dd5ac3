"""Damaged journals of interrupted runs."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path

from geodetect.detection.run.journal import MAGIC, TITLE
from geodetect.detection.run.records import pack_record, read_records
from tests.campaign import child, scenes
from tests.campaign.child import Interruption, Surroundings
from tests.campaign.commands import PREDICTIONS
from tests.campaign.damage.documents import damage_json
from tests.campaign.damage.raw import damage_bytes
from tests.campaign.harness import Case, Kind, Part
from tests.campaign.interruptions import run_whole
from tests.campaign.scenes import Scene

SIDE = 384  # pixels: several rows of tiles
WRITER = PREDICTIONS[0]
MAX_JOURNALS = 3


@dataclass(frozen=True)
class Seeds:
    """A scene, the file that ``predict`` writes of it, and journals of interrupted runs."""

    scene: Scene
    expected: bytes
    journals: list[bytes]


def prepare(folder: Path) -> Seeds:
    """Kill runs at several moments, and keep their journals."""
    scene = scenes.prepare_scene(folder, side=SIDE)
    whole = run_whole(WRITER, scene, folder / "whole")
    output = folder / WRITER.output
    run = partial(child.run_program, WRITER.arguments(scene, folder))
    journal = output.with_name(f"{output.name}.journal")
    journals: dict[int, bytes] = {}  # by length
    for event in range(whole.events, 0, -1):
        kill = Interruption(signal.SIGKILL, at_event=event)
        child.run_child(run, Surroundings(folder), interruption=kill, max_seconds=600)
        if journal.exists():
            journals[journal.stat().st_size] = journal.read_bytes()
            journal.unlink()
        output.unlink(missing_ok=True)
        if len(journals) == MAX_JOURNALS:
            break
    return Seeds(scene, whole.contents[WRITER.output], list(journals.values()))


def try_case(case: Case, seeds: Seeds) -> None:
    """Damage a journal and resume: the bytes must be those of a run without interruption."""
    rng = case.random
    (output,) = WRITER.files(case.output)
    journal = output.with_name(f"{output.name}.journal")
    data, is_forged = _damage(rng.choice(seeds.journals), case)
    journal.write_bytes(data)
    outcome = case.run(*WRITER.arguments(seeds.scene, case.output))
    if outcome.code != 0:
        case.check_leftovers(journal)
        if not journal.read_bytes().startswith(TITLE):  # a file of something else is not replaced
            journal.unlink()
        case.run(*WRITER.arguments(seeds.scene, case.output), "--restart")
    case.check_leftovers(output)
    # a record that was changed together with its checksum cannot be told from a right one
    if not output.exists() or (not is_forged and output.read_bytes() != seeds.expected):
        case.report(Kind.SHORTFALL, "other bytes than without an interruption")


def _damage(data: bytes, case: Case) -> tuple[bytes, bool]:
    """Return a damaged journal, and True if a record was changed together with its checksum."""
    rng = case.random
    if rng.random() < 0.5:
        return damage_bytes(data, rng), False
    records = _records(data, case.folder / "records")
    number = rng.randrange(len(records))
    action = rng.randrange(5)
    if action == 0:
        del records[number]
    elif action == 1:
        records.append(records[number])
    elif action == 2:
        rng.shuffle(records)
    elif action == 3:  # its checksum is right
        records[number] = damage_bytes(records[number], rng)
    else:
        records[0] = damage_json(records[0].decode(), rng).encode("utf-8", "replace")
    damaged = MAGIC + b"".join(pack_record(record) for record in records if record)
    return damaged, action == 3


def _records(data: bytes, scratch: Path) -> list[bytes]:
    """Return the payloads of the complete records."""
    scratch.write_bytes(data)
    with FileIO(scratch) as file:
        file.seek(len(MAGIC))
        return list(read_records(file))


PART = Part("journals", prepare, try_case)
