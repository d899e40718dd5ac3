"""The work list of the report page in Chromium: statuses, order, search, keys, links, files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

import geodetect
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from tests.helpers.layers import box_layer
from tests.helpers.square_scenes import CRS, write_raster

pytest.importorskip("selenium", reason="needs selenium (extra: test)")
from selenium.webdriver.common.keys import Keys

from tests.helpers.report_browser import (
    DASH,
    Report,
    change_payload,
    count_pixels,
    open_report,
)

STATUSES = {"new": "#ff8c3c", "missing": "#ff40a0", "confirmed": "#40e0be"}
COUNT, SCORED = 60, 50  # objects in all; the last ones have no score
CODES = [0] * 6 + [2] * 44 + [1] * 10
ADDRESSES = [f"Lake Road {number}" for number in range(COUNT, 0, -1)]
GRID = Grid(parse_crs(CRS), Affine(0.25, 0, 5e5, 0, -0.25, 5.2e6), 1000, 750)
SCORES = np.round(np.linspace(0.99, 0.5, SCORED), 3)


def change_statuses(payload: dict[str, Any]) -> None:
    predictions = payload["predictions"]
    predictions["status"] = CODES
    predictions["score"] = [*SCORES.tolist(), *[None] * (COUNT - SCORED)]
    predictions["order"] = [*range(6), *range(50, 60), *range(6, 50)]
    payload["statuses"] = [
        {"name": name, "colour": colour, "dashed": name == "missing", "text": f"{name} ones"}
        for name, colour in STATUSES.items()
    ]
    payload["noun"] = {"singular": "pool", "plural": "pools"}
    payload["address"] = "address"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of 6 new, 10 missing and 44 confirmed pools."""
    folder = tmp_path_factory.mktemp("work list")
    corners = np.stack(np.meshgrid(np.arange(10) * 95, np.arange(6) * 120), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([corners + 20, corners + np.array([50, 40])], axis=1)
    columns = {
        "id": np.arange(101, 101 + COUNT),
        "class": "pool",
        "score": [*SCORES, *[0.01] * (COUNT - SCORED)],
        "address": ADDRESSES,
        "owner": ["=SUM(A1)", *["Meier, Anna"] * (COUNT - 1)],
    }
    raster = write_raster(folder / "scene.tif", np.full((3, 750, 1000), 90, np.uint8))
    geodetect.report(box_layer(boxes, GRID, **columns), folder / "plain.html", raster=raster)
    return change_payload(folder / "plain.html", folder / "pools.html", change_statuses)


def listed(report: Report, column: int = 2) -> list[str]:
    """Texts of a column of the list, of the rows that are drawn."""
    return report.run(
        "return [...document.querySelectorAll('#work-rows [role=row]')]"
        ".map((row) => row.children[arguments[0] - 1].textContent)",
        column,
    )


def chip(report: Report, name: str) -> Any:
    (button,) = [
        button
        for button in report.chrome.find_elements("css selector", "#categories button")
        if button.text.split()[-1] == name
    ]
    return button


def test_the_headline_counts_the_objects_by_their_noun(browser: Any, page: Path):
    report = open_report(browser, page)
    assert report.find("#headline").text == "60 pools"
    assert report.texts("#categories button") == ["All", "6 new", "10 missing", "44 confirmed"]
    assert report.find("#work-hint").text == "6 new first, then 10 missing"
    assert report.messages() == []


def test_a_chip_shows_one_status_only(browser: Any, page: Path):
    report = open_report(browser, page)
    chip(report, "new").click()
    assert report.find("#headline").text == "6 of 60 pools"
    assert chip(report, "new").get_attribute("aria-pressed") == "true"
    assert set(listed(report, 1)) == {"new"}
    report.settle()
    colours = [tuple(bytes.fromhex(colour[1:])) for colour in STATUSES.values()]
    pixels = [count_pixels(report.screenshot("#map"), colour) for colour in colours]
    assert pixels[0] > 20
    assert pixels[1:] == [0, 0]
    chip(report, "missing").click()
    assert report.find("#headline").text == "16 of 60 pools"
    chip(report, "All").click()
    assert report.find("#headline").text == "60 pools"


def test_objects_without_a_score_stay_at_every_threshold(browser: Any, page: Path):
    report = open_report(browser, page)
    report.find("#score").send_keys(Keys.END)
    assert report.find("#headline").text == "10 of 60 pools"
    assert set(listed(report, 1)) == {"missing"}
    assert set(listed(report, 3)) == {DASH}


def test_the_list_comes_in_the_order_of_work_and_sorts_by_each_column(browser: Any, page: Path):
    report = open_report(browser, page)
    assert listed(report, 1)[:7] == ["new"] * 6 + ["missing"]
    headers = browser.find_elements("css selector", "#work-header button")
    assert [header.text for header in headers] == ["Status", "Address", "Score"]
    headers[1].click()
    assert listed(report)[:3] == ["Lake Road 1", "Lake Road 2", "Lake Road 3"]  # not 1, 10, 11
    headers[1].click()
    assert listed(report)[0] == "Lake Road 60"
    headers[2].click()
    assert listed(report, 3)[:2] == ["0.99", "0.98"]
    report.find("#work-rows").send_keys(Keys.END)
    assert listed(report, 3)[-1] == DASH
    sorted_by = browser.find_elements("css selector", "[aria-sort=descending]")
    assert [header.text for header in sorted_by] == ["Score"]


def test_the_search_looks_through_all_columns(browser: Any, page: Path):
    report = open_report(browser, page)
    report.find("#search").send_keys("lake road 17")
    assert report.find("#headline").text == "1 of 60 pools"
    assert listed(report) == ["Lake Road 17"]
    report.find("#search").send_keys(Keys.ESCAPE)
    assert report.find("#headline").text == "60 pools"
    report.find("#search").send_keys("nobody")
    assert report.find("#work-empty").is_displayed()


def test_keys_lead_from_object_to_object_and_escape_deselects(browser: Any, page: Path):
    report = open_report(browser, page)
    selected = []
    for key in ("n", "j", "n", "p", "k"):
        report.press(key)
        selected.append(report.attributes()["id"])
    assert selected == ["101", "102", "103", "102", "101"]
    assert report.view[:2] == pytest.approx([35, 30])  # the map goes along
    assert "1 of 60" in report.find("#announcement").get_attribute("textContent")
    zoom = report.view[2]
    report.press("-")
    report.wait(lambda: report.view[2] < zoom * 0.9)
    report.press(Keys.ENTER)
    report.wait(lambda: report.view[2] == pytest.approx(zoom))
    report.press(Keys.ESCAPE)
    assert not report.find("#selected").is_displayed()
    report.press("n")  # begins at the first again
    assert report.attributes()["id"] == "101"


def test_arrows_move_through_the_list_while_it_has_the_focus(browser: Any, page: Path):
    report = open_report(browser, page)
    rows = report.find("#work-rows")
    rows.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert report.attributes()["id"] == "102"
    assert rows.get_attribute("aria-activedescendant") == "work-row-1"
    rows.send_keys(Keys.END)
    assert report.attributes()["id"] == "150"
    assert report.find("#work-row-59").get_attribute("aria-selected") == "true"


def test_the_keys_are_listed_on_the_page(browser: Any, page: Path):
    report = open_report(browser, page)
    report.press("?")
    report.wait(lambda: report.find("#help").is_displayed())
    assert "next object" in report.find("#help").text
    report.press(Keys.ESCAPE)
    report.wait(lambda: not report.find("#help").is_displayed())


def test_every_control_has_a_name_for_screen_readers(browser: Any, page: Path):
    report = open_report(browser, page)
    report.press("n")
    for element in browser.find_elements("css selector", "button, input, canvas[tabindex]"):
        if element.is_displayed():
            assert element.accessible_name, element.get_attribute("outerHTML")


def test_a_link_opens_the_page_at_an_object(browser: Any, page: Path):
    report = open_report(browser, page, "#id=155")
    attributes = report.attributes()
    assert (attributes["id"], attributes["Status"], attributes["address"]) == (
        "155",
        "missing",
        ADDRESSES[54],
    )
    assert report.view[:2] == pytest.approx([4 * 95 + 35, 5 * 120 + 30])
    report.press("p")
    assert browser.current_url.endswith("#id=154")
    report.press(Keys.ESCAPE)
    assert "#" not in browser.current_url
    report = open_report(browser, page, "#id=7")
    assert "no object with the id 7" in report.find("#link-warning").text


def saved_file(report: Report, selector: str) -> tuple[str, str]:
    """Name and text of the file that a button saves."""
    report.run(
        "URL.createObjectURL = (blob) => { window.saved = blob; return '#'; };"
        "HTMLAnchorElement.prototype.click = function() { window.savedName = this.download; };"
    )
    report.click(selector)
    text = report.chrome.execute_async_script(
        "const done = arguments[0]; saved.arrayBuffer().then((bytes) =>"
        " done(new TextDecoder('utf-8', {ignoreBOM: true}).decode(bytes)))"
    )
    return report.run("return window.savedName"), text


def test_the_listed_objects_can_be_saved_for_spreadsheets(browser: Any, page: Path):
    report = open_report(browser, page)
    chip(report, "new").click()
    name, text = saved_file(report, "#export-csv")
    assert name == "pools_pools.csv"
    assert text.startswith("\ufeff")  # Excel takes it as UTF-8
    rows = list(csv.DictReader(text[1:].splitlines()))
    assert [row["id"] for row in rows] == ["101", "102", "103", "104", "105", "106"]
    assert {row["status"] for row in rows} == {"new"}
    assert rows[0]["owner"] == "'=SUM(A1)"  # no formula
    assert rows[1]["owner"] == "Meier, Anna"
    assert float(rows[0]["latitude"]) == pytest.approx(46.95, abs=0.05)


def test_the_listed_objects_can_be_saved_for_maps(browser: Any, page: Path):
    report = open_report(browser, page)
    report.find("#search").send_keys("lake road 17")
    name, text = saved_file(report, "#export-geojson")
    assert name == "pools_pools.geojson"
    (feature,) = json.loads(text)["features"]
    assert feature["properties"]["address"] == "Lake Road 17"
    assert feature["geometry"]["coordinates"] == pytest.approx([9.0, 46.95], abs=0.05)
