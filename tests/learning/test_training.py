"""From rasters and labels to a model file, and how good it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from geodetect.detection.detections import Detections
from geodetect.detection.network import NetworkDetector
from geodetect.errors import AnnotationError, GeoreferenceError, InputError, OutputError
from geodetect.io.raster import open_raster
from geodetect.learning.chips import Ground
from geodetect.learning.training import train
from geodetect.learning.validation import LEAST_CONF, validate
from geodetect.model.bundle import load_bundle, load_card
from geodetect.model.card import ModelCard
from geodetect.model.runtimes.pytorch import TorchRuntime
from geodetect.settings import TrainSettings
from tests.tiny import (
    GSD_M,
    SQUARE_PX,
    grid_corners,
    squares_image,
    tiny_card,
    tiny_network,
    weights_of,
    write_labels,
    write_raster,
)

SIDE = 384
CORNERS = grid_corners(SIDE)
BOXES = np.array([[x, y, x + SQUARE_PX, y + SQUARE_PX] for x, y in CORNERS], np.float64)
HELD = np.array([[0.0, 0, 150, 384]])
Settings = dict[str, object]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("training")
    raster = write_raster(folder / "scene.tif", squares_image(SIDE, CORNERS))
    return raster, write_labels(folder / "labels.geojson", BOXES.tolist())


def settings(**changes: object) -> TrainSettings:
    values = {"init": "none", "steps": 1, "batch_size": 1, "chip_px": 64, "device": "cpu"}
    return TrainSettings.model_validate(values | changes)


def ground(scene: tuple[Path, Path], held: NDArray[np.float64] = HELD) -> Ground:
    return Ground(open_raster(scene[0]), BOXES, np.zeros(len(BOXES), np.int64), held, GSD_M)


def perfect() -> NetworkDetector:
    card = tiny_card()
    return NetworkDetector(TorchRuntime(card, weights_of(tiny_network(card)), "cpu"), conf=0.05)


class Blind:
    """A detector that finds nothing."""

    card: ModelCard = tiny_card(conf=0.4)

    def __call__(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Detections]:
        empty = Detections.of(np.empty((0, 4)), np.empty(0), np.empty(0, np.int64))
        return [empty for _ in pixels]


def test_a_perfect_detector_is_measured_as_one(scene: tuple[Path, Path]) -> None:
    measured = validate(perfect(), [ground(scene)])
    assert measured is not None
    held = sum(x + SQUARE_PX / 2 <= 150 for x, _ in CORNERS)
    assert measured.metrics == {
        "objects": held, "ap50": 1, "ap50_95": 1, "f1": 1, "precision": 1, "recall": 1,
    }  # fmt: skip
    assert LEAST_CONF <= measured.conf <= 0.9902


def test_the_threshold_keeps_the_detections_that_it_was_chosen_for(
    scene: tuple[Path, Path],
) -> None:
    measured = validate(perfect(), [ground(scene)])
    assert measured is not None
    again = perfect()
    image = squares_image(128, [(4, 4)])[None]
    found = again(image, np.ones((1, 128, 128), bool))[0]
    assert found.scores.max() >= measured.conf


def test_missing_half_of_the_labels_costs_precision_and_not_recall(
    scene: tuple[Path, Path],
) -> None:
    half = ground(scene)
    fewer = Ground(half.raster, half.boxes[::2], half.labels[::2], half.held_out, GSD_M)
    measured = validate(perfect(), [fewer])
    assert measured is not None
    assert measured.metrics["recall"] == 1
    labelled, held = (sum(b[:, 0] + SQUARE_PX / 2 <= 150) for b in (fewer.boxes, BOXES))
    assert measured.metrics["precision"] == pytest.approx(labelled / held, abs=1e-4)


def test_a_detector_that_finds_nothing_has_no_precision_and_keeps_its_threshold(
    scene: tuple[Path, Path],
) -> None:
    measured = validate(Blind(), [ground(scene)])
    assert measured is not None
    assert measured.metrics["recall"] == measured.metrics["ap50"] == 0
    assert "precision" not in measured.metrics
    assert measured.conf == 0.4


def test_nothing_is_measured_without_held_out_ground(scene: tuple[Path, Path]) -> None:
    assert validate(perfect(), [ground(scene, np.empty((0, 4)))]) is None


def test_two_rasters_are_measured_together(scene: tuple[Path, Path]) -> None:
    once, twice = (validate(perfect(), [ground(scene)] * n) for n in (1, 2))
    assert once is not None
    assert twice is not None
    assert twice.metrics["objects"] == 2 * once.metrics["objects"]
    assert twice.metrics["ap50"] == 1


def test_train_gives_a_card_that_says_what_was_done(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "squares.safetensors"
    chosen = settings(
        val_share=0, description="Squares.", licence="CC0-1.0", data=("a drawing",), seed=4
    )
    card = train([scene[0]], [scene[1]], output, settings=chosen)
    assert card == load_card(output) == load_bundle(output)[0]
    assert card.classes == ("square",)
    assert card.object_size_m == pytest.approx((4, 4, 4), rel=0.01)
    assert card.gsd_m == pytest.approx(GSD_M, rel=0.01)
    assert card.training.objects == len(CORNERS)
    assert (card.training.licence, card.training.data) == ("CC0-1.0", ("a drawing",))
    assert card.training.settings["seed"] == 4
    assert {a.dtype for a in load_bundle(output)[1].values()} == {np.dtype(np.float16)}
    assert list(tmp_path.iterdir()) == [output]


def test_held_out_ground_can_be_named(scene: tuple[Path, Path], tmp_path: Path) -> None:
    area = write_labels(tmp_path / "area.geojson", HELD.tolist())
    chosen = settings(val_area=area, gsd=0.5)
    card = train([scene[0]], [scene[1]], tmp_path / "m.safetensors", settings=chosen)
    held = sum(x + SQUARE_PX / 2 <= 150 for x, _ in CORNERS)
    assert card.metrics["objects"] == held
    assert card.training.objects == len(CORNERS) - held
    assert card.training.settings["val_area"] == "area.geojson", "not where it lay"
    assert card.gsd_m == 0.5


def test_labels_of_several_files_give_several_classes(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    other = write_labels(tmp_path / "other.geojson", [(100, 100, 130, 130)], name="barn")
    output = tmp_path / "m.safetensors"
    card = train([scene[0]], [scene[1], other], output, settings=settings(val_share=0))
    assert card.classes == ("barn", "square")
    assert load_bundle(output)[1]["classification.output.bias"].shape == (2 * 9,)


def refused(
    scene: tuple[Path, Path], output: Path, error: type[Exception], **changes: object
) -> str:
    with pytest.raises(error) as caught:
        train([scene[0]], [scene[1]], output, settings=settings(**changes))
    assert "\n" not in str(caught.value)
    assert not output.exists()
    return str(caught.value)


def test_a_raster_without_crs_is_refused(scene: tuple[Path, Path], tmp_path: Path) -> None:
    plain = write_raster(tmp_path / "plain.tif", squares_image(64, []), crs=None)
    with pytest.raises(GeoreferenceError, match="--src-crs"):
        train([plain], [scene[1]], tmp_path / "m.safetensors", settings=settings())


def test_labels_beside_the_rasters_are_refused(scene: tuple[Path, Path], tmp_path: Path) -> None:
    far = write_labels(tmp_path / "far.geojson", [(9000, 9000, 9016, 9016)])
    with pytest.raises(AnnotationError, match="none of the 1 labels"):
        train([scene[0]], [far], tmp_path / "m.safetensors", settings=settings())


def test_an_unknown_start_is_refused(scene: tuple[Path, Path], tmp_path: Path) -> None:
    assert "--init" in refused(scene, tmp_path / "m.safetensors", InputError, init="giraffe")


def test_an_output_without_the_suffix_of_a_model_is_refused(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    assert ".safetensors" in refused(scene, tmp_path / "m.pth", OutputError)


def test_a_missing_folder_is_refused_before_any_work(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    assert "does not exist" in refused(scene, tmp_path / "no" / "m.safetensors", OutputError)


def test_an_area_that_holds_out_everything_is_refused(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    area = write_labels(tmp_path / "area.geojson", [(-50, -50, SIDE + 50, SIDE + 50)])
    message = refused(scene, tmp_path / "m.safetensors", AnnotationError, val_area=area)
    assert "--val-area" in message
