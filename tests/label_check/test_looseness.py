"""Labels that are larger than the objects that they show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from scipy import ndimage

from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.open_raster import open_raster
from geodetect.label_check.check import check
from geodetect.label_check.looseness import (
    LEAST_LABELS,
    compare_with_imagery,
    compare_with_outlines,
)
from tests.helpers.program import ROOT
from tests.helpers.square_scenes import GSD_M, write_raster

SAMPLE = ROOT / "sample_data" / "neighbourhood.tif"


@pytest.fixture(scope="module")
def sample() -> LabelledRaster:
    raster = open_raster(SAMPLE)
    (sheet,) = place_labels(read_labels(SAMPLE.with_suffix(".geojson")), [raster])
    return sheet


def grow_labels(sheet: LabelledRaster, metres: float) -> LabelledRaster:
    return replace(sheet, boxes=sheet.boxes + np.array([-1, -1, 1, 1]) * metres / sheet.gsd_m)


@pytest.mark.parametrize("excess_m", [0.0, 0.8, 1.2])
def test_labels_are_loose_by_the_metres_that_they_were_grown(
    sample: LabelledRaster, excess_m: float
) -> None:
    estimate = compare_with_imagery([grow_labels(sample, excess_m)])
    assert estimate is not None
    assert estimate.excess_m == pytest.approx(excess_m, abs=0.2)
    assert estimate.suspected == (excess_m > 0)
    assert np.ptp(estimate.sides_m) < 0.4


def test_an_offset_of_labels_is_no_looseness(sample: LabelledRaster) -> None:
    shifted = replace(sample, boxes=sample.boxes + np.tile([1.0, -0.6], 2) / sample.gsd_m)
    estimate = compare_with_imagery([shifted])
    assert estimate is None or not estimate.suspected


def test_labels_anywhere_and_few_labels_say_nothing(sample: LabelledRaster) -> None:
    rng = np.random.default_rng(1)
    size = sample.boxes[:, 2:] - sample.boxes[:, :2]
    corner = rng.uniform(100, 2300, size.shape)
    anywhere = replace(sample, boxes=np.concatenate([corner, corner + size], axis=1))
    estimate = compare_with_imagery([anywhere])
    assert estimate is None or not estimate.suspected
    assert compare_with_imagery([sample.select(np.arange(LEAST_LABELS - 1))]) is None
    assert compare_with_imagery([]) is None


def paint_roofs(path: Path, *, angle_deg: float) -> LabelledRaster:
    """Gable roofs on mottled ground, one side in the sun, with the bounds of each as a label."""
    rng = np.random.default_rng(2)
    mottled = ndimage.gaussian_filter(rng.normal(0, 1, (3, 700, 700)), (0, 2, 2))
    pixels = 110 + 60 * mottled
    y, x = np.mgrid[:700, :700] + 0.5
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    boxes = []
    for centre_y in range(50, 700, 100):
        for centre_x in range(50, 700, 100):
            along = cos * (x - centre_x) + sin * (y - centre_y)
            across = -sin * (x - centre_x) + cos * (y - centre_y)
            roof = (np.abs(along) < 20) & (np.abs(across) < 13)
            pixels[:, roof & (across < 0)] = np.array([[170], [80], [60]])
            pixels[:, roof & (across >= 0)] = np.array([[120], [52], [40]])
            rows, columns = np.flatnonzero(roof.any(axis=1)), np.flatnonzero(roof.any(axis=0))
            boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    pixels += rng.normal(0, 4, pixels.shape)
    raster = open_raster(write_raster(path, pixels.clip(0, 255).astype(np.uint8)))
    count = len(boxes)
    return LabelledRaster(
        raster,
        np.array(boxes, dtype=np.float64),
        np.zeros(count, dtype=np.int64),
        np.arange(count),
        ("roof",),
    )


@pytest.mark.parametrize("angle_deg", [0, 30, 45])
def test_roofs_with_a_side_in_the_sun_and_turned_ones_are_not_loose(
    tmp_path: Path, angle_deg: float
) -> None:
    sheet = paint_roofs(tmp_path / "roofs.tif", angle_deg=angle_deg)
    tight = compare_with_imagery([sheet])
    assert tight is None or not tight.suspected
    loose = compare_with_imagery([grow_labels(sheet, 6 * GSD_M)])
    assert loose is None or loose.excess_m == pytest.approx(6 * GSD_M, abs=2.5 * GSD_M)


def label_twice(tmp_path: Path, *, grow_m: float) -> tuple[Path, Path]:
    """The labels of the sample scene as they are, and their bounds, grown, in another file."""
    truth = gpd.read_file(SAMPLE.with_suffix(".geojson")).to_crs(open_raster(SAMPLE).grid.crs)
    discs = truth.geometry.centroid.buffer(3)
    outlines = truth.assign(geometry=discs)
    boxes = truth.assign(geometry=shapely.box(*shapely.bounds(discs.buffer(grow_m)).T))
    paths = tmp_path / "outlines.gpkg", tmp_path / "boxes.gpkg"
    outlines.to_file(paths[0])
    boxes.to_file(paths[1])
    return paths


def test_boxes_are_compared_with_outlines_of_the_same_objects(tmp_path: Path) -> None:
    report = check(SAMPLE, list(label_twice(tmp_path, grow_m=1.0)))
    assert report.looseness is not None
    assert report.looseness.source == "outlines"
    assert report.looseness.excess_m == pytest.approx(1.0, abs=0.02)
    texts = {finding.topic: finding.text for finding in report.warnings}
    assert "boxes are about 1.0 m larger than the outlines" in texts["looseness"]
    assert "objects are labelled as a box and as an outline" in texts["outlines"]


def test_tight_boxes_beside_outlines_are_not_loose(tmp_path: Path) -> None:
    labels = read_labels(list(label_twice(tmp_path, grow_m=0.0)))
    estimate = compare_with_outlines(place_labels(labels, [open_raster(SAMPLE)]))
    assert estimate is not None
    assert not estimate.suspected


@pytest.mark.parametrize(
    ("labels", "expected"), [("cannes_north", True), ("cannes_north_outlines", False)]
)
def test_boxes_with_terraces_are_loose_and_outlines_of_the_water_are_not(
    labels: str, expected: bool, shared_data: Path
) -> None:
    folder = shared_data / "pools"
    sheets = place_labels(
        read_labels(folder / f"{labels}.geojson"), [open_raster(folder / "cannes_north.tif")]
    )
    estimate = compare_with_imagery(sheets)
    assert estimate is not None
    assert estimate.suspected == expected
    assert estimate.excess_m == pytest.approx(1.0 if expected else 0.0, abs=0.25)


def test_labels_narrower_than_a_pixel_and_mixed_kinds_are_told(tmp_path: Path) -> None:
    grid = open_raster(SAMPLE).grid
    centres = [grid.to_map(np.array([100.0 + 40 * k, 300.0])) for k in range(24)]
    discs = [shapely.Point(centre).buffer(3) for centre in centres[:12]]
    boxes = [shapely.Point(centre).buffer(3).envelope for centre in centres[12:]]
    speck = shapely.Point(grid.to_map(np.array([500.0, 900.0]))).buffer(0.3 * GSD_M)
    labels = gpd.GeoDataFrame(geometry=[*discs, *boxes, speck], crs=grid.crs)
    report = check(SAMPLE, labels, shift=False)
    texts = [finding.text for finding in report.findings]
    assert any("1 labels are narrower than a pixel" in text for text in texts)
    assert any("12 labels are boxes or points and 13 are outlines" in text for text in texts)
    assert report.problems["reason"].tolist().count("narrower than a pixel") == 1
