"""Doubts about a holdout: ground that the model knows, or that lies beside training ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import geopandas as gpd
import numpy as np
import shapely

from geodetect.geo import boxes as box_ops
from geodetect.geo.crs import WGS84, horizontal_crs, transformer_between
from geodetect.model.card import ModelCard
from geodetect.model.trained_ground import are_on_trained_ground, ground_as_text
from geodetect.settings import TrainSettings
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.data.twin_images import count_twins
from geodetect.types import FloatArray

NEAR_OBJECTS = 3.0  # lengths of an object from training ground, at which the scene is the same
MAX_LEARNT = 0.02  # fraction of held-out objects: areas are recorded to a metre
LEAST_OBJECTS = 10
LEAST_PARTS = 5  # of a holdout that is scattered over the scene
METRES_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6,371 km: right to 1 %


def list_holdout_doubts(
    rasters: Sequence[TrainingRaster],
    split: gpd.GeoDataFrame,
    settings: TrainSettings,
    *,
    start: ModelCard | None,
) -> Iterator[str]:
    """Yield messages about a validation that may be better than that of other ground.

    The blocks of ``val_share``, and a few areas that the user chose, are large: that they lie
    beside training ground is not doubted.

    Args:
        rasters: All rasters of the training and its validation.
        split: Their ``split_table``.
        settings: Settings of the training.
        start: Card of the model that the training starts from; None: it starts from none.
    """
    is_chosen = settings.val_aoi is not None or settings.val_rasters is not None
    if is_chosen:
        yield from _list_twin_doubts([r for r in rasters if r.grid.crs is None])
    held_out = [r for r in rasters if r.grid.crs is not None and r.is_held_out.any()]
    count = sum(int(raster.is_held_out.sum()) for raster in held_out)
    if count < LEAST_OBJECTS:
        return
    if start is not None:
        learnt = sum(_count_learnt(raster, start) for raster in held_out)
        if learnt > MAX_LEARNT * count:
            yield (
                f"{learnt:,} of {count:,} held-out objects lie on ground that the start "
                f"{start.name} was trained on, so that the validation is better than on other "
                f"ground: hold out what it was not trained on, with `val_aoi` or `val_rasters`"
            )
    if is_chosen and (split["role"] == "validation").sum() >= LEAST_PARTS:
        ground = shapely.union_all(split.geometry[split["role"] == "train"].dropna())
        distances_m = np.concatenate([_distances_m(raster, ground) for raster in held_out])
        near_m = float(np.median(distances_m))
        lengths_m = np.concatenate([r.sizes_m.max(axis=1)[r.is_held_out] for r in held_out])
        if near_m < NEAR_OBJECTS * float(np.median(lengths_m)):
            yield (
                f"half of {count:,} held-out objects lie within {near_m:.0f} m of training ground, "
                f"as where tiles of one scene are split at random, so that the validation is "
                f"better than on other ground: hold out one whole area with `val_aoi`, or rasters "
                f"of another place with `val_rasters`"
            )


def _list_twin_doubts(images: Sequence[TrainingRaster]) -> Iterator[str]:
    """Yield a message if images without georeference that are held out show training ground."""
    held_out = [image for image in images if image.is_held_out.any()]
    count = sum(int(image.is_held_out.sum()) for image in held_out)
    if count < LEAST_OBJECTS:
        return
    twins = count_twins([image for image in images if image.is_trainable.any()], held_out)
    if twins > MAX_LEARNT * count:
        yield (
            f"about {twins:,} of {count:,} held-out objects are shown by training images, too, as "
            f"where tiles of one scene overlap and are split at random, so that the validation is "
            f"better than on other ground: name images of another place as `val_rasters`"
        )


def trained_ground(split: gpd.GeoDataFrame, start: ModelCard | None) -> str:
    """Return the ground that a training and its start have learnt from, as a card records it.

    Args:
        split: ``split_table`` of the training.
        start: Card of the model that it starts from; None: it starts from none.
    """
    areas = split.geometry[split["role"] == "train"].dropna().to_list()
    if start is not None and start.training.ground:
        areas.append(shapely.make_valid(shapely.from_wkt(start.training.ground)))
    return ground_as_text(np.array(areas, dtype=object))


def _held_out_centres(raster: TrainingRaster) -> FloatArray:
    """Return the centres of held-out objects in the CRS of the raster, ``float64[N, 2]``."""
    return raster.grid.to_map(box_ops.centres(raster.clipped_boxes[raster.is_held_out]))


def _count_learnt(raster: TrainingRaster, start: ModelCard) -> int:
    assert raster.grid.crs is not None
    return int(are_on_trained_ground(start, _held_out_centres(raster), raster.grid.crs).sum())


def _distances_m(raster: TrainingRaster, ground: shapely.Geometry) -> FloatArray:
    """Return the distances of held-out objects to the training ground, ``float64[N]`` metres."""
    assert raster.grid.crs is not None
    transformer = transformer_between(horizontal_crs(raster.grid.crs), WGS84)
    points = np.stack(transformer.transform(*_held_out_centres(raster).T), axis=1)
    scale = METRES_PER_DEGREE * np.array([np.cos(np.radians(points[:, 1].mean())), 1.0])
    local = shapely.transform(ground, lambda corners: corners * scale)
    return np.asarray(shapely.distance(shapely.points(points * scale), local))
