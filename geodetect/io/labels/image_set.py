"""Recognition of image data sets: the labels of a file, or of a folder and those below it."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodetect.errors import GeodetectWarning, LabelError, list_names, translate_errors
from geodetect.io.labels.formats.box_csv import is_box_csv, read_box_csv
from geodetect.io.labels.formats.coco import read_coco
from geodetect.io.labels.formats.cvat import read_cvat
from geodetect.io.labels.formats.esri import describe_esri_set, read_esri_classes
from geodetect.io.labels.formats.labelme import is_labelme, read_labelme
from geodetect.io.labels.formats.other_formats import (
    READ_FORMATS,
    name_coco_kind,
    name_csv_format,
    name_json_format,
)
from geodetect.io.labels.formats.text import read_head, read_text
from geodetect.io.labels.formats.text_boxes import DOTA, KITTI, find_text_kind, read_text_boxes
from geodetect.io.labels.formats.voc import read_voc
from geodetect.io.labels.formats.yolo import is_yolo, read_yolo
from geodetect.io.labels.formats.yolo_description import (
    DESCRIPTION_SUFFIXES,
    LISTS_OF_NAMES,
    YAML_SUFFIXES,
    beside_images,
    find_description,
    find_label_folders,
    read_description,
)
from geodetect.io.labels.label_set import ImageLabels, LabelOptions
from geodetect.io.vector.archive import LAYER_SUFFIXES
from geodetect.io.vector.csv_table import read_csv_columns
from geodetect.types import PathLike

VOC, YOLO, COCO, CVAT, LABELME, CSV = "Pascal VOC", "YOLO", "COCO", "CVAT", "LabelMe", "CSV"
_KINDS = (VOC, CVAT, YOLO, DOTA, KITTI, COCO, LABELME, CSV)  # the first of a folder is read
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


def read_image_sets(
    source: PathLike, options: LabelOptions
) -> tuple[list[ImageLabels], list[PathLike]]:
    """Read the image data sets of a file or folder.

    - a COCO file (JSON with ``images`` and ``annotations``), or a folder that holds some;
    - a YOLO folder (``labels/*.txt``, ``obj_train_data/*.txt``, or text files of numbers) with a
      YAML file, ``classes.txt`` or ``obj.names`` for the names of the classes; its YAML file, which
      may lie elsewhere and state the ``path``; or one of its text files;
    - Pascal VOC files, or a folder of them (``Annotations/*.xml``, or ``*.xml``);
    - CVAT for images, LabelMe, DOTA, KITTI: files, or folders of them;
    - a CSV of DeepForest or TensorFlow: a box in each row.

    Of a folder, its own labels come first, then its vector files, then labels in folders below it,
    such as train, valid and test of Roboflow. Names of images in the files are only compared with
    those of rasters; nothing is read from them.

    Args:
        source: File or folder, or a source of GDAL.
        options: Class of objects that have none.

    Returns:
        The data sets; if there are none, the vector files: those of a folder, or the source.

    Raises:
        LabelError: A file is damaged, or in a format that is not read; a folder holds no labels.
    """
    path = Path(source)
    if path.is_dir() and path.suffix.lower() != ".gdb":
        return _read_folder(path, options)
    if not path.is_file():  # FILE|layername=NAME, a database, or an error of GDAL
        return [], [source]
    suffix = path.suffix.lower()
    if suffix in YAML_SUFFIXES:
        return [_read_yaml_set(path, options)], []
    if suffix in DESCRIPTION_SUFFIXES or path.name in LISTS_OF_NAMES:
        return _read_folder(path.parent, options)
    files = _classify([path])
    is_table = suffix == ".txt" and len(read_csv_columns(read_head(path))) > 1
    if files.unread or (files.unknown and not is_table):
        unread = files.list_unread()
        reason = f"{unread}, which is not read" if unread else "no labels in this file"
        raise LabelError(f"{path}: {reason}; expected {READ_FORMATS}")
    if files.empty:
        files.by_kind[YOLO] += files.empty
    for kind in files.by_kind:
        return _read_kind(files, kind, path, options), []
    return [], [source]


def describe_image_set(source: PathLike) -> str:
    """Return a description of labels in pixels of images; "" for a vector file, or a URL."""
    path = Path(source)
    if path.suffix.lower() in YAML_SUFFIXES and path.is_file():
        return f"labels of {YOLO} in pixels of images"
    if path.is_dir() and path.suffix.lower() != ".gdb":
        near = [p for p in _walk(path, 0) if p.parent == path or _is_in_label_folder(p, path)]
        files = _classify(near)
    else:
        files = _classify([path] if path.is_file() else [])
    kind = next((kind for kind in _KINDS if kind in files.by_kind), None)
    return files.list_unread() if kind is None else f"labels of {kind} in pixels of images"


def _read_folder(folder: Path, options: LabelOptions) -> tuple[list[ImageLabels], list[PathLike]]:
    """Read a folder: the data sets of one kind, else its vector files."""
    paths = list(_walk(folder, 0))
    near = [path for path in paths if path.parent == folder or _is_in_label_folder(path, folder)]
    files = _classify(near)
    _add_empty(files, folder)
    if not files.by_kind:
        files.vector = [
            path
            for path in paths
            if path.parent == folder
            and path.suffix.lower() in LAYER_SUFFIXES
            and path not in files.unread
        ]
        if files.vector:
            return [], files.vector
        files = _classify(paths)
        _add_empty(files, folder)
    kinds = [kind for kind in _KINDS if kind in files.by_kind]
    if not kinds:
        seen = files.list_unread() or _describe_files(paths, folder)
        raise LabelError(f"{folder}: no labels in this folder ({seen}); expected {READ_FORMATS}")
    left_out = [f"{len(files.by_kind[kind])} of {kind}" for kind in kinds[1:]]
    left_out += [files.list_unread()] if files.unread else []
    if left_out:
        text = f"{folder}: its labels of {kinds[0]} are read; left out: {', '.join(left_out)}"
        warnings.warn(text, GeodetectWarning, stacklevel=2)
    return _read_kind(files, kinds[0], folder, options), []


def _read_yaml_set(path: Path, options: LabelOptions) -> ImageLabels:
    """Read a YOLO data set from its YAML file."""
    description = read_description(path)
    folders = find_label_folders(path)
    files = _classify(file for folder in folders or [path.parent] for file in _walk(folder, 0))
    texts = sorted({*files.by_kind[YOLO], *files.empty, *(files.unknown if folders else ())})
    if not texts:
        raise LabelError(
            f"{path}: no label files; expected labels/*.txt in the layout of YOLO beside it, or "
            f"in the folder that its `path` states"
        )
    root = path.parent
    if folders and not all(folder.is_relative_to(root) for folder in folders):
        root = Path(os.path.commonpath(folders))
    return read_yolo(texts, path, options, root=root, description=description)


def _read_kind(
    files: LabelFiles, kind: str, source: Path, options: LabelOptions
) -> list[ImageLabels]:
    paths = files.by_kind[kind]
    root = source if source.is_dir() else source.parent
    if kind in (YOLO, DOTA, KITTI):
        unknown = [path for path in files.unknown if path.suffix.lower() == ".txt"]
        in_label_folders = [path for path in unknown if _is_in_label_folder(path, root)]
        paths = sorted({*paths, *files.empty, *in_label_folders})
        ignored = [path for path in unknown if path not in in_label_folders]
        if kind == YOLO:
            if ignored:
                text = (
                    f"{source}: {len(ignored)} text files are no labels of YOLO and left out "
                    f"({list_names([path.name for path in ignored])})"
                )
                warnings.warn(text, GeodetectWarning, stacklevel=2)
            description = find_description(root, {path.parent for path in paths})
            return [read_yolo(paths, source, options, root=root, description=description)]
        names = read_esri_classes(root)
        return [read_text_boxes(paths, source, options, root=root, kind=kind, class_names=names)]
    if kind == VOC:
        names = read_esri_classes(root)
        return [read_voc(paths, source, options, root=root, class_names=names)]
    if kind == LABELME:
        documents = {path: files.documents[path] for path in paths}
        return [read_labelme(documents, source, options, root=root)]
    if kind == COCO:
        paths = _without_key_points(paths, files.documents)
        return [read_coco(path, files.documents[path], options, root=root) for path in paths]
    read_file = read_cvat if kind == CVAT else read_box_csv
    return [read_file(path, options, root=root) for path in paths]


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the files of a folder and those below it, in alphabetical order."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__")))
    yield from (path for path in entries if path.is_file())
    if depth < _DEEPEST:
        for path in entries:
            if path.is_dir() and path.suffix.lower() != ".gdb":
                yield from _walk(path, depth + 1)


def _is_in_label_folder(path: Path, root: Path) -> bool:
    """Return True if a file below a folder lies in one that holds nothing but labels."""
    folders = (root.absolute().name, *path.relative_to(root).parts[:-1])
    return any(_LABEL_FOLDERS.fullmatch(name.lower()) for name in folders)


def _classify(paths: Iterable[Path]) -> LabelFiles:
    """Sort label files by their kind."""
    files = LabelFiles()
    paths = list(paths)
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


def _add_empty(files: LabelFiles, folder: Path) -> None:
    """Make a YOLO data set of nothing but empty files, if the folder has a description."""
    texts = (YOLO, DOTA, KITTI)
    if files.empty and not any(kind in files.by_kind for kind in texts):
        is_described = find_description(folder, [], above=False).source is not None
        if is_described or any(_is_in_label_folder(path, folder) for path in files.empty):
            files.by_kind[YOLO] = []


def _without_key_points(
    paths: Sequence[Path], documents: Mapping[Path, Mapping[str, Any]]
) -> list[Path]:
    """Leave out COCO files of key points whose images have boxes in another file, too."""

    def has_key_points(path: Path) -> bool:
        rows = documents[path]["annotations"]
        first = rows[0] if isinstance(rows, list) and rows else None
        return isinstance(first, Mapping) and "keypoints" in first

    def image_names(path: Path) -> set[str]:
        return {str(image.get("file_name")) for image in documents[path]["images"]}

    with_points = [path for path in paths if has_key_points(path)]
    others = [path for path in paths if path not in with_points]
    if not (with_points and others):
        return list(paths)
    names = set().union(*map(image_names, others))
    repeated = [path for path in with_points if image_names(path) <= names]
    if repeated:
        text = (
            f"{list_names(repeated)}: left out, as other files have boxes for the same images "
            f"({list_names([path.name for path in others])})"
        )
        warnings.warn(text, GeodetectWarning, stacklevel=2)
    return [path for path in paths if path not in repeated]


def _describe_files(paths: Sequence[Path], folder: Path) -> str:
    """Return counts of files by suffix, and the folders below that hold vector files."""
    counts = Counter(path.suffix.lower() or path.name for path in paths)
    text = "it holds " + list_names([f"{n} {suffix}" for suffix, n in counts.most_common()])
    text = text if paths else "it is empty"
    suffixes = set(LAYER_SUFFIXES) - {".json"}
    beside = beside_images(folder)
    if beside != folder and beside.is_dir():
        return f"{text}; its labels may lie in {beside}: give that folder"
    if definition := describe_esri_set(folder):
        return f"{text}; {definition}"
    below = {path.parent for path in paths if path.suffix.lower() in suffixes}
    if below:
        text += f"; vector files lie in {list_names(sorted(below))}: give that folder"
    return text
