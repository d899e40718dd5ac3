"""How QGIS shall draw detections: outlined boxes, coloured by score."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from geodetect.io.vector.timestamp import STAMP
from geodetect.version import __version__

STYLE_NAME = "detections by score"
BREAKS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)  # fixed, so that maps can be compared
# five steps of the upper two thirds of "plasma" (Smith and van der Walt 2015): brighter with the
# score, so colour-blind eyes tell them apart too, and none is a colour of water or grass
COLOURS = ("156,23,158", "204,71,120", "237,121,83", "253,180,47", "240,249,33")
CASING = "0,0,0,140"  # a dark rim, so that each colour shows on bright and dark ground
LINE_MM, CASING_MM = 0.5, 0.9

# as QGIS creates it, so that it finds the style by itself
_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
  f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))
"""


def qml(attribute: str = "score") -> str:
    """A QGIS layer style: outlines without fill, graduated by a column with values in 0..1."""
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    renderer = ET.SubElement(
        root,
        "renderer-v2",
        {"type": "graduatedSymbol", "attr": attribute, "graduatedMethod": "GraduatedColor"},
    )
    ranges, symbols = ET.SubElement(renderer, "ranges"), ET.SubElement(renderer, "symbols")
    for number, (lower, upper) in enumerate(pairwise(BREAKS)):
        limits = {"lower": f"{lower:.6f}", "upper": f"{upper:.6f}", "symbol": str(number)}
        ET.SubElement(ranges, "range", limits, label=f"{lower:.1f} to {upper:.1f}", render="true")
        symbols.append(_outline(str(number), COLOURS[number]))
    ET.SubElement(renderer, "classificationMethod", id="Custom")
    ET.SubElement(root, "layerGeometryType").text = "2"  # polygons
    ET.indent(root)
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
    return f"{doctype}\n{ET.tostring(root, encoding='unicode')}\n"


def _outline(name: str, colour: str) -> ET.Element:
    """A polygon symbol of two lines, the rim below the colour."""
    symbol = ET.Element("symbol", {"type": "fill", "name": name, "alpha": "1"})
    for width_mm, rgb in ((CASING_MM, CASING), (LINE_MM, f"{colour},255")):
        layer = ET.SubElement(
            symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
        )
        options = ET.SubElement(layer, "Option", type="Map")
        values = {
            "style": "no",
            "outline_style": "solid",
            "outline_color": rgb,
            "outline_width": str(width_mm),
            "outline_width_unit": "MM",
            "joinstyle": "miter",
        }
        for key, value in values.items():
            ET.SubElement(options, "Option", type="QString", name=key, value=value)
    return symbol


def embed_style(
    path: Path, layer: str, *, geometry_column: str, style: str, name: str = STYLE_NAME
) -> None:
    """Put a style into a GeoPackage as the default of one of its layers.

    Args:
        path: The GeoPackage.
        layer: The layer drawn so.
        geometry_column: Its geometry column.
        style: QML.
        name: What the list of styles calls it; at most 30 characters.

    Raises:
        sqlite3.Error: The file cannot be written.
    """
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(_TABLE)
        database.execute(
            "INSERT OR IGNORE INTO gpkg_contents"
            " (table_name, data_type, identifier, description, last_change)"
            " VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?)",
            (STAMP,),
        )
        database.execute(
            "DELETE FROM layer_styles WHERE f_table_name = ? AND styleName = ?",
            (layer, name),
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name,"
            " f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner,"
            " update_time) VALUES ('', '', ?, ?, ?, ?, '', 1, ?, '', ?)",
            (layer, geometry_column, name, style, f"geodetect {__version__}", STAMP),
        )
