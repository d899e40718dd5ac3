"""Objects appear whole or not at all, and no process waits for another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from geodetect.errors import InputError, OutputError
from geodetect.io.atomic import staging_folder
from geodetect.io.object_store import open_store


def test_an_object_is_read_as_it_was_written_and_listed_by_its_prefix(tmp_path: Path) -> None:
    store = open_store(tmp_path / "run")
    assert store.names() == []
    store.put("plan.json", b"{}")
    store.put("shards/000001.shard", b"one")
    store.put("shards/000000.shard", b"")
    assert store.get("shards/000001.shard") == b"one"
    assert store.get("shards/000000.shard") == b""
    assert store.names() == ["plan.json", "shards/000000.shard", "shards/000001.shard"]
    assert store.names("shards/") == ["shards/000000.shard", "shards/000001.shard"]
    assert store.names("shards/000001") == ["shards/000001.shard"]
    assert store.names("other/") == []
    store.delete("shards/000000.shard")
    store.delete("shards/000000.shard")
    assert store.names("shards/") == ["shards/000001.shard"]
    assert store.location == str(tmp_path / "run")


def test_an_absent_object_is_no_other_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_store(tmp_path).get("plan.json")
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(InputError, match=r"plan\.json: cannot be read"):
        open_store(tmp_path).get("plan.json")


def test_a_second_put_of_a_name_does_no_harm(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put("shards/000000.shard", b"the same")
    store.put("shards/000000.shard", b"the same")
    assert store.get("shards/000000.shard") == b"the same"
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["000000.shard"]


def test_what_a_process_was_writing_is_no_object_and_goes_when_it_is_dead(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (tmp_path / "shards").mkdir()
    with staging_folder(tmp_path / "shards/000000.shard") as folder:
        leftover = folder.with_name(folder.name.replace(f"-{os.getpid()}-", f"-{process.pid}-"))
    leftover.mkdir()
    (leftover / "000000.shard").write_bytes(b"half")
    assert store.names() == []
    store.put("shards/000000.shard", b"whole")
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["000000.shard"]


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "shards").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*000000"):
        open_store(tmp_path).put("shards/000000.shard", b"")
    with pytest.raises(InputError, match="cannot be listed"):
        open_store(tmp_path).names("shards/")
