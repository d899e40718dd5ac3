"""Model files."""

from __future__ import annotations

import json
import os
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodetect.errors import ModelFileError, OutputError
from geodetect.model import file as file_module
from geodetect.model.card import ModelCard
from geodetect.model.file import (
    list_models,
    load_card,
    model_path,
    read_model_file,
    write_model_file,
)

CARD = ModelCard(name="toy", classes=("pool", "car"), gsd_m=0.2, metrics={"ap50": 0.5})
WEIGHTS = {
    "a": np.arange(12, dtype=np.float16).reshape(3, 4),
    "b.c": np.array([1.5, -2.0], np.float32),
    "n": np.array(7, np.int64),
}


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "toy.safetensors"
    write_model_file(path, CARD, WEIGHTS)
    return path


def test_a_model_comes_back_as_it_was_saved(model_file: Path) -> None:
    card, weights = read_model_file(model_file)
    assert card == CARD == load_card(model_file)
    assert weights.keys() == WEIGHTS.keys()
    for key, value in WEIGHTS.items():
        assert weights[key].dtype == value.dtype
        assert np.array_equal(weights[key], value)


def test_the_same_model_makes_the_same_bytes(model_file: Path) -> None:
    """Metadata of safetensors have no order, which differed from one writing to the next."""
    content = model_file.read_bytes()
    mixed = dict(reversed(WEIGHTS.items()))
    for weights in (WEIGHTS, mixed) * 5:
        write_model_file(model_file, CARD, weights)
        assert model_file.read_bytes() == content
    odd = CARD.model_copy(update={"name": 'é "quoted" \n \u2028'})
    write_model_file(model_file, odd, WEIGHTS)
    assert read_model_file(model_file)[0] == odd


def test_weights_in_any_memory_layout_come_back(tmp_path: Path) -> None:
    turned = np.asfortranarray(np.arange(12.0).reshape(3, 4))[:, ::-1]
    write_model_file(tmp_path / "m.safetensors", CARD, {"w": turned})
    assert np.array_equal(read_model_file(tmp_path / "m.safetensors")[1]["w"], turned)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_file_changed_in_any_byte_is_refused_or_means_the_same(
    model_file: Path, data: st.DataObject
) -> None:
    content = bytearray(model_file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    changed = model_file.with_name("changed.safetensors")
    changed.write_bytes(content)
    try:
        card, weights = read_model_file(changed)
    except ModelFileError as error:
        assert "\n" not in str(error)  # noqa: PT017 (either outcome is right)
    else:
        assert card == CARD
        assert all(np.array_equal(weights[key], WEIGHTS[key]) for key in WEIGHTS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_refused(model_file: Path, share: float) -> None:
    cut = model_file.with_name("cut.safetensors")
    content = model_file.read_bytes()
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelFileError, match="not a model file"):
        read_model_file(cut)


def test_a_changed_weight_is_found_by_the_checksum(model_file: Path) -> None:
    content = bytearray(model_file.read_bytes())
    content[-1] ^= 0x40
    model_file.write_bytes(content)
    assert load_card(model_file) == CARD, "the header is unharmed"
    with pytest.raises(ModelFileError, match="checksum does not match"):
        read_model_file(model_file)


def test_a_changed_card_is_found_by_the_checksum(model_file: Path) -> None:
    content = model_file.read_bytes()
    model_file.write_bytes(content.replace(b'\\"conf\\":0.5', b'\\"conf\\":0.1'))
    assert load_card(model_file).conf == 0.1
    with pytest.raises(ModelFileError, match="checksum does not match"):
        read_model_file(model_file)


def test_weights_of_another_program_are_no_model(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file(WEIGHTS, path, metadata={"format": "pt"})
    with pytest.raises(ModelFileError, match="no geodetect model card"):
        load_card(path)


def header_of(file: Path) -> dict[str, str]:
    with safetensors.safe_open(file, framework="numpy") as opened:
        return dict(opened.metadata())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": "99"}, "format version 99, this program reads 1 and 2"),
        ({"card": "{"}, "card cannot be read"),
        ({"card": json.dumps({"name": "x"})}, "card cannot be read: .*classes"),
        ({"card": CARD.model_dump_json().replace("0.5", "7", 1)}, "card cannot be read"),
    ],
)
def test_a_header_that_cannot_be_used_is_one_line(
    model_file: Path, changes: dict[str, str], message: str
) -> None:
    safetensors.numpy.save_file(WEIGHTS, model_file, metadata=header_of(model_file) | changes)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_card(model_file)
    assert "\n" not in str(caught.value)


def test_a_file_without_card_or_checksum_is_refused(model_file: Path) -> None:
    header = header_of(model_file)
    for missing in ("card", "sha256"):
        less = {key: value for key, value in header.items() if key != missing}
        safetensors.numpy.save_file(WEIGHTS, model_file, metadata=less)
        with pytest.raises(ModelFileError):
            read_model_file(model_file)


def test_a_pickle_is_refused_without_running_it(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "sprung",)

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelFileError, match="not a model file"):
        read_model_file(path)
    assert not (tmp_path / "sprung").exists()


def test_the_mode_of_a_file_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_model_file(tmp_path / "m.safetensors", CARD, WEIGHTS)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o640


def test_saving_replaces_a_model_and_leaves_nothing_else(model_file: Path) -> None:
    write_model_file(model_file, CARD.model_copy(update={"name": "second"}), WEIGHTS)
    assert load_card(model_file).name == "second"
    assert list(model_file.parent.iterdir()) == [model_file]


def test_a_model_that_cannot_be_written_leaves_the_old_one(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        write_model_file(model_file, CARD.model_copy(update={"name": "second"}), WEIGHTS)
    assert load_card(model_file).name == "toy"
    assert list(model_file.parent.iterdir()) == [model_file]


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_model_file(tmp_path / "no" / "m.safetensors", CARD, WEIGHTS)


def test_a_card_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    broken = CARD.model_copy(update={"metrics": {"precision": float("nan")}})
    with pytest.raises(OutputError, match=r"card is not valid: .*precision"):
        write_model_file(tmp_path / "m.safetensors", broken, WEIGHTS)
    assert list(tmp_path.iterdir()) == []


def write_unchecked(path: Path, card: str, weights: dict[str, NDArray[np.generic]]) -> Path:
    """A model file with a correct checksum, whatever it holds."""
    header = {"format": "geodetect", "format_version": "1", "card": card}
    header["sha256"] = file_module._checksum(card, weights)
    safetensors.numpy.save_file(weights, path, metadata=header)
    return path


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "b.c",
            np.array([1.0, np.nan], np.float32),
            "1 of 2 values of b.c are NaN, infinite or huge",
        ),
        ("b.c", np.array([1.0, -np.inf], np.float32), "1 of 2 values of b.c"),
        ("a", np.full((3, 4), np.inf, np.float16), "12 of 12 values of a"),
        ("b.c", np.array([1.0, 1e30], np.float32), "1 of 2 values of b.c"),
        ("d", np.array(np.nan), "1 of 1 values of d"),
        ("bn1.running_var", np.array([1.0, -1.0]), "1 variances in bn1.running_var are negative"),
    ],
)
def test_weights_that_are_no_numbers_are_refused_by_their_name(
    tmp_path: Path, name: str, value: NDArray[np.generic], message: str
) -> None:
    weights = WEIGHTS | {name: value}
    path = write_unchecked(tmp_path / "m.safetensors", CARD.model_dump_json(), weights)
    with pytest.raises(ModelFileError, match=message):
        read_model_file(path)
    with pytest.raises(OutputError, match=message):
        write_model_file(tmp_path / "new.safetensors", CARD, weights)
    assert not (tmp_path / "new.safetensors").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("mean", "[0.5,NaN,0.5]"), ("std", "[0.2,0,0.2]"), ("conf", "NaN"), ("gsd_m", "0"),
     ("classes", '["a","a"]'), ("classes", "[]"), ("classes", json.dumps(["x"] * 1_000_000)),
     ("iou", "Infinity"), ("mean", "[" * 5000), ("tile_px", "1e999")],
)  # fmt: skip
def test_a_damaged_card_is_refused_by_the_name_of_its_field(
    tmp_path: Path, field: str, value: str
) -> None:
    card = f'{{"name": "m", "classes": ["a"], "{field}": {value}}}'
    with pytest.raises(ModelFileError, match="the model card cannot be read") as caught:
        load_card(write_unchecked(tmp_path / "m.safetensors", card, {}))
    message = str(caught.value).removeprefix(str(tmp_path))
    assert field in message or "JSON" in message
    assert len(message) < 500


HEADERS = {
    "deep": b'{"a":' + b"[" * 100_000,
    "of another type": b"[1, 2, 3]",
    "of text in Latin-1": '{"é": 1}'.encode("latin-1"),
    "with a lone surrogate": b'{"__metadata__": {"card": "\\ud800"}}',
    "with metadata of numbers": b'{"__metadata__": {"format": 1}}',
    "with an array beyond the end": b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}',
    "with a shape beyond 64 bits": b'{"w":{"dtype":"F32","shape":[99999999999999999999],'
    b'"data_offsets":[0,0]}}',
    "with an unknown type": b'{"w":{"dtype":"Q9","shape":[0],"data_offsets":[0,0]}}',
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_odd_is_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(HEADERS[name]).to_bytes(8, "little") + HEADERS[name])
    with pytest.raises(ModelFileError) as caught:
        read_model_file(path)
    assert "\n" not in str(caught.value)
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelFileError, match="not a model file"):
        read_model_file(path)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ModelFileError, match=r"no model 'giraffes'.*`model`"):
        model_path("giraffes")


@pytest.mark.parametrize("name", list_models())
def test_a_built_in_model_is_whole(name: str) -> None:
    card, weights = read_model_file(name)
    assert card.name == name
    assert weights
