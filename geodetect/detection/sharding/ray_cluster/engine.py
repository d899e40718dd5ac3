"""Shards of a planned run on a cluster of Ray.

Ray starts workers on the nodes of the cluster and notices when one is lost; then its shard goes to
another one. Which shards are finished is only in the folder of the run, as Ray itself forgets
everything with its head node: after that, or after the end of this process, the same call
computes what is still absent.
"""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodetect.detection.detectors.detector import Detector
from geodetect.detection.sharding.ray_cluster.connection import Capacity, connected, import_ray
from geodetect.detection.sharding.worker import ShardCounts, ShardWorker
from geodetect.errors import (
    GeodetectError,
    GeodetectWarning,
    InputError,
    LostProcessError,
    OutOfMemoryError,
    OutputError,
    RasterError,
    error_text,
)
from geodetect.io.raster.remote import is_remote
from geodetect.progress import announce
from geodetect.types import PathLike

POLL_S = 2.0  # between looks at the nodes of the cluster
WAITING_S = 30.0  # without a worker, until it is said that the cluster has no room
MAX_LOSSES = 5  # workers that a shard, or the start, may cost while their nodes live on
STRAGGLER_RATIO, STRAGGLER_S = 3.0, 60.0  # of a shard that an idle worker computes, too
# errors that another worker may not have, by the name under which they come back
RETRIED = {error.__name__: error for error in (RasterError, OutputError, OutOfMemoryError)}


@dataclass(frozen=True)
class ActorResult:
    """Return value of an actor.

    Args:
        node: Number and address of its node.
        counts: Counts of a shard; None: none was computed.
        error: Class and message of an error that was raised on purpose.
        warnings: Messages for the user.
    """

    node: tuple[str, str]
    counts: ShardCounts | None = None
    error: tuple[str, str] | None = None
    warnings: tuple[str, ...] = ()


class ShardActor:
    """Worker in a process of the cluster. Its errors come back as texts.

    Args:
        location: Folder of the run.
        model: As for ``ShardWorker``.
        settings: As for ``ShardWorker``.
        allow_mixed: As for ``ShardWorker``.
    """

    def __init__(
        self,
        location: str,
        model: PathLike | Detector | None,
        settings: Mapping[str, Any],
        allow_mixed: bool,
    ) -> None:
        self._arguments = location, model, settings, allow_mixed
        self._worker: ShardWorker | None = None

    def detect(self, number: int | None) -> ActorResult:
        """Compute a shard; None: only load plan and model."""
        ray = import_ray()
        context = ray.get_runtime_context()
        node = context.get_node_id(), ray.util.get_node_ip_address()
        counts, error = None, None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GeodetectWarning)
            try:
                if self._worker is None:
                    location, model, settings, allow_mixed = self._arguments
                    self._worker = ShardWorker(
                        location, model, settings=settings, allow_mixed=allow_mixed
                    )
                if number is not None:
                    counts = self._worker.detect(number)
            except GeodetectError as raised:
                error = type(raised).__name__, str(raised)
        texts = (str(w.message) for w in caught if issubclass(w.category, GeodetectWarning))
        return ActorResult(node, counts, error, tuple(dict.fromkeys(texts)))


@dataclass(frozen=True)
class _Task:
    """Call of an actor.

    Args:
        actor: The actor.
        number: Number of the shard; None: it loads plan and model.
        node: Number and address of its node; None: not yet known.
        start: Time of the call.
    """

    actor: Any
    number: int | None
    node: tuple[str, str] | None
    start: float = field(default_factory=time.monotonic)


def detect_on_ray(
    location: PathLike,
    numbers: Sequence[int],
    *,
    model: PathLike | Detector | None = None,
    settings: Mapping[str, Any] | None = None,
    allow_mixed: bool = False,
    device: str = "auto",
    address: str | None = None,
) -> Generator[ShardCounts]:
    """Compute shards of a planned run on a cluster, and yield the counts of each finished one.

    Args:
        location: Folder of the run, which all nodes reach under this path or URL.
        numbers: Numbers of the shards.
        model: As for ``ShardWorker``.
        settings: As for ``ShardWorker``.
        allow_mixed: As for ``ShardWorker``.
        device: Device of the workers; ``auto``: GPUs, if the cluster has some.
        address: Address of the cluster, such as ``10.0.0.1:6379``; None: that of the environment
            (``RAY_ADDRESS``), else of the cluster that this machine belongs to, else a cluster of
            this machine alone is started.

    Raises:
        InputError: There is no cluster at the address, or a worker cannot use the plan.
        RasterError: Several workers could not read the only raster of the run.
        OutputError: Several workers could not write the record of a shard.
        LostProcessError: Workers cannot start, a shard has cost several of them, or the cluster is
            lost.
        MissingDependencyError: Ray is not installed.
    """
    if not numbers:
        return
    text = os.fspath(location)
    if not is_remote(text):
        text = str(Path(text).absolute())
    ray = import_ray()
    with connected(ray, address):
        crew = _Crew(ray, (text, model, dict(settings or {}), allow_mixed), device)
        try:
            yield from crew.detect(numbers)
        finally:
            crew.dismiss()


class _Crew:
    """Actors of a run, each with one call at a time.

    Args:
        ray: The library, connected to a cluster.
        arguments: Arguments of each actor.
        device: Device of the workers.
    """

    def __init__(self, ray: Any, arguments: tuple[Any, ...], device: str) -> None:
        self._ray, self._arguments, self._device = ray, arguments, device
        self._tasks: dict[Any, _Task] = {}  # by the reference of the result
        self._waiting: deque[int] = deque()
        self._finished: set[int] = set()
        self._losses: Counter[int | None] = Counter()
        self._durations: list[float] = []
        self._warned: set[str] = set()
        self._with_gpus: bool | None = None

    def detect(self, numbers: Sequence[int]) -> Generator[ShardCounts]:
        """Compute shards, and yield the counts of each finished one.

        Raises:
            GeodetectError: See ``detect_on_ray``.
        """
        self._waiting.extend(numbers)
        idle_since = time.monotonic()
        while len(self._finished) < len(numbers):
            self._start_actors()
            for reference in self._wait():
                task = self._tasks.pop(reference)
                result = self._result(reference, task)
                if result is None:
                    continue
                idle_since = time.monotonic()
                if result.counts is not None and task.number not in self._finished:
                    self._finished.add(result.counts.number)
                    self._durations.append(time.monotonic() - task.start)
                    yield result.counts
                self._call(task.actor, self._next_number(), result.node)
            has_workers = any(task.node is not None for task in self._tasks.values())
            if not has_workers and time.monotonic() - idle_since > WAITING_S:
                announce("the cluster has no room for a worker yet: waiting for its nodes")
                idle_since = float("inf")

    def dismiss(self) -> None:
        """End all actors."""
        for task in self._tasks.values():
            self._ray.kill(task.actor)
        self._tasks.clear()

    def _wait(self) -> list[Any]:
        """Return the references of some finished calls, after some time perhaps none."""
        if not self._tasks:
            time.sleep(POLL_S)
            return []
        try:
            ready, _ = self._ray.wait(list(self._tasks), timeout=POLL_S)
        except self._ray.exceptions.RayError as error:
            raise self._lost_cluster(error) from error
        return list(ready)

    def _start_actors(self) -> None:
        """Start as many actors as the cluster has room for, and as there are shards for."""
        unfinished = len(self._waiting) + sum(
            task.number is not None for task in self._tasks.values()
        )
        try:
            nodes = self._ray.nodes()
        except (RuntimeError, OSError, self._ray.exceptions.RayError) as error:
            raise self._lost_cluster(error) from error
        if self._with_gpus is None:  # once: processors of several kinds give other numbers
            has_gpus = any(node["Resources"].get("GPU") for node in nodes if node["Alive"])
            is_cuda = self._device.startswith("cuda")
            self._with_gpus = is_cuda or (self._device == "auto" and has_gpus)
        capacity = Capacity.from_nodes(nodes, with_gpus=self._with_gpus)
        actor_class = self._ray.remote(ShardActor).options(
            num_cpus=capacity.cores, num_gpus=capacity.gpus, max_restarts=0
        )
        while len(self._tasks) < min(max(1, capacity.workers), unfinished):
            self._call(actor_class.remote(*self._arguments), None, None, loads=True)

    def _call(
        self, actor: Any, number: int | None, node: tuple[str, str] | None, *, loads: bool = False
    ) -> None:
        """Have an actor compute a shard; end it if there is none."""
        if number is None and not loads:
            self._ray.kill(actor)
            return
        self._tasks[actor.detect.remote(number)] = _Task(actor, number, node)

    def _next_number(self) -> int | None:
        """Return the next absent shard, else one that takes long, to be computed by two; or None.

        The second one counts if the first one hangs; else both write the same record.
        """
        while self._waiting:
            if (number := self._waiting.popleft()) not in self._finished:
                return number
        counts = Counter(task.number for task in self._tasks.values())
        running = [
            (task.start, task.number)
            for task in self._tasks.values()
            if task.number is not None
            and counts[task.number] == 1
            and task.number not in self._finished
        ]
        if not running:
            return None
        start, number = min(running)
        usual = statistics.median(self._durations)
        is_late = time.monotonic() - start > max(STRAGGLER_RATIO * usual, STRAGGLER_S)
        return number if is_late else None

    def _result(self, reference: Any, task: _Task) -> ActorResult | None:
        """Return the result of a call; None: its worker is lost.

        A shard that could not be computed waits for the next try.

        Raises:
            GeodetectError: No other try will do.
        """
        exceptions = self._ray.exceptions
        try:
            result: ActorResult = self._ray.get(reference)
        except exceptions.RayTaskError as error:
            raise error.cause from error  # a bug
        except exceptions.RayError as error:
            self._lose(task, error)
            return None
        for text in result.warnings:
            if text not in self._warned:
                self._warned.add(text)
                warnings.warn(text, GeodetectWarning, stacklevel=5)
        if result.error is None:
            return result
        name, text = result.error
        self._losses[task.number] += 1
        if name not in RETRIED or self._losses[task.number] >= MAX_LOSSES:
            raise RETRIED.get(name, InputError)(f"node {result.node[1]}: {text}")
        if task.number is not None:
            self._waiting.append(task.number)
        return result

    def _lose(self, task: _Task, error: Exception) -> None:
        """Give the shard of a lost worker back.

        Raises:
            LostProcessError: The shard has cost too many workers.
        """
        self._ray.kill(task.actor)
        if task.number is not None and task.number not in self._finished:
            self._waiting.appendleft(task.number)
            where = f"on node {task.node[1]} " if task.node else ""
            announce(f"a worker {where}is lost; shard {task.number} is computed by another one")
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        if task.node is not None and task.node[0] not in alive:
            return
        self._losses[task.number] += 1
        if self._losses[task.number] >= MAX_LOSSES:
            lines = [line for line in str(error).splitlines() if "Error" in line] or [str(error)]
            subject = "starting" if task.number is None else f"computing shard {task.number}"
            raise LostProcessError(
                f"{MAX_LOSSES} workers of the cluster ended while {subject} "
                f"({error_text(RuntimeError(lines[-1]))}); geodetect and its extras must be "
                f"installed on all nodes, and have enough memory"
            ) from error

    def _lost_cluster(self, error: Exception) -> LostProcessError:
        return LostProcessError(
            f"the cluster of Ray is lost ({error_text(error)}); run the same again: it computes "
            f"the shards that are absent"
        )
