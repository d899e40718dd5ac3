"""The report in Chromium, from a file, without any network: its controls and its display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image

import geodetect
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.vector.qgis_style import SCORE_COLOURS, TRUE_POSITIVE
from geodetect.settings import ReportSettings
from tests.helpers.layers import box_layer
from tests.helpers.square_scenes import CRS, write_raster

pytest.importorskip("selenium", reason="needs selenium (extra: test)")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.helpers.report_browser import count_pixels, open_report

WIDTH, HEIGHT = 1300, 900
HOSTILE = "</script><b>&amp;"
CLASSES = ("pool", HOSTILE)
COLOURS = {"pool": (30, 200, 220), HOSTILE: (220, 60, 40)}
BACKGROUND = (96, 120, 84)
GRID = Grid(parse_crs(CRS), Affine(0.25, 0, 5e5, 0, -0.25, 5.2e6), WIDTH, HEIGHT)


def boxes_on_grid() -> Any:
    x, y = np.meshgrid(np.arange(60, WIDTH - 60, 120), np.arange(60, HEIGHT - 60, 120))
    corner = np.stack([x.ravel(), y.ravel()], axis=1)
    return np.concatenate([corner, corner + np.array([40, 30])], axis=1).astype(np.float64)


BOXES = boxes_on_grid()
COUNT = len(BOXES)
SCORES = np.round(np.linspace(0.05, 0.98, COUNT)[np.random.default_rng(5).permutation(COUNT)], 3)
NAMES = [CLASSES[row % 2] for row in range(COUNT)]
IS_CORRECT = SCORES > 0.3  # these are in the truth, and one more object without a prediction


def scene_pixels() -> Any:
    image = np.empty((3, HEIGHT, WIDTH), np.uint8)
    image[:] = np.array(BACKGROUND, np.uint8)[:, None, None]
    for (x1, y1, x2, y2), name in zip(BOXES.astype(int), NAMES, strict=True):
        image[:, y1:y2, x1:x2] = np.array(COLOURS[name], np.uint8)[:, None, None]
    return image


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of one raster: with truth, imagery beside, no imagery, reduced, without scores."""
    folder = tmp_path_factory.mktemp("reports with a space")
    raster = write_raster(folder / "scene.tif", scene_pixels())
    predictions = box_layer(
        BOXES, GRID, **{"id": np.arange(1, COUNT + 1), "class": NAMES, "score": SCORES}
    )
    missed = np.array([[725.0, 480, 755, 510]])
    names = [name for name, is_correct in zip(NAMES, IS_CORRECT, strict=True) if is_correct]
    truth = box_layer(
        np.concatenate([BOXES[IS_CORRECT], missed]), GRID, **{"class": [*names, "pool"]}
    )
    kinds: dict[str, dict[str, Any]] = {
        "truth": {"raster": raster, "truth": truth, "settings": ReportSettings(note=HOSTILE)},
        "beside": {"raster": raster, "settings": ReportSettings(imagery="beside", conf=0.5)},
        "blank": {},
        "coarse": {"raster": raster, "settings": ReportSettings(gsd=1.0)},
    }
    for name, options in kinds.items():
        geodetect.report(predictions, folder / f"{name}.html", **options)
    geodetect.report(predictions.drop(columns="score"), folder / "unscored.html", raster=raster)
    return {path.stem: path for path in folder.glob("*.html")}


@pytest.mark.parametrize("kind", ["truth", "beside", "blank", "coarse", "unscored"])
def test_a_report_opens_without_errors_and_without_a_network(
    browser: Any, pages: dict[str, Path], kind: str
):
    report = open_report(browser, pages[kind])
    report.wait(lambda: report.shown > 0)
    assert report.messages() == []
    urls = report.requested_urls()
    assert urls
    assert all(url.startswith(("file://", "data:")) for url in urls)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= browser.execute_script("return window.outerWidth")  # a phone widens its window


@pytest.mark.parametrize("kind", ["truth", "beside"])
def test_the_imagery_is_seen_below_the_boxes(browser: Any, pages: dict[str, Path], kind: str):
    report = open_report(browser, pages[kind])
    report.wait(lambda: count_pixels(report.screenshot("#map"), BACKGROUND) > 10_000)
    outlines = [TRUE_POSITIVE] if kind == "truth" else SCORE_COLOURS[2:]
    assert sum(count_pixels(report.screenshot("#map"), colour) for colour in outlines) > 100
    assert report.messages() == []


def test_on_a_blank_map_there_are_boxes_and_a_scale_bar(browser: Any, pages: dict[str, Path]):
    report = open_report(browser, pages["blank"])
    assert count_pixels(report.screenshot("#map"), (251, 251, 250)) > 10_000
    assert report.find("#scale-bar").text.endswith(" m")


def test_the_scale_bar_has_the_length_of_its_label(browser: Any, pages: dict[str, Path]):
    report = open_report(browser, pages["truth"])
    for _ in range(3):
        number, unit = report.find("#scale-bar").text.split()
        metres = float(number) * {"m": 1, "cm": 0.01, "km": 1000}[unit]
        width_px = browser.execute_script(
            "return document.querySelector('#scale-bar span').getBoundingClientRect().width"
        )
        assert width_px / report.view[2] * 0.25 == pytest.approx(metres, rel=0.02)
        report.find("[data-zoom=in]").click()
        report.settle()


def test_the_slider_changes_the_counts(browser: Any, pages: dict[str, Path]):
    report = open_report(browser, pages["truth"])
    slider = report.find("#score")
    assert report.shown == COUNT
    for _ in range(4):
        slider.send_keys(Keys.PAGE_UP)
    threshold = float(slider.get_attribute("value"))
    assert 0.2 < threshold < 0.9
    is_visible = threshold - 1e-9 <= SCORES
    assert report.shown == is_visible.sum()
    precision, recall = (
        (IS_CORRECT & is_visible).sum() / is_visible.sum(),
        (IS_CORRECT & is_visible).sum() / (IS_CORRECT.sum() + 1),
    )
    assert report.texts("#key-figures dd")[:2] == [f"{precision:.3f}", f"{recall:.3f}"]
    slider.send_keys(Keys.END)
    assert report.shown == 0
    assert report.messages() == []


def test_the_slider_starts_at_the_score_threshold_of_the_settings(
    browser: Any, pages: dict[str, Path]
):
    report = open_report(browser, pages["beside"])
    assert report.find("#score-value").text == "0.50"
    assert report.shown == (SCORES >= 0.5).sum()


def test_the_best_f1_can_be_set(browser: Any, pages: dict[str, Path]):
    report = open_report(browser, pages["truth"])
    button = report.find("#best-f1")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert report.shown == IS_CORRECT.sum()
    assert report.texts("#key-figures dd")[0] == "1.000"


def test_without_scores_there_is_no_slider(browser: Any, pages: dict[str, Path]):
    report = open_report(browser, pages["unscored"])
    assert not report.find("#threshold").is_displayed()
    assert report.shown == COUNT


def test_classes_can_be_switched_off_and_hostile_names_are_only_text(
    browser: Any, pages: dict[str, Path]
):
    report = open_report(browser, pages["truth"])
    assert report.texts("#classes td:first-child") == sorted(CLASSES)
    assert report.find("#note").text == HOSTILE
    assert not browser.find_elements("css selector", "dd b, td b, p b")
    report.find("#classes input").click()
    off = sorted(CLASSES)[0]
    assert report.shown == sum(name != off for name in NAMES)
    report.find("#classes input").click()
    assert report.shown == COUNT


@pytest.mark.parametrize("kind", ["truth", "beside", "coarse"])
def test_a_click_on_a_box_opens_its_attributes_and_thumbnail(
    browser: Any, pages: dict[str, Path], kind: str
):
    report = open_report(browser, pages[kind])
    row = int(np.argmax(SCORES))
    x1, y1, x2, y2 = BOXES[row]
    report.click_map((x1 + x2) / 2, (y1 + y2) / 2)
    report.wait(lambda: report.find("#details").is_displayed())
    attributes = report.attributes()
    assert attributes["id"] == str(row + 1)
    assert attributes["Score"] == f"{SCORES[row]:g}"
    assert attributes["Class"] == NAMES[row]
    assert attributes["Box"] == "10.0 x 7.5 m"
    report.wait(
        lambda: (
            count_pixels(report.screenshot("#thumbnail"), COLOURS[NAMES[row]], tolerance=25) > 900
        )
    )
    report.click_map(WIDTH - 20, HEIGHT - 20)  # far from any box, for fingers too
    report.wait(lambda: not report.find("#details").is_displayed())
    assert report.messages() == []


def test_a_missed_object_is_drawn_and_can_be_clicked(browser: Any, pages: dict[str, Path]):
    report = open_report(browser, pages["truth"])
    report.click_map(740, 495)
    report.wait(lambda: report.find("#details").is_displayed())
    assert report.attributes() == {"Result": "missed", "Class": "pool", "Box": "7.5 x 7.5 m"}


def test_the_map_zooms_by_button_wheel_and_key_and_moves_by_dragging(
    browser: Any, pages: dict[str, Path]
):
    report = open_report(browser, pages["truth"])
    canvas, first = report.find("#map-canvas"), report.view
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    report.find("[data-zoom=in]").click()
    report.wait(lambda: report.view[2] == pytest.approx(first[2] * 1.6))
    ActionChains(browser).drag_and_drop_by_offset(canvas, -60, -40).perform()
    moved = report.view
    assert moved[0] - first[0] == pytest.approx(60 / moved[2], abs=2)
    assert moved[1] - first[1] == pytest.approx(40 / moved[2], abs=2)
    wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -100, cancelable: true}))"
    browser.execute_script(wheel, canvas)
    report.wait(lambda: report.view[2] > moved[2] * 1.1)
    canvas.send_keys("0")
    report.wait(lambda: report.view == pytest.approx(first))


def test_a_thumbnail_of_an_error_leads_to_its_position_on_the_map(
    browser: Any, pages: dict[str, Path]
):
    report = open_report(browser, pages["truth"])
    chips = browser.find_elements("css selector", "#fp-thumbnails button")
    assert len(chips) == min(24, (~IS_CORRECT).sum())
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chips[0])
    chips[0].click()
    worst = int(np.flatnonzero(~IS_CORRECT)[np.argmax(SCORES[~IS_CORRECT])])
    report.wait(lambda: report.find("#details").is_displayed())
    assert report.attributes()["id"] == str(worst + 1)
    x1, y1, x2, y2 = BOXES[worst]
    assert report.view[:2] == pytest.approx([(x1 + x2) / 2, (y1 + y2) / 2])


def test_imagery_that_was_left_behind_is_reported_as_missing(
    browser: Any, pages: dict[str, Path], tmp_path: Path
):
    alone = tmp_path / "alone.html"
    alone.write_bytes(pages["beside"].read_bytes())
    report = open_report(browser, alone)
    report.wait(lambda: report.find("#missing-imagery").is_displayed())
    assert "beside_files" in report.find("#missing-imagery").text
    assert report.shown > 0


def test_pages_can_be_saved_as_screenshots(browser: Any, pages: dict[str, Path], tmp_path: Path):
    report = open_report(browser, pages["truth"])
    report.wait(lambda: count_pixels(report.screenshot("#map"), BACKGROUND) > 10_000)
    browser.save_screenshot(str(tmp_path / "report.png"))
    image = np.asarray(Image.open(tmp_path / "report.png").convert("RGB"))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 100
    assert (image == (244, 245, 247)).all(axis=2).mean() > 0.05  # the page's own ground
