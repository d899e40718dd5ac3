"""Label files of image data sets, and their kinds by what is in them."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodetect.errors import LabelError, translate_errors
from geodetect.io.labels.formats.box_csv import is_box_csv
from geodetect.io.labels.formats.labelme import is_labelme
from geodetect.io.labels.formats.other_formats import (
    name_coco_kind,
    name_csv_format,
    name_json_format,
)
from geodetect.io.labels.formats.text import read_head, read_text
from geodetect.io.labels.formats.text_boxes import find_text_kind
from geodetect.io.labels.formats.yolo import is_yolo
from geodetect.types import PathLike

VOC, YOLO, COCO, CVAT, LABELME, CSV = "Pascal VOC", "YOLO", "COCO", "CVAT", "LabelMe", "CSV"
_TEXT_SUFFIXES = (".txt", ".json", ".ndjson", ".xml", ".csv")
_DEEPEST = 5  # folders below that of a data set
# folders that hold nothing but labels, in lower case
_LABEL_FOLDERS = re.compile(r"annotations?|labels?|labeltxt.*|obj_\w*_?data|label_2")
_NO_LABELS = re.compile(
    r"(classes|train|val|valid|test|trainval|map|stats|predefined_classes)\.txt|notes\.json"
    r"|readme.*|license.*"
)
_GEOJSON = re.compile(r'"type"\s*:\s*"Feature(Collection)?"')
_COCO_LIST = re.compile(r'"(images|annotations|categories)"\s*:\s*\[')
_GDAL_KEYS = {"type", "features", "geometryType", "rings", "arcs"}  # of JSON that GDAL reads


@dataclass
class LabelFiles:
    """Label files by their kind.

    Args:
        by_kind: Files of each kind of image data set.
        documents: Content of those in JSON.
        vector: Vector files.
        empty: Text files without content: images without objects.
        unknown: Text and JSON files of no kind.
        unread: Files in formats that are not read, with the name of the format.
    """

    by_kind: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    documents: dict[Path, dict[str, Any]] = field(default_factory=dict)
    vector: list[PathLike] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)
    unread: dict[Path, str] = field(default_factory=dict)

    def list_unread(self) -> str:
        """Return the names of the formats that are not read, with the first file of each."""
        firsts = {name: path for path, name in reversed(self.unread.items())}
        return "; ".join(f"{path.name} is a file of {name}" for name, path in firsts.items())


def walk_files(folder: Path, *, depth: int = 0) -> Iterator[Path]:
    """Yield the files of a folder and those below it, in alphabetical order.

    Args:
        folder: The folder.
        depth: Its depth below that of the data set.
    """
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__")))
    yield from (path for path in entries if path.is_file())
    if depth < _DEEPEST:
        for path in entries:
            is_loop = path.is_symlink() and folder.resolve().is_relative_to(path.resolve())
            if path.is_dir() and path.suffix.lower() != ".gdb" and not is_loop:
                yield from walk_files(path, depth=depth + 1)


def is_in_label_folder(path: Path, root: Path) -> bool:
    """Return True if a file below a folder lies in one that holds nothing but labels."""
    folders = (root.absolute().name, *path.relative_to(root).parts[:-1])
    return any(_LABEL_FOLDERS.fullmatch(name.lower()) for name in folders)


def classify_files(paths: Sequence[Path]) -> LabelFiles:
    """Sort label files by their kind.

    Args:
        paths: Files; of several, only texts are opened.

    Raises:
        LabelError: A JSON file is damaged.
    """
    files = LabelFiles()
    for path in paths:
        suffix = path.suffix.lower()
        if len(paths) > 1 and (
            suffix not in _TEXT_SUFFIXES or _NO_LABELS.fullmatch(path.name.lower())
        ):
            continue
        head = read_head(path)
        start = head.lstrip()[:1]
        if start == "<" and (match := re.search(r"<(annotations?)[\s>]", head)):
            files.by_kind[VOC if match[1] == "annotation" else CVAT].append(path)
        elif (
            start and start in "{[" and not (_GEOJSON.search(head) and not _COCO_LIST.search(head))
        ):
            _add_json(files, path)
        elif not start.isdigit() and is_box_csv(head):
            files.by_kind[CSV].append(path)
        elif not start.isdigit() and (name := name_csv_format(head)):
            files.unread[path] = name
        elif suffix == ".txt" and not path.stat().st_size:
            files.empty.append(path)
        elif suffix == ".txt":
            kind = find_text_kind(head) or (YOLO if is_yolo(head) else "")
            (files.by_kind[kind] if kind else files.unknown).append(path)
    return files


def _add_json(files: LabelFiles, path: Path) -> None:
    """Add a JSON file.

    Raises:
        LabelError: It is damaged.
    """
    text = read_text(path)
    first_line = text.lstrip().partition("\n")[0].rstrip()
    if first_line.endswith("}") and text.rstrip() != first_line and _is_json(first_line):
        document: Any = [json.loads(first_line)]  # a document on each line
    else:
        with translate_errors(f"{path} is damaged, or no JSON", LabelError):
            document = json.loads(text)
    if is_labelme(document):
        document.pop("imageData", None)  # the image itself
        kind = LABELME
    elif isinstance(document, dict) and {"images", "annotations"} <= document.keys():
        kind = "" if name_coco_kind(document) else COCO
    else:
        kind = ""
    if kind:
        files.by_kind[kind].append(path)
        files.documents[path] = document
    elif name := name_json_format(document):
        files.unread[path] = name
    elif not (isinstance(document, dict) and document.keys() & _GDAL_KEYS):
        files.unknown.append(path)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
