"""The model that a training starts from is validated before the first step."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from geodetect.errors import GeodetectWarning
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Raster
from geodetect.model.file import read_model_file
from geodetect.progress import no_progress
from geodetect.settings import TrainSettings
from geodetect.training import loop as loop_module
from geodetect.training.run.folder import RunFolder
from geodetect.training.run.summary import TrainingSummary
from geodetect.training.train import train
from geodetect.training.validation.metrics import ValidationResult
from geodetect.training.validation.start import Start
from geodetect.training.validation.uncertainty import (
    ap50_draws,
    holdout_blocks,
    metric_intervals,
)
from tests.helpers.square_scenes import squares_image, write_raster
from tests.helpers.training_loops import CARD, ScriptedValidator, new_loop
from tests.helpers.validations import grid_boxes, made_up_validation

pytestmark = pytest.mark.usefixtures("no_stored_networks")

SAMPLE = Path(__file__).parents[2] / "sample_data"
SIDE = 1000
TOWN_CORNER, TOWN_PX = (1700, 40), 800
BOXES = grid_boxes(12, 12, step_px=80)


def test_the_start_is_validated_once_and_stands_before_the_first_step(tmp_path: Path) -> None:
    shown: list[tuple[int, dict[str, float]]] = []
    validator = ScriptedValidator(0.6, 0.7)
    loop = new_loop(tmp_path / "run", validator, steps=3, val_every=9)
    loop.initial_card = CARD
    loop.run(lambda completed, total, /, **figures: shown.append((completed, figures)))
    assert loop.start is not None
    assert (loop.start.model, loop.start.metrics["ap50"]) == (CARD.name, 0.6)
    assert (loop.selection.validations, loop.selection.best_ap50) == (1, 0.7)
    rows = RunFolder(tmp_path / "run").metrics.rows()
    assert [(row["step"], row["val_ap50"]) for row in (rows[0], rows[-1])] == [(0, 0.6), (3, 0.7)]
    assert math.isnan(rows[0]["loss"])
    assert shown[0][0] == 0
    assert (shown[0][1]["val_ap50"], "loss" in shown[0][1]) == (0.6, False)
    assert [completed for completed, _ in shown] == [0, 1, 2, 3]


def test_a_training_from_no_model_has_no_start(tmp_path: Path) -> None:
    loop = new_loop(tmp_path / "run", ScriptedValidator(0.6), steps=2)
    loop.run(no_progress)
    assert loop.start is None
    assert [row["step"] for row in RunFolder(tmp_path / "run").metrics.rows()] == [1, 2]


@pytest.mark.parametrize("step", [0, 2])
def test_a_resumed_training_does_not_repeat_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)

    def stop(completed: int, total: int, /, **figures: float) -> None:
        if completed == step + 1:
            raise RuntimeError  # no interrupt, which would write a checkpoint

    loop = new_loop(tmp_path / "run", ScriptedValidator(0.6), steps=4, val_every=9)
    loop.initial_card = CARD
    with pytest.raises(RuntimeError):
        loop.run(stop)
    validator = ScriptedValidator(0.8)
    resumed = new_loop(tmp_path / "run", validator, steps=4, val_every=9)
    resumed.initial_card = CARD
    resumed.resume()
    assert resumed.step == step
    resumed.run(no_progress)
    assert (validator.count, resumed.selection.validations) == (1, 1), "the last state only"
    assert loop.start is not None
    assert resumed.start is not None
    assert resumed.start.metrics == loop.start.metrics
    assert np.array_equal(resumed.start.draws, loop.start.draws, equal_nan=True)
    assert all((loop.start.weights[key] == v).all() for key, v in resumed.start.weights.items())
    rows = RunFolder(tmp_path / "run").metrics.rows()
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Raster:
    folder = tmp_path_factory.mktemp("start")
    return open_raster(write_raster(folder / "town.tif", squares_image(SIDE, [])))


def found(raster: Raster, rows: Sequence[int] | slice) -> ValidationResult:
    """The validation of a model that finds some of the objects."""
    fraction = len(BOXES[rows]) / len(BOXES)
    return made_up_validation(raster, BOXES, BOXES[rows], metrics={"ap50": round(fraction, 2)})


def start_of(result: ValidationResult) -> Start:
    return Start.from_validation(result, CARD, {})


def test_a_model_that_finds_much_less_is_worse_than_its_start(raster: Raster) -> None:
    gain = start_of(found(raster, slice(None, 130))).compare(found(raster, slice(None, 70)))
    assert gain.is_loss
    assert gain.ap50 == pytest.approx(-0.41, abs=0.02)
    assert gain.interval.low < gain.ap50 < gain.interval.high < 0
    assert str(gain).startswith("AP50 0.490 against 0.900 of its start squares on 144 held-out")
    assert gain.as_dict()["ap50_gain_interval"] == [
        round(gain.interval.low, 4), round(gain.interval.high, 4),
    ]  # fmt: skip


def test_a_model_that_finds_all_but_nothing_afterwards_is_worse(raster: Raster) -> None:
    gain = start_of(found(raster, slice(None))).compare(found(raster, slice(0)))
    assert gain.is_loss
    assert gain.ap50 == -1


@pytest.mark.parametrize("seed", range(8))
def test_a_difference_within_chance_is_no_loss(raster: Raster, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (np.flatnonzero(rng.random(len(BOXES)) < 0.8).tolist() for _ in range(2))
    gain = start_of(found(raster, first)).compare(found(raster, second))
    assert not gain.is_loss or gain.ap50 < -0.05


def test_a_better_or_an_equal_model_is_no_loss(raster: Raster) -> None:
    start = start_of(found(raster, slice(None, 100)))
    assert not start.compare(found(raster, slice(None))).is_loss
    equal = start.compare(found(raster, slice(None, 100)))
    assert (equal.is_loss, equal.ap50) == (False, 0)
    fewer = made_up_validation(raster, BOXES[:90], BOXES[:10], metrics={"ap50": 0.1})
    assert not start.compare(fewer).is_loss, "another holdout: a raster was lost on the way"


def test_blocks_depend_on_the_holdout_alone(raster: Raster) -> None:
    few, all_found = found(raster, slice(3)), found(raster, slice(None))
    blocks = [holdout_blocks(result) for result in (few, all_found)]
    assert blocks[0].count == blocks[1].count >= 25
    assert (blocks[0].of_truth == blocks[1].of_truth).all()
    assert (blocks[1].of_truth == blocks[1].of_predicted).all()


def test_intervals_hold_their_figure_and_are_left_out_without_spread(raster: Raster) -> None:
    result = found(raster, np.flatnonzero(np.arange(len(BOXES)) % 4).tolist())
    intervals = metric_intervals(result)
    assert set(intervals) == {"ap50", "ap30", "recall", "f1"}, "every prediction is right"
    assert intervals["recall"].low < 0.75 < intervals["recall"].high
    assert intervals["ap50"].low < np.nanmean(ap50_draws(result)) < intervals["ap50"].high
    assert metric_intervals(found(raster, slice(None))) == {}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A part of the drawn sample, and its labels."""
    folder = tmp_path_factory.mktemp("town")
    with rasterio.open(SAMPLE / "neighbourhood.tif") as whole:
        window = Window(*TOWN_CORNER, TOWN_PX, TOWN_PX)
        profile = {
            "driver": "GTiff",
            "width": TOWN_PX,
            "height": TOWN_PX,
            "count": 3,
            "dtype": "uint8",
        }
        profile |= {"crs": whole.crs, "transform": whole.window_transform(window)}
        with rasterio.open(folder / "town.tif", "w", **profile) as part:
            part.write(whole.read(window=window))
            bounds, crs = part.bounds, part.crs
    labels = (
        gpd.read_file(SAMPLE / "neighbourhood.geojson")
        .to_crs(crs)
        .cx[bounds.left : bounds.right, bounds.bottom : bounds.top]
    )
    labels.to_file(folder / "pools.gpkg")
    return folder / "town.tif", folder / "pools.gpkg"


def fine_tune(
    town: tuple[Path, Path], output: Path, **changes: object
) -> tuple[TrainingSummary, list[str]]:
    values = {"init": "pools", "steps": 3, "batch_size": 1, "tile_size": 64, "device": "cpu"}
    values |= {"val_share": 0.6, "check": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GeodetectWarning)
        settings = TrainSettings.model_validate(values | changes)
        summary = train(*town, output, settings=settings)
    return summary, [str(w.message) for w in caught if w.category is GeodetectWarning]


def is_start(output: Path) -> bool:
    weights, start = read_model_file(output)[1], read_model_file("pools")[1]
    return all((weights[key] == start[key]).all() for key in weights)


def test_weights_worse_than_the_start_are_not_written_unless_asked_for(
    town: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "worse.safetensors"
    summary, texts = fine_tune(town, output, lr=0.05)
    (text,) = (text for text in texts if "worse than its start" in text)
    assert "of its start pools on " in text
    assert "95 % interval" in text
    assert "the model file holds the weights of the start; set `keep` to last" in text
    assert (summary.kept_state, summary.kept_step, summary.card.training.steps) == ("start", 0, 0)
    assert is_start(output)
    assert summary.gain is not None
    assert summary.card.metrics.items() >= summary.gain.start_metrics.items()
    assert summary.best_ap50 == summary.gain.metrics["ap50"] < summary.card.metrics["ap50"]
    assert "start" in [advice.topic for advice in summary.advice]
    written = json.loads((summary.run_dir / "summary.json").read_text())
    assert written["start"]["metrics"]["ap30"] == summary.card.metrics["ap30"]
    assert [item["topic"] for item in written["advice"]] == [a.topic for a in summary.advice]

    output = tmp_path / "last.safetensors"
    summary, texts = fine_tune(town, output, lr=0.05, keep="last")
    assert any("written all the same, as `keep` is last" in text for text in texts)
    assert (summary.kept_state, summary.kept_step) == ("last", 3)
    assert not is_start(output)


def test_a_fine_tuning_that_changes_little_gives_no_warning(
    town: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "gentle.safetensors"
    summary, texts = fine_tune(town, output, lr=1e-6, steps=1)
    assert not any("start" in text for text in texts)
    assert (summary.kept_state, summary.card.training.steps) == ("last", 1)
    assert summary.gain is not None
    assert summary.gain.ap50 == pytest.approx(0, abs=0.02)
    rows = RunFolder(summary.run_dir).metrics.rows()
    assert [row["step"] for row in rows] == [0, 1]
    assert rows[0]["val_ap50"] == summary.gain.start_metrics["ap50"]
