"""Reader of label files and folders of any kind, recognised by their content."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geodetect.errors import LabelError, error_text
from geodetect.io.labels.datasets import (
    DEEPFOREST_COLUMNS,
    read_coco,
    read_deepforest,
    read_voc,
    read_yolo,
)
from geodetect.io.labels.label_set import ImageLabels, LabelOptions, LabelSet, MapLabels
from geodetect.io.labels.vector import read_map_labels
from geodetect.io.vector.archive import LAYER_SUFFIXES
from geodetect.types import PathLike

_HEAD_BYTES = 65_536
_CLASS_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
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
        options: See ``LabelOptions``; column of classes, CRS and size of points are for objects on
            a map.

    Raises:
        LabelError: A file is missing, damaged or of an unknown kind, or its content cannot be
            used; some vector files have classes and others have none.
    """
    options = options or LabelOptions()
    path_list = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not path_list:
        raise LabelError("`labels` names no file; expected at least one")
    sources = [source for path in path_list for source in _read_path(path, options)]
    layers = [source for source in sources if isinstance(source, MapLabels) and len(source)]
    without = [layer for layer in layers if not layer.has_classes]
    if options.default_class is None and 0 < len(without) < len(layers):
        # both together would silently make a class "object"
        raise LabelError(
            f"{without[0].source} has no column of classes, but other label files have one; set "
            f"`class_field` to its name"
        )
    return LabelSet(tuple(sources))


def _read_path(source: PathLike, options: LabelOptions) -> list[MapLabels | ImageLabels]:
    path = Path(source)
    if path.is_dir() and path.suffix.lower() != ".gdb":
        return _read_folder(path, options)
    if not path.is_file():  # FILE|layername=NAME, a database, or an error of GDAL
        return [read_map_labels(source, options)]
    head = _read_head(path)
    if (document := _coco_document(path, head)) is not None:
        return [read_coco(path, document, options)]
    if _is_voc(head):
        return [read_voc([path], path, options)]
    if _is_deepforest(head):
        return [read_deepforest(path, options)]
    if path.suffix.lower() in (".yaml", ".yml"):
        files = _find_yolo_files(path.parent)
        if not files:
            raise LabelError(
                f"{path}: no label files beside it; expected labels/*.txt in the layout of YOLO"
            )
        return [read_yolo(files, path, options, classes=_read_classes(path.parent, path))]
    if path.suffix.lower() == ".txt" and _is_yolo(path):
        return [read_yolo([path], path, options, classes=_read_classes(path.parent))]
    return [read_map_labels(source, options)]


def _read_folder(folder: Path, options: LabelOptions) -> list[MapLabels | ImageLabels]:
    """Read a folder: a data set of one kind, or vector files."""
    voc = [p for p in _find_files(folder, "Annotations", ".xml") if _is_voc(_read_head(p))]
    if voc:
        return [read_voc(voc, folder, options)]
    yolo = _find_yolo_files(folder)
    is_described = any((folder / name).exists() for name in ("labels", *_CLASS_FILES))
    # files without a line are images without objects, if the folder has a description
    if yolo and (is_described or any(path.stat().st_size for path in yolo)):
        return [read_yolo(yolo, folder, options, classes=_read_classes(folder))]
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    coco = {p: _coco_document(p, _read_head(p)) for p in files if p.suffix.lower() == ".json"}
    images = [read_coco(p, document, options) for p, document in coco.items() if document]
    images += [
        read_deepforest(p, options)
        for p in files
        if p.suffix.lower() == ".csv" and _is_deepforest(_read_head(p))
    ]
    if images:  # vector files beside a data set, such as its index, are not read
        return [*images]
    layers = [p for p in files if p.suffix.lower() in LAYER_SUFFIXES]
    if not layers:
        raise LabelError(
            f"{folder}: no labels in this folder; expected vector files, or a data set in the "
            f"layout of COCO, YOLO, Pascal VOC or DeepForest"
        )
    return [read_map_labels(path, options) for path in layers]


def _find_files(folder: Path, name: str, suffix: str) -> list[Path]:
    """Find files of a suffix in folders called ``name``, else in the folder itself."""
    folders = [folder] if folder.name == name else [p for p in folder.rglob(name) if p.is_dir()]
    files = {p for inner in folders for p in inner.rglob(f"*{suffix}")}
    files = files or set(folder.glob(f"*{suffix}"))
    return sorted(path for path in files if not path.name.startswith("."))


def _find_yolo_files(folder: Path) -> list[Path]:
    return [
        path
        for path in _find_files(folder, "labels", ".txt")
        if path.name.lower() not in _NOT_YOLO and _is_yolo(path)
    ]


def _read_classes(folder: Path, class_file: Path | None = None) -> dict[int, str]:
    """Read class names by number from the data set's description; empty without one."""
    if class_file is None:
        paths = (parent / name for parent in (folder, folder.parent) for name in _CLASS_FILES)
        class_file = next((path for path in paths if path.is_file()), None)
    if class_file is None:
        return {}
    if class_file.suffix in (".txt", ".names"):
        try:
            lines = class_file.read_text(encoding="utf-8-sig").split("\n")
        except ValueError as error:
            raise LabelError(
                f"{class_file} cannot be read: {error_text(error)}; expected names in UTF-8"
            ) from error
        return {i: line.strip() for i, line in enumerate(lines) if line.strip()}
    import yaml

    try:
        document = yaml.safe_load(class_file.read_text(encoding="utf-8"))
        names = (document or {}).get("names") or {}
        pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
        return {int(number): str(name) for number, name in pairs}
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise LabelError(
            f"{class_file} cannot be used as a description of a YOLO data set: "
            f"{error_text(error)}; expected names"
        ) from error


def _read_head(path: Path) -> str:
    """Read the beginning of a text file; "" of a binary file."""
    with path.open("rb") as stream:
        data = stream.read(_HEAD_BYTES)
    return "" if b"\0" in data else data.decode("utf-8-sig", errors="replace")


def _coco_document(path: Path, head: str) -> Mapping[str, Any] | None:
    """Read a COCO file; None if it is another file."""
    if not head.lstrip().startswith("{") or '"FeatureCollection"' in head or '"Feature"' in head:
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError:  # GDAL's error says more
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
    """Return True if a text file is empty or begins with a line of five numbers or more."""
    values = next((line.split() for line in _read_head(path).splitlines() if line.strip()), None)
    if values is None:
        return True
    try:
        return len([float(value) for value in values]) >= 5
    except ValueError:
        return False
