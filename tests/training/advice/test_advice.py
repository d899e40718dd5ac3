"""Advice at the end of a training, from made-up figures: each rule both ways."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from geodetect.assessment.evaluate.bootstrap import Interval
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Raster
from geodetect.label_check.report import Finding
from geodetect.settings import TrainSettings
from geodetect.training.advice.advise import MOST, advise
from geodetect.training.advice.facts import Advice, TrainingFacts
from geodetect.training.validation.metrics import ValidationResult
from geodetect.training.validation.start import Gain
from tests.helpers.square_scenes import GSD_M, squares_image, write_raster
from tests.helpers.tiny_model import tiny_card
from tests.helpers.validations import grid_boxes, made_up_validation

SIDE = 1000
BOXES = grid_boxes(20, 20, step_px=50)  # squares of 4 m
GOOD = {"ap50": 0.93, "ap30": 0.95, "precision": 0.95, "recall": 0.95}
NOISE = (0.004, -0.003, 0.005, -0.006, 0.001, -0.002, 0.003, -0.004, 0.006, -0.001)
Boxes = NDArray[np.float64]


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Raster:
    folder = tmp_path_factory.mktemp("advice")
    return open_raster(write_raster(folder / "town.tif", squares_image(SIDE, [])))


def curve(ap50: Sequence[float], losses: Sequence[float] | None = None) -> list[dict[str, float]]:
    """Rows of a training of 100 steps a row, with a validation in every second one."""
    rows = []
    n_rows = 2 * len(ap50)
    losses = (
        np.interp(range(n_rows), np.linspace(0, n_rows, 5), [1, 0.7, 0.5, 0.45, 0.44])
        if losses is None
        else losses
    )
    for number in range(n_rows):
        value = ap50[number // 2] if number % 2 else math.nan
        loss = losses[number * len(losses) // n_rows]
        rows.append({"step": 100.0 * (number + 1), "loss": float(loss), "val_ap50": value})
    return rows


PLATEAU = [0.5, 0.7, 0.8, *(0.93 + noise for noise in NOISE)]


def topics(
    rows: Sequence[Mapping[str, float]] = (),
    result: ValidationResult | None = None,
    **changes: object,
) -> dict[str, str]:
    return {advice.topic: advice.text for advice in advice_of(rows, result, **changes)}


def advice_of(
    rows: Sequence[Mapping[str, float]] = (),
    result: ValidationResult | None = None,
    *,
    metrics: Mapping[str, float] = GOOD,
    gain: Gain | None = None,
    class_objects: Mapping[str, int] | None = None,
    finest_gsd_m: float = GSD_M,
    findings: Sequence[Finding] = (),
    **settings: object,
) -> tuple[Advice, ...]:
    return advise(
        TrainingFacts(
            rows=rows,
            settings=TrainSettings.model_validate(settings),
            lr=8e-4,
            card=tiny_card(metrics=dict(metrics)),
            result=result,
            gain=gain,
            class_objects={"pool": 900} if class_objects is None else class_objects,
            finest_gsd_m=finest_gsd_m,
            findings=findings,
        )
    )


def test_nothing_is_said_of_a_training_that_went_well(raster: Raster) -> None:
    scattered = np.delete(BOXES, np.arange(7, len(BOXES), 40), axis=0)
    result = made_up_validation(raster, BOXES, scattered)
    assert advice_of(curve(PLATEAU), result) == ()
    assert advice_of([], None, metrics={}) == (), "nothing held out"


def test_a_curve_that_still_rises_asks_for_more_steps() -> None:
    rising = [0.2 + 0.03 * number + noise for number, noise in enumerate(NOISE)]
    text = topics(curve(rising))["length"]
    assert text.startswith("AP50 was still rising (0.383 at step 1,400, 0.469 at step 2,000)")
    assert text.endswith("about 2,000 more steps; set `steps` to 4000")
    assert topics(curve(rising), minutes=30)["length"].endswith("set `minutes` to 60")


@pytest.mark.parametrize(
    "ap50",
    [
        PLATEAU,
        [0.2, 0.4, 0.6],  # too few
        [0.2, 0.5, 0.3, 0.6, 0.2, 0.5, 0.3, 0.6],  # noise
        [0.2, 0.4, 0.6, 0.8, 0.800, 0.801, 0.802, 0.803],  # hardly
    ],
)
def test_a_curve_that_does_not_rise_does_not(ap50: list[float]) -> None:
    assert "length" not in topics(curve(ap50))


def test_a_curve_that_falls_while_the_loss_falls_is_overfitting() -> None:
    falling = [0.5, 0.7, 0.8, 0.82, 0.80, 0.77, 0.75, 0.74, 0.73, 0.72]
    text = topics(curve(falling))["overfitting"]
    assert text.startswith("AP50 fell from 0.820 at step 800 to 0.730 at the end while the loss")
    assert text.endswith("`augment` of 0.6")
    still = topics(curve(falling, losses=[0.6] * 20))
    assert "overfitting" not in still, "the loss did not fall"
    assert "overfitting" not in topics(curve(PLATEAU))


def test_a_loss_that_rises_asks_for_a_lower_learning_rate() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, 40)
    losses = np.concatenate([np.full(15, 0.8), np.full(25, 1.2)]) + noise
    text = topics(curve([0.5] * 20, losses=losses))["learning rate"]
    assert "the learning rate of 0.0008 is too high; set `lr` to 0.0003" in text
    assert "learning rate" not in topics(curve([0.5] * 20, losses=1 + 4 * noise))
    mined = topics(curve([0.5] * 20, losses=losses), mine_negatives=50)
    assert "learning rate" not in mined, "mined chips are harder"


def small_and_large(found_small: int, side_px: float) -> tuple[Boxes, Boxes]:
    """Objects of two sizes, and predictions of some of the small ones."""
    truth = BOXES.copy()
    small = np.arange(0, len(BOXES), 8)
    truth[small, 2:] = truth[small, :2] + side_px
    return truth, np.delete(truth, small[found_small:], axis=0)


def test_small_objects_that_are_missed_ask_for_finer_pixels(raster: Raster) -> None:
    truth, predicted = small_and_large(2, 7.0)
    result = made_up_validation(raster, truth, predicted)
    text = topics((), result)["sizes"]
    assert text.startswith("objects under 2 m are rarely found (2 of 50; of the larger ones 350")
    assert "the finest level a stride of 8; finer imagery, or a level of stride 4" in text
    assert "set `gsd` to 0.12" in text
    finer = topics((), result, finest_gsd_m=0.1)["sizes"]
    assert "the rasters are finer: set `gsd` to 0.12" in finer


def test_small_objects_that_are_found_ask_for_nothing(raster: Raster) -> None:
    truth, predicted = small_and_large(49, 7.0)
    assert "sizes" not in topics((), made_up_validation(raster, truth, predicted))


def test_large_objects_that_are_missed_ask_for_more_ground_in_view(raster: Raster) -> None:
    truth = grid_boxes(10, 10, step_px=100)
    truth[::5, 2:] = truth[::5, :2] + 90
    predicted = np.delete(truth, np.arange(0, 100, 5), axis=0)
    text = topics((), made_up_validation(raster, truth, predicted), tile_size=96)["sizes"]
    assert text.startswith("objects of at least ")
    assert "(0 of 20; of the smaller ones 80 of 80)" in text
    assert "set `tile_size` to 192" in text


def test_misses_that_crowd_together_are_placed(raster: Raster) -> None:
    in_corner = (BOXES[:, :2] < 190).all(axis=1)  # a block, about
    scattered = np.zeros(len(BOXES), bool)
    scattered[[50, 133, 217, 290, 366]] = True
    result = made_up_validation(raster, BOXES, BOXES[~(in_corner | scattered)])
    (advice,) = (a for a in advice_of((), result) if a.topic == "misses")
    assert advice.text.startswith(f"{in_corner.sum()} of {in_corner.sum() + 5} misses lie in one")
    assert advice.text.endswith("in town.tif: look at these labels first")
    (place,) = advice.places
    lon, lat = (9.0, 46.95)  # the zone's central meridian, at its origin
    assert (place.x, place.y) == pytest.approx((lon, lat), abs=0.01)
    assert advice.gain == pytest.approx(in_corner.mean(), rel=0.3)


def test_misses_that_are_scattered_are_not(raster: Raster) -> None:
    for seed in range(20):
        missed = np.random.default_rng(seed).random(len(BOXES)) < 0.2
        result = made_up_validation(raster, BOXES, BOXES[~missed])
        assert "misses" not in topics((), result)


def test_false_positives_that_crowd_together_may_be_objects(raster: Raster) -> None:
    in_corner = (BOXES[:, :2] < 190).all(axis=1)
    result = made_up_validation(raster, BOXES[~in_corner], BOXES)
    ground = Finding("warning", "empty ground", "60% of the ground is far from any label; are ...")
    text = topics((), result, findings=[ground])["false positives"]
    assert text.endswith("without a label (60% of the ground is far from any label)")
    assert "false positives" not in topics((), made_up_validation(raster, BOXES, BOXES))


def test_places_of_rasters_without_a_crs_are_in_pixels(tmp_path: Path) -> None:
    from geodetect.io.raster.reader import RasterOptions

    path = write_raster(tmp_path / "photo.tif", squares_image(SIDE, []), crs=None)
    plain = open_raster(path, RasterOptions(pixel_coords=True))
    in_corner = (BOXES[:, :2] < 190).all(axis=1)
    text = topics((), made_up_validation(plain, BOXES, BOXES[~in_corner]))["misses"]
    assert "around column 1" in text
    assert "of photo.tif" in text


def loose(offset: tuple[float, float], spread: float) -> Boxes:
    """Predictions that lie beside every tenth object."""
    boxes = BOXES.copy()
    beside = np.random.default_rng(0).normal(0, spread, (len(BOXES[::10]), 2)) + offset
    boxes[::10] += np.tile(beside, 2)
    return boxes


def test_boxes_that_are_off_are_told_from_misses(raster: Raster) -> None:
    metrics = GOOD | {"ap50": 0.8}
    shifted = topics((), made_up_validation(raster, BOXES, loose((7, 0), 0.3)), metrics=metrics)
    assert shifted["boxes"].startswith("40 of 40 misses are found, but the box is off (AP50 0.800")
    assert "it lies 1.8 m right of the label" in shifted["boxes"]
    boxes = BOXES.copy()
    boxes[::20] += [7, 0, 7, 0]
    boxes[10::20] += [-7, 0, -7, 0]
    text = topics((), made_up_validation(raster, BOXES, boxes), metrics=metrics)["boxes"]
    assert text.endswith("labels that follow the outline more closely help, and finer imagery")
    missing = made_up_validation(raster, BOXES, np.delete(BOXES, slice(None, None, 10), axis=0))
    assert "boxes" not in topics((), missing)


def test_classes_with_few_labels_are_named() -> None:
    metrics = GOOD | {"ap50 pool": 0.93, "ap50 tank": 0.41, "ap50 shed": 0.92}
    counts = {"pool": 900, "tank": 30, "shed": 60}
    (advice,) = advice_of(metrics=metrics, class_objects=counts)
    assert advice.text.startswith("tank has 30 labels to learn from and an AP50 of 0.410, pool 900")
    assert "`rasters`" in advice.text
    alone = topics(metrics={"ap50": 0.5}, class_objects={"tank": 60})
    assert alone["classes"] == (
        "tank has 60 labels to learn from and an AP50 of 0.500: label more, at least 100"
    )
    assert topics(metrics={"ap50": 0.9}, class_objects={"tank": 60}) == {}


def test_a_holdout_of_few_objects_has_its_interval(raster: Raster) -> None:
    few = BOXES[::20]
    text = topics((), made_up_validation(raster, few, few[:-4]))["holdout"]
    assert text.startswith("the figures rest on 20 held-out objects (AP50 0.930, 95 % interval 0.")
    assert text.endswith("set `val_share` to 0.4, or label more")
    named = topics((), made_up_validation(raster, few, few), val_aoi="area.gpkg")["holdout"]
    assert named.endswith("hold out more ground, or label more")


def new_gain(ap50: float, low: float, high: float) -> Gain:
    return Gain(
        "pools", {"ap50": 0.9}, {"ap50": 0.9 + ap50, "objects": 300}, ap50, Interval(low, high)
    )


def test_a_training_that_did_not_improve_its_start_says_so() -> None:
    worse = topics(gain=new_gain(-0.1, -0.15, -0.05))["start"]
    assert worse.startswith("the training made its start worse: AP50 0.800 against 0.900 of its")
    assert "difference -0.100, 95 % interval -0.150 to -0.050" in worse
    alike = topics(gain=new_gain(-0.01, -0.03, 0.01))["start"]
    assert alike.startswith("the training did not improve its start")
    assert topics(gain=new_gain(0.05, 0.02, 0.08)) == {}


def test_advice_is_ordered_by_its_gain_and_limited(raster: Raster) -> None:
    truth, predicted = small_and_large(0, 7.0)
    in_corner = (predicted[:, :2] < 190).all(axis=1)
    result = made_up_validation(raster, truth, predicted[~in_corner])
    rising = [0.2 + 0.03 * number + noise for number, noise in enumerate(NOISE)]
    metrics = GOOD | {"ap50 pool": 0.9, "ap50 tank": 0.3, "ap50 shed": 0.2, "ap50 barn": 0.1}
    counts = {"pool": 900, "tank": 30, "shed": 60, "barn": 9}
    advice = advice_of(curve(rising), result, metrics=metrics, class_objects=counts)
    gains = [item.gain for item in advice]
    assert len(advice) == MOST
    assert gains == sorted(gains, reverse=True)
    assert all("\n" not in item.text for item in advice)
