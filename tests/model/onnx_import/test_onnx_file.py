"""Reading of ONNX files: what is refused, and what is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from geodetect.errors import ModelFileError
from geodetect.model.onnx_import.onnx_file import OnnxFile
from tests.helpers.onnx_detectors import write_painted_detector


def save_model(path: Path, nodes: list[onnx.NodeProto], **options: object) -> Path:
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [info], [out], options.pop("initializer", []))  # type: ignore[arg-type]
    model = helper.make_model(graph, **options)  # type: ignore[arg-type]
    path.write_bytes(model.SerializeToString())
    return path


def error_of(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        OnnxFile.read(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_operators_metadata_and_versions_are_read(tmp_path: Path) -> None:
    path = write_painted_detector(tmp_path / "m.onnx", metadata={"names": "{0: 'é'}", "task": "x"})
    file = OnnxFile.read(path)
    assert file.metadata == {"names": "{0: 'é'}", "task": "x"}
    assert {"Slice", "Concat", "Identity"} <= file.operators
    assert file.opset == 17


def test_operators_inside_branches_are_read(tmp_path: Path) -> None:
    value = helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0])
    info = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Constant", [], ["z"], value=value)], "b", [],
                               [info])  # fmt: skip
    deep = helper.make_graph([helper.make_node("Gelu", ["x"], ["z"])], "b", [], [info])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=deep)
    file = OnnxFile.read(save_model(tmp_path / "m.onnx", [node]))
    assert file.operators == {"If", "Constant", "Gelu"}


def test_custom_operators_are_refused_and_named(tmp_path: Path) -> None:
    node = helper.make_node("EfficientNMS_TRT", ["x"], ["y"], domain="TRT")
    text = error_of(save_model(tmp_path / "m.onnx", [node]))
    assert "custom operators" in text
    assert "TRT.EfficientNMS_TRT" in text


def test_functions_that_the_file_defines_are_no_custom_operators(tmp_path: Path) -> None:
    function = helper.make_function("mine", "twice", ["a"], ["b"],
                                    [helper.make_node("Add", ["a", "a"], ["b"])],
                                    [helper.make_opsetid("", 17)])  # fmt: skip
    node = helper.make_node("twice", ["x"], ["y"], domain="mine")
    path = save_model(tmp_path / "m.onnx", [node], functions=[function])
    assert OnnxFile.read(path).operators == {"twice", "Add"}


@pytest.mark.parametrize("in_attribute", [False, True])
def test_weights_in_other_files_are_refused(tmp_path: Path, in_attribute: bool) -> None:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], np.ones(2, np.float32))
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    if in_attribute:
        nodes, initializer = [helper.make_node("Constant", [], ["y"], value=tensor)], []
    else:
        nodes, initializer = [helper.make_node("Add", ["x", "w"], ["y"])], [tensor]
    text = error_of(save_model(tmp_path / "m.onnx", nodes, initializer=initializer))
    assert "another file" in text
    assert "external data" in text
    assert "passwd" not in text


def test_an_opset_of_the_future_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    opsets = [helper.make_opsetid("", 99)]
    text = error_of(save_model(tmp_path / "m.onnx", [node], opset_imports=opsets))
    assert "uses opset 99 of ONNX, expected up to 28" in text


def test_other_files_are_told_by_their_kind(tmp_path: Path) -> None:
    zip_file, text_file, empty = (tmp_path / n for n in ("a.onnx", "b.onnx", "c.onnx"))
    zip_file.write_bytes(b"PK\x03\x04" + bytes(100))
    text_file.write_text("no model at all")
    empty.write_bytes(b"")
    assert "not an ONNX model but a checkpoint of PyTorch" in error_of(zip_file)
    assert "not an ONNX model" in error_of(text_file)
    assert "not an ONNX model" in error_of(empty)
    assert "cannot be read" in error_of(tmp_path / "absent.onnx")


def test_a_file_that_was_cut_is_damaged_at_any_length(tmp_path: Path) -> None:
    content = write_painted_detector(tmp_path / "m.onnx").read_bytes()
    cut = tmp_path / "cut.onnx"
    for length in np.linspace(1, len(content) - 1, 25).astype(int).tolist():
        cut.write_bytes(content[:length])
        try:
            OnnxFile.read(cut)
        except ModelFileError as error:
            assert "cut.onnx" in str(error)  # noqa: PT017
    cut.write_bytes(content[: len(content) // 2])
    assert "damaged" in error_of(cut)


def test_a_file_beyond_the_limit_of_protobuf_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    assert "2.1 GB" in error_of(path)
