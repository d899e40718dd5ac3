"""Reader of label files and folders of any kind, recognised by their content."""

from __future__ import annotations

import os
from collections.abc import Sequence

import geopandas as gpd

from geodetect.errors import LabelError
from geodetect.io.labels.image_set import read_image_sets
from geodetect.io.labels.label_set import ImageLabels, LabelOptions, LabelSet, MapLabels
from geodetect.io.labels.vector import read_map_labels
from geodetect.io.vector.read import LayerSource
from geodetect.progress import phase


@phase("Reading the labels")
def read_labels(
    sources: LayerSource | Sequence[LayerSource], options: LabelOptions | None = None
) -> LabelSet:
    """Read labels of any kind.

    A file or folder is recognised by its content, not its name:

    - a vector file of any format, or a folder of such files: objects on a map;
    - an image data set: see ``geodetect.io.labels.image_set.read_image_sets``.

    Args:
        sources: Files and folders, and tables of objects on a map.
        options: See ``LabelOptions``; column of classes, CRS and size of points are for objects on
            a map.

    Raises:
        LabelError: A file is missing, damaged or of an unknown kind, or its content cannot be
            used; some vector files have classes and others have none.
    """
    options = options or LabelOptions()
    if isinstance(sources, str | os.PathLike | gpd.GeoDataFrame):
        sources = [sources]
    if not sources:
        raise LabelError("`labels` names no file; expected at least one")
    label_sets: list[MapLabels | ImageLabels] = []
    for source in sources:
        if isinstance(source, gpd.GeoDataFrame):
            label_sets.append(read_map_labels(source, options))
            continue
        image_sets, vector_files = read_image_sets(source, options)
        label_sets += [*image_sets, *(read_map_labels(file, options) for file in vector_files)]
    layers = [labels for labels in label_sets if isinstance(labels, MapLabels) and len(labels)]
    without = [layer for layer in layers if not layer.has_classes]
    if options.default_class is None and 0 < len(without) < len(layers):
        # both together would silently make a class "object"
        raise LabelError(
            f"{without[0].source} has no column of classes, but other label files have one; set "
            f"`class_field` to its name"
        )
    return LabelSet(tuple(label_sets))
