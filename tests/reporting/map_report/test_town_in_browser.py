"""What ``compare`` wrote on a report page in Chromium: permits, order of work, zones, print."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geodetect
from geodetect.io.array_raster import ArrayRaster
from tests.conftest import METRES
from tests.helpers.change_layers import SIDE, squares_table

pytest.importorskip("selenium", reason="needs selenium (extra: test)")
from selenium.webdriver.common.keys import Keys

from tests.helpers.report_browser import Report, count_pixels, open_report

CELL = 30  # px: one pool in each cell of the scene
COUNT = 100
NEW, MOVED, MISSING = 7, 5, 3
CONFIRMED = COUNT - NEW - MISSING - MOVED
STATUSES = {"new": NEW, "missing": MISSING, "moved": MOVED, "confirmed": CONFIRMED}
REGISTERED = np.arange(NEW, COUNT)  # the first pools are not in the register
UNPERMITTED = 24  # of these, every fourth


def pools(shift: int = 0) -> Any:
    """Boxes in pixels of the scene, row by row."""
    x, y = np.meshgrid(np.arange(10) * CELL + 5, np.arange(10) * CELL + 5)
    corners = np.stack([x.ravel() + shift, y.ravel()], axis=1)
    return np.concatenate([corners, corners + 12], axis=1)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of the changes of a town with two zones, of which one is not imaged whole."""
    folder = tmp_path_factory.mktemp("town")
    detected = np.delete(np.arange(COUNT), np.arange(NEW, NEW + MISSING))
    predictions = squares_table(
        pools()[detected], **{"class": "pool", "score": np.linspace(0.95, 0.5, len(detected))}
    )
    registered = pools()[REGISTERED]
    registered[-MOVED:] += np.array([12, 0, 12, 0])  # 2.4 m
    register = squares_table(
        registered,
        permit=[None if n % 4 == 0 else f"DP-{n:03d}" for n in range(len(REGISTERED))],
        address=[f"{n} rue Haute" for n in range(len(REGISTERED))],
    )
    register["geometry"] = register.centroid
    changes = geodetect.compare(predictions, register, distance=4, moved_from=2).write(
        folder / "changes.gpkg"
    )
    zones = squares_table([(0, 0, 150, SIDE), (150, 0, SIDE, SIDE)], name=["Altstadt", "Neustadt"])
    pixels = np.full((3, SIDE, SIDE), 90, np.uint8)
    scene = ArrayRaster(pixels, transform=METRES, crs="EPSG:2154", name="scene.tif")
    geodetect.report(changes, folder / "town.html", raster=scene, zones=zones)
    return folder / "town.html"


def cells(report: Report, selector: str) -> list[list[str]]:
    """Texts of the cells of rows."""
    return report.run(
        "return [...document.querySelectorAll(arguments[0])]"
        ".map((row) => [...row.children].map((cell) => cell.textContent))",
        selector,
    )


def listed(report: Report) -> list[list[str]]:
    return cells(report, "#work-rows [role=row]")


def test_the_page_counts_the_pools_and_says_what_comes_first(browser: Any, page: Path):
    report = open_report(browser, page)
    assert report.find("#headline").text == f"{COUNT} pools"
    assert report.find("#work-hint").text == f"{NEW} new pools without a permit first"
    chips = [f"{count} {name}" for name, count in STATUSES.items()]
    assert report.texts("#categories button") == ["All", *chips]
    assert report.messages() == []


def test_objects_without_a_permit_are_one_click_away(browser: Any, page: Path):
    report = open_report(browser, page)
    header, *_ = cells(report, "#work-header")
    assert header == ["Status", "Address", "Permit", "Score"]
    is_phone = report.run("return innerWidth") < 500  # has no room for scores
    shown = report.texts("#work-header > div")
    assert [text for text in shown if text] == header[: 3 if is_phone else 4]
    chip = report.find("#permit-chip")
    assert chip.text == f"{NEW + UNPERMITTED} without a permit"
    chip.click()
    assert report.find("#headline").text == f"{NEW + UNPERMITTED} of {COUNT} pools"
    assert {row[2] for row in listed(report)} == {"none"}
    assert chip.get_attribute("aria-pressed") == "true"
    report.click("#categories button:nth-child(2)")  # the new ones
    assert report.find("#headline").text == f"{NEW} of {COUNT} pools"
    assert report.find("#permit-chip").text == f"{NEW} without a permit"
    report.click("#categories button:first-child")
    assert report.find("#headline").text == f"{COUNT} pools"
    assert chip.get_attribute("aria-pressed") == "false"


def test_the_order_of_work_puts_new_ones_and_those_without_a_permit_first(browser: Any, page: Path):
    report = open_report(browser, page)
    report.find("#work-rows").send_keys(Keys.END)
    last_status, _, last_permit, _ = listed(report)[-1]
    assert (last_status, last_permit[:3]) == ("confirmed", "DP-")
    order, statuses, permitted = report.run(
        "const {order, status, permitted} = data.predictions; return ["
        "order, order.map((row) => status[row]), order.map((row) => permitted[row])]"
    )
    assert sorted(order) == list(range(COUNT))
    assert sorted(zip(statuses, permitted, strict=True)) == list(
        zip(statuses, permitted, strict=True)
    )
    report.press(Keys.ESCAPE)
    report.press("n")
    assert report.attributes()["Status"] == "new"
    for _ in range(NEW):
        report.press("n")
    assert report.attributes()["Status"] == "missing"


def test_zones_count_the_detected_and_filter_with_permits(browser: Any, page: Path):
    report = open_report(browser, page)
    rows = cells(report, "#zone-table tr")
    assert [row[:3] for row in rows] == [
        ["Zone", "Pools", "New"],
        ["Altstadt", "50", "5"],
        ["Neustadt", f"{COUNT - MISSING - 50}", "2"],
        ["All zones", f"{COUNT - MISSING}", f"{NEW}"],
    ]
    assert report.find("#zones-text").text == (
        f"{COUNT - MISSING} pools counted, without the {MISSING} missing. "
        "It is not known whether all of this ground was looked at."
    )
    report.click("#zone-table tbody tr:nth-child(2) button")
    report.click("#categories button:nth-child(2)")
    report.settle()
    assert report.find("#headline").text == f"2 of {COUNT} pools"
    assert report.find("#zone-chip").text.startswith("Only Neustadt")


def test_address_permit_and_zone_come_first_among_the_attributes(browser: Any, page: Path):
    report = open_report(browser, page)
    report.run("select(data.predictions.order.at(-1))")
    attributes = report.attributes()
    assert list(attributes)[:5] == ["Status", "address", "permit", "Zone", "Score"]
    x = report.run("return boxOf(state.selected)[0]")
    assert attributes["Zone"] == ("Altstadt" if x < 150 else "Neustadt")
    assert attributes["permit"].startswith("DP-")
    report.run("select(data.predictions.order[arguments[0]])", NEW)
    assert report.attributes()["Status"] == "missing"
    assert "area_m2" not in report.attributes()  # of no detection
    assert "zone" in report.run("return csvText([0]).split('\\r\\n')[0]").split(",")


def test_points_of_the_register_are_dots_among_small_boxes(browser: Any, page: Path):
    report = open_report(browser, page)
    pink = tuple(bytes.fromhex(report.run("return statuses[1].colour")[1:]))
    report.run("map.zoomBy(0.5); map.view.zoom = 0.4; map.redraw()")  # a box is 5 px wide
    report.settle()
    small = count_pixels(report.screenshot("#map"), pink, tolerance=40)
    report.run("map.zoomToFull(); map.redraw()")
    report.settle()
    large = count_pixels(report.screenshot("#map"), pink, tolerance=40)
    assert 0 < small < large / 3


def print_page(report: Report) -> bytes:
    """The page as a PDF."""
    options = {"printBackground": True, "preferCSSPageSize": True}
    return base64.b64decode(report.chrome.execute_cdp_cmd("Page.printToPDF", options)["data"])


def test_the_page_prints_its_map_zones_and_list_on_a_few_sheets(browser: Any, page: Path):
    report = open_report(browser, page)
    report.click("#permit-chip")
    report.settle()
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", print_page(report))) <= 5
    assert len(listed(report)) < NEW + UNPERMITTED  # the list is as it was on the screen
    report.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        report.run("window.dispatchEvent(new Event('beforeprint'))")
        assert len(listed(report)) == NEW + UNPERMITTED
        printed = [
            "#headline",
            "#permit-chip",
            "#map-canvas",
            "#zone-table",
            f"#work-row-{NEW + UNPERMITTED - 1}",
        ]
        controls = ["#search", "#zoom-buttons", "#next", "#threshold"]
        shown = [name for name in printed + controls if report.find(name).is_displayed()]
        assert shown == printed
    finally:
        report.run("window.dispatchEvent(new Event('afterprint'))")
        report.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
