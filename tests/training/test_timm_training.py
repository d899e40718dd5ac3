"""Training on a trunk of timm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodetect.detection.predict import predict
from geodetect.errors import GeodetectError, ModelFileError
from geodetect.model.file import load_card, read_model_file
from geodetect.settings import PredictSettings, TrainSettings
from geodetect.training.train import train
from tests.helpers.square_scenes import (
    LabelledScene,
    grid_corners,
    labelled_scene,
)

pytestmark = pytest.mark.usefixtures("timm")
SIDE = 160
BACKBONE = "timm:mobilenetv3_small_050"
STEPS = 3


squares = labelled_scene(SIDE, grid_corners(SIDE))


@pytest.fixture(scope="module")
def timm_model(squares: LabelledScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    train([squares.raster], [squares.labels], path, settings=timm_steps(init="none"))
    return path


def timm_steps(**changes: object) -> TrainSettings:
    values = {"backbone": BACKBONE, "steps": STEPS, "batch_size": 1, "tile_size": 128}
    values |= {"device": "cpu", "val_share": 0, "check": False}  # nine objects are too few for it
    return TrainSettings.model_validate(values | changes)


def test_the_card_names_the_backbone_and_its_weights_have_learned(
    timm_model: Path, squares: LabelledScene, tmp_path: Path
) -> None:
    card, weights = read_model_file(timm_model)
    assert card.network is not None
    assert card.network.backbone == card.training.settings["backbone"] == BACKBONE
    other = tmp_path / "one-step.safetensors"
    train([squares.raster], [squares.labels], other, settings=timm_steps(init="none", steps=1))
    earlier = read_model_file(other)[1]
    kernel = "trunk.body.conv_stem.weight"  # the same at the start: one seed
    assert not np.array_equal(weights[kernel], earlier[kernel])
    np.testing.assert_allclose(weights[kernel], earlier[kernel], atol=0.02)


def test_the_model_finds_the_same_in_every_runtime(
    timm_model: Path, squares: LabelledScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEODETECT_CACHE_DIR", str(tmp_path))
    tables = [
        predict(
            squares.raster,
            timm_model,
            settings=PredictSettings(conf=0.001, runtime=runtime, precision="fp32", device="cpu"),
        )
        for runtime in ("torch", "openvino")
    ]
    assert len(tables[0]) == len(tables[1]) > 0
    places = [np.sort(table.geometry.bounds.to_numpy(), axis=0) for table in tables]
    np.testing.assert_allclose(places[0], places[1], atol=0.05)


def test_a_training_goes_on_from_a_model_with_the_same_backbone_only(
    timm_model: Path, squares: LabelledScene, tmp_path: Path
) -> None:
    second = tmp_path / "second.safetensors"
    train(
        [squares.raster],
        [squares.labels],
        second,
        settings=timm_steps(init=str(timm_model), steps=1),
    )
    assert load_card(second).training.initial_weights.startswith("model m (")
    with pytest.raises(ModelFileError, match=r"backbone resnet18, expected timm:mobilenetv3"):
        train(
            [squares.raster],
            [squares.labels],
            tmp_path / "m.safetensors",
            settings=timm_steps(init="pools"),
        )


def test_an_unknown_network_of_timm_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(GeodetectError, match=r"timm:mobilenetv3_smll_050: .* no network"):
        train(
            [tmp_path / "none.tif"],
            [tmp_path / "none.geojson"],
            tmp_path / "m.safetensors",
            settings=timm_steps(backbone="timm:mobilenetv3_smll_050"),
        )
