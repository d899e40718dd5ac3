"""Calibration of the scores of a model on rasters with ground truth."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from shapely import box

import geodetect
from geodetect.errors import InputError, OutputError
from geodetect.model.file import load_card
from tests.conftest import Save
from tests.helpers.onnx_detectors import SCORE, paint_objects, write_painted_detector

SIDE, STEP = 15, 24
CENTRES = [(x + 0.5, y + 0.5) for y in range(12, 228, STEP) for x in range(12, 228, STEP)]
TRUE_OF_FOUR = 3  # of each four detections


@pytest.fixture
def scene(save: Save) -> Path:
    return save(paint_objects(240, 240, [(x, y, SIDE) for x, y in CENTRES]))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    source = write_painted_detector(tmp_path / "m.onnx", metadata={"names": "['small', 'large']"})
    geodetect.convert(source, source.with_suffix(".safetensors"))
    return source.with_suffix(".safetensors")


def truth_of(scene: Path, centres: list[tuple[float, float]]) -> gpd.GeoDataFrame:
    import rasterio

    with rasterio.open(scene) as dataset:
        transform, crs = dataset.transform, dataset.crs
    boxes = []
    for x, y in centres:
        left, top = transform * (x - SIDE / 2, y - SIDE / 2)
        right, bottom = transform * (x + SIDE / 2, y + SIDE / 2)
        boxes.append(box(left, bottom, right, top))
    return gpd.GeoDataFrame({"class": ["small"] * len(boxes)}, geometry=boxes, crs=crs)


def test_scores_become_the_fraction_of_true_positives(
    scene: Path, model: Path, tmp_path: Path
) -> None:
    truth = truth_of(scene, [c for i, c in enumerate(CENTRES) if i % 4 < TRUE_OF_FOUR])
    output = tmp_path / "calibrated.safetensors"
    card = geodetect.calibrate(model, scene, truth, output)
    assert load_card(output) == card
    scores = geodetect.predict(scene, output)["score"].to_numpy()
    assert len(scores) == len(CENTRES)
    np.testing.assert_allclose(scores, len(truth) / len(CENTRES), atol=0.02)
    assert card.metrics["ece_uncalibrated"] == pytest.approx(SCORE - 0.75, abs=0.02)
    assert card.metrics["ece"] < 0.02
    assert card.metrics["objects"] == len(truth)
    assert card.metrics["recall"] == 1
    assert card.conf < 0.75
    assert geodetect.predict(scene, output)["class"].eq("small").all()


@pytest.mark.filterwarnings("ignore:`conf`")
def test_a_calibration_is_put_on_top_of_the_one_before(
    scene: Path, model: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    geodetect.calibrate(model, scene, truth_of(scene, CENTRES[::4]), first, conf=0.2)
    assert load_card(first).conf == 0.2
    truth = truth_of(scene, [c for i, c in enumerate(CENTRES) if i % 4])
    geodetect.calibrate(first, scene, truth, second)
    scores = geodetect.predict(scene, second, conf=0.05)["score"].to_numpy()
    np.testing.assert_allclose(scores, len(truth) / len(CENTRES), atol=0.03)


def test_too_few_of_either_kind_are_an_error(scene: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"81 true and 0 false positives .* expected 20 of each"):
        geodetect.calibrate(model, scene, truth_of(scene, CENTRES), tmp_path / "x.safetensors")


def test_the_model_itself_is_not_replaced(scene: Path, model: Path) -> None:
    with pytest.raises(OutputError):
        geodetect.calibrate(model, scene, truth_of(scene, CENTRES[::2]), model, overwrite=True)
