"""Cluster of Ray on this machine, whose nodes and workers are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from geodetect.detection.sharding.status import run_status
from tests.helpers.program import program_environment

NODES = 3
NODE = {"num_cpus": 1, "object_store_memory": 80 * 1024**2}
ATTEMPTS, START_S = 3, 240  # on a busy machine
LIMIT_S = 120  # of a shard, and of the start after a kill


def _run_cluster(orders: Connection) -> None:
    """Start and kill nodes on order, in a process of its own: Ray changes signal handlers."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    head, attempts = NODE | {"include_dashboard": False}, ATTEMPTS
    while True:
        try:
            cluster = Cluster(initialize_head=True, head_node_args=head)
            nodes = [cluster.add_node(**NODE) for _ in range(NODES - 1)]
            break
        except Exception:  # Ray raises no other class: parts of a node may take 15 s to start
            attempts -= 1
            if not attempts:
                raise
    orders.send(cluster.address)
    while (order := orders.recv()) is not None:
        cluster.remove_node(nodes.pop(order % len(nodes)), allow_graceful=False)
        orders.send("killed")
        nodes.append(cluster.add_node(**NODE))
    cluster.shutdown()
    orders.send("ended")


@dataclass
class RayCluster:
    """Three nodes with a core each, one of them the head.

    Args:
        address: Address of the cluster.
        orders: Connection to the process that has started it.
        random: Choice of what is killed.
    """

    address: str
    orders: Connection
    random: random.Random

    def kill_node(self) -> None:
        """Kill a node, not the head; another one joins some seconds later."""
        self.orders.send(self.random.randrange(100))
        self.orders.recv()

    def kill_worker(self) -> None:
        """Kill the process of an actor."""
        while not (workers := self._workers()):
            time.sleep(0.1)
        with suppress(psutil.NoSuchProcess):
            self.random.choice(workers).kill()

    def _workers(self) -> list[psutil.Process]:
        """Return the processes of actors of this cluster."""
        processes = []
        for process in psutil.process_iter(["cmdline"]):
            with suppress(psutil.Error):
                if (process.info["cmdline"] or [""])[0].startswith("ray::ShardActor"):
                    raylet = process.parent()
                    if raylet is not None and any(self.address in a for a in raylet.cmdline()):
                        processes.append(process)
        return processes


@contextmanager
def run_ray_cluster(seed: int) -> Iterator[RayCluster]:
    """Run a cluster of three nodes; tests are skipped where Ray is not installed."""
    pytest.importorskip("ray", reason="needs the extra ray")
    orders, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run_cluster, args=(theirs,))
    process.start()
    try:
        assert orders.poll(START_S)
        yield RayCluster(orders.recv(), orders, random.Random(seed))
        orders.send(None)
        end = time.monotonic() + START_S
        while orders.poll(end - time.monotonic()) and orders.recv() != "ended":
            continue
    finally:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.join()


def compute_with_kills(run: Path, cluster: RayCluster, kills: Sequence[str]) -> str:
    """Compute a planned run on a cluster, with a kill after each shard that is finished.

    Args:
        run: Folder of the run, of which some shards are left when all kills are done.
        cluster: The cluster.
        kills: ``worker``, ``node`` or ``driver``: the process that started the workers, which
            starts again.

    Returns:
        Messages of the last driver.
    """
    driver, left, finished = _start_driver(run, cluster), list(kills), 0
    end = time.monotonic() + LIMIT_S * (1 + len(kills))
    while driver.poll() is None:
        assert time.monotonic() < end
        status = run_status(run)
        if left and status.shards - len(status.absent) > finished:
            finished = status.shards - len(status.absent)
            kill = left.pop(0)
            if kill == "driver":
                driver.kill()
                driver.communicate()
                driver = _start_driver(run, cluster)
            elif kill == "node":
                cluster.kill_node()
            else:
                cluster.kill_worker()
        time.sleep(0.05)
    output, _ = driver.communicate()
    assert driver.returncode == 0, output
    assert not left, f"finished before the kills {left}"
    return output


def _start_driver(run: Path, cluster: RayCluster) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.helpers.ray_driver", str(run), cluster.address]
    return subprocess.Popen(
        command,
        env=program_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
