"""Check that the shards of a run were computed by machines that give the same numbers.

Another processor, precision or library rounds differently, so that boxes and scores differ in the
last digits, and objects at a threshold come or go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from geodetect.detection.sharding.manifest import Manifest
from geodetect.detection.sharding.record import (
    COMPLETE,
    HOLES,
    DamagedRecordError,
    list_shards,
    read_record,
)
from geodetect.errors import InputError, list_names
from geodetect.io.object_store import Store

SAME_MACHINE = (
    "compute all shards on one kind of processor, with one `runtime` and `precision`, or set "
    "`allow_mixed` to take results that differ in the last digits"
)


def check_worker(store: Store, manifest: Manifest, computed_by: str) -> None:
    """Check that a worker gives the numbers of the workers before it, by one of their records.

    Args:
        store: The run.
        manifest: Its manifest.
        computed_by: Text that differs between detectors whose results may differ.

    Raises:
        InputError: It does not.
    """
    finished = list_shards(store)
    for suffix in (COMPLETE, HOLES):
        for number in sorted(finished[suffix]):
            try:
                record = read_record(store, manifest, number, suffix)
            except (FileNotFoundError, DamagedRecordError):  # it is computed again
                continue
            if record.computed_by != computed_by:
                here, before = _without_common_start([computed_by, record.computed_by])
                raise InputError(
                    f"{store.location}: this worker would give other numbers ({here}) than the one "
                    f"that computed shard {number} ({before}); {SAME_MACHINE}"
                )
            return


def describe_mixture(computed_by: Mapping[int, str]) -> str | None:
    """Return which shards were computed by which machines; None: all by machines of one kind.

    Args:
        computed_by: Text that differs between detectors whose results may differ, by the number of
            the shard.
    """
    numbers: dict[str, list[int]] = {}
    for number, kind in sorted(computed_by.items()):
        numbers.setdefault(kind, []).append(number)
    if len(numbers) < 2:
        return None
    kinds = sorted(numbers.items(), key=lambda item: -len(item[1]))
    texts = _without_common_start([kind for kind, _ in kinds])
    return "; ".join(
        f"{text}: shards {list_names(list_ranges(shards))}"
        for text, (_, shards) in zip(texts, kinds, strict=True)
    )


def list_ranges(numbers: Sequence[int]) -> Iterator[str]:
    """Yield ascending numbers as texts such as ``5`` and ``7 to 12``."""
    present = set(numbers)
    starts = [number for number in numbers if number - 1 not in present]
    ends = [number for number in numbers if number + 1 not in present]
    for first, last in zip(starts, ends, strict=True):
        yield f"{first}" if first == last else f"{first} to {last}"


def _without_common_start(texts: Sequence[str]) -> list[str]:
    """Return texts without the words that all of them begin with, such as the model's checksum."""
    words = [text.split() for text in texts]
    common = 0
    while all(len(of_text) > common + 1 for of_text in words) and (
        len({of_text[common] for of_text in words}) == 1
    ):
        common += 1
    return [" ".join(of_text[common:]) for of_text in words]
