"""Tables of results, printed and saved under ``benchmarks/results``."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from geodetect.hardware.cpu import cpu_model

LIBRARIES = ("torch", "openvino", "rasterio")
MEMORY = Path("/proc/meminfo")  # Linux
RESULTS = Path(__file__).parents[1] / "results"


def machine() -> str:
    """Return processor, cores, memory, system and versions of libraries in one line."""
    text = MEMORY.read_text(encoding="ascii") if MEMORY.exists() else ""
    total = re.search(r"MemTotal:\s+(\d+) kB", text)
    memory = f", {int(total[1]) / 1e6:.0f} GB" if total else ""
    libraries = [f"{name} {version(name)}" for name in LIBRARIES if importlib.util.find_spec(name)]
    software = [platform.system(), f"Python {platform.python_version()}", *libraries]
    return f"{cpu_model()}, {os.cpu_count()} cores{memory}, {', '.join(software)}"


def save_table(name: str, title: str, rows: Sequence[dict[str, str]]) -> None:
    """Print a Markdown table and save it.

    Args:
        name: ``PACKAGE/MODULE`` of the benchmark, the path of the file under ``results``.
        title: Heading.
        rows: One dict of texts per row, all with the same keys.
    """
    columns = list(rows[0])
    widths = [max(len(column), *(len(row[column]) for row in rows)) for column in columns]
    lines = [columns, ["-" * width for width in widths]]
    lines += [[row[column] for column in columns] for row in rows]
    cells = [map(str.ljust, line, widths) for line in lines]
    text = "\n".join([f"### {title}", "", *(f"| {' | '.join(line)} |" for line in cells), ""])
    print(text)
    file = RESULTS / f"{name}.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
