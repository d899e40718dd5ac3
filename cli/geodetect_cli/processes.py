"""Messages of the processes that ``torchrun`` starts: those of rank 0 only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

from geodetect.training.distributed import is_main_process
from geodetect_cli.signals import catch_signals, has_interrupt

MAX_WAIT_S = 30.0


@contextmanager
def silence_other_ranks() -> Iterator[None]:
    """Discard the output of all ranks but rank 0; only bugs show their traceback.

    As soon as one process fails, ``torchrun`` stops the others. A rank that has failed therefore
    waits until ``torchrun`` stops it, so that rank 0 can finish its files and show the error.
    """
    if is_main_process():
        yield
        return
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 (no path)
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
        except SystemExit as end:
            if end.code and not has_interrupt():
                catch_signals()
                with suppress(KeyboardInterrupt):
                    time.sleep(MAX_WAIT_S)
            raise
