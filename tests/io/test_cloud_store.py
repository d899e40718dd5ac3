from __future__ import annotations

import os
import sys
import threading
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from geodetect.errors import GeodetectWarning, InputError, MissingDependencyError, OutputError
from geodetect.io import cloud_store
from geodetect.io.cloud_store import CloudStore
from geodetect.io.raster.open_raster import open_raster
from tests.conftest import Save
from tests.helpers.s3_server import S3Server

pytest.importorskip("obstore", reason="needs the extra cloud")


def test_objects_are_read_as_they_were_written_and_listed_in_order(s3_server: S3Server) -> None:
    store = CloudStore(s3_server.url("run of ü/2026"))
    assert store.names() == []
    store.put("shards/000002.shard", b"second")
    store.put("shards/000001.shard", b"first")
    store.put("plan.json", b"{}")
    assert store.get("shards/000001.shard") == b"first"
    assert store.names("shards/") == ["shards/000001.shard", "shards/000002.shard"]
    assert store.names("shards/000002") == ["shards/000002.shard"]
    assert store.names()[0] == "plan.json"
    assert CloudStore(s3_server.url("run of ü")).names("2026/plan") == ["2026/plan.json"]


def test_an_object_that_is_written_twice_is_the_last_one_as_a_whole(s3_server: S3Server) -> None:
    store = CloudStore(s3_server.url("twice"))
    store.put("a", b"long content of the first")
    store.put("a", b"second")
    assert store.get("a") == b"second"


def test_an_object_is_removed_once_and_again(s3_server: S3Server) -> None:
    store = CloudStore(s3_server.url("removed"))
    store.put("shards/a", b"content")
    store.delete("shards/a")
    store.delete("shards/a")
    assert store.names() == []


def test_a_large_object_is_sent_in_parts(s3_server: S3Server) -> None:
    store, data = CloudStore(s3_server.url("large")), os.urandom(2 * cloud_store.PART_BYTES + 1)
    store.put("a", data)
    assert store.get("a") == data


def test_an_absent_object_is_a_file_that_is_not_there(s3_server: S3Server) -> None:
    url = s3_server.url("absent")
    with pytest.raises(FileNotFoundError, match=f"^{url}: cannot read plan.json$"):
        CloudStore(url).get("plan.json")


@pytest.mark.usefixtures("s3_server")
def test_a_bucket_that_does_not_exist_is_named() -> None:
    store = CloudStore("s3://other/run")
    with pytest.raises(InputError, match=r"^s3://other/run: .*there is no such bucket\)$"):
        store.names()
    with pytest.raises(InputError, match="there is no such bucket"):
        store.get("plan.json")
    with pytest.raises(OutputError, match=r"cannot write plan.json \(there is no such bucket\)$"):
        store.put("plan.json", b"{}")


def test_a_request_waits_for_a_server_that_is_stopped_and_started(s3_server: S3Server) -> None:
    store = CloudStore(s3_server.url("waits"))
    store.put("a", b"before")
    s3_server.stop()
    timer = threading.Timer(1.0, s3_server.start)
    timer.start()
    store.put("b", b"after")
    timer.join()
    assert store.get("a") + store.get("b") == b"beforeafter"


def test_a_server_that_is_away_for_longer_is_told_once(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = cloud_store.RETRY_OPTIONS | {"retry_timeout": timedelta(seconds=0.3)}
    monkeypatch.setattr(cloud_store, "RETRY_OPTIONS", rounds)
    store = CloudStore(s3_server.url("longer"))
    store.put("a", b"content")
    s3_server.stop()
    timer = threading.Timer(1.5, s3_server.start)
    timer.start()
    with pytest.warns(
        GeodetectWarning, match="connection refused; the request is repeated"
    ) as all_:
        assert store.get("a") == b"content"
    timer.join()
    assert len(all_) == 1


def test_a_server_that_has_never_answered_is_an_error_after_a_short_time(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = cloud_store.RETRY_OPTIONS | {"retry_timeout": timedelta(seconds=0.3)}
    monkeypatch.setattr(cloud_store, "RETRY_OPTIONS", rounds)
    monkeypatch.setattr(cloud_store, "FIRST_PATIENCE_S", 0.1)
    s3_server.stop()
    with pytest.raises(InputError, match=r"run: cannot be listed \(connection refused\)$"):
        CloudStore(s3_server.url("run")).names()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3:///run", r"expected s3://BUCKET/FOLDER$"),
        ("az://bucket/run", r"AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(
    url: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InputError, match=text) as caught:
        CloudStore(url)
    assert "\n" not in str(caught.value)


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'geodetect\[cloud\]'$"):
        CloudStore("s3://bucket/run")


def test_keys_of_a_profile_are_used_where_the_environment_has_none(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[survey]\naws_access_key_id = key\naws_secret_access_key = password\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "survey")
    CloudStore(s3_server.url("profile")).put("a", b"content")
    monkeypatch.setenv("AWS_PROFILE", "other")
    with pytest.raises(InputError, match="the profile of AWS has no keys"):
        CloudStore(s3_server.url("profile"))


def test_a_raster_is_read_from_the_server_that_is_stated_for_the_store(
    s3_server: S3Server, save: Save
) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (3, 40, 60), np.uint8)
    store = CloudStore(s3_server.url("sheets"))
    store.put("scene.tif", save(pixels).read_bytes())
    with open_raster(s3_server.url("sheets/scene.tif")) as raster:
        assert (raster.read().values == pixels).all()
