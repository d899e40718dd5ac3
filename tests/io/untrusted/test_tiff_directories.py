"""TIFF files whose list of masks and overviews is damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from rasterio.enums import Resampling

from geodetect.errors import GeodetectWarning
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.untrusted.tiff_directories import has_damaged_directories
from tests.conftest import Save

PIXELS = np.random.default_rng(0).integers(0, 255, (3, 90, 90)).astype(np.uint8)
MASK = np.repeat([0, 255], 45).astype(np.uint8)[:, None].repeat(90, 1)


@pytest.fixture(params=["NO", "YES"])
def masked(request: pytest.FixtureRequest, save: Save) -> Path:
    overviews = ([2, 4], Resampling.average)
    options = {"bigtiff": request.param, "endianness": "BIG" if request.param == "NO" else "LITTLE"}
    return save(PIXELS, mask=MASK, overviews=overviews, **options)


def _link_position(content: bytes) -> tuple[int, str]:
    """Return the position and format of the offset of the second directory."""
    order = "<" if content[:2] == b"II" else ">"
    if struct.unpack_from(f"{order}H", content, 2)[0] == 42:
        first = struct.unpack_from(f"{order}I", content, 4)[0]
        return first + 2 + 12 * struct.unpack_from(f"{order}H", content, first)[0], f"{order}I"
    first = struct.unpack_from(f"{order}Q", content, 8)[0]
    return first + 8 + 20 * struct.unpack_from(f"{order}Q", content, first)[0], f"{order}Q"


def test_whole_files_are_not_damaged(masked: Path, save: Save) -> None:
    assert not has_damaged_directories(masked)
    assert not has_damaged_directories(save(PIXELS, "a.png", driver="PNG"))


@pytest.mark.parametrize("damage", ["beyond the end", "loop"])
def test_a_lost_mask_directory_is_warned_of(damage: str, masked: Path) -> None:
    content = bytearray(masked.read_bytes())
    position, code = _link_position(content)
    target = len(content) + 999 if damage == "beyond the end" else struct.unpack_from(
        code, content, 8 if code.endswith("Q") else 4)[0]  # fmt: skip
    struct.pack_into(code, content, position, target)
    masked.write_bytes(content)
    with pytest.warns(GeodetectWarning, match=r"scene\.tif: the list of its masks and overviews"):
        open_raster(masked)


def test_a_file_that_is_cut_off_inside_its_last_directory_is_damaged(masked: Path) -> None:
    content = masked.read_bytes()
    position, code = _link_position(content)
    second = struct.unpack_from(code, content, position)[0]
    masked.write_bytes(content[: second + 20])
    assert has_damaged_directories(masked)
