"""Label files and folders of any kind, told apart by what is in them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geodetect.errors import LabelError
from geodetect.io.labels.datasets import (
    DEEPFOREST_COLUMNS,
    read_coco,
    read_deepforest,
    read_voc,
    read_yolo,
)
from geodetect.io.labels.label_set import ImageLabels, LabelOptions, LabelSet, MapLabels
from geodetect.io.labels.vector import read_map_labels
from geodetect.types import PathLike

VECTOR_SUFFIXES = (
    *(".geojson", ".json", ".geojsonl", ".geojsons", ".ndjson", ".gpkg", ".shp", ".fgb"),
    *(".parquet", ".geoparquet", ".gml", ".kml", ".tab"),
)
_HEAD_BYTES = 65_536
_YOLO_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
_NOT_YOLO = ("classes.txt", "train.txt", "val.txt", "test.txt", "trainval.txt", "readme.txt")


def read_labels(
    paths: PathLike | Sequence[PathLike], options: LabelOptions | None = None
) -> LabelSet:
    """Read labels of any kind.

    A file or folder is recognised by its content, not its name:

    - a vector file of any format, or a folder of such files: objects on a map;
    - a COCO file (JSON with ``images`` and ``annotations``), or a folder that holds one;
    - a YOLO folder (``labels/*.txt``, or text files of numbers, with ``data.yaml`` or
      ``classes.txt`` for the names of the classes), its ``data.yaml``, or one of its text files;
    - Pascal VOC files, or a folder of them (``Annotations/*.xml``, or ``*.xml``);
    - DeepForest's CSV (``image_path, xmin, ymin, xmax, ymax, label``).

    Args:
        paths: Files and folders.
        options: What the user says of labels; column of classes, CRS and size of points are for
            objects on a map.

    Raises:
        LabelError: A file is missing, damaged or of no known kind, or its content cannot be
            used; some files on a map say classes and others do not.
    """
    options = options or LabelOptions()
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise LabelError("no label file was given; name one with --labels")
    sources = [source for path in given for source in _read(path, options)]
    _check_same_schema([s for s in sources if isinstance(s, MapLabels)], options)
    return LabelSet(tuple(sources))


def _read(given: PathLike, options: LabelOptions) -> list[MapLabels | ImageLabels]:
    path = Path(given)
    if path.is_dir() and path.suffix.lower() != ".gdb":
        return _read_folder(path, options)
    if not path.is_file():  # a layer of a file, a database, or nothing: GDAL knows
        return [read_map_labels(given, options)]
    head = _head(path)
    if (document := _coco_document(path, head)) is not None:
        return [read_coco(path, document, options)]
    if _is_voc(head):
        return [read_voc([path], path, options)]
    if _is_deepforest(head):
        return [read_deepforest(path, options)]
    if path.suffix.lower() in (".yaml", ".yml"):
        return [_read_yolo_folder(path.parent, path, options)]
    if path.suffix.lower() == ".txt" and _is_yolo(path):
        return [read_yolo([path], path, options, classes=_yolo_classes(path.parent))]
    return [read_map_labels(given, options)]


def _read_folder(folder: Path, options: LabelOptions) -> list[MapLabels | ImageLabels]:
    """What a folder holds: a data set of one kind, or vector files."""
    voc = [p for p in _files(folder, "Annotations", ".xml") if _is_voc(_head(p))]
    if voc:
        return [read_voc(voc, folder, options)]
    if _is_yolo_folder(folder):
        return [_read_yolo_folder(folder, folder, options)]
    inside = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    coco = {p: _coco_document(p, _head(p)) for p in inside if p.suffix.lower() == ".json"}
    images = [read_coco(p, document, options) for p, document in coco.items() if document]
    images += [
        read_deepforest(p, options)
        for p in inside
        if p.suffix.lower() == ".csv" and _is_deepforest(_head(p))
    ]
    if images:  # a map layer beside a data set is its index
        return [*images]
    layers = [p for p in inside if p.suffix.lower() in VECTOR_SUFFIXES]
    if not layers:
        raise LabelError(
            f"{folder}: no labels in this folder; expected vector files, or a data set in the "
            f"layout of COCO, YOLO, Pascal VOC or DeepForest"
        )
    return [read_map_labels(path, options) for path in layers]


def _files(folder: Path, usual: str, suffix: str) -> list[Path]:
    """Files of a kind in the folders that are usual for them, else right in the folder."""
    inner = [folder] if folder.name == usual else [p for p in folder.rglob(usual) if p.is_dir()]
    found = {p for one in inner for p in one.rglob(f"*{suffix}")} or folder.glob(f"*{suffix}")
    return sorted(path for path in found if not path.name.startswith("."))


def _yolo_files(folder: Path) -> list[Path]:
    return [
        path
        for path in _files(folder, "labels", ".txt")
        if path.name.lower() not in _NOT_YOLO and _is_yolo(path)
    ]


def _is_yolo_folder(folder: Path) -> bool:
    """Whether there are label files; empty ones alone need more that speaks for it."""
    files = _yolo_files(folder)
    described = any((folder / name).exists() for name in ("labels", *_YOLO_NAMES))
    return bool(files) and (described or any(path.stat().st_size for path in files))


def _read_yolo_folder(folder: Path, source: Path, options: LabelOptions) -> ImageLabels:
    files = _yolo_files(folder)
    if not files:
        raise LabelError(
            f"{source}: no label files beside it; expected labels/*.txt in the layout of YOLO"
        )
    named = source if source.is_file() else None
    return read_yolo(files, source, options, classes=_yolo_classes(folder, named))


def _yolo_classes(folder: Path, named: Path | None = None) -> dict[int, str]:
    """Names of the classes by number, from the data set's description; empty without one."""
    places = [named] if named else [p / n for p in (folder, folder.parent) for n in _YOLO_NAMES]
    for path in places:
        if not path.is_file():
            continue
        return _names_in(path) if path.suffix in (".txt", ".names") else _names_in_yaml(path)
    return {}


def _names_in(path: Path) -> dict[int, str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except ValueError as error:
        raise LabelError(f"{path} cannot be read: {error}; expected names in UTF-8") from error
    return {i: line.strip() for i, line in enumerate(lines) if line.strip()}


def _names_in_yaml(path: Path) -> dict[int, str]:
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        names = (document or {}).get("names") or {}
        pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
        return {int(number): str(name) for number, name in pairs}
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise LabelError(
            f"{path} cannot be used as a description of a YOLO data set: {line}; expected names"
        ) from error


def _head(path: Path) -> str:
    """The beginning of a file as text; "" where it is none."""
    with path.open("rb") as stream:
        data = stream.read(_HEAD_BYTES)
    return "" if b"\0" in data else data.decode("utf-8-sig", errors="replace")


def _coco_document(path: Path, head: str) -> Mapping[str, Any] | None:
    """The content of a COCO file; None where it is no such file."""
    if not head.lstrip().startswith("{") or '"FeatureCollection"' in head or '"Feature"' in head:
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError:  # GDAL has more to say about it
        return None
    is_coco = isinstance(document, dict) and {"images", "annotations"} <= document.keys()
    return document if is_coco else None


def _is_voc(head: str) -> bool:
    text = head.lstrip()
    return text.startswith("<") and "<annotation" in text


def _is_deepforest(head: str) -> bool:
    columns = {column.strip(' "') for column in head.split("\n", 1)[0].strip().split(",")}
    return columns >= set(DEEPFOREST_COLUMNS)


def _is_yolo(path: Path) -> bool:
    """Whether a text file is empty or begins with a line of five numbers or more."""
    first = next((line.split() for line in _head(path).splitlines() if line.strip()), None)
    if first is None:
        return True
    try:
        return len([float(value) for value in first]) >= 5
    except ValueError:
        return False


def _check_same_schema(layers: Sequence[MapLabels], options: LabelOptions) -> None:
    """Files with and without classes side by side would silently make a class "object"."""
    filled = [layer for layer in layers if len(layer)]
    without = [layer for layer in filled if not layer.has_classes]
    if options.default_class is None and without and len(without) < len(filled):
        raise LabelError(
            f"{without[0].source} has no column of classes, but other label files have one; "
            f"name it with --class-field"
        )
