"""Export of rasters and labels as a data set of image chips, for training elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import geopandas as gpd
import numpy as np
import pandas as pd

from geodetect.chips.annotation_formats import ANNOTATION_FORMATS, LabelledChip
from geodetect.chips.cutting import cut_chips, open_sources
from geodetect.display import Displayed, Rows
from geodetect.errors import GeodetectError, LabelError, OutputError, error_text, list_names
from geodetect.geo.crs import WGS84
from geodetect.geo.polygons import has_holes
from geodetect.geo.reproject import reproject
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.atomic import final_path, write_atomically
from geodetect.io.inputs import check_not_read_next, protect_inputs
from geodetect.io.labels.label_set import LabelOptions, LabelSet
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.georeference import GDAL_ERRORS
from geodetect.io.sources.find import find_rasters
from geodetect.io.vector import write as vector
from geodetect.io.vector.read import LayerSource
from geodetect.progress import Progress, announce, as_progress, phase, reports_progress
from geodetect.settings import ChipSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import ChipKeywords
from geodetect.types import PathLike, RasterSource

INDEX = "chips.geojson"


@dataclass(frozen=True, repr=False)
class ExportSummary(Displayed):
    """Counts of an export.

    Args:
        output: The folder.
        classes: Class names, in the order of their ids.
        chips: Number of chips.
        empty_chips: Number of chips without objects.
        boxes: Number of boxes on all chips; an object on two overlapping chips has two.
        truncated_boxes: Number of boxes cut by the edge of their chip.
        labels: Number of objects in the labels.
        labels_on_imagery: Number of objects that overlap a raster.
        labels_exported: Number of objects with at least one box.
    """

    output: Path
    classes: tuple[str, ...]
    chips: int
    empty_chips: int
    boxes: int
    truncated_boxes: int
    labels: int
    labels_on_imagery: int
    labels_exported: int

    def display_rows(self) -> Rows:
        """Return the folder, and what it holds."""
        yield "Folder", str(self.output)
        yield "Classes", list_names(self.classes)
        yield "Chips", f"{self.chips:,}, {self.empty_chips:,} without objects"
        yield "Boxes", f"{self.boxes:,}, {self.truncated_boxes:,} cut by the edge of their chip"
        yield "Labels", f"{self.labels:,}, {self.labels_exported:,} of them on a chip"


@takes_settings(ChipSettings)
@reports_progress
def export_chips(
    rasters: RasterSource | Sequence[RasterSource],
    labels: LayerSource | Sequence[LayerSource],
    output: PathLike,
    *,
    settings: ChipSettings | Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | bool = False,
    **keywords: Unpack[ChipKeywords],
) -> ExportSummary:
    """Cut rasters and their labels into a data set of chips.

    Every chip has ``tile_size`` columns and rows (unless the raster has fewer): the last ones are
    moved inwards, so they overlap their neighbours more. A box is kept, clipped to the chip, when
    at least ``settings.min_visible`` of its area lies in the chip and on valid pixels. Chips on
    which objects lie, but none is kept, are left out, as they are neither positive nor negative
    examples; so are chips without any valid pixel.

    Images are ``RASTER_x00512_y01024.png``, with the offset in pixels of the raster at the
    resolution of the chips, and carry their georeference: GeoTIFF inside, PNG and JPEG in a world
    file and, with the CRS, in an ``.aux.xml`` of GDAL. Pixels are 8-bit; other rasters are
    stretched as for detection. ``chips.geojson`` has the footprints of all chips. The folder
    appears complete or not at all.

    Args:
        rasters: Files, folders of rasters, URLs, arrays or open datasets of rasterio; one or
            several.
        labels: Label files of any kind (``geodetect.io.labels.read.read_labels``), or a table with
            ``class`` and polygons.
        output: Folder to make.
        settings: See ``ChipSettings``.
        overwrite: Replace the folder, if an export made it.
        progress: Receives the number of windows that are completed.
        keywords: Settings by name, such as ``format="yolo"``; they win over ``settings``.

    Raises:
        InputError: Files that cannot be used, or nothing to write.
        OutputError: The folder is in use, or cannot be written.
    """
    settings = ChipSettings.resolve(settings, keywords)
    rasters = as_raster_paths(rasters)
    progress = as_progress(progress)
    final = final_path(Path(output))
    if final.is_file():
        raise OutputError(f"{output} is a file; choose another `output`")
    try:
        with ExitStack() as stack:
            stack.enter_context(protect_inputs(find_rasters(rasters, quiet=True), folders=labels))
            check_not_read_next(final)
            folder = stack.enter_context(
                write_atomically(Path(output), overwrite=overwrite, marker=INDEX)
            )
            folder.mkdir()
            with phase("Reading labels and headers"):
                label_set = _read_label_set(labels, settings)
                sources = open_sources(rasters, label_set, settings)
            ids_on_rasters = {i for source in sources for i in source.labelled.ids.tolist()}
            annotation_format = ANNOTATION_FORMATS[settings.format]
            images = folder / annotation_format.images
            with phase("Cutting chips", "windows", progress=progress) as advance:
                chips = cut_chips(sources, settings, images, advance)
            if not chips:
                raise _no_chips_error(label_set, on_rasters=len(ids_on_rasters))
            outlines = [o for chip in chips for o in chip.outline_of_each if o is not None]
            if outlines and not annotation_format.holds_outlines:
                announce(
                    f"{settings.format} holds boxes only: of {len(outlines):,} outlines the boxes "
                    f"are written; `format` coco holds outlines"
                )
            elif holed := sum(map(has_holes, outlines)):
                announce(f"polygons of coco have no holes: those of {holed:,} outlines are filled")
            with phase("Writing annotations"):
                annotation_format.write(folder, chips, label_set.classes)
                _write_index(folder, chips, images=images.name)
    except GeodetectError:
        raise
    except (OSError, *GDAL_ERRORS) as error:
        raise OutputError(
            f"cannot write {output}: {error_text(error)}; choose another `output`"
        ) from error
    return ExportSummary(
        Path(output),
        label_set.classes,
        chips=len(chips),
        empty_chips=sum(len(chip.boxes) == 0 for chip in chips),
        boxes=sum(len(chip.boxes) for chip in chips),
        truncated_boxes=sum(int(chip.truncated.sum()) for chip in chips),
        labels=len(label_set),
        labels_on_imagery=len(ids_on_rasters),
        labels_exported=len({i for chip in chips for i in chip.label_ids.tolist()}),
    )


def _read_label_set(
    labels: LayerSource | Sequence[LayerSource], settings: ChipSettings
) -> LabelSet:
    options = LabelOptions(
        settings.class_field, crs=settings.labels_crs, point_size_m=settings.point_size
    )
    label_set = read_labels(labels, options)
    label_set.warn_of_changes()
    return label_set


def _no_chips_error(labels: LabelSet, *, on_rasters: int) -> LabelError:
    if not len(labels):
        first, *rest = [source.source for source in labels.sources]
        more = f" and {len(rest)} more label files hold" if rest else " holds"
        return LabelError(
            f"{first}{more} no objects, so no chip has any; set `labels` to another file, or "
            f"set `empty` to inf to cut all chips without objects"
        )
    if not on_rasters:
        return LabelError(
            f"none of the {len(labels)} labels lies on the rasters; see that both show the same "
            f"place, and set `labels_crs` if their file states a wrong CRS"
        )
    return LabelError(
        f"{on_rasters} of {len(labels)} labels lie on the rasters and none of them is visible "
        f"enough for a chip; lower `min_visible`, or set `empty` to inf to keep chips without "
        f"objects"
    )


def _write_index(folder: Path, chips: Sequence[LabelledChip], *, images: str) -> None:
    """Write ``chips.geojson``: footprints on WGS 84 of all chips, if they have a georeference."""
    footprints = [
        None
        if chip.grid.crs is None
        else reproject(np.array([chip.grid.outline], dtype=object), chip.grid.crs, WGS84)[0]
        for chip in chips
    ]
    columns = {
        "image": [f"{images}/{chip.image}" for chip in chips],
        "raster": [chip.raster for chip in chips],
        "x0": [chip.window.x for chip in chips],
        "y0": [chip.window.y for chip in chips],
        "width": [chip.grid.width for chip in chips],
        "height": [chip.grid.height for chip in chips],
        "objects": [len(chip.boxes) for chip in chips],
    }
    table = gpd.GeoDataFrame(pd.DataFrame(columns), geometry=footprints, crs=WGS84)
    vector.write(table, folder / INDEX)
