"""Model definition beside the chips of Esri's "Export Training Data For Deep Learning"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geodetect.errors import LabelError, translate_errors
from geodetect.io.labels.formats.text import read_text


def read_esri_classes(folder: Path) -> dict[str, str]:
    """Return class names by the numbers that the label files have for them; empty without them.

    Args:
        folder: Folder of the chips, or its folder ``labels``.

    Raises:
        LabelError: The definition cannot be read.
    """
    classes: dict[str, str] = {}
    for path, definition in _definitions(folder):
        with translate_errors(f"{path}: its classes cannot be read", LabelError):
            for entry in definition.get("Classes") or ():
                classes[str(entry["Value"])] = str(entry["Name"])
    return classes


def describe_esri_set(folder: Path) -> str:
    """Return the kind of labels that the definition states; "" without one."""
    for path, definition in _definitions(folder):
        mode = definition.get("MetaDataMode")
        return f"{path.name} states {mode}; export the chips as PASCAL_VOC_rectangles"
    return ""


def _definitions(folder: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    definitions: list[tuple[Path, Mapping[str, Any]]] = []
    for parent in (folder, folder.resolve().parent):
        for path in sorted(parent.glob("*.emd")):
            with translate_errors(f"{path} cannot be read", LabelError):
                definitions.append((path, dict(json.loads(read_text(path)))))
    return definitions
