"""Styles of several kinds, as text and as QGIS reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geodetect.io.vector.geopackage import Layer, write_layers
from geodetect.io.vector.qgis_style import (
    GREEN,
    ORANGE,
    GeometryKind,
    Symbol,
    categorised_qml,
    graduated_qml,
    single_qml,
)
from tests.helpers.pyqgis import run_in_qgis

NEW, SEEN = Symbol(ORANGE, line="dash", fill=0.5), Symbol(GREEN, label="known")
STATUS = {"new": NEW, "seen": SEEN}
SCRIPT = """
import json, os, sys
from qgis.core import QgsApplication, QgsVectorLayer
app = QgsApplication([], False)
app.initQgis()
facts = {}
for name in sys.argv[3:]:
    layer = QgsVectorLayer(sys.argv[1] + "|layername=" + name, name, "ogr")
    renderer = layer.renderer()
    parts = (renderer.categories() if renderer.type() == "categorizedSymbol"
             else renderer.rootRule().children() if renderer.type() == "RuleRenderer" else [])
    colours = [part.symbol().symbolLayers()[-1].strokeColor().name() for part in parts]
    facts[name] = [renderer.type(), [part.label() for part in parts], colours]
with open(sys.argv[2], "w") as stream:
    json.dump(facts, stream)
os._exit(0)  # QGIS without a display may hang or crash when it is torn down
"""


def parsed(qml: str) -> ET.Element:
    return ET.fromstring(qml.partition("\n")[2])


def symbol_options(symbol: ET.Element) -> list[dict[str, str]]:
    return [
        {o.attrib["name"]: o.attrib["value"] for o in layer.iter("Option") if "name" in o.attrib}
        for layer in symbol.iter("layer")
    ]


def test_each_category_has_its_symbol() -> None:
    root = parsed(categorised_qml("status", STATUS))
    renderer = root.find("renderer-v2")
    assert renderer is not None
    assert renderer.attrib["attr"] == "status"
    entries = [(c.attrib["value"], c.attrib["label"]) for c in renderer.iter("category")]
    assert entries == [("new", "new"), ("seen", "known")]
    rim, line = symbol_options(next(renderer.iter("symbol")))
    assert line["outline_style"] == "dash"
    assert line["outline_color"] == "230,159,0,255"
    assert line["color"] == "230,159,0,128"
    assert float(rim["outline_width"]) > float(line["outline_width"])


@pytest.mark.parametrize(
    ("geometry", "layer_type", "symbol_type", "layers"),
    [("point", "0", "marker", 1), ("line", "1", "line", 2), ("polygon", "2", "fill", 2)],
)
def test_symbols_suit_the_geometry(
    geometry: GeometryKind, layer_type: str, symbol_type: str, layers: int
) -> None:
    root = parsed(single_qml(NEW, geometry=geometry))
    assert root.findtext("layerGeometryType") == layer_type
    (symbol,) = root.iter("symbol")
    assert symbol.attrib["type"] == symbol_type
    assert len(list(symbol.iter("layer"))) == layers


def test_a_symbol_without_rim_has_one_line() -> None:
    (symbol,) = parsed(single_qml(Symbol(GREEN, casing=False))).iter("symbol")
    (line,) = symbol_options(symbol)
    assert line["style"] == "no"


@pytest.mark.parametrize(
    ("values", "classes"),
    [([], 0), ([np.nan], 0), ([3.0, 3.0], 1), ([1.0, 2.0], 5), (np.arange(50.0), 5)],
)
def test_shades_cover_all_values(values: Any, classes: int) -> None:
    rules = list(parsed(graduated_qml("density", np.array(values, float))).iter("rule"))
    assert rules[0].attrib["filter"] == '"density" IS NULL'
    assert len(rules) == classes + 1
    for value in values:
        fitting = [r for r in rules[1:] if _fits(r.attrib["filter"], value)]
        assert len(fitting) == (0 if np.isnan(value) else 1)


def _fits(condition: str, value: float) -> bool:
    python = condition.replace('"density"', repr(float(value))).replace("AND", "and")
    return bool(eval(python, {"nan": np.nan}))


def test_qgis_reads_the_styles(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame(
        {"status": ["new", "seen"], "density": [1.0, 2.0]},
        geometry=[shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)],
        crs="EPSG:2154",
    )
    layers = [
        Layer("changes", table, categorised_qml("status", STATUS)),
        Layer("zones", table, graduated_qml("density", table["density"].to_numpy())),
        Layer("plain", table, single_qml(SEEN)),
    ]
    path = write_layers(layers, tmp_path / "out.gpkg")
    read = run_in_qgis(SCRIPT, tmp_path, path, *(layer.name for layer in layers))
    assert read["changes"] == ["categorizedSymbol", ["new", "known"], ["#e69f00", "#009e73"]]
    assert read["zones"][0] == "RuleRenderer"
    assert len(read["zones"][1]) == 6
    assert read["plain"][0] == "singleSymbol"
