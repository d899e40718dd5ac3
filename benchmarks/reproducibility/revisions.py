"""Results of two revisions of the code on the same commands and inputs, compared file by file.

    python -m benchmarks.reproducibility.revisions --before v0.3 --after HEAD
    python -m benchmarks.reproducibility.revisions --before HEAD~40 --quick  # the sample alone

Every command runs once with the code of each revision, on the predictions of the same revision. A
file is

- identical: the same bytes;
- renamed: the same values under other keys, column names or words, which are listed; tables are
  compared by layer and column, JSON leaf by leaf, the data of a map report by its numbers and
  images, model files tensor by tensor;
- redrawn: an image with text, or the page of a training, with other bytes: to be looked at;
- DIFFERENT: other values, or a missing file.

Times are left out. Exit code 1 if anything is different.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
from safetensors.numpy import load_file

from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import ROOT, SAMPLE
from benchmarks.harness.tables import machine, save_table

SUFFIXES = (".geojson", ".geojsonl", ".gpkg", ".fgb", ".parquet", ".shp", ".csv")
RASTERS = ("cannes", "california")
RESULTS = ("identical", "renamed", "redrawn", "DIFFERENT")
DONE = ".done"
TABLES = {".geojson", ".geojsonl", ".gpkg", ".fgb", ".parquet", ".shp"}
TIMES = re.compile(r"seconds|memory|_s$|minutes|rate|bytes|date|version|settings|speed")
WRITE_ALL = """
import sys, geodetect
raster, stem, *suffixes = sys.argv[1:]
table = geodetect.predict(raster)
for suffix in suffixes:
    geodetect.write(table, stem + suffix, style=suffix in (".gpkg", ".geojson"))
"""


@dataclass
class Comparison:
    """Difference between two files.

    Args:
        result: ``identical``, ``renamed``, ``redrawn`` or ``DIFFERENT``.
        names: Names and words that differ, as ``old -> new``.
    """

    result: str
    names: set[str] = field(default_factory=set)


def commands(data: Path | None) -> list[list[str]]:
    """Return the commands to compare, as arguments of the program.

    Args:
        data: The folder ``shared/data/pools``; None: the sample alone.
    """
    zones = "summarize scene.gpkg --zones zones.geojson"
    lines = [
        *(f"predict scene.tif -o scene{suffix} --json" for suffix in SUFFIXES),
        "predict scene.tif -o styled.gpkg --style --aoi zones.geojson",
        "predict scene.tif -o gsd.geojson --gsd 0.3 --coverage ground.gpkg",
        "predict scene.tif --dry-run --json",
        "evaluate scene.gpkg truth.geojson -o errors.gpkg --json",
        "evaluate scene.gpkg truth.geojson --distance 3 --json",
        "evaluate --model pools --rasters scene.tif --labels truth.geojson --json",
        "compare scene.gpkg --register truth.geojson -o changes.gpkg --json",
        f"{zones} --precision 0.9 --recall 0.8 --support 65 -o zones_out.gpkg --json",
        f"{zones} --model pools -o zones_out.csv --json",
        "report scene.gpkg --raster scene.tif --truth truth.geojson -o report.html --json",
        "preview scene.tif scene.gpkg -o preview.png",
        "preview scene.tif scene.gpkg -o sheet.png --sheet worst",
        "check --rasters scene.tif --labels truth.geojson --json",
        *(
            f"tile scene.tif --labels truth.geojson -o chips_{name} --format {name}"
            for name in ("coco", "yolo", "voc")
        ),
        "info scene.tif --json",
        "info pools --json",
        "train --rasters scene.tif --labels truth.geojson --steps 4 --batch-size 2 --chip-px 128"
        " -o trained.safetensors",
    ]
    for name in RASTERS if data is not None else ():
        predictions = f"predicted_{name}.gpkg"
        lines += [
            f"-c {name}",
            f"evaluate {predictions} {name}.geojson -o {name}_errors.gpkg --json",
            f"compare {predictions} --register {name}.geojson -o {name}_changes.gpkg --json",
            f"summarize {predictions} --zones zones_{name}.geojson --model pools --json"
            f" -o {name}_zones.gpkg",
        ]
    return [line.split() for line in lines]


def prepare_inputs(folder: Path, data: Path | None) -> None:
    """Link the rasters and labels into a folder, and draw zones over them."""
    rasters = {"scene": SAMPLE}
    if data is not None:
        rasters |= {"cannes": data / "cannes_north.tif", "california": data / "california_west.tif"}
    for name, raster in rasters.items():
        (folder / f"{name}.tif").symlink_to(raster.resolve())
        labels = "truth.geojson" if name == "scene" else f"{name}.geojson"
        (folder / labels).symlink_to(raster.with_suffix(".geojson").resolve())
        bounds = gpd.read_file(folder / labels).to_crs("EPSG:4326").total_bounds
        zones = "zones.geojson" if name == "scene" else f"zones_{name}.geojson"
        (folder / zones).write_text(json.dumps(four_zones(*bounds)), encoding="utf-8")


def four_zones(x1: float, y1: float, x2: float, y2: float) -> dict[str, Any]:
    """Return the four quarters of a rectangle as a GeoJSON feature collection."""
    xs, ys = np.linspace(x1, x2, 3).tolist(), np.linspace(y1, y2, 3).tolist()
    features = [
        {
            "type": "Feature",
            "properties": {"name": f"zone {column}{row}"},
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [
                        [xs[column], ys[row]],
                        [xs[column + 1], ys[row]],
                        [xs[column + 1], ys[row + 1]],
                        [xs[column], ys[row + 1]],
                        [xs[column], ys[row]],
                    ]
                ],
            },
        }
        for row in range(2)
        for column in range(2)
    ]
    return {"type": "FeatureCollection", "features": features}


def run_revision(code: Path, folder: Path, data: Path | None) -> None:
    """Run all commands with the code of one revision.

    Args:
        code: Its working tree.
        folder: Folder of inputs and results.
        data: See ``commands``.
    """
    prepare_inputs(folder, data)
    path = os.pathsep.join([str(code), str(code / "cli")])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "100"}
    for number, arguments in enumerate(commands(data)):
        print(folder.name, *arguments, file=sys.stderr, flush=True)
        if arguments[0] == "-c":
            name = arguments[1]
            program = ["-c", WRITE_ALL, f"{name}.tif", f"predicted_{name}", *SUFFIXES]
        else:
            program = ["-m", "geodetect_cli", *arguments]
        process = subprocess.run(
            [sys.executable, *program], cwd=folder, env=environment, capture_output=True, text=True
        )
        if process.returncode:
            print(f"exit code {process.returncode}: {process.stderr[-500:]}", file=sys.stderr)
        if process.stdout:
            output = folder / f"{number:02} {arguments[0]}.json"
            output.write_text(process.stdout, encoding="utf-8")


def compare_files(before: Path, after: Path) -> Comparison:
    """Compare two files by their bytes, then by their values."""
    if not after.exists():
        return Comparison(
            "redrawn" if before.suffix == ".png" else "DIFFERENT", {f"no {after.name}"}
        )
    if before.read_bytes() == after.read_bytes():
        return Comparison("identical")
    suffix = before.suffix
    if suffix in TABLES and before.stem not in ("truth", "zones"):
        return compare_tables(before, after)
    if suffix == ".csv":
        return compare_frames(pd.read_csv(before), pd.read_csv(after))
    if suffix == ".png":
        return Comparison("redrawn")
    if suffix == ".html":
        old_data, new_data = embedded_data(before), embedded_data(after)
        if old_data is None or new_data is None:
            return Comparison("redrawn")
        (old_numbers, old_images), (new_numbers, new_images) = old_data, new_data
        lost, added = Counter(old_numbers), Counter(new_numbers)
        names = {f"without {n}" for n in lost - added} | {f"with {n}" for n in added - lost}
        same = not names and old_images == new_images
        return Comparison("renamed" if same else "DIFFERENT", names)
    if suffix == ".safetensors":
        return compare_tensors(before, after)
    return compare_values(json_values(before), json_values(after))


def compare_tables(before: Path, after: Path) -> Comparison:
    """Compare all layers of two vector files, column by column."""
    if before.suffix == ".parquet":
        return compare_frames(gpd.read_parquet(before), gpd.read_parquet(after))
    names: set[str] = set()
    layers = [pyogrio.list_layers(file)[:, 0].tolist() for file in (before, after)]
    if len(layers[0]) != len(layers[1]):
        return Comparison("DIFFERENT", {f"layers {layers[0]} -> {layers[1]}"})
    for old, new in zip(*layers, strict=True):
        names |= {f"{old} -> {new}"} - {f"{old} -> {old}"}
        frames = [pyogrio.read_dataframe(f, layer=n) for f, n in ((before, old), (after, new))]
        if old == "layer_styles":  # QGIS styles: words
            continue
        comparison = compare_frames(*frames)
        names |= comparison.names
        if comparison.result == "DIFFERENT":
            return Comparison("DIFFERENT", names)
    return Comparison("renamed", names)


def compare_frames(before: pd.DataFrame, after: pd.DataFrame) -> Comparison:
    """Compare two tables column by column; texts may be renamed one by one."""
    before, after = (
        frame[[c for c in frame if not TIMES.search(str(c))]] for frame in (before, after)
    )
    if before.shape != after.shape:
        return Comparison("DIFFERENT", {f"shape {before.shape} -> {after.shape}"})
    names: set[str] = set()
    for old, new in zip(before.columns, after.columns, strict=True):
        names |= {f"{old} -> {new}"} - {f"{old} -> {old}"}
        a, b = before[old], after[new]
        if old == "geometry":
            same = bool((a.to_wkb() == b.to_wkb()).all())
        elif pd.api.types.is_string_dtype(a):
            renames = {(str(x), str(y)) for x, y in zip(a, b, strict=True)}
            names |= {f"{x} -> {y}" for x, y in renames if x != y}
            same = len({x for x, _ in renames}) == len(renames)  # one new word for each old one
        else:
            same = bool(a.equals(b))
        if not same:
            return Comparison("DIFFERENT", {f"column {old}"})
    return Comparison("renamed", names)


def compare_tensors(before: Path, after: Path) -> Comparison:
    """Compare the tensors of two model files."""
    a, b = load_file(before), load_file(after)
    same = a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)
    return Comparison("renamed" if same else "DIFFERENT", set() if same else {"tensors"})


def embedded_data(page: Path) -> tuple[list[float], list[str]] | None:
    """Return the numbers and the images in the JSON of an HTML page, sorted; None without JSON."""
    text = page.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)
    if data is None:
        return None
    values = [value for _, value in leaves(json.loads(data[1]))]
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    images = [value for value in values if isinstance(value, str) and value.startswith("data:")]
    return sorted(numbers), sorted(images)


def json_values(file: Path) -> Any:
    """Return the JSON of a file: a document or lines; else its words."""
    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        try:
            return [json.loads(line) for line in text.splitlines()]
        except ValueError:
            return text.split()


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield path and value of every leaf of a JSON value, times left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not TIMES.search(key):
                yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, path)
    else:
        yield path, value


def compare_values(before: Any, after: Any) -> Comparison:
    """Compare the leaves of two JSON values in order; keys and texts may be renamed."""
    old, new = list(leaves(before)), list(leaves(after))
    names: set[str] = set()
    if len(old) != len(new):
        old_keys, new_keys = ({".".join(path) for path, _ in values} for values in (old, new))
        removed = {f"without {key}" for key in old_keys - new_keys}
        return Comparison("DIFFERENT", removed | {f"with {key}" for key in new_keys - old_keys})
    for (old_path, a), (new_path, b) in zip(old, new, strict=True):
        names |= {f"{x} -> {y}" for x, y in zip(old_path, new_path, strict=False) if x != y}
        if isinstance(a, str) and isinstance(b, str):
            names |= {f"{a[:60]} -> {b[:60]}"} if a != b else set()
        elif a != b:
            return Comparison("DIFFERENT", {f"{'.'.join(old_path)}: {a} -> {b}"})
    return Comparison("renamed", names)


def results_of(revision: str, folder: Path, data: Path | None) -> Path:
    """Return the folder with the results of a revision; run it unless they exist."""
    commit = ["git", "rev-parse", "--short=12", f"{revision}^{{commit}}"]
    name = subprocess.run(commit, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    results, code = folder / name.strip(), folder / f"{name.strip()}-code"
    if (results / DONE).exists():
        return results
    for path in (results, code):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    archive = ["git", "archive", revision]
    tree = subprocess.run(archive, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(code)], input=tree, check=True)
    run_revision(code, results, data)
    (results / DONE).touch()
    return results


def compare_folders(before: Path, after: Path) -> dict[str, list[Comparison]]:
    """Compare all files of two folders; return comparisons by file, or by folder of files."""
    comparisons: dict[str, list[Comparison]] = {}
    for file in sorted(before.rglob("*")):
        name = file.relative_to(before)
        if (
            file.is_dir()
            or file.is_symlink()
            or name.suffix in (".pt", ".lock")
            or name.name == DONE
        ):
            continue
        comparison = compare_files(file, after / name)
        group = f"{name.parts[0]}/" if len(name.parts) > 1 else str(name)
        comparisons.setdefault(group, []).append(comparison)
        if comparison.result == "DIFFERENT":
            print(name, *sorted(comparison.names)[:20], sep="\n  ", file=sys.stderr)
    return comparisons


def main() -> None:
    """Run, compare and print; fail if a value differs."""
    parser = new_parser(__doc__, data=True)
    parser.add_argument("--before", required=True, help="revision")
    parser.add_argument("--after", default="HEAD", help="revision")
    parser.add_argument("--quick", action="store_true", help="the drawn sample alone")
    parser.add_argument("--keep", type=Path, help="folder to keep results in, for the next run")
    options = parser.parse_args()
    data = None if options.quick or not options.data.exists() else options.data
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        before = results_of(options.before, folder, data)
        after = results_of(options.after, folder, data)
        comparisons = compare_folders(before, after)
    names: set[str] = set()
    rows = []
    for group, files in comparisons.items():
        counts = Counter(comparison.result for comparison in files)
        names = names.union(*(comparison.names for comparison in files))
        rows.append({"file": group} | {result: f"{counts[result]}" for result in RESULTS})
    print("names that differ:", *sorted(names), sep="\n  ", file=sys.stderr)
    title = f"Results of {options.after} against {options.before} on {machine()}"
    save_table("reproducibility/revisions", title, rows)
    if any(row["DIFFERENT"] != "0" for row in rows):
        raise SystemExit("results differ")


if __name__ == "__main__":
    main()
