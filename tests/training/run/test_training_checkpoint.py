"""The state of a training on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geodetect.errors import InputError, OutputError
from geodetect.training.run.checkpoint import read_state, write_state

STATE = {"settings": "{}", "step": 3, "best": None, "weights": {"a": torch.arange(5000.0)}}

ROOM = 8000  # bytes on a disk that is nearly full


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def test_a_state_is_read_as_it_was_written(path: Path) -> None:
    write_state(path, STATE)
    state = read_state(path)
    assert torch.equal(state["weights"]["a"], STATE["weights"]["a"])  # type: ignore[index]
    assert (state["step"], state["best"]) == (3, None)
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_checkpoint_before_as_it_was(path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs a limit for the size of files")
    write_state(path, STATE)
    before = path.read_bytes()
    assert len(before) > 2 * ROOM
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be written .*`resume`") as caught:
            write_state(path, STATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_state(tmp_path / "no/checkpoint.pt", STATE)


def test_a_missing_checkpoint_is_an_input_error(path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        read_state(path)


@pytest.mark.parametrize("content", [b"", b"half a file", b"PK\x03\x04 half"])
def test_a_damaged_checkpoint_is_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_state(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_or_foreign_checkpoint_is_one_line(path: Path) -> None:
    write_state(path, STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_state(path)
    assert "\n" not in str(caught.value)
    for foreign in ({"model": 1}, [1, 2]):
        torch.save(foreign, path)
        with pytest.raises(InputError, match="cannot be read"):
            read_state(path)


def test_a_checkpoint_cannot_run_code(path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (path.with_name("sprung"),)

    torch.save({"settings": Trap()}, path)
    with pytest.raises(InputError, match="cannot be read"):
        read_state(path)
    assert not path.with_name("sprung").exists()
