"""Data sets of chips, read back as they were written."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from geodetect.chips.annotation_formats import ANNOTATION_FORMATS, LabelledChip
from geodetect.chips.export import export_chips
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.io.labels.placement import place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Raster
from geodetect.io.sources.find import find_rasters
from geodetect.settings import ChipSettings
from tests.helpers.square_scenes import (
    CRS,
    SQUARE_PX,
    grid_corners,
    squares_image,
    write_labels,
    write_raster,
)

CLASSES = ("pool", "großer Baum", "a: 'b' \"c\" & <d>")
YOLO_STEP = 1e-8  # shares are written with eight decimals


@st.composite
def chips(draw: st.DrawFn) -> LabelledChip:
    """A chip whose boxes have at least 0.01 px on each side, in thousandths of a pixel."""
    width, height = draw(st.integers(1, 2000)), draw(st.integers(1, 2000))
    boxes = []
    for _ in range(draw(st.integers(0, 5))):
        sides = []
        for side in (width, height):
            start = draw(st.integers(0, side * 1000 - 10))
            sides.append((start, draw(st.integers(start + 10, side * 1000))))
        boxes.append([sides[0][0], sides[1][0], sides[0][1], sides[1][1]])
    count = len(boxes)
    return LabelledChip(
        image=f"chip_{draw(st.uuids())}.tif",
        raster="scene.tif",
        window=Window(0, 0, width, height),
        grid=Grid(parse_crs(CRS), Affine(0.25, 0, 500_000, 0, -0.25, 5_200_000), width, height),
        bands=3,
        boxes=np.array(boxes, np.float64).reshape(-1, 4) / 1000,
        class_ids=draw(st.lists(st.integers(0, 2), min_size=count, max_size=count).map(np.array)),
        truncated=np.zeros(count, bool),
        label_ids=np.arange(count),
    )


@pytest.mark.parametrize("name", ANNOTATION_FORMATS)
@settings(max_examples=40)
@given(written=st.lists(chips(), min_size=1, max_size=3))
def test_boxes_and_classes_are_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, name: str, written: list[LabelledChip]
) -> None:
    folder = tmp_path_factory.mktemp(name)
    ANNOTATION_FORMATS[name].write(folder, written, CLASSES)
    rasters = [Raster(f"/elsewhere/{chip.image}", chip.grid, (1,), "uint8") for chip in written]
    for chip, read in zip(written, place_labels(read_labels(folder), rasters), strict=True):
        largest = max(chip.grid.width, chip.grid.height)
        tolerance = 2 * YOLO_STEP * largest if name == "yolo" else 1e-9
        np.testing.assert_allclose(read.boxes, chip.boxes, rtol=0, atol=tolerance)
        assert list(read.class_names) == [CLASSES[label] for label in chip.class_ids]


@pytest.mark.parametrize("name", ANNOTATION_FORMATS)
def test_chips_cut_from_a_raster_carry_its_objects_to_where_they_were(
    tmp_path: Path, name: str
) -> None:
    corners = grid_corners(200, 40)
    raster = write_raster(tmp_path / "scene.tif", squares_image(200, corners))
    boxes = [(x + 0.25, y - 0.5, x + SQUARE_PX, y + SQUARE_PX + 0.75) for x, y in corners]
    labels = write_labels(tmp_path / "labels.geojson", boxes)
    folder = tmp_path / "chips"
    export_chips(
        raster,
        labels,
        folder,
        settings=ChipSettings(format=name, tile_size=64, empty=math.inf, image_format="tif"),
    )
    label_set = read_labels(labels)
    images = find_rasters([folder / ANNOTATION_FORMATS[name].images])
    placed = place_labels(read_labels(folder), [open_raster(image) for image in images])
    assert sum(len(labelled.boxes) for labelled in placed) >= len(corners)
    for labelled in placed:
        expected = np.clip(place_labels(label_set, [labelled.raster])[0].boxes, 0, 64)
        visible = (expected[:, 2:] - expected[:, :2]).prod(axis=1) >= 0.5 * 15.75 * 17.25
        np.testing.assert_allclose(labelled.boxes, expected[visible], atol=6e-4)
