"""Rasters and labels to a data set of image chips, for training elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from rasterio.errors import RasterioError

from geodetect.chips.annotation_formats import LABEL_FORMATS, LabelledChip
from geodetect.chips.cutting import Cutter, Sheet, cut_chips, open_sheets
from geodetect.errors import GeodetectError, GeoreferenceError, LabelError, OutputError, error_text
from geodetect.geo.crs import WGS84
from geodetect.geo.reproject import reproject
from geodetect.io.atomic import write_atomically
from geodetect.io.labels.label_set import LabelOptions, LabelSet, MapLabels
from geodetect.io.labels.read import read_labels
from geodetect.io.vector import write as vector
from geodetect.progress import Progress, no_progress
from geodetect.settings import ChipSettings
from geodetect.types import PathLike

INDEX = "chips.geojson"


@dataclass(frozen=True)
class ExportSummary:
    """What an export wrote.

    Args:
        output: The folder.
        classes: Names of the classes, in the order of their numbers.
        chips: Number of chips.
        empty_chips: Chips without objects among them.
        boxes: Boxes on all chips; an object on two overlapping chips has two.
        truncated_boxes: Boxes cut by the edge of their chip among them.
        labels: Objects in the labels.
        labels_on_rasters: Objects that share ground with a raster among them.
        labels_exported: Objects with at least one box among them.
    """

    output: Path
    classes: tuple[str, ...]
    chips: int
    empty_chips: int
    boxes: int
    truncated_boxes: int
    labels: int
    labels_on_rasters: int
    labels_exported: int


def export_chips(
    rasters: PathLike | Sequence[PathLike],
    labels: PathLike | Sequence[PathLike] | gpd.GeoDataFrame,
    output: PathLike,
    *,
    settings: ChipSettings | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> ExportSummary:
    """Cut rasters and their labels into a data set of chips.

    Every chip has ``chip_px`` columns and rows (unless the raster has fewer): the last ones are
    moved inwards, so they overlap their neighbours more. A box is kept, clipped to the chip, when
    at least ``settings.min_visible`` of its area lies in the chip and on valid pixels. A chip with
    less than that of an object is neither an example of it nor of its absence, and is left out, as
    are chips without any valid pixel.

    Images are ``RASTER_x00512_y01024.png``, with the offset in pixels of the raster at the
    resolution of the chips, and carry their georeference: GeoTIFF inside, PNG and JPEG in a world
    file and, with the CRS, in an ``.aux.xml`` of GDAL. Pixels are 8-bit; other rasters are
    stretched as for detection. ``chips.geojson`` has the footprints of all chips. The folder
    appears complete or not at all.

    Args:
        rasters: Files, folders of rasters or URLs; one or several.
        labels: Label files of any kind (``geodetect.io.labels.read.read_labels``), or a table with
            ``class`` and polygons.
        output: Folder to make.
        settings: See ``ChipSettings``.
        overwrite: Replace the folder, if it is one of chips.
        progress: Told how many chips are done.

    Returns:
        What was written.

    Raises:
        InputError: Options or files that cannot be used, or nothing to write.
        OutputError: The folder is in use, or cannot be written.
    """
    settings = settings or ChipSettings()
    if Path(output).is_file():
        raise OutputError(f"{output} is a file; choose another `output`")
    try:
        with write_atomically(Path(output), overwrite=overwrite, marker=INDEX) as folder:
            folder.mkdir()
            label_set = _label_set(
                labels,
                LabelOptions(
                    settings.class_field, crs=settings.labels_crs, point_size_m=settings.point_size
                ),
            )
            classes = label_set.classes
            sheets = open_sheets(rasters, label_set, settings)
            cut = Cutter(folder / LABEL_FORMATS[settings.format].images, settings, classes)
            chips = cut_chips(sheets, cut, progress)
            if not chips:
                raise _nothing_to_write(sheets, label_set)
            LABEL_FORMATS[settings.format].write(folder, chips, classes)
            _write_index(folder, chips, images=cut.images.name)
    except GeodetectError:
        raise
    except (OSError, RasterioError) as error:
        raise OutputError(
            f"cannot write {output}: {error_text(error)}; choose another `output`"
        ) from error
    return _summary(Path(output), classes, chips, sheets=sheets, labels=len(label_set))


def _label_set(
    labels: PathLike | Sequence[PathLike] | gpd.GeoDataFrame, options: LabelOptions
) -> LabelSet:
    if not isinstance(labels, gpd.GeoDataFrame):
        found = read_labels(labels, options)
        found.warn_of_changes()
        return found
    if labels.crs is None:
        raise GeoreferenceError("the labels have no CRS; set `labels_crs`")
    names, rows = np.asarray(labels["class"], dtype=object), np.arange(len(labels))
    geometries = np.asarray(labels.geometry, dtype=object)
    return LabelSet((MapLabels("table", geometries, names, rows, labels.crs),))


def _nothing_to_write(sheets: Sequence[Sheet], labels: LabelSet) -> LabelError:
    near = len({row for sheet in sheets for row in sheet.rows.tolist()})
    if not len(labels):
        first, *others = [source.source for source in labels.sources]
        more = f" and {len(others)} more label files hold" if others else " holds"
        return LabelError(
            f"{first}{more} no objects, so no chip has any; set `labels` to another file, or "
            f"set `empty` to inf to cut all chips without objects"
        )
    if not near:
        return LabelError(
            f"none of the {len(labels)} labels lies on the rasters; see that both show the same "
            f"place, and set `labels_crs` if their file states a wrong CRS"
        )
    return LabelError(
        f"{near} of {len(labels)} labels lie on the rasters and none of them is visible enough for "
        f"a chip; lower `min_visible`, or set `empty` to inf to keep chips without objects"
    )


def _write_index(folder: Path, chips: Sequence[LabelledChip], *, images: str) -> None:
    """``chips.geojson``: footprints of all chips on WGS 84."""
    footprints = [
        reproject(
            shapely.polygons(chip.grid.boxes_to_map(chip.grid.box)), chip.grid.crs or WGS84, WGS84
        )[0]
        for chip in chips
    ]
    columns = {
        "image": [f"{images}/{chip.image}" for chip in chips],
        "raster": [chip.raster for chip in chips],
        "x0": [chip.x0 for chip in chips],
        "y0": [chip.y0 for chip in chips],
        "width": [chip.grid.width for chip in chips],
        "height": [chip.grid.height for chip in chips],
        "objects": [len(chip.labels) for chip in chips],
    }
    table = gpd.GeoDataFrame(pd.DataFrame(columns), geometry=footprints, crs=WGS84)
    vector.write(table, folder / INDEX)


def _summary(
    output: Path,
    classes: tuple[str, ...],
    chips: Sequence[LabelledChip],
    *,
    sheets: Sequence[Sheet],
    labels: int,
) -> ExportSummary:
    return ExportSummary(
        output,
        classes,
        chips=len(chips),
        empty_chips=sum(len(chip.labels) == 0 for chip in chips),
        boxes=sum(len(chip.labels) for chip in chips),
        truncated_boxes=sum(int(chip.truncated.sum()) for chip in chips),
        labels=labels,
        labels_on_rasters=len({row for sheet in sheets for row in sheet.rows.tolist()}),
        labels_exported=len({row for chip in chips for row in chip.rows.tolist()}),
    )
