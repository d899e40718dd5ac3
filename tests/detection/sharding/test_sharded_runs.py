"""However a run is cut into shards and whoever computes them, the result is that of one machine."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.detection.plan import GroundPlan
from geodetect.detection.sharding import worker
from geodetect.detection.sharding.manifest import Manifest
from geodetect.detection.sharding.merge import merge_to_file
from geodetect.detection.sharding.mixture import list_ranges
from geodetect.detection.sharding.parts import Part
from geodetect.detection.sharding.plan_run import plan_to_folder
from geodetect.detection.sharding.predict_shards import predict_shards
from geodetect.detection.sharding.record import ShardRecord
from geodetect.detection.sharding.status import run_status
from geodetect.detection.sharding.worker import ShardWorker
from geodetect.errors import GeodetectWarning, IncompleteWarning, InputError, OutputError
from geodetect.geo.tiles import TileScheme
from geodetect.io.object_store import FolderStore, open_store
from geodetect.types import UInt8Array
from tests.conftest import METRES, Save
from tests.helpers.painted_scenes import mixed, read_colours
from tests.helpers.s3_server import S3Server
from tests.helpers.sheets import cut_into_sheets

SIDE = 480
SETTINGS = PredictSettings(tile_size=96, overlap=32, workers=2)
TILES = 7 * 7
# pixels of a shard, and the number of shards that they make of the sheets
SHARDS = {1: 1e9, 2: 64.0**2 * 30, 7: 64.0**2 * 7, 16: 64.0**2 * 3.5}
TOY = CallableDetector(read_colours, identity="toy 1", tile_px=96)


class CountingReader:
    """The toy detector, which counts its tiles and may be interrupted."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.seen, self.dies_after = 0, dies_after

    def __call__(self, image: Any) -> tuple[object, object, object]:
        if self.seen == self.dies_after:
            raise KeyboardInterrupt
        self.seen += 1
        return read_colours(image)


def toy(fn: Any = read_colours, identity: str = "toy 1") -> CallableDetector:
    return CallableDetector(fn, identity=identity, tile_px=96)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def with_rasters(content: bytes, number: int) -> bytes:
    """Return a record of a shard whose detections are all of the raster of this number."""
    record = ShardRecord.from_bytes(content, name="record")
    detections = record.results.detections
    forged = replace(detections, raster=np.full_like(detections.raster, number))
    return replace(record, results=replace(record.results, detections=forged)).to_bytes()


@pytest.fixture
def sheets(save: Save) -> list[Path]:
    """Nine sheets that overlap, and one in another place of the same map."""
    pixels, options = mixed(SIDE, seed=5, largest=200).pixels, {"compress": "deflate"}
    paths = cut_into_sheets(save, pixels, columns=3, overlap_px=40, **options)
    away = METRES @ Affine.translation(5000, 3000)
    return [*paths, save(mixed(150, seed=3, largest=30).pixels, "away.tif", transform=away)]


@pytest.fixture
def run(sheets: list[Path], tmp_path: Path) -> Path:
    """A planned run of the sheets, with 16 shards and more."""
    plan_to_folder(sheets, tmp_path / "run", TOY, settings=SETTINGS, shard_px=SHARDS[16])
    return tmp_path / "run"


def test_bytes_do_not_depend_on_the_number_of_shards_and_are_those_of_predict(
    sheets: list[Path], tmp_path: Path
) -> None:
    geodetect.predict_to_file(sheets, tmp_path / "one.gpkg", TOY, settings=SETTINGS)
    expected = digest(tmp_path / "one.gpkg")
    counts = []
    for name, shard_px in SHARDS.items():
        run = tmp_path / f"run{name}"
        manifest = plan_to_folder(sheets, run, TOY, settings=SETTINGS, shard_px=shard_px)
        counts.append(len(manifest.shards))
        for index in (3, 1, 2):  # workers in any order
            predict_shards(run, TOY, shard=f"{index}/3", settings={"workers": index})
        merge_to_file(run, tmp_path / f"{name}.gpkg")
        assert digest(tmp_path / f"{name}.gpkg") == expected
    assert counts[0] == 2  # a shard for each ground
    assert counts[1] >= 3
    assert counts[2] >= 8
    assert counts[3] >= 17


def test_a_second_merge_gives_the_same_bytes_in_each_format(run: Path, tmp_path: Path) -> None:
    predict_shards(run, TOY)
    for suffix in (".geojson", ".parquet"):
        first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
        layer = merge_to_file(run, first)
        merge_to_file(run, second)
        assert digest(first) == digest(second)
    assert layer.summary.tiles == sum(
        shard.tiles for shard in Manifest.read(open_store(run)).shards
    )


def test_two_workers_on_one_shard_do_no_harm(run: Path, tmp_path: Path) -> None:
    with ShardWorker(run, TOY) as first, ShardWorker(run, TOY) as second:
        before = first.detect(5)
        record = (run / "shards/000005.shard").read_bytes()
        assert second.detect(5) == before
    assert (run / "shards/000005.shard").read_bytes() == record


def test_an_interrupted_shard_goes_on_where_it_was(sheets: list[Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    plan_to_folder(sheets, run, TOY, settings=SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        predict_shards(run, toy(CountingReader(dies_after=30)), settings={"workers": 1})
    status = run_status(run)
    assert (status.interrupted, status.absent) == ((0,), (0, 1))
    fn = CountingReader()
    predict_shards(run, toy(fn))
    assert fn.seen < TILES + 9 - 15
    assert run_status(run).is_complete
    assert sorted(path.name for path in (run / "shards").iterdir()) == [
        "000000.shard",
        "000001.shard",
    ]
    merge_to_file(run, tmp_path / "merged.gpkg")
    geodetect.predict_to_file(sheets, tmp_path / "one.gpkg", TOY, settings=SETTINGS)
    assert digest(tmp_path / "merged.gpkg") == digest(tmp_path / "one.gpkg")


def test_a_part_of_a_long_shard_is_put_now_and_then(
    sheets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    plan_to_folder(sheets, run, TOY, settings=SETTINGS)
    monkeypatch.setattr(worker, "PARTIAL_S", 0.0)
    put, names = FolderStore.put, list[str]()

    def note(self: FolderStore, name: str, data: bytes) -> None:
        names.append(name)
        put(self, name, data)

    monkeypatch.setattr(FolderStore, "put", note)
    predict_shards(run, TOY)
    assert names.index("shards/000000.partial") < names.index("shards/000000.shard")
    assert not list((run / "shards").glob("*.partial"))
    monkeypatch.undo()
    merge_to_file(run, tmp_path / "merged.gpkg")
    geodetect.predict_to_file(sheets, tmp_path / "one.gpkg", TOY, settings=SETTINGS)
    assert digest(tmp_path / "merged.gpkg") == digest(tmp_path / "one.gpkg")


def test_finished_shards_are_passed_over(run: Path) -> None:
    first = predict_shards(run, TOY, shard="0/2")
    fn = CountingReader()
    second = predict_shards(run, toy(fn))
    assert {shard.number % 2 for shard in first.shards} == {0}
    assert {shard.number % 2 for shard in second.shards} == {1}
    assert (first.part, len(first.absent), second.part, second.absent) == (9, 8, 17, ())
    assert fn.seen == second.tiles
    assert predict_shards(run, toy(CountingReader(dies_after=0))).shards == ()


def test_absent_shards_are_named(run: Path, tmp_path: Path) -> None:
    predict_shards(run, TOY)
    (run / "shards/000003.shard").unlink()
    (run / "shards/000004.shard").unlink()
    with pytest.raises(InputError, match=r"2 of \d+ shards are not computed yet \(3 to 4\)"):
        merge_to_file(run, tmp_path / "a.gpkg")
    status = run_status(run)
    assert status.absent == (3, 4)
    assert ("Absent", "2: 3 to 4") in list(status.display_rows())
    assert list(list_ranges([0, 2, 3, 4, 9])) == ["0", "2 to 4", "9"]


def test_a_record_that_is_cut_short_is_refused_and_computed_again(
    run: Path, tmp_path: Path
) -> None:
    predict_shards(run, TOY)
    merge_to_file(run, tmp_path / "before.gpkg")
    record = run / "shards/000002.shard"
    content = record.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    for damaged, problem in (
        (content[:0], "cut short"),
        (content[:9], "cut short"),
        (content[:40], "cut short"),
        (content[:-1], "cut short"),
        (bytes(changed), "damaged"),
        (with_rasters(content, 10), "holds what no run has written"),
        (b"something else", "no record of this version"),
    ):
        record.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"000002\.shard: {problem}"):
            merge_to_file(run, tmp_path / "after.gpkg")
    with pytest.warns(GeodetectWarning, match=r"no record .*; it is computed again"):
        summary = predict_shards(run, TOY)
    assert [shard.number for shard in summary.shards] == [2]
    assert record.read_bytes() == content
    merge_to_file(run, tmp_path / "after.gpkg")
    assert digest(tmp_path / "after.gpkg") == digest(tmp_path / "before.gpkg")


def test_another_model_setting_or_version_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="planned with another model: callable"):
        predict_shards(run, toy(identity="toy 2"))
    with pytest.raises(InputError, match="which is no file; give it as `model`"):
        predict_shards(run)
    with pytest.raises(InputError, match="`conf`: the plan states another value"):
        predict_shards(run, TOY, settings={"conf": 0.7, "workers": 1})
    plan = run / "plan.json"
    text = plan.read_text()
    plan.write_text(text.replace(f'"version": "{geodetect.__version__}"', '"version": "99.0"'))
    for use in (lambda: predict_shards(run, TOY), lambda: merge_to_file(run, tmp_path / "a.gpkg")):
        with pytest.raises(InputError, match=r"planned by geodetect 99\.0, and this is"):
            use()
    for content, problem in (
        ("", "damaged or cut short"),
        (text[:200], "damaged or cut short"),
        ("{}", "not the plan of a run"),
        (text.replace('"tiles"', '"tile"'), "damaged"),
    ):
        plan.write_text(content)
        with pytest.raises(InputError, match=problem):
            run_status(run)
    plan.unlink()
    with pytest.raises(InputError, match="no run was planned there"):
        run_status(run)


def test_records_of_another_plan_are_refused(sheets: list[Path], run: Path, tmp_path: Path) -> None:
    predict_shards(run, TOY)
    changed = SETTINGS.model_copy(update={"conf": 0.5})
    with pytest.raises(OutputError, match=r"holds another plan .*settings"):
        plan_to_folder(sheets, run, TOY, settings=changed, shard_px=SHARDS[16])
    plan_to_folder(sheets, run, TOY, settings=SETTINGS, shard_px=SHARDS[16])  # the same
    assert run_status(run).is_complete
    record = (run / "shards/000000.shard").read_bytes()
    plan_to_folder(sheets, run, TOY, settings=changed, shard_px=SHARDS[16], overwrite=True)
    assert len(run_status(run).absent) == run_status(run).shards
    (run / "shards").mkdir(exist_ok=True)
    (run / "shards/000000.shard").write_bytes(record)
    with pytest.raises(InputError, match=r"000000\.shard: of another plan"):
        predict_shards(run, TOY)


def test_a_raster_that_changes_after_the_plan_is_said(run: Path, sheets: list[Path]) -> None:
    os.utime(sheets[4], ns=(1, 1))
    with ShardWorker(run, TOY) as opened:
        assert opened.detect(16).tiles  # a shard of another sheet
        with pytest.raises(InputError, match=r"1_1\.tif: changed since the run"):
            opened.detect(5)


def test_holes_are_filled_by_the_next_attempt(
    sheets: list[Path], run: Path, tmp_path: Path
) -> None:
    geodetect.predict_to_file(sheets, tmp_path / "one.gpkg", TOY, settings=SETTINGS)
    path, content, state = sheets[4], sheets[4].read_bytes(), sheets[4].stat()
    half = len(content) // 2

    def put(data: bytes) -> None:  # on a disk that fails, and works again
        path.write_bytes(data)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    put(content[:half] + bytes(len(content) - half))
    with pytest.warns(IncompleteWarning, match=r"left out: .*1_1\.tif"):
        predict_shards(run, TOY)
    status = run_status(run)
    assert status.is_complete
    assert status.with_holes
    with pytest.warns(IncompleteWarning, match=r"left out: .*1_1\.tif"):
        merge_to_file(run, tmp_path / "holes.gpkg")
    put(content)
    fn = CountingReader()
    filled = predict_shards(run, toy(fn))
    assert {shard.number for shard in filled.shards} == set(status.with_holes)
    assert fn.seen < filled.tiles  # only rows with holes
    assert run_status(run).with_holes == ()
    merge_to_file(run, tmp_path / "merged.gpkg")
    assert digest(tmp_path / "merged.gpkg") == digest(tmp_path / "one.gpkg")


def test_a_raster_that_vanishes_is_a_hole_until_it_is_back(
    sheets: list[Path], run: Path, tmp_path: Path
) -> None:
    away = sheets[4].rename(tmp_path / "away")
    with pytest.warns(IncompleteWarning, match=r"left out: .*1_1\.tif"):
        predict_shards(run, TOY)
    assert run_status(run).with_holes
    away.rename(sheets[4])
    predict_shards(run, TOY)
    merge_to_file(run, tmp_path / "merged.gpkg")
    geodetect.predict_to_file(sheets, tmp_path / "one.gpkg", TOY, settings=SETTINGS)
    assert digest(tmp_path / "merged.gpkg") == digest(tmp_path / "one.gpkg")


def test_an_area_of_interest_goes_with_the_plan(sheets: list[Path], tmp_path: Path) -> None:
    x, y = METRES @ (100, 400)
    bbox = (x, y, x + 40.0, y + 50.0)
    settings = SETTINGS.model_copy(update={"bbox": bbox})
    geodetect.predict_to_file(sheets, tmp_path / "one.gpkg", TOY, settings=settings)
    manifest = plan_to_folder(sheets, tmp_path / "run", TOY, settings=settings, shard_px=2e4)
    assert {shard.ground for shard in manifest.shards} == {0}
    predict_shards(tmp_path / "run", TOY)
    merge_to_file(tmp_path / "run", tmp_path / "merged.gpkg")
    assert digest(tmp_path / "merged.gpkg") == digest(tmp_path / "one.gpkg")


def test_arrays_have_no_place_in_a_plan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`rasters`: expected files or URLs"):
        plan_to_folder(np.zeros((3, 200, 200), np.uint8), tmp_path / "run", TOY)  # type: ignore[arg-type]


@given(
    size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    tile_px=st.integers(16, 300),
    overlap=st.floats(0, 0.9),
    shard_px=st.floats(1, 1e7),
    box=st.none() | st.tuples(*[st.integers(0, 3000)] * 4),
)
def test_each_tile_is_in_one_shard(
    size: tuple[int, int],
    tile_px: int,
    overlap: float,
    shard_px: float,
    box: tuple[int, int, int, int] | None,
) -> None:
    scheme = TileScheme(*size, tile_px, int(overlap * tile_px))
    area = None if box is None else shapely.box(*box)
    ground = SimpleNamespace(imagery=None, rasters=[None], state_in=lambda *_: "")
    plan = GroundPlan(ground, None, scheme, area, shard_px)  # type: ignore[arg-type]
    tiles = [tile.index for run in plan.runs() for tile in run.tiles]
    assert len(tiles) == len(set(tiles)) == plan.tile_count
    assert sum(map(plan.count_tiles, plan.shards)) == len(tiles)
    if area is None:
        assert len(tiles) == len(scheme)


def test_indexes_from_0_and_from_1_are_all_shards() -> None:
    for count in (1, 2, 7, 16):
        for first in (0, 1):
            parts = [Part(index, count).numbers(10) for index in range(first, count + first)]
            assert sorted(number for part in parts for number in part) == list(range(10))
    assert list(Part(3, None).numbers(10)) == [3]


def test_a_run_in_object_storage_gives_the_bytes_of_a_folder_though_the_server_stops(
    sheets: list[Path], s3_server: S3Server, tmp_path: Path
) -> None:
    """Sheets and state are on the server, which is away while shards are computed."""
    pytest.importorskip("obstore", reason="needs the extra cloud")
    geodetect.predict_to_file(sheets, tmp_path / "one.gpkg", TOY, settings=SETTINGS)
    storage, run = open_store(s3_server.url("sheets")), s3_server.url("run")
    for path in sheets:
        storage.put(path.name, path.read_bytes())
    urls = [s3_server.url(f"sheets/{path.name}") for path in sheets]
    plan_to_folder(urls, run, TOY, settings=SETTINGS, shard_px=SHARDS[7])
    seen, stops = 0, []

    def read_while_the_server_stops(image: UInt8Array) -> tuple[object, object, object]:
        nonlocal seen
        seen += 1
        if seen in (12, 31):
            s3_server.stop()
            stops.append(threading.Timer(0.5, s3_server.start))
            stops[-1].start()
        return read_colours(image)

    predict_shards(run, toy(read_while_the_server_stops), settings={"workers": 1})
    assert len(stops) == 2
    merge_to_file(run, tmp_path / "two.gpkg")
    assert digest(tmp_path / "two.gpkg") == digest(tmp_path / "one.gpkg")
