"""Files as QGIS itself reads them, where QGIS is installed."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS

from geodetect.detection.detection_layer import COLUMNS
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.vector.qgis_style import SCORE_BREAKS
from geodetect.io.vector.write import write
from tests.helpers.layers import raster_detections
from tests.helpers.pyqgis import qgis_python, run_clean, run_in_qgis

SCORES = np.array([0.1, 0.4, 0.6, 0.8, 0.95, 1.0])
GRID = Grid(parse_crs("EPSG:2154"), Affine(0.2, 0, 650000, 0, -0.2, 6860000), 600, 100)
SCRIPT = """
import json, sys
from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsVectorLayer
from qgis.PyQt.QtCore import QSize
app = QgsApplication([], False)
app.initQgis()
layer = QgsVectorLayer(sys.argv[1], "layer", "ogr")
facts = {"valid": layer.isValid()}
if layer.isValid():
    extent = layer.extent()
    renderer = layer.renderer()
    facts.update(
        count=layer.featureCount(), crs=layer.crs().authid(),
        extent=[extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
        fields={field.name(): field.typeName() for field in layer.fields()},
        geometries=[f.geometry().isGeosValid() for f in layer.getFeatures()],
        renderer=renderer.type())
    if renderer.type() == "graduatedSymbol":
        facts["attribute"] = renderer.classAttribute()
        facts["ranges"] = [[r.lowerValue(), r.upperValue()] for r in renderer.ranges()]
        facts["brushes"] = [
            int(part.brushStyle()) for r in renderer.ranges() for part in r.symbol().symbolLayers()]
        facts["strokes"] = [r.symbol().symbolLayers()[-1].strokeColor().name()
                            for r in renderer.ranges()]
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(extent)
    settings.setOutputSize(QSize(600, 100))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    facts["painted"] = sorted({image.pixelColor(x, y).name()
                               for x in range(0, 600) for y in range(0, 100)})
with open(sys.argv[2], "w") as stream:
    json.dump(facts, stream)
import os
os._exit(0)  # QGIS without a display may hang or crash when it is torn down
"""


def scored_table() -> Any:
    x = np.arange(len(SCORES)) * 100.0
    boxes = np.stack([x + 10, x * 0 + 10, x + 90, x * 0 + 90], axis=1)
    return raster_detections(GRID, boxes, SCORES, raster="Zürich.tif").table()


def test_a_styled_geopackage_opens_with_its_style(tmp_path: Path):
    path = write(scored_table(), tmp_path / "pools.gpkg", style=True)
    facts = run_in_qgis(SCRIPT, tmp_path, path)  # one spatial layer, so it opens without naming it
    assert (facts["valid"], facts["count"], facts["crs"]) == (True, 6, "EPSG:2154")
    np.testing.assert_allclose(facts["extent"], scored_table().total_bounds, atol=1e-6)
    assert list(facts["fields"]) == ["fid", *COLUMNS[:-1]]
    assert facts["fields"]["truncated"] == "Boolean"
    assert all(facts["geometries"])
    assert_styled(facts)


def test_a_styled_geojson_opens_with_its_style(tmp_path: Path):
    facts = run_in_qgis(
        SCRIPT, tmp_path, write(scored_table(), tmp_path / "pools.geojson", style=True)
    )
    assert (facts["valid"], facts["count"], facts["crs"]) == (True, 6, "EPSG:4326")
    expected = scored_table().to_crs("EPSG:4326").total_bounds
    np.testing.assert_allclose(facts["extent"], expected, atol=1e-8)
    assert list(facts["fields"]) == list(COLUMNS[:-1])
    assert_styled(facts)


def assert_styled(facts: dict[str, Any]) -> None:
    """Unfilled boxes in five colours by score, and all of them on the map."""
    assert facts["renderer"] == "graduatedSymbol"
    assert facts["attribute"] == "score"
    assert facts["ranges"] == [list(pair) for pair in pairwise(SCORE_BREAKS)]
    assert set(facts["brushes"]) == {0}  # Qt.NoBrush
    assert len(set(facts["strokes"])) == 5
    assert set(facts["strokes"]) <= set(facts["painted"])


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "fgb", "shp"])
def test_files_without_style_open_as_layers(tmp_path: Path, suffix: str):
    facts = run_in_qgis(SCRIPT, tmp_path, write(scored_table(), tmp_path / f"pools.{suffix}"))
    assert (facts["valid"], facts["count"]) == (True, 6)
    assert facts["crs"] == ("EPSG:4326" if suffix == "geojson" else "EPSG:2154")
    assert facts["renderer"] == "singleSymbol"
    assert set(COLUMNS[:-1]) <= set(facts["fields"])


def test_a_geoparquet_opens_as_a_layer(tmp_path: Path):
    path = write(scored_table(), tmp_path / "pools.parquet")
    facts = run_in_qgis(SCRIPT, tmp_path, path)
    if not facts["valid"] and not gdal_knows("Parquet"):
        pytest.skip("the GDAL of this QGIS has no Parquet driver")
    assert (facts["valid"], facts["count"], facts["crs"]) == (True, 6, "EPSG:2154")
    np.testing.assert_allclose(facts["extent"], scored_table().total_bounds, atol=1e-6)


def gdal_knows(driver: str) -> bool:
    code = f"from osgeo import ogr; print(ogr.GetDriverByName({driver!r}) is not None)"
    return run_clean([str(qgis_python()), "-c", code]).stdout.strip() == "True"


def test_the_metadata_of_a_geoparquet_is_that_of_the_standard(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = write(scored_table(), tmp_path / "pools.parquet")
    column = json.loads(parquet.read_schema(path).metadata[b"geo"])["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert CRS.from_json_dict(column["crs"]).to_epsg() == 2154
    np.testing.assert_allclose(column["bbox"], scored_table().total_bounds)
    grid = Grid(None, Affine.identity(), 600, 100)
    pixels = raster_detections(grid, [[0, 0, 1, 1]], [1.0]).table()
    path = write(pixels, tmp_path / "pixels.parquet")
    column = json.loads(parquet.read_schema(path).metadata[b"geo"])["columns"]["geometry"]
    assert column["crs"] is None
