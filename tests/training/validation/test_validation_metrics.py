"""Results of a validation, their calibration and their layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from numpy.typing import NDArray

from geodetect.detection.detectors.detector import CallableDetector
from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.errors import OutputError
from geodetect.io.raster.open_raster import open_raster
from geodetect.model.card import Calibration, ModelCard
from geodetect.model.runtimes.torch import TorchRuntime
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.validation.metrics import MIN_SCORE, ValidationResult, validate
from tests.helpers.raster_server import serve_rasters
from tests.helpers.square_scenes import (
    GSD_M,
    SQUARE_PX,
    grid_corners,
    square_boxes,
    squares_image,
    write_raster,
)
from tests.helpers.tiny_model import tiny_card, tiny_network, weights_of
from tests.helpers.training_rasters import training_raster

SIDE = 512
CORNERS = grid_corners(SIDE)
BOXES = square_boxes(CORNERS)
COUNT = len(BOXES)
EVERYTHING = np.array([[0.0, 0, SIDE, SIDE]])
Boxes = NDArray[np.float64]
NewRaster = Callable[..., TrainingRaster]


@pytest.fixture
def new_raster(tmp_path: Path) -> NewRaster:
    def make(
        boxes: Boxes = BOXES,
        labels: NDArray[np.int64] | None = None,
        *,
        name: str = "scene.tif",
        crs: str = "EPSG:32632",
    ) -> TrainingRaster:
        raster = open_raster(write_raster(tmp_path / name, squares_image(SIDE, CORNERS), crs=crs))
        return training_raster(raster, boxes, class_ids=labels, holdout=EVERYTHING)

    return make


def network_detector(card: ModelCard, conf: float | None = MIN_SCORE) -> RetinaNetDetector:
    weights = weights_of(tiny_network(tiny_card()))
    return RetinaNetDetector(TorchRuntime(card, weights, "cpu"), conf=conf)


def scripted_detector(
    boxes: Boxes, scores: object, labels: object, classes: tuple[str, ...] = ("a",)
) -> CallableDetector:
    """A detector with given predictions in one tile."""
    return CallableDetector(lambda _: (boxes, scores, labels), classes, tile_px=SIDE)


def validate_tied_scores(new_raster: NewRaster) -> ValidationResult:
    """Of two detections with the same score one is right: no tile edge cuts any."""
    result = validate(network_detector(tiny_card(tile_px=SIDE)), [new_raster(BOXES[::2])])
    assert result is not None
    return result


def test_calibrated_scores_are_the_share_of_right_detections(new_raster: NewRaster) -> None:
    result = validate_tied_scores(new_raster)
    right = (COUNT + 1) // 2 / COUNT
    assert result.prediction_table["score"].to_numpy() == pytest.approx(
        np.full(COUNT, right), abs=0.01
    )
    assert (result.prediction_table["raw_score"] > 0.95).all()
    assert result.metrics["ece"] < 0.01
    assert result.metrics["ece_uncalibrated"] > 0.45
    assert MIN_SCORE < result.conf <= result.prediction_table["score"].max()


def test_a_model_with_the_calibrated_card_gives_the_scores_that_were_measured(
    new_raster: NewRaster,
) -> None:
    result = validate_tied_scores(new_raster)
    card = result.add_to_card(tiny_card(tile_px=SIDE))
    assert card.calibration == result.calibration is not None
    assert (card.conf, card.metrics) == (result.conf, result.metrics)
    again = validate(network_detector(card, conf=None), [new_raster(BOXES[::2])])
    assert again is not None
    scores = again.prediction_table["score"].to_numpy()
    assert scores == pytest.approx(result.prediction_table["score"].to_numpy(), abs=1e-4)
    assert again.metrics.items() <= result.metrics.items()
    assert again.conf == result.conf


def test_a_calibration_on_the_card_is_measured_and_not_fitted_again(new_raster: NewRaster) -> None:
    calibration = Calibration(slope=(1.0,), intercept=(-3.0,))
    result = validate(
        network_detector(tiny_card(calibration=calibration)), [new_raster(BOXES[::2])]
    )
    assert result is not None
    assert result.calibration == calibration
    assert "ece_uncalibrated" not in result.metrics
    score = result.prediction_table["score"].mean()
    assert result.metrics["ece"] == pytest.approx(score - 0.5, abs=0.01)


def test_few_detections_leave_scores_as_they_are(new_raster: NewRaster) -> None:
    result = validate(network_detector(tiny_card()), [new_raster()])  # none is wrong
    assert result is not None
    assert result.calibration is None
    assert "ece_uncalibrated" not in result.metrics
    assert result.add_to_card(tiny_card()).calibration is None
    assert result.prediction_table["score"].equals(result.prediction_table["raw_score"])


def test_the_tables_say_what_found_what(new_raster: NewRaster) -> None:
    detector = scripted_detector(
        np.concatenate([BOXES[:3], BOXES[[3]] + 200.5]), [0.9, 0.8, 0.7, 0.6], [0] * 4
    )
    labelled = new_raster(BOXES[[2, 0, 5]])
    result = validate(detector, [labelled])
    assert result is not None
    detections = result.prediction_table.set_index("score")
    assert detections["tp"].to_dict() == {0.9: True, 0.8: False, 0.7: True, 0.6: False}
    assert result.truth_table["matched_score"].round(3).tolist()[:2] == [0.9, 0.7]
    assert np.isnan(result.truth_table["matched_score"][2])
    assert (
        set(result.truth_table["raster"]) == set(result.prediction_table["raster"]) == {"scene.tif"}
    )
    assert set(result.truth_table["source"]) == {str(Path(labelled.raster.path).resolve())}
    assert result.truth_table.area.tolist() == pytest.approx([(SQUARE_PX * GSD_M) ** 2] * 3)


def test_the_tables_name_a_raster_on_a_server_without_secrets(
    new_raster: NewRaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    new_raster()
    detector = scripted_detector(BOXES[:1], [0.9], [0])
    with serve_rasters(tmp_path, tmp_path / "requests.log") as server:
        raster = open_raster(f"{server.url}/scene.tif?sig=S3CR3T")
        result = validate(detector, [training_raster(raster, BOXES[:1], holdout=EVERYTHING)])
    assert result is not None
    for table in (result.truth_table, result.prediction_table):
        assert table["source"].tolist() == [f"{server.url}/scene.tif"]


def test_what_lies_on_objects_that_are_cut_off_is_neither_right_nor_wrong(
    new_raster: NewRaster,
) -> None:
    """A raster shows 2 of 20 px of one object; another detector sees it all the same."""
    cut = [[SIDE - 2.0, 100, SIDE + 18, 120]]
    boxes = [[SIDE - 2.0, 100, SIDE, 120]]
    alarm = [[SIDE - 40.0, 300, SIDE - 20, 320]]
    detector = scripted_detector(
        np.concatenate([BOXES[:2], boxes, alarm]), [0.9, 0.8, 0.7, 0.6], [0] * 4
    )
    result = validate(detector, [new_raster(np.concatenate([BOXES[:2], cut]))])
    assert result is not None
    assert result.metrics["objects"] == 2
    assert result.prediction_table["score"].tolist() == [0.9, 0.8, 0.6]
    assert result.prediction_table["tp"].tolist() == [True, True, False]


def test_several_classes_have_an_average_precision_each(new_raster: NewRaster) -> None:
    truth = np.tile([0, 1], COUNT)[:COUNT]
    said = np.where(np.arange(COUNT) % 4 == 1, 0, truth)  # every other "b" is called "a"
    result = validate(
        scripted_detector(BOXES, np.linspace(0.9, 0.3, COUNT), said, ("a", "b")),
        [new_raster(labels=truth)],
    )
    assert result is not None
    assert result.metrics["ap50 b"] == pytest.approx(0.5, abs=0.02)
    assert 0.5 < result.metrics["ap50 a"] < 1
    assert set(result.truth_table["class"]) == {"a", "b"}
    assert result.truth_table["matched_score"].isna().sum() == (said != truth).sum()


def test_one_class_needs_no_figures_of_its_own(new_raster: NewRaster) -> None:
    assert not [
        name for name in validate_tied_scores(new_raster).metrics if name.startswith("ap50 ")
    ]


def test_a_validation_is_written_as_layers_for_a_gis(new_raster: NewRaster, tmp_path: Path) -> None:
    result = validate_tied_scores(new_raster)
    path = result.write(tmp_path)
    assert path == tmp_path / "validation.gpkg"
    assert {name for name, _ in pyogrio.list_layers(path)} >= {"detections", "truth"}
    for name, table in (("detections", result.prediction_table), ("truth", result.truth_table)):
        again = gpd.read_file(path, layer=name)
        assert len(again) == len(table)
        assert set(table.columns) <= set(again.columns)
        assert again.crs == "EPSG:32632"
    assert gpd.read_file(path, layer="detections")["tp"].sum() == (COUNT + 1) // 2


def test_a_validation_is_written_again_only_if_it_may(
    new_raster: NewRaster, tmp_path: Path
) -> None:
    result = validate_tied_scores(new_raster)
    result.write(tmp_path)
    result.write(tmp_path)
    with pytest.raises(OutputError, match="already exists"):
        result.write(tmp_path, overwrite=False)


def test_a_validation_without_detections_is_written_too(
    new_raster: NewRaster, tmp_path: Path
) -> None:
    result = validate(scripted_detector(np.empty((0, 4)), [], []), [new_raster()])
    assert result is not None
    path = result.write(tmp_path)
    assert len(gpd.read_file(path, layer="detections")) == 0
    assert gpd.read_file(path, layer="truth")["matched_score"].isna().all()


def test_rasters_on_several_maps_come_together_on_the_first(new_raster: NewRaster) -> None:
    rasters = [new_raster(name="a.tif"), new_raster(name="b.tif", crs="EPSG:32633")]
    result = validate(network_detector(tiny_card()), rasters)
    assert result is not None
    assert result.prediction_table.crs == result.truth_table.crs == "EPSG:32632"
    assert result.truth_table["raster"].value_counts().to_dict() == {
        "a.tif": COUNT,
        "b.tif": COUNT,
    }
    assert result.truth_table["matched_score"].notna().all()
    middles = result.truth_table.centroid.x.groupby(result.truth_table["raster"]).mean()
    assert middles["b.tif"] - middles["a.tif"] > 300_000  # a zone further east
