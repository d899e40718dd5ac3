"""Cache of converted networks."""

from __future__ import annotations

import ast
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodetect.errors import GeodetectWarning
from geodetect.io.user_cache import FOLDER_VARIABLE, cache_folder
from geodetect.model.runtimes.cache import (
    ARCHITECTURE,
    MAX_ENTRIES,
    Entry,
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
    assert cached("kind", "key", make=lambda: ENTRY, read=dict) == ENTRY
    assert cached("kind", "key", make=never, read=dict) == ENTRY
    assert file_of(cache_dir) == cache_dir / "kind" / "key.safetensors"


def test_another_key_or_kind_is_another_entry(cache_dir: Path) -> None:
    cached("kind", "key", make=lambda: ENTRY, read=dict)
    assert cached("kind", "other", make=lambda: {"a": b"1"}, read=dict) == {"a": b"1"}
    assert cached("other", "key", make=lambda: {"a": b"2"}, read=dict) == {"a": b"2"}
    assert cached("kind", "key", make=never, read=dict) == ENTRY


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_entry_is_made_again(cache_dir: Path, damage: str) -> None:
    cached("kind", "key", make=lambda: ENTRY, read=dict)
    file = file_of(cache_dir)
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[-100] ^= 1
    file.write_bytes({"cut": data[:-10], "flip": data, "empty": b"", "text": b"no"}[damage])
    assert_made_again(file)


def assert_made_again(file: Path, reason: str = "") -> None:
    """The entry at a path is not believed, said to be so, and replaced by a new one."""
    with pytest.warns(GeodetectWarning, match=f"key.safetensors: not the converted.*{reason}"):
        entry = cached("kind", "key", make=lambda: {**ENTRY, "model": b"new"}, read=dict)
    assert entry["model"] == b"new"
    assert cached("kind", "key", make=never, read=dict)["model"] == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.is_file()
    assert not file.is_symlink()


posix = pytest.mark.skipif(os.name != "posix", reason="owners, modes and pipes of POSIX")


@posix
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("link", "it is a link"), ("dangling link", "it is a link"), ("pipe", "no plain file"),
     ("hard link", "no plain file"), ("world-writable", "others can change it")],
)  # fmt: skip
def test_an_entry_that_others_may_have_put_there_is_not_read(
    cache_dir: Path, tmp_path: Path, kind: str, reason: str
) -> None:
    cached("kind", "key", make=lambda: ENTRY, read=dict)
    file, elsewhere = file_of(cache_dir), tmp_path / "elsewhere"
    if kind == "world-writable":
        file.chmod(0o666)
    else:
        file.rename(elsewhere)
    content = None if kind == "world-writable" else elsewhere.read_bytes()
    if kind == "link":
        file.symlink_to(elsewhere)
    elif kind == "dangling link":
        file.symlink_to(tmp_path / "nothing")
    elif kind == "hard link":
        file.hardlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(file)
    assert_made_again(file, reason)
    assert content is None or elsewhere.read_bytes() == content
    assert not (tmp_path / "nothing").exists()


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_an_entry_of_another_user_is_not_read_even_if_its_checksum_is_right(
    cache_dir: Path,
) -> None:
    cached("kind", "key", make=lambda: {"model": b"forged"}, read=dict)
    os.chown(file_of(cache_dir), 54321, 54321)
    assert_made_again(file_of(cache_dir), "others can change it")


def test_a_folder_in_place_of_an_entry_is_done_without(cache_dir: Path) -> None:
    (cache_dir / "kind" / "key.safetensors").mkdir(parents=True)
    with pytest.warns(GeodetectWarning, match="not the converted network"):
        assert cached("kind", "key", make=lambda: ENTRY, read=dict) == ENTRY


def test_an_entry_that_its_library_cannot_read_is_made_again(cache_dir: Path) -> None:
    def read(entry: Entry) -> str:
        return {b"good": "network"}[entry["model"]]

    cached("kind", "key", make=lambda: {"model": b"forged"}, read=dict)
    with pytest.warns(GeodetectWarning, match="it is converted again"):
        assert cached("kind", "key", make=lambda: {"model": b"good"}, read=read) == "network"
    assert cached("kind", "key", make=never, read=read) == "network"


@posix
@pytest.mark.parametrize("changed", ["root", "kind", "parent", "linked kind", "owner"])
def test_a_folder_that_others_can_change_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    root = tmp_path / "parent" / "cache"
    monkeypatch.setenv(FOLDER_VARIABLE, str(root))
    cached("kind", "key", make=lambda: {"model": b"forged"}, read=dict)
    assert (
        stat.S_IMODE(root.stat().st_mode) == stat.S_IMODE((root / "kind").stat().st_mode) == 0o700
    )
    if changed == "linked kind":
        (root / "kind").rename(tmp_path / "elsewhere")
        (root / "kind").symlink_to(tmp_path / "elsewhere")
    elif changed == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root gives folders away")
        os.chown(root, 54321, 54321)
    else:
        {"root": root, "kind": root / "kind", "parent": root.parent}[changed].chmod(0o777)
    files = sorted(tmp_path.rglob("*"))
    for _ in range(2):
        with pytest.warns(GeodetectWarning, match=r"not cached there.*GEODETECT_CACHE_DIR"):
            assert cached("kind", "key", make=lambda: ENTRY, read=dict) == ENTRY
    assert sorted(tmp_path.rglob("*")) == files


@posix
def test_a_folder_that_others_can_list_becomes_private(cache_dir: Path) -> None:
    folder = cache_dir / "kind"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    cached("kind", "key", make=lambda: ENTRY, read=dict)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file_of(folder).stat().st_mode) == 0o600


@posix
def test_a_folder_below_one_like_tmp_is_used(cache_dir: Path) -> None:
    cache_dir.parent.chmod(0o1777)
    cached("kind", "key", make=lambda: ENTRY, read=dict)
    assert cached("kind", "key", make=never, read=dict) == ENTRY


@posix
@pytest.mark.parametrize("group", ["own", "shared"])
def test_only_the_group_of_the_user_may_write(cache_dir: Path, group: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives folders to any group")
    cached("kind", "key", make=lambda: ENTRY, read=dict)
    os.chown(cache_dir, os.geteuid(), os.geteuid() if group == "own" else 54321)
    cache_dir.chmod(0o770)
    with pytest.warns(GeodetectWarning) if group == "shared" else nullcontext():
        cached("kind", "key", make=lambda: ENTRY, read=dict)


@posix
def test_a_user_without_a_home_goes_on_without_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in (FOLDER_VARIABLE, "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pytest.importorskip("pwd"), "getpwuid", raise_key_error)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() is None
    assert cached("kind", "key", make=lambda: ENTRY, read=dict) == ENTRY
    monkeypatch.setenv(FOLDER_VARIABLE, "~/cache")
    assert cache_folder() is None
    assert list(tmp_path.iterdir()) == []


def raise_key_error(uid: int) -> NoReturn:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def test_a_folder_that_cannot_be_used_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv(FOLDER_VARIABLE, str(file / "cache"))
    assert cached("kind", "key", make=lambda: ENTRY, read=dict) == ENTRY
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced on Windows")
def test_an_entry_that_is_replaced_while_it_is_opened_is_read(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached("kind", "key", make=lambda: ENTRY, read=dict)
    file = file_of(cache_dir)
    copy = file.with_name("copy")
    copy.write_bytes(file.read_bytes())
    copy.chmod(0o600)
    open_file = os.open

    def open_and_replace(path: Any, *arguments: Any, **options: Any) -> int:
        descriptor = open_file(path, *arguments, **options)
        if path == file and copy.exists():
            copy.replace(file)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_replace)
    assert cached("kind", "key", make=never, read=dict) == ENTRY
    assert not copy.exists()


def test_many_at_once_leave_one_whole_entry(cache_dir: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        entries = list(
            pool.map(lambda _: cached("kind", "key", make=lambda: ENTRY, read=dict), range(32))
        )
    assert entries == [ENTRY] * 32
    assert list(cache_dir.rglob("*.*")) == [file_of(cache_dir)]
    assert cached("kind", "key", make=never, read=dict) == ENTRY


def test_what_was_not_used_for_longest_goes_first(cache_dir: Path) -> None:
    for i in range(MAX_ENTRIES):
        cached("kind", f"{i}", make=lambda: ENTRY, read=dict)
        os.utime(cache_dir / "kind" / f"{i}.safetensors", (i, i))
    cached("kind", "0", make=never, read=dict)
    cached("kind", "new", make=lambda: ENTRY, read=dict)
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
    converters = {"runtimes/conversion.py", "runtimes/onnx.py"}
    assert all("runtimes/export.py" in imported_modules(module) for module in converters)
    assert set(ARCHITECTURE) == graph | converters
