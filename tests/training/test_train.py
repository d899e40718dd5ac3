"""From rasters and labels to a model file, and how good it is."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from numpy.typing import NDArray

from geodetect.detection.detections import Detections
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.errors import (
    DivergenceError,
    GeoreferenceError,
    InputError,
    LabelError,
    OutputError,
)
from geodetect.io.raster.open_raster import open_raster
from geodetect.model.card import ModelCard
from geodetect.model.file import load_card, read_model_file
from geodetect.model.runtimes.torch import TorchRuntime
from geodetect.settings import TrainSettings
from geodetect.training import loop as loop_module
from geodetect.training import lr_finder
from geodetect.training.data.chip_sampler import Chip
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.learner import Learner, Losses
from geodetect.training.lr_schedule import learning_rate
from geodetect.training.run.folder import RunFolder
from geodetect.training.run.summary import TrainingSummary
from geodetect.training.train import train
from geodetect.training.validation import validator as validator_module
from geodetect.training.validation.metrics import MIN_SCORE, ValidationResult, validate
from geodetect.training.validation.resolution_range import CoarseImageryDetector
from tests.helpers.square_scenes import (
    GSD_M,
    SQUARE_PX,
    LabelledScene,
    grid_corners,
    labelled_scene,
    square_boxes,
    squares_image,
    write_labels,
    write_raster,
)
from tests.helpers.tiny_model import tiny_card, tiny_network, weights_of
from tests.helpers.training_rasters import training_raster

pytestmark = pytest.mark.usefixtures("no_stored_networks")

SIDE = 384
CORNERS = grid_corners(SIDE)
BOXES = square_boxes(CORNERS)
HELD = np.array([[0.0, 0, 150, 384]])
Settings = dict[str, object]


squares = labelled_scene(SIDE, CORNERS)


def settings(**changes: object) -> TrainSettings:
    values = {"init": "none", "steps": 1, "batch_size": 1, "tile_size": 64, "device": "cpu"}
    return TrainSettings.model_validate(values | changes)


def holdout_raster(squares: LabelledScene, held: NDArray[np.float64] = HELD) -> TrainingRaster:
    return training_raster(open_raster(squares.raster), BOXES, holdout=held)


def perfect() -> RetinaNetDetector:
    card = tiny_card()
    return RetinaNetDetector(TorchRuntime(card, weights_of(tiny_network(card)), "cpu"), conf=0.05)


class Blind:
    """A detector that finds nothing."""

    card: ModelCard = tiny_card(conf=0.4)

    def __call__(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Detections]:
        empty = Detections.from_arrays(np.empty((0, 4)), np.empty(0), np.empty(0, np.int64))
        return [empty for _ in pixels]


def test_a_perfect_detector_is_measured_as_one(squares: LabelledScene) -> None:
    measured = validate(perfect(), [holdout_raster(squares)])
    assert measured is not None
    held = sum(x + SQUARE_PX / 2 <= 150 for x, _ in CORNERS)
    expected = {"objects": held, "ap50": 1, "ap50_95": 1, "f1": 1, "precision": 1, "recall": 1}
    assert measured.metrics.items() >= expected.items()
    assert MIN_SCORE <= measured.conf <= 0.9902


def test_the_threshold_keeps_the_detections_that_it_was_chosen_for(
    squares: LabelledScene,
) -> None:
    measured = validate(perfect(), [holdout_raster(squares)])
    assert measured is not None
    again = perfect()
    image = squares_image(128, [(4, 4)])[None]
    detections = again(image, np.ones((1, 128, 128), bool))[0]
    assert detections.scores.max() >= measured.conf


def test_missing_half_of_the_labels_costs_precision_and_not_recall(
    squares: LabelledScene,
) -> None:
    half = holdout_raster(squares)
    fewer = training_raster(half.raster, half.boxes[::2], holdout=half.holdout)
    measured = validate(perfect(), [fewer])
    assert measured is not None
    assert measured.metrics["recall"] == 1
    labelled, held = (sum(b[:, 0] + SQUARE_PX / 2 <= 150) for b in (fewer.boxes, BOXES))
    assert measured.metrics["precision"] == pytest.approx(labelled / held, abs=1e-4)


def test_a_detector_that_finds_nothing_has_no_precision_and_keeps_its_threshold(
    squares: LabelledScene,
) -> None:
    measured = validate(Blind(), [holdout_raster(squares)])
    assert measured is not None
    assert measured.metrics["recall"] == measured.metrics["ap50"] == 0
    assert "precision" not in measured.metrics
    assert measured.conf == 0.4


def test_nothing_is_measured_without_held_out_ground(squares: LabelledScene) -> None:
    assert validate(perfect(), [holdout_raster(squares, np.empty((0, 4)))]) is None


def test_two_rasters_are_measured_together(squares: LabelledScene) -> None:
    once, twice = (validate(perfect(), [holdout_raster(squares)] * n) for n in (1, 2))
    assert once is not None
    assert twice is not None
    assert twice.metrics["objects"] == 2 * once.metrics["objects"]
    assert twice.metrics["ap50"] == 1


def test_train_gives_a_card_that_says_what_was_done(squares: LabelledScene, tmp_path: Path) -> None:
    output = tmp_path / "squares.safetensors"
    chosen = settings(
        val_share=0, description="Squares.", licence="CC0-1.0", data_source=("a drawing",), seed=4
    )
    summary = train(squares.raster, squares.labels, output, settings=chosen)
    card = summary.card
    assert summary.output == output
    assert card == load_card(output) == read_model_file(output)[0]
    assert card.classes == ("square",)
    assert card.object_size_m == pytest.approx((4, 4, 4), rel=0.01)
    assert card.gsd_m == pytest.approx(GSD_M, rel=0.01)
    assert card.training.objects == len(CORNERS)
    assert (card.training.licence, card.training.data) == ("CC0-1.0", ("a drawing",))
    assert card.training.settings["seed"] == 4
    assert {a.dtype for a in read_model_file(output)[1].values()} == {np.dtype(np.float16)}
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert names == {
        "squares.safetensors",
        "squares_run",
        "squares_run/labels.json",
        "squares_run/metrics.csv",
        "squares_run/settings.toml",
        "squares_run/split.geojson",
        "squares_run/summary.json",
    }


def test_held_out_ground_can_be_named(squares: LabelledScene, tmp_path: Path) -> None:
    area = write_labels(tmp_path / "area.geojson", HELD.tolist())
    chosen = settings(val_aoi=area, gsd=0.5, check=False)  # at which the squares are too small
    card = train(
        [squares.raster], [squares.labels], tmp_path / "m.safetensors", settings=chosen
    ).card
    held = sum(x + SQUARE_PX / 2 <= 150 for x, _ in CORNERS)
    assert card.metrics["objects"] == held
    assert card.training.objects == len(CORNERS) - held
    assert card.training.settings["val_aoi"] == "area.geojson", "not where it lay"
    assert card.gsd_m == 0.5


def test_labels_of_several_files_give_several_classes(
    squares: LabelledScene, tmp_path: Path
) -> None:
    other = write_labels(tmp_path / "other.geojson", [(100, 100, 130, 130)], name="barn")
    output = tmp_path / "m.safetensors"
    chosen = settings(val_share=0, check=False)  # one barn is too few for it
    card = train([squares.raster], [squares.labels, other], output, settings=chosen).card
    assert card.classes == ("barn", "square")
    assert read_model_file(output)[1]["classification.output.bias"].shape == (2 * 9,)


def training_error(
    squares: LabelledScene, output: Path, error: type[Exception], **changes: object
) -> str:
    with pytest.raises(error) as caught:
        train([squares.raster], [squares.labels], output, settings=settings(**changes))
    assert "\n" not in str(caught.value)
    assert not output.exists()
    assert not output.with_name(f"{output.stem}_run").exists()
    return str(caught.value)


def test_a_raster_without_crs_is_refused(squares: LabelledScene, tmp_path: Path) -> None:
    plain = write_raster(tmp_path / "plain.tif", squares_image(64, []), crs=None)
    with pytest.raises(GeoreferenceError, match=r"src.crs"):
        train([plain], [squares.labels], tmp_path / "m.safetensors", settings=settings())


def test_labels_beside_the_rasters_are_refused(squares: LabelledScene, tmp_path: Path) -> None:
    far = write_labels(tmp_path / "far.geojson", [(9000, 9000, 9016, 9016)])
    with pytest.raises(LabelError, match="none of the 1 labels"):
        train([squares.raster], [far], tmp_path / "m.safetensors", settings=settings())


def test_an_unknown_start_is_refused(squares: LabelledScene, tmp_path: Path) -> None:
    assert "`init`" in training_error(
        squares, tmp_path / "m.safetensors", InputError, init="giraffe"
    )


def test_an_output_without_the_suffix_of_a_model_is_refused(
    squares: LabelledScene, tmp_path: Path
) -> None:
    assert ".safetensors" in training_error(squares, tmp_path / "m.pth", OutputError)


def test_a_missing_folder_is_refused_before_any_work(
    squares: LabelledScene, tmp_path: Path
) -> None:
    assert "does not exist" in training_error(
        squares, tmp_path / "no" / "m.safetensors", OutputError
    )


def test_an_area_that_holds_out_everything_is_refused(
    squares: LabelledScene, tmp_path: Path
) -> None:
    area = write_labels(tmp_path / "area.geojson", [(-50, -50, SIDE + 50, SIDE + 50)])
    message = training_error(squares, tmp_path / "m.safetensors", LabelError, val_aoi=area)
    assert "`val_aoi`" in message


def test_an_area_beside_the_rasters_is_refused(squares: LabelledScene, tmp_path: Path) -> None:
    area = write_labels(tmp_path / "area.geojson", [(-900, -900, -800, -800)])
    message = training_error(squares, tmp_path / "m.safetensors", InputError, val_aoi=area)
    assert "touches none of the 1 rasters" in message


def folder_of(output: Path) -> RunFolder:
    return RunFolder.from_model_path(output)


def measured_train(
    squares: LabelledScene, output: Path, figures: list[float], **changes: object
) -> TrainingSummary:
    """Train with a validation after every step whose AP50 is given."""
    chosen = settings(val_aoi=held_area(output.parent), val_every=1, **changes)
    summary = train([squares.raster], [squares.labels], output, settings=chosen)
    assert [row["val_ap50"] for row in folder_of(output).metrics.rows()] == figures
    return summary


def held_area(folder: Path) -> Path:
    path = folder / "held.geojson"
    return path if path.exists() else write_labels(path, HELD.tolist())


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Average precisions that the validations of a training will find, one after the other."""
    planned: list[float] = []
    real, count = validator_module.validate, iter(range(100))

    def measure(detector: Detector, rasters: list[TrainingRaster]) -> ValidationResult | None:
        result = real(detector, rasters)
        assert result is not None
        if isinstance(detector, CoarseImageryDetector):  # for the card, at the end
            return result
        return replace(result, metrics=result.metrics | {"ap50": planned[next(count)]})

    monkeypatch.setattr(validator_module, "validate", measure)
    return planned


def test_the_best_state_is_written_or_the_last_if_asked_for(
    squares: LabelledScene, tmp_path: Path, figures: list[float]
) -> None:
    figures += [0.1, 0.7, 0.4, 0.1, 0.7, 0.4]
    best, last = tmp_path / "best.safetensors", tmp_path / "last.safetensors"
    summary = measured_train(squares, best, figures[:3], steps=3)
    card = summary.card
    assert (card.metrics["ap50"], card.training.steps) == (0.7, 2)
    assert (summary.kept_state, summary.kept_step) == ("best", 2)
    assert (summary.best_ap50, summary.steps) == (0.7, 3)
    assert summary.validations == 3
    summary = measured_train(squares, last, figures[3:], steps=3, keep="last")
    card = summary.card
    assert (card.metrics["ap50"], card.training.steps) == (0.4, 3)
    assert (summary.kept_state, summary.kept_step) == ("last", 3)
    key = "classification.output.weight"
    assert (read_model_file(best)[1][key] != read_model_file(last)[1][key]).any()
    layers = gpd.list_layers(folder_of(best).path / "validation.gpkg")
    assert set(layers["name"]) >= {"detections", "truth"}


def test_patience_ends_a_training_early(
    squares: LabelledScene, tmp_path: Path, figures: list[float]
) -> None:
    figures += [0.3, 0.2, 0.1]
    output = tmp_path / "m.safetensors"
    summary = measured_train(squares, output, figures, steps=50, patience=2)
    assert (summary.steps, summary.stopped_early, summary.kept_step) == (3, True, 1)
    assert summary.card.training.steps == 1


def spoil_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the weights become infinite before a step."""
    real = Learner.train_step

    def learn(self: Learner, chips: list[Chip], rate: float) -> Losses:
        if self.steps == step:
            self.network.classification.output.weight.data.mul_(float("inf"))
        return real(self, chips, rate)

    monkeypatch.setattr(Learner, "train_step", learn)


def test_a_loss_that_is_no_number_leaves_the_best_model(
    squares: LabelledScene,
    tmp_path: Path,
    figures: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures += [0.6, 0.2]
    spoil_at(monkeypatch, 2)
    output = tmp_path / "m.safetensors"
    with pytest.raises(DivergenceError, match=r"at step 2; .*`lr`.*step 1, AP50 0\.600.*written"):
        measured_train(squares, output, [], steps=9)
    card, weights = read_model_file(output)
    assert (card.training.steps, card.metrics["ap50"]) == (1, 0.6)
    assert all(np.isfinite(array).all() for array in weights.values())
    assert folder_of(output).checkpoint.exists()


def test_a_loss_that_is_no_number_before_any_validation_leaves_the_checkpoint(
    squares: LabelledScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "m.safetensors"
    spoil_at(monkeypatch, 1)
    with pytest.raises(DivergenceError, match="no checkpoint was written yet"):
        train([squares.raster], [squares.labels], output, settings=settings(steps=9, val_share=0))
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(DivergenceError, match=r"good checkpoint is .*checkpoint\.pt"):
        train(
            [squares.raster],
            [squares.labels],
            output,
            settings=settings(steps=9, val_share=0),
            overwrite=True,
        )
    assert not output.exists()
    assert folder_of(output).checkpoint.exists()


def test_a_best_state_from_before_a_training_was_cut_off_is_measured_again(
    squares: LabelledScene, tmp_path: Path, figures: list[float]
) -> None:
    figures += [0.8, 0.1, 0.8]
    output = tmp_path / "m.safetensors"
    chosen = settings(val_aoi=held_area(tmp_path), val_every=1, steps=2)
    labels = [squares.labels]

    def stop(completed: int, total: int, /, **values: float) -> None:
        if completed == 2:
            raise RuntimeError  # no interrupt, which would write a checkpoint

    with pytest.raises(RuntimeError):
        train([squares.raster], labels, output, settings=chosen, progress=stop)
    figures[1:1] = [0.1]  # step 2 is done again
    card = train([squares.raster], labels, output, settings=chosen, resume=True).card
    assert (card.metrics["ap50"], card.training.steps) == (0.8, 1)
    assert (folder_of(output).path / "validation.gpkg").exists()


@pytest.mark.filterwarnings("ignore:rasters show the same ground")
@pytest.mark.parametrize("change", ["a raster more", "a label less", "other ground held out"])
def test_a_training_goes_on_with_the_ground_that_it_began_with_only(
    squares: LabelledScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    sheets, area = tmp_path / "sheets", held_area(tmp_path)
    sheets.mkdir()
    shutil.copy(squares.raster, sheets / "a.tif")
    labels, output = (
        shutil.copy(squares.labels, tmp_path / "labels.geojson"),
        tmp_path / "m.safetensors",
    )
    chosen = settings(val_aoi=area, steps=2)

    def stop(completed: int, total: int, /, **values: float) -> None:
        if completed == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"`resume`"):
        train(sheets, labels, output, settings=chosen, progress=stop)
    if change == "a raster more":
        shutil.copy(squares.raster, sheets / "b.tif")
    elif change == "a label less":
        gpd.read_file(labels)[1:].to_file(labels)
    else:
        gpd.read_file(area).scale(0.7, 0.7).to_file(area)
    with pytest.raises(InputError, match="on other rasters, labels or holdout"):
        train(sheets, labels, output, settings=chosen, resume=True)
    assert folder_of(output).checkpoint.exists()


def test_the_learned_ground_and_the_label_check_are_in_the_run_folder(
    squares: LabelledScene, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    train(
        [squares.raster],
        [squares.labels],
        tmp_path / "m.safetensors",
        settings=settings(),
        run_dir=folder,
    )
    split = gpd.read_file(folder / "split.geojson")
    assert set(split.role) == {"train", "validation"}
    assert split.objects.sum() == len(CORNERS)
    assert json.loads((folder / "labels.json").read_text())["labels_on_imagery"] == len(CORNERS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "m.safetensors"]


def test_a_run_folder_with_something_in_it_is_not_used_unasked(
    squares: LabelledScene, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="`run_dir`"):
        train(
            [squares.raster],
            [squares.labels],
            tmp_path / "m.safetensors",
            settings=settings(),
            run_dir=folder,
        )
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_learning_rate_that_is_found_is_in_the_card_and_kept_when_resumed(
    squares: LabelledScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lr_finder, "STEPS", 4)
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    output = tmp_path / "m.safetensors"
    chosen = settings(lr="auto", steps=3, val_share=0)
    rates: list[float] = []

    def stop(completed: int, total: int, /, **values: float) -> None:
        rates.append(values["lr"])
        if completed == 2 and len(rates) == 2:
            raise RuntimeError  # no interrupt, which would write a checkpoint

    with pytest.raises(RuntimeError):
        train([squares.raster], [squares.labels], output, settings=chosen, progress=stop)
    labels = [squares.labels]
    summary = train([squares.raster], labels, output, settings=chosen, resume=True, progress=stop)
    lr = summary.card.training.settings["lr"]
    assert isinstance(lr, float)
    assert lr == summary.lr
    assert 1e-6 <= lr <= 1e-2
    assert rates[1] == rates[2], "step 2 is done again, at the same rate"
    assert rates[2] == pytest.approx(lr * learning_rate(2 / 3))


def test_a_training_on_outlines_writes_a_model_that_draws_them(
    squares: LabelledScene, tmp_path: Path
) -> None:
    """One step suffices to see that the parts fit; what the head learns is tested with it."""
    table = gpd.read_file(squares.labels)
    discs = table.set_geometry(table.centroid.buffer(SQUARE_PX * GSD_M / 2))
    discs.to_file(tmp_path / "discs.gpkg")
    out = tmp_path / "m.safetensors"
    train(squares.raster, tmp_path / "discs.gpkg", out, settings=settings(), overwrite=True)
    card, weights = read_model_file(out)
    assert card.network is not None
    assert card.network.outline is not None
    assert any(name.startswith("outline.") for name in weights)
    rows = (tmp_path / "m_run/metrics.csv").read_text(encoding="utf-8").splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert float(last["outline_loss"]) > 0
    runtime = TorchRuntime(card, weights, "cpu", outlines=True)
    detections = RetinaNetDetector(runtime, conf=0.0, max_boxes_per_px=1e-3)(
        squares_image(64, [(20, 20)])[None], np.ones((1, 64, 64), bool)
    )[0]
    assert len(detections)
    assert detections.has_outlines or not len(detections.boxes[detections.scores > 0.5])
    plain = tmp_path / "plain.safetensors"
    train(squares.raster, squares.labels, plain, settings=settings())
    without_head = load_card(plain).network
    assert without_head is not None
    assert without_head.outline is None
