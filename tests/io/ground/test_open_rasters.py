"""Few files are open, of however many rasters."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from geodetect.geo.tiles import Window
from geodetect.io.ground.ground import Ground
from geodetect.io.ground.open_rasters import OpenRasters
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Raster
from tests.conftest import METRES, Save

SHEET = np.full((3, 10, 10), 9, np.uint8)


def row_of_sheets(save: Save, count: int) -> list[Path]:
    return [
        save(SHEET, f"{n:03}.tif", transform=METRES @ Affine.translation(10 * n, 0))
        for n in range(count)
    ]


def count_open(rasters: tuple[Raster, ...]) -> int:
    return sum(bool(raster._handles.items) for raster in rasters)


@pytest.mark.parametrize("threads", [1, 3])
def test_each_thread_closes_what_it_has_not_read_for_longest(threads: int, save: Save) -> None:
    rasters = tuple(open_raster(path) for path in row_of_sheets(save, 40))
    is_opened = OpenRasters(limit=12)
    barrier = threading.Barrier(threads)

    def read_all() -> None:
        barrier.wait(60)
        for raster in rasters:
            is_opened.touch(raster)
            raster.read()

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(read_all) for _ in range(threads)]:
            future.result()
    handles = sum(len(raster._handles.items) for raster in rasters)
    assert 12 // threads <= handles <= 12 + 2 * threads
    for raster in rasters:
        raster.close()


def test_pixels_are_read_across_more_sheets_than_may_be_open(save: Save) -> None:
    ground = Ground.from_rasters([open_raster(path) for path in row_of_sheets(save, 60)])
    ground._open._limit = 5
    with ground:
        for _ in range(2):
            pixels = ground.read(Window(0, 0, 600, 10))
            assert (pixels.values == 9).all()
            assert count_open(ground.rasters) <= 5
    assert count_open(ground.rasters) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX")
def test_a_low_limit_of_open_files_of_the_process_is_enough(save: Save, tmp_path: Path) -> None:
    row_of_sheets(save, 300)
    script = tmp_path / "run.py"
    script.write_text(
        "import resource, sys\n"
        "import geodetect\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))\n"
        "detector = geodetect.CallableDetector(lambda image: ([], [], []), tile_px=100)\n"
        "layer = geodetect.predict_layer(sys.argv[1], detector, workers=4)\n"
        "print(layer.summary.tiles, layer.summary.left_out)\n"
    )
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.stdout.endswith(" {}\n"), run.stderr
