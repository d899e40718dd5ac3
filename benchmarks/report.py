"""Tables of benchmarks: printed, and kept under ``benchmarks/results``."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Processor, cores and Python in a few words."""
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def markdown(title: str, rows: Sequence[dict[str, str]]) -> str:
    """Rows with the same keys as a Markdown table."""
    names = list(rows[0])
    widths = [max(len(name), *(len(row[name]) for row in rows)) for name in names]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        + " |"
        for cells in [names, ["-" * w for w in widths], *([row[n] for n in names] for row in rows)]
    ]
    return "\n".join([f"### {title}", "", *lines, ""])


def save_table(name: str, title: str, rows: Sequence[dict[str, str]]) -> None:
    """Print a table and keep it."""
    text = markdown(title, rows)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
