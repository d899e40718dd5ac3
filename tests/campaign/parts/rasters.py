"""Damaged rasters of many formats."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.campaign import scenes
from tests.campaign.damage.documents import damage_xml, encode
from tests.campaign.damage.raw import damage_bytes
from tests.campaign.damage.tiff import damage_tiff
from tests.campaign.harness import Case, Kind, Part
from tests.campaign.seeds import rasters
from tests.campaign.seeds.rasters import RasterSeed, read_plainly, visible_squares


@dataclass(frozen=True)
class Seeds:
    """Rasters by name, and the model that finds their squares."""

    rasters: dict[str, RasterSeed]
    model: Path
    truth: Path


def prepare(folder: Path) -> Seeds:
    """Write the rasters, the model and the cache of its converted network."""
    seeds = rasters.write_seeds(folder / "rasters")
    return Seeds(seeds, scenes.warm_model(folder), scenes.write_truth(folder))


def try_case(case: Case, seeds: Seeds) -> None:
    """Damage a raster and run a command on it."""
    rng = case.random
    name = rng.choice(sorted(seeds.rasters))
    seed = seeds.rasters[name]
    raster = _write_damaged(case, seed)
    before = set(case.input.iterdir())
    rng.choice(COMMANDS)(case, seeds, seed, raster)
    extra = {path.name for path in set(case.input.iterdir()) - before}
    if extra:
        case.report(Kind.HALF_FILE, f"left beside the raster: {', '.join(sorted(extra))}")


def _write_damaged(case: Case, seed: RasterSeed) -> Path:
    """Write the files of a seed, one of them damaged, and return the raster."""
    rng = case.random
    damaged = rng.choice(list(seed.files)) if rng.random() < 0.95 else ""
    for name, data in seed.files.items():
        content = data
        if name == damaged:
            if data.startswith((b"II", b"MM")) and rng.random() < 0.6:
                content = damage_tiff(data, rng)
            elif name.endswith((".vrt", ".xml", ".mrf")) and rng.random() < 0.8:
                content = encode(damage_xml(data.decode(), rng), rng)
            else:
                content = damage_bytes(data, rng)
        (case.input / name).write_bytes(content)
    return case.input / next(iter(seed.files))


def _predict(case: Case, seeds: Seeds, seed: RasterSeed, raster: Path) -> None:
    """Predict, and compare with the squares that plain GDAL shows."""
    output, coverage = case.output / "squares.geojson", case.output / "coverage.geojson"
    outcome = case.run(
        "predict", raster, "-m", seeds.model, "-o", output, "--coverage", coverage,
        "--device", "cpu", "--json", *seed.options,
    )  # fmt: skip
    case.check_outputs(output, coverage)
    if outcome.code != 0:
        case.check_leftovers()
        return
    case.check_leftovers(output, coverage)
    if scenes.is_told(outcome):
        return
    reading = case.call(read_plainly, raster)
    missing = case.call(
        scenes.missing_squares, output, coverage, visible_squares(seed.reading, reading)
    )
    if missing:
        case.report(Kind.SHORTFALL, f"{missing} visible squares are missing from ground searched")
    elif reading.problem:
        case.report(Kind.SHORTFALL, f"no word about {reading.problem!r}, which GDAL reports")


def _info(case: Case, _: Seeds, __: RasterSeed, raster: Path) -> None:
    outcome = case.run("info", raster, "--json")
    if outcome.code == 0:
        json.loads(outcome.stdout)


def _preview(case: Case, _: Seeds, seed: RasterSeed, raster: Path) -> None:
    output = case.output / "preview.png"
    outcome = case.run("preview", raster, "-o", output, "--image-size", 256, *seed.options[:2])
    case.check_outputs(output)
    case.check_leftovers(*([output] if outcome.code == 0 else []))


def _tile(case: Case, seeds: Seeds, seed: RasterSeed, raster: Path) -> None:
    """Cut chips; all squares that are visible must be in them."""
    output = case.output / "chips"
    outcome = case.run(
        "tile", raster, "--labels", seeds.truth, "-o", output, "--tile-size", 96, "--json",
        *(o for o in seed.options[:2] if seed.options[0] != "--pixel-coords"),
    )  # fmt: skip
    case.check_outputs(output)
    case.check_leftovers(*([output] if outcome.code == 0 else []))


def _check(case: Case, seeds: Seeds, seed: RasterSeed, raster: Path) -> None:
    case.run("check", "--rasters", case.input, "--labels", seeds.truth, "--json")


def _report(case: Case, seeds: Seeds, seed: RasterSeed, raster: Path) -> None:
    output = case.output / "page.html"
    outcome = case.run("report", seeds.truth, "-r", raster, "-o", output, "--imagery", "inside")
    case.check_outputs(output)
    case.check_leftovers(*([output] if outcome.code == 0 else []))


COMMANDS = (_predict, _predict, _predict, _predict, _info, _preview, _tile, _check, _report)
PART = Part("rasters", prepare, try_case)
