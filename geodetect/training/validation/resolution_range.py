"""Imitation of coarser imagery, to find the coarsest ground resolution that a model works on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from geodetect.detection.detections import Detections
from geodetect.detection.detectors.detector import Detector
from geodetect.training.data.augmentation import coarsen
from geodetect.types import BoolArray, UInt8Array

FACTORS = (1.5, 2.0, 2.5, 3.0)  # of the pixel size; ``predict`` refuses much coarser rasters
MIN_F1_FRACTION = 0.95  # of the F1 on imagery as it is


class CoarseImageryDetector:
    """Detector on imagery that is shrunk and enlarged again, as if its pixels were larger.

    ``predict`` does the same to coarser rasters, which it reads at the model's resolution.

    Args:
        detector: Detector to run on the coarse imagery.
        factor: Pixel size to imitate over that of the imagery.
    """

    def __init__(self, detector: Detector, factor: float) -> None:
        self.card = detector.card
        self.factor = factor
        self._detector = detector

    def __call__(self, pixels: UInt8Array, valid: BoolArray) -> Sequence[Detections]:
        """Run the detector, see ``Detector``."""
        coarse = [coarsen(torch.from_numpy(image), self.factor).numpy() for image in pixels]
        return self._detector(np.stack(coarse) * valid[:, None], valid)
