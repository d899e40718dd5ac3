"""Damaged model files and checkpoints of other programs."""

from __future__ import annotations

import json
import pickle
import random
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from safetensors.numpy import load, load_file, save_file

from tests.campaign import scenes
from tests.campaign.child import Surroundings
from tests.campaign.damage.documents import damage_json
from tests.campaign.damage.raw import damage_bytes
from tests.campaign.damage.tensors import damage_header, join_header, split_header
from tests.campaign.harness import Case, Kind, Part
from tests.campaign.scenes import Scene

STRANGE_VALUES = (np.nan, np.inf, -np.inf, 65_504.0)


@dataclass(frozen=True)
class Seeds:
    """A scene, the bytes of its model, and checkpoints of other programs by their names."""

    scene: Scene
    model: bytes
    checkpoints: dict[str, bytes]


class Malicious:
    """An object whose unpickling would call a function."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("open('executed', 'w')",)


def prepare(folder: Path) -> Seeds:
    """Write the model, and its parameters as other programs do."""
    import torch

    scene = scenes.prepare_scene(folder)
    arrays = load_file(scene.model)
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    checkpoints = {}
    for name, content in {
        "weights.pt": state,
        "weights.pth": {"state_dict": state, "epoch": 3},
        "malicious.pt": {"state_dict": state, "hook": Malicious()},
    }.items():
        torch.save(content, folder / name)
        checkpoints[name] = (folder / name).read_bytes()
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    save_file(arrays, folder / "weights.safetensors")
    checkpoints["old.pt"] = (folder / "old.pt").read_bytes()
    checkpoints["weights.safetensors"] = (folder / "weights.safetensors").read_bytes()
    checkpoints["pickled.bin"] = pickle.dumps({"state_dict": Malicious()})
    return Seeds(scene, scene.model.read_bytes(), checkpoints)


def try_case(case: Case, seeds: Seeds) -> None:
    """Damage a model and show it or predict with it, or convert a damaged checkpoint."""
    if case.random.random() < 0.3:
        _convert(case, seeds)
        return
    model = case.input / "model.safetensors"
    model.write_bytes(_damage_model(seeds.model, case.random))
    if case.random.random() < 0.4:
        case.run("info", model, "--json")
    else:
        _predict(case, seeds, model)


def _predict(case: Case, seeds: Seeds, model: Path) -> None:
    """Predict; with the same network and card, all squares must be found."""
    output, coverage = case.output / "squares.geojson", case.output / "ground.geojson"
    outcome = case.run(
        "predict", seeds.scene.raster, "-m", model, "-o", output, "--coverage", coverage,
        "--device", "cpu", "--json",
        surroundings=Surroundings(case.folder, {"GEODETECT_CACHE_DIR": str(case.folder / "cache")}),
    )  # fmt: skip
    case.check_outputs(output, coverage)
    case.check_leftovers(*([output, coverage] if outcome.code == 0 else []))
    if outcome.code != 0 or scenes.is_told(outcome):
        return
    data = model.read_bytes()
    if any(not np.isfinite(array).all() for array in load(data).values()):
        case.report(Kind.SHORTFALL, "no word about parameters that are no numbers")
    elif data == seeds.model:
        missing = case.call(scenes.missing_squares, output, coverage, list(range(16)))
        if missing:
            case.report(Kind.SHORTFALL, f"{missing} squares are missing")


def _convert(case: Case, seeds: Seeds) -> None:
    rng = case.random
    name = rng.choice(sorted(seeds.checkpoints))
    file, output = case.input / name, case.output / "converted.safetensors"
    data = seeds.checkpoints[name]
    if zipfile.is_zipfile(BytesIO(data)) and rng.random() < 0.6:
        data = _damage_archive(data, rng)
    elif name.endswith(".safetensors") and rng.random() < 0.6:
        data = damage_header(data, rng, damage_json)
    elif rng.random() < 0.9:
        data = damage_bytes(data, rng)
    file.write_bytes(data)
    outcome = case.run("convert", file, "-o", output, "--classes", "square", "--json")
    case.check_outputs(output)
    case.check_leftovers(*([output] if outcome.code == 0 else []))
    if (case.folder / "executed").exists():
        case.report(Kind.TRACEBACK, "code of the checkpoint was executed")


def _damage_model(data: bytes, rng: random.Random) -> bytes:
    action = rng.random()
    if action < 0.1:
        return data
    if action < 0.3:
        return damage_header(data, rng, damage_json)
    if action < 0.6:
        return damage_header(data, rng, _damage_card)
    if action < 0.8:
        return _set_parameters(data, rng)
    return damage_bytes(data, rng)


def _damage_card(header: str, rng: random.Random) -> str:
    """Damage a JSON document that is a value of the metadata."""
    document = json.loads(header)
    metadata = document["__metadata__"]
    key = rng.choice([key for key, value in metadata.items() if value.startswith("{")])
    metadata[key] = damage_json(metadata[key], rng)
    return json.dumps(document)


def _set_parameters(data: bytes, rng: random.Random) -> bytes:
    """Set some parameters of a tensor to values that are no numbers, or very large."""
    header, tensors = split_header(data)
    entries = {k: v for k, v in json.loads(header).items() if k != "__metadata__"}
    start, end = rng.choice(list(entries.values()))["data_offsets"]
    value = np.float16(rng.choice(STRANGE_VALUES)).tobytes()
    changed = bytearray(tensors)
    count = rng.choice((1, (end - start) // 2))
    changed[start : start + 2 * count] = value * count
    return join_header(header.encode(), bytes(changed))


def _damage_archive(data: bytes, rng: random.Random) -> bytes:
    """Return a ZIP archive with one member damaged, missing or repeated."""
    target = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as source, zipfile.ZipFile(target, "w") as archive:
        chosen = rng.choice(source.namelist())
        for name in source.namelist():
            content = source.read(name)
            if name != chosen:
                archive.writestr(name, content)
            elif rng.random() < 0.8:
                archive.writestr(name, damage_bytes(content, rng))
    return target.getvalue()


PART = Part("models", prepare, try_case, modules=("torch", "torchvision"))
