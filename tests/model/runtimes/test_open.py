"""Running networks."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from geodetect.errors import (
    GeodetectWarning,
    InputError,
    MissingDependencyError,
    ModelFileError,
    OutOfMemoryError,
)
from geodetect.hardware.torch_device import pick_device
from geodetect.io.user_cache import FOLDER_VARIABLE
from geodetect.model.network.loading import normalise
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes.base import NetworkOutput, Runtime, pick_precision
from geodetect.model.runtimes.open import open_runtime
from geodetect.model.runtimes.torch import TorchRuntime, device_precisions, training_runtime
from tests.helpers.program import modules_after
from tests.helpers.square_scenes import squares_image
from tests.helpers.tiny_model import tiny_card, tiny_network, weights_of

CARD = tiny_card()
EVERYWHERE = np.ones((1, 64, 64), bool)


def torch_runtime() -> TorchRuntime:
    return TorchRuntime(CARD, weights_of(tiny_network(CARD)), "cpu")


def test_normalising_gives_zero_mean_and_unit_deviation() -> None:
    card = tiny_card(mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    pixels = torch.tensor([102, 153, 255], dtype=torch.uint8)[None, :, None, None]
    images = normalise(pixels, torch.ones(1, 1, 1, dtype=torch.bool), card)
    torch.testing.assert_close(images[0, :, 0, 0], torch.tensor([0.0, 0.5, 4 / 3]))


def test_pixels_outside_the_imagery_are_zero_whatever_they_hold() -> None:
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    valid = torch.zeros(2, 8, 8, dtype=torch.bool)
    valid[:, :4] = True
    images = normalise(pixels, valid, tiny_card(mean=(0.4, 0.5, 0.6)))
    assert (images[:, :, 4:] == 0).all()
    assert (images[:, :, :4] != 0).any()


def test_half_precision_weights_run_in_single_precision() -> None:
    logits, deltas, *_ = torch_runtime().forward(squares_image(64, [(20, 20)])[None], EVERYWHERE)
    assert logits.dtype == deltas.dtype == np.float32
    assert {v.dtype for v in weights_of(tiny_network(CARD)).values()} == {np.dtype(np.float16)}


def test_invalid_pixels_do_not_change_the_result() -> None:
    pixels = squares_image(64, [(20, 20)])[None]
    valid = EVERYWHERE.copy()
    valid[:, 40:] = False
    other = pixels.copy()
    other[:, :, 40:] = 255
    first, second = (torch_runtime().forward(p, valid)[0] for p in (pixels, other))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (63, 57), (1, 1), (8, 9)])
def test_images_are_padded_to_whole_cells(height: int, width: int) -> None:
    pixels = np.zeros((1, 3, height, width), np.uint8)
    logits, _, padded, _ = torch_runtime().forward(pixels, np.ones((1, height, width), bool))
    assert padded == (-(-height // 8) * 8, -(-width // 8) * 8)
    assert logits.shape[1] == padded[0] * padded[1] // 64


def test_the_runtime_gives_what_the_network_gives() -> None:
    network = tiny_network(CARD).eval()
    pixels = squares_image(64, [(20, 20)])[None]
    with torch.inference_mode():
        expected = network(normalise(torch.from_numpy(pixels), torch.from_numpy(EVERYWHERE), CARD))
    logits, deltas, *_ = torch_runtime().forward(pixels, EVERYWHERE)
    np.testing.assert_allclose(logits, expected[0], rtol=2e-2, atol=2e-2)
    np.testing.assert_allclose(deltas, expected[1], rtol=2e-2, atol=2e-2)


def test_weights_that_do_not_fit_the_card_are_refused() -> None:
    weights = weights_of(tiny_network(CARD))
    with pytest.raises(ModelFileError, match=r"do not agree: [\d,]+ parameters .* such as "):
        TorchRuntime(tiny_card(classes=("a", "b")), weights, "cpu")
    weights.pop("trunk.conv1.weight")
    with pytest.raises(ModelFileError, match="do not agree"):
        TorchRuntime(CARD, weights, "cpu")


def test_a_card_without_network_is_refused() -> None:
    with pytest.raises(ModelFileError, match="describes no network"):
        TorchRuntime(tiny_card(network=None), {}, "cpu")


@pytest.mark.parametrize("name", ["tpu", "meta", "", "cuda:x", "cpu:0:0", "gpu", "cuda:999"])
def test_a_device_that_is_not_there_is_an_input_error(name: str) -> None:
    with pytest.raises(InputError, match=r"`device` .*expected auto, cpu, cuda, cuda:N or mps"):
        pick_device(name)


def test_auto_always_finds_a_device() -> None:
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    assert pick_device("cpu") == torch.device("cpu")


def test_a_fresh_network_runs_too() -> None:
    assert CARD.network is not None
    weights = weights_of(RetinaNet(CARD.network, 1))
    logits, *_ = TorchRuntime(CARD, weights, "cpu").forward(
        np.zeros((2, 3, 16, 16), np.uint8), np.ones((2, 16, 16), bool)
    )
    assert np.isfinite(logits).all()


def test_the_batch_does_not_change_results_on_a_processor() -> None:
    images = np.stack([squares_image(64, [(20 + 8 * i, 20)]) for i in range(3)])
    valid = np.ones((3, 64, 64), bool)
    together = torch_runtime().forward(images, valid)
    for i in range(3):
        alone = torch_runtime().forward(images[i : i + 1], valid[i : i + 1])
        np.testing.assert_array_equal(alone[0][0], together[0][i])


def test_half_precision_is_close_to_single() -> None:
    try:
        half = TorchRuntime(CARD, weights_of(tiny_network(CARD)), "cpu", precision="bf16")
    except InputError:
        pytest.skip("this processor does not compute in bf16")
    pixels = squares_image(64, [(20, 20)])[None]
    logits, *_ = half.forward(pixels, EVERYWHERE)
    assert logits.dtype == np.float32
    expected = torch_runtime().forward(pixels, EVERYWHERE)[0]
    assert 0 < np.abs(logits - expected).max() < 1


@pytest.mark.parametrize(("has_units", "precision"), [(True, "bf16"), (False, "fp32")])
def test_a_network_in_training_is_run_in_bf16_where_the_processor_computes_in_it(
    has_units: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if precision not in device_precisions(torch.device("cpu")):
        pytest.skip("PyTorch knows no bf16 on this processor")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_units)
    trained = training_runtime(CARD, weights_of(tiny_network(CARD)), "cpu")
    assert trained.precision == precision


def open_tiny(**options: str) -> Runtime:
    return open_runtime(CARD, weights_of(tiny_network(CARD)), **options)


def test_a_processor_runs_openvino_and_pytorch_where_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert open_tiny(device="cpu").title.startswith("OpenVINO")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.warns(GeodetectWarning, match="slower with PyTorch: .*pip install openvino"):
        assert open_tiny(device="cpu").title == "PyTorch fp32 on cpu"
    with pytest.raises(MissingDependencyError, match="pip install openvino"):
        open_tiny(device="cpu", precision="int8")


def test_the_runtime_asked_for_is_taken() -> None:
    assert open_tiny(runtime="torch", device="cpu").title == "PyTorch fp32 on cpu"


class Small:
    """In place of a network on an accelerator with memory for few images."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.sizes: list[int] = []

    def __call__(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NetworkOutput:
        self.sizes.append(len(pixels))
        if len(pixels) > self.fits:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)")
        first = pixels[:, :1, 0, 0].astype(np.float32)
        return NetworkOutput(first[:, None], first[:, None], (32, 32))


def on_accelerator(monkeypatch: pytest.MonkeyPatch, fits: int) -> tuple[Runtime, Small]:
    runtime, network = open_tiny(runtime="torch", device="cpu"), Small(fits)
    for name, value in {"device": torch.device("mps"), "_max_batch": 32, "_run": network}.items():
        monkeypatch.setattr(runtime, name, value)
    return runtime, network


def test_a_batch_that_does_not_fit_is_run_in_parts_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime, network = on_accelerator(monkeypatch, fits=2)
    pixels = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 32, 32), np.uint8)
    valid = np.ones((7, 32, 32), bool)
    with pytest.warns(GeodetectWarning, match="`batch_size`") as caught:
        logits, *_ = runtime.forward(pixels, valid)
    assert logits[:, 0, 0].tolist() == list(range(7))
    assert network.sizes == [7, 4, 2, 2, 2, 1]
    assert len(caught) == 1
    network.sizes.clear()
    runtime.forward(pixels, valid)
    assert network.sizes == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("bf16", "capability", "name", "best"),
    [
        (True, (8, 0), "NVIDIA A100", "bf16"),
        (False, (7, 5), "Tesla T4", "fp16"),
        (False, (7, 5), "NVIDIA GeForce GTX 1660", "fp32"),
        (False, (6, 1), "NVIDIA GeForce GTX 1080", "fp32"),
    ],
)
def test_half_precision_is_for_gpus_that_are_fast_and_right_in_it(
    bf16: bool, capability: tuple[int, int], name: str, best: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    assert device_precisions(torch.device("cuda", 0))[0] == best


def test_a_gpu_that_cannot_be_used_is_passed_over_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.warns(GeodetectWarning, match=r"cuda cannot be used \(.*so the processor"):
        assert pick_device("auto") == torch.device("cpu")


def test_an_accelerator_too_small_for_one_tile_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = on_accelerator(monkeypatch, fits=0)
    with pytest.raises(OutOfMemoryError, match=r"one tile of 32 x 32 px; .*`tile_size`.*`device`"):
        runtime.forward(np.zeros((1, 3, 32, 32), np.uint8), np.ones((1, 32, 32), bool))


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_a_runtime_without_the_device_says_which_has_it(name: str) -> None:
    with pytest.raises(InputError, match=f"`device` cuda: .*`runtime` {name}.* `runtime` torch$"):
        open_tiny(runtime=name, device="cuda")


def test_an_unknown_runtime_is_an_input_error() -> None:
    with pytest.raises(InputError, match="`runtime` tpu: unknown; expected auto, torch, openvino"):
        open_tiny(runtime="tpu")


def test_a_precision_that_is_not_there_is_an_input_error_with_those_that_are() -> None:
    assert pick_precision("auto", ["bf16", "fp32"], runtime="x") == "bf16"
    assert pick_precision("fp32", ["bf16", "fp32"], runtime="x") == "fp32"
    with pytest.raises(InputError, match="fp16: not available with x; expected auto or bf16 or"):
        pick_precision("fp16", ["bf16", "fp32"], runtime="x")
    with pytest.raises(InputError, match="`precision` fp16: not available with torch on cpu"):
        open_tiny(runtime="torch", device="cpu", precision="fp16")


def test_a_runtime_is_loaded_when_it_is_opened() -> None:
    modules = modules_after(
        "import geodetect.detection.predict, geodetect.detection.detectors.load"
    )
    assert not modules & {"torch", "torchvision", "openvino", "onnxruntime"}
