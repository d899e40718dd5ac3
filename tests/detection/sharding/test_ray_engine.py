"""Shards on a real cluster of Ray: three nodes on this machine, killed at random."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.detection.predict_to_file import PredictionFiles
from geodetect.detection.sharding.merge import merge_to_file
from geodetect.detection.sharding.plan_run import plan_to_folder
from geodetect.detection.sharding.predict_shards import predict_shards
from geodetect.detection.sharding.ray_cluster.connection import Capacity
from geodetect.detection.sharding.ray_cluster.run import predict_on_cluster
from geodetect.errors import InputError
from tests.conftest import Save
from tests.helpers.painted_scenes import mixed, read_colours
from tests.helpers.ray_cluster import RayCluster, compute_with_kills, run_ray_cluster
from tests.helpers.ray_driver import SLOW

SETTINGS = PredictSettings(tile_size=96, overlap=32, workers=1)
TOY = CallableDetector(read_colours, identity="toy 1", tile_px=96)
KILLS = ("worker", "driver", "node")  # many more: benchmarks/reproducibility/cluster.py


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with run_ray_cluster(seed=22) as cluster:
        yield cluster


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_bytes_are_those_of_a_local_run_whatever_is_killed(
    cluster: RayCluster, save: Save, tmp_path: Path
) -> None:
    scene, run = save(mixed(480, seed=5, largest=200).pixels), tmp_path / "run"
    plan_to_folder(scene, run, TOY, settings=SETTINGS, shard_px=64.0**2 * 3.5)
    assert compute_with_kills(run, cluster, KILLS) == ""
    merge_to_file(run, tmp_path / "cluster.gpkg")
    geodetect.predict_to_file(scene, tmp_path / "local.gpkg", TOY, settings=SETTINGS)
    assert digest(tmp_path / "cluster.gpkg") == digest(tmp_path / "local.gpkg")


def test_rasters_go_to_a_file_by_a_folder_that_is_removed_in_the_end(
    cluster: RayCluster, save: Save, tmp_path: Path
) -> None:
    scene = save(mixed(200, seed=5, largest=50).pixels)
    files = PredictionFiles(output=tmp_path / "cluster.gpkg")
    layer = predict_on_cluster(
        files, str(scene), TOY, settings=SETTINGS, ray_address=cluster.address
    )
    geodetect.predict_to_file(scene, tmp_path / "local.gpkg", TOY, settings=SETTINGS)
    assert digest(tmp_path / "cluster.gpkg") == digest(tmp_path / "local.gpkg")
    assert len(layer) > 0
    assert not (tmp_path / "cluster.gpkg.run").exists()


def test_the_error_of_a_worker_is_one_line_with_its_node(
    cluster: RayCluster, save: Save, tmp_path: Path
) -> None:
    scene, run = save(mixed(100, seed=5, largest=20).pixels), tmp_path / "run"
    plan_to_folder(scene, run, TOY, settings=SETTINGS)
    save(mixed(100, seed=6, largest=20).pixels)
    with pytest.raises(InputError, match=r"^node [\d.]+: .*changed since the run .* was planned"):
        predict_shards(run, SLOW, engine="ray", ray_address=cluster.address)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("127.0.0.1:1", r"no cluster of Ray answers at 127.0.0.1:1 \(Connection refused\)"),
        ("cluster", "expected HOST:PORT of the head node"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(
    address: str, text: str, save: Save, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    plan_to_folder(save(mixed(100, seed=5, largest=20).pixels), tmp_path, TOY, settings=SETTINGS)
    start = time.monotonic()
    with pytest.raises(InputError, match=f"^`ray_address`: {text}"):
        predict_shards(tmp_path, TOY, engine="ray", ray_address=address)
    assert time.monotonic() - start < 10


def node(cpus: int, gpus: int = 0, *, alive: bool = True) -> dict[str, object]:
    return {"Alive": alive, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}}


@pytest.mark.parametrize(
    ("nodes", "with_gpus", "expected"),
    [
        ([node(1), node(1), node(1)], False, Capacity(3, 1, 0)),
        ([node(64), node(32)], False, Capacity(12, 8, 0)),
        ([node(6), node(4), node(0)], False, Capacity(2, 4, 0)),
        ([node(64), node(2)], False, Capacity(8, 8, 0)),  # the small node is left idle
        ([node(8), node(8, alive=False)], False, Capacity(1, 8, 0)),
        ([node(32, 4), node(16)], True, Capacity(4, 8, 1)),
        ([node(2, 4)], True, Capacity(4, 1, 1)),
        ([node(16)], True, Capacity(0, 8, 1)),
        ([], False, Capacity(0, 8, 0)),
    ],
)
def test_a_worker_takes_a_gpu_or_a_few_cores(
    nodes: list[dict[str, object]], with_gpus: bool, expected: Capacity
) -> None:
    assert Capacity.from_nodes(nodes, with_gpus=with_gpus) == expected
