"""Metrics of a training for TensorBoard, as files in the run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geodetect.errors import MissingDependencyError


class TensorBoardLog:
    """Log of the columns of ``metrics.csv`` as curves over the steps, under the same names.

    Show them with ``tensorboard`` and its option ``logdir``.

    Args:
        folder: An existing folder, where a file ``events.out.tfevents.*`` is made.
        step: Steps completed; TensorBoard hides later steps in earlier files.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, step: int = 0) -> None:
        self._writer = load_summary_writer()(str(folder), purge_step=step + 1)

    def append(self, row: Mapping[str, float]) -> None:
        """Add the metrics of a step and flush them to disk.

        Args:
            row: The step and other columns of ``metrics.csv``; values that are not finite are left
                out.
        """
        for name, value in row.items():
            if name != "step" and math.isfinite(value):
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def load_summary_writer() -> Any:
    """Import PyTorch's ``SummaryWriter``.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            f"`tensorboard` needs TensorBoard ({error}); install it with: "
            f"pip install 'geodetect[tensorboard]'"
        ) from error
    return SummaryWriter
