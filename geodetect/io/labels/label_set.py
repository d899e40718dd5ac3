"""Labels as files hold them: polygons on a map, or boxes in pixels of named images."""

from __future__ import annotations

import operator
import warnings
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import GeodetectWarning, LabelError
from geodetect.geo.grid import Grid
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

NO_GEOMETRY, NO_AREA = "no geometry", "no area"
SELF_INTERSECTION, CROWD = "crosses itself", "stands for many objects"
NO_BOX, NO_SURFACE = "no box", "point or line"
UNLISTED_IMAGE = "image is not listed"


@dataclass(frozen=True)
class LabelOptions:
    """Options for reading labels.

    Args:
        class_field: Column of class names; None: guessed from names and values, see
            ``class_column``.
        default_class: Class of rows that have none; None: that is an error, except that all rows
            of files without any column of classes are of class "object".
        crs: CRS of the coordinates, whatever the files say.
        point_size_m: Diameter on the ground, in metres, of objects drawn as points.
    """

    class_field: str | None = None
    default_class: str | None = None
    crs: str | None = None
    point_size_m: float | None = None


@dataclass(frozen=True)
class ReadReport:
    """Counts of rows that were left out, repaired or split while label files were read.

    Args:
        rows: Rows in the files.
        dropped: Rows without geometry, or with one that has no area.
        repaired: Rows whose polygon crossed itself.
        split: Objects that were added because a row had disjoint parts.
        crowds: Rows that stand for many objects at once (COCO's ``iscrowd``), left out.
        empty: Rows of an image data set with neither a box nor an outline, left out.
        unlisted: Rows of images that their data set does not list, left out.
        lines: Points and lines of an image data set, left out.
    """

    rows: int = 0
    dropped: int = 0
    repaired: int = 0
    split: int = 0
    crowds: int = 0
    empty: int = 0
    unlisted: int = 0
    lines: int = 0

    @property
    def left_out(self) -> int:
        """Number of rows left out."""
        return self.dropped + self.crowds + self.empty + self.unlisted + self.lines

    def __add__(self, other: ReadReport) -> ReadReport:
        return ReadReport(*map(operator.add, astuple(self), astuple(other)))

    def __str__(self) -> str:
        parts = [
            (self.dropped, "without an area left out"),
            (self.crowds, "standing for many objects left out"),
            (self.empty, "without a box left out"),
            (self.unlisted, "of images that are not listed left out"),
            (self.lines, "that are points or lines left out"),
            (self.repaired, "crossing itself repaired"),
            (self.split, "added from disjoint parts"),
        ]
        changes = [f"{count} {change}" for count, change in parts if count]
        return f"{self.rows} rows of labels" + (f": {', '.join(changes)}" if changes else "")


@dataclass(frozen=True)
class RowDefect:
    """Defect of a row in a label file.

    Args:
        row: Number of the row, counted from 0.
        reason: ``NO_GEOMETRY``, ``NO_AREA``, ``SELF_INTERSECTION``, ``CROWD``, ``NO_BOX``,
            ``NO_SURFACE`` or ``UNLISTED_IMAGE``. Rows that cross themselves are repaired, all
            others left out.
        geometry: Geometry of the row in the CRS of the labels; None without one, or in pixels.
    """

    row: int
    reason: str
    geometry: shapely.Geometry | None = None


@dataclass(frozen=True, eq=False)
class MapLabels:
    """Labels of a vector file.

    Args:
        source: The file.
        geometries: ``object[N]`` valid polygons.
        names: ``object[N]`` class names.
        rows: ``int64[N]`` rows in the file, counted from 0.
        crs: CRS of the coordinates.
        has_classes: The file has a column of classes.
        report: Counts of rows left out, repaired or split.
        defects: Rows left out or repaired.
        is_outline: ``bool[N]`` the polygon is the outline of an object, not a box or a disc around
            it; None: none is.
    """

    source: str
    geometries: ObjectArray
    names: ObjectArray
    rows: IntArray
    crs: CRS
    has_classes: bool = True
    report: ReadReport = ReadReport()
    defects: tuple[RowDefect, ...] = ()
    is_outline: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """Labels of one image.

    Args:
        name: File name of the image as the data set states it, maybe with folders.
        boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixel edges, counted from 0 at the upper left
            corner; with ``as_fractions`` in fractions of the image's width and height.
        names: ``object[N]`` class names.
        rows: ``int64[N]`` rows in the file, counted from 0; in a data set of many files positions
            in all of it.
        size: Width and height of the image in pixels, if the data set states them.
        as_fractions: Boxes are fractions of the image, so they fit it at any size.
        outlines: ``object[N]`` polygons in the frame of the boxes; None for labels that are boxes.
            None: all are.
    """

    name: str
    boxes: FloatArray
    names: ObjectArray
    rows: IntArray
    size: tuple[int, int] | None = None
    as_fractions: bool = False
    outlines: ObjectArray | None = None

    def place_on(self, grid: Grid, path: str) -> tuple[FloatArray, ObjectArray]:
        """Return boxes and outlines in pixels of the raster that is this image.

        Returns:
            ``float64[N, 4]``, and ``object[N]`` polygons or None.

        Raises:
            LabelError: The raster has another size than the image that was labelled.
        """
        outlines = self.outlines
        if outlines is None:
            outlines = np.full(len(self.boxes), None, dtype=object)
        if self.as_fractions:
            size = np.array([grid.width, grid.height], np.float64)
            outlines = np.asarray(shapely.transform(outlines, lambda points: points * size))
            return self.boxes * np.tile(size, 2), outlines
        if self.size is not None and self.size != (grid.width, grid.height):
            raise LabelError(
                f"{self.name} was labelled at {self.size[0]} x {self.size[1]} px, but {path} has "
                f"{grid.width} x {grid.height}; give the raster that was labelled as `rasters`"
            )
        return self.boxes, outlines


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """Labels of an image data set, such as COCO, YOLO or Pascal VOC.

    Args:
        source: The file or folder.
        kind: Name of the format.
        images: The images, with or without objects.
        report: Counts of rows left out.
        defects: Rows left out.
    """

    source: str
    kind: str
    images: tuple[LabelledImage, ...]
    report: ReadReport = ReadReport()
    defects: tuple[RowDefect, ...] = ()

    @cached_property
    def names(self) -> ObjectArray:
        """Class names of all labels, image after image, ``object[N]``."""
        return np.concatenate([np.empty(0, object), *(image.names for image in self.images)])

    @cached_property
    def rows(self) -> IntArray:
        """Rows of all labels, image after image, ``int64[N]``."""
        return np.concatenate([np.empty(0, np.int64), *(image.rows for image in self.images)])

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Labels of several sources; the id of a label is its position among all of them.

    Args:
        sources: Files and data sets.
    """

    sources: tuple[MapLabels | ImageLabels, ...]

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def starts(self) -> IntArray:
        """Id of the first label of each source, and the number of all labels, ``int64[S + 1]``."""
        return np.cumsum([0, *(len(source) for source in self.sources)], dtype=np.int64)

    @cached_property
    def names(self) -> ObjectArray:
        """Class names of all labels, ``object[N]``."""
        return np.concatenate([np.empty(0, object), *(source.names for source in self.sources)])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names that occur, in alphabetical order."""
        return tuple(sorted(set(self.names)))

    @property
    def in_pixels(self) -> bool:
        """True if some labels are in pixels of images."""
        return any(isinstance(source, ImageLabels) for source in self.sources)

    @property
    def report(self) -> ReadReport:
        """Counts of rows left out, repaired or split in all sources."""
        return sum((source.report for source in self.sources), ReadReport())

    def warn_of_changes(self) -> None:
        """Warn if the number of labels is not that of the rows in the files."""
        report = self.report
        if report.left_out or report.split:
            warnings.warn(str(report), GeodetectWarning, stacklevel=3)

    def locate(self, label_id: int) -> tuple[MapLabels | ImageLabels, int]:
        """Return the source of a label, and its position in it."""
        number = int(np.searchsorted(self.starts, label_id, side="right")) - 1
        return self.sources[number], label_id - int(self.starts[number])
