"""Truth in pixels of images, such as COCO or YOLO, brought to the rasters that a model runs on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine

from geodetect.detection.detection_layer import DetectionLayer
from geodetect.errors import GeodetectWarning, InputError, list_names
from geodetect.geo import boxes as box_ops
from geodetect.geo.crs import horizontal_crs
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import reproject
from geodetect.io.labels.image_set import read_image_sets
from geodetect.io.labels.label_set import ImageLabels, LabelOptions, LabelSet
from geodetect.io.labels.placement import check_placement, place_labels
from geodetect.io.raster.open_raster import name_rasters, open_raster
from geodetect.io.raster.reader import Raster, RasterOptions
from geodetect.io.sources.find import find_rasters, without_repetitions
from geodetect.io.vector.read import LayerSource
from geodetect.settings import PredictSettings
from geodetect.types import FloatArray, PathLike

GAP_PX = 10_000.0  # between images in pixel coordinates that are laid side by side


@dataclass(frozen=True)
class ImageTruth:
    """Labelled images and the rasters that they are.

    Args:
        labels: The labels.
        rasters: The rasters; closed.
    """

    labels: LabelSet
    rasters: tuple[Raster, ...]

    @property
    def in_pixels(self) -> bool:
        """True if the rasters have no georeference."""
        return self.rasters[0].grid.crs is None

    @property
    def offsets_px(self) -> FloatArray:
        """Distance of each raster from the first, ``float64[R]``: 0 for those on the map."""
        if not self.in_pixels:
            return np.zeros(len(self.rasters))
        widths = [raster.grid.width + GAP_PX for raster in self.rasters]
        return np.cumsum([0.0, *widths[:-1]])

    def table(self) -> gpd.GeoDataFrame:
        """Return the objects on the rasters, in the CRS of the first one.

        Returns:
            ``class``, ``raster`` (file name), ``truth_row`` (row in the data set, counted from 0),
            and ``geometry``: the box, or the outline where it is labelled, clipped to the raster.
        """
        labelled = place_labels(self.labels, self.rasters)
        check_placement(self.labels, labelled)
        crs = self.rasters[0].grid.crs
        crs = crs and horizontal_crs(crs)
        rows_in_sets = np.concatenate([source.rows for source in self.labels.sources])
        tables = []
        for raster, offset_px in zip(labelled, self.offsets_px, strict=True):
            boxes = box_ops.clip(raster.boxes, raster.grid.box)
            is_visible = box_ops.area(boxes) > 0
            grid = shift_grid(raster.grid, offset_px)
            geometry = shapely.polygons(grid.boxes_to_map(boxes[is_visible]))
            if raster.outlines is not None:
                outlines = shapely.clip_by_rect(raster.outlines[is_visible], *raster.grid.box)
                is_outline = shapely.area(outlines) > 0  # False for None
                geometry[is_outline] = shapely.transform(outlines[is_outline], grid.to_map)
            if crs is not None and grid.crs is not None:
                geometry = reproject(geometry, horizontal_crs(grid.crs), crs)
            columns = {
                "class": raster.class_names[is_visible],
                "raster": raster.raster.name,
                "truth_row": rows_in_sets[raster.ids[is_visible]],
            }
            tables.append(gpd.GeoDataFrame(columns, geometry=geometry, crs=crs))
        return gpd.GeoDataFrame(pd.concat(tables, ignore_index=True), crs=crs)

    def predict_settings(self, settings: PredictSettings) -> PredictSettings:
        """Return the settings for a run on the rasters: images in pixels are used as they are."""
        if not self.in_pixels:
            return settings
        return settings.model_copy(update={"pixel_coords": True, "gsd": None})

    def lay_side_by_side(self, layer: DetectionLayer) -> DetectionLayer:
        """Return the detections of a run on the rasters with a place for each, as in ``table``."""
        return replace(
            layer,
            grounds=tuple(
                replace(part, grid=shift_grid(part.grid, offset_px))
                for part, offset_px in zip(layer.grounds, self.offsets_px, strict=True)
            ),
            coverage=tuple(
                replace(part, grid=shift_grid(part.grid, offset_px))
                for part, offset_px in zip(layer.coverage, self.offsets_px, strict=True)
            ),
        )

    def move_back(self, table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """Return a table in the pixels of each image."""
        if not self.in_pixels or not len(table):
            return table
        edges = self.offsets_px - GAP_PX / 2
        left = shapely.bounds(np.asarray(table.geometry))[:, 0]
        offsets = self.offsets_px[np.searchsorted(edges, left, side="right") - 1]
        points, rows = shapely.get_coordinates(np.asarray(table.geometry), return_index=True)
        points[:, 0] -= offsets[rows]
        geometry = shapely.set_coordinates(np.array(table.geometry, dtype=object), points)
        return table.set_geometry(geometry, crs=table.crs)


def read_image_truth(
    truth: Sequence[LayerSource], rasters: PathLike | Sequence[PathLike], settings: PredictSettings
) -> tuple[ImageTruth | None, list[LayerSource]]:
    """Read labels in pixels of images, as a training takes them.

    Args:
        truth: Files, data sets and tables.
        rasters: Files, folders of rasters or URLs.
        settings: Bands and CRS of the rasters.

    Returns:
        Labelled images, None if there are none, and the vector files and tables.

    Raises:
        LabelError: A file or folder cannot be used as labels.
        InputError: Labels of both kinds, or rasters with and without georeference.
    """
    image_sets: list[ImageLabels] = []
    layers: list[LayerSource] = []
    for source in truth:
        if isinstance(source, gpd.GeoDataFrame):
            layers.append(source)
            continue
        sets, files = read_image_sets(source, LabelOptions())
        image_sets += sets
        layers += files
    if not image_sets:
        return None, layers
    if layers:
        raise InputError(
            f"`truth` names both labels in pixels of images ({image_sets[0].source}) and layers "
            f"on the map ({list_names(map(_source_name, layers))}); expected one kind"
        )
    label_set = LabelSet(tuple(image_sets))
    label_set.warn_of_changes()
    options = RasterOptions(
        settings.bands,
        settings.value_range,
        settings.src_crs,
        external_sources=settings.external_sources,
        pixels_allowed=True,
    )
    paths = without_repetitions(find_rasters(rasters))
    opened = tuple(open_raster(path, options) for path in paths)
    name_rasters(opened)
    in_pixels = [raster.path for raster in opened if raster.grid.crs is None]
    if 0 < len(in_pixels) < len(opened):
        raise InputError(
            f"{len(in_pixels)} of {len(opened)} rasters have no georeference "
            f"({list_names(in_pixels)}), the others have one; evaluate them one kind at a time"
        )
    if in_pixels and settings.gsd is None:
        warnings.warn(
            f"{list_names(in_pixels)}: no georeference, so the images are used as they are, as if "
            f"at the resolution of the model; set `gsd` if it is known to fit",
            GeodetectWarning,
            stacklevel=3,
        )
    return ImageTruth(label_set, opened), []


def shift_grid(grid: Grid, offset_px: float) -> Grid:
    """Return a grid whose coordinates are moved to the right."""
    if not offset_px:
        return grid
    return replace(grid, transform=Affine.translation(offset_px, 0) @ grid.transform)


def _source_name(source: LayerSource) -> str:
    return "a table" if isinstance(source, gpd.GeoDataFrame) else os.fspath(source)
