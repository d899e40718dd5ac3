"""Which anchors a training gives its network."""

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
from geodetect.training.data.chip_sampler import SCALE_RANGE, Ground
from geodetect.types import FloatArray

OURS = "geodetect"  # the network whose anchors may be changed; others are as published
LEAST_GAIN = 0.02  # of the best-possible recall, for anchors to be fitted without being asked


def with_anchors(
    config: NetworkConfig, grounds: Sequence[Ground], settings: TrainSettings, *, gsd_m: float
) -> NetworkConfig:
    """The network with the anchors to train it with.

    ``--anchors default`` leaves its own. ``fitted`` takes those that suit the objects to train on
    better (see ``fit_anchors``). ``auto`` takes those of the model that the training starts from,
    whose heads were made for them; without such a model fitted ones, if the network's own can find
    less than half of the objects and fitted ones find more.

    Args:
        config: The network with its own anchors.
        grounds: What is trained on.
        settings: The network's name, what it starts from, and the choice.
        gsd_m: Ground resolution of the training.

    Raises:
        InputError: ``fitted`` for another network.

    Warns:
        GeodetectWarning: The anchors can find less than half of the objects, unless labels are not
            to be checked.
    """
    choice = settings.anchors
    if choice == "fitted" and settings.network != OURS:
        raise InputError(
            f"--anchors fitted: network {settings.network} has the anchors it was published with; "
            f"expected auto, or --network {OURS}"
        )
    own, sizes_px = AnchorShapes.from_config(config), _sizes_px(grounds, gsd_m)
    fitted = chosen = own
    own_recall = fitted_recall = _recall(sizes_px, own)
    if own_recall < LEAST_RECALL or choice == "fitted":  # takes seconds
        fitted = fit_anchors(sizes_px, own, zoom_range=SCALE_RANGE)
        fitted_recall = _recall(sizes_px, fitted)
    if choice == "fitted":
        chosen = fitted
    elif choice == "auto" and settings.network == OURS:
        start = initial_model_card(settings.init)
        taken = (
            None
            if start is None or start.network is None
            else AnchorShapes.from_config(start.network)
        )
        if taken is not None and taken.strides == own.strides:
            chosen = taken
        elif taken is None and fitted_recall - own_recall >= LEAST_GAIN:
            chosen = fitted
    recall = _recall(sizes_px, chosen)
    if settings.check and recall < LEAST_RECALL:
        is_ours = settings.network == OURS
        remedy = "set `anchors` to fitted" if is_ours else f"set `network` to {OURS}"
        text = describe_poor_anchors(recall, fitted_recall, remedy=remedy)
        warnings.warn(text, GeodetectWarning, stacklevel=3)
    changes = {"anchor_sizes_px": chosen.sizes_px, "anchor_ratios": chosen.ratios}
    return NetworkConfig.model_validate(config.model_dump() | changes)


def _recall(sizes_px: FloatArray, anchors: AnchorShapes) -> float:
    """Best-possible recall of all objects, 0..1; 1 if there are none."""
    bins = recall_by_size(sizes_px, anchors)
    return bins[-1].recall if bins else 1.0


def _sizes_px(grounds: Sequence[Ground], gsd_m: float) -> FloatArray:
    """``float64[N, 2]`` widths and heights of the objects to train on, in pixels there."""
    once = {ground.raster.path: ground for ground in grounds}.values()
    return np.concatenate(
        [np.empty((0, 2)), *(ground.sides_m[ground.trainable] / gsd_m for ground in once)]
    )
