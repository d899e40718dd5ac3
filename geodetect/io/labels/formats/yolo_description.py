"""Descriptions of YOLO data sets: names of classes, key points, folders of images."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from geodetect.class_names import normalize_class_name
from geodetect.errors import GeodetectWarning, LabelError, list_names, translate_errors
from geodetect.io.labels.class_column import as_class_name
from geodetect.io.labels.formats.text import read_head, read_text
from geodetect.io.yaml import read_yaml

YAML_SUFFIXES = (".yaml", ".yml")
DESCRIPTION_SUFFIXES = (".names", ".data", ".emd")  # of Darknet and Esri, beside the labels
_LABEL_STUDIO = "notes.json"
LISTS_OF_NAMES = ("classes.txt", "_darknet.labels", "predefined_classes.txt", _LABEL_STUDIO)
_SPLITS = ("train", "val", "valid", "test")
_KEYS = {*_SPLITS, "path", "kpt_shape"}
_PARENTS = 3  # set/data.yaml describes set/labels/train/part
_LEVELS_OF_LISTS = 3  # in the data set, with its texts, and in the folder above


@dataclass(frozen=True)
class YoloDescription:
    """Description of a YOLO data set.

    Args:
        source: Its file; None: the data set has none.
        names: Class names by number; empty: numbers are the names.
        key_points: Number of key points of each object, and of numbers for each; None: none.
    """

    source: Path | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    key_points: tuple[int, int] | None = None

    def class_name(self, number: int) -> str:
        """Return the name of a class.

        Raises:
            ValueError: It has none, although others have.
        """
        if not self.names:
            return str(number)
        if number not in self.names:
            raise ValueError(
                f"class {number} has no name in {self.source}, which names only "
                f"{list_names(sorted(self.names))}; add it"
            )
        return self.names[number]


def find_description(
    folder: Path, label_folders: Iterable[Path], *, above: bool = True
) -> YoloDescription:
    """Find and read the description of a data set.

    Args:
        folder: Folder of the data set.
        label_folders: Folders below it that hold its text files.
        above: Search the folders above it, too.

    Raises:
        LabelError: It cannot be read, or two files name the classes differently.
    """
    root = folder.resolve()
    parents = [path.resolve() for path in label_folders]
    below = {p for parent in parents for p in (parent, parent.parent) if p.is_relative_to(root)}
    searched = [[root], sorted(below - {root})]
    searched += [[parent] for parent in root.parents[:_PARENTS]] if above else []
    for level, folders in enumerate(searched):
        files = [path for parent in folders for path in _yaml_files(parent)]
        if level < _LEVELS_OF_LISTS:
            files += [parent / name for parent in folders for name in LISTS_OF_NAMES]
            files += [path for parent in folders for path in sorted(parent.glob("*.names"))]
        descriptions = [read_description(path) for path in files if path.is_file()]
        with_names = [description for description in descriptions if description.names]
        for other in with_names[1:]:
            if other.names != with_names[0].names:
                raise LabelError(
                    f"{with_names[0].source} and {other.source} name the classes differently; "
                    f"give the right YAML file as `labels`, or remove the other one"
                )
        if descriptions:
            return next(iter(with_names), descriptions[0])
    return YoloDescription()


def find_label_folders(path: Path) -> list[Path]:
    """Return the folders of text files that a YAML file states: ``labels`` beside ``images``.

    Only folders inside the data set count: in its ``path``, or beside the file. Roboflow states
    them one level too high: ``../train/images`` is ``train/images``. A warning names the others.

    Raises:
        LabelError: The file cannot be read, or its ``path`` is no folder.
    """
    document = read_yaml(path, error_class=LabelError)
    roots = [path.parent]
    if stated := document.get("path"):
        candidates = [path.parent / str(stated), Path(str(stated))]
        roots = [folder for folder in candidates if folder.is_dir()][:1] + roots
        if len(roots) == 1:
            raise LabelError(
                f"{path}: its `path` {stated} is no folder; correct it, or give the folder of the "
                f"data set as `labels`"
            )
        if not roots[0].resolve().is_relative_to(path.parent.resolve()):
            text = f"{path}: the labels are read from {roots[0]}, as its `path` states"
            warnings.warn(text, GeodetectWarning, stacklevel=2)
    folders: list[Path] = []
    for split in _SPLITS:
        entries = document.get(split) or []
        for entry in [entries] if isinstance(entries, str) else entries:
            parts = list(PurePosixPath(str(entry).replace("\\", "/")).parts)
            while parts and parts[0] == "..":
                parts = parts[1:]
            images = [root.joinpath(*parts) for root in roots]
            inside = [
                beside_images(folder)
                for folder, root in zip(images, roots, strict=True)
                if folder.resolve().is_relative_to(root.resolve())
            ]
            if "://" in str(entry) or not inside:
                text = f"{path}: its `{split}` {entry} lies outside the data set and is left out"
                warnings.warn(text, GeodetectWarning, stacklevel=2)
            folders += [folder for folder in inside if folder.is_dir()][:1]
    return list(dict.fromkeys(folders))


def beside_images(images: Path) -> Path:
    """Return the folder of the labels of a folder, or list, of images."""
    folder = images.parent / "images" if images.suffix == ".txt" else images
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def read_description(path: Path) -> YoloDescription:
    """Read a description: YAML, a list of names, or ``notes.json`` of Label Studio.

    Raises:
        LabelError: It cannot be read, or a class has no name.
    """
    if path.suffix.lower() in YAML_SUFFIXES:
        return _read_yaml_description(path, read_yaml(path, error_class=LabelError))
    if path.name == _LABEL_STUDIO:
        with translate_errors(f"{path} cannot be used as Label Studio's list", LabelError):
            categories = json.loads(read_text(path))["categories"]
            names = {int(c["id"]): normalize_class_name(str(c["name"])) for c in categories}
            return YoloDescription(path, names)
    lines = read_text(path).splitlines()
    names = {n: normalize_class_name(line) for n, line in enumerate(lines) if line.strip()}
    _warn_of_repeated(path, names)
    return YoloDescription(path, names)


def _yaml_files(folder: Path) -> list[Path]:
    """Return the YAML files of a folder that describe a data set, data.yaml first."""
    files = [path for path in folder.glob("*") if path.suffix.lower() in YAML_SUFFIXES]
    files.sort(key=lambda path: (path.stem.lower() != "data", path.name))
    return [path for path in files if path.is_file() and _is_description(path)]


def _is_description(path: Path) -> bool:
    """Return True if a YAML file names classes; that of another program may be damaged."""
    head = read_head(path)
    if not re.search(r"\b(names|nc)\b", head):
        return False
    try:
        document = read_yaml(path, error_class=LabelError)
    except LabelError:
        if re.search(r"^names[ \t]*:", head, flags=re.MULTILINE):
            raise
        return False
    if not isinstance(document, Mapping):
        return False
    return "names" in document or ("nc" in document and not _KEYS.isdisjoint(document))


def _read_yaml_description(path: Path, document: Any) -> YoloDescription:
    expected = "expected `names`, a list of class names or their names by number"
    if not isinstance(document, Mapping):
        raise LabelError(f"{path} is no description of a YOLO data set; {expected}")
    if document.get("names", {}) is None:
        raise LabelError(f"{path}: `names` is empty; {expected}")
    names = _read_names(path, document.get("names"), expected)
    count = document.get("nc")
    if count is not None and names and as_class_name(count) != str(len(names)):
        raise LabelError(
            f"{path} has `nc: {str(count)[:20]}`, but {len(names)} names "
            f"({list_names(names.values())}); correct one of them"
        )
    _warn_of_repeated(path, names)
    shape = document.get("kpt_shape")
    key_points = None
    if shape is not None:
        with translate_errors(f"{path}: `kpt_shape` is {shape}; expected [17, 3]", LabelError):
            points, numbers = (int(value) for value in shape)
            key_points = points, numbers
    return YoloDescription(path, names, key_points)


def _read_names(path: Path, names: Any, expected: str) -> dict[int, str]:
    """Return class names by number."""
    if isinstance(names, str):
        names = [names]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if names is None:
        return {}
    if not isinstance(names, Mapping):
        raise LabelError(f"{path}: `names` is {names!r}; {expected}")
    pairs = [(str(key).strip(), value) for key, value in names.items()]
    are_reversed = pairs and all(
        not key.isdigit() and isinstance(value, str) and value.strip().isdigit()
        for key, value in pairs
    )
    if are_reversed:  # pool: 0
        pairs = [(value.strip(), key) for key, value in pairs]
    by_number: dict[int, str] = {}
    for key, value in pairs:
        if not key.isdigit():
            raise LabelError(f"{path}: `names` has the key {key!r}, no number; {expected}")
        if not isinstance(value, str) or not value.strip():
            raise LabelError(f"{path}: class {key} has no name; {expected}")
        if int(key) in by_number:
            raise LabelError(f"{path}: class {key} has two names; {expected}")
        by_number[int(key)] = normalize_class_name(value)
    return by_number


def _warn_of_repeated(path: Path, names: Mapping[int, str]) -> None:
    repeated = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
    if repeated:
        text = f"{path} gives several classes the name {list_names(repeated)}: they become one"
        warnings.warn(text, GeodetectWarning, stacklevel=3)
