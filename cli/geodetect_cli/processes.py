"""Of the processes that ``torchrun`` starts, the first speaks for all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

from geodetect.training.distributed import is_first_process

LONGEST_WAIT_S = 30.0


@contextmanager
def one_voice() -> Iterator[None]:
    """Have all processes but the first say nothing; only bugs show themselves.

    As soon as one process fails, ``torchrun`` stops the others. One that has failed, unless it was
    stopped, therefore waits to be, so that the first can finish what it writes and say what is
    wrong.
    """
    if is_first_process():
        yield
        return
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 (no path)
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
        except SystemExit as end:
            if end.code and not _was_stopped(end):
                with suppress(KeyboardInterrupt):
                    time.sleep(LONGEST_WAIT_S)
            raise


def _was_stopped(error: BaseException | None) -> bool:
    """Whether an error goes back to a signal."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
