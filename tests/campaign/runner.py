"""Worker processes that try the cases of parts, and the count of their findings."""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from tests.campaign.harness import Finding, Kind, Part, run_cases

PARTS = (
    "rasters",
    "vectors",
    "labels",
    "models",
    "cache_entries",
    "journals",
    "kills",
    "signals",
    "full_disks",
    "bad_servers",
    "odd_environments",
)

MODULES = (  # of all commands but train and quantize, which import torch
    "geodetect_cli.app",
    "geodetect_cli.commands.predict",
    "geodetect.detection.predict_to_file",
    "geodetect.detection.detectors.load",
    "geodetect.model.runtimes.openvino",
    "openvino",
    "geodetect.assessment.evaluate.evaluation",
    "geodetect.assessment.compare.comparison",
    "geodetect.assessment.summarize.zones",
    "geodetect.label_check.check",
    "geodetect.chips.export",
    "geodetect.reporting.preview",
    "geodetect.reporting.map_report.report",
    "pyarrow.parquet",
    "pyogrio",
    "rasterio.features",
    "rasterio.vrt",
    "rasterio.warp",
    "scipy.optimize",
    "scipy.spatial",
)


@dataclass
class Results:
    """Count of the cases and findings of a part."""

    part: str
    tried: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)

    def add(self, findings: Sequence[Finding]) -> None:
        """Count a case."""
        self.tried += 1
        self.kinds.update(finding.kind for finding in findings)


def table(results: Sequence[Results]) -> str:
    """Return the counts of parts as a table in Markdown."""
    head = ["part", "tried", *Kind]
    rows = [[r.part, f"{r.tried:,}", *(str(r.kinds[kind]) for kind in Kind)] for r in results]
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Workers:
    """Processes that try cases. They import the program once, and fork a child for each run.

    Args:
        count: Number of processes.
    """

    def __init__(self, count: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self._cache = tempfile.TemporaryDirectory(prefix="geodetect-campaign-cache-")
        self._processes: dict[Connection, multiprocessing.process.BaseProcess] = {}
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, self._cache.name))
            process.start()
            theirs.close()
            self._processes[ours] = process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for connection, process in self._processes.items():
            connection.close()
            process.join()
        self._cache.cleanup()

    def run(
        self,
        part: str,
        *,
        seed: int = 0,
        seconds: float = float("inf"),
        cases: int | None = None,
        only: int | None = None,
    ) -> Iterator[tuple[int, list[Finding]]]:
        """Try cases of a part, and yield the number and the findings of each.

        Args:
            part: Name of the part.
            seed: Seed of the campaign.
            seconds: Time after which no more cases begin.
            cases: Largest number of cases; None: any.
            only: Number of the only case to try, whose files are kept.
        """
        busy = list(self._processes)[: 1 if only is not None else None]
        for job, connection in enumerate(busy):
            numbers = (job, cases, len(busy)) if only is None else (only, only + 1, 1)
            connection.send((part, seed, numbers, seconds, only is not None))
        while busy:
            for connection in wait(busy):
                assert isinstance(connection, Connection)
                message = connection.recv()
                if message is None:
                    busy.remove(connection)
                else:
                    yield message


def _work(connection: Connection, cache: str) -> None:
    """Try the cases that are asked for until the connection is closed.

    Args:
        connection: Connection to the process that asks.
        cache: Folder of the cache of converted networks.
    """
    os.environ["GEODETECT_CACHE_DIR"] = cache
    for module in MODULES:
        importlib.import_module(module)
    while True:
        try:
            name, seed, (start, stop, step), seconds, keep = connection.recv()
        except EOFError:
            return
        part: Part[Any] = importlib.import_module(f"tests.campaign.parts.{name}").PART
        for module in part.modules:
            importlib.import_module(module)
        numbers = itertools.count(start, step) if stop is None else range(start, stop, step)
        for result in run_cases(part, numbers, seed=seed, seconds=seconds, keep=keep):
            connection.send(result)
        connection.send(None)
