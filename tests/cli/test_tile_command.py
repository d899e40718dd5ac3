"""``geodetect tile`` in its three formats."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pytest
from click.testing import Result

from tests.helpers.program import invoke
from tests.helpers.square_scenes import (
    LabelledScene,
    labelled_scene,
)

CORNERS = [(4, 4), (36, 4), (100, 84)]


squares = labelled_scene(128, CORNERS)


def tile(squares: LabelledScene, *arguments: str | Path) -> Result:
    raster, labels = squares
    command = ["tile", raster, "--labels", labels, "--tile-size", "64", *arguments]
    return invoke(*command)


def test_coco_holds_every_box(squares: LabelledScene, tmp_path: Path) -> None:
    result = tile(squares, "-o", tmp_path / "coco")
    assert result.exit_code == 0
    assert result.stdout == ""
    (file,) = (tmp_path / "coco").rglob("*.json")
    boxes = sorted(tuple(a["bbox"]) for a in json.loads(file.read_text())["annotations"])
    assert boxes == [(4, 4, 16, 16), (36, 4, 16, 16), (36, 20, 16, 16)]


def test_yolo_holds_shares_of_the_chip(squares: LabelledScene, tmp_path: Path) -> None:
    assert tile(squares, "-o", tmp_path / "yolo", "--format", "yolo").exit_code == 0
    lines = [
        [float(value) for value in line.split()]
        for file in (tmp_path / "yolo").rglob("*.txt")
        if file.parent.name == "labels"
        for line in file.read_text().splitlines()
    ]
    assert [0, 12 / 64, 12 / 64, 0.25, 0.25] in lines
    assert len(lines) == len(CORNERS)


def test_voc_holds_one_file_per_chip(squares: LabelledScene, tmp_path: Path) -> None:
    arguments = ("-o", tmp_path / "voc", "--format", "voc", "--image-format", "tif")
    assert tile(squares, *arguments).exit_code == 0
    files = sorted((tmp_path / "voc").rglob("*.xml"))
    names = [e.text for file in files for e in ElementTree.parse(file).iterfind("object/name")]
    assert names == ["square"] * len(CORNERS)
    assert len(list((tmp_path / "voc").rglob("*.tif"))) == len(files)


def test_boxes_in_pixels_of_the_raster_are_cut_like_those_on_a_map(
    squares: LabelledScene, tmp_path: Path
) -> None:
    lines = [f"scene.tif,{x},{y},{x + 16},{y + 16},square\n" for x, y in CORNERS]
    labels = tmp_path / "labels.csv"
    labels.write_text("image_path,xmin,ymin,xmax,ymax,label\n" + "".join(lines))
    boxes = []
    for number, path in enumerate((squares.labels, labels)):
        folder = tmp_path / f"coco{number}"
        assert tile((squares.raster, path), "-o", folder, "--gsd", "0.5").exit_code == 0
        annotations = json.loads((folder / "annotations.json").read_text())["annotations"]
        boxes.append(sorted(tuple(a["bbox"]) for a in annotations))
    assert boxes[0] == boxes[1]
    assert (2, 2, 8, 8) in boxes[0]


def test_points_are_cut_at_the_size_that_is_given(squares: LabelledScene, tmp_path: Path) -> None:
    points = gpd.read_file(squares.labels)
    points = points.set_geometry(points.centroid)
    points.to_file(tmp_path / "points.gpkg")
    result = tile((squares.raster, tmp_path / "points.gpkg"), "-o", tmp_path / "a")
    assert "--point-size" in result.stderr
    labels = tmp_path / "points.gpkg"
    assert tile((squares.raster, labels), "-o", tmp_path / "a", "--point-size", "4").exit_code == 0
    annotations = json.loads((tmp_path / "a" / "annotations.json").read_text())["annotations"]
    boxes = np.array(sorted(a["bbox"] for a in annotations))
    np.testing.assert_allclose(boxes[0], [4, 4, 16, 16], atol=0.1)


def test_the_summary_is_json_when_asked(squares: LabelledScene, tmp_path: Path) -> None:
    result = tile(squares, "-o", tmp_path / "coco", "--json")
    assert json.loads(result.stdout)["output"] == str(tmp_path / "coco")
    assert result.stderr == ""


def test_quiet_says_nothing(squares: LabelledScene, tmp_path: Path) -> None:
    result = tile(squares, "-o", tmp_path / "coco", "-q")
    assert result.output == ""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--format", "csv"], "Invalid value for --format: expected 'coco', 'yolo' or 'voc'"),
        (["--image-format", "gif"], "Invalid value for --image-format"),
        (["--class-field", "kind"], "kind"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line(
    squares: LabelledScene, tmp_path: Path, arguments: list[str], word: str
) -> None:
    result = tile(squares, "-o", tmp_path / "chips", *arguments)
    assert result.exit_code == (2 if "Invalid value" in word else 1)
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert word in result.stderr
    assert not (tmp_path / "chips").exists()


@pytest.mark.parametrize("overlap", ["64", "-1"])
def test_an_overlap_that_cannot_be_is_a_usage_error(
    squares: LabelledScene, tmp_path: Path, overlap: str
) -> None:
    result = tile(squares, "-o", tmp_path / "chips", "--overlap", overlap)
    assert result.exit_code == 2
    assert "--overlap" in result.stderr


def test_the_summary_names_the_classes(squares: LabelledScene, tmp_path: Path) -> None:
    assert "classes square" in " ".join(tile(squares, "-o", tmp_path / "chips").stderr.split())


def test_an_existing_folder_needs_overwrite(squares: LabelledScene, tmp_path: Path) -> None:
    assert tile(squares, "-o", tmp_path / "chips").exit_code == 0
    assert tile(squares, "-o", tmp_path / "chips").exit_code == 1
    assert tile(squares, "-o", tmp_path / "chips", "--overwrite").exit_code == 0
