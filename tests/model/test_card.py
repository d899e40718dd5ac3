"""Model cards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from geodetect.model.card import Calibration, ModelCard, NetworkConfig, TrainingRecord

SIZES = ((20.0,), (40.0,), (80.0,), (160.0,))


@pytest.mark.parametrize(
    "values",
    [
        {"classes": ()},
        {"gsd_m": 0},
        {"gsd_m": -0.2},
        {"conf": 1.5},
        {"iou": 0},
        {"tile_px": 0},
        {"colour": "red"},
        {"metrics": {"f1": "good"}},
        {"calibration": {"slope": (0.0,), "intercept": (0.0,)}},
        {"calibration": {"slope": (float("inf"),), "intercept": (0.0,)}},
        {"calibration": {"slope": (1.0,), "intercept": (float("nan"),)}},
        {"calibration": {"slope": (1.0,), "intercept": ()}},
        {"calibration": {"slope": (1.0, 2.0), "intercept": (0.0, 0.0)}},
    ],
)
def test_a_card_with_values_that_cannot_be_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelCard.model_validate({"name": "m", "classes": ("a",)} | values)


@pytest.mark.parametrize(
    "values",
    [
        {"anchor_sizes_px": SIZES[:3]},
        {"trunk_stages": 1},
        {"trunk_stages": 5},
        {"head_convs": 0},
        {"fpn_channels": 4},
        {"anchor_sizes_px": ((0.0,), *SIZES[1:])},
        {"anchor_sizes_px": ((-5.0,), *SIZES[1:])},
        {"anchor_sizes_px": ((), *SIZES[1:])},
        {"anchor_ratios": ()},
        {"anchor_ratios": (0.0,)},
        {"layers": 3},
    ],
)
def test_a_network_that_cannot_be_built_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NetworkConfig.model_validate({"anchor_sizes_px": SIZES} | values)


def test_a_card_from_before_there_was_calibration_has_none() -> None:
    assert ModelCard.model_validate_json('{"name": "m", "classes": ["a"]}').calibration is None


def test_a_calibration_survives_the_text_of_its_card() -> None:
    calibration = Calibration(slope=(2.452682, 0.1), intercept=(-0.663266, 3.0))
    card = ModelCard(name="m", classes=("a", "b"), calibration=calibration)
    assert ModelCard.model_validate_json(card.model_dump_json()).calibration == calibration


def test_a_card_cannot_be_changed() -> None:
    card = ModelCard(name="m", classes=("a",))
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "other"  # type: ignore[misc]


@given(
    st.builds(
        ModelCard,
        name=st.text(max_size=20),
        description=st.text(max_size=40),
        classes=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4).map(tuple),
        gsd_m=st.none() | st.floats(0.01, 100),
        bands=st.none() | st.just(("red", "green", "blue")),
        object_size_m=st.none() | st.tuples(*[st.floats(0, 1e4)] * 3),
        tile_px=st.integers(1, 4096),
        conf=st.floats(0, 1),
        network=st.none() | st.just(NetworkConfig(anchor_sizes_px=SIZES)),
        training=st.builds(TrainingRecord, licence=st.text(max_size=9), steps=st.integers(0, 9)),
        metrics=st.dictionaries(st.text(max_size=5), st.floats(0, 1), max_size=3),
    )
)
def test_a_card_survives_its_text(card: ModelCard) -> None:
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
