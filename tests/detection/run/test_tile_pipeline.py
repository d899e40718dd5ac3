"""Batches of a detector: side by side where it says so, and always in order."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.detection.detections import Detections
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Tile
from geodetect.io.ground import ground
from geodetect.io.raster.reader import Pixels, Raster
from geodetect.model.card import ModelCard
from tests.conftest import METRES, Save
from tests.helpers.painted_scenes import dense, read_colours

Image = NDArray[np.uint8]
CARD = ModelCard(name="one box", classes=("thing",), bands=None, tile_px=64)
PATIENCE_S = 60


def one_box(pixels: Image) -> list[Detections]:
    box = Detections.from_arrays(np.array([[10.0, 10, 20, 20]]), np.array([0.9]), np.array([0]))
    return [box for _ in pixels]


class SideBySide:
    """Each call waits until another one is there too."""

    card, streams, batch_size = CARD, 2, 1

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)

    def __call__(self, pixels: Image, valid: NDArray[np.bool_]) -> list[Detections]:
        self.barrier.wait(PATIENCE_S)
        return one_box(pixels)


class Alone:
    """Notes how many calls there are at once, and how many images in each."""

    card = CARD

    def __init__(self, **attributes: Any) -> None:
        self.calls, self.most, self.sizes = 0, 0, set[int]()
        self.__dict__.update(attributes)

    def __call__(self, pixels: Image, valid: NDArray[np.bool_]) -> list[Detections]:
        self.calls += 1
        self.most = max(self.most, self.calls)
        self.sizes.add(len(pixels))
        time.sleep(0.002)
        self.calls -= 1
        return one_box(pixels)


def flat(side: int) -> Image:
    return np.full((3, side, side), 9, np.uint8)


def test_a_detector_with_streams_gets_its_batches_side_by_side(save: Save) -> None:
    detections = geodetect.predict(
        save(flat(256)), SideBySide(), settings=PredictSettings(overlap=0)
    )
    assert len(detections) == 16


def test_a_detector_without_streams_is_called_once_at_a_time(save: Save) -> None:
    detector = Alone()
    settings = PredictSettings(overlap=0, workers=4, batch_size=1)
    geodetect.predict(save(flat(384)), detector, settings=settings)
    assert detector.most == 1


@pytest.mark.parametrize(
    ("attributes", "asked", "sizes"),
    [({}, None, {4}), ({"batch_size": 3}, None, {3, 1}), ({"batch_size": 3}, 2, {2})],
)
def test_batches_are_as_large_as_asked_else_as_the_detector_likes(
    attributes: dict[str, int], asked: int | None, sizes: set[int], save: Save
) -> None:
    detector = Alone(**attributes)
    settings = PredictSettings(overlap=0, batch_size=asked)
    geodetect.predict(save(flat(256)), detector, settings=settings)
    assert detector.sizes == sizes


BLOCKS = {"tiled": True, "blockxsize": 64, "blockysize": 64}


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
    """The threads that have read tiles, by the tiles' column."""
    read, threads = Raster.read, dict[int, set[int]]()

    def noted(self: Raster, tile: Tile, grid: Grid | None = None) -> Pixels:
        threads.setdefault(tile.col, set()).add(threading.get_ident())
        return read(self, tile, grid)

    monkeypatch.setattr(Raster, "read", noted)
    return threads


@pytest.mark.parametrize("workers", [1, 3])
def test_columns_stay_with_the_thread_whose_cache_holds_their_blocks(
    workers: int, save: Save, threads: dict[int, set[int]]
) -> None:
    settings = PredictSettings(overlap=0, workers=workers)
    geodetect.predict(save(flat(64 * 12), **BLOCKS), Alone(), settings=settings)
    assert len(threads) == 12
    assert all(len(names) == 1 for names in threads.values())
    assert len(set.union(*threads.values())) == workers
    borders = sum(threads[col] != threads[col + 1] for col in range(11))
    assert borders <= (0 if workers == 1 else 5)


def test_where_there_are_few_columns_all_threads_read(
    save: Save, threads: dict[int, set[int]]
) -> None:
    settings = PredictSettings(overlap=0, workers=6)
    geodetect.predict(save(flat(64 * 6)[:, :, : 64 * 2], **BLOCKS), Alone(), settings=settings)
    assert len(set.union(*threads.values())) == 6


@pytest.mark.parametrize("fits", [True, False])
def test_strips_are_decoded_by_one_thread_if_they_fit_into_the_cache(
    fits: bool, save: Save, threads: dict[int, set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = 64 * 30 * 64 * 3
    monkeypatch.setattr(ground, "BLOCK_CACHE_BYTES", row + 1 if fits else row)
    settings = PredictSettings(overlap=0, workers=6)
    geodetect.predict(save(flat(64 * 30), blockysize=8), Alone(), settings=settings)
    assert len(set.union(*threads.values())) == (1 if fits else 6)


def test_the_next_raster_is_read_while_the_last_tiles_of_one_are_looked_at(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never the one after that, of however few tiles they are."""
    paths = [
        save(
            flat(64 * side), f"{number}.tif", transform=METRES @ Affine.translation(999 * number, 0)
        )
        for number, side in enumerate((4, 1, 1, 4))
    ]
    read, events = Raster.read, list[tuple[str, str]]()

    def noted(self: Raster, tile: Tile, grid: Grid | None = None) -> Pixels:
        events.append(("read", self.name))
        return read(self, tile, grid)

    close = Raster.close

    def closed(self: Raster) -> None:
        events.append(("done", self.name))
        close(self)

    monkeypatch.setattr(Raster, "read", noted)
    monkeypatch.setattr(Raster, "close", closed)
    settings = PredictSettings(overlap=0, workers=1, batch_size=1)
    detections = geodetect.predict(paths, Alone(), settings=settings)
    assert len(detections) == 16 + 1 + 1 + 16
    for number in range(3):
        done = events.index(("done", f"{number}.tif"))
        assert ("read", f"{number + 1}.tif") in events[:done]
        assert ("read", f"{number + 2}.tif") not in events[:done]


class UnevenDetector(CallableDetector):
    """Reads colours, and takes longer for some images than for others."""

    streams = 3

    def __call__(self, pixels: Image, valid: NDArray[np.bool_]) -> list[Detections]:
        time.sleep(float(pixels[0, 0, 0, 0] % 4) / 500)
        return super().__call__(pixels, valid)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 4, 16])
def test_batches_streams_and_threads_do_not_change_a_byte(
    workers: int, batch: int, save: Save
) -> None:
    path = save(dense(400, seed=3).pixels)
    settings = PredictSettings(workers=workers, batch_size=batch, tile_size=96, overlap=24)
    plain = geodetect.predict(
        path,
        CallableDetector(read_colours),
        settings=settings.model_copy(update={"workers": 1, "batch_size": 1}),
    )
    detections = geodetect.predict(path, UnevenDetector(read_colours), settings=settings)
    assert len(detections) > 20
    assert detections.to_json() == plain.to_json()


class Failing(Alone):
    def __call__(self, pixels: Image, valid: NDArray[np.bool_]) -> list[Detections]:
        super().__call__(pixels, valid)
        raise ZeroDivisionError


def test_an_error_in_one_stream_reaches_the_caller_and_stops_the_others(save: Save) -> None:
    detector = Failing(streams=2, batch_size=1)
    with pytest.raises(ZeroDivisionError):
        geodetect.predict(
            save(flat(1024)), detector, settings=PredictSettings(overlap=0, workers=1)
        )
    assert detector.calls == 0
    assert not [t for t in threading.enumerate() if t.name.startswith("geodetect-detect")]
