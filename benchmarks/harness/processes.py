"""What the program takes, as a process of its own.

On Linux the peak that the system reports of a process is never below that of the process which
started it, as it counts from before the program is loaded. A benchmark that has written a large
raster or layer would measure itself. So the program is started by a small process in between.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


@dataclass(frozen=True)
class Used:
    """What a process took.

    Args:
        seconds: By the clock.
        processor_s: Of all processors.
        peak_bytes: Most memory.
        output: Its standard output.
    """

    seconds: float
    processor_s: float
    peak_bytes: int
    output: str


def run_program(arguments: Sequence[str | Path]) -> Used:
    """Run ``geodetect`` with these arguments.

    Raises:
        SystemExit: It failed.
    """
    return run_python(["-m", "geodetect_cli", *arguments])


def run_python(arguments: Sequence[str | Path]) -> Used:
    """Run Python with these arguments.

    Raises:
        SystemExit: It failed.
    """
    command = [sys.executable, *map(str, arguments)]
    with TemporaryDirectory() as folder:
        report = Path(folder, "used.json")
        between = [sys.executable, "-S", __file__, str(report), *command]
        run = subprocess.run(between, stdout=subprocess.PIPE, text=True)
        if run.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {run.returncode}")
        return Used(**json.loads(report.read_text(encoding="utf-8")), output=run.stdout)


def main() -> None:
    """Be the process in between: run a command, write down what it took."""
    report, *command = sys.argv[1:]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    used = {
        "seconds": time.perf_counter() - start,
        "processor_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * UNIT,
    }
    Path(report).write_text(json.dumps(used), encoding="utf-8")
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
