"""Cache of converted networks."""

from __future__ import annotations

import ast
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodetect.model.runtimes.cache import (
    ARCHITECTURE,
    FOLDER_VARIABLE,
    MAX_ENTRIES,
    cache_folder,
    cached,
    digest,
    network_key,
)
from tests.helpers.program import ROOT
from tests.helpers.tiny_model import tiny_card, tiny_network, weights_of

ENTRY = {"model": b"<net/>", "weights": bytes(range(256)) * 64, "empty": b""}


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def file_of(folder: Path) -> Path:
    (file,) = folder.rglob("*.safetensors")
    return file


def never() -> dict[str, bytes]:
    raise AssertionError("made although it was there")


def test_what_was_made_once_is_read_afterwards(cache_dir: Path) -> None:
    assert cached("kind", "key", lambda: ENTRY) == ENTRY
    assert cached("kind", "key", never) == ENTRY
    assert file_of(cache_dir) == cache_dir / "kind" / "key.safetensors"


def test_another_key_or_kind_is_another_entry(cache_dir: Path) -> None:
    cached("kind", "key", lambda: ENTRY)
    assert cached("kind", "other", lambda: {"a": b"1"}) == {"a": b"1"}
    assert cached("other", "key", lambda: {"a": b"2"}) == {"a": b"2"}
    assert cached("kind", "key", never) == ENTRY


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_entry_is_made_again(cache_dir: Path, damage: str) -> None:
    cached("kind", "key", lambda: ENTRY)
    file = file_of(cache_dir)
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[-100] ^= 1
    file.write_bytes({"cut": data[:-10], "flip": data, "empty": b"", "text": b"no"}[damage])
    assert cached("kind", "key", lambda: {**ENTRY, "model": b"new"})["model"] == b"new"
    assert cached("kind", "key", never)["model"] == b"new"


def test_a_folder_that_cannot_be_used_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv(FOLDER_VARIABLE, str(file / "cache"))
    assert cached("kind", "key", lambda: ENTRY) == ENTRY
    assert list(tmp_path.iterdir()) == [file]


def test_many_at_once_leave_one_whole_entry(cache_dir: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda _: cached("kind", "key", lambda: ENTRY), range(32)))
    assert entries == [ENTRY] * 32
    assert list(cache_dir.rglob("*.*")) == [file_of(cache_dir)]
    assert cached("kind", "key", never) == ENTRY


def test_what_was_not_used_for_longest_goes_first(cache_dir: Path) -> None:
    for i in range(MAX_ENTRIES):
        cached("kind", f"{i}", lambda: ENTRY)
        os.utime(cache_dir / "kind" / f"{i}.safetensors", (i, i))
    cached("kind", "0", never)
    cached("kind", "new", lambda: ENTRY)
    left = {file.stem for file in (cache_dir / "kind").iterdir()}
    assert left == {"new", "0", *map(str, range(2, MAX_ENTRIES))}


def test_without_a_choice_it_is_a_folder_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert cache_folder().is_absolute()
    assert "geodetect" in cache_folder().parts[-2:] or cache_folder().name == "geodetect"


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_keys_are_equal_for_equal_parts_only(a: list[bytes], b: list[bytes]) -> None:
    assert (digest(*a) == digest(*b)) == (a == b)


def test_the_key_of_a_network_changes_with_all_it_depends_on() -> None:
    card = tiny_card()
    weights = weights_of(tiny_network(card))
    other = {key: value.copy() for key, value in weights.items()}
    other["trunk.conv1.weight"].flat[0] += 1
    keys = [
        network_key(card, weights, "1"),
        network_key(card, weights, "2"),
        network_key(tiny_card(mean=(0.1, 0.0, 0.0)), weights, "1"),
        network_key(card, other, "1"),
        network_key(card, dict(list(weights.items())[1:]), "1"),
    ]
    assert len(set(keys)) == len(keys)
    same = {key: value.copy() for key, value in reversed(weights.items())}
    assert network_key(tiny_card(), same, "1") == keys[0]


def imported_modules(module: str) -> set[str]:
    """Modules of networks and runtimes that a module imports, as paths below geodetect/model."""
    tree = ast.parse((ROOT / "geodetect/model" / module).read_text(encoding="utf-8"))
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    below = {name.removeprefix("geodetect.model.") for name in names}
    return {
        f"{name.replace('.', '/')}.py"
        for name in below
        if name.startswith(("network.", "runtimes."))
    }


def test_every_module_that_determines_a_graph_is_part_of_the_key() -> None:
    assert all((ROOT / "geodetect/model" / module).is_file() for module in ARCHITECTURE)
    graph, queue = set[str](), ["runtimes/export.py"]
    while queue:
        module = queue.pop()
        graph.add(module)
        queue += imported_modules(module) - graph
    converters = {"runtimes/openvino.py", "runtimes/onnx.py"}
    assert all("runtimes/export.py" in imported_modules(module) for module in converters)
    assert set(ARCHITECTURE) == graph | converters
