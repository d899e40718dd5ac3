"""Networks run by ONNX Runtime, against the same by PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from geodetect.errors import InputError, MissingDependencyError
from geodetect.io.user_cache import FOLDER_VARIABLE
from geodetect.model.runtimes.onnx import OnnxRuntime
from geodetect.model.runtimes.torch import TorchRuntime
from tests.helpers.tiny_model import tiny_card, tiny_network, weights_of


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))


@pytest.mark.parametrize("scale", [1.0, 1.25])
def test_it_gives_what_pytorch_gives(scale: float) -> None:
    card = tiny_card(input_scale=scale)
    weights = weights_of(tiny_network(card))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, 61, 40), np.uint8)
    valid = np.ones((2, 61, 40), bool)
    valid[:, :10] = False
    expected = TorchRuntime(card, weights, "cpu", precision="fp32").forward(pixels, valid)
    for _ in range(2):  # converted, then from the cache
        logits, deltas, padded, _ = OnnxRuntime(card, weights).forward(pixels, valid)
        assert padded == expected[2]
        np.testing.assert_allclose(logits, expected[0], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(deltas, expected[1], atol=1e-3)


def test_it_has_single_precision_only() -> None:
    with pytest.raises(InputError, match=r"bf16: not available with onnx; .* fp32"):
        OnnxRuntime(tiny_card(), weights_of(tiny_network(tiny_card())), precision="bf16")


@pytest.mark.parametrize("missing", ["onnxruntime", "onnx"])
def test_without_the_extra_the_error_says_how_to_get_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'geodetect\[onnx\]'"):
        OnnxRuntime(tiny_card(), weights_of(tiny_network(tiny_card())))
