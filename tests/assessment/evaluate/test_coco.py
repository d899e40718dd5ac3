"""Average precision against the reference implementation, without its limit of 100 boxes."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.helpers.table_metrics import evaluate_tables

SAMPLE = Path(__file__).parents[3] / "sample_data/neighbourhood.geojson"
CLASSES = ("pool", "tank", "car")
Float = NDArray[np.float64]


def reference(predicted: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> dict[str, list[float]]:
    """AP50, AP75 and AP50:95 of each class by pycocotools, all boxes in one image."""
    names = sorted({*predicted["class"], *truth["class"]})
    numbers = {name: number for number, name in enumerate(names, start=1)}

    def annotations(table: gpd.GeoDataFrame) -> list[dict[str, object]]:
        return [
            {
                "id": row + 1,
                "image_id": 1,
                "category_id": numbers[name],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
            }
            for row, (name, (x1, y1, x2, y2)) in enumerate(
                zip(table["class"], table.bounds.to_numpy().tolist(), strict=True)
            )
        ]

    predictions = annotations(predicted)
    for annotation, score in zip(predictions, predicted["score"].tolist(), strict=True):
        annotation["score"] = score
    ground_truth, results = COCO(), COCO()
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    with contextlib.redirect_stdout(io.StringIO()):
        for coco, rows in ((ground_truth, annotations(truth)), (results, predictions)):
            coco.dataset = {"images": [{"id": 1}], "categories": categories, "annotations": rows}
            coco.createIndex()
        evaluation = COCOeval(ground_truth, results, "bbox")
        evaluation.params.maxDets = [len(predictions) + 1]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e20]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 0].mean(axis=1)  # [IoU, class]
    precision = np.where(precision < 0, np.nan, precision)
    return {
        name: [precision[0, i], precision[5, i], precision[:, i].mean()]
        for i, name in enumerate(names)
    }


def assert_agrees(predicted: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> None:
    expected = reference(predicted, truth)
    metrics = evaluate_tables(predicted, truth, by_class=True)
    precisions = {
        result.class_name: [result.ap50, result.ap75, result.ap50_95] for result in metrics.classes
    }
    assert precisions.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(precisions[name], values, atol=1e-9, equal_nan=True)
    for name, column in (("ap50", 0), ("ap75", 1), ("ap50_95", 2)):
        defined = [values[column] for values in expected.values() if not math.isnan(values[column])]
        if defined:
            assert getattr(metrics.overall, name) == pytest.approx(np.mean(defined), abs=1e-9)


def pixel_layer(boxes: Float, names: list[str], scores: Float | None = None) -> gpd.GeoDataFrame:
    columns = {"class": names} | ({} if scores is None else {"score": scores})
    return gpd.GeoDataFrame(columns, geometry=shapely.box(*np.reshape(boxes, (-1, 4)).T))


# eighths are exact, so that both sides find the same IoU where it equals a threshold
eighth = st.integers(0, 160).map(lambda n: n / 8)
box = st.tuples(eighth, eighth, st.integers(1, 80), st.integers(1, 80)).map(
    lambda b: [b[0], b[1], b[0] + b[2] / 8, b[1] + b[3] / 8]
)
name = st.sampled_from(CLASSES)
named_box = st.tuples(box, name)
score = st.integers(1, 999).map(lambda n: n / 1000)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(named_box, score), min_size=1, max_size=25, unique_by=lambda row: row[1]),
    st.lists(named_box, min_size=1, max_size=15).map(sorted),
)
def test_random_boxes_have_the_precision_of_pycocotools(
    rows: list[tuple[tuple[list[float], str], float]], truth_rows: list[tuple[list[float], str]]
) -> None:
    predicted = pixel_layer(
        np.array([b for (b, _), _ in rows]),
        [n for (_, n), _ in rows],
        np.array([s for _, s in rows]),
    )
    assert_agrees(
        predicted, pixel_layer(np.array([b for b, _ in truth_rows]), [n for _, n in truth_rows])
    )


def noisy(boxes: Float, *, seed: int) -> tuple[Float, Float]:
    """Detections of most boxes, some of them twice, with errors, and false alarms."""
    rng = np.random.default_rng(seed)
    detected = boxes[rng.random(len(boxes)) < 0.9]
    detected = np.concatenate([detected, detected[rng.random(len(detected)) < 0.2]])
    sides = np.tile(detected[:, 2:] - detected[:, :2], 2)
    detected = detected + rng.normal(0, 0.08, detected.shape) * sides
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    corners = rng.uniform(low, high, (len(boxes) // 2, 2))
    false = np.concatenate([corners, corners + np.median(sides)], axis=1)
    predictions = np.concatenate([detected, false])
    scores = np.concatenate([rng.beta(4, 2, len(detected)), rng.beta(2, 4, len(false))])
    return predictions, scores


def test_a_dense_scene_is_not_cut_at_100_boxes() -> None:
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 400, (1500, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 15, (1500, 2))], axis=1)
    predictions, scores = noisy(boxes, seed=2)
    names = rng.choice(CLASSES, len(boxes)).tolist()
    predicted = pixel_layer(predictions, rng.choice(CLASSES, len(predictions)).tolist(), scores)
    truth = pixel_layer(boxes, names)
    assert_agrees(predicted, truth)
    capped = predicted.sort_values("score", ascending=False).head(100)
    whole = evaluate_tables(predicted, truth, by_class=False).overall.ap50
    assert evaluate_tables(capped, truth, by_class=False).overall.ap50 < whole / 2


def test_boxes_of_a_real_layer_have_the_precision_of_pycocotools() -> None:
    assert_agrees_on(gpd.read_file(SAMPLE).to_crs("EPSG:2154"))


def test_real_pools_have_the_precision_of_pycocotools(shared_data: Path) -> None:
    assert_agrees_on(gpd.read_file(shared_data / "pools/california_west.geojson"))


def assert_agrees_on(truth: gpd.GeoDataFrame) -> None:
    boxes = truth.bounds.to_numpy()
    predictions, scores = noisy(boxes, seed=3)
    assert_agrees(
        pixel_layer(predictions, ["pool"] * len(predictions), scores),
        pixel_layer(boxes, ["pool"] * len(boxes)),
    )
