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
from geodetect.assessment.summarize.error_rates import rates_of_metrics, rates_of_model
from geodetect.errors import InputError, ModelFileError
from geodetect.model.card import ModelCard


def card(**metrics: float) -> ModelCard:
    return ModelCard(name="toy", classes=("pool",), conf=0.4, metrics=metrics)


def evaluation(**changes: Any) -> dict[str, Any]:
    point = {
        "score_threshold": 0.47,
        "right": 90,
        "false": 10,
        "missed": 30,
        "precision": 0.9,
        "recall": 0.75,
        "count_error_interval": [-0.3, 0.0],
    }
    other = point | {"right": 10, "count_error_interval": None}
    return {
        "score_threshold": 0.47,
        "overall": {"class": "all", "at_threshold": point | changes},
        "classes": [{"class": "Pool", "at_threshold": other}],
    }


def test_the_card_of_a_trained_model_tells() -> None:
    rates = rates_of_model(card(objects=200, precision=0.8, recall=0.9))
    assert (rates.right, rates.missed) == (pytest.approx(180), pytest.approx(20))
    assert rates.score_threshold == 0.4
    assert rates.source == "the card of model toy"


def test_figures_may_be_named_after_their_place() -> None:
    metrics = {"cannes_objects": 100, "cannes_precision": 0.9, "cannes_recall": 0.8}
    assert rates_of_model(card(**metrics)).recall == pytest.approx(0.8)
    two_places = metrics | {"nice_recall": 0.7, "nice_precision": 0.9, "nice_objects": 50}
    with pytest.raises(InputError, match=r"has no precision, recall and objects"):
        rates_of_model(card(**two_places))


def test_a_card_without_rates_names_the_other_options() -> None:
    with pytest.raises(InputError, match=r"only ap50; .*--metrics.*--precision, --recall"):
        rates_of_model(card(ap50=0.9))
    with pytest.raises(ModelFileError, match="no model 'nothing'"):
        rates_of_model("nothing")


def test_an_evaluation_tells_with_its_dispersion(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(evaluation()))
    rates = rates_of_metrics(path)
    assert (rates.right, rates.false, rates.missed) == (90, 10, 30)
    assert rates.score_threshold == 0.47
    assert rates.dispersion > 1
    assert rates == rates_of_metrics(str(path))


def test_the_figures_of_one_class_can_be_taken() -> None:
    assert rates_of_metrics(evaluation(), class_name="pool").right == 10
    assert rates_of_metrics(evaluation(), class_name="car").right == 90


def test_an_evaluation_without_intervals_has_independent_errors() -> None:
    assert rates_of_metrics(evaluation(count_error_interval=None)).dispersion == 1


def test_plain_precision_and_recall_are_enough() -> None:
    rates = rates_of_metrics({"precision": 0.9, "recall": 0.5, "support": 100})
    assert (rates.right, rates.missed) == (50, 50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "expected what `geodetect evaluate --json` prints"),
        ('{"precision": 0.9}', "holds no precision, recall and number of objects"),
        ('{"overall": {"at_threshold": {"right": 0, "false": 1, "missed": 1}}}', "found 0 right"),
    ],
)
def test_a_file_that_does_not_tell_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        rates_of_metrics(path)
    with pytest.raises(InputError, match=r"absent\.json cannot be read"):
        rates_of_metrics(tmp_path / "absent.json")


def test_a_real_evaluation_can_be_used() -> None:
    x = np.arange(40) * 30.0 + 700_000
    truth = gpd.GeoDataFrame(geometry=shapely.box(x, 6.6e6, x + 8, 6.6e6 + 8), crs="EPSG:2154")
    found = truth.iloc[:30].assign(score=0.9)
    done = geodetect.evaluate(found, truth, geodetect.EvaluateSettings(resamples=50))
    rates = geodetect.rates_of_metrics(done.as_dict())
    assert (rates.right, rates.false, rates.missed) == (30, 0, 10)
    assert np.isfinite(rates.dispersion)
