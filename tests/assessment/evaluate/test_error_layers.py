from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

import geodetect
from geodetect.assessment.evaluate.error_layers import SYMBOLS, check_errors
from geodetect.assessment.evaluate.result import Evaluation
from geodetect.errors import InputError, OutputError
from geodetect.settings import EvaluateSettings
from tests.helpers.layers import CRS, ORIGIN_M, square_layer
from tests.helpers.pyqgis import run_in_qgis

X, Y = ORIGIN_M


def evaluate_five_objects(**settings: object) -> Evaluation:
    """Found well, found unsurely, with too little overlap, nothing there; and one missed."""
    predicted = square_layer(
        *((0, 0), (30, 1), (66, 0), (90, 50)),
        **{"class": ["pool"] * 4, "Score": [0.9, 0.3, 0.8, 0.7], "raster": list("abcd")},
    )
    truth = square_layer((0, 1), (30, 0), (60, 0), (120, 0), name=list("wxyz"))
    return geodetect.evaluate(
        predicted, truth.to_crs("EPSG:3857"), EvaluateSettings(resamples=0, **settings)
    )


def test_every_detection_and_object_is_in_one_layer() -> None:
    tables = evaluate_five_objects(conf=0.5).error_tables()
    assert {name: len(table) for name, table in tables.items()} == {
        "true_positives": 1,
        "false_positives": 2,
        "false_negatives": 3,
    }
    assert tables["true_positives"]["raster"].tolist() == ["a"]
    assert tables["false_positives"]["raster"].tolist() == ["c", "d"]
    assert tables["false_negatives"]["name"].tolist() == ["x", "y", "z"]
    assert all(table.crs == CRS for table in tables.values())


def test_the_layers_say_how_well_things_fit() -> None:
    tables = evaluate_five_objects(conf=0.5).error_tables()
    true = tables["true_positives"].iloc[0]
    assert (true["score"], true["truth_row"], true["truth_class"]) == (0.9, 0, "pool")
    assert true["iou"] == pytest.approx(90 / 110, abs=1e-3)
    assert true["distance_m"] == pytest.approx(1, abs=0.01)
    assert tables["false_positives"]["iou"].tolist() == pytest.approx([40 / 160, 0], abs=1e-3)
    missed = tables["false_negatives"]
    assert missed["iou"].tolist() == pytest.approx([90 / 110, 40 / 160, 0], abs=1e-3)
    assert missed["score"].tolist()[:2] == [0.3, 0.8]
    assert np.isnan(missed["score"][2])
    assert missed["truth_row"].tolist() == [1, 2, 3]


def test_without_a_threshold_unsure_detections_count_too() -> None:
    assert len(evaluate_five_objects().error_tables()["true_positives"]) == 2


def test_without_scores_the_layers_have_none() -> None:
    result = geodetect.evaluate(square_layer((0, 0), (30, 0)), square_layer((0, 0), (60, 0)))
    tables = result.error_tables()
    assert all(table["score"].isna().all() for table in tables.values())
    assert [len(table) for table in tables.values()] == [1, 1, 1]


def test_what_lies_outside_the_area_is_in_no_layer(tmp_path: Path) -> None:
    area = tmp_path / "area.geojson"
    gpd.GeoDataFrame(geometry=[shapely.box(X - 5, Y - 5, X + 45, Y + 15)], crs=CRS).to_crs(
        "OGC:CRS84"
    ).to_file(area)
    counts = [len(t) for t in evaluate_five_objects(aoi=area).error_tables().values()]
    assert counts == [2, 0, 0]


def test_the_file_is_a_geopackage_that_is_replaced_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "errors.gpkg"
    result = evaluate_five_objects(conf=0.5)
    check_errors(path)
    assert result.write_errors(path) == path
    layers = {str(name): kind for name, kind in pyogrio.list_layers(path)}
    assert [layers[name] for name in SYMBOLS] == ["Polygon"] * 3
    tables = result.error_tables()
    for name in SYMBOLS:
        table = gpd.read_file(path, layer=name)
        assert table["truth_row" if name == "false_negatives" else "raster"].tolist() == list(
            tables[name]["truth_row" if name == "false_negatives" else "raster"]
        )
    for again in (result.write_errors, check_errors):
        with pytest.raises(OutputError, match=r"already exists.*overwrite"):
            again(path)
    result.write_errors(path, overwrite=True)
    with pytest.raises(InputError, match=r"\.gpkg"):
        check_errors(tmp_path / "errors.geojson")


SCRIPT = """
import json, sys
from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsVectorLayer
from qgis.PyQt.QtCore import QSize
app = QgsApplication([], False)
app.initQgis()
facts = {}
for name in ("true_positives", "false_positives", "false_negatives"):
    layer = QgsVectorLayer(f"{sys.argv[1]}|layername={name}", name, "ogr")
    facts[name] = {"valid": layer.isValid()}
    if not layer.isValid():
        continue
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    extent = layer.extent()
    extent.grow(5)
    settings.setExtent(extent)
    settings.setOutputSize(QSize(300, 300))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    facts[name].update(
        count=layer.featureCount(), crs=layer.crs().authid(),
        fields=[field.name() for field in layer.fields()],
        renderer=layer.renderer().type(),
        symbol=layer.renderer().symbol().symbolLayers()[-1].layerType(),
        painted=sorted({image.pixelColor(x, y).name() for x in range(300) for y in range(300)}))
with open(sys.argv[2], "w") as stream:
    json.dump(facts, stream)
import os
os._exit(0)  # QGIS without a display may hang or crash when it is torn down
"""


def colour(name: str) -> str:
    return "#{:02x}{:02x}{:02x}".format(*map(int, SYMBOLS[name].colour.split(",")))


def test_qgis_draws_each_layer_in_its_colour_by_default(tmp_path: Path) -> None:
    facts = run_in_qgis(
        SCRIPT, tmp_path, evaluate_five_objects(conf=0.5).write_errors(tmp_path / "errors.gpkg")
    )
    assert [facts[name]["count"] for name in SYMBOLS] == [1, 2, 3]
    for name in SYMBOLS:
        layer = facts[name]
        assert (layer["valid"], layer["crs"]) == (True, CRS)
        assert (layer["renderer"], layer["symbol"]) == ("singleSymbol", "SimpleFill")
        assert colour(name) in layer["painted"]
        assert {"class", "score", "iou"} <= set(layer["fields"])
        assert len({field.lower() for field in layer["fields"]}) == len(layer["fields"])


def test_qgis_draws_missed_points_as_points(tmp_path: Path) -> None:
    truth = square_layer((0, 0), (30, 0), (60, 0))
    points = truth.set_geometry(truth.centroid)
    result = geodetect.evaluate(square_layer((0, 0)), points, EvaluateSettings(distance=2))
    facts = run_in_qgis(SCRIPT, tmp_path, result.write_errors(tmp_path / "errors.gpkg"))
    assert (facts["false_negatives"]["count"], facts["false_negatives"]["symbol"]) == (
        2,
        "SimpleMarker",
    )
    assert colour("false_negatives") in facts["false_negatives"]["painted"]
    assert (facts["false_positives"]["valid"], facts["false_positives"]["count"]) == (True, 0)
