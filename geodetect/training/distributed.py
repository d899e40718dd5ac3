"""Several processes that train one network together, as ``torchrun`` starts them.

Each holds the whole network and looks at its share of every batch. Since the loss of each is
divided by the number of positive anchors in the whole batch, the gradients of all add up to that
of one process with the whole batch, but for rounding. All then make the same step, so that their
networks stay equal to the bit.

The first process alone measures, writes and reports. What depends on a clock or on the result of a
measurement it decides for all, so that all end at the same step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from geodetect.errors import GeodetectError, InputError, LostProcessError

if TYPE_CHECKING:  # the program asks for its rank before anything else: torch takes seconds
    from torch import Tensor

T = TypeVar("T")

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
LONGEST_WAIT = timedelta(days=1)  # for the first one to measure; one that ends is noticed at once


@dataclass(frozen=True)
class Processes:
    """The processes of a training, as one of them sees them.

    Args:
        rank: Number of this one, from 0.
        count: How many there are.
        device: Where this one computes, see ``pick_device``.
    """

    rank: int = 0
    count: int = 1
    device: str = "auto"

    @property
    def is_first(self) -> bool:
        """Whether this one measures, writes and reports."""
        return self.rank == 0

    def share(self, size: int) -> range:
        """The rows of a batch of ``size`` that this one looks at."""
        return range(self.rank, size, self.count)

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.count == 1:
            return value
        value = value.clone()
        _add_up(value)
        return value

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over all processes.

        The sums are the same to the bit in all of them.
        """
        if self.count == 1:
            return
        import torch

        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _add_up(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def from_first(self, value: T) -> T:
        """The value that the first process has."""
        if self.count == 1:
            return value
        from torch import distributed

        held = [value if self.is_first else None]
        with _noticing_loss():
            distributed.broadcast_object_list(held, src=0)
        return held[0]  # type: ignore[return-value]

    def gathered(self, value: T) -> list[T]:
        """The values of all processes, by rank."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        with _noticing_loss():
            distributed.all_gather_object(values, value)
        return values

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that fails in all processes if it fails in one.

        What is raised is the own error, or else that of another process. Nothing is exchanged
        inside of the block.
        """
        failure: GeodetectError | OSError | None = None
        try:
            yield
        except (GeodetectError, OSError) as error:
            failure = error
        told = failure if isinstance(failure, GeodetectError | None) else OSError(str(failure))
        others = [error for error in self.gathered(told) if error is not None]
        if failure is not None:
            raise failure
        if others:
            raise others[0]


ALONE = Processes()


def is_first_process() -> bool:
    """Whether this process is the only one, or the first of those that ``torchrun`` started."""
    return not _are_several() or os.environ["RANK"] == "0"


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that ``torchrun`` started, connected; or this one, if it runs alone.

    They talk through gloo, and about tensors on GPUs through NCCL.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``: then each has a GPU of its own. For a process that
            runs alone any that ``pick_device`` takes.

    Raises:
        InputError: There is no such device for each of them.
    """
    if not _are_several():
        yield Processes(device=device)
        return
    from torch import distributed

    rank, count, local_rank, local_count = (int(os.environ[name]) for name in VARIABLES[:4])
    own = _own_device(device, local_rank, local_count)
    backend = "gloo" if own == "cpu" else "cpu:gloo,cuda:nccl"
    with _noticing_loss():
        distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    try:
        yield Processes(rank, count, own)
    except LostProcessError:
        raise  # waiting for it to say goodbye would be waiting for long
    except GeodetectError:
        distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def _are_several() -> bool:
    return all(name in os.environ for name in VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def _own_device(name: str, local_rank: int, local_count: int) -> str:
    """The device of one of several processes on this machine."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    if name != "cuda":
        raise InputError(
            f"--device {name}: {local_count} processes train on auto, cpu or cuda, each on a GPU "
            f"of its own; start one without torchrun for another device"
        )
    if torch.cuda.device_count() < local_count:
        raise InputError(
            f"--device cuda: found {torch.cuda.device_count()} GPUs for {local_count} processes; "
            f"start one for each GPU with --nproc-per-node, or choose --device cpu"
        )
    torch.cuda.set_device(local_rank)
    return f"cuda:{local_rank}"


def _add_up(tensor: Tensor) -> None:
    from torch import distributed

    with _noticing_loss():
        distributed.all_reduce(tensor)


@contextmanager
def _noticing_loss() -> Iterator[None]:
    """Tell that another process is gone; PyTorch then tells of sockets."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            "another process of the training has ended or cannot be reached; see its own message; "
            "--resume goes on from the last checkpoint"
        ) from error
