"""Command-line options that several benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.harness.paths import DATA


def new_parser(
    description: str | None, *, model: bool = False, data: bool = False
) -> argparse.ArgumentParser:
    """Return a parser of command-line options.

    Args:
        description: Docstring of the benchmark, which its help prints.
        model: Add ``--model``.
        data: Add ``--data``.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if model:
        parser.add_argument("--model", default="pools", help="name or file; default: pools")
    if data:
        parser.add_argument(
            "--data", type=Path, default=DATA, help="folder of real imagery and labels"
        )
    return parser
