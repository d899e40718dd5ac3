"""Checks that files which the program has written open and are whole."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from tests.campaign.seeds.vectors import count_rows

VECTORS = {".geojson", ".geojsonl", ".gpkg", ".fgb", ".parquet", ".shp", ".csv"}
IMAGES = {".png", ".jpg", ".webp"}


def check_file(file: Path) -> None:
    """Read a file to its end.

    Raises:
        Exception: It does not open, or is short.
    """
    suffix = file.suffix.lower()
    if suffix in VECTORS:
        count_rows(file)
    elif suffix in IMAGES:
        from PIL import Image

        with Image.open(file) as image:
            image.load()
    elif suffix == ".html":
        if not file.read_text(encoding="utf-8").rstrip().endswith("</html>"):
            raise ValueError("the page has no end")
    elif suffix == ".json":
        json.loads(file.read_text(encoding="utf-8"))
    elif suffix == ".safetensors":
        from safetensors.numpy import load_file

        load_file(file)
    elif suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            if archive.testzip() is not None:
                raise ValueError("the archive is damaged")
    elif file.is_dir():
        for part in file.rglob("*"):
            if part.is_file():
                check_file(part)
