"""Wall time, CPU time and peak memory of processes and of blocks of code.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


@dataclass(frozen=True)
class ProcessUsage:
    """Time and memory of a process that has ended.

    Args:
        seconds: Wall time.
        cpu_s: CPU time, user and system.
        peak_bytes: Largest resident set.
        output: Standard output.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int
    output: str

    def columns(self) -> dict[str, str]:
        """Return the cells of a table."""
        return {
            "seconds": f"{self.seconds:.1f}",
            "CPU seconds": f"{self.cpu_s:.1f}",
            "peak memory": f"{self.peak_bytes / 1e9:.2f} GB",
        }


@dataclass
class Stopwatch:
    """Context manager that adds up the time inside it.

    Args:
        seconds: Wall time.
        cpu_s: CPU time of this process, which other work on the machine hardly changes.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0

    def __enter__(self) -> Stopwatch:
        self.seconds -= time.perf_counter()
        self.cpu_s -= time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
        self.cpu_s += time.process_time()


def run_program(
    arguments: Sequence[object], environment: Mapping[str, str] | None = None
) -> ProcessUsage:
    """Run ``geodetect`` with these arguments.

    Args:
        arguments: Command and options, each as text or a value that ``str`` converts.
        environment: Variables to set besides those of this process.

    Raises:
        SystemExit: It failed.
    """
    return run_python(["-m", "geodetect_cli", *arguments], environment)


def run_python(
    arguments: Sequence[object], environment: Mapping[str, str] | None = None
) -> ProcessUsage:
    """Run Python with these arguments, see ``run_program``."""
    command = [sys.executable, *map(str, arguments)]
    with TemporaryDirectory() as folder:
        report = Path(folder, "usage.json")
        starter = [sys.executable, "-S", __file__, str(report), *command]
        process = subprocess.run(
            starter, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        )
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        usage = json.loads(report.read_text(encoding="utf-8"))
    return ProcessUsage(**usage, output=process.stdout)


def load_average() -> str:
    """Return the load of the machine in the last minute, for the title of a table."""
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load not reported"


def main() -> None:
    """Run a command as the process in between, and write its usage to a file."""
    report, *command = sys.argv[1:]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, rusage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    usage = {
        "seconds": time.perf_counter() - start,
        "cpu_s": rusage.ru_utime + rusage.ru_stime,
        "peak_bytes": rusage.ru_maxrss * MAXRSS_BYTES,
    }
    Path(report).write_text(json.dumps(usage), encoding="utf-8")
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
