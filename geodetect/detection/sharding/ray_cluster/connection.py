"""Connection to a cluster of Ray, and the workers that it has room for."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from geodetect.errors import InputError, MissingDependencyError, error_text
from geodetect.progress import phase

WORKER_CORES = 8  # of a worker, at most; each takes the memory of a model
MAX_RATIO = 4  # of the cores of the largest node to those of a node whose size counts
CONNECT_S = 5.0
ADDRESS_VARIABLE = "RAY_ADDRESS"


@dataclass(frozen=True)
class Capacity:
    """Workers that a cluster has room for.

    Args:
        workers: Their number.
        cores: Cores of each.
        gpus: GPUs of each.
    """

    workers: int
    cores: int
    gpus: int

    @classmethod
    def from_nodes(cls, nodes: Sequence[Mapping[str, Any]], *, with_gpus: bool) -> Capacity:
        """Return the capacity of nodes.

        Args:
            nodes: Nodes with their resources, as Ray lists them.
            with_gpus: One worker for each GPU; else one for a few cores: as many as the smallest
                node has, where those much smaller than the largest one do not count.
        """
        resources = [node["Resources"] for node in nodes if node["Alive"]]
        sizes = [(int(r.get("CPU", 0)), int(r.get("GPU", 0))) for r in resources]
        if with_gpus:
            cores = min([WORKER_CORES, *(max(1, cpu // gpu) for cpu, gpu in sizes if gpu)])
            return cls(sum(gpu for _, gpu in sizes), cores, 1)
        largest = max([0, *(cpu for cpu, _ in sizes)])
        cores = min(
            [WORKER_CORES, *(cpu for cpu, _ in sizes if cpu and cpu * MAX_RATIO >= largest)]
        )
        return cls(sum(cpu // cores for cpu, _ in sizes), cores, 0)


def import_ray() -> Any:
    """Import Ray.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "`engine`: ray needs the extra `ray`: pip install 'geodetect[ray]', on all nodes"
        ) from error
    return ray


@contextmanager
def connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to a cluster for a ``with`` block, unless the process is connected already.

    Raises:
        InputError: There is no cluster at the address.
        LostProcessError: The cluster is lost.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get(ADDRESS_VARIABLE) or None
    if address is not None:
        _check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no server is asked
    # Ray sets its own, which ends the process
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with phase("Connecting to the cluster"):
            ray.init(
                address,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                include_dashboard=False,
            )
    except (OSError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        raise InputError(
            f"`ray_address`: no cluster of Ray could be used {where} ({error_text(error)})"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)
    try:
        with _without_logs_of_nodes(ray):
            yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise an error if nothing listens at an address: Ray itself would try for minutes.

    Raises:
        InputError: Nothing does, or it is no address.
    """
    host, colon, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if address in ("auto", "local"):
        return
    if not (host and colon and port.isdecimal()):
        raise InputError(
            f"`ray_address`: expected HOST:PORT of the head node, such as 10.0.0.1:6379; found "
            f"{address}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error_text(error)
        raise InputError(
            f"`ray_address`: no cluster of Ray answers at {address} ({reason}); start its "
            f"head node first, with ray start"
        ) from error


@contextmanager
def _without_logs_of_nodes(ray: Any) -> Iterator[None]:
    """Keep the logs of lost nodes, 30 lines each, off the error stream: Ray has no option."""
    worker = ray._private.worker
    printing = getattr(worker, "print_to_stdstream", None)
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        if printing is not None:
            worker.print_to_stdstream = printing
