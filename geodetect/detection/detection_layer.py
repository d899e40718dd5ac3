"""Detections of a run as compact columns, and the table of them, complete or in chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from geodetect.detection.coverage import RasterCoverage, common_crs
from geodetect.detection.detections import Detections
from geodetect.detection.run.description import RunDescription
from geodetect.detection.shapes.measures import (
    OF_OUTLINES,
    Measures,
    measure_names,
    measure_objects,
)
from geodetect.detection.shapes.on_map import geometry_on_map
from geodetect.detection.shapes.outlines import shape_outlines
from geodetect.display import Displayed, Rows
from geodetect.errors import InputError, list_names
from geodetect.geo.crs import horizontal_crs, same_crs
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import reproject
from geodetect.io.vector.chunks import row_slices
from geodetect.model.card import AreaError
from geodetect.noun import list_class_counts
from geodetect.progress import format_duration
from geodetect.settings.prediction import ShapeSettings
from geodetect.threads import call_in_threads
from geodetect.types import AnyArray, IntArray

DTYPES: dict[str, type] = {
    "id": np.int64,
    "class": str,
    "score": np.float64,
    "area_m2": np.float64,
    "area_low_m2": np.float64,
    "area_high_m2": np.float64,
    "width_m": np.float64,
    "length_m": np.float64,
    "perimeter_m": np.float64,
    "orientation_deg": np.float64,
    "truncated": np.bool_,
    "raster": str,
}
COLUMNS = (*(name for name in DTYPES if name not in OF_OUTLINES), "geometry")  # of boxes

SCORE_DECIMALS = 4


@dataclass(frozen=True)
class RunSummary:
    """Tiles, time and failures of a run.

    Args:
        tiles: Tiles that went through the detector.
        empty_tiles: Tiles without imagery, which did not.
        unread_tiles: Tiles of which some pixels could not be read.
        resumed_tiles: Those of ``tiles`` and ``empty_tiles`` that were read from the journal of an
            interrupted run.
        seconds: Time from loading the model to the last object.
        description: Model, score threshold, resolutions, machine and extent; None: not known.
        left_out: Error message of each raster that could not be read somewhere, by its path.
        value_ranges: Values that became 0 and 255, by raster; without those of bytes.
    """

    tiles: int = 0
    empty_tiles: int = 0
    unread_tiles: int = 0
    resumed_tiles: int = 0
    seconds: float = 0.0
    description: RunDescription | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    value_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class GroundDetections:
    """Detections of one ground, some 70 bytes each and their outlines.

    Args:
        detections: Boxes and outlines in pixel edges of ``grid``, in the order of the table.
        measures: Measures on the ground, ``float64[N]`` by the name of their column.
        grid: Working grid of the ground, its pixels on the map.
        classes: Name of each label.
        rasters: Names of the rasters of the ground.
        geometry: Geometry in the table, see ``ShapeSettings``.
    """

    detections: Detections
    measures: Measures
    grid: Grid
    classes: tuple[str, ...]
    rasters: tuple[str, ...]
    geometry: str = "auto"

    @classmethod
    def from_detections(
        cls,
        detections: Detections,
        grid: Grid,
        *,
        classes: Sequence[str],
        rasters: Sequence[str],
        shapes: ShapeSettings | None = None,
        with_outlines: bool | None = None,
        area_error: AreaError | None = None,
    ) -> GroundDetections:
        """Sort detections, simplify their outlines, measure them and filter them by their area.

        Args:
            detections: Boxes and outlines in pixel edges of ``grid``.
            grid: Working grid of the ground.
            classes: Name of each label.
            rasters: Names of the rasters of the ground.
            shapes: Geometry and filter; None: the defaults.
            with_outlines: The table has the columns of outlines; None: if there are any.
            area_error: Error of the areas of outlines.

        Raises:
            InputError: A label has no name in ``classes``.
        """
        shapes = ShapeSettings() if shapes is None else shapes
        labels = detections.labels
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise InputError(
                f"labels {labels.min()} to {labels.max()} found, but the model names only "
                f"{len(classes)} classes: {list_names(classes)}"
            )
        ordered = detections[canonical_order(detections)]
        if with_outlines is None:
            with_outlines = ordered.has_outlines
        outlines = ordered.outlines.copy()
        names = measure_names(with_outlines=with_outlines, area_error=area_error)
        measures = {name: np.empty(len(ordered)) for name in names}

        def finish(rows: slice) -> None:
            part = ordered[rows]
            if part.has_outlines:
                outlines[rows] = shape_outlines(part.outlines, grid, shapes)
                part = replace(part, outlines=outlines[rows])
            for name, values in measure_objects(part, grid, names, area_error).items():
                measures[name][rows] = values

        # in threads: PROJ and GEOS hold no lock of Python
        call_in_threads(finish, list(row_slices(len(ordered))))
        ordered = replace(ordered, outlines=outlines)
        ground = cls(ordered, measures, grid, tuple(classes), tuple(rasters), shapes.geometry)
        return ground.of_areas(shapes.min_area, shapes.max_area)

    def of_areas(self, low_m2: float | None, high_m2: float | None) -> GroundDetections:
        """Return the objects whose area lies in a range; None: without that limit."""
        area = self.measures["area_m2"]
        is_outside = np.zeros(len(self), bool)
        if low_m2 is not None:
            is_outside |= area < low_m2
        if high_m2 is not None:
            is_outside |= area > high_m2
        if not is_outside.any():
            return self
        measures = {name: values[~is_outside] for name, values in self.measures.items()}
        return replace(self, detections=self.detections[~is_outside], measures=measures)

    @property
    def crs(self) -> CRS | None:
        """Horizontal part of the CRS of the ground."""
        return None if self.grid.crs is None else horizontal_crs(self.grid.crs)

    def __len__(self) -> int:
        return len(self.detections)

    def table(self, rows: slice = slice(None), *, first_id: int = 1) -> gpd.GeoDataFrame:
        """Return the detection table of some of the objects.

        Args:
            rows: Rows of ``detections``.
            first_id: ``id`` of the first object of the ground.

        Returns:
            One row per object, from top to bottom and left to right in the ground, with

            - ``id`` int64, counted on from ``first_id``
            - ``class`` str
            - ``score`` float64 in 0..1, four decimals
            - ``area_m2``, ``width_m`` (short side), ``length_m`` (long side): float64, true sizes
              on the ground, to the centimetre; NaN without a CRS. Of the outline, width and length
              of the smallest rotated rectangle around it; of the box where there is no outline
            - ``truncated`` bool: cut by the edge of the imagery
            - ``raster`` str: name of the raster that shows the centre
            - ``geometry``: the outline, or what the setting ``geometry`` says, in the CRS of the
              ground (its horizontal part), or in the coordinates of the raster without one;
              polygons are closed and counter-clockwise

            and from a detector with outlines, NaN of the objects without one

            - ``area_low_m2``, ``area_high_m2`` float64: ends of the 95 % interval of the true
              area, by the error that validation has found; only if the card of the model has it
            - ``perimeter_m`` float64: length of the outline with its holes
            - ``orientation_deg`` float64: direction of the long side of the rotated rectangle in
              degrees clockwise from north, 0..180
        """
        detections = self.detections[rows]
        columns = {
            "id": np.arange(*rows.indices(len(self))) + first_id,
            "class": np.array([*self.classes, ""], dtype=object)[detections.labels],
            "score": np.round(detections.scores.astype(np.float64), SCORE_DECIMALS),
            **{name: values[rows] for name, values in self.measures.items()},
            "truncated": detections.truncated,
            "raster": np.array(self.rasters, dtype=object)[detections.raster],
        }
        return _table(columns, geometry_on_map(detections, self.grid, self.geometry), self.crs)


@dataclass(frozen=True, repr=False)
class DetectionLayer(Displayed):
    """Detections of any number of grounds, as one layer.

    ``geodetect.write`` takes it in place of a table, and then never holds more than a few thousand
    rows.

    Args:
        grounds: Detections of each ground.
        crs: CRS of the layer; None: that of the first ground.
        summary: Summary of the run.
        coverage: Searched and skipped areas of each raster of the run.

    Raises:
        GeoreferenceError: Some rasters have a CRS and others none.
    """

    grounds: tuple[GroundDetections, ...]
    crs: CRS | None = None
    summary: RunSummary = field(default_factory=RunSummary)
    coverage: tuple[RasterCoverage, ...] = ()

    def __post_init__(self) -> None:
        if self.grounds:
            crs = common_crs((ground.crs for ground in self.grounds), self.crs)
            object.__setattr__(self, "crs", crs)  # as the class is frozen

    @property
    def by_class(self) -> dict[str, int]:
        """Number of objects by class, the largest first."""
        counts: Counter[str] = Counter()
        for ground in self.grounds:
            labels, numbers = np.unique(ground.detections.labels, return_counts=True)
            for label, number in zip(labels.tolist(), numbers.tolist(), strict=True):
                counts[ground.classes[label]] += number
        return dict(counts.most_common())

    @property
    def by_raster(self) -> dict[str, int]:
        """Number of objects by raster, the largest first; without rasters that hold none."""
        counts: Counter[str] = Counter()
        for ground in self.grounds:
            numbers, objects = np.unique(ground.detections.raster, return_counts=True)
            for number, count in zip(numbers.tolist(), objects.tolist(), strict=True):
                counts[ground.rasters[number]] += count
        return {name: count for name, count in counts.most_common() if count}

    @property
    def blank(self) -> dict[str, float]:
        """Fraction of the imagery that is blank by raster, without zeros."""
        fractions = {raster.raster: raster.blank_fraction for raster in self.coverage}
        return {name: fraction for name, fraction in fractions.items() if fraction}

    @property
    def truncated(self) -> int:
        """Number of objects that the edge of the imagery cuts."""
        return sum(int(ground.detections.truncated.sum()) for ground in self.grounds)

    @property
    def area_m2(self) -> float:
        """Sum of the ground areas of the objects, without those of unknown size."""
        return float(sum(np.nansum(ground.measures["area_m2"]) for ground in self.grounds))

    @property
    def outlines(self) -> int:
        """Number of objects whose outline is known."""
        missing = (shapely.is_missing(ground.detections.outlines) for ground in self.grounds)
        return len(self) - sum(int(rows.sum()) for rows in missing)

    @property
    def area_title(self) -> str:
        """Title of ``area_m2``."""
        return "Area of their outlines" if self.outlines else "Area of their boxes"

    def display_rows(self) -> Rows:
        """Return what ``geodetect predict`` prints."""
        summary = self.summary
        yield "Detected", list_class_counts(self.by_class)
        if self.area_m2:
            yield self.area_title, f"{self.area_m2:,.0f} m²"
        yield (
            "Rasters",
            list_names((name for ground in self.grounds for name in ground.rasters), limit=3),
        )
        yield "CRS", "pixels" if self.crs is None else self.crs.name
        yield "Tiles", f"{summary.tiles:,} searched, {summary.empty_tiles:,} without imagery"
        if summary.resumed_tiles:
            yield "From an earlier run", f"{summary.resumed_tiles:,} tiles"
        if self.blank:
            blank = (f"{fraction:.1%} of {name}" for name, fraction in self.blank.items())
            yield "Blank imagery", list_names(blank, limit=3)
        yield "Time", format_duration(summary.seconds)
        yield from (("Left out", message) for message in summary.left_out.values())

    def __len__(self) -> int:
        return sum(map(len, self.grounds))

    def chunks(self) -> Iterator[gpd.GeoDataFrame]:
        """Yield the detection table in chunks; one empty chunk if there are no objects."""
        first_id = 1
        if not len(self):
            columns = self.grounds[0].table().columns if self.grounds else COLUMNS
            yield empty_table(self.crs, columns)
        for ground in self.grounds:
            for rows in row_slices(len(ground)):
                chunk = ground.table(rows, first_id=first_id)
                yield chunk if self.crs is None else _reproject_table(chunk, self.crs)
            first_id += len(ground)

    def check(self) -> None:
        """Raise the errors of ``table``, without keeping a table.

        Raises:
            GeoreferenceError: A corner has no place in the CRS of the layer.
        """
        for ground in self.grounds:
            if self.crs and ground.crs and not same_crs(ground.crs, self.crs):
                for rows in row_slices(len(ground)):
                    _reproject_table(ground.table(rows), self.crs)

    def table(self) -> gpd.GeoDataFrame:
        """Return the detection table of all objects, see ``GroundDetections.table``.

        Raises:
            GeoreferenceError: A corner has no place in the CRS of the layer.
        """
        chunks = list(self.chunks())
        columns = {
            name: np.concatenate([chunk[name].to_numpy() for chunk in chunks])
            for name in chunks[0].columns.drop("geometry")
        }
        geometry = np.concatenate([np.asarray(chunk.geometry.array) for chunk in chunks])
        return _table(columns, geometry, self.crs)


def canonical_order(detections: Detections) -> IntArray:
    """Return the row numbers from top to bottom and left to right, ties broken by the rest."""
    x1, y1, x2, y2 = detections.boxes.T
    rest = (detections.truncated, -detections.scores, detections.labels)
    return np.lexsort((*rest, x2, y2, x1, y1))


def empty_table(crs: CRS | None = None, columns: Iterable[str] = COLUMNS) -> gpd.GeoDataFrame:
    """Return a table without rows, with its columns and their types."""
    names = [name for name in columns if name in DTYPES]
    return _table({name: [] for name in names}, np.empty(0, dtype=object), crs)


def _reproject_table(table: gpd.GeoDataFrame, crs: CRS) -> gpd.GeoDataFrame:
    """Return a table in another CRS; sizes stay those measured in the raster's CRS."""
    geometry = reproject(np.asarray(table.geometry.array), table.crs, crs)
    return table.set_geometry(gpd.array.from_shapely(geometry, crs=crs))


def _table(columns: dict[str, Any], geometry: AnyArray, crs: CRS | None) -> gpd.GeoDataFrame:
    typed = {
        name: pd.Series(columns[name], dtype=dtype)
        for name, dtype in DTYPES.items()
        if name in columns
    }
    return gpd.GeoDataFrame(typed, geometry=gpd.array.from_shapely(geometry, crs=crs))
