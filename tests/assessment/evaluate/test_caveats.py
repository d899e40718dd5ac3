"""Caveats on objects that sheets cut, and on thresholds beyond the scores of the predictions."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from geodetect.assessment.evaluate.caveats import find_ground_caveats
from geodetect.assessment.evaluate.evaluation import evaluate
from geodetect.assessment.matching.alignment import align_layers
from geodetect.model.card import ModelCard, TrainingRecord
from geodetect.model.trained_ground import ground_as_text
from tests.helpers.layers import CRS, square_layer

COUNT = 40
TRUTH = square_layer(*((30.0 * n, 0.0) for n in range(COUNT)))


def predict_on_sheets(
    cut: int, truncated: tuple[object, object] = (True, False)
) -> gpd.GeoDataFrame:
    """Exact predictions, but the first ``cut`` of them are in two pieces of 4 and 6 m."""
    x1, y1, x2, y2 = TRUTH.bounds.to_numpy().T
    pieces = [shapely.box(x1, y1, x1 + 4, y2)[:cut], shapely.box(x1 + 4, y1, x2, y2)[:cut]]
    geometry = np.concatenate([*pieces, TRUTH.geometry[cut:]])
    columns = {
        "score": np.linspace(0.99, 0.01, len(geometry)),
        "truncated": [truncated[0]] * 2 * cut + [truncated[1]] * (COUNT - cut),
    }
    return gpd.GeoDataFrame(columns, geometry=geometry, crs=CRS)


def test_layers_that_are_swapped_are_named() -> None:
    scored = TRUTH.assign(score=0.9)
    (caveat,) = evaluate(TRUTH, scored).caveats
    assert caveat.endswith("equally confident; the truth has scores: were they swapped?")
    assert evaluate(TRUTH, TRUTH).caveats[0].endswith("equally confident")
    assert evaluate(scored, scored).caveats == ()


def test_objects_that_sheets_cut_are_counted_among_the_errors() -> None:
    (caveat,) = evaluate(predict_on_sheets(3), TRUTH, iou=0.7).caveats
    assert caveat.startswith(
        "6 of 6 false positives are pieces of objects that the edge of a raster cuts, and so are "
        "3 of 3 misses: where rasters adjoin"
    )
    assert "in one run" in caveat


@pytest.mark.parametrize("name", ["pools.gpkg", "pools.geojson", "pools.csv"])
def test_files_of_all_formats_tell_what_sheets_cut(name: str, tmp_path: Path) -> None:
    predictions = predict_on_sheets(3)
    if name.endswith(".csv"):
        table = pd.DataFrame(predictions.drop(columns="geometry"))
        table.assign(wkt=predictions.to_wkt()["geometry"]).to_csv(tmp_path / name)
    else:
        predictions.to_file(tmp_path / name)
    (caveat,) = evaluate(tmp_path / name, TRUTH, iou=0.7, pred_crs=CRS).caveats
    assert caveat.startswith("6 of 6 false positives are pieces")


@pytest.mark.parametrize(
    "predictions",
    [predict_on_sheets(0), predict_on_sheets(0, (True, True)), predict_on_sheets(3, (0.4, 0.0))],
    ids=["nothing cut", "cut, but exact", "a column of other meaning"],
)
def test_predictions_without_pieces_have_no_caveat(predictions: gpd.GeoDataFrame) -> None:
    assert evaluate(predictions, TRUTH, iou=0.7).caveats == ()


def test_a_threshold_below_all_scores_is_named_with_the_one_that_counts() -> None:
    predictions = TRUTH.assign(score=np.linspace(0.99, 0.6, COUNT))
    (caveat,) = evaluate(predictions, TRUTH, conf=0.3).caveats
    assert caveat.startswith("the lowest score is 0.6: counts are those of this threshold")
    assert "predict with `conf` 0.3 or less" in caveat
    assert evaluate(predictions, TRUTH, conf=0.58).caveats == ()
    assert evaluate(predictions, TRUTH, conf=0.7).caveats == ()


def test_a_threshold_above_all_scores_is_named_with_the_highest() -> None:
    predictions = TRUTH.assign(score=np.linspace(0.7, 0.01, COUNT))
    (caveat,) = evaluate(predictions, TRUTH, conf=0.8).caveats
    assert caveat == "no detection has a score of `conf` 0.8 or more; the highest is 0.7"
    assert evaluate(predictions, TRUTH, conf=0.7).caveats == ()


@pytest.mark.parametrize(("share", "seen"), [(1.0, 40), (0.5, 20), (0.0, 0)])
def test_objects_on_ground_that_the_model_was_trained_on_are_counted(
    share: float, seen: int
) -> None:
    layers = align_layers(predict_on_sheets(0), TRUTH)
    known = shapely.buffer(TRUTH[: round(share * COUNT)].to_crs(4326).geometry.to_numpy(), 1e-5)
    record = TrainingRecord(ground=ground_as_text(known))
    caveats = find_ground_caveats(layers, ModelCard(name="m", classes=("a",), training=record))
    if not seen:
        assert caveats == []
        return
    (caveat,) = caveats
    assert caveat.startswith(f"{seen} of 40 objects lie on ground that model m was trained on")
    assert "`aoi`" in caveat
