"""Memory that may still be taken, and errors that say that it is used up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from geodetect.hardware.memory import available_bytes, is_out_of_memory
from geodetect.model.network.presets import network_config
from geodetect.model.runtimes.base import network_bytes_per_px
from tests.helpers.program import program_environment


def group(folder: Path, *, limit: str = "max", current: int = 0, cached: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\nslab 7\n")
    return folder


def test_the_system_says_what_is_available(tmp_path: Path) -> None:
    total = psutil.virtual_memory().total
    assert 0.01 * total < available_bytes([group(tmp_path)]) <= total
    assert 0 < available_bytes([tmp_path / "none"]) <= total


def test_a_container_leaves_less(tmp_path: Path) -> None:
    container = group(tmp_path, limit="1000000", current=700_000, cached=200_000)
    assert available_bytes([container]) == 500_000


def test_a_container_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    assert available_bytes([group(tmp_path, limit="1000", current=2000)]) == 0


def test_the_narrowest_group_counts(tmp_path: Path) -> None:
    inner = group(tmp_path / "inner", limit="900000", current=100_000)
    outer = group(tmp_path, limit="1000000", current=700_000)
    assert available_bytes([inner, outer]) == 300_000


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")
@pytest.mark.parametrize("option", ["-v", "-d"])
def test_a_limit_of_addresses_or_data_counts(option: str) -> None:
    code = "from geodetect.hardware.memory import available_bytes; print(available_bytes())"
    limit_kib = 900_000
    process = subprocess.run(
        ["bash", "-c", f"ulimit {option} {limit_kib}; exec {sys.executable} -c '{code}'"],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=True,
    )
    assert 0 < int(process.stdout) < limit_kib * 1024


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError("Exception from src/core: std::bad_alloc"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("core.cpp:117: plugin.cpp:54: Resource temporarily unavailable"), True),
        (RuntimeError("[CPU] Convolution node with name 'x/Convolution' can't alloc"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (
            Exception("[ONNXRuntimeError] : 6 : BFCArena::AllocateRaw Failed to allocate memory"),
            True,
        ),
        (ImportError("libtorch.so: failed to map segment from shared object"), True),
        (ImportError("No module named 'openvino'"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("a memory of something"), False),
    ],
)
def test_errors_that_say_that_memory_is_used_up_are_told(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_wider_networks_take_more_and_half_precision_half() -> None:
    small, large = network_config("geodetect"), network_config("torchvision")
    assert network_bytes_per_px(large, "fp32") > network_bytes_per_px(small, "fp32")
    assert network_bytes_per_px(small, "bf16") * 2 == network_bytes_per_px(small, "fp32")
    assert network_bytes_per_px(None, "fp32") == network_bytes_per_px(large, "fp32")
