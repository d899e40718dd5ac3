"""Errors on a report page in Chromium: false positives, misses, and boxes that are off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geodetect
from geodetect.io.array_raster import ArrayRaster
from geodetect.io.vector.qgis_style import SKY_BLUE
from tests.conftest import METRES
from tests.helpers.change_layers import SIDE, squares_table

pytest.importorskip("selenium", reason="needs selenium (extra: test)")

from tests.helpers.report_browser import Report, count_pixels, open_report

TRUTH = [(20, 20, 60, 60), (120, 20, 160, 60), (220, 20, 260, 60), (20, 220, 60, 260)]
# right, off by half its width (IoU 1/3), beside everything, off by a quarter (IoU 0.6)
PREDICTIONS = [(20, 20, 60, 60), (140, 20, 180, 60), (120, 120, 160, 160), (230, 20, 270, 60)]
SCORES = [0.9, 0.8, 0.7, 0.6]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of one true positive, one false positive, one miss, and boxes that are off."""
    folder = tmp_path_factory.mktemp("errors")
    predictions = squares_table(PREDICTIONS, **{"class": "pool", "score": SCORES})
    truth = squares_table(TRUTH, **{"class": ["pool"] * len(TRUTH)})
    pixels = np.full((3, SIDE, SIDE), 90, np.uint8)
    scene = ArrayRaster(pixels, transform=METRES, crs="EPSG:2154", name="scene.tif")
    rules: dict[str, dict[str, Any]] = {
        "iou": {}, "strict": {"iou": 0.8}, "distance": {"distance": 5}
    }  # fmt: skip
    for name, settings in rules.items():
        geodetect.report(
            predictions,
            folder / f"{name}.html",
            raster=scene,
            truth=truth,
            **settings,
        )
    return {path.stem: path for path in folder.glob("*.html")}


def captions(report: Report, kind: str) -> list[str]:
    texts = report.texts(f"#{kind}-thumbnails button")
    return [text.replace("\xa0", " ") for text in texts]


def results(report: Report) -> list[str]:
    """Counts of the chips."""
    return report.texts("#categories button")


def test_a_box_that_is_off_is_counted_apart_from_false_positives_and_misses(
    browser: Any, pages: dict[str, Path]
):
    report = open_report(browser, pages["iou"])
    assert report.find("#headline").text == "4 detections, 1 pool missed"
    assert results(report) == [
        "All", "1 false positive", "1 missed", "1 box off", "2 true positives",
    ]  # fmt: skip
    assert report.find("#work-hint").text == "1 false positive first, then 1 missed, 1 box off"
    assert report.texts("#key-figures dd")[:2] == ["0.500", "0.500"]  # as evaluate counts
    assert [captions(report, kind) for kind in ("fp", "loose", "fn")] == [
        ["0.70 · 8.0 m"],
        ["0.80 · 8.0 m · IoU 0.33 · 4.0 m off"],
        ["8.0 m"],
    ]
    assert report.texts("#errors h2") == [
        "False positives", "Found, but the box is off", "Misses (false negatives)",
    ]  # fmt: skip
    assert report.messages() == []


def test_the_chip_of_boxes_that_are_off_shows_them_with_their_objects(
    browser: Any, pages: dict[str, Path]
):
    report = open_report(browser, pages["iou"])
    report.click("#categories button:nth-child(4)")
    report.settle()
    assert report.find("#headline").text == "1 of 4 detections"
    assert count_pixels(report.screenshot("#map"), SKY_BLUE) > 100
    report.click("#loose-thumbnails button")
    report.wait(lambda: report.find("#details").is_displayed())
    attributes = report.attributes()
    assert attributes["Result"] == "found, but the box is off"
    assert (attributes["IoU"], attributes["Off by"]) == ("0.33", "4.0 m")
    assert report.view[:2] == pytest.approx([160, 40])
    report.click_map(125, 40)  # the object of that prediction alone
    report.settle()
    assert report.attributes()["IoU"] == "0.33"


def test_with_the_prediction_below_the_threshold_its_object_is_missed(
    browser: Any, pages: dict[str, Path]
):
    report = open_report(browser, pages["iou"])
    report.run("setThreshold(0.85); update()")
    assert report.find("#headline").text == "1 of 4 detections, 3 pools missed"
    assert results(report)[1:4] == ["0 false positives", "3 missed", "0 boxes off"]


def test_a_stricter_iou_moves_the_limit(browser: Any, pages: dict[str, Path]):
    report = open_report(browser, pages["strict"])
    assert results(report)[3:] == ["2 boxes off", "1 true positive"]
    assert [caption.split(" · ")[2] for caption in captions(report, "loose")] == [
        "IoU 0.33",
        "IoU 0.60",
    ]


def test_by_distance_a_box_that_is_off_is_right_in_the_figures(
    browser: Any, pages: dict[str, Path]
):
    report = open_report(browser, pages["distance"])
    assert results(report)[1:] == [
        "1 false positive", "1 missed", "1 box off", "2 true positives",
    ]  # fmt: skip
    assert report.texts("#key-figures dd")[:2] == ["0.750", "0.750"]
    assert "centre within 5 m" in report.find("#curve-text").text
