"""Write what the commands of the tutorial print below them, or run them on another town.

    python docs/tutorial.py         # rewrites tutorial.md
    python docs/tutorial.py FOLDER  # runs the commands on FOLDER/town, with their times

A block of ``bash`` holds commands; a block of ``text`` after it what they print. The first command
makes the town, with ``sample_data/make_town.py``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/tutorial.md"
COLUMNS = "100"
PROGRESS = re.compile(r"^[^:\n]+: .*(?:done in|so far|left).*\n", re.MULTILINE)
BLOCK = re.compile(r"```bash\n(?P<commands>.*?)```(?:\n\n```text\n.*?```)?", re.DOTALL)


def split_commands(block: str) -> list[str]:
    """Return the commands of a block; those of several lines end in a backslash."""
    return block.replace("\\\n", " ").splitlines()


def run_command(command: str, folder: Path) -> str:
    """Run a command of the tutorial in a folder and return its text without progress.

    Raises:
        subprocess.CalledProcessError: Its exit code is not 0.
    """
    program, *arguments = shlex.split(command)
    if program == "geodetect":
        arguments = ["-m", "geodetect", *arguments]
    else:
        arguments[0] = str(ROOT / arguments[0])
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": COLUMNS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        print(result.stdout)
    result.check_returncode()
    return PROGRESS.sub("", result.stdout)


def page_with_outputs(folder: Path) -> str:
    """Return the text of the page with what its commands print in an empty folder."""

    def run_block(match: re.Match[str]) -> str:
        commands = match["commands"]
        texts = [run_command(command, folder) for command in split_commands(commands)]
        return f"```bash\n{commands}```\n\n```text\n{''.join(texts).strip(chr(10))}\n```"

    return BLOCK.sub(run_block, PAGE.read_text(encoding="utf-8"))


def time_commands(folder: Path) -> None:
    """Run the commands after the first in a folder, and print their times and outputs."""
    page = PAGE.read_text(encoding="utf-8")
    commands = [c for block in BLOCK.finditer(page) for c in split_commands(block["commands"])]
    for command in commands[1:]:
        start = time.perf_counter()
        text = run_command(command, folder)
        print(f"$ {command}\n{text}[{time.perf_counter() - start:.1f} s]\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        time_commands(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            PAGE.write_text(page_with_outputs(Path(name)), encoding="utf-8")
