"""Doubts about results come where a number misleads, and not on good data."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
from rasterio.windows import Window

import geodetect
from geodetect.errors import GeodetectWarning
from tests.helpers.program import ROOT

SAMPLE = ROOT / "sample_data/neighbourhood.tif"
LOW_CONF, CONF = 0.05, 0.41
SHIFT_M = 3.1


@pytest.fixture(scope="module")
def predictions() -> gpd.GeoDataFrame:
    """What the built-in model detects in the sample scene; warnings are errors."""
    return geodetect.predict(SAMPLE, conf=LOW_CONF)


@pytest.fixture(scope="module")
def truth(predictions: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return gpd.read_file(SAMPLE.with_suffix(".geojson")).to_crs(predictions.crs)


def above_threshold(predictions: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return predictions[predictions["score"] >= CONF].reset_index(drop=True)


def test_an_evaluation_of_all_predictions_on_good_data_has_no_caveat(
    predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame
) -> None:
    evaluation = geodetect.evaluate(predictions, truth, conf=CONF, match="outline")
    assert evaluation.caveats == ()


def test_thresholded_predictions_are_the_only_caveat_of_their_evaluation(
    predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame
) -> None:
    scored = above_threshold(predictions)
    (caveat,) = geodetect.evaluate(scored, truth, match="outline").caveats
    assert "average precision is a lower bound" in caveat


def test_outlines_in_both_layers_whose_boxes_are_compared_are_named(
    predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame
) -> None:
    (caveat,) = geodetect.evaluate(predictions, truth, conf=CONF).caveats
    assert caveat.startswith("both layers hold outlines, of which the bounding boxes are compared")


def test_a_good_register_raises_no_doubt(
    predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame
) -> None:
    changes = geodetect.compare(above_threshold(predictions), truth)
    assert changes.counts["confirmed"] > 50


def test_a_register_that_is_shifted_as_a_whole_is_named_with_its_offset(
    predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame
) -> None:
    shifted = truth.set_geometry(truth.translate(SHIFT_M, 0))
    with pytest.warns(GeodetectWarning, match=r"3\.[0-3] m to the east.*`moved_from`"):
        geodetect.compare(above_threshold(predictions), shifted)
    (caveat,) = geodetect.evaluate(predictions, shifted, conf=CONF, match="outline").caveats
    assert caveat.startswith("the truth lies about 3.")
    assert geodetect.compare(above_threshold(predictions), shifted, align=True).counts["moved"] < 3


def test_loose_truth_is_named_with_the_iou_that_it_allows(
    predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame
) -> None:
    loose = truth.set_geometry(truth.envelope.scale(1.6, 1.6))
    caveats = geodetect.evaluate(predictions, loose, conf=CONF).caveats
    assert any("the boxes of the truth are 1." in caveat for caveat in caveats)


def test_counts_corrected_by_the_rates_of_the_card_raise_no_doubt(
    predictions: gpd.GeoDataFrame,
) -> None:
    zone = gpd.GeoDataFrame(geometry=[predictions.union_all().envelope], crs=predictions.crs)
    rates = geodetect.error_rates_from_model("pools")
    assert geodetect.summarize(predictions, zone, rates=rates).corrected is not None


@pytest.mark.parametrize(
    ("name", "corner"), [("california_west", (6000, 6000)), ("cannes_north", (20_000, 8_000))]
)
def test_good_imagery_raises_no_doubt(
    name: str, corner: tuple[int, int], shared_data: Path, tmp_path: Path
) -> None:
    with rasterio.open(shared_data / f"pools/{name}.tif") as source:
        window = Window(*corner, 1500, 1500)
        profile = source.profile | {"width": 1500, "height": 1500}
        profile["transform"] = source.window_transform(window)
        with rasterio.open(tmp_path / "scene.tif", "w", **profile) as target:
            target.write(source.read(window=window))
            target.write_mask(source.dataset_mask(window=window))
    geodetect.predict(tmp_path / "scene.tif")  # warnings are errors
