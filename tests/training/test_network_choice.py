"""Training networks other than the usual one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.errors import InputError
from geodetect.model.card import ModelCard
from geodetect.model.file import read_model_file, write_model_file
from geodetect.model.network.presets import network_config
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes.torch import TorchRuntime
from geodetect.settings import TrainSettings
from geodetect.training.train import train
from tests.helpers.square_scenes import (
    LabelledScene,
    grid_corners,
    labelled_scene,
    squares_image,
)
from tests.helpers.tiny_model import weights_of

pytestmark = pytest.mark.usefixtures("no_stored_networks")

SIDE = 160


squares = labelled_scene(SIDE, grid_corners(SIDE))


def choice_settings(**changes: object) -> TrainSettings:
    values = {"init": "none", "steps": 1, "batch_size": 1, "tile_size": 128, "device": "cpu"}
    values |= {"val_share": 0, "check": False}  # nine objects are too few for it
    return TrainSettings.model_validate(values | changes)


@pytest.mark.parametrize("name", ["paper", "torchvision"])
def test_a_network_by_name_is_trained_and_can_be_used(
    squares: LabelledScene, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "m.safetensors"
    card = train(
        [squares.raster],
        [squares.labels],
        path,
        settings=choice_settings(network=name, backbone="resnet18"),
    ).card
    assert card.network == network_config(name, backbone="resnet18")
    assert card.training.settings["network"] == name
    image = squares_image(SIDE, [])[None]
    detector = RetinaNetDetector(TorchRuntime(*read_model_file(path), "cpu"), conf=0.0)
    assert len(detector(image, np.ones((1, SIDE, SIDE), bool))[0]) > 0


@pytest.mark.parametrize(("anchors", "groups"), [("auto", 16), ("default", 0)])
def test_a_model_to_start_from_loses_none_of_its_heads(
    squares: LabelledScene, tmp_path: Path, anchors: str, groups: int
) -> None:
    heads = {"head_convs": 2, "head_norm_groups": groups}
    longer = network_config("geodetect").model_copy(update=heads)
    network, start = RetinaNet(longer, 1), tmp_path / "start.safetensors"
    write_model_file(
        start, ModelCard(name="start", classes=("thing",), network=longer), weights_of(network)
    )
    options = choice_settings(init=str(start), anchors=anchors)
    card = train(
        [squares.raster], [squares.labels], tmp_path / "m.safetensors", settings=options
    ).card
    assert card.network == longer
    count = len(network.state_dict())
    assert f"({count} of {count} parameters)" in card.training.initial_weights


def test_an_unknown_network_is_refused_before_the_training(
    squares: LabelledScene, tmp_path: Path
) -> None:
    for options in ({"network": "yolo"}, {"backbone": "vgg16"}):
        with pytest.raises(InputError, match="unknown; expected one of"):
            train(
                [squares.raster],
                [squares.labels],
                tmp_path / "m.safetensors",
                settings=choice_settings(**options),
            )
