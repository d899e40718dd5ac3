"""Recognition of image data sets: the labels of a file, or of a folder and those below it."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geodetect.errors import GeodetectWarning, LabelError, list_names
from geodetect.io.labels.formats.box_csv import read_box_csv
from geodetect.io.labels.formats.coco import read_coco
from geodetect.io.labels.formats.cvat import read_cvat
from geodetect.io.labels.formats.esri import describe_esri_set, read_esri_classes
from geodetect.io.labels.formats.labelme import read_labelme
from geodetect.io.labels.formats.other_formats import READ_FORMATS
from geodetect.io.labels.formats.text import read_head
from geodetect.io.labels.formats.text_boxes import DOTA, KITTI, read_text_boxes
from geodetect.io.labels.formats.voc import read_voc
from geodetect.io.labels.formats.yolo import read_yolo
from geodetect.io.labels.formats.yolo_description import (
    DESCRIPTION_SUFFIXES,
    LISTS_OF_NAMES,
    YAML_SUFFIXES,
    beside_images,
    find_description,
    find_label_folders,
    read_description,
)
from geodetect.io.labels.label_files import (
    COCO,
    CSV,
    CVAT,
    LABELME,
    VOC,
    YOLO,
    LabelFiles,
    classify_files,
    is_in_label_folder,
    walk_files,
)
from geodetect.io.labels.label_set import ImageLabels, LabelOptions
from geodetect.io.vector.archive import LAYER_SUFFIXES
from geodetect.io.vector.csv_table import read_csv_columns
from geodetect.types import PathLike

_KINDS = (VOC, CVAT, YOLO, DOTA, KITTI, COCO, LABELME, CSV)  # the first of a folder is read


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
    files = classify_files([path])
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
        near = [p for p in walk_files(path) if p.parent == path or is_in_label_folder(p, path)]
        files = classify_files(near)
    else:
        files = classify_files([path] if path.is_file() else [])
    kind = next((kind for kind in _KINDS if kind in files.by_kind), None)
    return files.list_unread() if kind is None else f"labels of {kind} in pixels of images"


def _read_folder(folder: Path, options: LabelOptions) -> tuple[list[ImageLabels], list[PathLike]]:
    """Read a folder: the data sets of one kind, else its vector files."""
    paths = list(walk_files(folder))
    near = [path for path in paths if path.parent == folder or is_in_label_folder(path, folder)]
    files = classify_files(near)
    _add_empty(files, folder)
    if not files.by_kind:
        files.vector = [
            path
            for path in paths
            if path.parent == folder
            and path.suffix.lower() in LAYER_SUFFIXES
            and path not in files.unread
            and path not in files.unknown
        ]
        if files.vector:
            return [], files.vector
        files = classify_files(paths)
        _add_empty(files, folder)
    kinds = [kind for kind in _KINDS if kind in files.by_kind]
    if not kinds:
        content = files.list_unread() or _describe_files(paths, folder)
        raise LabelError(f"{folder}: no labels in this folder ({content}); expected {READ_FORMATS}")
    left_out = [f"{len(files.by_kind[kind])} of {kind}" for kind in kinds[1:]]
    left_out += [files.list_unread()] if files.unread else []
    if left_out:
        text = f"{folder}: its labels of {kinds[0]} are read; left out: {list_names(left_out)}"
        warnings.warn(text, GeodetectWarning, stacklevel=2)
    return _read_kind(files, kinds[0], folder, options), []


def _read_yaml_set(path: Path, options: LabelOptions) -> ImageLabels:
    """Read a YOLO data set from its YAML file."""
    description = read_description(path)
    folders = find_label_folders(path)
    root = path.parent
    if not all(folder.is_relative_to(root) for folder in folders):
        folders = [folder.absolute() for folder in folders]
        root = Path(os.path.commonpath(folders))
    searched = folders or [path.parent]
    files = classify_files([file for folder in searched for file in walk_files(folder)])
    texts = sorted({*files.by_kind[YOLO], *files.empty, *(files.unknown if folders else ())})
    if not texts:
        raise LabelError(
            f"{path}: no label files; expected labels/*.txt in the layout of YOLO beside it, or "
            f"in the folder that its `path` states"
        )
    return read_yolo(texts, path, options, root=root, description=description)


def _read_kind(
    files: LabelFiles, kind: str, source: Path, options: LabelOptions
) -> list[ImageLabels]:
    paths = files.by_kind[kind]
    root = source if source.is_dir() else source.parent
    if kind in (YOLO, DOTA, KITTI):
        unknown = [path for path in files.unknown if path.suffix.lower() == ".txt"]
        in_label_folders = [path for path in unknown if is_in_label_folder(path, root)]
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


def _add_empty(files: LabelFiles, folder: Path) -> None:
    """Make a YOLO data set of nothing but empty files, if the folder has a description."""
    texts = (YOLO, DOTA, KITTI)
    if files.empty and not any(kind in files.by_kind for kind in texts):
        is_described = find_description(folder, [], above=False).source is not None
        if is_described or any(is_in_label_folder(path, folder) for path in files.empty):
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
        images = documents[path]["images"]
        rows = images if isinstance(images, list) else []
        return {str(row.get("file_name")) for row in rows if isinstance(row, Mapping)}

    with_points = [path for path in paths if has_key_points(path)]
    with_boxes = [path for path in paths if path not in with_points]
    if not (with_points and with_boxes):
        return list(paths)
    names = set().union(*map(image_names, with_boxes))
    repeated = [path for path in with_points if image_names(path) <= names]
    if repeated:
        text = (
            f"{list_names(repeated)}: left out, as other files have boxes for the same images "
            f"({list_names([path.name for path in with_boxes])})"
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
