"""Initial weights of a training."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from geodetect.errors import GeodetectWarning, InputError, ModelFileError
from geodetect.model.card import OutlineConfig
from geodetect.model.checkpoints.initialization import (
    MIN_OUTLINED,
    comparable_start,
    initialise,
    select_outline_head,
)
from geodetect.model.file import load_card, write_model_file
from geodetect.model.network.presets import network_config
from geodetect.model.network.retinanet import RetinaNet
from geodetect.settings import TrainSettings
from tests.helpers.tiny_model import save_tiny_model, tiny_card, tiny_network, weights_of


def new_network(classes: int = 1) -> RetinaNet:
    config = tiny_card().network
    assert config is not None
    return RetinaNet(config, classes)


def test_none_leaves_the_network_as_it_is() -> None:
    network = new_network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert initialise(network, "none") == "random weights"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_model_gives_all_its_parameters(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "m.safetensors")
    network = new_network()
    description = initialise(network, str(path))
    assert description.startswith("model squares")
    assert network.trunk.conv1.weight[0, 0, 0, 0].item() == pytest.approx(1 / 147, rel=1e-3)
    assert network.trunk.conv1.weight.dtype == torch.float32


def test_a_model_of_other_classes_gives_all_but_its_output_layer(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "m.safetensors")
    network = new_network(classes=5)
    count = len(network.state_dict())
    assert f"({count - 2} of {count} parameters)" in initialise(network, str(path))


@pytest.mark.parametrize(
    ("classes", "is_comparable"),
    [(["square"], True), (["house"], True), (["house", "square"], False)],
)
def test_a_start_is_comparable_if_all_its_parameters_fit(
    tmp_path: Path, classes: list[str], is_comparable: bool
) -> None:
    path = save_tiny_model(tmp_path / "m.safetensors")
    network = new_network(classes=len(classes))
    start = comparable_start(network, str(path), classes)
    assert (start is not None) is is_comparable
    assert start is None or start.name == "squares"


def test_a_start_of_as_many_other_classes_is_not_comparable(tmp_path: Path) -> None:
    card = tiny_card(classes=("house", "square"))
    path = tmp_path / "m.safetensors"
    write_model_file(path, card, weights_of(tiny_network(card)))
    network = new_network(classes=2)
    assert comparable_start(network, str(path), ["house", "square"]) is not None
    assert comparable_start(network, str(path), ["house", "tank"]) is None
    assert comparable_start(network, "none", ["house", "square"]) is None


def test_a_model_whose_backbone_has_other_parameters_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_model_file(path, tiny_card(), {"other.weight": np.zeros(3)})
    with pytest.raises(ModelFileError, match="of another kind"):
        initialise(new_network(), str(path))


def test_a_backbone_in_the_names_of_torchvision_fits(tmp_path: Path) -> None:
    full = torchvision.models.resnet18(weights=None)
    save_file(full.state_dict(), tmp_path / "resnet.safetensors")
    network = new_network()
    assert initialise(network, str(tmp_path / "resnet.safetensors")) == (
        "resnet18 backbone from resnet.safetensors"
    )
    torch.testing.assert_close(network.trunk.conv1.weight, full.conv1.weight)


def test_a_backbone_that_lacks_parameters_is_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "part.safetensors")
    with pytest.raises(ModelFileError, match=r"holds no bn1\.bias and .* more"):
        initialise(new_network(), str(tmp_path / "part.safetensors"))


def test_a_backbone_of_another_shape_is_refused(tmp_path: Path) -> None:
    state = dict(torchvision.models.resnet18(weights=None).state_dict())
    state["conv1.weight"] = torch.zeros(64, 4, 7, 7)
    save_file(state, tmp_path / "four.safetensors")
    with pytest.raises(ModelFileError, match=r"`init` four\.safetensors"):
        initialise(new_network(), str(tmp_path / "four.safetensors"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.pth", b"\x80\x02}", r"but a pickle.*convert a detector with `geodetect convert`"),
        ("m.pt", b"PK\x03\x04", r"but a checkpoint of PyTorch.*`geodetect convert`"),
        ("m.ckpt", b"", r"but a checkpoint of PyTorch.*safetensors.torch.save_file"),
        ("m.onnx", b"\x08\x07", r"but an ONNX model; expected imagenet, none"),
        ("m.h5", b"\x89HDF\r\n\x1a\n", "but a Keras model"),
        ("m.safetensors", b"\x80\x04\x95", r"but a pickle.*`geodetect convert`"),
        ("scene.tif", b"II*\x00" + bytes(20), "but a TIFF image"),
        ("m.zip", b"PK\x03\x04", "another ZIP archive"),
        ("m.tflite", b"\x1c\x00\x00\x00TFL3", "but a TensorFlow Lite model"),
        ("m.bin", b"no weights", r"^`init` .*m\.bin: not a safetensors file \("),
    ],
)
def test_a_file_of_another_kind_is_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        initialise(new_network(), str(tmp_path / name))
    as_model = message.partition("; expected")[0].partition("a detector")[0].partition("safet")[0]
    if not as_model.startswith("^"):
        with pytest.raises(ModelFileError, match=f"not a model file .*{as_model}"):
            load_card(tmp_path / name)


@pytest.mark.parametrize("network", ["torchvision", "torchvision-v2", "paper"])
@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
def test_a_model_of_another_network_names_the_settings_that_train_it(
    tmp_path: Path, network: str, backbone: str
) -> None:
    card = tiny_card(network=network_config(network, backbone=backbone))
    weights = {"trunk.conv1.weight": np.zeros((64, 3, 7, 7), np.float16)}
    write_model_file(tmp_path / "m.safetensors", card, weights)
    remedy = f"set `network` to {network}"
    remedy += " and `backbone` to resnet101, or" if backbone == "resnet101" else ", or"
    with pytest.raises(ModelFileError, match=remedy):
        initialise(new_network(), str(tmp_path / "m.safetensors"))


def test_parameters_of_a_model_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    config = tiny_card().network
    assert config is not None
    path = save_tiny_model(tmp_path / "m.safetensors")
    network = RetinaNet(config.model_copy(update={"fpn_channels": 16}), 1)
    with pytest.warns(GeodetectWarning, match=r"10 of its \d+ parameters, such as .*do not fit"):
        initialise(network, str(path))


def test_an_unknown_name_tells_what_there_is() -> None:
    with pytest.raises(ModelFileError, match="expected imagenet, none"):
        initialise(new_network(), "giraffes")


def test_imagenet_without_a_network_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(ModelFileError, match=r"cannot be downloaded.*`init` none") as caught:
        initialise(new_network(), "imagenet")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_model_with_another_backbone_is_refused(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "m.safetensors")
    config = tiny_card().network
    assert config is not None
    network = RetinaNet(config.model_copy(update={"backbone": "resnet34"}), 1)
    message = "backbone resnet18, expected resnet34.*`init` imagenet"
    with pytest.raises(ModelFileError, match=message):
        initialise(network, str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match="no such file"):
        initialise(new_network(), str(tmp_path / "m.safetensors"))


def test_an_outline_head_follows_the_labels_the_setting_and_the_start(tmp_path: Path) -> None:
    config = tiny_card().network
    assert config is not None
    head = OutlineConfig(channels=8)
    with_head = tiny_card(network=config.model_copy(update={"outline": head}))
    network = RetinaNet(with_head.network, 1)
    start = tmp_path / "start.safetensors"
    write_model_file(start, with_head, weights_of(network))

    def select(outlines: str, *, outlined: int, init: str = "none") -> OutlineConfig | None:
        settings = TrainSettings(outlines=outlines, init=init)
        return select_outline_head(config, settings, outlined=outlined).outline

    assert select("auto", outlined=0) is None
    assert select("auto", outlined=MIN_OUTLINED) == OutlineConfig()
    assert select("on", outlined=1) == OutlineConfig()
    assert select("off", outlined=500) is None
    assert select("auto", outlined=0, init=str(start)) == head
    with pytest.raises(InputError, match=r"^`outlines` on: none of the labels is an outline"):
        select("on", outlined=0)
