"""Program that computes a planned run on a cluster: its folder, and the address of the cluster."""

from __future__ import annotations

import sys
import time

from geodetect import CallableDetector
from geodetect.detection.sharding.predict_shards import predict_shards
from geodetect.types import UInt8Array
from tests.helpers.painted_scenes import read_colours

TILE_S = 0.2


def read_slowly(image: UInt8Array) -> tuple[object, object, object]:
    """Return the painted objects of an image, after some time."""
    time.sleep(TILE_S)
    return read_colours(image)


SLOW = CallableDetector(read_slowly, identity="toy 1", tile_px=96)

if __name__ == "__main__":
    predict_shards(sys.argv[1], SLOW, engine="ray", ray_address=sys.argv[2])
