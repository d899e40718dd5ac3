"""Summed-area table (Crow 1984): fractions of a mask in many boxes, each in constant time."""

from __future__ import annotations

import numpy as np

from geodetect.types import BoolArray, FloatArray


class SummedAreaTable:
    """Counts of the pixels of a mask above and left of each pixel corner.

    Args:
        mask: ``bool[H, W]``.
    """

    def __init__(self, mask: BoolArray) -> None:
        self._sums = np.pad(mask.cumsum(0, np.int64).cumsum(1), ((1, 0), (1, 0)))

    def fractions(self, boxes: FloatArray) -> FloatArray:
        """Return the fraction of the mask among the pixels that each box touches.

        Args:
            boxes: ``float64[N, 4]`` in pixel edges; pixels beyond the mask do not count.

        Returns:
            ``float64[N]`` in 0..1; 0 for a box that touches no pixel.
        """
        height, width = (n - 1 for n in self._sums.shape)
        low = np.clip(np.floor(boxes[:, :2]), 0, [width, height]).astype(int)
        high = np.clip(np.ceil(boxes[:, 2:]), 0, [width, height]).astype(int)
        (x1, y1), (x2, y2) = low.T, high.T
        count = self._sums[y2, x2] - self._sums[y1, x2] - self._sums[y2, x1] + self._sums[y1, x1]
        return np.asarray(count / np.maximum((high - low).prod(axis=1), 1))
