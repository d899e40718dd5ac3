"""int8-quantized networks, made by NNCF, against the full-precision ones."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geodetect.errors import MissingDependencyError
from geodetect.io.user_cache import FOLDER_VARIABLE
from geodetect.model.file import write_model_file
from geodetect.model.runtimes.openvino import OpenVinoRuntime
from geodetect.model.runtimes.stored_networks import INT8, store_network, stored_network
from geodetect.quantization.nncf import Image, float_layers, library_versions, quantize_network
from tests.helpers.program import modules_after
from tests.helpers.quantizable_model import PLAIN, need_nncf, plain_weights
from tests.helpers.square_scenes import squares_image

SIDE_PX = 96
WEIGHTS = plain_weights()
Arrays = dict[str, NDArray[np.generic]]


def image(seed: int) -> Image:
    random = np.random.default_rng(seed)
    corner = tuple(8 * random.integers(0, 8, 2) + 4)
    noise = random.integers(-10, 11, (3, SIDE_PX, SIDE_PX))
    return (squares_image(SIDE_PX, [corner]) + noise).astype(np.uint8), np.ones(
        (SIDE_PX, SIDE_PX), bool
    )


@pytest.fixture(scope="module")
def both() -> Arrays:
    """The arrays of a file with both networks, made without a word."""
    need_nncf()
    network = quantize_network(PLAIN, WEIGHTS, range(6), read=image)
    return store_network(PLAIN, WEIGHTS, INT8, network)


def test_it_gives_nearly_what_the_full_network_gives(both: Arrays) -> None:
    pixels, valid = (np.stack(part) for part in zip(*map(image, range(10, 14)), strict=True))
    small = OpenVinoRuntime(PLAIN, both, precision="int8")
    logits, deltas, padded, _ = small.forward(pixels, valid)
    expected = OpenVinoRuntime(PLAIN, both, precision="fp32").forward(pixels, valid)
    assert padded == expected[2]
    assert 0 < np.abs(logits - expected[0]).max() < 1, "of logits from -20 to 6"
    np.testing.assert_allclose(deltas, expected[1], atol=0.01)


def test_results_in_int8_do_not_depend_on_the_batch(both: Arrays) -> None:
    pixels, valid = (np.stack(part) for part in zip(*map(image, range(3)), strict=True))
    runtime = OpenVinoRuntime(PLAIN, both, precision="int8")
    together = runtime.forward(pixels, valid)[0]
    for i in range(3):
        alone = runtime.forward(pixels[i : i + 1], valid[i : i + 1])[0]
        np.testing.assert_array_equal(alone[0], together[i])


def test_images_of_any_size_go_through_it(both: Arrays) -> None:
    runtime = OpenVinoRuntime(PLAIN, both, precision="int8")
    pixels, valid = np.zeros((1, 3, 41, 130), np.uint8), np.ones((1, 41, 130), bool)
    logits, _, padded, _ = runtime.forward(pixels, valid)
    assert padded == (48, 136)
    assert logits.shape == (1, 48 * 136 // 64, 1)


def test_it_says_that_it_is_int8(both: Arrays) -> None:
    runtime = OpenVinoRuntime(PLAIN, both, precision="int8")
    assert runtime.title == "OpenVINO int8 on cpu"
    full = OpenVinoRuntime(PLAIN, both)
    assert full.precision != "int8", "auto stays with the full network"
    assert full.identity != runtime.identity


def test_convolutions_are_in_int8_but_for_those_of_scores_and_boxes(both: Arrays) -> None:
    import openvino

    stored = stored_network(PLAIN, both, INT8)
    assert stored is not None
    network = openvino.Core().read_model(model=stored["model"], weights=stored["weights"])
    in_float, quantized = [], []
    for node in network.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            weights = node.input_value(1).get_node()
            while weights.get_type_name() != "Constant":  # through scales and conversions
                weights = weights.input_value(0).get_node()
            names = quantized if weights.get_element_type().get_type_name() == "i8" else in_float
            names.append(node.get_friendly_name())
    assert len(in_float) == 2
    assert all(".output/" in name for name in in_float)
    assert len(quantized) >= 8


def test_a_sum_that_only_a_convolution_in_float_takes_is_not_rounded() -> None:
    openvino = pytest.importorskip("openvino")
    op = openvino.opset13
    kernel = op.constant(np.ones((4, 4, 1, 1), np.float32))

    def convolve(node: Any, name: str) -> Any:
        convolution = op.convolution(node, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
        convolution.set_friendly_name(name)
        return convolution

    pixels = op.parameter([1, 4, 8, 8], np.float32)
    first = convolve(pixels, "first")
    inner = op.relu(op.add(first, convolve(first, "second"), name="inner sum"))
    last = op.add(convolve(inner, "third"), convolve(inner, "fourth"), name="last sum")
    scores = convolve(op.relu(last, name="last relu"), "scores")
    in_float = set(float_layers(openvino.Model([scores], [pixels])))
    assert {"scores", "last sum", "last relu"} <= in_float
    assert in_float.isdisjoint({"first", "second", "inner sum", "third", "fourth"})


def test_a_run_in_int8_needs_neither_nncf_nor_pytorch(both: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "both.safetensors"
    write_model_file(path, PLAIN, both)
    modules = modules_after(
        "import numpy as np\n"
        "from geodetect.detection.detectors.load import load_detector\n"
        f"detector = load_detector({str(path)!r}, device='cpu', precision='int8')\n"
        "detector(np.zeros((1, 3, 64, 64), np.uint8), np.ones((1, 64, 64), bool))"
    )
    assert "openvino" in modules
    assert not modules & {"nncf", "torch", "openvino_telemetry"}


def test_quantizing_says_nothing_and_reports_nothing_over_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    need_nncf()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))  # so that it is converted too
    quantize_network(PLAIN, WEIGHTS, range(2), read=image)
    assert capfd.readouterr() == ("", "")
    assert "openvino_telemetry" not in sys.modules
    assert logging.root.manager.disable == logging.NOTSET


def test_each_sample_is_read_once_and_in_order() -> None:
    need_nncf()
    numbers: list[int] = []

    def read(number: int) -> Image:
        numbers.append(number)
        return image(number)

    quantize_network(PLAIN, WEIGHTS, [4, 2, 9], read=read)
    assert numbers == [4, 2, 9]


def test_versions_are_short() -> None:
    need_nncf()
    names = library_versions().split(", ")
    assert [name.split()[0] for name in names] == ["nncf", "openvino"]
    assert all(part.isdigit() for name in names for part in name.split()[1].split("."))


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'geodetect\[int8\]'"):
        quantize_network(PLAIN, WEIGHTS, range(2), read=image)
