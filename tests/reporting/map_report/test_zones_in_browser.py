"""Zones on the report page in Chromium: table, shaded map and filter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

import geodetect
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.vector.qgis_style import QUANTILE_COLOURS, hex_colour
from tests.helpers.layers import box_layer
from tests.helpers.square_scenes import CRS, write_raster

pytest.importorskip("selenium", reason="needs selenium (extra: test)")
from tests.helpers.report_browser import DASH, change_payload, count_pixels, open_report

GRID = Grid(parse_crs(CRS), Affine(0.25, 0, 5e5, 0, -0.25, 5.2e6), 1200, 800)


def zone(name: str, x1: float, x2: float, **values: Any) -> dict[str, Any]:
    """A rectangle of the full height."""
    ring = [x1, 0, x2, 0, x2, 800, x1, 800]
    expected = {"expected": None, "low": None, "high": None, "statuses": None, "area_km2": 0.1}
    return {"name": name, "rings": [[10 * value for value in ring]], **expected, **values}


ZONES = [
    zone("Upper <b>Town</b>", 0, 620, count=12, density=120.5, shade=4, searched="all",
         searched_fraction=1.0, expected=12.6, low=11, high=15),
    zone("Lake", 620, 900, count=3, density=40, shade=0, searched="part",
         searched_fraction=0.72, expected=3.2, low=2, high=6),
    zone("Hill", 900, 1200, count=None, density=None, shade=None, searched="none",
         searched_fraction=0.0),
]  # fmt: skip


def change_zones(payload: dict[str, Any]) -> None:
    payload["zones"] = {
        "list": ZONES, "score_threshold": None, "counted": 16, "in_zones": 15, "in_several": 0,
        "overlapping_pairs": 0, "left_out": 0, "breaks": [40, 60, 80, 100, 120, 120.5],
        "corrected": {"count": 15.8, "low": 13, "high": 20, "source": "evaluation.json"},
    }  # fmt: skip
    payload["palette"]["zones"] = [hex_colour(colour) for colour in QUANTILE_COLOURS]
    payload["noun"] = {"singular": "pool", "plural": "pools"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of 16 pools in three zones, of which one was not looked at."""
    folder = tmp_path_factory.mktemp("zones")
    centres = [(50 + 45 * i, 300) for i in range(12)] + [(650 + 90 * i, 500) for i in range(3)]
    corners = np.array([*centres, (1100, 100)])
    boxes = np.concatenate([corners - 10, corners + 10], axis=1)
    table = box_layer(boxes, GRID, **{"class": "pool", "score": np.linspace(0.9, 0.5, 16)})
    raster = write_raster(folder / "scene.tif", np.full((3, 800, 1200), 90, np.uint8))
    geodetect.report(table, folder / "plain.html", raster=raster)
    return change_payload(folder / "plain.html", folder / "zones.html", change_zones)


def test_the_table_has_counts_intervals_and_what_was_not_looked_at(browser: Any, page: Path):
    report = open_report(browser, page)
    rows = report.run(
        "return [...document.querySelectorAll('#zone-table tr')]"
        ".map((row) => [...row.children].map((cell) => cell.textContent.replaceAll('\\u2060', '')))"
    )
    assert rows == [
        ["Zone", "Pools", "Expected (95 %)", "per km²", "Not looked at"],
        ["Upper <b>Town</b>", "12", f"13 (11{DASH}15)", "121", DASH],
        ["Lake", "3", f"3 (2{DASH}6)", "40", "28 %"],
        ["Hill", DASH, DASH, DASH, "100 %"],
        ["All zones", "15", f"16 (13{DASH}20)", "", ""],
    ]
    assert "1 pool in no zone" in report.find("#zones-text").text
    assert report.messages() == []


def test_the_table_sorts_by_its_columns(browser: Any, page: Path):
    report = open_report(browser, page)
    report.click("#zone-table th:nth-child(1) button")
    assert report.texts("#zone-table td:first-child") == [
        "Hill", "Lake", "Upper <b>Town</b>", "All zones",
    ]  # fmt: skip
    report.click("#zone-table th:nth-child(2) button")
    assert report.texts("#zone-table td:first-child")[0] == "Upper <b>Town</b>"
    assert report.texts("#zone-table td:first-child")[2] == "Hill"  # without a count


def test_the_map_is_shaded_by_density_and_has_a_legend(browser: Any, page: Path):
    report = open_report(browser, page)
    report.run("document.querySelector('#zones').scrollIntoView()")
    image = report.screenshot("#zone-canvas")
    darkest, lightest = (count_pixels(image, QUANTILE_COLOURS[i]) for i in (4, 0))
    assert darkest > 2 * lightest > 1000  # of the lighter zone a part is hatched
    assert report.texts("#zone-legend span")[:2] == ["pools per km²", f"40{DASH}60"]
    assert report.texts("#zone-legend span")[-1] == "not or partly looked at"


def test_a_click_on_a_zone_zooms_to_it_and_shows_only_its_objects(browser: Any, page: Path):
    report = open_report(browser, page)
    full = report.view
    report.click("#zone-canvas")  # its middle is in the first zone, near the border
    report.settle()
    assert report.find("#headline").text == "12 of 16 pools"
    report.click("#zone-table tbody tr:nth-child(2) button")
    report.settle()
    assert report.find("#headline").text == "3 of 16 pools"
    assert report.view[:2] == pytest.approx([760, 400])
    assert report.find("#zone-chip").text.startswith("Only Lake")
    report.click("#zone-chip")
    report.settle()
    assert report.find("#headline").text == "16 pools"
    assert report.view == pytest.approx(full)
