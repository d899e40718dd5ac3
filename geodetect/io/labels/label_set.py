"""Labels as files hold them: objects on a map, or boxes in pixels of named images."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import GeodetectWarning, LabelError
from geodetect.geo.grid import Grid
from geodetect.types import FloatArray, IntArray, ObjectArray

DEFAULT_CLASS = "object"


@dataclass(frozen=True)
class LabelOptions:
    """What the user says of labels.

    Args:
        class_field: Column of class names; None: the obvious one.
        default_class: Class of rows that have none; None: that is an error, except that all rows
            of files without any column of classes are of class "object".
        crs: CRS of the coordinates, whatever the files say.
        point_size_m: Diameter on the ground, in metres, of objects that are given as points.
    """

    class_field: str | None = None
    default_class: str | None = None
    crs: str | None = None
    point_size_m: float | None = None


@dataclass(frozen=True)
class AnnotationReport:
    """What reading did to the rows of label files.

    Args:
        rows: Rows in the files.
        dropped: Rows without geometry, or with one that has no area.
        repaired: Rows whose polygon crossed itself.
        split: Objects that came from further, disjoint parts of a row.
        crowds: Rows that stand for many objects at once (COCO's ``iscrowd``), left out.
    """

    rows: int = 0
    dropped: int = 0
    repaired: int = 0
    split: int = 0
    crowds: int = 0

    def __add__(self, other: AnnotationReport) -> AnnotationReport:
        mine, theirs = asdict(self), asdict(other)
        return AnnotationReport(**{name: mine[name] + theirs[name] for name in mine})

    def __str__(self) -> str:
        parts = [
            (self.dropped, "without an area left out"),
            (self.crowds, "standing for many objects left out"),
            (self.repaired, "crossing itself repaired"),
            (self.split, "added from disjoint parts"),
        ]
        changes = [f"{count} {what}" for count, what in parts if count]
        return f"{self.rows} rows of labels" + (f": {', '.join(changes)}" if changes else "")


@dataclass(frozen=True)
class Fault:
    """A row that is not an object as it stands.

    Args:
        row: Its number in the file, counted from 0.
        reason: ``no geometry``, ``no area``, ``crosses itself`` (repaired) or ``stands for many
            objects``; all but the repaired ones are left out.
        geometry: On the map of the labels; None where there is none, or it is in pixels.
    """

    row: int
    reason: str
    geometry: shapely.Geometry | None = None


@dataclass(frozen=True, eq=False)
class MapLabels:
    """Objects drawn on a map.

    Args:
        source: The file.
        geometries: ``object[N]`` valid polygons.
        names: ``object[N]`` their classes.
        rows: ``int64[N]`` their rows in the file, counted from 0.
        crs: WKT of the coordinates.
        has_classes: Whether the file says the classes.
        report: What reading did to the rows.
        faults: The rows it did something to.
    """

    source: str
    geometries: ObjectArray
    names: ObjectArray
    rows: IntArray
    crs: CRS
    has_classes: bool = True
    report: AnnotationReport = AnnotationReport()
    faults: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """The objects of one image.

    Args:
        name: File name of the image as the data set states it, maybe with folders.
        boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixel edges, counted from 0 at the upper left
            corner; with ``as_shares`` in shares of the image's width and height.
        names: ``object[N]`` classes.
        rows: ``int64[N]`` their rows in the file, counted from 0; of a data set of many files their
            numbers in all of it.
        size: Width and height of the image in pixels, if the data set states them.
        as_shares: Boxes are shares of the image, so they fit it at any size.
    """

    name: str
    boxes: FloatArray
    names: ObjectArray
    rows: IntArray
    size: tuple[int, int] | None = None
    as_shares: bool = False

    def boxes_on(self, grid: Grid, path: str) -> FloatArray:
        """Boxes ``float64[N, 4]`` in pixels of the raster that is this image.

        Raises:
            LabelError: The raster has another size than the image that was labelled.
        """
        if self.as_shares:
            return self.boxes * np.array([grid.width, grid.height] * 2, np.float64)
        if self.size is not None and self.size != (grid.width, grid.height):
            raise LabelError(
                f"{self.name} was labelled at {self.size[0]} x {self.size[1]} px, but {path} has "
                f"{grid.width} x {grid.height}; give the raster that was labelled with --rasters"
            )
        return self.boxes


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """Boxes in pixels of named images: COCO, YOLO, Pascal VOC, DeepForest.

    Args:
        source: The file or folder.
        kind: Name of the format.
        images: The images, with or without objects.
        report: What reading did to the rows.
        faults: The rows it did something to.
    """

    source: str
    kind: str
    images: tuple[LabelledImage, ...]
    report: AnnotationReport = AnnotationReport()
    faults: tuple[Fault, ...] = ()

    @cached_property
    def names(self) -> ObjectArray:
        """``object[N]`` the classes of all objects, image after image."""
        return np.concatenate([np.empty(0, object), *(image.names for image in self.images)])

    @cached_property
    def rows(self) -> IntArray:
        """``int64[N]`` the numbers of all objects in the data set, image after image."""
        return np.concatenate([np.empty(0, np.int64), *(image.rows for image in self.images)])

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class LabelSet:
    """All labels of a run, numbered from 0 through its sources.

    Args:
        sources: Files and data sets.
    """

    sources: tuple[MapLabels | ImageLabels, ...]

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def starts(self) -> IntArray:
        """``int64[S + 1]`` the number of the first label of each source, and of all labels."""
        return np.cumsum([0, *(len(source) for source in self.sources)], dtype=np.int64)

    @cached_property
    def names(self) -> ObjectArray:
        """``object[N]`` the classes of all labels."""
        return np.concatenate([np.empty(0, object), *(source.names for source in self.sources)])

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes there are, in alphabetical order."""
        return tuple(sorted(set(self.names)))

    @property
    def report(self) -> AnnotationReport:
        """What reading did to the rows of all sources."""
        return sum((source.report for source in self.sources), AnnotationReport())

    def warn_of_changes(self) -> None:
        """Give a ``GeodetectWarning`` if the number of objects is not that of the rows."""
        report = self.report
        if report.dropped or report.crowds or report.split:
            warnings.warn(str(report), GeodetectWarning, stacklevel=3)

    def origin(self, number: int) -> tuple[MapLabels | ImageLabels, int]:
        """The source of a label, and its position in it."""
        which = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.sources[which], number - int(self.starts[which])
