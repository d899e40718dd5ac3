"""Processors that may be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from geodetect.hardware import cpu
from geodetect.hardware.cpu import THREADS_VARIABLE, control_groups, has_int8_units, usable_cores


@pytest.mark.parametrize(("text", "cores"), [("100000 100000", 1), ("20000 100000", 1)])
def test_the_quota_of_a_container_is_kept(tmp_path: Path, text: str, cores: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert usable_cores([tmp_path]) == cores


@pytest.mark.parametrize("text", ["max 100000", "99900000 100000", "", "nonsense", None])
def test_without_a_quota_there_are_all_that_the_process_may_use(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "cpu.max"
    if text is not None:
        file.write_text(text)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    assert usable_cores([tmp_path]) == len(allowed)


@pytest.mark.parametrize(
    ("text", "cores"), [("1", 1), ("1,4", 1), ("0", 1), ("9999", None), ("many", None)]
)
def test_the_environment_may_state_fewer_cores(
    tmp_path: Path, text: str, cores: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    expected = usable_cores([tmp_path]) if cores is None else cores
    monkeypatch.setenv(THREADS_VARIABLE, text)
    assert usable_cores([tmp_path]) == expected


def test_groups_are_those_around_this_process(tmp_path: Path) -> None:
    root, process = tmp_path / "root", tmp_path / "own"
    inner = root / "jobs/one"
    inner.mkdir(parents=True)
    process.write_text("4:memory:/elsewhere\n0::/jobs/one\n")
    assert control_groups(root, process) == [inner, inner.parent, root]
    process.write_text("0::/not/seen/from/here\n")  # in a container
    assert control_groups(root, process) == [root]
    assert control_groups(root, tmp_path / "none") == [root]
    (inner.parent / "cpu.max").write_text("50000 100000")
    assert usable_cores([inner, inner.parent, root]) == 1


@pytest.mark.parametrize(
    ("flags", "has_units"),
    [
        ("fpu avx2 avx512f avx512_vnni", True),
        ("fpu avx2 avx_vnni", True),
        ("fpu avx512f amx_bf16 amx_int8", True),
        ("fpu avx2 avx512f avx512_bf16", False),
    ],
)
def test_units_for_bytes_are_known_from_the_flags_of_the_processor(
    flags: str, has_units: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\nbugs\t\t: none\n"
    (tmp_path / "cpuinfo").write_text(info)
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "cpuinfo")
    assert has_int8_units() == has_units
    assert cpu.cpu_model() == "Some CPU"


@pytest.mark.parametrize(
    ("vendor", "flags", "is_slow"),
    [
        ("GenuineIntel", "fpu avx512f avx512_bf16 amx_bf16", False),
        ("GenuineIntel", "fpu avx512f avx512_bf16", True),
        ("GenuineIntel", "fpu avx512f", False),
        ("AuthenticAMD", "fpu avx512f avx512_bf16", False),
    ],
)
def test_units_for_bf16_are_slow_on_intel_without_amx(
    vendor: str, flags: str, is_slow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"vendor_id\t: {vendor}\nflags\t\t: {flags}\n")
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "cpuinfo")
    assert cpu.is_bf16_slow() == is_slow


def test_numpy_tells_of_units_for_bytes_where_no_file_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = pytest.importorskip("numpy._core._multiarray_umath").__cpu_features__
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "none")
    for name in cpu.INT8_FEATURES:
        monkeypatch.setitem(features, name, False)
    assert not has_int8_units()
    monkeypatch.setitem(features, "AVX512_ICL", True)
    assert has_int8_units()
