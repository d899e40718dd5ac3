"""Weights of torchvision and DeepForest as models of ours."""

from __future__ import annotations

import argparse
import json
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.spatial import cKDTree
from torch import Tensor
from torchvision.models.detection import RetinaNet

from geodetect.detection.detectors.load import load_detector
from geodetect.errors import InputError, ModelFileError, OutputError, SettingError
from geodetect.model.convert import convert
from geodetect.model.file import load_card, read_model_file
from geodetect.settings import ConvertSettings
from tests.helpers.torchvision_networks import (
    CONF,
    found_by_torchvision,
    save_checkpoint,
    scene_tile,
    small_network,
    stock_network,
)

pytestmark = pytest.mark.usefixtures("no_stored_networks")

SCORE_UNIT_PX = 1e3  # a score that differs by 1e-5 counts like a box that differs by 0.01 px
CLOSE_PX = 0.05
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def small_state() -> State:
    return small_network().state_dict()


@pytest.fixture(scope="module")
def three_state() -> State:
    return small_network(classes=3).state_dict()


def as_points(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    return np.column_stack([boxes, scores * SCORE_UNIT_PX, labels * 1e6]).astype(np.float64)


def unmatched(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> int:
    """Detections of either side that the other side has not."""
    forward, backward = cKDTree(theirs).query(ours)[0], cKDTree(ours).query(theirs)[0]
    return int((forward > CLOSE_PX).sum() + (backward > CLOSE_PX).sum())


def found_by_us(path: Path, pixels: NDArray[np.uint8], *, iou: float) -> NDArray[np.float64]:
    detector = load_detector(
        path, device="cpu", runtime="torch", precision="fp32", conf=CONF, iou=iou
    )
    detections = detector(pixels[None], np.ones((1, *pixels.shape[1:]), bool))[0]
    return as_points(detections.boxes, detections.scores, detections.labels)


def assert_same_detections(network: RetinaNet, path: Path, pixels: NDArray[np.uint8]) -> None:
    """With and without suppression of duplicates, where rounding may tip the scales."""
    for iou, tolerated in ((1.0, 0.0), (0.5, 0.005)):
        network.nms_thresh = iou
        theirs = as_points(*found_by_torchvision(network, pixels))
        ours = found_by_us(path, pixels, iou=iou)
        assert len(theirs) > 100, iou
        assert abs(len(ours) - len(theirs)) <= tolerated * len(theirs)
        assert unmatched(ours, theirs) <= tolerated * len(theirs)


@pytest.mark.parametrize(
    ("version", "tile_px", "resize_px"), [(1, 128, 200), (2, 150, 200), (1, 160, 160), (2, 96, 96)]
)
def test_a_converted_network_finds_what_torchvision_finds(
    tmp_path: Path, version: int, tile_px: int, resize_px: int
) -> None:
    """Also where the size is no multiple of the strides, and where tiles are enlarged."""
    network = stock_network(version, classes=2, min_size=resize_px)
    weights = save_checkpoint(tmp_path / "stock.pth", network.state_dict())
    path = tmp_path / "converted.safetensors"
    card = convert(
        weights,
        path,
        settings=ConvertSettings(
            classes=("a", "b"), tile_size=tile_px, resize=resize_px, no_resize=resize_px == tile_px
        ),
    )
    assert card.input_scale == resize_px / tile_px
    assert_same_detections(network, path, scene_tile(tile_px))


def test_a_tile_that_is_not_square_is_enlarged_by_the_same_scale(tmp_path: Path) -> None:
    network = small_network(classes=2)
    weights = save_checkpoint(tmp_path / "stock.pth", network.state_dict())
    path = tmp_path / "converted.safetensors"
    convert(weights, path, settings=ConvertSettings(classes=("a", "b"), tile_size=100, resize=160))
    network.transform.min_size = (96,)
    assert_same_detections(network, path, scene_tile(150, height=60))


def test_constant_zero_of_the_batch_norms_is_kept(tmp_path: Path) -> None:
    network = small_network(classes=2, norm_eps=0.0)
    for module in network.modules():
        if hasattr(module, "running_var"):
            module.running_var.mul_(1e-4)  # so that the constant matters
            module.weight.mul_(1e-2)
    weights = save_checkpoint(tmp_path / "stock.pth", network.state_dict())
    options: dict[str, Any] = {"classes": ("a", "b"), "tile_size": 128, "no_resize": True}
    convert(
        weights, tmp_path / "zero.safetensors", settings=ConvertSettings(norm_eps=0.0, **options)
    )
    convert(weights, tmp_path / "usual.safetensors", settings=ConvertSettings(**options))
    network.transform.min_size = (128,)
    assert_same_detections(network, tmp_path / "zero.safetensors", scene_tile(128))
    theirs = as_points(*found_by_torchvision(network, scene_tile(128)))
    usual = found_by_us(tmp_path / "usual.safetensors", scene_tile(128), iou=0.5)
    assert unmatched(usual, theirs) > 100


def prefixed(state: State, prefix: str) -> State:
    return OrderedDict((prefix + key, value) for key, value in state.items())


def lightning(state: State, **more: object) -> dict[str, Any]:
    """A checkpoint with the kinds of values that Lightning adds."""
    states: defaultdict[str, object] = defaultdict(dict)
    states["a"] = {"step": torch.tensor(3)}
    return {
        "epoch": 2,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed(state, "model."),
        "optimizer_states": [{"state": states, "param_groups": []}],
        "callbacks": {"ModelCheckpoint": {"dirpath": Path("runs")}},
        **more,
    }


CONTAINERS = {
    "plain.pth": lambda state: state,
    "parallel.pt": lambda state: prefixed(state, "module."),
    "compiled.bin": lambda state: {"model_state_dict": prefixed(state, "_orig_mod.")},
    "reference.pth": lambda state: {"model": state, "args": argparse.Namespace(lr=0.1), "epoch": 3},
    "lightning.ckpt": lightning,
    "deepforest.pl": lambda state: lightning(state, label_dict={"object": 0}),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_model(
    tmp_path: Path, small_state: State, name: str
) -> None:
    expected = tmp_path / "expected.safetensors"
    save_file(small_state, tmp_path / "bare.safetensors")
    convert(tmp_path / "bare.safetensors", expected)
    weights = save_checkpoint(tmp_path / name, CONTAINERS[name](small_state))
    path = tmp_path / "found.safetensors"
    card = convert(weights, path)
    assert card.classes == ("object",)
    weights_of_bare = read_model_file(expected)[1]
    for key, value in read_model_file(path)[1].items():
        np.testing.assert_array_equal(value, weights_of_bare[key])


def test_files_and_names_from_before_torchvision_0_13_are_read(
    tmp_path: Path, small_state: State
) -> None:
    old = {}
    for key, value in small_state.items():
        parts = key.split(".")
        if "_blocks." in key and "extra" not in key:
            parts.pop(-2)
        if ".conv." in key:
            parts[3:5] = [str(2 * int(parts[3]))]
        old[".".join(parts)] = value
    assert "head.regression_head.conv.6.bias" in old
    assert "backbone.fpn.inner_blocks.2.weight" in old
    weights = save_checkpoint(tmp_path / "old.pth", old, _use_new_zipfile_serialization=False)
    new = save_checkpoint(tmp_path / "new.pth", small_state)
    convert(weights, tmp_path / "old.safetensors")
    convert(new, tmp_path / "new.safetensors")
    expected = read_model_file(tmp_path / "new.safetensors")[1]
    for key, value in read_model_file(tmp_path / "old.safetensors")[1].items():
        np.testing.assert_array_equal(value, expected[key])


@pytest.mark.parametrize(
    ("version", "backbone"),
    [(1, "resnet18"), (1, "resnet34"), (2, "resnet18"), (1, "resnet50"), (2, "resnet101")],
)
def test_backbone_and_pyramid_are_read_from_the_shapes(
    tmp_path: Path, version: int, backbone: str
) -> None:
    network = small_network(version, classes=3, backbone=backbone)
    weights = save_checkpoint(tmp_path / "w.pt", network.state_dict())
    card = convert(
        weights, tmp_path / "m.safetensors", settings=ConvertSettings(classes=("a", "b"))
    )
    assert card.network is not None
    assert card.network.backbone == backbone
    assert card.network.coarser_from == ("pyramid" if version == 1 else "trunk")
    assert card.network.head_norm_groups == (0 if version == 1 else 32)
    assert card.network.fpn_channels == 32
    assert card.training.initial_weights == f"torchvision RetinaNet v{version} from w.pt"


def test_a_head_of_91_outputs_has_the_80_classes_of_coco(tmp_path: Path) -> None:
    network = small_network(classes=91, norm_eps=0.0)
    car = 3  # in torchvision's list, which begins with the background
    unused = [i for i in range(91) if i != car]
    output = network.head.classification_head.cls_logits
    output.weight.detach().view(9, 91, -1)[:, unused] = 0
    output.bias.detach().view(9, 91)[:, unused] = -30
    weights = save_checkpoint(tmp_path / "coco.pth", network.state_dict())
    path = tmp_path / "coco.safetensors"
    card = convert(weights, path, settings=ConvertSettings(tile_size=128, no_resize=True))
    assert len(card.classes) == 80
    assert (card.classes[0], card.classes[2], card.classes[-1]) == ("person", "car", "toothbrush")
    assert (card.conf, card.iou) == (0.05, 0.5)
    assert card.network is not None
    assert card.network.norm_eps == 0, "as torchvision sets it for its own weights"
    network.transform.min_size = (128,)
    network.nms_thresh = 1.0
    boxes, scores, labels = found_by_torchvision(network, scene_tile(128))
    assert set(labels) == {car}
    cars = as_points(boxes, scores, np.full(len(labels), card.classes.index("car")))
    assert unmatched(found_by_us(path, scene_tile(128), iou=1.0), cars) == 0


def test_a_network_with_norms_that_were_trained_keeps_their_constant(tmp_path: Path) -> None:
    """torchvision's own weights of 91 outputs had frozen ones, which count no batches."""
    state = small_network(classes=91).state_dict()
    state["backbone.body.bn1.num_batches_tracked"] = torch.tensor(7)
    card = convert(save_checkpoint(tmp_path / "own.pth", state), tmp_path / "own.safetensors")
    assert card.network is not None
    assert card.network.norm_eps == 1e-5


def test_the_first_output_is_background_where_a_name_is_missing(
    tmp_path: Path, three_state: State
) -> None:
    weights = save_checkpoint(tmp_path / "w.pth", three_state)
    convert(weights, tmp_path / "two.safetensors", settings=ConvertSettings(classes=("a", "b")))
    convert(
        weights, tmp_path / "three.safetensors", settings=ConvertSettings(classes=("x", "a", "b"))
    )
    two, three = (read_model_file(tmp_path / f"{n}.safetensors")[1] for n in ("two", "three"))
    key = "classification.output.bias"
    np.testing.assert_array_equal(two[key].reshape(9, 2), three[key].reshape(9, 3)[:, 1:])


@pytest.mark.parametrize("names", [None, ("a",), ("a", "b", "c", "d")])
def test_names_that_do_not_fit_the_head_are_refused(
    tmp_path: Path, three_state: State, names: tuple[str, ...] | None
) -> None:
    weights = save_checkpoint(tmp_path / "w.pth", three_state)
    with pytest.raises(InputError, match=r"head has 3 outputs, found .*`classes`: 2 names"):
        convert(weights, tmp_path / "m.safetensors", settings=ConvertSettings(classes=names))


def deepforest_config(**model: object) -> dict[str, Any]:
    config = {"patch_size": 500, "score_thresh": 0.2, "nms_thresh": 0.1, "model": model}
    return {"config": config}


def test_a_deepforest_checkpoint_brings_its_classes_and_habits(
    tmp_path: Path, three_state: State
) -> None:
    labels = {"Oak": 1, "Ash": 0, "Elm": 2}
    parameters = deepforest_config(name="weecology/deepforest-tree")
    content = lightning(three_state, label_dict=labels, hyper_parameters=parameters)
    card = convert(
        save_checkpoint(tmp_path / "trees.ckpt", content), tmp_path / "trees.safetensors"
    )
    assert card.classes == ("Ash", "Oak", "Elm")
    assert (card.tile_px, card.input_scale, card.conf, card.iou) == (500, 1.6, 0.2, 0.1)
    assert card.network is not None
    assert card.network.norm_eps == 1e-5
    assert card.training.initial_weights == "DeepForest RetinaNet from trees.ckpt"
    assert card == load_card(tmp_path / "trees.safetensors")


def test_the_classes_of_the_first_deepforest_checkpoints_are_found(
    tmp_path: Path, three_state: State
) -> None:
    parameters = {"label_dict": {"Ash": 0, "Oak": 1, "Elm": 2}, "transforms": save_checkpoint}
    content = lightning(three_state, hyper_parameters=parameters)
    card = convert(save_checkpoint(tmp_path / "trees.pl", content), tmp_path / "trees.safetensors")
    assert card.classes == ("Ash", "Oak", "Elm")
    assert (card.tile_px, card.conf) == (400, 0.1)


def test_a_deepforest_model_started_from_coco_keeps_the_constant_of_that(
    tmp_path: Path, small_state: State
) -> None:
    parameters = deepforest_config(name=None)
    content = lightning(small_state, label_dict={"Tree": 0}, hyper_parameters=parameters)
    card = convert(
        save_checkpoint(tmp_path / "trees.ckpt", content), tmp_path / "trees.safetensors"
    )
    assert card.network is not None
    assert card.network.norm_eps == 0


def test_weights_from_the_hub_take_their_classes_from_the_config_beside_them(
    tmp_path: Path, small_state: State
) -> None:
    save_file(prefixed(small_state, "model."), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"label_dict": {"Bird": 0}}))
    card = convert(tmp_path / "model.safetensors", tmp_path / "birds.safetensors")
    assert card.classes == ("Bird",)
    assert (card.tile_px, card.input_scale, card.conf, card.iou) == (400, 2.0, 0.1, 0.05)


def test_what_is_stated_goes_before_what_the_checkpoint_says(
    tmp_path: Path, small_state: State
) -> None:
    content = lightning(small_state, label_dict={"Tree": 0}, hyper_parameters=deepforest_config())
    card = convert(
        save_checkpoint(tmp_path / "trees.ckpt", content),
        tmp_path / "m.safetensors",
        settings=ConvertSettings(
            classes=("palm",),
            gsd=0.1,
            name="palms",
            tile_size=320,
            norm_eps=1e-3,
            anchor_sizes=(16, 32, 64, 128, 256),
        ),
    )
    assert (card.classes, card.gsd_m, card.name) == (("palm",), 0.1, "palms")
    assert (card.tile_px, card.input_scale) == (320, 2.5)
    assert card.network is not None
    assert card.network.norm_eps == 1e-3
    assert card.network.anchor_sizes_px[0] == (16, 20, 25)


@pytest.mark.parametrize(
    "values",
    [
        {"label_dict": {"a": "0"}},
        {"label_dict": {"a": 5}},
        {"label_dict": {"a": [0]}},
        {"label_dict": ["a"]},
        {"hyper_parameters": 3, "label_dict": {"object": 0}},
        {"hyper_parameters": {"config": {"patch_size": "large"}}},
        {"hyper_parameters": {"config": {"patch_size": 0, "score_thresh": 3, "nms_thresh": -1}}},
        {"hyper_parameters": argparse.Namespace(config=1)},
    ],
)
def test_values_of_an_unknown_form_are_left_aside(
    tmp_path: Path, small_state: State, values: dict[str, object]
) -> None:
    weights = save_checkpoint(tmp_path / "w.ckpt", lightning(small_state, **values))
    card = convert(weights, tmp_path / "m.safetensors")
    assert (card.classes, card.tile_px, card.conf) == (("object",), 400, 0.1)


def without(state: State, *parts: str) -> State:
    return {key: value for key, value in state.items() if not any(part in key for part in parts)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"conv1.weight": s["backbone.body.conv1.weight"]}, r"1 tensors such as conv1"),
        (lambda s: without(s, "p6"), r"extra_blocks\.p6\.weight is missing"),
        (lambda s: without(s, "body"), r"backbone\.body\.conv1\.weight is missing"),
        (lambda s: without(s, "layer3.1"), r"stages of 2, 2, 1, 2 blocks"),
        (lambda s: without(s, "bn1.running_var"), r"first trunk\.bn1\.running_var"),
        (lambda s: s | {"extra": torch.zeros(1)}, r"1 are missing, too many .* first extra"),
        (lambda s: s | {BOXES: torch.zeros(15 * 4, 32, 3, 3)}, r"15 anchors per cell"),
        (lambda s: s | {BOXES: torch.zeros(9 * 4, 32, 1, 1)}, r"first regression\.output\.weight"),
        (lambda s: s | {BOXES: torch.full((9 * 4, 32, 3, 3), torch.nan)}, r"not finite numbers"),
    ],
)
def test_networks_of_another_kind_are_told_by_their_parameters(
    tmp_path: Path, small_state: State, change: Any, message: str
) -> None:
    weights = save_checkpoint(tmp_path / "w.pth", change(dict(small_state)))
    with pytest.raises(ModelFileError, match=message) as caught:
        convert(weights, tmp_path / "m.safetensors")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m.safetensors").exists()


BOXES = "head.regression_head.bbox_reg.weight"


def test_an_output_that_cannot_be_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "old.safetensors").write_text("")
    missing = tmp_path / "missing.pth"
    with pytest.raises(OutputError, match=r"ends in \.safetensors"):
        convert(missing, tmp_path / "m.pth")
    with pytest.raises(OutputError, match="set `overwrite`"):
        convert(missing, tmp_path / "old.safetensors")
    with pytest.raises(OutputError, match="is an input"):
        convert(tmp_path / "old.safetensors", tmp_path / "old.safetensors", overwrite=True)
    with pytest.raises(ModelFileError, match="no such file"):
        convert(missing, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "settings",
    [
        {"tile_size": 0},
        {"resize": 0},
        {"anchor_sizes": (32, 64)},
        {"anchor_sizes": (0, 64, 128, 256, 512)},
        {"anchor_sizes": ()},
    ],
)
def test_sizes_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"`{next(iter(settings))}`"):
        ConvertSettings(**settings)
