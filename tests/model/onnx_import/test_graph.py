"""ONNX graphs of known layouts in OpenVINO, with their preprocessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from geodetect.errors import InputError, ModelFileError
from geodetect.model.layouts.base import Preprocessing
from geodetect.model.onnx_import.graph import OnnxGraph
from geodetect.model.onnx_import.onnx_file import OnnxFile
from geodetect.model.onnx_import.recognition import recognise_layout
from tests.helpers.onnx_detectors import (
    HEADS,
    GraphBuilder,
    paint_objects,
    write_constant_outputs,
    write_graph,
    write_painted_detector,
)

OBJECTS = [(20.5, 15.5, 11), (40.5, 40.5, 31)]


def open_graph(path: Path, tile_px: int | None = None) -> OnnxGraph:
    return OnnxGraph(OnnxFile.read(path), tile_px=tile_px, stated_px=None)


@pytest.mark.parametrize("name", HEADS)
def test_a_graph_of_each_layout_is_recognised_and_detects_painted_objects(
    name: str, tmp_path: Path
) -> None:
    graph = open_graph(write_painted_detector(tmp_path / "m.onnx", name))
    layout, match = recognise_layout(graph.facts(2), name=None, hint=None, source="m.onnx")
    assert layout.name == name
    assert match.classes in (2, None)
    model = graph.converted(match.outputs, layout.preprocessing)
    outputs = graph.run(model, paint_objects(64, 64, OBJECTS))
    found = layout.decode(outputs, (64, 64), np.array([0.5]))
    assert len(found.boxes) == 2 if not layout.needs_nms else len(found.boxes) > 2
    rows = np.hstack([found.boxes, found.labels[:, None]])
    if layout.is_oriented:
        assert found.corners is not None
        centres = np.unique(found.corners.mean(axis=1).round(3), axis=0)
        np.testing.assert_allclose(centres, [[20.5, 15.5], [40.5, 40.5]])
        return
    expected = [[15, 10, 26, 21, 0], [25, 25, 56, 56, 1]]
    np.testing.assert_allclose(np.unique(rows.round(3), axis=0), expected)


@pytest.mark.parametrize("channels_last", [False, True])
def test_pixels_enter_the_network_as_its_preprocessing_states(
    channels_last: bool, tmp_path: Path
) -> None:
    graph = GraphBuilder()
    graph.nodes.clear()
    shape = [1, 32, 32, 3] if channels_last else [1, 3, 32, 32]
    path = write_graph(tmp_path / "m.onnx", graph, {"y": "images"}, input_shape=shape)
    opened = open_graph(path)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    form = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0), is_bgr=True)
    (values,) = opened.run(opened.converted([0], form), pixels)
    expected: NDArray[np.float64] = (
        pixels[::-1] / 255 - np.reshape(form.mean, (3, 1, 1))
    ) / np.reshape(form.std, (3, 1, 1))
    received = values[0].transpose(2, 0, 1) if channels_last else values[0]
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_a_graph_of_any_size_gets_that_of_the_option(tmp_path: Path) -> None:
    path = write_constant_outputs(
        tmp_path / "m.onnx", {"y": np.zeros((1, 2))}, input_shape=("n", 3, "h", "w")
    )
    assert open_graph(path).input_px == (640, 640)
    assert open_graph(path, tile_px=96).input_px == (96, 96)
    with pytest.raises(InputError, match="multiples of 32 px: choose another `tile_size`"):
        open_graph(path, tile_px=100)


def test_a_graph_of_one_size_refuses_another(tmp_path: Path) -> None:
    path = write_constant_outputs(
        tmp_path / "m.onnx", {"y": np.zeros((1, 2))}, input_shape=(1, 3, 50, 70)
    )
    assert open_graph(path).input_px == (50, 70)
    with pytest.raises(InputError, match=r"fixed to 70 x 50 px, found a `tile_size` of 64"):
        open_graph(path, tile_px=64)


def test_a_graph_that_takes_no_image_is_refused(tmp_path: Path) -> None:
    path = write_constant_outputs(
        tmp_path / "m.onnx", {"y": np.zeros((1, 2))}, input_shape=(1, 128)
    )
    with pytest.raises(ModelFileError, match=r"takes images \[1, 128\]; expected one image"):
        open_graph(path)


def test_nothing_is_selected_where_a_condition_returns_an_empty_constant(tmp_path: Path) -> None:
    """As PyTorch exports its non-maximum suppression: of no boxes it returns an empty constant."""
    graph = GraphBuilder()
    rows = graph.add("ReduceMax", "images", axes=[0, 1, 2], keepdims=0)
    is_bright = graph.add("Greater", rows, graph.constant(0.9))
    brightest = graph.add("ReduceMax", rows, keepdims=0)
    empty = numpy_helper.from_array(np.zeros(0, np.int64))
    info = helper.make_tensor_value_info("rows", TensorProto.INT64, None)
    nothing = helper.make_graph(
        [helper.make_node("Constant", [], ["rows"], value=empty)], "nothing", [], [info]
    )
    select = helper.make_graph(
        [
            helper.make_node("NonZero", [is_bright], ["places"]),
            helper.make_node("Squeeze", ["places", "first"], ["rows"]),
        ],
        "select",
        [],
        [info],
        [numpy_helper.from_array(np.array([0]), "first")],
    )
    selected = graph.add(
        "If",
        graph.add("Less", brightest, graph.constant(0.9)),
        then_branch=nothing,
        else_branch=select,
    )
    boxes = graph.constant(np.arange(256).reshape(64, 4))
    path = write_graph(
        tmp_path / "m.onnx",
        graph,
        {"boxes": graph.add("Gather", boxes, selected, axis=0)},
        input_shape=(1, 3, 64, 64),
    )
    opened = open_graph(path)
    network = opened.converted([0], Preprocessing())
    pixels = np.zeros((3, 64, 64), np.uint8)
    assert opened.run(network, pixels)[0].shape == (0, 4)
    pixels[:, 5, [3, 60]] = 255
    np.testing.assert_array_equal(opened.run(network, pixels)[0][:, 0], [12, 240])


def test_a_graph_of_several_images_is_refused(tmp_path: Path) -> None:
    path = write_constant_outputs(
        tmp_path / "m.onnx", {"y": np.zeros((4, 2))}, input_shape=(4, 3, 64, 64)
    )
    with pytest.raises(ModelFileError, match="takes 4 images at once; expected one: export it"):
        open_graph(path)


def test_an_operator_that_openvino_does_not_have_is_told_in_one_line(tmp_path: Path) -> None:
    graph = GraphBuilder()
    graph.add("NoSuchOperator", "images")
    path = write_graph(
        tmp_path / "m.onnx", graph, {"y": "NoSuchOperator_0"}, input_shape=(1, 3, 64, 64)
    )
    with pytest.raises(
        ModelFileError, match=r"by OpenVINO .*has no operator NoSuchOperator-17"
    ) as caught:
        open_graph(path)
    assert "\n" not in str(caught.value)
