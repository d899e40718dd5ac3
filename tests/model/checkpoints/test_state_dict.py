"""Weights that other programs have written."""

from __future__ import annotations

import argparse
import pickle
import sys
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from geodetect.errors import ModelFileError
from geodetect.model.checkpoints.state_dict import read_checkpoint
from geodetect.model.convert import convert
from tests.helpers.torchvision_networks import save_checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def touch(path: Path) -> Path:
    path.touch()
    return path


class Touch:
    """Unpickled as usual, it makes a file: by a function, or by a method."""

    def __init__(self, path: Path, function: Any = touch) -> None:
        self.path, self.function = path, function

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return self.function, (self.path,)


def assert_state(path: Path) -> None:
    tensors = read_checkpoint(path).tensors
    assert tensors.keys() == STATE.keys()
    assert all(torch.equal(tensors[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".PTH", ".pl", ".ckpt", ".bin"])
def test_a_bare_state_dict_is_read_under_every_usual_suffix(tmp_path: Path, suffix: str) -> None:
    assert_state(save_checkpoint(tmp_path / f"w{suffix}", OrderedDict(STATE)))


def test_a_file_from_before_pytorch_1_6_is_read(tmp_path: Path) -> None:
    assert_state(save_checkpoint(tmp_path / "w.pt", STATE, _use_new_zipfile_serialization=False))


def test_safetensors_are_read_with_the_config_beside_them(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert_state(tmp_path / "w.safetensors")
    assert read_checkpoint(tmp_path / "w.safetensors").values == {}
    (tmp_path / "config.json").write_text('{"label_dict": {"Tree": 0}}')
    assert read_checkpoint(tmp_path / "w.safetensors").values == {"label_dict": {"Tree": 0}}


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff"])
def test_a_config_that_cannot_be_read_is_left_aside(tmp_path: Path, text: str) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    assert read_checkpoint(tmp_path / "w.safetensors").values == {}


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "model_state"])
def test_a_wrapped_state_dict_is_found_and_the_rest_is_kept(tmp_path: Path, key: str) -> None:
    path = save_checkpoint(tmp_path / "w.pt", {"epoch": 3, "loss": torch.zeros(1), key: STATE})
    assert_state(path)
    assert read_checkpoint(path).values["epoch"] == 3


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = save_checkpoint(
        tmp_path / "w.ckpt", {"state_dict": STATE, "hyper_parameters": Touch(trace)}
    )
    assert_state(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the trap works"


def test_a_checkpoint_that_calls_methods_is_refused_without_running_them(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = save_checkpoint(
        tmp_path / "w.ckpt", {"state_dict": STATE, "x": Touch(trace, Path.touch)}
    )
    with pytest.raises(
        ModelFileError, match=r"more than tensors and built-in types \(Trying to call"
    ):
        read_checkpoint(path)
    assert not trace.exists()


def test_objects_of_other_programs_come_out_empty(tmp_path: Path) -> None:
    options = argparse.Namespace(lr=0.1, path=Path("runs"))
    values = read_checkpoint(
        save_checkpoint(tmp_path / "w.pt", {"model": STATE, "args": options})
    ).values
    assert not isinstance(values["args"], argparse.Namespace)
    assert vars(values["args"]) == {}


class AttributeDict(dict[str, Any]):
    """A dictionary of another program, such as Lightning's of this name."""


def test_the_content_of_dictionaries_of_other_kinds_is_kept(tmp_path: Path) -> None:
    counts = defaultdict(list, {"a": [1]})
    path = save_checkpoint(
        tmp_path / "w.pt", {"model": STATE, "x": AttributeDict(lr=0.1), "y": counts}
    )
    values = read_checkpoint(path).values
    assert (values["x"], values["y"]) == ({"lr": 0.1}, {"a": [1]})
    assert type(values["x"]) is type(values["y"]) is dict


def test_placeholders_are_gone_after_reading(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(
        save_checkpoint(tmp_path / "w.pt", {"model": STATE, "args": argparse.Namespace()})
    )
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nn.Linear(2, 3), r"holds a pickled object, not a state dict; save .*state_dict\(\)"),
        (torch.zeros(3), "holds a Tensor"),
        ([STATE], "holds a list"),
        ({}, "holds no state dict; found nothing"),
        ({"epoch": 3, "args": None}, "found epoch, args, expected tensors by name"),
    ],
)
def test_files_without_a_state_dict_are_told(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        read_checkpoint(save_checkpoint(tmp_path / "w.pt", content))


@pytest.mark.parametrize("suffix", [".onnx", ".tif", ".h5", ""])
def test_other_suffixes_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ModelFileError, match=r"cannot be converted; expected .*\.onnx.*\.pth"):
        read_checkpoint(tmp_path / f"w{suffix}")


def test_a_model_of_another_program_is_named_before_pytorch_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "best.engine"
    path.touch()
    with pytest.raises(ModelFileError, match=r"a TensorRT engine cannot be .* exported as \.onnx"):
        convert(path, tmp_path / "m.safetensors")


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    for name in ("folder.pt", "nothing.safetensors"):
        with pytest.raises(ModelFileError, match="no such file"):
            read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html>not found</html>",
        b"PK\x03\x04" + bytes(50),
        pickle.dumps({"a": 1}, protocol=5),
        pickle.dumps(Touch(Path("trace"))),
    ],
    ids=["empty", "page", "zip", "plain", "call"],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_checkpoint_is_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"fetch it again") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_module_that_may_never_be_called_is_refused(tmp_path: Path) -> None:
    class Call:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, ("true",)

    path = save_checkpoint(tmp_path / "w.pt", {"state_dict": STATE, "x": Call()})
    with pytest.raises(ModelFileError, match=r"not a checkpoint of PyTorch"):
        read_checkpoint(path)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(share=st.floats(0, 0.999), new=st.booleans())
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, share: float, new: bool) -> None:
    path = save_checkpoint(
        tmp_path / "w.pt", {"state_dict": STATE}, _use_new_zipfile_serialization=new
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelFileError, match="incomplete") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150
)
@given(data=st.data(), new=st.booleans())
def test_a_damaged_checkpoint_is_read_or_refused(
    tmp_path: Path, data: st.DataObject, new: bool
) -> None:
    content = {"state_dict": STATE, "args": argparse.Namespace(lr=0.1)} if new else STATE
    path = save_checkpoint(tmp_path / "w.pt", content, _use_new_zipfile_serialization=new)
    damaged = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        checkpoint = read_checkpoint(path)
    except ModelFileError as error:
        assert "\n" not in str(error)  # noqa: PT017 (either outcome is right)
    else:
        assert checkpoint.tensors
