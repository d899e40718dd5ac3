"""Outlines on the report page, in Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

import geodetect
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.vector.qgis_style import SCORE_COLOURS
from tests.helpers.square_scenes import CRS, write_raster

pytest.importorskip("selenium", reason="needs selenium (extra: test)")

from tests.helpers.report_browser import count_pixels, open_report

GRID = Grid(parse_crs(CRS), Affine(0.25, 0, 5e5, 0, -0.25, 5.2e6), 600, 400)
RADII_PX = (20.0, 30.0, 40.0)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rings with intervals of their areas, in one zone."""
    folder = tmp_path_factory.mktemp("outlines")
    raster = write_raster(folder / "scene.tif", np.full((3, 400, 600), 90, np.uint8))
    centres = [shapely.Point(100 + 200 * k, 200) for k in range(3)]
    rings = [
        centre.buffer(radius, 32) - centre.buffer(radius / 2, 32)
        for centre, radius in zip(centres, RADII_PX, strict=True)
    ]
    outlines = [shapely.transform(ring, GRID.to_map) for ring in rings]
    areas = shapely.area(outlines)
    table = gpd.GeoDataFrame(
        {"score": [0.95, 0.94, 0.93], "area_low_m2": 0.9 * areas, "area_high_m2": 1.1 * areas},
        geometry=outlines,
        crs=CRS,
    )
    zones = gpd.GeoDataFrame({"name": ["all"]}, geometry=[GRID.outline], crs=CRS)
    return geodetect.report(table, folder / "report.html", raster=raster, zones=zones).output


def test_outlines_are_drawn_and_their_areas_are_told(browser: Any, page: Path) -> None:
    report = open_report(browser, page)
    report.wait(lambda: count_pixels(report.screenshot("#map"), SCORE_COLOURS[-1]) > 100)
    report.click_map(500 + 30, 200)
    assert report.attributes()["Area"] == "236 m²"
    total = sum(0.75 * np.pi * radius**2 for radius in RADII_PX) / 16 / 0.9996**2
    assert f"{total:.0f} m²" in report.find("#key-figures").text
    assert "total area of boxes" not in report.find("#key-figures").text
    report.run("select(null)")
    report.settle()
    row = report.texts("#zone-table .total td")
    assert row[2].startswith(f"{total:.0f} (")
    assert report.messages() == []


def test_the_histogram_of_areas_counts_the_visible_objects(browser: Any, page: Path) -> None:
    report = open_report(browser, page)
    assert report.find("#area-card").is_displayed()
    assert len(report.chrome.find_elements("css selector", "#area-histogram .bar")) == 3
    assert "Area (m²)" in report.find("#area-histogram").text


def test_the_corners_of_the_box_of_an_outline_stay_free(browser: Any, page: Path) -> None:
    report = open_report(browser, page)
    report.run("map.zoomToBox(460, 160, 80, 80)")
    report.settle()
    colours = report.run(
        "const view = map.view, at = (x, y) => Array.from(map.context.getImageData("
        "Math.round(toScreenX(view, x) * view.ratio) - 1,"
        "Math.round(toScreenY(view, y) * view.ratio) - 1, 3, 3).data);"
        "return [at(460, 160), at(540, 200), at(520, 200)]"
    )
    has_line = [
        (np.abs(np.reshape(c, (-1, 4))[:, :3] - np.array(SCORE_COLOURS[-1])).max(axis=1) < 20).any()
        for c in colours
    ]
    assert has_line == [False, True, True]  # corner of the box, outer ring, hole
