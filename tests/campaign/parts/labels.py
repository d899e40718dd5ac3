"""Damaged data sets of labelled images: COCO, YOLO, Pascal VOC, DeepForest."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.campaign import scenes
from tests.campaign.damage.documents import damage_json, damage_lines, damage_xml, encode
from tests.campaign.damage.raw import damage_bytes
from tests.campaign.harness import Case, Kind, Part

ANNOTATIONS = {".json", ".txt", ".xml", ".csv", ".yaml"}

STRANGE_NAMES = ("names: &a [*a]", "name:", "names: !!python/object:os.system", "nc: -1\nnames:")


@dataclass(frozen=True)
class LabelSet:
    """An undamaged data set.

    Args:
        folder: Its folder.
        labels: Path in the folder that the option of the labels names.
        count: Counts the annotations in a damaged copy; None: it cannot be said.
    """

    folder: Path
    labels: str
    count: Callable[[Path], int | None]


def prepare(folder: Path) -> list[LabelSet]:
    """Cut a scene into chips of every format."""
    scene = scenes.prepare_scene(folder)
    for name in ("coco", "yolo", "voc"):
        scenes.run_here(
            "tile", scene.raster, "--labels", scene.truth, "-o", folder / name,
            "--format", name, "--tile-size", 96, "-q",
        )  # fmt: skip
    forest = folder / "forest"
    shutil.copytree(folder / "coco" / "images", forest)
    rows = _deepforest_rows(json.loads((folder / "coco" / "annotations.json").read_text()))
    (forest / "labels.csv").write_text("\n".join(rows) + "\n")
    return [
        LabelSet(folder / "coco", "annotations.json", count_coco),
        LabelSet(folder / "yolo", ".", count_yolo),
        LabelSet(folder / "voc", ".", count_voc),
        LabelSet(forest, "labels.csv", count_deepforest),
    ]


def try_case(case: Case, seeds: list[LabelSet]) -> None:
    """Damage a file of a data set, and check it or cut it into chips anew."""
    rng = case.random
    label_set = rng.choice(seeds)
    copy = case.input / "set"
    shutil.copytree(label_set.folder, copy)
    files = sorted(f for f in copy.rglob("*") if f.suffix in ANNOTATIONS)
    if rng.random() < 0.9:
        _damage(rng.choice(files), case)
    images = copy / "images" if (copy / "images").is_dir() else copy
    if rng.random() < 0.1:
        rng.choice(sorted(f for f in images.rglob("*") if f.suffix == ".png")).unlink()
    labels = copy / label_set.labels
    if rng.random() < 0.7:
        outcome = case.run("check", "--rasters", images, "--labels", labels, "--no-shift", "--json")
    else:
        output = case.output / "chips"
        outcome = case.run(
            "tile", images, "--labels", labels, "-o", output, "--tile-size", 64, "--json",
            "--format", rng.choice(("coco", "yolo", "voc")),
        )  # fmt: skip
        case.check_outputs(output)
        case.check_leftovers(*([output] if outcome.code == 0 else []))
    if outcome.code != 0 or scenes.is_told(outcome):
        return
    expected = label_set.count(copy)
    counted = json.loads(outcome.stdout)["labels"]
    if expected is not None and counted != expected:
        case.report(Kind.SHORTFALL, f"{counted} of {expected} annotations are accounted for")


def count_coco(folder: Path) -> int | None:
    """Return the number of annotations."""
    try:
        return len(json.loads((folder / "annotations.json").read_text())["annotations"])
    except (ValueError, KeyError, TypeError):
        return None


def count_yolo(folder: Path) -> int | None:
    """Return the number of lines that are not blank."""
    files = (folder / "labels").rglob("*.txt")
    try:
        return sum(bool(line.strip()) for file in files for line in file.open(encoding="utf-8-sig"))
    except ValueError:
        return None


def count_voc(folder: Path) -> int | None:
    """Return the number of objects of the root elements."""
    try:
        roots = [ElementTree.parse(file).getroot() for file in folder.rglob("*.xml")]
    except (ElementTree.ParseError, ValueError):
        return None
    return sum(len(root.findall("object")) for root in roots)


def count_deepforest(folder: Path) -> int | None:
    """Return the number of rows that name a class and are no mark of an empty image."""
    try:
        text = (folder / "labels.csv").read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
        return sum(
            any(float(row[c] or 0) for c in ("xmin", "ymin", "xmax", "ymax")) for row in rows
        )
    except (ValueError, KeyError, TypeError, csv.Error):
        return None


def _deepforest_rows(document: dict[str, Any]) -> list[str]:
    names = {image["id"]: Path(image["file_name"]).name for image in document["images"]}
    rows = ["image_path,xmin,ymin,xmax,ymax,label"]
    for annotation in document["annotations"]:
        x, y, width, height = annotation["bbox"]
        rows.append(f"{names[annotation['image_id']]},{x},{y},{x + width},{y + height},square")
    return rows


def _damage(file: Path, case: Case) -> None:
    rng = case.random
    data = file.read_bytes()
    if rng.random() < 0.15:
        file.write_bytes(damage_bytes(data, rng))
        return
    text = data.decode()
    if file.suffix == ".json":
        text = damage_json(text, rng)
    elif file.suffix == ".xml":
        text = damage_xml(text, rng)
    elif file.suffix == ".yaml" and rng.random() < 0.3:
        text = text.replace("names:", rng.choice(STRANGE_NAMES))
    else:
        text = damage_lines(text, rng, separator="," if file.suffix == ".csv" else " ")
    file.write_bytes(encode(text, rng))


PART = Part("labels", prepare, try_case)
