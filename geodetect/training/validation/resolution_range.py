"""How coarse imagery may be for a model: held-out ground, looked at through blurred glasses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from geodetect.assessment.evaluate.precision_recall import precision_recall_curve
from geodetect.detection.detections import Detections
from geodetect.detection.detector import Detector
from geodetect.training.data.augmentation import coarsen
from geodetect.training.validation.metrics import Validation
from geodetect.types import BoolArray, UInt8Array

FACTORS = (1.5, 2.0, 2.5, 3.0)  # of the pixel size; further is what ``predict`` refuses
LEAST_SHARE = 0.95  # of the F1 on imagery as it is

Measure = Callable[[float], Validation | None]  # on imagery so many times coarser


class CoarserImagery:
    """A detector that sees imagery as if its pixels were larger: shrunk, and enlarged again.

    That is what ``predict`` makes of coarser rasters, which it reads at the model's resolution.

    Args:
        detector: What looks at it.
        factor: How many times larger the pixels are than those of the images.
    """

    def __init__(self, detector: Detector, factor: float) -> None:
        self.card = detector.card
        self._detector = detector
        self._factor = factor

    def __call__(self, pixels: UInt8Array, valid: BoolArray) -> Sequence[Detections]:
        """See ``Detector``."""
        blurred = [coarsen(torch.from_numpy(image), self._factor).numpy() for image in pixels]
        return self._detector(np.stack(blurred) * valid[:, None], valid)


def coarsest_factor(measured: Validation, measure: Measure) -> float:
    """How many times coarser imagery may be before F1 falls by more than a twentieth.

    Args:
        measured: On imagery as it is.
        measure: Measures on coarser imagery, at the same threshold and calibration.

    Returns:
        The last of ``FACTORS`` before that; 1.0: none.
    """
    least = LEAST_SHARE * _f1(measured, measured.conf)
    good = 1.0
    for factor in FACTORS:
        coarser = measure(factor)
        if coarser is None or _f1(coarser, measured.conf) < least:
            break
        good = factor
    return good


def _f1(measured: Validation, conf: float) -> float:
    return float(precision_recall_curve(measured.matches).at(conf).f1)
