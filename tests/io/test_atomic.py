from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from filelock import FileLock

from geodetect.errors import OutputError
from geodetect.io.atomic import acquire_lock, check_folder, write_atomically
from geodetect.io.vector.write import check_target, write

ROOT = Path(__file__).parents[2]
SCRIPT = """
import resource, signal, sys
import geopandas, numpy, shapely
from geodetect.errors import OutputError
from geodetect.io.vector.write import write
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start without one
path, rows, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
x = numpy.arange(rows) * 2.0
table = geopandas.GeoDataFrame(
    {"id": numpy.arange(rows), "raster": ["scene.tif"] * rows},
    geometry=shapely.box(x, x, x + 1, x + 1), crs="EPSG:2056")
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print("ready", flush=True)
try:
    write(table, path, overwrite=True, style=path.endswith("gpkg"))
except OutputError as error:
    print(error)
    sys.exit(3)
"""


def unit_squares(count: int = 3) -> gpd.GeoDataFrame:
    boxes = shapely.box(*(np.arange(count) * 2.0 + offset for offset in (0, 0, 1, 1)))
    return gpd.GeoDataFrame({"id": range(1, count + 1)}, geometry=boxes, crs="EPSG:2056")


def start(path: Path, rows: int, limit: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path), str(rows), str(limit)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
@pytest.mark.parametrize("suffix", ["geojson", "geojsonl", "gpkg", "fgb", "parquet", "shp", "csv"])
@pytest.mark.parametrize("share", [0.3, 0.999])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, suffix: str, share: float):
    with start(tmp_path / f"whole.{suffix}", 3000) as whole:
        assert whole.wait() == 0
    limit = int(share * max(sizes(tmp_path).values()))
    target = tmp_path / "disk" / f"out.{suffix}"
    target.parent.mkdir()
    target.write_text("mine")
    with start(target, 3000, limit) as process:
        ready, message = process.stdout.read().split("\n", maxsplit=1)
        assert (process.wait(), ready) == (3, "ready")
    assert message.startswith(f"cannot write {target}: ")
    assert message.count("\n") == 1
    assert "`output`" in message
    assert sizes(target.parent) == {target.name: 4}


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("suffix", ["geojson", "gpkg"])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, suffix: str):
    with start(tmp_path / f"out.{suffix}", 400_000) as process:
        assert process.stdout.readline() == "ready\n"
        while not any(tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        assert process.wait() not in (0, 3)
    assert sizes(tmp_path) == {}


def test_nothing_appears_before_the_end(tmp_path: Path):
    with write_atomically(tmp_path / "a.txt", overwrite=False) as path:
        path.write_text("half")
        assert not (tmp_path / "a.txt").exists()
        path.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_failing_block_leaves_the_old_file(tmp_path: Path):
    (tmp_path / "a.txt").write_text("old")
    with (
        pytest.raises(ZeroDivisionError),
        write_atomically(tmp_path / "a.txt", overwrite=True) as path,
    ):
        path.write_text(str(1 / 0))
    assert sizes(tmp_path) == {"a.txt": 3}


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path):
    def write_late() -> None:
        with write_atomically(tmp_path / "a.txt", overwrite=False) as path:
            path.write_text("ours")
            (tmp_path / "a.txt").write_text("theirs")

    with pytest.raises(OutputError, match="set `overwrite`"):
        write_late()
    assert (tmp_path / "a.txt").read_text() == "theirs"
    assert len(sizes(tmp_path)) == 1


def test_a_folder_appears_complete_and_replaces_only_one_of_its_kind(tmp_path: Path):
    def write_folder(content: str, *, overwrite: bool = True) -> None:
        with write_atomically(tmp_path / "a", overwrite=overwrite, marker="index") as folder:
            folder.mkdir()
            (folder / content).write_text(content)
            assert not (tmp_path / "a" / content).exists()
            (folder / "index").write_text(str(1 / (content != "bad")))

    (tmp_path / "a").mkdir()  # empty, so there is nothing to lose
    write_folder("old", overwrite=False)
    with pytest.raises(OutputError, match="already exists; set `overwrite`"):
        write_folder("new", overwrite=False)
    with pytest.raises(ZeroDivisionError):
        write_folder("bad")
    assert set(sizes(tmp_path / "a")) == {"old", "index"}
    write_folder("new")
    assert set(sizes(tmp_path / "a")) == {"new", "index"}
    (tmp_path / "a" / "index").unlink()
    with pytest.raises(OutputError, match="a holds no index, so it was not made by this command"):
        write_folder("newer")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("name", "part"), [("a.shp", "a.dbf"), ("a.shp", "a.qix"), ("a.gpkg", "a.gpkg-journal")]
)
def test_a_left_over_part_is_refused_early_and_late(tmp_path: Path, name: str, part: str):
    (tmp_path / part).write_text("mine")
    with pytest.raises(OutputError, match=f"{part} already exists"):
        check_target(tmp_path / name)
    with pytest.raises(OutputError, match=f"{part} already exists"):
        write(unit_squares(), tmp_path / name)
    assert sizes(tmp_path) == {part: 4}
    assert len(gpd.read_file(write(unit_squares(), tmp_path / name, overwrite=True))) == 3


def test_a_link_is_followed(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.gpkg").write_text("old")
    link = tmp_path / "link.gpkg"
    link.symlink_to(tmp_path / "real" / "a.gpkg")
    write(unit_squares(), link, overwrite=True)
    assert link.is_symlink()
    assert len(gpd.read_file(tmp_path / "real" / "a.gpkg")) == 3


@pytest.mark.parametrize(
    ("suffix", "old", "kept"),
    [
        ("gpkg", ["a.gpkg-wal", "a.gpkg-shm", "a.gpkg-journal"], ["b.gpkg-wal"]),
        ("shp", ["a.qix", "a.sbn", "a.shp.xml", "a.SHX"], ["ab.shx", "a.tif"]),
        ("geojson", [], ["a.qml", "a.geojson-wal"]),
    ],
)
def test_parts_of_a_replaced_file_go_with_it(
    tmp_path: Path, suffix: str, old: list[str], kept: list[str]
):
    for name in (f"a.{suffix}", *old, *kept):
        (tmp_path / name).write_text("old")
    path = write(unit_squares(), tmp_path / f"a.{suffix}", overwrite=True)
    left = {name for name, size in sizes(tmp_path).items() if size == 3}
    assert left == set(kept)
    assert len(gpd.read_file(path)) == 3


def test_parts_of_a_file_whose_name_differs_in_case_stay(tmp_path: Path):
    write(unit_squares(3), tmp_path / "pools.shp")
    if (tmp_path / "POOLS.SHP").exists():
        pytest.skip("these are one file on this disk")
    write(unit_squares(2), tmp_path / "Pools.shp")
    write(unit_squares(1), tmp_path / "Pools.shp", overwrite=True)
    assert len(gpd.read_file(tmp_path / "pools.shp")) == 3
    assert len(gpd.read_file(tmp_path / "Pools.shp")) == 1


@pytest.mark.parametrize("held", ["a.shp", "a.shx", "a.dbf", "a.qix"])
def test_a_file_that_others_hold_open_leaves_all_as_it_was(
    tmp_path: Path, held: str, monkeypatch: pytest.MonkeyPatch
):
    """As Windows does with files that a GIS holds open, which no other system does."""
    write(unit_squares(3), tmp_path / "a.shp")
    (tmp_path / "a.qix").write_text("an index")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    replace = Path.replace

    def refused(file: Path, target: Path) -> Path:
        if tmp_path / held in (file, target):
            raise PermissionError(13, "in use by another program", str(file))
        return replace(file, target)

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(OutputError, match="in use by another program"):
        write(unit_squares(5), tmp_path / "a.shp", overwrite=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_folder_where_nothing_can_be_made_is_refused(tmp_path: Path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):  # a superuser may write everywhere but here
        folder = Path("/proc")
        if not folder.is_dir():
            pytest.skip("this user may write to every folder")
    with pytest.raises(OutputError, match=f"no files can be made in {folder}"):
        check_folder(folder / "out.gpkg")
    with pytest.raises(OutputError, match=f"no files can be made in {folder}"):
        check_target(folder / "out.gpkg")


def test_folders_that_cannot_be_flushed_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronize = os.fsync

    def refuse_folders(descriptor: int) -> None:  # as CIFS, sshfs and shared folders do
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(next(codes), "refused")
        synchronize(descriptor)

    codes = iter([errno.EINVAL, errno.ENOTSUP, errno.EACCES])
    monkeypatch.setattr(os, "fsync", refuse_folders)
    for number in range(3):
        with write_atomically(tmp_path / f"{number}.txt", overwrite=False) as path:
            path.write_text("complete")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.txt", "1.txt", "2.txt"]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_file_that_is_not_on_the_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with (
        pytest.raises(OutputError, match=f"cannot write .*{os.strerror(code)}.*MB free"),
        write_atomically(tmp_path / "a.txt", overwrite=False) as path,
    ):
        path.write_text("complete")
    assert not list(tmp_path.iterdir())


def test_names_that_cannot_be_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for name in ("a", "n" * 300, "a\0b"):
        with (
            pytest.raises(OutputError, match="choose another `output`"),
            write_atomically(tmp_path / name, overwrite=True),
        ):
            pass
    (tmp_path / "link").symlink_to("new.txt")  # of a file that does not exist yet
    for name in ("link", "n" * 255):
        with write_atomically(tmp_path / name, overwrite=False) as path:
            path.write_text("complete")
    assert (tmp_path / "new.txt").read_text() == "complete"


def test_a_folder_of_an_image_that_no_rename_moves_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "chips"
    target.mkdir()
    (target / "marker").write_text("old")
    rename = Path.replace

    def replace(path: Path, other: Path) -> Path:  # as overlayfs does in containers
        if path == target:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(path, other)

    monkeypatch.setattr(Path, "replace", replace)
    with write_atomically(target, overwrite=True, marker="marker") as path:
        path.mkdir()
        (path / "marker").write_text("new")
    assert (target / "marker").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["chips"]


def test_a_file_system_without_locks_is_named(tmp_path: Path) -> None:
    class NoLocks(FileLock):
        def acquire(self, *_: object, **__: object) -> Any:
            raise NotImplementedError  # as filelock does for ENOSYS

    with pytest.raises(OSError, match="cannot be locked on this file system"):
        acquire_lock(NoLocks(tmp_path / "a.lock"))


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from geodetect.io.atomic import staging_folder
signal.signal(signal.SIGINT, signal.default_int_handler)
events = [sys.argv[2]]
def hook(event, _):
    if event in events:
        events.clear()
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(hook)
with staging_folder(Path(sys.argv[1])):
    pass
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to a process")
@pytest.mark.parametrize("event", ["os.mkdir", "os.rmdir", "shutil.rmtree"])
def test_an_interrupted_start_or_end_of_a_write_leaves_nothing(tmp_path: Path, event: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "pools.gpkg"), event]
    process = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert b"KeyboardInterrupt" in process.stderr
    assert sizes(tmp_path) == {}
