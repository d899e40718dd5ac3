"""Image pyramids hold every pixel once per level, and nothing else."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.raster.open_raster import open_raster
from geodetect.reporting.map_report.image_pyramid import (
    MAX_BESIDE_PX,
    MAX_INSIDE_PX,
    PyramidPlan,
    build_pyramid,
    plan_pyramid,
)
from tests.conftest import Save

SIDE = 512
LAMBERT = parse_crs("EPSG:2154")


def grid_of(width: int, height: int, gsd_m: float = 0.2) -> Grid:
    return Grid(LAMBERT, Affine(gsd_m, 0, 650_000, 0, -gsd_m, 6_860_000), width, height)


def cut(
    path: Path, plan: PyramidPlan | None = None
) -> tuple[PyramidPlan, dict[str, NDArray[np.uint8]]]:
    """The tiles of a raster, decoded."""
    tiles: dict[str, bytes] = {}
    with open_raster(path) as raster:
        plan = plan or PyramidPlan("inside", raster.grid)
        build_pyramid(raster, plan, tiles.__setitem__)
    return plan, {key: np.asarray(Image.open(io.BytesIO(b))) for key, b in tiles.items()}


@given(st.integers(1, 300_000), st.integers(1, 300_000))
def test_the_coarsest_level_is_one_tile_and_the_one_below_is_not(width: int, height: int):
    top = PyramidPlan("beside", grid_of(width, height)).levels - 1
    longest = max(width, height)
    assert math.ceil(longest / 2**top) <= SIDE
    assert top == 0 or math.ceil(longest / 2 ** (top - 1)) > SIDE


def test_tiles_of_the_finest_level_are_the_pixels_of_the_raster(save: Save):
    y, x = np.mgrid[0:700, 0:1100]
    pixels = np.stack([x // 5, y // 3, (x + y) // 8]).astype(np.uint8)
    plan, tiles = cut(save(pixels))
    assert plan.levels == 3
    assert sorted(k for k in tiles if k[0] == "0") == [
        f"0/{c}_{r}" for c in range(3) for r in (0, 1)
    ]
    for c in range(3):
        for r in range(2):
            part = pixels[:, r * SIDE : (r + 1) * SIDE, c * SIDE : (c + 1) * SIDE]
            decoded = np.moveaxis(tiles[f"0/{c}_{r}"], -1, 0).astype(int)
            assert decoded.shape == part.shape
            assert np.abs(decoded - part).mean() < 2  # WebP is lossy


def test_coarser_levels_are_averages_at_the_right_positions(save: Save):
    pixels = np.full((3, 1030, 2051), 60, np.uint8)
    pixels[0, 600:, 1500:] = 220  # red below and to the right of (1500, 600)
    plan, tiles = cut(save(pixels))
    assert plan.levels == 4
    assert tiles["3/0_0"].shape == (math.ceil(1030 / 8), math.ceil(2051 / 8), 3)
    red = tiles["3/0_0"][..., 0].astype(int)
    assert abs(red[70, 180] - 60) <= 4
    assert abs(red[80, 195] - 220) <= 4
    assert (red[80] > 140).argmax() == pytest.approx(1500 / 8, abs=1)
    assert (red[:, 200] > 140).argmax() == pytest.approx(600 / 8, abs=1)


@pytest.mark.parametrize(("width", "height"), [(513, 2), (1, 1), (1024, 513), (511, 1537)])
def test_every_level_covers_the_raster_whatever_its_size(save: Save, width: int, height: int):
    plan, tiles = cut(save(np.full((3, height, width), 90, np.uint8)))
    for level in range(plan.levels):
        images = [image for key, image in tiles.items() if key.startswith(f"{level}/")]
        expected = math.ceil(width / 2**level) * math.ceil(height / 2**level)
        assert sum(image.shape[0] * image.shape[1] for image in images) == expected
        assert all(np.abs(image.astype(int) - 90).max() <= 3 for image in images)


def test_nodata_is_transparent_or_left_out(save: Save):
    pixels = np.full((3, 600, 1200), 200, np.uint8)
    mask = np.zeros((600, 1200), np.uint8)
    mask[:, :700] = 255
    _, tiles = cut(save(pixels, mask=mask))
    assert "0/0_0" in tiles
    assert "0/2_0" not in tiles
    assert tiles["0/0_0"].shape[-1] == 3  # opaque
    edge = tiles["0/1_0"]
    assert edge[10, 700 - SIDE - 5, 3] == 255
    assert edge[10, 700 - SIDE + 5, 3] == 0
    assert tiles["1/0_0"][5, 349, :3].min() > 190  # no dark seam where nothing is averaged in


def test_a_raster_of_one_band_is_grey(save: Save):
    _, tiles = cut(save(np.full((1, 40, 50), 77, np.uint8)))
    assert np.abs(tiles["0/0_0"].astype(int) - 77).max() <= 2
    assert tiles["0/0_0"].shape == (40, 50, 3)


@pytest.mark.parametrize(
    ("width", "placement", "expected", "columns"),
    [
        (4000, "auto", "inside", 4000),
        (4001, "auto", "beside", 4001),
        (20_000, "auto", "beside", 20_000),
        (40_000, "auto", "beside", 20_000),
        (8000, "inside", "inside", 4000),
        (100, "beside", "beside", 100),
    ],
)
def test_the_size_decides_where_imagery_goes_and_how_fine_it_is(
    width: int, placement: str, expected: str, columns: int
):
    plan = plan_pyramid(grid_of(width, width), placement=placement)  # type: ignore[arg-type]
    assert (plan.placement, plan.grid.width) == (expected, columns)
    limit = MAX_INSIDE_PX if expected == "inside" else MAX_BESIDE_PX
    assert plan.grid.width * plan.grid.height <= limit


def test_a_resolution_can_be_set_but_none_finer_than_that_of_the_raster():
    coarse = plan_pyramid(grid_of(10_000, 10_000), placement="auto", gsd_m=1.0)
    assert coarse.placement == "inside"
    assert coarse.grid.gsd_m == pytest.approx(1.0, rel=1e-3)
    fine = plan_pyramid(grid_of(100, 100), placement="auto", gsd_m=0.01)
    assert fine.grid == grid_of(100, 100)


def test_progress_ends_with_all_tiles(save: Save):
    calls: list[tuple[int, int]] = []
    with open_raster(save(np.full((3, 1100, 600), 50, np.uint8))) as raster:
        plan = PyramidPlan("inside", raster.grid)
        build_pyramid(raster, plan, lambda key, webp: None, progress=lambda *n: calls.append(n))
    assert calls == [(2, 6), (4, 6), (6, 6)]
