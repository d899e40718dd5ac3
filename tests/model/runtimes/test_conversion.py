"""Networks in OpenVINO's form in the model files that programs write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geodetect.detection.detectors.load import load_detector
from geodetect.errors import InputError, ModelFileError
from geodetect.model.convert import convert
from geodetect.model.file import read_model_file, write_model_file
from geodetect.model.runtimes.conversion import add_networks
from geodetect.model.runtimes.stored_networks import NETWORK, holds_network, network_parameters
from tests.helpers.tiny_model import save_tiny_model

PREDICT = """
import sys
sys.modules["torch"] = sys.modules["torchvision"] = None  # imports of them fail
import numpy as np
from geodetect.model.file import read_model_file
from geodetect.model.runtimes.open import open_runtime
runtime = open_runtime(*read_model_file(sys.argv[1]), device="cpu")
runtime.forward(np.zeros((1, 3, 32, 32), np.uint8), np.ones((1, 32, 32), bool))
"""


def test_a_file_of_an_older_version_gets_a_network_that_runs_without_pytorch(
    tmp_path: Path,
) -> None:
    old, new = save_tiny_model(tmp_path / "old.safetensors"), tmp_path / "new.safetensors"
    old.write_bytes(old.read_bytes().replace(b'"format_version":"2"', b'"format_version":"1"'))
    card, parameters = read_model_file(old)
    assert not holds_network(parameters, NETWORK)
    assert convert(old, new) == card
    new_card, arrays = read_model_file(new)
    assert new_card == card
    assert holds_network(arrays, NETWORK)
    assert {n: a.tobytes() for n, a in network_parameters(arrays).items()} == {
        n: a.tobytes() for n, a in parameters.items()
    }
    subprocess.run([sys.executable, "-c", PREDICT, new], check=True)


def test_converting_a_file_again_repairs_its_network(tmp_path: Path) -> None:
    card, arrays = read_model_file(save_tiny_model(tmp_path / "old.safetensors"))
    name = "classification.output.bias"
    trained = add_networks(card, arrays) | {name: arrays[name] + np.float16(1)}
    write_model_file(tmp_path / "stale.safetensors", card, trained)
    with pytest.raises(ModelFileError, match=r"made from other weights .* `geodetect convert`"):
        load_detector(tmp_path / "stale.safetensors", device="cpu")
    convert(tmp_path / "stale.safetensors", tmp_path / "new.safetensors")
    load_detector(tmp_path / "new.safetensors", device="cpu")


def test_settings_for_a_model_file_are_refused(tmp_path: Path) -> None:
    old = save_tiny_model(tmp_path / "old.safetensors")
    with pytest.raises(InputError, match=r"old.safetensors: is a model file, .*expected no"):
        convert(old, tmp_path / "new.safetensors", gsd=0.1)
