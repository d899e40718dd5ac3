"""Detectors: objects that detect in the pixels of tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from geodetect.detection.detections import Detections
from geodetect.errors import InputError, translate_errors
from geodetect.geo.polygons import as_polygons
from geodetect.model.card import ModelCard, new_card
from geodetect.types import BoolArray, ObjectArray, UInt8Array

SCORE_ROUNDING = 1e-5  # largest excess over 1 of a sum of float32
TileFunction = Callable[[UInt8Array], tuple[Any, Any, Any] | tuple[Any, Any, Any, Any]]


class Detector(Protocol):
    """Anything that detects objects; ``geodetect.predict`` takes any such object as its model.

    It may have further attributes: ``batch_size``, the tiles it prefers in one call; ``streams``,
    the calls it takes in parallel from different threads (by default one at a time);
    ``bytes_per_px``, the memory it takes for each pixel of a tile in progress; ``identity``, a text
    that changes with whatever changes its results, which a journal needs; ``has_outlines``, True if
    it returns outlines, None if that is not known yet.
    """

    @property
    def card(self) -> ModelCard:
        """Card with its classes, its ground resolution and its default thresholds."""

    def __call__(self, pixels: UInt8Array, valid: BoolArray) -> Sequence[Detections]:
        """Detect objects in a batch of tiles.

        Args:
            pixels: ``uint8[B, C, H, W]``; 0 where not valid.
            valid: ``bool[B, H, W]`` False outside the imagery.

        Returns:
            Detections of each tile, boxes in pixel edges of the tile.
        """


class CallableDetector:
    """Function of one image as a detector: YOLO or anything else.

    Args:
        fn: Takes ``uint8[C, H, W]`` (0 outside the imagery) and returns boxes ``[N, 4]`` x1, y1,
            x2, y2 in pixel edges of the image, scores ``[N]`` in 0..1 and labels ``[N]``, indices
            into ``classes``; as lists, arrays or tensors on the CPU. A fourth value may give the
            outline of each object: a polygon of shapely, vertices ``[K, 2]``, or None.
        classes: Class names; a single one may be a text.
        gsd_m: Ground size of the pixels that it expects, in metres; None: the raster's pixels.
        name: Name in summaries.
        bands: Names of its channels; None: any number of bands. It then gets red, green and blue
            where the raster names them, else all but alpha.
        object_size_m: Smallest, typical and largest long side of its objects in metres: the
            largest decides the overlap of tiles.
        tile_px: Side of its images in pixels, unless ``tile_size`` is set.
        identity: Text that changes with whatever changes its results; needed for a journal.
    """

    def __init__(
        self,
        fn: TileFunction,
        classes: str | Sequence[str] = ("thing",),
        gsd_m: float | None = None,
        *,
        name: str = "callable",
        bands: Sequence[str] | None = None,
        object_size_m: tuple[float, float, float] | None = None,
        tile_px: int = 512,
        identity: str | None = None,
    ) -> None:
        self._fn = fn
        self.has_outlines: bool | None = None  # until the function has returned some or none
        self.identity = identity
        self.card = new_card(
            name=name,
            classes=(classes,) if isinstance(classes, str) else tuple(classes),
            gsd_m=gsd_m,
            bands=None if bands is None else tuple(bands),
            object_size_m=object_size_m,
            tile_px=tile_px,
            conf=0.0,
        )

    def __call__(self, pixels: UInt8Array, valid: BoolArray) -> list[Detections]:
        """See ``Detector``; the function is called once for each tile."""
        return [self._check(self._fn(image)) for image in pixels]

    def _check(self, returned: Sequence[Any]) -> Detections:
        """Return the detections of an image; raise an InputError if they are invalid."""
        try:
            values = tuple(returned)
            *parts, outlines = values if len(values) == 4 else (*values, None)
            self.has_outlines = len(values) == 4
            boxes, scores, labels = (np.asarray(part, dtype=np.float64) for part in parts)
        except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: of tensors
            raise self._error("something else", f"({error})") from error
        shapes = boxes.shape, scores.shape, labels.shape
        n = len(scores) if scores.ndim == 1 else -1
        if shapes != ((n, 4), (n,), (n,)) and any(part.size for part in (boxes, scores, labels)):
            raise self._error("shapes", " and ".join(str(list(shape)) for shape in shapes))
        if not all(np.isfinite(part).all() for part in (boxes, scores, labels)):
            raise self._error("NaN or infinite values")
        if (boxes.reshape(-1, 4)[:, 2:] < boxes.reshape(-1, 4)[:, :2]).any():
            raise self._error("boxes with x2 < x1 or y2 < y1")
        if ((scores < 0) | (scores > 1 + SCORE_ROUNDING)).any():
            raise self._error(f"scores from {scores.min():g} to {scores.max():g}")
        classes = len(self.card.classes)
        invalid = labels[(labels < 0) | (labels >= classes) | (labels % 1 != 0)]
        if len(invalid):
            raise self._error(
                f"label {invalid[0]:g}",
                f"for {classes} classes counted from 0 (name them: classes=)",
            )
        polygons = None if outlines is None else self._check_outlines(outlines, len(scores))
        return Detections.from_arrays(boxes, np.minimum(scores, 1), labels, outlines=polygons)

    def _check_outlines(self, outlines: Any, count: int) -> ObjectArray:
        """Return the outlines of an image as polygons; raise an InputError if they are invalid."""
        message = (
            f"the detector {self.card.name!r} must return as its fourth value for each object a "
            f"polygon of shapely, vertices [K, 2] or None"
        )
        with translate_errors(message, InputError):
            polygons = as_polygons(outlines)
        if len(polygons) != count:
            raise InputError(f"{message}; found {len(polygons)} outlines of {count} objects")
        return polygons

    def _error(self, problem: str, detail: str = "") -> InputError:
        return InputError(
            f"the detector {self.card.name!r} must return boxes [N, 4] as x1, y1, x2, y2, scores "
            f"[N] in 0..1 and labels [N]; found {problem} {detail}".rstrip()
        )
