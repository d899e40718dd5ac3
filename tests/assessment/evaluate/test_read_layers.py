from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geodetect.assessment.evaluate.read_layers import read_predictions, read_truth
from geodetect.errors import GeodetectWarning, InputError, LabelError
from geodetect.io.vector.write import write
from tests.helpers.layers import CRS, ORIGIN_M, square_layer

X, Y = ORIGIN_M


def row_of_squares(count: int = 3, **columns: object) -> gpd.GeoDataFrame:
    return square_layer(*((20 * i, 0) for i in range(count)), **columns)


@pytest.mark.parametrize(
    "suffix", [".geojson", ".gpkg", ".fgb", ".parquet", ".shp", ".csv", ".geojsonl"]
)
def test_every_format_that_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    table = row_of_squares(**{"class": ["pool", "tank", "pool"], "score": [0.9, 0.5, 0.25]})
    path = write(table, tmp_path / f"found{suffix}")
    predictions = read_predictions(path, crs=CRS if suffix == ".csv" else None)
    by_score = predictions.sort_values("score", ascending=False)
    assert by_score["score"].tolist() == [0.9, 0.5, 0.25]
    assert by_score["class"].tolist() == ["pool", "tank", "pool"]
    on_map = by_score.to_crs(CRS)
    assert shapely.hausdorff_distance(on_map.geometry.to_numpy(), table.geometry).max() < 0.01


@pytest.mark.parametrize("name", ["score", "Score", "Confidence", "conf", "PROBABILITY"])
def test_scores_of_other_programs_are_found(name: str) -> None:
    predictions = read_predictions(row_of_squares(**{name: [90, 50, 20]}))
    assert predictions["score"].tolist() == [90, 50, 20]
    assert "score" in predictions


def test_a_column_of_scores_can_be_named() -> None:
    table = row_of_squares(score=[0.1, 0.2, 0.3], quality=["0.9", "0.8", "0.7"])
    assert read_predictions(table, score_field="Quality")["score"].tolist() == [0.9, 0.8, 0.7]
    with pytest.raises(InputError, match=r"no column 'sure', only score, quality.*`score_field`"):
        read_predictions(table, score_field="sure")


@pytest.mark.parametrize(
    "texts", [["0.9", "0.5", "0.25"], ["90%", "50 %", " 25% "], ["0,9", "0,5", "0,25"]]
)
def test_scores_that_are_texts_are_numbers(texts: list[str]) -> None:
    assert read_predictions(row_of_squares(score=texts))["score"].tolist() == [0.9, 0.5, 0.25]


def test_scores_that_are_missing_or_no_numbers_are_errors() -> None:
    with pytest.raises(InputError, match="1 of 3 rows have no score"):
        read_predictions(row_of_squares(score=[0.5, None, 0.7]))
    with pytest.raises(InputError, match=r"'score' holds no numbers.*`score_field`"):
        read_predictions(row_of_squares(score=["high", "low", "low"]))


def test_predictions_without_scores_stay_without() -> None:
    predictions = read_predictions(row_of_squares(label=["pool", None, "tank"]))
    assert "score" not in predictions
    assert predictions["class"].tolist() == ["pool", "object", "tank"]


def test_truth_is_taken_apart_as_training_takes_labels() -> None:
    a, b, c = row_of_squares().geometry
    bow = shapely.Polygon([(X, Y), (X + 9, Y + 9), (X + 9, Y), (X, Y + 9)])
    holed = a.difference(a.buffer(-2))
    rows = [
        shapely.MultiPolygon([b, c]),
        bow,
        holed,
        None,
        shapely.LineString([(X, Y), (X, Y + 1)]),
    ]
    table = gpd.GeoDataFrame({"name": list("mbhnl")}, geometry=rows, crs=CRS)
    with pytest.warns(GeodetectWarning, match=r"5 rows.*2 without an area.*1 crossing.*1 added"):
        truth = read_truth(table)
    assert truth["truth_row"].tolist() == [0, 0, 1, 2]
    assert truth["name"].tolist() == ["m", "m", "b", "h"]
    expected = [b.bounds, c.bounds, bow.bounds, a.bounds]
    np.testing.assert_allclose(truth.bounds.to_numpy(), expected)


def test_points_stay_points() -> None:
    points = row_of_squares().set_geometry(row_of_squares().centroid)
    assert read_truth(points).geom_type.unique().tolist() == ["Point"]
    several = gpd.GeoDataFrame(geometry=[shapely.MultiPoint([(X, Y), (X + 5, Y)])], crs=CRS)
    truth = read_truth(several)
    assert (truth.geom_type.tolist(), truth["truth_row"].tolist()) == (["Point", "Point"], [0, 0])


def test_lines_are_no_objects() -> None:
    lines = row_of_squares().set_geometry(row_of_squares().boundary)
    with pytest.raises(LabelError, match=r"nothing with an area \(LineString\).*`distance`"):
        read_truth(lines)


def test_several_layers_of_truth_are_one_in_the_crs_of_the_first(tmp_path: Path) -> None:
    first = write(row_of_squares(2, **{"class": ["a", "b"]}), tmp_path / "a.gpkg")
    second = write(
        row_of_squares(3).to_crs("EPSG:3857").assign(**{"class": "c"}), tmp_path / "b.fgb"
    )
    truth = read_truth([first, second])
    assert truth["class"].tolist() == ["a", "b", "c", "c", "c"]
    assert truth["truth_row"].tolist() == [0, 1, 0, 1, 2]
    assert truth.crs == CRS
    np.testing.assert_allclose(
        np.sort(truth.geometry.iloc[2:].centroid.x), [X + 5, X + 25, X + 45], atol=1e-3
    )


def test_truth_with_and_without_classes_does_not_go_together() -> None:
    named, unnamed = row_of_squares(2, label=["a", "b"]), row_of_squares(2).to_crs("EPSG:3857")
    for tables in ([named, unnamed], [unnamed, named]):
        with pytest.raises(LabelError, match=r"no column of classes.*`class_field`"):
            read_truth(tables)
    assert len(read_truth([named, unnamed[:0]])) == 2


def test_the_column_of_classes_can_be_named() -> None:
    table = row_of_squares(kind=["a", "b", "c"], label=["x", "y", "z"])
    assert read_truth(table)["class"].tolist() == ["x", "y", "z"]
    assert read_truth(table, class_field="kind")["class"].tolist() == ["a", "b", "c"]
    with pytest.raises(LabelError, match=r"no column 'sort'.*`class_field`"):
        read_truth(table, class_field="sort")


def test_a_column_that_holds_no_classes_is_none() -> None:
    table = row_of_squares(**{"class": [True, False, True], "score": [0.5, 0.6, 0.7]})
    for read in (read_truth, read_predictions):
        with pytest.warns(GeodetectWarning, match="no column is used for classes"):
            assert "class" not in read(table)


def test_a_file_without_crs_needs_one_named(tmp_path: Path) -> None:
    path = write(row_of_squares(crs=None, name=list("abc")), tmp_path / "found.gpkg")
    with pytest.raises(InputError, match=r"no coordinate reference system.*`pred_crs`"):
        read_predictions(path)
    with pytest.raises(LabelError, match=r"no coordinate reference system.*`truth_crs`"):
        read_truth(path)
    assert read_predictions(path, crs=CRS).crs == CRS
    assert read_truth(path, crs=CRS).crs == CRS


def test_reading_leaves_the_table_as_it_was() -> None:
    table = row_of_squares(Confidence=[1, 2, 3])
    read_predictions(table)
    read_truth(table)
    assert list(table.columns) == ["Confidence", "geometry"]
