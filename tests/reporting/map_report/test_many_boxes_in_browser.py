"""A report of 100,000 boxes on a phone and on a desktop, in Chromium slowed down to a quarter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

import geodetect
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from tests.helpers.layers import box_layer
from tests.helpers.square_scenes import CRS

pytest.importorskip("selenium", reason="needs selenium (extra: test)")
from selenium.webdriver.common.keys import Keys

from tests.helpers.report_browser import Report, open_report

COUNT = 100_000
GRID = Grid(parse_crs(CRS), Affine(0.25, 0, 5e5, 0, -0.25, 5.2e6), 20_000, 20_000)
SLOWDOWN = 4  # a phone of the middle class
PATIENCE_MS = 250  # of a frame; on a machine with nothing else to do it takes about 16


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of 100,000 boxes, denser towards the centre."""
    rng = np.random.default_rng(1)
    corners = np.clip(rng.normal(10_000, 3500, (COUNT, 2)), 0, 19_900)
    boxes = np.concatenate([corners, corners + rng.uniform(15, 60, (COUNT, 2))], axis=1)
    table = box_layer(boxes, GRID, **{"class": "pool", "score": rng.uniform(0.05, 1, COUNT)})
    path = tmp_path_factory.mktemp("many") / "many.html"
    geodetect.report(table, path)
    return path


@pytest.fixture
def report(browser: Any, page: Path) -> Any:
    report = open_report(browser, page)
    browser.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    yield report
    browser.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 1})


def clusters(report: Report) -> list[dict[str, Any]]:
    return report.run(
        "return (boxLayer.clustersIn(map.view) ?? [])"
        ".map(({x, y, radius, count}) => ({x, y, radius, count}))"
    )


def paint_times(report: Report, move: str, frames: int = 15) -> Any:
    """Milliseconds that each of some frames takes to paint while the map moves."""
    return np.array(
        report.chrome.execute_async_script(
            "const done = arguments[0], times = [];"
            "const step = () => {"
            f"  {move};"
            "  const start = performance.now();"
            "  map.paint(); map.context.getImageData(0, 0, 1, 1);"  # waits for the drawing
            "  times.push(performance.now() - start);"
            f"  if (times.length < {frames}) requestAnimationFrame(step); else done(times);"
            "}; requestAnimationFrame(step);"
        )
    )


def test_boxes_that_cannot_be_told_apart_are_counted_in_clusters(report: Report):
    groups = clusters(report)
    assert 8 < len(groups) < 400
    assert sum(group["count"] for group in groups) == COUNT
    for i, a in enumerate(groups):  # none covers another
        for b in groups[:i]:
            distance = np.hypot(a["x"] - b["x"], a["y"] - b["y"])
            assert distance > a["radius"] + b["radius"] - 1
    assert report.messages() == []


def test_a_click_on_a_cluster_zooms_in_until_there_are_boxes(report: Report):
    zoom = report.view[2]
    for _ in range(12):
        groups = clusters(report)
        if not groups:
            break
        largest = max(groups, key=lambda group: group["count"])
        report.run("map.onClick(arguments[0], arguments[1], 4)", largest["x"], largest["y"])
        report.settle()
    assert not clusters(report)
    assert report.view[2] > 2 * zoom
    assert not report.find("#selected").is_displayed()
    x, y = report.view[:2]
    report.run("map.onClick(map.view.width / 2, map.view.height / 2, 100)")
    assert report.find("#selected").is_displayed(), (x, y)


@pytest.mark.parametrize("move", ["map.panBy(9, 5)", "map.zoomBy(1.07)"])
def test_the_map_moves_smoothly(report: Report, move: str):
    assert np.median(paint_times(report, move)) < PATIENCE_MS


def test_the_slider_counts_exactly(report: Report, page: Path):
    text = re.search('"score":\\[([^]]*)\\]', page.read_text(encoding="utf-8"))
    assert text
    scores = np.array(text[1].split(","), np.float64)
    slider = report.find("#score")
    for key in (Keys.PAGE_UP, Keys.PAGE_UP, Keys.ARROW_RIGHT):
        slider.send_keys(key)
        threshold = float(slider.get_attribute("value"))
        assert report.shown == (scores >= threshold - 1e-9).sum()
    report.settle()
    assert sum(group["count"] for group in clusters(report)) == report.shown


def test_the_list_holds_all_rows_but_draws_those_in_view(report: Report):
    assert report.find("#work-grid").get_attribute("aria-rowcount") == str(COUNT + 1)
    rows = report.find("#work-rows")
    rows.send_keys(Keys.END)
    report.wait(lambda: report.find(f"#work-row-{COUNT - 1}").is_displayed())
    assert len(report.chrome.find_elements("css selector", "#work-rows [role=row]")) < 60
    report.run("sortList(listColumns.at(-1))")  # by length
    assert report.find("#work-row-0").is_displayed()
