"""Networks in OpenVINO's form as parts of model files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from geodetect.detection.detectors.load import load_detector
from geodetect.errors import InputError, ModelFileError
from geodetect.model.card import Int8Record
from geodetect.model.file import read_model_file, write_model_file
from geodetect.model.runtimes.conversion import add_networks, convert_network
from geodetect.model.runtimes.open import open_runtime
from geodetect.model.runtimes.openvino import read_int8_network
from geodetect.model.runtimes.openvino_library import import_openvino
from geodetect.model.runtimes.stored_networks import (
    INT8,
    NETWORK,
    count_outputs,
    holds_network,
    network_parameters,
    store_network,
    stored_network,
)
from geodetect.model.runtimes.torch import TorchRuntime
from tests.helpers.tiny_model import save_tiny_model, tiny_card, tiny_network, weights_of

QUANTIZED = {"model": b"<net/>", "weights": bytes(range(200))}
RECORD = Int8Record(
    calibration_tiles=3, checked_tiles=3, objects=9, ap50=0.99, ap75=0.9, made_with="test 1.0"
)
CARD = tiny_card(int8=RECORD)
WEIGHTS = weights_of(tiny_network(CARD))


@pytest.fixture
def int8_model_file(tmp_path: Path) -> Path:
    path = tmp_path / "both.safetensors"
    write_model_file(path, CARD, store_network(CARD, WEIGHTS, INT8, QUANTIZED))
    return path


def test_an_int8_network_comes_back_from_the_file_as_it_was(int8_model_file: Path) -> None:
    card, arrays = read_model_file(int8_model_file)
    assert card.int8 == RECORD
    assert stored_network(card, arrays, INT8) == QUANTIZED
    assert network_parameters(arrays).keys() == WEIGHTS.keys()


def test_a_file_with_both_networks_still_gives_the_full_one(int8_model_file: Path) -> None:
    pixels, valid = np.full((1, 3, 32, 32), 90, np.uint8), np.ones((1, 32, 32), bool)
    outputs = TorchRuntime(*read_model_file(int8_model_file), "cpu").forward(pixels, valid)
    expected = TorchRuntime(CARD, WEIGHTS, "cpu").forward(pixels, valid)
    np.testing.assert_array_equal(outputs[0], expected[0])


def test_saving_a_model_again_with_another_card_keeps_its_int8_network(
    int8_model_file: Path,
) -> None:
    card, arrays = read_model_file(int8_model_file)
    write_model_file(
        int8_model_file, card.model_copy(update={"conf": 0.3, "name": "other"}), arrays
    )
    assert stored_network(*read_model_file(int8_model_file), INT8) == QUANTIZED


def test_a_second_int8_network_replaces_the_first() -> None:
    first = store_network(CARD, WEIGHTS, INT8, QUANTIZED)
    second = store_network(CARD, first, INT8, {"model": b"<second/>", "weights": b""})
    assert second.keys() == first.keys()
    assert stored_network(CARD, second, INT8) == {"model": b"<second/>", "weights": b""}


@pytest.mark.parametrize("part", ["model", "weights", "source"])
def test_a_changed_byte_of_it_is_found_by_the_checksum(int8_model_file: Path, part: str) -> None:
    with safetensors.safe_open(int8_model_file, framework="numpy") as opened:
        header = dict(opened.metadata())
        arrays = {name: opened.get_tensor(name).copy() for name in opened.keys()}  # noqa: SIM118
    arrays[f"int8/{part}"][3] ^= 1
    safetensors.numpy.save_file(arrays, int8_model_file, metadata=header)
    with pytest.raises(ModelFileError, match="checksum does not match"):
        load_detector(int8_model_file, runtime="openvino", precision="int8")


def test_an_int8_network_of_other_weights_is_refused() -> None:
    arrays = store_network(CARD, WEIGHTS, INT8, QUANTIZED)
    changed = arrays | {"trunk.conv1.weight": arrays["trunk.conv1.weight"] + np.float16(0.5)}
    with pytest.raises(ModelFileError, match=r"made from other weights .*`geodetect quantize`"):
        stored_network(CARD, changed, INT8)
    with pytest.raises(ModelFileError, match="made from other weights"):
        stored_network(CARD.model_copy(update={"mean": (0.5, 0.5, 0.5)}), arrays, INT8)


def test_a_model_without_it_says_how_to_make_one(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "full.safetensors")
    message = (
        "`precision` int8: model squares holds no int8-quantized network; .*`geodetect quantize`"
    )
    for runtime in ("auto", "openvino"):
        with pytest.raises(InputError, match=message):
            load_detector(path, device="cpu", runtime=runtime, precision="int8")


def test_a_network_that_openvino_cannot_read_is_one_line() -> None:
    arrays = store_network(CARD, WEIGHTS, INT8, QUANTIZED)
    with pytest.raises(ModelFileError, match="int8-quantized network cannot be read") as caught:
        open_runtime(CARD, arrays, runtime="openvino", precision="int8")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_other_runtimes_say_that_they_have_no_int8(runtime: str) -> None:
    arrays = store_network(CARD, WEIGHTS, INT8, QUANTIZED)
    with pytest.raises(InputError, match=rf"`precision` int8: not available with {runtime}.*fp32"):
        open_runtime(CARD, arrays, runtime=runtime, precision="int8", device="cpu")


def test_an_int8_network_with_numbers_that_are_none_is_refused() -> None:
    """The first constant of single precision, a scale or an offset, becomes NaN."""
    card, arrays = read_model_file("pools")
    xml = arrays["int8/model"].tobytes().decode()
    constant = re.search(r'element_type="f32" shape="[^"]+" offset="(\d+)"', xml)
    assert constant is not None
    start = int(constant[1])
    content = arrays["int8/weights"].copy()
    content[start : start + 4] = np.frombuffer(np.float32(np.nan).tobytes(), np.uint8)
    core = import_openvino().Core()
    read_int8_network(core, card, arrays)
    with pytest.raises(ModelFileError, match=r"NaN or infinity in \w+; .*`geodetect quantize`"):
        read_int8_network(core, card, arrays | {"int8/weights": content})


def test_a_stored_network_is_the_converted_one_to_the_bit_and_adds_little() -> None:
    """Batch norms are folded into constants: these are parameters times factors of channels."""
    card, arrays = read_model_file("pools")
    parameters = network_parameters(arrays)
    converted = convert_network(card, parameters)
    stored = store_network(card, parameters, NETWORK, converted)
    assert stored_network(card, stored, NETWORK) == converted
    added = sum(array.nbytes for name, array in stored.items() if name not in parameters)
    assert added < 0.03 * sum(array.nbytes for array in parameters.values())
    assert added < 0.02 * len(converted["weights"])
    assert convert_network(card, parameters) == converted  # not numbered within the process
    assert holds_network(arrays, NETWORK)  # so does the file of the built-in model
    assert add_networks(card, arrays).keys() == arrays.keys()


def test_outputs_are_counted_without_reading_the_network() -> None:
    _, arrays = read_model_file("pools")
    for name in (NETWORK, INT8):
        entry = stored_network(*read_model_file("pools"), name)
        assert entry is not None
        network = (
            import_openvino().Core().read_model(model=entry["model"], weights=entry["weights"])
        )
        assert count_outputs(arrays, name) == len(network.outputs)


def test_constants_that_are_no_parameters_are_stored_whole() -> None:
    """Of weights with other numbers hardly a channel is a parameter times a factor."""
    converted = convert_network(CARD, WEIGHTS)
    others = {name: array + np.float16(0.1) for name, array in WEIGHTS.items()}
    for parameters in (WEIGHTS, others, {}):
        stored = store_network(CARD, parameters, NETWORK, converted)
        assert stored_network(CARD, stored, NETWORK) == converted


@pytest.mark.parametrize("runtime", ["openvino", "auto"])
def test_a_stored_network_gives_what_a_converted_one_gives(runtime: str) -> None:
    pixels, valid = np.full((1, 3, 64, 64), 90, np.uint8), np.ones((1, 64, 64), bool)
    pixels[..., 12:28, 12:28] = 250
    first, second = (
        open_runtime(CARD, arrays, runtime=runtime, device="cpu").forward(pixels, valid)
        for arrays in (WEIGHTS, add_networks(CARD, WEIGHTS))
    )
    for expected, array in zip(first[:2], second[:2], strict=True):
        np.testing.assert_array_equal(array, expected)


def test_a_table_of_shared_constants_that_does_not_fit_is_one_line() -> None:
    arrays = add_networks(CARD, WEIGHTS)
    for table in (b"[[1", b'[["no.such.parameter",0]]', b'[["trunk.conv1.weight",-9]]', b"{}"):
        broken = arrays | {"network/shared": np.frombuffer(table, np.uint8)}
        with pytest.raises(ModelFileError, match="OpenVINO's form cannot be read") as caught:
            open_runtime(CARD, broken, runtime="openvino")
        assert "\n" not in str(caught.value)
