"""Sheets read as one raster: the pixels of one raster, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import example, given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterWindow
from scipy import ndimage

from geodetect.errors import RasterError
from geodetect.geo.tiles import Window
from geodetect.io.ground.ground import Ground
from geodetect.io.ground.resampling import KERNEL_PX, kernel_margin, pick_nearest, resample
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import RasterOptions
from tests.conftest import METRES, Save
from tests.helpers.sheets import cut_into_sheets

SIDE = 300


def noise(dtype: str = "uint8", bands: int = 3, side: int = SIDE) -> Any:
    return np.random.default_rng(0).integers(1, 255, (bands, side, side)).astype(dtype)


def ground_of(paths: list[Path], options: RasterOptions | None = None) -> Ground:
    return Ground.from_rasters([open_raster(path, options) for path in paths])


def windows_of(width: int, height: int, count: int = 6) -> list[Window]:
    rng = np.random.default_rng(1)
    sides = rng.integers(1, min(width, height) + 1, (count, 2)).tolist()
    return [
        Window(int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h)
        for w, h in [*sides, (width, height)]
    ]


@pytest.mark.parametrize("overlap", [0, 1, 40])
@pytest.mark.parametrize("scale", [1, 0.8, 1.25, 2, 1.2353, 0.31])
def test_sheets_of_one_raster_are_read_as_the_raster_to_the_bit(
    overlap: int, scale: float, save: Save
) -> None:
    pixels = noise()
    whole = open_raster(save(pixels, "whole.tif"))
    with ground_of(cut_into_sheets(save, pixels, overlap_px=overlap)) as ground, whole:
        assert ground.grid == whole.grid
        grid = whole.grid if scale == 1 else whole.grid.resampled(scale, scale)
        for window in windows_of(grid.width, grid.height):
            expected, read = whole.read(window, grid), ground.read(window, grid)
            np.testing.assert_array_equal(read.values, expected.values)
            np.testing.assert_array_equal(read.valid, expected.valid)


@pytest.mark.parametrize("kind", ["mask", "nodata", "alpha", "16 bit", "floats"])
@pytest.mark.parametrize("scale", [1, 0.45, 1.25])
def test_masks_and_types_of_sheets_are_those_of_the_raster(
    kind: str, scale: float, save: Save
) -> None:
    pixels, options = noise(), dict[str, Any]()
    hole = np.ones((SIDE, SIDE), bool)
    hole[40:150, 50:190] = False
    if kind == "mask":
        options["mask"] = hole
    elif kind == "nodata":
        pixels[:, ~hole] = 0
        options["nodata"] = 0
    elif kind == "alpha":
        pixels = np.concatenate([pixels, np.where(hole, 255, 0)[None].astype(np.uint8)])
        options["colours"] = [ColorInterp[c] for c in ("red", "green", "blue", "alpha")]
        options["photometric"] = "RGB"
    else:
        pixels = pixels.astype("uint16" if kind == "16 bit" else "float32") * 100
    open_options = RasterOptions(value_range=(0, 20_000)) if pixels.dtype != np.uint8 else None
    whole = open_raster(save(pixels, "whole.tif", **options), open_options)
    with ground_of(cut_into_sheets(save, pixels, **options), open_options) as ground, whole:
        grid = whole.grid.resampled(scale, scale)
        for window in windows_of(grid.width, grid.height):
            expected, read = whole.read(window, grid), ground.read(window, grid)
            np.testing.assert_array_equal(read.values, expected.values)
            np.testing.assert_array_equal(read.valid, expected.valid)
            np.testing.assert_array_equal(ground.read_valid(window, grid), expected.valid)


def test_the_first_named_sheet_with_a_valid_pixel_gives_it(save: Save) -> None:
    first, second = np.full((3, 60, 60), 50, np.uint8), np.full((3, 60, 60), 90, np.uint8)
    first[:, 20:40] = 0
    paths = [
        save(first, "a.tif", nodata=0),
        save(second, "b.tif", transform=METRES @ Affine.translation(0, 10)),
    ]
    with ground_of(paths) as ground:
        pixels = ground.read()
        assert pixels.raster is not None
    assert (ground.grid.width, ground.grid.height) == (60, 70)
    assert pixels.valid.all()
    assert pixels.raster[:, 0].tolist() == [0] * 20 + [1] * 20 + [0] * 20 + [1] * 10
    assert pixels.values[0, :, 0].tolist() == [50] * 20 + [90] * 20 + [50] * 20 + [90] * 10


@pytest.mark.parametrize(
    "place",
    [
        Affine.translation(60.5, 0),  # another phase
        Affine.translation(60, 0) @ Affine.scale(0.5),  # finer
        Affine.translation(60, 0) @ Affine.scale(2.5),  # coarser
        Affine.translation(60, 10) @ Affine.rotation(20),
    ],
    ids=["phase", "finer", "coarser", "rotated"],
)
def test_sheets_of_other_pixels_are_interpolated_to_their_place(place: Affine, save: Save) -> None:
    """All pixels hold their distance from the left edge of the first sheet."""

    def ramp(side: int, place: Affine) -> Any:
        column, row = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
        return (place.a * column + place.b * row + place.c + 50)[None].astype(np.float32)

    paths = [
        save(ramp(60, Affine.identity()), "a.tif"),
        save(ramp(50, place), "b.tif", transform=METRES @ place),
    ]
    with ground_of(paths, RasterOptions(value_range=(0, 255))) as ground:
        pixels = ground.read()
        assert pixels.raster is not None
    assert ground.is_aligned.tolist() == [True, False]
    distance = np.arange(ground.grid.width) + 0.5 - ground.boxes[0, 0] + 50
    error = np.abs(pixels.values[0] - distance)
    assert error[pixels.raster == 0].max() <= 1
    is_inner = ndimage.binary_erosion(pixels.raster == 1, iterations=3)
    assert is_inner.sum() > 100
    assert error[is_inner].max() <= 1


def test_a_sheet_that_cannot_be_read_leaves_a_hole_that_others_fill(save: Save) -> None:
    pixels = noise(side=128)
    options = {"compress": "deflate", "interleave": "pixel", "tiled": True}
    options |= {"blockxsize": 64, "blockysize": 64}
    bad = save(pixels, "a.tif", **options)
    good = save(pixels[:, :, :64], "b.tif", transform=METRES @ Affine.translation(64, 0))
    content = bytearray(bad.read_bytes())
    lower = len(content) * 6 // 10
    content[lower:] = bytes(len(content) - lower)
    bad.write_bytes(bytes(content))
    with ground_of([bad, good]) as ground:
        with pytest.raises(RasterError, match=r"a\.tif: cannot read"):
            ground.read()
        read = ground.read(with_holes=True)
        upper = ground.read(Window(0, 0, 128, 64), with_holes=True)
    assert list(ground.failures) == [0]
    assert read.unread is not None
    np.testing.assert_array_equal(read.unread, ~read.valid)
    assert read.valid[:, 64:].all()
    assert not read.valid[:, :64].any()
    assert upper.unread is None


@given(
    ratio=st.one_of(st.sampled_from([0.5, 0.8, 1.25, 2.0]), st.floats(0.3, 3)),
    start=st.floats(20, 40),
    side=st.integers(1, 30),
)
@example(ratio=1 / 3, start=20.0, side=17)
@example(ratio=1.4, start=20.0, side=7)
def test_a_part_with_a_margin_is_resampled_as_the_whole(
    ratio: float, start: float, side: int
) -> None:
    values, valid = noise(side=160), np.random.default_rng(2).random((160, 160)) < 0.7
    window = RasterWindow(start, start, side * ratio, side * ratio)
    corner = int(start) - kernel_margin(ratio)
    end = int(np.ceil(start + side * ratio)) + kernel_margin(ratio)
    part = np.s_[max(corner, 0) : end, max(corner, 0) : end]
    shape, at = (side, side), (max(corner, 0), max(corner, 0))
    whole = resample(values, valid, window, shape)
    of_part = resample(values[(slice(None), *part)], valid[part], window, shape, corner=at)
    # where the kernel ends on a line of centres of pixels, rounding decides if pixels there that
    # are not valid count
    centres = start + (np.arange(side) + 0.5) * ratio
    ends = centres + np.array([[-1], [1]]) * KERNEL_PX * max(ratio, 1)
    between = (np.abs(ends % 1 - 0.5) > 1e-9).all(axis=0)
    np.testing.assert_array_equal(
        whole[:, between][:, :, between], of_part[:, between][:, :, between]
    )
    np.testing.assert_array_equal(
        pick_nearest(valid, window, shape), pick_nearest(valid[part], window, shape, corner=at)
    )


def test_rasters_of_a_window_are_the_same_with_an_index(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = cut_into_sheets(save, noise(side=100), columns=4, overlap_px=6)
    with ground_of(sheets) as ground:
        windows = [Window(x, y, 30, 20) for x in range(0, 70, 9) for y in range(0, 80, 9)]
        expected = [ground._numbers_in(window).tolist() for window in windows]
        monkeypatch.setattr("geodetect.io.ground.ground.MANY_RASTERS", 1)
        assert [ground._numbers_in(window).tolist() for window in windows] == expected
