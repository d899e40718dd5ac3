"""Damaged entries of the cache of converted networks."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.campaign import scenes
from tests.campaign.child import Surroundings
from tests.campaign.damage.documents import damage_json
from tests.campaign.damage.raw import damage_bytes
from tests.campaign.damage.tensors import damage_header
from tests.campaign.harness import Case, Kind, Part
from tests.campaign.scenes import Scene


@dataclass(frozen=True)
class Seeds:
    """A scene, the file that ``predict`` writes of it, and the cache."""

    scene: Scene
    expected: bytes
    cache: Path


def prepare(folder: Path) -> Seeds:
    """Predict once, which fills the cache."""
    cache = folder / "cache"
    os.environ["GEODETECT_CACHE_DIR"] = str(cache)  # of this child
    scene = scenes.prepare_scene(folder)
    output = folder / "expected.geojson"
    scenes.run_here(
        "predict", scene.raster, "-m", scene.model, "-o", output, "--device", "cpu", "-q"
    )
    return Seeds(scene, output.read_bytes(), cache)


def try_case(case: Case, seeds: Seeds) -> None:
    """Damage the entry, predict with it, and compare the bytes."""
    rng = case.random
    cache, output = case.folder / "cache", case.output / "squares.geojson"
    shutil.copytree(seeds.cache, cache)
    entry = rng.choice(sorted(cache.rglob("*.safetensors")))
    data = entry.read_bytes()
    action = rng.randrange(6)
    if action == 0:
        entry.unlink()
        entry.mkdir()
    elif action == 1:
        entry.unlink()
        entry.symlink_to(entry.name)
    elif action == 2:
        entry.write_bytes(damage_header(data, rng, damage_json))
    else:
        entry.write_bytes(damage_bytes(data, rng))
    outcome = case.run(
        "predict", seeds.scene.raster, "-m", seeds.scene.model, "-o", output, "--device", "cpu",
        surroundings=Surroundings(case.folder, {"GEODETECT_CACHE_DIR": str(cache)}),
    )  # fmt: skip
    case.check_leftovers(output)
    if outcome.code != 0:
        case.report(Kind.TRACEBACK, "a damaged cache stops a run that needs no cache")
    elif output.read_bytes() != seeds.expected:
        case.report(Kind.SHORTFALL, "other bytes than with a sound cache")


PART = Part("cache_entries", prepare, try_case, modules=("torch", "torchvision"))
