"""Data-parallel training in several processes, as ``torchrun`` starts them.

Each process holds the whole network and computes its part of every batch. Since each loss is
divided by the number of positive anchors in the whole batch, the gradients of all processes add up
to those of one process with the whole batch, but for rounding. (``DistributedDataParallel`` would
average them, which is right only if all parts have equally many positive anchors.) All processes
then make the same step, so that their networks stay equal to the bit.

Only the main process, rank 0, validates, writes files and reports progress. It also takes all
decisions that depend on a clock or on a validation, so that all processes end at the same step.

When one process ends, the others notice it in the next communication: the main process writes a
checkpoint, and all end. With ``max-restarts`` torchrun then starts them again, to continue.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from geodetect.errors import GeodetectError, InputError, LostProcessError

if TYPE_CHECKING:  # the console asks for the rank before anything else: torch takes seconds
    from torch import Tensor
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

RANK_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
TORCHRUN_VARIABLES = (*RANK_VARIABLES, "MASTER_ADDR", "MASTER_PORT")
RESTARTS = "TORCHELASTIC_RESTART_COUNT"
START_POLL_S = 0.01
TIMEOUT = timedelta(days=1)  # all wait for validations; a lost process is noticed at once


@dataclass(frozen=True)
class Processes:
    """Processes that train together, and the rank of this one among them.

    Args:
        rank: Number of this process, from 0.
        world_size: Number of processes.
        device: Device of this process, see ``pick_device``.
    """

    rank: int = 0
    world_size: int = 1
    device: str = "auto"

    @property
    def is_main(self) -> bool:
        """True in the process that validates, writes files and reports progress."""
        return self.rank == 0

    def check_batch_size(self, batch_size: int) -> None:
        """Check that each process has a chip in every batch.

        Raises:
            InputError: There are more processes than chips.
        """
        if batch_size < self.world_size:
            raise InputError(
                f"`batch_size` is {batch_size}; expected at least {self.world_size}, one chip for "
                f"each process"
            )

    def batch_rows(self, batch_size: int) -> range:
        """Return the rows of a batch that this process computes."""
        return range(self.rank, batch_size, self.world_size)

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype by their sums over all processes, in place.

        The sums are the same to the bit in all processes.
        """
        if self.world_size == 1:
            return
        import torch
        from torch import distributed

        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _translate_errors():
            distributed.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def broadcast(self, value: T) -> T:
        """Return the value of the main process in all processes."""
        if self.world_size == 1:
            return value
        from torch import distributed

        values = [value if self.is_main else None]
        with _translate_errors():
            distributed.broadcast_object_list(values, src=0)
        return values[0]  # type: ignore[return-value]

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        if self.world_size == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.world_size
        with _translate_errors():
            distributed.all_gather_object(values, value)
        return values

    @contextmanager
    def fail_together(self) -> Iterator[None]:
        """Run a block that fails in all processes if it fails in one.

        A process whose block succeeded raises the error of another one. The block itself must not
        communicate.
        """
        failure: GeodetectError | OSError | None = None
        try:
            yield
        except (GeodetectError, OSError) as error:
            failure = error
        is_sendable = isinstance(failure, GeodetectError | None)
        errors = self.all_gather(failure if is_sendable else OSError(str(failure)))
        for any_failure in (failure, *errors):
            if any_failure is not None:
                raise any_failure


SINGLE_PROCESS = Processes()


def is_main_process() -> bool:
    """Return True in a process that runs alone, and in rank 0 of those of ``torchrun``."""
    return not _is_distributed() or os.environ["RANK"] == "0"


def is_restarted() -> bool:
    """Return True if ``torchrun`` has started the processes again, as one of them has ended."""
    return int(os.environ.get(RESTARTS, "0")) > 0


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Connect the processes that ``torchrun`` started; a process without ``torchrun`` runs alone.

    Python objects and tensors on CPUs travel through gloo, tensors on GPUs through NCCL.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``: each process then has a GPU of its own. For a process
            that runs alone any device that ``pick_device`` takes.

    Raises:
        InputError: There is no such device for each process.
    """
    if not _is_distributed():
        yield Processes(device=device)
        return
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    rank, world_size, local_rank, local_size = (int(os.environ[v]) for v in RANK_VARIABLES)
    device = _pick_local_device(device, local_rank, local_size)
    backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
    with _translate_errors():
        store, _, _ = next(rendezvous("env://", rank, world_size, timeout=TIMEOUT))
        store.set_timeout(TIMEOUT)
        distributed.init_process_group(
            backend,
            store=_store_of_this_start(store, rank, world_size),
            rank=rank,
            world_size=world_size,
            timeout=TIMEOUT,
        )
    try:
        yield Processes(rank, world_size, device)
    except LostProcessError:
        raise  # destroying the group would wait for the lost process
    except GeodetectError:
        distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def _is_distributed() -> bool:
    has_variables = all(name in os.environ for name in TORCHRUN_VARIABLES)
    return has_variables and int(os.environ["WORLD_SIZE"]) > 1


def _store_of_this_start(store: Store, rank: int, world_size: int) -> Store:
    """Return the part of a store where processes of this start write, and none of earlier ones.

    Processes that ``torchrun`` starts again share the store of those that died. There they would
    read the addresses of the dead (PyTorch issue 135712). So each process writes a random name,
    and waits for the name of this start, which the main process writes for each of those names.
    """
    from torch.distributed.distributed_c10d import PrefixStore

    name = uuid4().hex
    if rank > 0:
        store.set(f"process {rank}", name)
        start = store.get(f"start of {name}").decode()
        store.set(f"{start} joined by {rank}", "")
        return PrefixStore(start, store)
    processes = range(1, world_size)
    answered = set[bytes]()
    while not store.check([f"{name} joined by {process}" for process in processes]):
        for process_name in {store.get(f"process {process}") for process in processes} - answered:
            store.set(f"start of {process_name.decode()}", name)
            answered.add(process_name)
        time.sleep(START_POLL_S)
    return PrefixStore(name, store)


def _pick_local_device(device: str, local_rank: int, local_size: int) -> str:
    """Pick the device of one of the processes on this machine."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    if device != "cuda":
        raise InputError(
            f"`device` is {device}; expected auto, cpu or cuda for {local_size} processes, each on "
            f"a GPU of its own; start one process without torchrun for another device"
        )
    if torch.cuda.device_count() < local_size:
        raise InputError(
            f"`device` is cuda, but {local_size} processes found {torch.cuda.device_count()} GPUs; "
            f"start one process for each GPU (nproc-per-node of torchrun), or set `device` to cpu"
        )
    torch.cuda.set_device(local_rank)
    return f"cuda:{local_rank}"


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translate communication errors of PyTorch to ``LostProcessError``."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            "another process of the training has ended or cannot be reached; see its own message; "
            "set `resume` to continue from the last checkpoint"
        ) from error
