"""Nodata, and ground without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray

from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.raster.open_raster import open_raster
from geodetect.label_check.coverage import measure_coverage
from tests.conftest import METRES, Save

Float = NDArray[np.float64]

GSD_M = 0.2  # of the rasters that the fixture writes


def label_boxes(path: Path, boxes: list[list[float]]) -> LabelledRaster:
    stacked = np.array(boxes, np.float64).reshape(-1, 4)
    class_ids, ids = np.zeros(len(stacked), np.int64), np.arange(10, 10 + len(stacked))
    return LabelledRaster(open_raster(path), stacked, class_ids, ids, ("pool",))


def grey(side: int) -> NDArray[np.uint8]:
    return np.full((3, side, side), 90, np.uint8)


@pytest.mark.parametrize("kind", ["mask", "nodata"])
def test_labels_on_nodata_are_found_and_those_at_its_edge_are_not(save: Save, kind: str) -> None:
    image, mask = grey(300), np.full((300, 300), 255, np.uint8)
    mask[:, 150:] = 0
    image[:, :, 150:] = 0
    options = {"mask": mask} if kind == "mask" else {"nodata": 0}
    boxes = [[20.0, 20, 40, 40], [200, 20, 220, 40], [145, 60, 155, 70], [149, 90, 169, 110]]
    coverage = measure_coverage([label_boxes(save(image, **options), boxes)])
    assert coverage.on_nodata_only == (11, 13)
    assert coverage.area_km2 == pytest.approx(300 * 150 * GSD_M**2 / 1e6, rel=0.01)


def test_labels_that_another_raster_shows_are_not_on_nodata(save: Save) -> None:
    """Two strips on one frame, each with imagery in its own half; one label lies on neither."""
    boxes = [[20.0, 20, 40, 40], [200, 20, 220, 40], [20, 250, 40, 270]]
    strips = []
    for name, imagery in (("west.tif", np.s_[:200, :150]), ("east.tif", np.s_[:200, 150:])):
        mask = np.zeros((300, 300), np.uint8)
        mask[imagery] = 255
        strips.append(label_boxes(save(grey(300), name=name, mask=mask), boxes))
    coverage = measure_coverage(strips)
    assert coverage.on_nodata_only == (12,)
    west, east = (strip.raster.path for strip in strips)
    assert coverage.on_nodata == {west: (11, 12), east: (10, 12)}


@pytest.mark.parametrize("turned", [False, True])
def test_labels_on_the_sheet_next_to_it_are_near(save: Save, turned: bool) -> None:
    """Ten sheets of 40 m in a row, every other one with a label: 44 m lead to the next one."""
    sheets = []
    for number in range(10):
        way = number * 200 * GSD_M
        shift = Affine.translation(0, -way) if turned else Affine.translation(way, 0)
        path = save(grey(200), name=f"{number}.tif", transform=shift @ METRES)
        sheets.append(label_boxes(path, [[80.0, 80, 120, 120]] if number % 2 == 0 else []))
    assert measure_coverage(sheets, far_m=70.0).far_fraction == 0
    farther = measure_coverage(sheets, far_m=30.0)
    assert 0.2 < farther.far_fraction < 0.5
    assert farther.far_fraction == pytest.approx(share_farther_than(30.0), abs=0.01)


def share_farther_than(far_m: float) -> float:
    """Of the ground of ten sheets in a row with a label of 8 m on every other one."""
    x, y = np.meshgrid(np.arange(0.1, 400, 0.2), np.arange(0.1, 40, 0.2))
    labels = np.arange(0, 400, 80) + 20
    own = (x // 40 % 2 == 0)[..., None] * 4.0  # of its own sheet all of a label counts
    beside = np.maximum(np.abs(x[..., None] - labels) - own, 0)
    above = np.maximum(np.abs(y - 20)[..., None] - own, 0)
    return float((np.hypot(beside, above).min(axis=-1) > far_m).mean())


def test_labels_off_the_raster_are_not_on_nodata(save: Save) -> None:
    mask = np.full((300, 300), 255, np.uint8)
    mask[200:] = 0
    coverage = measure_coverage([label_boxes(save(grey(300), mask=mask), [[-50.0, 10, -20, 30]])])
    assert coverage.on_nodata_only == ()


def test_a_large_raster_is_looked_at_from_far_away_but_judged_closely(save: Save) -> None:
    mask = np.full((2500, 2500), 255, np.uint8)
    mask[:, 1251:] = 0
    boxes = [[1240.0, y, 1252, y + 12] for y in range(50, 2400, 50)]  # seen 11 / 12
    boxes += [[1250.0, y, 1262, y + 12] for y in range(50, 2400, 50)]  # seen 1 / 12
    image = np.full((1, 2500, 2500), 90, np.uint8)
    raster = label_boxes(save(image, mask=mask), boxes)
    count = len(boxes) // 2
    assert measure_coverage([raster]).on_nodata_only == tuple(range(10 + count, 10 + 2 * count))


def test_ground_far_from_any_label_is_measured_and_outlined(save: Save) -> None:
    boxes = [[x, y, x + 20.0, y + 20] for x in range(0, 300, 50) for y in range(0, 1000, 50)]
    coverage = measure_coverage([label_boxes(save(grey(1000)), boxes)], far_m=50.0)
    far_px = 1000 - 270 - 50 / GSD_M
    assert coverage.far_fraction == pytest.approx(far_px / 1000, abs=0.01)
    (area,) = coverage.unlabelled_areas
    assert area.area_km2 == pytest.approx(far_px * 1000 * GSD_M**2 / 1e6, rel=0.02)
    expected = shapely.box(1000 - far_px, 0, 1000, 1000)
    assert shapely.symmetric_difference(area.outline, expected).area < 0.02 * expected.area


def test_what_is_far_follows_from_how_far_labels_lie_apart(save: Save) -> None:
    boxes = [[x, y, x + 20.0, y + 20] for x in range(0, 1000, 100) for y in range(0, 1000, 100)]
    coverage = measure_coverage([label_boxes(save(grey(1000)), boxes)])
    assert coverage.far_m == 10 * 100 * GSD_M
    assert (coverage.far_fraction, coverage.unlabelled_areas) == (0.0, ())
    assert measure_coverage([label_boxes(save(grey(100)), [[1, 1, 9, 9]])]).far_m is None


def test_small_gaps_are_no_blocks(save: Save) -> None:
    boxes = [[x, y, x + 20.0, y + 20] for x in range(0, 990, 100) for y in range(0, 1000, 100)]
    coverage = measure_coverage([label_boxes(save(grey(1000)), boxes)], far_m=9.0)
    assert 0 < coverage.far_fraction < 0.2
    assert all(area.area_km2 >= 0.02 * coverage.area_km2 for area in coverage.unlabelled_areas)
    assert len(coverage.unlabelled_areas) <= 20


def test_a_raster_without_labels_is_one_empty_block(save: Save) -> None:
    full = label_boxes(save(grey(300), "full.tif"), [[9, 9, 20, 20], [30, 30, 50, 50]])
    unlabelled = label_boxes(save(grey(300), "bare.tif"), [])
    coverage = measure_coverage([full, unlabelled], far_m=90.0)
    assert [area.raster for area in coverage.unlabelled_areas] == ["bare.tif"]
    assert coverage.far_fraction == pytest.approx(0.5, abs=0.01)


def test_of_many_large_rasters_without_overviews_some_are_looked_at(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geodetect.label_check.coverage.MOST_PIXELS", 2.5 * 300**2)
    mask = np.full((300, 300), 255, np.uint8)
    mask[0] = 0
    sheets = [
        label_boxes(save(grey(300), f"{i}.tif", mask=mask), [[9, 9, 20, 20]]) for i in range(4)
    ]
    assert measure_coverage(sheets).rasters == 2
    plain = [label_boxes(save(grey(300), f"plain{i}.tif"), [[9, 9, 20, 20]]) for i in range(4)]
    assert measure_coverage(plain).rasters == 4
