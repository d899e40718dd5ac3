"""Selection of the anchors of a network before its training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from geodetect.errors import GeodetectWarning, InputError
from geodetect.label_check.findings import LEAST_RECALL, describe_poor_anchors
from geodetect.model.card import NetworkConfig
from geodetect.model.checkpoints.initialization import initial_model_card
from geodetect.model.network.anchor_fit import AnchorShapes, fit_anchors, recall_by_size
from geodetect.settings import TrainSettings
from geodetect.training.data.chip_sampler import SCALE_RANGE
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.types import FloatArray

DEFAULT_NETWORK = "geodetect"  # its anchors may be changed; other networks are as published
MIN_RECALL_GAIN = 0.02  # in best-possible recall, for anchors to be fitted automatically


def select_anchors(
    config: NetworkConfig,
    rasters: Sequence[TrainingRaster],
    settings: TrainSettings,
    *,
    gsd_m: float,
) -> NetworkConfig:
    """Return the network with the anchors to train it with.

    The setting ``anchors`` decides. ``default`` keeps those of the network. ``fitted`` takes
    anchors that suit the objects to train on, see ``fit_anchors``. ``auto`` takes those of the
    model that the training starts from, whose heads were trained for them; without such a model,
    fitted ones if the default ones can find less than half of the objects and fitted ones more.

    Args:
        config: The network with its default anchors.
        rasters: Labelled rasters to train on.
        settings: Settings of the training.
        gsd_m: Ground resolution of the training.

    Raises:
        InputError: ``fitted`` for another network.

    Warns:
        GeodetectWarning: The anchors can find less than half of the objects, unless labels are not
            to be checked.
    """
    is_default_network = settings.network == DEFAULT_NETWORK
    if settings.anchors == "fitted" and not is_default_network:
        raise InputError(
            f"`anchors` is fitted, but network {settings.network} has the anchors it was published "
            f"with; set `anchors` to auto, or `network` to {DEFAULT_NETWORK}"
        )
    distinct = {raster.raster.path: raster for raster in rasters}.values()
    sizes_px = np.concatenate(
        [np.empty((0, 2)), *(raster.sizes_m[raster.is_trainable] / gsd_m for raster in distinct)]
    )
    default = AnchorShapes.from_config(config)
    fitted = selected = default
    default_recall = fitted_recall = _recall(sizes_px, default)
    if default_recall < LEAST_RECALL or settings.anchors == "fitted":  # fitting takes seconds
        fitted = fit_anchors(sizes_px, default, zoom_range=SCALE_RANGE)
        fitted_recall = _recall(sizes_px, fitted)
    if settings.anchors == "fitted":
        selected = fitted
    elif settings.anchors == "auto" and is_default_network:
        card = initial_model_card(settings.init)
        if card is not None and card.network is not None:
            initial = AnchorShapes.from_config(card.network)
            selected = initial if initial.strides == default.strides else default
        elif fitted_recall - default_recall >= MIN_RECALL_GAIN:
            selected = fitted
    bins = recall_by_size(sizes_px, selected)
    if settings.check and bins and bins[-1].recall < LEAST_RECALL:
        remedy = "`anchors` to fitted" if is_default_network else f"`network` to {DEFAULT_NETWORK}"
        text = describe_poor_anchors(bins, fitted_recall, remedy=f"set {remedy}")
        warnings.warn(text, GeodetectWarning, stacklevel=3)
    changes = {"anchor_sizes_px": selected.sizes_px, "anchor_ratios": selected.ratios}
    return NetworkConfig.model_validate(config.model_dump() | changes)


def _recall(sizes_px: FloatArray, anchors: AnchorShapes) -> float:
    """Return the best-possible recall of all objects, 0..1; 1 if there are none."""
    bins = recall_by_size(sizes_px, anchors)
    return bins[-1].recall if bins else 1.0
