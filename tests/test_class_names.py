"""Class names that look alike are one class, wherever they are read."""

from __future__ import annotations

import geopandas as gpd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geodetect.assessment.evaluate.evaluation import evaluate
from geodetect.class_names import normalize_class_name
from geodetect.model.card import ModelCard
from geodetect.settings import PredictSettings, SummarizeSettings

COMPOSED = "B\u00e4ume am See"
SPELLINGS = [
    "Ba\u0308ume am See",
    " B\u00e4ume  am See\u2003",
    "B\u00e4ume\u00a0am\u202fSee",
    "B\u00e4\u200bume\u2060 am See\ufeff",
    "B\u00e4u\u00adme\tam\nSee",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_that_look_alike_are_one_name(spelling: str) -> None:
    assert normalize_class_name(spelling) == COMPOSED
    assert ModelCard(name="m", classes=(spelling,)).classes == (COMPOSED,)
    assert PredictSettings(classes=spelling).classes == (COMPOSED,)
    assert SummarizeSettings(classes=(spelling,)).classes == (COMPOSED,)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_predictions_and_truth_with_such_names_match(spelling: str) -> None:
    squares = [shapely.box(x, 0, x + 5, 5) for x in (0, 20)]
    truth = gpd.GeoDataFrame({"class": [COMPOSED, "x"]}, geometry=squares, crs="EPSG:32632")
    predictions = truth.assign(**{"class": [spelling, "x"], "score": [0.9, 0.8]})
    names = [entry["class"] for entry in evaluate(predictions, truth).as_dict()["metrics_by_class"]]
    assert names == [COMPOSED, "x"]


def test_a_card_whose_classes_look_alike_is_refused() -> None:
    with pytest.raises(ValueError, match="classes must differ"):
        ModelCard(name="m", classes=(COMPOSED, SPELLINGS[0]))


@given(st.text())
def test_a_name_in_its_form_stays_as_it_is(name: str) -> None:
    normalized = normalize_class_name(name)
    assert normalize_class_name(normalized) == normalized
