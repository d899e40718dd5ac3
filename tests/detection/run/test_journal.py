"""A run that dies goes on where it stopped, and never with the work of another run."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT

import geodetect
from geodetect import CallableDetector, DetectionLayer, PredictSettings
from geodetect.detection.detections import Detections, TileResult
from geodetect.detection.plan import TileRun
from geodetect.detection.run.fingerprint import run_fingerprint
from geodetect.detection.run.journal import MAGIC, Journal, read_files
from geodetect.detection.run.packed_results import PackedResults
from geodetect.detection.run.records import FRAME_BYTES, pack_record, read_records
from geodetect.errors import GeodetectWarning, InputError, OutputError
from geodetect.geo.tiles import Tile, TileScheme
from geodetect.io.atomic import FileIdentity, write_atomically
from tests.helpers.painted_scenes import mixed, read_colours
from tests.helpers.sheets import cut_into_sheets

SIDE = 400
SETTINGS = PredictSettings(tile_size=96, overlap=32, batch_size=2)
TILES = 6 * 6

Save = Callable[..., Path]
Pixels = np.ndarray


class CountingReader:
    """The toy detector, which counts its tiles and may die."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.seen = 0
        self.dies_after = dies_after

    def __call__(self, image: Pixels) -> tuple[object, object, object]:
        if self.seen == self.dies_after:
            raise KeyboardInterrupt
        self.seen += 1
        return read_colours(image)


def toy_detector(fn: CountingReader, identity: str = "toy 1") -> CallableDetector:
    return CallableDetector(fn, identity=identity)


def detect(
    scene: Path | list[Path],
    toy: CallableDetector,
    *,
    journal: Journal | None = None,
    **changes: Any,
) -> DetectionLayer:
    settings = PredictSettings.model_validate(SETTINGS.model_dump() | changes)
    return geodetect.predict_layer(scene, toy, settings=settings, journal=journal)


def died(scene: Path, path: Path, after: int = 20) -> CountingReader:
    """A run that is interrupted."""
    fn = CountingReader(after)
    with pytest.raises(KeyboardInterrupt), Journal(path) as journal:
        detect(scene, toy_detector(fn), journal=journal)
    return fn


# Going on


def test_a_run_goes_on_with_the_row_in_flight_and_gives_the_same_table(
    painted: Path, tmp_path: Path
) -> None:
    whole = CountingReader()
    expected = detect(painted, toy_detector(whole))
    assert whole.seen == TILES
    path = tmp_path / "run.journal"
    died(painted, path, after=20)
    fn = CountingReader()
    with Journal(path) as journal:
        layer = detect(painted, toy_detector(fn), journal=journal)
        journal.discard()
    assert layer.table().equals(expected.table())
    assert fn.seen == TILES - 3 * 6  # three rows were whole
    assert (layer.summary.resumed_tiles, layer.summary.tiles) == (18, TILES)
    assert layer.coverage == expected.coverage
    assert list(tmp_path.glob("run*")) == []


def test_a_finished_journal_gives_the_table_without_the_detector(
    painted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run.journal"
    with Journal(path) as journal:
        expected = detect(painted, toy_detector(CountingReader()), journal=journal)
    with Journal(path) as journal:
        layer = detect(painted, toy_detector(CountingReader(dies_after=0)), journal=journal)
    assert layer.table().equals(expected.table())


def test_batches_and_threads_may_change_between_the_runs(painted: Path, tmp_path: Path) -> None:
    expected = detect(painted, toy_detector(CountingReader()))
    died(painted, tmp_path / "run.journal")
    with Journal(tmp_path / "run.journal") as journal:
        layer = detect(
            painted, toy_detector(CountingReader()), batch_size=5, workers=3, journal=journal
        )
    assert layer.table().equals(expected.table())


def test_tiles_without_imagery_are_remembered_too(save: Save, tmp_path: Path) -> None:
    pixels = mixed(SIDE, seed=5, largest=30).pixels
    pixels[:, :, :200] = 0
    scene = save(pixels, nodata=0)
    expected = detect(scene, toy_detector(CountingReader()))
    died(scene, tmp_path / "run.journal", after=12)
    with Journal(tmp_path / "run.journal") as journal:
        layer = detect(scene, toy_detector(CountingReader()), journal=journal)
    assert layer.table().equals(expected.table())
    assert layer.summary.empty_tiles == expected.summary.empty_tiles > 0
    assert layer.coverage == expected.coverage


def test_a_short_run_does_without_when_it_may(painted: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "run.journal", min_tiles=TILES + 1) as journal:
        detect(painted, CallableDetector(CountingReader()), journal=journal)
    assert list(tmp_path.glob("run*")) == []


# Never with the work of another run


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"conf": 0.5}, "settings"),
        ({"overlap": 33}, "settings"),
        ({"classes": ("thing",)}, "settings"),
        ({"bbox": (0.0, 0.0, 1e7, 1e7)}, "ground 1, scene.tif"),
    ],
)
def test_other_settings_are_refused(
    change: dict[str, object], named: str, painted: Path, tmp_path: Path
) -> None:
    died(painted, tmp_path / "run.journal")
    before = (tmp_path / "run.journal").read_bytes()
    with (
        pytest.raises(InputError, match=rf"not the same: {named}.*`restart`"),
        Journal(tmp_path / "run.journal") as journal,
    ):
        detect(painted, toy_detector(CountingReader()), **change, journal=journal)
    assert (tmp_path / "run.journal").read_bytes() == before


def test_another_model_is_refused(painted: Path, tmp_path: Path) -> None:
    died(painted, tmp_path / "run.journal")
    with (
        pytest.raises(InputError, match="not the same: model"),
        Journal(tmp_path / "run.journal") as journal,
    ):
        detect(painted, toy_detector(CountingReader(), "2"), journal=journal)


def test_tiles_of_a_raster_that_has_changed_are_searched_again(
    painted: Path, tmp_path: Path
) -> None:
    expected = detect(painted, toy_detector(CountingReader()))
    died(painted, tmp_path / "run.journal")
    os.utime(painted, (1, 1))
    fn = CountingReader()
    with Journal(tmp_path / "run.journal") as journal:
        layer = detect(painted, toy_detector(fn), journal=journal)
    assert fn.seen == TILES
    assert layer.table().equals(expected.table())


def test_a_repaired_sheet_costs_only_the_rows_of_tiles_that_show_it(
    save: Save, tmp_path: Path
) -> None:
    pixels = mixed(SIDE, seed=5, largest=30).pixels
    sheets = cut_into_sheets(save, pixels, columns=4)
    with Journal(tmp_path / "run.journal") as journal:
        expected = detect(sheets, toy_detector(CountingReader()), journal=journal)
    os.utime(sheets[-1], (1, 1))  # at the lower right: in the last two of six rows
    fn = CountingReader()
    with Journal(tmp_path / "run.journal") as journal:
        layer = detect(sheets, toy_detector(fn), journal=journal)
    assert fn.seen == 2 * 6
    assert layer.table().equals(expected.table())
    with Journal(tmp_path / "run.journal") as journal:
        layer = detect(sheets, toy_detector(CountingReader(dies_after=0)), journal=journal)
    assert layer.summary.resumed_tiles == TILES


def test_a_detector_without_identity_is_refused(painted: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="give CallableDetector an identity="),
        Journal(tmp_path / "run.journal") as journal,
    ):
        detect(painted, CallableDetector(CountingReader()), journal=journal)


def test_two_runs_at_once_are_refused(painted: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "run.journal") as first:
        first.open({"model": "a"})
        with pytest.raises(InputError, match="in use by another run"):
            Journal(tmp_path / "run.journal").open({"model": "a"})
    Journal(tmp_path / "run.journal").open({"model": "a"})


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    path.write_text("a diary")
    with pytest.raises(InputError, match="no journal of geodetect"):
        Journal(path).open({"model": "a"})
    assert path.read_text() == "a diary"


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the folder does not exist; .*`work_dir`"):
        Journal(tmp_path / "nowhere" / "run.journal").open({"model": "a"})


# Damage


def test_whatever_is_cut_off_or_damaged_is_computed_again(painted: Path, tmp_path: Path) -> None:
    expected = detect(painted, toy_detector(CountingReader()))
    died(painted, tmp_path / "whole.journal", after=33)
    data = (tmp_path / "whole.journal").read_bytes()
    rng = np.random.default_rng(0)
    for i, end in enumerate([*rng.integers(0, len(data), 11), len(MAGIC)]):
        path = tmp_path / f"{i}.journal"
        damaged = bytearray(data if i % 3 == 0 else data[:end])
        if i % 3 == 0:
            damaged[max(end, len(MAGIC))] ^= 0x55
        elif i % 3 == 2:  # as a loss of power leaves files on some systems
            damaged += bytes(1000)
        path.write_bytes(damaged)
        with Journal(path) as journal, warnings.catch_warnings():
            warnings.simplefilter("ignore", GeodetectWarning)
            layer = detect(painted, toy_detector(CountingReader()), journal=journal)
        assert layer.table().equals(expected.table())


def frames_of(path: Path) -> list[int]:
    """Offsets of the records of a journal."""
    with FileIO(path) as file:
        file.read(len(MAGIC))
        ends = [len(MAGIC), *(file.tell() for _ in read_records(file))]
    return ends[:-1]


PAYLOAD = FRAME_BYTES + 20  # offset in a record: inside its payload


@pytest.mark.parametrize(
    ("record", "offset", "message", "kept_rows"),
    [
        (0, PAYLOAD, r"its first record, .* its [\d,]+ bytes of finished tiles cannot.*over", 0),
        (0, 3, "its first record", 0),
        (1, PAYLOAD, "1 of its records cannot be read; these tiles are searched again", 4),
        (3, PAYLOAD, "1 of its records", 4),
        (3, 2, r"the last [\d,]+ of its [\d,]+ bytes cannot be read", 2),
        (5, PAYLOAD, None, 4),  # the last one: as if it were incomplete
    ],
)
def test_work_that_damage_has_cost_is_counted(
    painted: Path, tmp_path: Path, record: int, offset: int, message: str | None, kept_rows: int
) -> None:
    path = tmp_path / "run.journal"
    died(painted, path, after=33)
    data = bytearray(path.read_bytes())
    offsets = frames_of(path)
    assert len(offsets) == 6
    data[offsets[record] + offset] ^= 0x55
    path.write_bytes(data)
    fn = CountingReader()
    with (
        pytest.warns(GeodetectWarning, match=f"the journal .*run.journal is damaged: .*{message}")
        if message
        else nullcontext(),
        Journal(path) as journal,
    ):
        layer = detect(painted, toy_detector(fn), journal=journal)
    assert layer.summary.resumed_tiles == 6 * kept_rows
    assert fn.seen == TILES - 6 * kept_rows
    with Journal(path) as journal, warnings.catch_warnings():
        warnings.simplefilter("ignore", GeodetectWarning)  # the record is still in the file
        layer = detect(painted, toy_detector(CountingReader(dies_after=0)), journal=journal)
    assert layer.summary.resumed_tiles == TILES


def test_a_journal_cut_off_inside_its_first_record_holds_no_work(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with Journal(path) as journal:
        journal.open({"model": "a" * 100})
        data = path.read_bytes()
    for end in (0, 5, len(MAGIC), len(MAGIC) + 3, len(data) - 1):
        path.write_bytes(data[:end])
        with Journal(path) as journal:
            journal.open({"model": "a" * 100})
            assert len(journal) == 0


def test_the_journal_of_another_version_is_refused_unless_it_is_discarded(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    path.write_bytes(b"geodetect journal 1\n" + bytes(range(200)))
    with pytest.raises(InputError, match=r"of another version of geodetect; .*`restart`"):
        Journal(path).open({"model": "a"})
    with Journal(path, restart=True) as journal:
        journal.open({"model": "a"})


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"[1]", b"7", b'"text"', b"[" * 100_000],
)
def test_records_that_no_run_has_written_are_one_line(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "run.journal"
    path.write_bytes(MAGIC + pack_record(payload))
    with pytest.raises(InputError, match="no run has written") as caught:
        Journal(path).open({"model": "a"})
    assert "\n" not in str(caught.value)
    path.write_bytes(MAGIC + pack_record(b'{"model": "a"}') + pack_record(b"short"))
    with pytest.raises(InputError, match="no run has written"):
        Journal(path).open({"model": "a"})
    tile = Tile(0, 0, 9, 9, 0, 0, 0)
    path.write_bytes(MAGIC + pack_record(b'{"model": "a"}') + pack_record(bytes(28) + b"no arrays"))
    with Journal(path) as journal:
        journal.open({"model": "a"})
        with pytest.raises(InputError, match="no run has written"):
            journal.get(0, TileRun((tile,), 0), raster_count=1)


@pytest.mark.skipif(os.name != "posix", reason="pipes and links of POSIX")
@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link"])
def test_what_is_no_plain_file_is_no_journal(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "run.journal", tmp_path / "target"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
        if kind == "link":
            target.touch()
    with pytest.raises(InputError, match=r"is no plain file.*`work_dir`"):
        Journal(path).open({"model": "a"})
    assert read_files(path) == set()
    assert not target.exists() or target.read_bytes() == b""


def test_a_full_disk_leaves_what_was_written(tmp_path: Path) -> None:
    """In a process of its own, which may write files of 3,000 bytes only."""
    pytest.importorskip("resource")
    script = tmp_path / "fill.py"
    script.write_text(
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "import numpy as np\n"
        "from geodetect.detection.detections import Detections, TileResult\n"
        "from geodetect.detection.plan import TileRun\n"
        "from geodetect.detection.run.journal import Journal\n"
        "from geodetect.errors import OutputError\n"
        "from geodetect.geo.tiles import TileScheme\n"
        "scheme = TileScheme(100, 1000, 100, 0)\n"
        "found = Detections.from_arrays(np.ones((20, 4)), np.ones(20))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "with Journal(sys.argv[1]) as journal:\n"
        "    journal.open({'model': 'a'})\n"
        "    try:\n"
        "        for tile in scheme:\n"
        "            result = TileResult(tile, found, np.ones((16, 16), np.uint8))\n"
        "            journal.add(0, TileRun((tile,), 0), [result])\n"
        "    except OutputError as error:\n"
        "        print(len(journal), error)\n"
    )
    path = tmp_path / "run.journal"
    run = subprocess.run(
        [sys.executable, str(script), str(path)], capture_output=True, text=True, check=True
    )
    count, message = run.stdout.split(maxsplit=1)
    assert int(count) >= 1
    assert "`work_dir`" in message
    with Journal(path) as journal:
        journal.open({"model": "a"})
        assert len(journal) == int(count)


# What is written is what is read


@pytest.mark.parametrize("has_outlines", [False, True])
def test_outlines_are_read_back_to_the_bit_and_take_no_place_without_any(
    tmp_path: Path, has_outlines: bool
) -> None:
    (tile,) = TileScheme(10, 10, 10, 0)
    ring = shapely.Point(4, 4).buffer(3).difference(shapely.Point(4, 4).buffer(1 / 3))
    outlines = [
        ring,
        None,
        shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]),
    ]
    detections = Detections.from_arrays(
        np.ones((3, 4)), np.ones(3), outlines=outlines if has_outlines else None
    )
    result = TileResult(tile, detections, np.zeros((1, 1), np.uint8))
    with Journal(tmp_path / "run.journal") as journal:
        journal.open({})
        journal.add(0, TileRun((tile,), 0), [result])
        (read,) = journal.get(0, TileRun((tile,), 0), raster_count=1)
    assert read.detections is not None
    assert shapely.to_wkb(read.detections.outlines).tolist() == (
        shapely.to_wkb(detections.outlines).tolist()
    )
    assert (b"outline" in journal.path.read_bytes()) == has_outlines


@pytest.mark.parametrize("change", [{"outline_lengths": [9]}, {"outlines": [1] * 93}])
def test_outlines_that_no_run_has_written_are_refused(change: dict[str, Any]) -> None:
    (tile,) = TileScheme(10, 10, 10, 0)
    detections = Detections.from_arrays(
        np.ones((1, 4)), np.ones(1), outlines=[shapely.box(0, 0, 1, 1)]
    )
    result = TileResult(tile, detections, np.zeros((1, 1), np.uint8))
    packed = PackedResults.from_results([result]).to_arrays()
    damaged = {name: np.array(value, packed[name].dtype) for name, value in change.items()}
    with pytest.raises((ValueError, shapely.GEOSException)):
        PackedResults.from_arrays(packed | damaged)


@given(
    counts=st.lists(st.integers(-1, 4), min_size=1, max_size=5),
    cells=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    data=st.data(),
)
def test_results_are_read_back_to_the_bit(
    counts: list[int],
    cells: tuple[int, int],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tiles = list(TileScheme(10 * len(counts), 10, 10, 0))
    results = [
        TileResult(
            tile,
            None
            if n < 0
            else Detections.from_arrays(
                data.draw(arrays(np.float64, (n, 4))),
                data.draw(arrays(np.float32, n)),
                data.draw(arrays(np.int16, n)),
                truncated=data.draw(arrays(bool, n)),
                raster=data.draw(arrays(np.int32, n, elements=st.integers(0, 3))),
            ),
            data.draw(arrays(np.uint8, cells)),
        )
        for tile, n in zip(tiles, counts, strict=True)
    ]
    path = tmp_path_factory.mktemp("journal") / "run.journal"
    with Journal(path) as journal:
        journal.open({})
        journal.add(3, TileRun(tuple(tiles), 0), results)
    with Journal(path) as journal:
        journal.open({})
        read = journal.get(3, TileRun(tuple(tiles), 0), raster_count=4)
    for got, put in zip(read, results, strict=True):
        assert got.tile == put.tile
        np.testing.assert_array_equal(got.cells, put.cells)
        assert (got.detections is None) == (put.detections is None)
        if got.detections is not None and put.detections is not None:
            for name in ("boxes", "scores", "labels", "truncated", "raster"):
                expected = getattr(put.detections, name)
                assert getattr(got.detections, name).tobytes() == expected.tobytes()


@pytest.mark.parametrize("raster", [-1, 2, 134_217_728])
def test_a_record_with_a_raster_that_the_ground_does_not_have_is_one_line(
    tmp_path: Path, raster: int
) -> None:
    (tile,) = TileScheme(10, 10, 10, 0)
    detections = Detections.from_arrays(
        np.ones((1, 4)), np.ones(1, np.float32), np.zeros(1, np.int16),
        truncated=np.zeros(1, bool), raster=np.array([raster], np.int32),
    )  # fmt: skip
    with Journal(tmp_path / "run.journal") as journal:
        journal.open({})
        journal.add(
            0, TileRun((tile,), 0), [TileResult(tile, detections, np.zeros((1, 1), np.uint8))]
        )
        with pytest.raises(InputError, match="no run has written; remove it") as caught:
            journal.get(0, TileRun((tile,), 0), raster_count=2)
    assert "\n" not in str(caught.value)


def test_a_run_too_short_for_a_journal_leaves_that_of_another_run(
    painted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run.journal"
    died(painted, path)
    before = path.read_bytes()
    with Journal(path, min_tiles=TILES + 1) as journal:
        detect(painted, toy_detector(CountingReader(), "toy 2"), journal=journal)
        journal.discard()
    assert path.read_bytes() == before


def test_a_run_may_give_up_the_work_of_another_but_not_while_that_is_running(
    painted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run.journal"
    died(painted, path)
    before = path.read_bytes()
    with Journal(path) as running:
        running.open(fingerprint_of(painted, toy_detector(CountingReader())))
        with Journal(path, restart=True) as other, pytest.raises(InputError, match="in use"):
            other.open({"model": "another"})
    assert path.read_bytes() == before
    fn = CountingReader()
    with Journal(path, restart=True) as journal:
        detect(painted, toy_detector(fn, "toy 2"), journal=journal)
    assert fn.seen == TILES
    with Journal(path) as journal:
        detect(painted, toy_detector(fn, "toy 2"), journal=journal)
    assert fn.seen == TILES


def test_a_changed_source_of_a_virtual_raster_is_noticed(save: Save, tmp_path: Path) -> None:
    source = save(mixed(SIDE, seed=5, largest=30).pixels)
    vrt = tmp_path / "mosaic.vrt"
    with rasterio.open(source) as opened, WarpedVRT(opened) as warped:
        copy(warped, vrt, driver="VRT")
    path = tmp_path / "run.journal"
    died(vrt, path)
    os.utime(source, ns=(1, 1))
    fn = CountingReader()
    with Journal(path) as journal:
        detect(vrt, toy_detector(fn), journal=journal)
    assert fn.seen == TILES


def test_the_batch_matters_to_detectors_that_say_so(painted: Path) -> None:
    toy = toy_detector(CountingReader())
    plans = geodetect.plan(painted, toy, settings=SETTINGS)
    with plans[0].ground:
        first, second = (run_fingerprint(toy, SETTINGS, plans, batch_size=n) for n in (1, 2))
        assert first == second
        toy.depends_on_batch = True  # type: ignore[attr-defined]
        first, second = (run_fingerprint(toy, SETTINGS, plans, batch_size=n) for n in (1, 2))
        assert first != second


def test_files_of_a_run_that_died_may_be_replaced_until_they_change(tmp_path: Path) -> None:
    path, file, other = tmp_path / "run.journal", tmp_path / "a.txt", tmp_path / "b.txt"
    other.write_text("result")
    with Journal(path) as journal:
        journal.open({"model": "toy"})
        tile = Tile(0, 0, 9, 9, 0, 0, 0)
        result = TileResult(tile, None, np.zeros((1, 1), np.uint8))
        journal.add(0, TileRun((tile,), 0), [result])
        with write_atomically(file, overwrite=False) as staged:
            staged.write_text("result")
            journal.record_files(staged)
        assert not journal.files  # those of this run, which has not died, do not count
    assert read_files(path) == {FileIdentity.from_file(file)}
    assert FileIdentity.from_file(other) not in read_files(path)
    with Journal(path) as journal:
        journal.open({"model": "toy"})
        assert len(journal) == 1
        assert FileIdentity.from_file(file) in journal.files
        file.write_text("edited")
        assert FileIdentity.from_file(file) not in journal.files
    assert not read_files(tmp_path / "none")


def fingerprint_of(scene: Path, toy: CallableDetector) -> dict[str, str]:
    plans = geodetect.plan(scene, toy, settings=SETTINGS)
    try:
        return run_fingerprint(toy, SETTINGS, plans)
    finally:
        for raster_plan in plans:
            raster_plan.ground.close()
