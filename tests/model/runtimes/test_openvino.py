"""Networks run by OpenVINO, against the same by PyTorch."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geodetect.detection.detectors.load import load_detector
from geodetect.errors import InputError, MissingDependencyError, ModelFileError
from geodetect.hardware.cpu import THREADS_VARIABLE
from geodetect.io.user_cache import FOLDER_VARIABLE
from geodetect.model.card import ModelCard
from geodetect.model.file import read_model_file
from geodetect.model.network.input_size import exported_inputs
from geodetect.model.runtimes import openvino as openvino_module
from geodetect.model.runtimes.compiled_network import MAX_FIXED_SHAPES
from geodetect.model.runtimes.openvino import CAPABILITIES, OpenVinoRuntime
from geodetect.model.runtimes.torch import TorchRuntime
from tests.helpers.program import ROOT, modules_after, program_environment
from tests.helpers.square_scenes import grid_corners, squares_image
from tests.helpers.tiny_model import save_tiny_model, tiny_card, tiny_network, weights_of

CARD = tiny_card(mean=(0.2, 0.1, 0.0), std=(0.9, 1.1, 1.0))
SCALED = tiny_card(input_scale=1.25)


@pytest.fixture(scope="module", autouse=True)
def openvino_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv(FOLDER_VARIABLE, str(folder))
        yield folder


def open_openvino(card: ModelCard = CARD, precision: str = "fp32") -> OpenVinoRuntime:
    return OpenVinoRuntime(card, weights_of(tiny_network(card)), precision=precision)


@pytest.fixture(scope="module")
def openvino_runtime(openvino_cache: Path) -> OpenVinoRuntime:
    return open_openvino()


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def partly_valid(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    valid = np.ones((len(pixels), *pixels.shape[2:]), bool)
    valid[:, : pixels.shape[2] // 4] = False
    return valid


@pytest.mark.parametrize("size", [(64, 64), (63, 57), (1, 1), (8, 9), (128, 40)])
@pytest.mark.parametrize("card", [CARD, SCALED], ids=["as it is", "scaled"])
def test_single_precision_gives_what_pytorch_gives(card: ModelCard, size: tuple[int, int]) -> None:
    pixels = noise(2, 3, *size)
    valid = partly_valid(pixels)
    reference = TorchRuntime(card, weights_of(tiny_network(card)), "cpu", precision="fp32")
    logits, deltas, padded, _ = open_openvino(card).forward(pixels, valid)
    expected = reference.forward(pixels, valid)
    assert padded == expected[2]
    assert logits.dtype == deltas.dtype == np.float32
    np.testing.assert_allclose(logits, expected[0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(deltas, expected[1], atol=1e-3)


def test_the_built_in_model_finds_the_same_pools_as_with_pytorch() -> None:
    with rasterio.open(ROOT / "sample_data/neighbourhood.tif") as scene:
        pixels = scene.read([1, 2, 3], window=Window(1820, 200, 320, 250))[None]
    valid = np.ones((1, 250, 320), bool)
    ours, theirs = (
        load_detector("pools", device="cpu", runtime=name, precision="fp32")(pixels, valid)[0]
        for name in ("openvino", "torch")
    )
    assert len(ours) == len(theirs) >= 3
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.05)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)


def test_half_precision_finds_the_same_squares(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "squares.safetensors")
    image = squares_image(128, grid_corners(128))[None]
    detector = load_detector(path, device="cpu", runtime="openvino")
    detections = detector(image, np.ones((1, 128, 128), bool))[0]
    corners = sorted(map(tuple, detections.boxes[:, :2].round().astype(int).tolist()))
    assert corners == sorted(grid_corners(128))


def test_results_do_not_depend_on_the_batch(openvino_runtime: OpenVinoRuntime) -> None:
    pixels = noise(5, 3, 40, 48)
    together = openvino_runtime.forward(pixels, partly_valid(pixels))
    for i in range(5):
        alone = openvino_runtime.forward(pixels[i : i + 1], partly_valid(pixels)[i : i + 1])
        np.testing.assert_array_equal(alone[0][0], together[0][i])
        np.testing.assert_array_equal(alone[1][0], together[1][i])


def test_cores_that_compute_different_images_change_neither_results_nor_identity(
    openvino_runtime: OpenVinoRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "1")
    pixels = noise(3, 3, 120, 90)
    valid = partly_valid(pixels)
    with_one_core = open_openvino()
    assert with_one_core.streams == 1
    assert with_one_core.identity == openvino_runtime.identity
    for alone, together in zip(
        with_one_core.forward(pixels, valid)[:2],
        openvino_runtime.forward(pixels, valid)[:2],
        strict=True,
    ):
        np.testing.assert_array_equal(alone, together)


def test_several_threads_may_use_it_at_once(openvino_runtime: OpenVinoRuntime) -> None:
    batches = [noise(3, 3, 16 + 8 * i, 24) for i in range(12)]
    expected = [openvino_runtime.forward(batch, partly_valid(batch))[0] for batch in batches]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda b: openvino_runtime.forward(b, partly_valid(b))[0], batches))
    for logits, reference in zip(results, expected, strict=True):
        np.testing.assert_array_equal(logits, reference)


def test_one_thread_alone_runs_the_first_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO's Python module hangs now and then when two threads are the first to call it."""
    import openvino

    infer, threads = openvino.InferRequest.infer, list[str]()

    def infer_and_record(self: openvino.InferRequest, *args: Any, **options: Any) -> object:
        threads.append(threading.current_thread().name)
        return infer(self, *args, **options)

    monkeypatch.setattr(openvino.InferRequest, "infer", infer_and_record)
    open_openvino()
    assert threads == [threading.current_thread().name]


def test_a_square_image_has_the_same_result_whatever_was_run_before(
    openvino_runtime: OpenVinoRuntime,
) -> None:
    """The networks compiled for a size are few, and others make room for them."""
    images = [noise(1, 3, side, side) for side in (16, 24, 32, 40, 24, 16)]
    first = [openvino_runtime.forward(image, partly_valid(image))[0] for image in images]
    for image, logits in reversed(list(zip(images, first, strict=True))):
        again = openvino_runtime.forward(image, partly_valid(image))[0]
        np.testing.assert_array_equal(again, logits)
    assert len(openvino_runtime._network._requests) <= MAX_FIXED_SHAPES + 1


@pytest.mark.parametrize("shape", [(32, 32), (24, 40)])
def test_fixed_and_any_shapes_give_the_same(
    openvino_runtime: OpenVinoRuntime, shape: tuple[int, int]
) -> None:
    pixels = noise(1, 3, *shape)[0]
    inputs = exported_inputs(CARD, pixels, np.ones(shape, bool)).values()
    run = openvino_runtime._network.run
    for fixed, free in zip(run(*inputs, is_shape_fixed=True), run(*inputs), strict=True):
        np.testing.assert_allclose(fixed, free, rtol=1e-5, atol=1e-4)


def test_pixels_outside_the_imagery_change_nothing(openvino_runtime: OpenVinoRuntime) -> None:
    pixels = noise(1, 3, 32, 32)
    valid = partly_valid(pixels)
    other = np.where(valid[:, None], pixels, 255 - pixels).astype(np.uint8)
    np.testing.assert_array_equal(
        openvino_runtime.forward(pixels, valid)[0], openvino_runtime.forward(other, valid)[0]
    )


def test_it_says_what_it_is(openvino_runtime: OpenVinoRuntime) -> None:
    assert openvino_runtime.title == "OpenVINO fp32 on cpu"
    assert openvino_runtime.streams >= 1


@pytest.mark.parametrize("is_slow", [False, True])
def test_auto_is_half_precision_where_the_processor_has_it_and_gains_by_it(
    is_slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    monkeypatch.setattr(openvino_module, "is_bf16_slow", lambda: is_slow)
    capable = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    picked = "bf16" if "BF16" in capable and not is_slow else "fp32"
    assert open_openvino(precision="auto").precision == picked
    missing = [name for name, capability in CAPABILITIES.items() if capability not in capable]
    for name in missing:
        with pytest.raises(InputError, match=rf"`precision` {name}: not .* expected auto .*fp32"):
            open_openvino(precision=name)


@pytest.mark.parametrize(
    ("ap75", "has_units", "is_taken"),
    [(0.9985, True, True), (0.9975, True, False), (0.9985, False, False), (None, True, False)],
)
def test_auto_is_int8_where_it_is_fast_and_the_card_shows_that_it_costs_nothing(
    ap75: float | None, has_units: bool, is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, arrays = read_model_file("pools")
    assert card.int8 is not None
    record = None if ap75 is None else card.int8.model_copy(update={"ap75": ap75})
    monkeypatch.setattr(openvino_module, "has_int8_units", lambda: has_units)
    opened = OpenVinoRuntime(card.model_copy(update={"int8": record}), arrays)
    assert (opened.precision == "int8") == is_taken
    assert opened.title == f"OpenVINO {opened.precision} on cpu"


def test_weights_that_do_not_fit_the_card_are_refused() -> None:
    with pytest.raises(ModelFileError, match="do not agree"):
        OpenVinoRuntime(tiny_card(classes=("a", "b")), weights_of(tiny_network(CARD)))


def test_a_kept_conversion_gives_the_same_bytes_as_a_new_one(
    openvino_runtime: OpenVinoRuntime,
    openvino_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = noise(1, 3, 64, 64)
    expected = openvino_runtime.forward(pixels, partly_valid(pixels))[0]
    assert any((openvino_cache / "openvino").iterdir())
    assert "openvino_telemetry" not in sys.modules  # it reports over the network
    for folder in (openvino_cache, tmp_path / "new", tmp_path / "file" / "in the way"):
        monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
        (tmp_path / "file").touch()
        logits = open_openvino().forward(pixels, partly_valid(pixels))[0]
        np.testing.assert_array_equal(logits, expected)


def test_conversion_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_openvino()
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")


def test_a_second_run_needs_no_pytorch_and_reports_nothing_over_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    path = save_tiny_model(tmp_path / "squares.safetensors")
    load_detector(path, device="cpu")
    modules = modules_after(
        "import numpy as np\n"
        "from geodetect.detection.detectors.load import load_detector\n"
        f"detector = load_detector({str(path)!r}, device='cpu')\n"
        "detector(np.zeros((1, 3, 64, 64), np.uint8), np.ones((1, 64, 64), bool))"
    )
    assert "openvino" in modules
    assert not modules & {"torch", "torchvision", "openvino_telemetry"}


SIGNALLED = """
import signal, sys
from geodetect.detection.detectors.load import load_detector
first = load_detector(sys.argv[1], device="cpu")
second = load_detector(sys.argv[1], device="cpu")
del first
del second  # the stack of the first one for signals must not be in use now
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_ends_no_process_whose_models_are_gone(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "squares.safetensors")
    process = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", SIGNALLED, path],
        env=program_environment(GEODETECT_CACHE_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (process.returncode, process.stdout) == (0, "interrupted\n"), process.stderr


def test_without_openvino_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match="pip install openvino"):
        open_openvino()
