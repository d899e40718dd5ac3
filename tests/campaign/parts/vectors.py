"""Damaged vector layers of many formats, and layers with unusable rows."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from geopandas import GeoDataFrame

from tests.campaign import scenes
from tests.campaign.child import ChildError
from tests.campaign.commands import fill
from tests.campaign.damage.databases import damage_database
from tests.campaign.damage.documents import damage_json, damage_lines, damage_xml, encode
from tests.campaign.damage.raw import damage_bytes
from tests.campaign.harness import Case, Kind, Part
from tests.campaign.scenes import Scene
from tests.campaign.seeds import vectors
from tests.campaign.seeds.vectors import VectorSeed

SPOILED = 0.3  # share of layers that are sound but for the values of some rows
STRUCTURED = 0.6  # share of damages that respect the structure of a file


@dataclass(frozen=True)
class Seeds:
    """A scene, and layers of its squares and of zones by the names of their files."""

    scene: Scene
    squares: dict[str, VectorSeed]
    zones: dict[str, VectorSeed]


@dataclass(frozen=True)
class Command:
    """A command that reads the damaged layer.

    Args:
        template: Its arguments, with the names of files in braces.
        counts: Numbers of its summary that account together for all rows; empty: it has none.
        output: Name of the file that it writes; empty: none.
        is_zones: The layer is one of zones instead of squares.
    """

    template: str
    counts: tuple[str, ...] = ()
    output: str = ""
    is_zones: bool = False


PARCELS = "compare {truth} --register {truth} --parcels {layer} -o {out}/p.gpkg"
AFTER, BEFORE = ("new", "confirmed", "moved"), ("missing", "gone", "confirmed", "moved")
COMMANDS = (
    Command("evaluate {layer} {truth} --resamples 0", ("predictions",)),
    Command("evaluate {truth} {layer} --resamples 0 -o {out}/e.gpkg", ("truth",), "e.gpkg"),
    Command("compare {layer} --register {truth} -o {out}/c.gpkg", AFTER, "c.gpkg"),
    Command("compare {truth} --before {layer} -o {out}/c.fgb", BEFORE, "c.fgb"),
    Command("summarize {layer} --zones {zones} -o {out}/z.gpkg", ("predictions",), "z.gpkg"),
    Command("check --rasters {raster} --labels {layer} --no-shift", ("labels",)),
    Command("tile {raster} --labels {layer} --tile-size 96 -o {out}/chips", ("labels",), "chips"),
    Command("report {layer} -r {raster} --imagery inside -o {out}/r.html", (), "r.html"),
    Command("preview {raster} {layer} --image-size 200 -o {out}/p.png", (), "p.png"),
    Command("summarize {truth} --zones {layer} -o {out}/z.csv", ("zones",), "z.csv", True),
    Command("predict {raster} -m {model} --aoi {layer} -o {out}/a.gpkg", (), "a.gpkg", True),
    Command("evaluate {truth} {truth} --aoi {layer} --resamples 0", is_zones=True),
    Command(PARCELS, (), "p.gpkg", True),
)
WITHOUT_JSON = {"report", "preview"}


def prepare(folder: Path) -> Seeds:
    """Write the layers in all formats, the raster and the model."""
    squares, zones = vectors.squares_table(), vectors.zones_table()
    return Seeds(
        scenes.prepare_scene(folder),
        vectors.write_seeds(folder / "squares", squares),
        vectors.write_seeds(folder / "zones", zones),
    )


def try_case(case: Case, seeds: Seeds) -> None:
    """Damage a layer, or spoil some of its rows, and run a command that reads it."""
    rng = case.random
    command = rng.choice(COMMANDS)
    rows = None
    if rng.random() < SPOILED:
        layer = case.input / rng.choice(vectors.WRITABLE)
        table = vectors.zones_table() if command.is_zones else vectors.squares_table()
        rows = case.call(_write_spoiled, table, layer, rng.random())
    else:
        by_name = seeds.zones if command.is_zones else seeds.squares
        layer = _write_damaged(case, by_name[rng.choice(sorted(by_name))])
    before = set(case.input.iterdir())
    arguments = fill(command.template, seeds.scene, layer=layer, out=case.output)
    is_json = arguments[0] not in WITHOUT_JSON
    outcome = case.run(*arguments, *(["--json"] if is_json else []))
    outputs = [case.output / command.output] if command.output else []
    case.check_outputs(*outputs)
    case.check_leftovers(*(outputs if outcome.code == 0 else []))
    if set(case.input.iterdir()) != before:
        case.report(Kind.HALF_FILE, "left beside the layer: other files than before")
    if outcome.code != 0 or not is_json or scenes.is_told(outcome):
        return
    if rows is None:
        try:
            rows = case.call(vectors.count_rows, layer)
        except ChildError as error:
            case.report(Kind.SHORTFALL, f"no word about {error}, which the reader reports")
            return
    summary = json.loads(outcome.stdout)
    numbers = summary | summary.get("counts", {})
    counted = sum(numbers.get(name, 0) for name in command.counts)
    if command.counts and counted != rows:
        case.report(Kind.SHORTFALL, f"{counted} of {rows} rows are accounted for")


def _write_spoiled(table: GeoDataFrame, layer: Path, seed: float) -> int:
    """Write a table with unusable rows, and return the number of its rows."""
    rng = random.Random(seed)
    while True:
        try:
            vectors.write_table(vectors.spoil_rows(table, rng), layer)
        except Exception:  # not every format holds everything
            layer.unlink(missing_ok=True)
        else:
            return len(table)


def _write_damaged(case: Case, seed: VectorSeed) -> Path:
    """Write the files of a layer, one of them damaged or missing, and return the first."""
    rng = case.random
    damaged = rng.choice(list(seed.files)) if rng.random() < 0.95 else ""
    for name, data in seed.files.items():
        if name != damaged:
            (case.input / name).write_bytes(data)
        elif rng.random() < 0.95 or name == next(iter(seed.files)):
            (case.input / name).write_bytes(_damage(case, name, data))
    return case.input / next(iter(seed.files))


def _damage(case: Case, name: str, data: bytes) -> bytes:
    rng = case.random
    suffix = Path(name).suffix
    if suffix in {".gpkg", ".sqlite"}:
        return damage_database(data, rng, case.folder / "scratch.sqlite")
    if rng.random() < STRUCTURED:
        if suffix == ".geojson":
            return encode(damage_json(data.decode(), rng), rng)
        if suffix == ".geojsonl":
            lines = data.decode().splitlines()
            row = rng.randrange(len(lines))
            lines[row] = damage_json(lines[row], rng)
            return encode("\n".join(lines) + "\n", rng)
        if suffix in {".gml", ".kml", ".xsd"}:
            return encode(damage_xml(data.decode(), rng), rng)
        if suffix in {".csv", ".mif", ".mid", ".prj", ".cpg", ".tab"}:
            return encode(damage_lines(data.decode(errors="replace"), rng), rng)
    return damage_bytes(data, rng)


PART = Part("vectors", prepare, try_case)
