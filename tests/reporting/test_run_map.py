"""Map of a planned run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image

import geodetect
from geodetect import CallableDetector
from geodetect.detection.sharding.plan_run import plan_to_folder
from geodetect.detection.sharding.predict_shards import predict_shards
from geodetect.errors import InputError, OutputError
from geodetect.io.vector.qgis_style import GREEN, SKY_BLUE, VERMILLION
from geodetect.reporting.run_map import ABSENT
from tests.conftest import METRES, Save
from tests.helpers.program import invoke

NOTHING = CallableDetector(lambda image: ([], [], []), identity="nothing", tile_px=64)


def count_pixels(image: Image.Image) -> dict[tuple[int, ...], int]:
    colours, counts = np.unique(np.asarray(image).reshape(-1, 3), axis=0, return_counts=True)
    return dict(zip(map(tuple, colours.tolist()), counts.tolist(), strict=True))


@pytest.fixture
def run(save: Save, tmp_path: Path) -> Path:
    """A run of two grounds that lie apart: four rows of tiles, and one."""
    pixels = np.full((3, 64, 128), 9, np.uint8)
    sheets = [
        save(pixels.repeat(4, axis=1), "large.tif"),
        save(pixels, "small.tif", transform=METRES @ Affine.translation(400, 0)),
    ]
    settings = {"tile_size": 64, "overlap": 0}
    plan_to_folder(sheets, tmp_path / "run", NOTHING, shard_px=64.0 * 128, settings=settings)
    return tmp_path / "run"


def test_shards_have_the_colour_of_their_status_where_they_lie(run: Path, tmp_path: Path) -> None:
    predict_shards(run, NOTHING, shard="0")
    predict_shards(run, NOTHING, shard="4")
    for number, suffix, error in ((1, "running", ""), (2, "failed", "disk full")):
        sign = json.dumps({"time": time.time(), "error": error})
        (run / f"shards/00000{number}.{suffix}").write_text(sign)
    path = tmp_path / "map.png"
    result = invoke("status", run, "-o", path, "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert (values["running"], values["failed"], values["absent"]) == (
        [1], {"2": "disk full"}, [1, 2, 3],
    )  # fmt: skip
    counts = count_pixels(Image.open(path))
    one = counts[SKY_BLUE]
    assert counts[VERMILLION] == pytest.approx(one, rel=0.05)
    assert counts[ABSENT] == pytest.approx(one, rel=0.05)
    assert counts[GREEN] == pytest.approx(2 * one, rel=0.05)
    image = np.asarray(Image.open(path))
    rows = [np.flatnonzero((image == colour).all(axis=2).any(axis=1)) for colour in
            (SKY_BLUE, VERMILLION, ABSENT)]  # fmt: skip
    assert rows[0][0] < rows[1][0] < rows[2][0], "from top to bottom"


def test_images_without_a_crs_lie_side_by_side(save: Save, tmp_path: Path) -> None:
    pixels = np.full((3, 64, 64), 9, np.uint8)
    images = [save(pixels, f"{n}.png", driver="PNG", crs=None) for n in range(3)]
    settings = {"tile_size": 64, "pixel_coords": True}
    plan_to_folder(images, tmp_path / "run", NOTHING, settings=settings)
    image = geodetect.draw_run_map(tmp_path / "run")
    absent = (np.asarray(image) == ABSENT).all(axis=2)[20]
    assert np.count_nonzero(np.diff(absent.astype(int)) == 1) == 3


def test_a_map_is_an_image_that_replaces_nothing_unasked(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"map\.txt is no image file"):
        geodetect.draw_run_map(run, tmp_path / "map.txt")
    path = tmp_path / "map.png"
    path.write_text("mine")
    with pytest.raises(OutputError, match="`overwrite`"):
        geodetect.draw_run_map(run, path)
    assert geodetect.draw_run_map(run, path, overwrite=True).size == Image.open(path).size
