"""Error rates as evaluations and model cards hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

import geodetect
from geodetect.assessment.summarize.error_rates import (
    error_rates_from_evaluation,
    error_rates_from_model,
)
from geodetect.errors import InputError, ModelFileError
from geodetect.model.card import ModelCard


def card_with_metrics(**metrics: float) -> ModelCard:
    return ModelCard(name="toy", classes=("pool",), conf=0.4, metrics=metrics)


def evaluation_document(**changes: Any) -> dict[str, Any]:
    point = {
        "score_threshold": 0.47,
        "tp": 90,
        "fp": 10,
        "fn": 30,
        "precision": 0.9,
        "recall": 0.75,
        "count_error_interval": [-0.3, 0.0],
    }
    other = point | {"tp": 10, "count_error_interval": None}
    return {
        "score_threshold": 0.47,
        "overall": {"class": "all", "at_threshold": point | changes},
        "classes": [{"class": "Pool", "at_threshold": other}],
    }


def test_the_card_of_a_trained_model_tells() -> None:
    rates = error_rates_from_model(card_with_metrics(objects=200, precision=0.8, recall=0.9))
    assert (rates.tp, rates.fn) == (pytest.approx(180), pytest.approx(20))
    assert rates.score_threshold == 0.4
    assert rates.source == "the card of model toy"


def test_figures_may_be_named_after_their_place() -> None:
    metrics = {"cannes_objects": 100, "cannes_precision": 0.9, "cannes_recall": 0.8}
    assert error_rates_from_model(card_with_metrics(**metrics)).recall == pytest.approx(0.8)
    two_places = metrics | {"nice_recall": 0.7, "nice_precision": 0.9, "nice_objects": 50}
    with pytest.raises(InputError, match=r"has no precision, recall and objects"):
        error_rates_from_model(card_with_metrics(**two_places))


def test_a_card_without_rates_names_the_other_options() -> None:
    with pytest.raises(
        InputError, match=r"only ap50; .*`metrics`.*`measured_precision`, `measured_recall`"
    ):
        error_rates_from_model(card_with_metrics(ap50=0.9))
    with pytest.raises(ModelFileError, match="no model 'nothing'"):
        error_rates_from_model("nothing")


def test_an_evaluation_tells_with_its_dispersion(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(evaluation_document()))
    rates = error_rates_from_evaluation(path)
    assert (rates.tp, rates.fp, rates.fn) == (90, 10, 30)
    assert rates.score_threshold == 0.47
    assert rates.dispersion > 1
    assert rates == error_rates_from_evaluation(str(path))


def test_the_figures_of_one_class_can_be_taken() -> None:
    assert error_rates_from_evaluation(evaluation_document(), class_name="pool").tp == 10
    assert error_rates_from_evaluation(evaluation_document(), class_name="car").tp == 90


def test_an_evaluation_without_intervals_has_independent_errors() -> None:
    assert (
        error_rates_from_evaluation(evaluation_document(count_error_interval=None)).dispersion == 1
    )


def test_plain_precision_and_recall_are_enough() -> None:
    rates = error_rates_from_evaluation({"precision": 0.9, "recall": 0.5, "support": 100})
    assert (rates.tp, rates.fn) == (50, 50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "expected that of `geodetect evaluate`"),
        ('{"precision": 0.9}', "holds no precision, recall and number of objects"),
        ('{"overall": {"at_threshold": {"tp": 0, "fp": 1, "fn": 1}}}', "found 0 true positives"),
    ],
)
def test_a_file_that_does_not_tell_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        error_rates_from_evaluation(path)
    with pytest.raises(InputError, match=r"absent\.json cannot be read"):
        error_rates_from_evaluation(tmp_path / "absent.json")


def test_a_real_evaluation_can_be_used() -> None:
    x = np.arange(40) * 30.0 + 700_000
    truth = gpd.GeoDataFrame(geometry=shapely.box(x, 6.6e6, x + 8, 6.6e6 + 8), crs="EPSG:2154")
    predictions = truth.iloc[:30].assign(score=0.9)
    result = geodetect.evaluate(predictions, truth, geodetect.EvaluateSettings(resamples=50))
    rates = geodetect.error_rates_from_evaluation(result.as_dict())
    assert (rates.tp, rates.fp, rates.fn) == (30, 0, 10)
    assert np.isfinite(rates.dispersion)
