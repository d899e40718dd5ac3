"""Model cards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from geodetect.class_names import normalize_class_name
from geodetect.errors import InputError
from geodetect.model.card import (
    AreaError,
    Calibration,
    ModelCard,
    NetworkConfig,
    TrainingRecord,
    new_card,
)

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
        {"classes": ("",)},
        {"classes": (" ",)},
        {"classes": ("a", "b", "a")},
        {"classes": ("a", "a ")},
        {"classes": tuple(map(str, range(10_001)))},
        {"gsd_m": float("nan")},
        {"gsd_m": float("inf")},
        {"gsd_range_m": (0.4, 0.2)},
        {"gsd_range_m": (0.0, 0.2)},
        {"gsd_range_m": (0.2, float("nan"))},
        {"mean": (0.5, float("nan"), 0.5)},
        {"mean": (0.5, 0.5, 128.0)},
        {"mean": (-0.1, 0.5, 0.5)},
        {"std": (0.2, 0.0, 0.2)},
        {"std": (0.2, -0.2, 0.2)},
        {"std": (0.2, float("nan"), 0.2)},
        {"std": (0.2, float("inf"), 0.2)},
        {"std": (0.2, 1e-30, 0.2)},
        {"object_size_m": (3.0, 2.0, 9.0)},
        {"object_size_m": (-3.0, 2.0, 9.0)},
        {"object_size_m": (3.0, float("nan"), 9.0)},
        {"conf": float("nan")},
        {"conf": -0.1},
        {"iou": float("nan")},
        {"iou": 1.1},
        {"input_scale": 0.0},
        {"input_scale": float("nan")},
        {"input_scale": 1e9},
        {"tile_px": 10**9},
        {"metrics": {"f1": float("nan")}},
        {"metrics": {"precision": 1.1}},
        {"metrics": {"nice_recall": 7.0}},
        {"metrics": {"objects": -1.0}},
        {"training": {"settings": {"lr": float("inf")}}},
        {"mean": (0.5, 0.5), "network": {"anchor_sizes_px": SIZES}},
        {"std": (0.5,) * 4, "network": {"anchor_sizes_px": SIZES}},
        {"bands": ("grey",), "network": {"anchor_sizes_px": SIZES}},
        {"bands": None, "network": {"anchor_sizes_px": SIZES}},
        {"calibration": {"slope": (0.0,), "intercept": (0.0,)}},
        {"calibration": {"slope": (-1.0,), "intercept": (0.0,)}},
        {"calibration": {"slope": (1e300,), "intercept": (0.0,)}},
        {"calibration": {"slope": (1.0,), "intercept": (-1e300,)}},
        {"calibration": {"slope": (float("nan"),), "intercept": (0.0,)}},
        {"calibration": {"slope": (float("inf"),), "intercept": (0.0,)}},
        {"calibration": {"slope": (1.0,), "intercept": (float("nan"),)}},
        {"calibration": {"slope": (1.0,), "intercept": ()}},
        {"calibration": {"slope": (1.0, 2.0), "intercept": (0.0, 0.0)}},
        {"area_error": {"low": (0.8,), "high": (0.7,), "bias": 1.0}},
        {"area_error": {"low": (0.8, 0.9), "high": (1.2,), "bias": 1.0}},
        {"area_error": {"low": (0.8,) * 3, "high": (1.2,) * 3, "bias": 1.0, "up_to_m2": (9, 5)}},
        {"area_error": {"low": (), "high": (), "bias": 1.0}},
    ],
)
def test_a_card_with_values_that_cannot_be_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        new_card(**{"name": "m", "classes": ("a",)} | values)
    message = str(caught.value)
    assert next(iter(values)) in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    "values",
    [
        {"anchor_sizes_px": SIZES[:3]},
        {"trunk_stages": 1},
        {"trunk_stages": 5},
        {"head_convs": 0},
        {"head_convs": 1_000_000},
        {"head_norm_groups": -1},
        {"fpn_channels": 10**9},
        {"strides": (0, 0, 0, 0)},
        {"strides": (8, 16, 32, 63)},
        {"strides": (8,) * 100_000, "anchor_sizes_px": ((20.0,),) * 100_000},
        {"anchor_sizes_px": ((20.0,) * 1_000_000, *SIZES[1:])},
        {"anchor_sizes_px": ((20.0, 25.0), *SIZES[1:])},
        {"anchor_sizes_px": ((float("nan"),), *SIZES[1:])},
        {"anchor_ratios": (float("inf"),)},
        {"norm_eps": float("nan")},
        {"norm_eps": -1e-5},
        {"multiple_px": 0},
        {"multiple_px": 1_000_000},
        {"backbone": "timm:" + "x" * 100_000},
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


def test_an_area_error_survives_the_text_of_its_card() -> None:
    error = AreaError(up_to_m2=(10, 50), low=(0.7, 0.8, 0.9), high=(1.4, 1.3, 1.1), bias=1.01)
    card = ModelCard(name="m", classes=("a",), area_error=error)
    assert ModelCard.model_validate_json(card.model_dump_json()).area_error == error


def test_a_card_cannot_be_changed() -> None:
    card = ModelCard(name="m", classes=("a",))
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "other"  # type: ignore[misc]


@given(
    st.builds(
        ModelCard,
        name=st.text(max_size=20),
        description=st.text(max_size=40),
        classes=st.lists(
            st.text(min_size=1, max_size=8).filter(normalize_class_name),
            min_size=1,
            max_size=4,
            unique_by=normalize_class_name,
        ).map(tuple),
        gsd_m=st.none() | st.floats(0.01, 100),
        bands=st.just(("red", "green", "blue")),
        object_size_m=st.none() | st.tuples(*[st.floats(0, 1e4)] * 3).map(sorted).map(tuple),
        tile_px=st.integers(1, 4096),
        conf=st.floats(0, 1),
        network=st.none() | st.just(NetworkConfig(anchor_sizes_px=SIZES)),
        training=st.builds(TrainingRecord, licence=st.text(max_size=9), steps=st.integers(0, 9)),
        metrics=st.dictionaries(st.text(max_size=5), st.floats(0, 1), max_size=3),
    )
)
def test_a_card_survives_its_text(card: ModelCard) -> None:
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
