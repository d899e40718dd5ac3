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
    SQUARE_PX,
    grid_corners,
    squares_image,
    write_labels,
    write_raster,
)

SIDE = 160
BACKBONE = "timm:mobilenetv3_small_050"
STEPS = 3


@pytest.fixture(autouse=True, scope="module")
def timm() -> object:
    return pytest.importorskip("timm", reason="needs the extra timm")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("scene")
    corners = grid_corners(SIDE)
    boxes = [[x, y, x + SQUARE_PX, y + SQUARE_PX] for x, y in corners]
    raster = write_raster(folder / "scene.tif", squares_image(SIDE, corners))
    return raster, write_labels(folder / "labels.geojson", boxes)


@pytest.fixture(scope="module")
def model(scene: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    train([scene[0]], [scene[1]], path, settings=settings(init="none"))
    return path


def settings(**changes: object) -> TrainSettings:
    values = {"backbone": BACKBONE, "steps": STEPS, "batch_size": 1, "chip_px": 128}
    values |= {"device": "cpu", "val_share": 0, "check": False}  # nine objects are too few for it
    return TrainSettings.model_validate(values | changes)


def test_the_card_names_the_backbone_and_its_weights_have_learned(
    model: Path, scene: tuple[Path, Path], tmp_path: Path
) -> None:
    card, weights = read_model_file(model)
    assert card.network is not None
    assert card.network.backbone == card.training.settings["backbone"] == BACKBONE
    other = tmp_path / "one-step.safetensors"
    train([scene[0]], [scene[1]], other, settings=settings(init="none", steps=1))
    earlier = read_model_file(other)[1]
    kernel = "trunk.body.conv_stem.weight"  # the same at the start: one seed
    assert not np.array_equal(weights[kernel], earlier[kernel])
    np.testing.assert_allclose(weights[kernel], earlier[kernel], atol=0.02)


def test_the_model_finds_the_same_in_every_runtime(
    model: Path, scene: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEODETECT_CACHE_DIR", str(tmp_path))
    tables = [
        predict(
            scene[0],
            model,
            settings=PredictSettings(conf=0.001, runtime=runtime, precision="fp32", device="cpu"),
        )
        for runtime in ("torch", "openvino")
    ]
    assert len(tables[0]) == len(tables[1]) > 0
    places = [np.sort(table.geometry.bounds.to_numpy(), axis=0) for table in tables]
    np.testing.assert_allclose(places[0], places[1], atol=0.05)


def test_a_training_goes_on_from_a_model_with_the_same_backbone_only(
    model: Path, scene: tuple[Path, Path], tmp_path: Path
) -> None:
    second = tmp_path / "second.safetensors"
    train([scene[0]], [scene[1]], second, settings=settings(init=str(model), steps=1))
    assert load_card(second).training.initial_weights.startswith("model m (")
    with pytest.raises(ModelFileError, match=r"backbone resnet18, expected timm:mobilenetv3"):
        train([scene[0]], [scene[1]], tmp_path / "m.safetensors", settings=settings(init="pools"))


def test_an_unknown_network_of_timm_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(GeodetectError, match=r"timm:mobilenetv3_smll_050: .* no network"):
        train(
            [tmp_path / "none.tif"],
            [tmp_path / "none.geojson"],
            tmp_path / "m.safetensors",
            settings=settings(backbone="timm:mobilenetv3_smll_050"),
        )
