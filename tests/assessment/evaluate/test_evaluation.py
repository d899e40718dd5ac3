from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import geodetect
from geodetect import EvaluateSettings, PredictSettings
from geodetect.assessment.evaluate.precision_recall import OperatingPoint
from geodetect.errors import GeodetectWarning, InputError, LabelError
from geodetect.io.vector.write import write
from tests.helpers import layers
from tests.helpers.layers import square_layer
from tests.helpers.square_scenes import (
    CRS,
    GSD_M,
    ORIGIN_M,
    grid_corners,
    squares_image,
    write_labels,
    write_raster,
)

Bytes = NDArray[np.uint8]
X, Y = layers.ORIGIN_M


def row_of(count: int) -> list[tuple[float, float]]:
    return [(30.0 * i, 0.0) for i in range(count)]


def evaluate(
    predicted: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, **settings: object
) -> geodetect.assessment.evaluate.result.Evaluation:
    return geodetect.evaluate(predicted, truth, EvaluateSettings(resamples=0, **settings))


def test_files_of_any_format_and_crs_give_the_same_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = rng.permutation(900)[:200]
    corners = np.stack(np.divmod(places, 30), axis=1) * 30.0
    truth = square_layer(*corners, **{"class": ["pool"] * 200})
    moved = corners[:160] + rng.normal(0, 1, (160, 2))
    predicted = square_layer(*moved, score=rng.uniform(size=160).round(4))
    expected = evaluate(predicted, truth).metrics.overall
    for name, crs in (("a.geojson", None), ("b.gpkg", "EPSG:3857"), ("c.shp", "EPSG:2154")):
        predictions = write(predicted, tmp_path / name, crs=crs)
        truth_path = write(truth, tmp_path / f"truth-{name}", crs=crs)
        overall = geodetect.evaluate(predictions, truth_path).metrics.overall
        assert overall.at_threshold.tp == expected.at_threshold.tp
        assert overall.ap50_95 == pytest.approx(expected.ap50_95, abs=0.01)


def test_without_conf_all_detections_count() -> None:
    predicted = square_layer(*row_of(3), score=[0.9, 0.5, 0.1])
    result = evaluate(predicted, square_layer(*row_of(2)))
    assert result.metrics.overall.at_threshold == OperatingPoint(0.1, 2, 1, 0)
    assert evaluate(predicted, square_layer(*row_of(2)), conf=0.5).metrics.score_threshold == 0.5


def test_a_picked_threshold_is_the_one_that_counts() -> None:
    predicted = square_layer(*row_of(4), score=[0.9, 0.8, 0.3, 0.2])
    result = evaluate(predicted, square_layer(*row_of(2)), pick_threshold="f1")
    assert result.picked == OperatingPoint(0.7, 2, 0, 0)
    assert result.metrics.overall.at_threshold == result.picked
    stated = evaluate(predicted, square_layer(*row_of(2)), pick_threshold="f1", conf=0.25)
    assert stated.picked == result.picked
    assert stated.metrics.overall.at_threshold == OperatingPoint(0.25, 2, 1, 0)


def test_detections_without_scores_are_equally_sure_and_said_to_be() -> None:
    result = evaluate(square_layer(*row_of(3)), square_layer(*row_of(2)))
    assert result.metrics.overall.at_threshold.tp == 2
    assert not result.has_scores
    assert "no scores" in result.caveats[0]
    with pytest.raises(InputError, match=r"no scores.*`score_field`.*`pick_threshold`"):
        evaluate(square_layer(*row_of(3)), square_layer(*row_of(2)), pick_threshold="count")


@pytest.mark.parametrize("crs", [CRS, "OGC:CRS84"])
def test_layers_that_lie_far_apart_are_an_error_with_their_distance(crs: str) -> None:
    far = square_layer((60_000, 0)).to_crs(crs)
    with pytest.raises(
        InputError, match=r"around lon 9\.763, lat 45.*lie 60 km apart.*`truth_crs`"
    ):
        evaluate(far, square_layer((0, 0)))


def test_layers_that_share_no_ground_but_are_near_are_compared_and_said_to_be() -> None:
    result = evaluate(square_layer((0, 0)), square_layer((0, 310)))
    assert result.metrics.overall.at_threshold == OperatingPoint(1.0, 0, 1, 1)
    assert any("share no ground: they are 300 m apart" in caveat for caveat in result.caveats)


def test_detections_that_all_lie_beside_their_objects_are_said_to() -> None:
    beside = square_layer(*[(x, y + 12) for x, y in row_of(5)], (0, -50), (120, 50))
    result = evaluate(beside, square_layer(*row_of(5), (0, -90), (120, 90)))
    assert "nearest detection to an object is 12.0 m away" in result.caveats[-1]


def test_detections_beyond_the_truth_are_said_to_be() -> None:
    result = evaluate(square_layer(*row_of(20)), square_layer(*row_of(10)))
    assert "10 of 20 detections lie outside the extent of the truth" in result.caveats[-1]
    assert not evaluate(square_layer(*row_of(10)), square_layer(*row_of(10))).caveats[1:]


def test_classes_that_are_not_compared_are_said_to_be() -> None:
    predictions = square_layer(*row_of(2), **{"class": ["basin"] * 2, "score": 0.01})
    result = evaluate(predictions, square_layer(*row_of(2), **{"class": ["pool"] * 2}))
    assert result.caveats == (
        "classes are not compared: predictions have basin, the truth has pool",
    )
    assert result.metrics.classes[0].class_name == "pool"
    unnamed = evaluate(predictions, square_layer(*row_of(2)))
    assert unnamed.caveats == ()
    assert unnamed.metrics.classes[0].class_name == "basin"


def test_classes_can_be_ignored() -> None:
    names = {"class": ["a", "b"]}
    result = evaluate(square_layer(*row_of(2), **names), square_layer(*row_of(2)[::-1], **names))
    assert result.metrics.overall.at_threshold.tp == 0
    ignored = evaluate(
        square_layer(*row_of(2), **names),
        square_layer(*row_of(2)[::-1], **names),
        ignore_classes=True,
    )
    assert ignored.metrics.overall.at_threshold.tp == 2


def test_an_average_precision_without_low_scores_is_said_to_be_a_lower_bound() -> None:
    truth = square_layer(*row_of(3))
    cut = evaluate(square_layer(*row_of(2), score=[0.9, 0.28]), truth)
    assert "the lowest score is 0.28" in cut.caveats[0]
    assert "average precision is a lower bound" in cut.caveats[0]
    assert cut.as_dict()["lowest_score"] == 0.28
    for scores in ([0.9, 0.02], [90, 28]):  # complete; percentages, of which nothing is known
        assert evaluate(square_layer(*row_of(2), score=scores), truth).caveats == ()
    assert evaluate(square_layer(*row_of(2)), truth).as_dict()["lowest_score"] is None


def test_empty_layers_are_compared_and_said_to_be() -> None:
    some, nothing = square_layer(*row_of(2), score=[0.5, 0.6]), square_layer().assign(score=[])
    missed = evaluate(nothing, some)
    assert missed.metrics.overall.at_threshold == OperatingPoint(0.0, 0, 0, 2)
    assert missed.caveats == ("there are no detections",)
    false = evaluate(some, nothing)
    assert false.metrics.overall.at_threshold == OperatingPoint(0.5, 0, 2, 0)
    assert false.caveats == ("there are no objects",)
    assert evaluate(nothing, nothing).caveats == ("there are no detections", "there are no objects")


def test_points_need_a_distance() -> None:
    truth = square_layer(*row_of(2))
    points = truth.set_geometry(truth.centroid)
    with pytest.raises(LabelError, match=r"no extent, as points have none.*`distance`"):
        evaluate(truth, points)
    assert evaluate(truth, points, distance=1).metrics.overall.at_threshold.f1 == 1


def test_an_area_in_any_crs_limits_what_counts(tmp_path: Path) -> None:
    truth, predicted = (
        square_layer(*row_of(6)),
        square_layer(*row_of(6), score=np.linspace(0.9, 0.4, 6)),
    )
    area = gpd.GeoDataFrame(geometry=[shapely.box(X - 5, Y - 5, X + 85, Y + 15)], crs=CRS)
    path = write(area, tmp_path / "area.geojson")
    result = evaluate(predicted, truth, aoi=path)
    assert result.metrics.overall.at_threshold == OperatingPoint(0.7, 3, 0, 0)
    assert result.metrics.truth_of.tolist() == [0, 1, 2, -2, -2, -2]
    assert "3 of 6 objects do not count" in result.caveats[-1]
    elsewhere = write(area.translate(0, 500).to_frame("geometry"), tmp_path / "elsewhere.geojson")
    with pytest.raises(InputError, match=r"none of 6 detections and 6 objects lies in `aoi`"):
        evaluate(predicted, truth, aoi=elsewhere)


def test_boxes_can_be_drawn_along_another_crs() -> None:
    predicted, truth = square_layer(*row_of(2)), square_layer(*row_of(2))
    assert evaluate(predicted, truth).grid_name == "WGS 84 / UTM zone 32N"
    along = evaluate(predicted, truth, crs="EPSG:2154")
    assert along.grid_name == "RGF93 v1 / Lambert-93"
    assert (
        along.layer_matches.layers.predictions.boxes[0, 2]
        - along.layer_matches.layers.predictions.boxes[0, 0]
        > 10
    )


def test_the_result_is_valid_json_with_nulls_for_what_is_undefined() -> None:
    rng = np.random.default_rng(1)
    corners = np.stack(np.divmod(np.arange(100), 10), axis=1) * 60.0
    predictions = square_layer(*corners[rng.random(100) < 0.8])
    settings = EvaluateSettings(resamples=100, distance=5, size_bins=(8,))
    scored = predictions.assign(score=rng.uniform(size=len(predictions)), **{"class": "pool"})
    values = geodetect.evaluate(scored, square_layer(*corners), settings).as_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert (values["distance_m"], values["iou"]) == (5, None)
    only = values["metrics_by_class"][0]
    assert only["class"] == "pool"
    large = only["by_size"][1]
    assert (large["low_m"], large["high_m"], large["truth"]) == (8, None, 100)
    assert (large["tp"], len(large["recall_interval"])) == (len(predictions), 2)
    assert only["ap50_interval"][0] < only["ap50"] < only["ap50_interval"][1]
    low, high = only["at_threshold"]["recall_interval"]
    assert low < only["at_threshold"]["recall"] < high
    empty = evaluate(predictions.iloc[:0], predictions.iloc[:0]).as_dict()
    assert json.loads(json.dumps(empty, allow_nan=False)) == empty
    assert empty["overall"]["ap50"] is None


@pytest.mark.parametrize("rule", ["best", "precision=2", "recall", "recall=0", "precision=nan", ""])
def test_a_rule_that_is_none_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="expected f1, count"):
        EvaluateSettings(pick_threshold=rule)


@pytest.mark.parametrize("sizes", [(4, 2), (0, 4), (-1,), (4, 4)])
def test_sizes_must_ascend(sizes: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        EvaluateSettings(size_bins=sizes)


def bright(image: Bytes) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Finds the squares of ``tiny``, surer of those further to the right in their tile."""
    corners = np.argwhere(
        (image[0] > 128) & (np.roll(image[0], 1, 0) < 128) & (np.roll(image[0], 1, 1) < 128)
    )
    x, y = corners[:, 1].astype(float), corners[:, 0].astype(float)
    boxes = np.stack([x, y, x + 16, y + 16], axis=1)
    return boxes, 0.1 + 0.8 * x / image.shape[2], np.zeros(len(x), np.int64)


def test_a_model_is_evaluated_on_rasters_where_there_is_imagery(tmp_path: Path) -> None:
    corners = grid_corners(192)
    raster = write_raster(tmp_path / "scene.tif", squares_image(192, corners))
    boxes = [(x, y, x + 16, y + 16) for x, y in [*corners, (400, 4), (4, 400)]]
    labels = write_labels(tmp_path / "labels.geojson", boxes)
    detector = geodetect.CallableDetector(bright, classes=("square",), gsd_m=GSD_M)
    detector.card = detector.card.model_copy(update={"conf": 0.5})
    settings = PredictSettings(tile_size=192, overlap=0)
    result = geodetect.evaluate_model(detector, raster, labels, predict_settings=settings)
    overall = result.metrics.overall
    assert (overall.n_truth, overall.n_predicted) == (len(corners), len(corners))
    assert overall.ap50_95 == 1
    assert result.metrics.score_threshold == detector.card.conf
    assert 0 < overall.at_threshold.tp < len(corners)  # the others are less sure
    assert any("2 of 18 objects do not count" in caveat for caveat in result.caveats)
    everything = EvaluateSettings(conf=0.05)
    low = geodetect.evaluate_model(detector, raster, labels, everything, predict_settings=settings)
    assert low.metrics.overall.at_threshold.recall == 1
    picked = EvaluateSettings(pick_threshold="recall=1")
    high = geodetect.evaluate_model(detector, raster, labels, picked, predict_settings=settings)
    assert high.metrics.overall.at_threshold.recall == 1


def test_a_model_is_evaluated_in_an_area(tmp_path: Path) -> None:
    corners = grid_corners(192)
    raster = write_raster(tmp_path / "scene.tif", squares_image(192, corners))
    labels = write_labels(tmp_path / "l.geojson", [(x, y, x + 16, y + 16) for x, y in corners])
    west = shapely.box(ORIGIN_M[0], ORIGIN_M[1] - 48, ORIGIN_M[0] + 24, ORIGIN_M[1])
    area = write(
        gpd.GeoDataFrame({"name": ["west"]}, geometry=[west], crs=CRS), tmp_path / "area.gpkg"
    )
    detector = geodetect.CallableDetector(bright, classes=("square",), gsd_m=GSD_M)
    settings = EvaluateSettings(aoi=area, conf=0.05)
    result = geodetect.evaluate_model(detector, raster, labels, settings)
    assert result.metrics.overall.n_truth == sum(x < 88 for x, _ in corners)
    assert result.metrics.overall.at_threshold.f1 == 1


def test_labels_beside_the_rasters_are_an_error(tmp_path: Path) -> None:
    raster = write_raster(tmp_path / "scene.tif", squares_image(192, []))
    labels = write_labels(tmp_path / "labels.geojson", [(400, 4, 416, 20)])
    detector = geodetect.CallableDetector(bright, classes=("square",), gsd_m=GSD_M)
    with pytest.raises(InputError, match=r"none of 0 detections and 1 objects lies on the imagery"):
        geodetect.evaluate_model(detector, raster, labels)


def test_rows_that_are_no_objects_are_left_out_with_a_warning() -> None:
    truth = square_layer(*row_of(3))
    truth.loc[1, "geometry"] = None
    with pytest.warns(GeodetectWarning, match="1 without an area left out"):
        result = evaluate(square_layer(*row_of(3)), truth)
    assert result.metrics.overall.n_truth == 2
    assert result.truth["truth_row"].tolist() == [0, 2]


tied_layer = st.tuples(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=14),
    st.integers(0, 1000),
)


@settings(max_examples=40, deadline=None)
@given(tied_layer, tied_layer, st.sampled_from([None, 4.0]))
def test_the_order_of_rows_changes_nothing_in_the_report(
    predicted_rows: tuple[list[tuple[int, int]], int],
    truth_rows: tuple[list[tuple[int, int]], int],
    distance: float | None,
) -> None:
    """Crowded squares with few distinct scores, so that there are ties of every kind."""
    tables = []
    for corners, seed in (predicted_rows, truth_rows):
        rng = np.random.default_rng(seed)
        columns = {"class": rng.choice(["pool", "Pool", "tank"], len(corners))}
        scores = rng.choice([0.3, 0.5, 0.9], len(corners))
        tables.append(square_layer(*corners, **columns, score=scores))
    truth = tables[1].drop(columns="score")
    options = EvaluateSettings(resamples=20, pick_threshold="f1", distance=distance, block_size=5.0)
    expected = geodetect.evaluate(tables[0], truth, options)
    mixed = [table.sample(frac=1, random_state=3) for table in (tables[0], truth)]
    result = geodetect.evaluate(*mixed, options)
    assert result.as_dict() == expected.as_dict()
    for name, table in expected.error_tables().items():
        assert len(result.error_tables()[name]) == len(table)


def test_the_order_of_many_rotated_boxes_does_not_change_the_grid() -> None:
    """Of more than 500 boxes a sample chooses the grid: half of these are rotated, half are not."""
    rng = np.random.default_rng(1)
    squares = square_layer(*rng.uniform(0, 5000, (600, 2)))
    squares.loc[::2, "geometry"] = squares.geometry[::2].rotate(3)
    reports = set()
    for seed in range(6):
        mixed = squares.sample(frac=1, random_state=seed)
        reports.add(json.dumps(evaluate(mixed, squares).as_dict()))
    assert len(reports) == 1


def scattered_layers(
    *, east_m: float = 0.0, growth: float = 1.0, noise_m: float = 0.3, count: int = 60
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Predictions of 10 m and their truth, which may be shifted or larger as a whole."""
    rng = np.random.default_rng(5)
    corners = rng.uniform(0, 40 * np.sqrt(count), (count, 2))
    predictions = square_layer(*corners, score=np.linspace(0.99, 0.01, count))
    moved = corners + rng.normal(0, noise_m, corners.shape) + np.array([east_m, 0])
    moved -= 5 * (growth - 1)
    return predictions, square_layer(*moved, side_m=10 * growth)


def test_truth_that_is_shifted_as_a_whole_is_named_with_its_cost() -> None:
    result = evaluate(*scattered_layers(east_m=-4.0))
    (caveat,) = result.caveats
    assert caveat.startswith("the truth lies about 4.0 m to the west of the predictions")
    assert "objects match, and 60 without this offset" in caveat
    assert "match centres with `distance` 5" in caveat
    assert evaluate(*scattered_layers(east_m=-4.0), distance=5).caveats == ()


def test_truth_of_points_may_be_shifted_too() -> None:
    predictions, truth = scattered_layers(east_m=4.0)
    points = truth.set_geometry(truth.centroid)
    (caveat,) = evaluate(predictions, points, distance=3).caveats
    assert "4.0 m to the east" in caveat
    assert evaluate(predictions, points, distance=5).caveats == ()


@pytest.mark.parametrize(
    ("growth", "text"),
    [
        (1.5, "the boxes of the truth are 1.5 times as wide and long as those of the predictions"),
        (1 / 1.5, "the boxes of the predictions are 1.5 times as wide and long as those of the"),
    ],
)
def test_boxes_of_other_sizes_are_named_with_the_iou_that_they_allow(
    growth: float, text: str
) -> None:
    caveat = evaluate(*scattered_layers(growth=growth)).caveats[-1]
    assert text in caveat
    assert "their IoU is about 0.4" in caveat
    assert "match with `iou` 0.2" in caveat


@pytest.mark.parametrize(("noise_m", "count"), [(0.1, 60), (1.5, 60), (1.5, 6), (1.0, 300)])
def test_inexact_truth_is_taken_neither_for_shifted_nor_for_loose(
    noise_m: float, count: int
) -> None:
    assert evaluate(*scattered_layers(noise_m=noise_m, count=count)).caveats == ()


def test_without_a_missed_object_average_precision_is_no_lower_bound() -> None:
    assert (
        evaluate(square_layer(*row_of(3), score=[0.6] * 3), square_layer(*row_of(3))).caveats == ()
    )
