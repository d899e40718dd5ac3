"""Result of one tile."""

from __future__ import annotations

from dataclasses import dataclass

from geodetect.detection.detections import Detections
from geodetect.geo.tiles import Tile
from geodetect.types import BoolArray


@dataclass(frozen=True)
class TileResult:
    """Detections and imagery of one tile.

    Args:
        tile: The tile.
        detections: Boxes in pixel edges of the working grid; None: the tile holds no imagery and
            did not go through the detector.
        imagery: ``bool[rows, columns]`` True where a cell of the tile holds imagery, see
            ``ImageryMask``.
    """

    tile: Tile
    detections: Detections | None
    imagery: BoolArray
