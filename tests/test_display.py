"""Short texts and tables of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest

import geodetect
from geodetect.display import MAX_ROWS, Displayed, Rows
from tests.helpers.program import ROOT

SCENE = ROOT / "sample_data/neighbourhood.tif"
TRUTH = ROOT / "sample_data/neighbourhood.geojson"


class Result(Displayed):
    def __init__(self, *rows: tuple[str, str]) -> None:
        self.rows = rows

    def display_rows(self) -> Rows:
        return self.rows


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    layer = geodetect.predict_layer(SCENE)
    pools, folder = layer.table(), tmp_path_factory.mktemp("report")
    truth = gpd.read_file(TRUTH)
    zones = gpd.GeoDataFrame(
        {"name": ["all"]}, geometry=[truth.union_all().envelope], crs=truth.crs
    )
    return {
        "DetectionLayer": layer,
        "Evaluation": geodetect.evaluate(pools, truth, resamples=50),
        "Comparison": geodetect.compare(pools, truth),
        "ZoneSummary": geodetect.summarize(pools, zones),
        "Estimate": geodetect.estimate(SCENE),
        "ModelCard": geodetect.load_card("pools"),
        "LabelReport": geodetect.check(SCENE, truth, shift=False),
        "RasterInfo": geodetect.inspect_raster(SCENE),
        "ReportSummary": geodetect.report(pools, folder / "page.html"),
    }


def test_results_are_shown_in_at_most_twelve_short_lines(results: dict[str, Any]) -> None:
    for name, result in results.items():
        lines = repr(result).splitlines()
        assert lines[0] == name
        assert str(result) == repr(result)
        assert 4 <= len(lines) <= 12, repr(result)
        assert max(map(len, lines)) < 160, repr(result)
        html = result._repr_html_()
        assert html.count("<tr>") == len(lines) - 1
        assert "<caption>" in html


def test_the_figures_are_those_of_the_terminal(results: dict[str, Any]) -> None:
    point = results["Evaluation"].metrics.overall.at_threshold
    assert f"TP, FP, FN   {point.tp}, {point.fp}, {point.fn}" in repr(results["Evaluation"])
    assert f"{point.precision:.3f} (" in repr(results["Evaluation"])
    assert f"{len(results['DetectionLayer']):,} pool" in repr(results["DetectionLayer"])
    assert "km²" in repr(results["ZoneSummary"])


def test_names_and_values_are_escaped_shortened_and_on_one_line() -> None:
    result = Result(("<b>", 'a & "b"\n<script>'), ("long", "x" * 500))
    assert "<script>" not in result._repr_html_()
    assert "a &amp; &quot;b&quot; &lt;script&gt;" in result._repr_html_()
    assert len(repr(result)) < 160
    assert repr(result).splitlines()[1] == '  <b>   a & "b" <script>'
    assert len(repr(Result(*[("a", "b")] * 50)).splitlines()) == MAX_ROWS + 1


def test_secrets_of_addresses_are_not_shown() -> None:
    result = Result(("Raster", "https://user:secret@example.org/a.tif?token=secret"))
    assert "secret" not in repr(result) + result._repr_html_()


def test_a_description_of_a_raster_stays_a_dictionary(results: dict[str, Any]) -> None:
    info = results["RasterInfo"]
    assert isinstance(info, dict)
    assert info["width"] > 0
    assert Path(info["path"]).name == SCENE.name
