"""What finds objects in the pixels of tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geodetect.detection.detections import Detections
from geodetect.errors import InputError
from geodetect.model.card import ModelCard

TileFunction = Callable[[NDArray[np.uint8]], tuple[Any, Any, Any]]


class Detector(Protocol):
    """Anything that finds objects; ``geodetect.predict`` takes any such object as its model."""

    @property
    def card(self) -> ModelCard:
        """What it finds, at which ground resolution, and its default thresholds."""

    def __call__(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Sequence[Detections]:
        """Find the objects in a batch of tiles.

        Args:
            pixels: ``uint8[B, C, H, W]``; 0 where not valid.
            valid: ``bool[B, H, W]`` False outside the imagery.

        Returns:
            For each tile its detections, boxes in pixel edges of the tile.
        """


class CallableDetector:
    """A function of one image as a detector: bring YOLO or anything else.

    Args:
        fn: Takes ``uint8[C, H, W]`` (0 outside the imagery) and returns boxes ``[N, 4]`` x1, y1,
            x2, y2 in pixel edges of the image, scores ``[N]`` in 0..1 and labels ``[N]``, indices
            into ``classes``; as lists, arrays or tensors on the CPU.
        classes: Class names.
        gsd_m: Ground size of a pixel that it works at, in metres; None: the raster's own pixels.
        name: How it is called in summaries.
        bands: Names of the channels it takes; None: all bands of the raster.
        object_size_m: Smallest, usual and largest long side of its objects in metres: the largest
            decides the overlap of tiles.
        tile_px: Side of the images it gets, unless the settings say otherwise.
    """

    def __init__(
        self,
        fn: TileFunction,
        classes: Sequence[str] = ("thing",),
        gsd_m: float | None = None,
        *,
        name: str = "callable",
        bands: Sequence[str] | None = None,
        object_size_m: tuple[float, float, float] | None = None,
        tile_px: int = 512,
    ) -> None:
        self._fn = fn
        self.card = ModelCard(
            name=name,
            classes=tuple(classes),
            gsd_m=gsd_m,
            bands=None if bands is None else tuple(bands),
            object_size_m=object_size_m,
            tile_px=tile_px,
            conf=0.0,
        )

    def __call__(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Detections]:
        """See ``Detector``; the function is called once for each tile."""
        return [self._check(self._fn(image)) for image in pixels]

    def _check(self, found: tuple[Any, Any, Any]) -> Detections:
        """What the function returned, or a clear error."""
        try:
            boxes, scores, labels = (np.asarray(part) for part in found)
            n = scores.size
            boxes = boxes.astype(np.float64).reshape(n, 4)
            labels = labels.reshape(n).astype(np.int64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the detector {self.card.name!r} must return boxes [N, 4], scores [N] and labels "
                f"[N]; found something else ({error})"
            ) from error
        classes = len(self.card.classes)
        if n and not (labels.min() >= 0 and labels.max() < classes):
            raise InputError(
                f"the detector {self.card.name!r} returned label {int(labels.max())}, but has "
                f"{classes} classes, counted from 0; name them with classes="
            )
        if not (np.isfinite(boxes).all() and np.isfinite(scores.astype(np.float64)).all()):
            raise InputError(f"the detector {self.card.name!r} returned NaN or infinite values")
        return Detections.of(boxes, scores, labels)
