"""Annotations as the files of an image data set list them, and their collection."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import shapely

from geodetect.errors import LabelError, error_text
from geodetect.geo.polygons import are_upright_rectangles, polygons_of, repair_polygons
from geodetect.io.labels.class_column import fill_class_names
from geodetect.io.labels.label_set import (
    CROWD,
    NO_AREA,
    NO_BOX,
    NO_SURFACE,
    UNLISTED_IMAGE,
    ImageLabels,
    LabelledImage,
    LabelOptions,
    ReadReport,
    RowDefect,
)
from geodetect.types import ObjectArray

MOST_PX = 1e9  # a coordinate beyond it is no position in an image
# of content of another form than expected, when its parts are taken out and converted
PARSE_ERRORS = (LookupError, TypeError, ValueError, AttributeError, OverflowError)

Box: TypeAlias = list[float]  # x1, y1, x2, y2
Rings: TypeAlias = Sequence[Sequence[float]]  # x, y, x, y, ... of each
MIN_VERTICES = 3  # of a ring


@dataclass
class AnnotatedImage:
    """Annotations of one image.

    Args:
        name: File name of the image, maybe with folders. It is never opened.
        size: Columns and rows of the image, if the data set states them.
        boxes: x1, y1, x2, y2 of each object.
        names: Class of each object, blank if it has none.
        rows: Row of each object in the file, or in the data set of many files.
        outlines: Rings of the outline of each object, None without one.
    """

    name: str
    size: tuple[int, int] | None = None
    boxes: list[Box] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    outlines: list[Rings | None] = field(default_factory=list)

    def add(self, box: Box, name: str, row: int, rings: Rings | None = None) -> None:
        """Add an object."""
        self.boxes.append(box)
        self.names.append(name)
        self.rows.append(row)
        self.outlines.append(rings)


@dataclass
class AnnotationCollection:
    """Annotations of a data set.

    Args:
        source: File or folder, for errors.
        kind: Name of the format.
        images: The images, with or without objects.
        defects: Rows that are left out.
        rows: Number of rows so far.
    """

    source: Path
    kind: str
    images: list[AnnotatedImage] = field(default_factory=list)
    defects: list[RowDefect] = field(default_factory=list)
    rows: int = 0

    def next_row(self) -> int:
        """Count a row and return its number."""
        self.rows += 1
        return self.rows - 1

    def leave_out(self, row: int, reason: str) -> None:
        """Leave out a row."""
        self.defects.append(RowDefect(row, reason))

    def to_labels(self, options: LabelOptions, *, as_fractions: bool = False) -> ImageLabels:
        """Return the usable objects; those without an area are left out.

        Args:
            options: Class of objects that have none.
            as_fractions: Boxes are fractions of the image.

        Raises:
            LabelError: Coordinates are no numbers, or objects have no class.
        """
        images, defects = [], list(self.defects)
        for image in self.images:
            boxes = np.array(image.boxes, np.float64).reshape(-1, 4)
            rows = np.array(image.rows, np.int64)
            is_position = (np.abs(boxes) <= MOST_PX).all(axis=1)  # False for NaN
            if not is_position.all():
                first = int(np.argmin(is_position))
                raise LabelError(
                    f"{self.source}: the boxes of {image.name} are not all numbers of pixels "
                    f"(row {rows[first]}, counted from 0: "
                    f"{', '.join(f'{value:g}' for value in boxes[first])}); correct them"
                )
            is_flat = ~(boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            defects += [RowDefect(int(row), NO_AREA) for row in rows[is_flat]]
            names = fill_class_names(
                np.array([*image.names, ""], dtype=object)[:-1][~is_flat],
                options.default_class,
                f"{self.source}: {{}} objects of {image.name} have no class; name them",
            )
            outlines = as_outlines(image.outlines, str(self.source))[~is_flat]
            images.append(
                LabelledImage(
                    image.name,
                    boxes[~is_flat],
                    names,
                    rows[~is_flat],
                    image.size,
                    as_fractions,
                    None if shapely.is_missing(outlines).all() else outlines,
                )
            )
        counts = Counter(defect.reason for defect in defects)
        report = ReadReport(
            rows=self.rows,
            dropped=counts[NO_AREA],
            crowds=counts[CROWD],
            empty=counts[NO_BOX],
            unlisted=counts[UNLISTED_IMAGE],
            lines=counts[NO_SURFACE],
        )
        defects.sort(key=lambda defect: defect.row)
        return ImageLabels(os.fspath(self.source), self.kind, tuple(images), report, tuple(defects))


def as_outlines(objects: Sequence[Rings | None], source: str) -> ObjectArray:
    """Return the outline of each object as a valid polygon, ``object[N]``; None without one.

    Rings are parts of one object: they are united. Rectangles parallel to the sides of the image
    are boxes, no outlines.

    Raises:
        InputError: An outline crosses itself too often to be repaired.
    """
    outlines = np.full(len(objects), None, dtype=object)
    for row, rings in enumerate(objects):
        parts = [np.reshape(ring, (-1, 2)) for ring in rings or () if len(ring) >= 2 * MIN_VERTICES]
        if parts and all(np.isfinite(part).all() for part in parts):
            outlines[row] = shapely.MultiPolygon([shapely.Polygon(part) for part in parts])
    outlines, _ = repair_polygons(outlines, source)
    for index in np.flatnonzero(~shapely.is_missing(outlines)):
        polygon = polygons_of(outlines[index])
        outlines[index] = None if polygon.is_empty else polygon
    outlines[are_upright_rectangles(outlines)] = None
    return outlines


def bounds_of_points(points: Sequence[float]) -> Box:
    """Return the bounding box of points x, y, x, y, ..."""
    xy = np.reshape(np.asarray(points, np.float64), (-1, 2))
    return [*xy.min(axis=0).tolist(), *xy.max(axis=0).tolist()]


def bounds_of_rotated(box: Box, degrees: float) -> Box:
    """Return the bounding box of a rectangle that is rotated around its centre.

    Args:
        box: The rectangle before the rotation.
        degrees: Angle; the bounding box is that of both directions.
    """
    x1, y1, x2, y2 = box
    # exact for right angles, where cos(pi / 2) is 6e-17
    cosine = abs(round(math.cos(math.radians(degrees)), 15))
    sine = abs(round(math.sin(math.radians(degrees)), 15))
    half_width = ((x2 - x1) * cosine + (y2 - y1) * sine) / 2
    half_height = ((x2 - x1) * sine + (y2 - y1) * cosine) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return [x - half_width, y - half_height, x + half_width, y + half_height]


def bounds_of_ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float) -> Box:
    """Return the bounding box of an ellipse that is rotated around its centre."""
    angle = math.radians(degrees)
    half_width = math.hypot(radius_x * math.cos(angle), radius_y * math.sin(angle))
    half_height = math.hypot(radius_x * math.sin(angle), radius_y * math.cos(angle))
    return [x - half_width, y - half_height, x + half_width, y + half_height]


def image_name(file: Path, root: Path) -> str:
    """Return the path of a file in the folder of its data set: several may have the same name."""
    return file.relative_to(root).as_posix()


def parse_error_text(error: Exception) -> str:
    """Return the message of one of ``PARSE_ERRORS``; that of a missing key is only its name."""
    return f"{error} is missing" if isinstance(error, KeyError) else error_text(error)


def last_part(name: str) -> str:
    """Return a file name without folders, of any system."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]
