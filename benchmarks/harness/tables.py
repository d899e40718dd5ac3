"""Tables of benchmarks: printed, and kept under ``benchmarks/results``."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from geodetect.hardware.cpu import processor

LIBRARIES = ("torch", "openvino", "rasterio")
RESULTS = Path(__file__).parents[1] / "results"


def machine() -> str:
    """Processor, cores, memory, system and versions in a few words."""
    hardware = f"{processor()}, {os.cpu_count()} cores{_memory()}, {platform.system()}"
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES if _is_there(name))
    return f"{hardware}, Python {platform.python_version()}, {libraries}"


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
    """Print a table and save it.

    Args:
        name: ``PACKAGE/MODULE`` of the benchmark, the path of the file under ``results``.
        title: Heading.
        rows: One dict of texts per row, all with the same keys.
    """
    text = markdown(title, rows)
    print(text)
    file = RESULTS / f"{name}.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _memory() -> str:
    free = Path("/proc/meminfo")
    found = re.search(r"MemTotal:\s+(\d+) kB", free.read_text()) if free.exists() else None
    return f", {int(found[1]) / 1e6:.0f} GB" if found else ""


def _is_there(library: str) -> bool:
    try:
        return bool(version(library))
    except PackageNotFoundError:
        return False
