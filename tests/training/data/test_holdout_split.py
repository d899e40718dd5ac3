"""Ground that is held out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodetect.geo.boxes import clip, overlap_pairs
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import reproject
from geodetect.io.vector.write import write
from geodetect.training.data.holdout_split import (
    find_overlapping_holdout,
    hold_out_blocks,
    split_table,
)
from geodetect.training.data.training_raster import TrainingRaster
from tests.helpers.square_scenes import CRS
from tests.helpers.training_rasters import training_raster

Boxes = NDArray[np.float64]
PLACES = {  # one point in three CRS
    "EPSG:32632": (500_000.0, 5_200_000.0),
    "EPSG:2056": (2_718_847.4, 1_201_453.9),
    "EPSG:4326": (9.0, 46.953529),
}


def utm_grid(width: int, height: int) -> Grid:
    return Grid(parse_crs(CRS), Affine(0.25, 0, 500_000, 0, -0.25, 5_200_000), width, height)


def split_rasters(
    grids: list[Grid],
    held: list[Boxes],
    *,
    names: list[str],
    boxes: list[Boxes],
    elsewhere: list[Boxes] | None = None,
) -> list[TrainingRaster]:
    """Rasters without pixels, with the ground that is held out of each and of others."""
    elsewhere = elsewhere or [np.empty((0, 4))] * len(grids)
    sources: list[Any] = [
        SimpleNamespace(grid=grid, name=name) for grid, name in zip(grids, names, strict=True)
    ]
    return [
        training_raster(raster, objects, holdout=holdout, overlapping_holdout=other)
        for raster, objects, holdout, other in zip(sources, boxes, held, elsewhere, strict=True)
    ]


def scattered(width: int, height: int, *, count: int, seed: int) -> Boxes:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, [width - 10, height - 10], (count, 2))
    return np.concatenate([corner, corner + 10], axis=1)


def held_objects(boxes: list[Boxes], blocks: list[Boxes]) -> int:
    count = 0
    for box, block in zip(boxes, blocks, strict=True):
        centres = (box[:, :2] + box[:, 2:]) / 2
        inside = (centres[:, None] >= block[None, :, :2]) & (centres[:, None] < block[None, :, 2:])
        count += int(inside.all(axis=2).any(axis=1).sum())
    return count


sizes = st.tuples(st.integers(20, 900), st.integers(20, 900))


@given(
    shapes=st.lists(sizes, min_size=1, max_size=3),
    count=st.integers(0, 40),
    share=st.floats(0, 0.95),
    seed=st.integers(0, 99),
    min_block_px=st.integers(1, 400),
)
def test_blocks_are_whole_and_never_hold_all_objects(
    shapes: list[tuple[int, int]], count: int, share: float, seed: int, min_block_px: int
) -> None:
    grids = [utm_grid(*shape) for shape in shapes]
    boxes = [scattered(*shape, count=count, seed=seed) for shape in shapes]
    blocks = hold_out_blocks(grids, boxes, fraction=share, seed=seed, min_block_px=min_block_px)
    held = held_objects(boxes, blocks)
    assert held == 0 or held < count * len(shapes)
    assert len(blocks) == len(grids)
    for block, (width, height) in zip(blocks, shapes, strict=True):
        for x1, y1, x2, y2 in block:
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert x2 - x1 >= min_block_px or x2 == width
            assert y2 - y1 >= min_block_px or y2 == height
        assert shapely.union_all(shapely.box(*block.T)).area == sum(
            (x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in block
        )


def test_the_share_of_objects_is_reached_and_not_by_far_exceeded() -> None:
    boxes = [scattered(2000, 2000, count=1000, seed=1)]
    blocks = hold_out_blocks([utm_grid(2000, 2000)], boxes, fraction=0.2, seed=5, min_block_px=100)
    assert 200 <= held_objects(boxes, blocks) <= 300


def test_a_share_of_nothing_holds_nothing_out() -> None:
    boxes = [scattered(500, 500, count=50, seed=1)]
    blocks = hold_out_blocks([utm_grid(500, 500)], boxes, fraction=0, seed=5, min_block_px=10)
    assert [len(block) for block in blocks] == [0]


def test_another_seed_holds_out_other_ground_and_the_same_the_same() -> None:
    def blocks(seed: int) -> list[list[float]]:
        boxes = [scattered(2000, 2000, count=300, seed=1)]
        return hold_out_blocks(
            [utm_grid(2000, 2000)], boxes, fraction=0.2, seed=seed, min_block_px=100
        )[0].tolist()

    assert blocks(1) == blocks(1)
    assert blocks(1) != blocks(2)


@st.composite
def sheets(draw: st.DrawFn) -> Grid:
    """Rasters near one place, each in its own CRS, turned and at its own resolution."""
    crs, (x, y) = draw(st.sampled_from(list(PLACES.items())))
    east_m, north_m = (draw(st.floats(-80, 80)) for _ in range(2))
    gsd_m, turn_deg = (
        draw(st.sampled_from([0.2, 0.25, 0.4])),
        draw(st.sampled_from([0.0, 0, 7, 45])),
    )
    metre = 1 / 111_000 if crs == "EPSG:4326" else 1.0
    corner = Affine.translation(x + east_m * metre, y + north_m * metre)
    pixels = Affine.rotation(turn_deg) @ Affine.scale(gsd_m * metre, -gsd_m * metre)
    return Grid(parse_crs(crs), corner @ pixels, *draw(sizes))


@settings(max_examples=40)
@given(grids=st.lists(sheets(), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_no_chip_of_any_raster_shows_ground_that_is_held_out_of_another(
    grids: list[Grid], seed: int
) -> None:
    boxes = [scattered(g.width, g.height, count=12, seed=seed + n) for n, g in enumerate(grids)]
    held = hold_out_blocks(grids, boxes, fraction=0.3, seed=seed, min_block_px=40)
    excluded = find_overlapping_holdout(grids, held)
    for grid, holdout, others in zip(grids, held, excluded, strict=True):
        chips = scattered(grid.width, grid.height, count=60, seed=seed)
        chips = clip(chips + [0, 0, 20, 20], grid.box)  # noqa: RUF005 (arrays are added)
        touched = overlap_pairs(chips, np.concatenate([holdout, others]))[:, 0]
        shown = shapely.polygons(grid.boxes_to_map(np.delete(chips, touched, axis=0)))
        for other, ground in zip(grids, held, strict=True):
            if len(ground):
                there = shapely.transform(reproject(shown, grid.crs, other.crs), other.to_px)
                both = shapely.intersection(there, shapely.union_all(shapely.box(*ground.T)))
                # strips narrower than a pixel, of 0.4 m at most, are let through
                assert shapely.is_empty(shapely.buffer(both, -0.55 * 0.4 / 0.2)).all()


@settings(max_examples=40)
@given(grids=st.lists(sheets(), min_size=1, max_size=4), share=st.floats(0.01, 0.9))
def test_some_object_is_left_to_learn_from_whatever_overlaps(
    grids: list[Grid], share: float
) -> None:
    boxes = [scattered(g.width, g.height, count=4, seed=n) for n, g in enumerate(grids)]
    held = hold_out_blocks(grids, boxes, fraction=share, seed=1, min_block_px=60)
    forbidden = [
        np.concatenate(parts)
        for parts in zip(held, find_overlapping_holdout(grids, held), strict=True)
    ]
    assert 0 <= held_objects(boxes, forbidden) < 4 * len(grids)


def test_rasters_with_the_same_grid_are_held_out_alike() -> None:
    years = [utm_grid(1000, 1000)] * 3
    boxes = [scattered(1000, 1000, count=100, seed=1)] * 3
    held = hold_out_blocks(years, boxes, fraction=0.2, seed=3, min_block_px=100)
    assert held[0].tolist() == held[1].tolist() == held[2].tolist()
    assert 60 <= held_objects(boxes, held) < 100
    for holdout, elsewhere in zip(held, find_overlapping_holdout(years, held), strict=True):
        assert shapely.equals(
            *(shapely.normalize(shapely.union_all(shapely.box(*b.T))) for b in (holdout, elsewhere))
        )


def test_ground_held_out_of_another_raster_counts_as_lost() -> None:
    """Two sheets that show the same ground, one a pixel wider: a block costs both its objects."""
    grids = [utm_grid(1000, 1000), utm_grid(1001, 1000)]
    boxes = [scattered(1000, 1000, count=200, seed=1)] * 2
    held = hold_out_blocks(grids, boxes, fraction=0.2, seed=3, min_block_px=100)
    forbidden = [
        np.concatenate(parts)
        for parts in zip(held, find_overlapping_holdout(grids, held), strict=True)
    ]
    assert 80 <= held_objects(boxes, forbidden) <= 140


@given(
    shapes=st.lists(sizes, min_size=1, max_size=3),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
def test_the_features_of_a_split_cover_every_raster_once(
    shapes: list[tuple[int, int]], share: float, seed: int
) -> None:
    grids = [utm_grid(*shape) for shape in shapes]
    boxes = [scattered(*shape, count=15, seed=seed + i) for i, shape in enumerate(shapes)]
    blocks = hold_out_blocks(grids, boxes, fraction=share, seed=seed, min_block_px=50)
    names = [f"{i}.tif" for i in range(len(grids))]
    rasters = split_rasters(grids, blocks, names=names, boxes=boxes)
    table = split_table(rasters).to_crs(CRS)
    held = table[table.role == "validation"]
    assert held.objects.sum() == held_objects(boxes, blocks)
    assert table.objects.sum() == 15 * len(grids)
    for one, name, held_px in zip(grids, names, blocks, strict=True):
        parts = table[table.raster == name]
        frame = shapely.box(*shapely.transform(shapely.box(0, 0, one.width, one.height),
                                               one.to_map).bounds)  # fmt: skip
        assert shapely.symmetric_difference(parts.union_all(), frame).area < 1e-3 * frame.area
        assert parts.area.sum() == pytest.approx(frame.area, rel=1e-3)
        held_m2 = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in held_px) / 16
        assert parts[parts.role == "validation"].area.sum() == pytest.approx(held_m2, rel=1e-3)


def test_a_split_is_a_geojson_with_true_areas(tmp_path: Path) -> None:
    blocks = [np.array([[0.0, 0, 100, 100], [100, 0, 200, 100], [300, 0, 400, 100]])]
    boxes = [np.array([[10.0, 10, 20, 20], [350, 50, 360, 60], [220, 220, 230, 230]])]
    path = tmp_path / "split.geojson"
    split = split_table(split_rasters([utm_grid(400, 400)], blocks, names=["a.tif"], boxes=boxes))
    write(split, path)
    table = gpd.read_file(path).sort_values("area_m2")
    assert table.crs.to_epsg() == 4326
    assert list(table.role) == ["validation", "validation", "train"]
    assert list(table.objects) == [1, 1, 1]
    np.testing.assert_allclose(table.area_m2, [25**2, 2 * 25**2, 13 * 25**2], rtol=2e-3)


def test_ground_held_out_of_another_raster_is_unused_in_the_split() -> None:
    grids = [utm_grid(400, 400), utm_grid(500, 400)]
    held = [np.array([[0.0, 0, 100, 100]]), np.array([[100.0, 0, 200, 100]])]
    boxes = [np.array([[10.0, 10, 20, 20], [110, 10, 120, 20], [300, 300, 310, 310]])] * 2
    table = split_table(
        split_rasters(
            grids,
            held,
            names=["a.tif", "b.tif"],
            boxes=boxes,
            elsewhere=find_overlapping_holdout(grids, held),
        )
    )
    rows = zip(table.raster, table.role, table.objects, table.area_m2, strict=True)
    assert list(rows) == [
        ("a.tif", "validation", 1, pytest.approx(625, rel=2e-3)),
        ("a.tif", "unused", 1, pytest.approx(625, rel=2e-3)),
        ("a.tif", "train", 1, pytest.approx(14 * 625, rel=2e-3)),
        ("b.tif", "validation", 1, pytest.approx(625, rel=2e-3)),
        ("b.tif", "unused", 1, pytest.approx(625, rel=2e-3)),
        ("b.tif", "train", 1, pytest.approx(18 * 625, rel=2e-3)),
    ]
    train, held_out = (table[table.role == role].union_all() for role in ("train", "validation"))
    assert train.intersection(held_out).area < 1e-15


def test_a_raster_that_is_held_out_whole_has_no_ground_to_train_on() -> None:
    rasters = split_rasters(
        [utm_grid(50, 50), utm_grid(60, 60)],
        [np.array([[0.0, 0, 50, 50]]), np.empty((0, 4))],
        names=["held.tif", "free.tif"],
        boxes=[np.array([[1.0, 1, 5, 5]]), np.empty((0, 4))],
    )
    table = split_table(rasters)
    assert list(zip(table.raster, table.role, table.objects, strict=True)) == [
        ("held.tif", "validation", 1),
        ("free.tif", "train", 0),
    ]
