"""QGIS layer styles (QML), and the colours that maps, reports and plots share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias
from xml.etree import ElementTree as ET

import numpy as np

from geodetect.types import FloatArray

Colour: TypeAlias = tuple[int, int, int]  # red, green, blue, 0..255
GeometryKind: TypeAlias = Literal["point", "line", "polygon"]

# bright, so that they show on imagery
TRUE_POSITIVE: Colour = (64, 224, 190)
FALSE_POSITIVE: Colour = (255, 140, 60)
FALSE_NEGATIVE: Colour = (255, 64, 160)

# Okabe and Ito (2008), "Color Universal Design": eight colours, distinct to colour-blind eyes
ORANGE: Colour = (230, 159, 0)
SKY_BLUE: Colour = (86, 180, 233)
GREEN: Colour = (0, 158, 115)
YELLOW: Colour = (240, 228, 66)
BLUE: Colour = (0, 114, 178)
VERMILLION: Colour = (213, 94, 0)
PURPLE: Colour = (204, 121, 167)
GREY: Colour = (153, 153, 153)

SCORE_BREAKS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)  # fixed, so that maps can be compared
# five steps of the upper two thirds of "plasma" (Smith and van der Walt 2015): brighter with the
# score, so colour-blind eyes see the order too, and no step has a colour of water or grass
SCORE_COLOURS: tuple[Colour, ...] = (
    *((156, 23, 158), (204, 71, 120), (237, 121, 83), (253, 180, 47), (240, 249, 33)),
)
# "viridis" in five steps (Smith and van der Walt 2015), dark for high values
QUANTILE_COLOURS: tuple[Colour, ...] = (
    *((253, 231, 37), (94, 201, 98), (33, 145, 140), (59, 82, 139), (68, 1, 84)),
)

CASING = "0,0,0,140"  # dark edge of lines, so that each colour shows on bright and dark ground
LINE_MM, CASING_EXTRA_MM, MARKER_MM = 0.5, 0.4, 2.4
_LAYER_TYPES = {"point": "0", "line": "1", "polygon": "2"}
_SYMBOL_TYPES = {"point": "marker", "line": "line", "polygon": "fill"}


def hex_colour(colour: Colour) -> str:
    """Return a colour as CSS and matplotlib take it, ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


@dataclass(frozen=True)
class Symbol:
    """Symbol of a feature: a line with a darker casing below, as outline of polygons.

    Args:
        colour: Colour of the line.
        label: Text in the legend; empty: the value that has this symbol.
        line: Pattern of the line.
        fill: Opacity of the inside of polygons, 0..1, in the same colour.
        width_mm: Width of the line.
        casing: Draw the casing.
    """

    colour: Colour
    label: str = ""
    line: Literal["solid", "dash", "dot"] = "solid"
    fill: float = 0.0
    width_mm: float = LINE_MM
    casing: bool = True


def score_qml(attribute: str = "score", *, geometry: GeometryKind = "polygon") -> str:
    """Return a style of outlines or points, coloured by a column with values in 0..1."""
    renderer = ET.Element(
        "renderer-v2",
        {"type": "graduatedSymbol", "attr": attribute, "graduatedMethod": "GraduatedColor"},
    )
    ranges, symbols = ET.SubElement(renderer, "ranges"), ET.SubElement(renderer, "symbols")
    for number, (lower, upper) in enumerate(pairwise(SCORE_BREAKS)):
        limits = {"lower": f"{lower:.6f}", "upper": f"{upper:.6f}", "symbol": str(number)}
        ET.SubElement(ranges, "range", limits, label=f"{lower:.1f} to {upper:.1f}", render="true")
        symbol = Symbol(SCORE_COLOURS[number])
        symbols.append(_symbol_element(symbol, number, geometry=geometry))
    ET.SubElement(renderer, "classificationMethod", id="Custom")
    return _document(renderer, geometry)


def categorised_qml(
    attribute: str, symbols: Mapping[str, Symbol], *, geometry: GeometryKind = "polygon"
) -> str:
    """Return a style with one entry in the legend for each value of a column.

    Features with other values are not drawn.

    Args:
        attribute: Name of the column.
        symbols: Symbol of each value, in the order of the legend; later ones are drawn above
            earlier ones.
        geometry: Geometry type of the layer.

    Returns:
        QML.
    """
    renderer = ET.Element(
        "renderer-v2", {"type": "categorizedSymbol", "attr": attribute, "symbollevels": "1"}
    )
    entries, elements = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, (value, symbol) in enumerate(symbols.items()):
        entry = {"value": value, "symbol": str(number), "render": "true"}
        ET.SubElement(entries, "category", entry, label=symbol.label or value)
        elements.append(_symbol_element(symbol, number, geometry=geometry, level=number))
    return _document(renderer, geometry)


def graduated_qml(attribute: str, values: FloatArray) -> str:
    """Return a style of polygons: five shades with about as many features each.

    Features without a value are not filled, but outlined.

    Args:
        attribute: Name of the column.
        values: ``float64[N]`` its values; NaN where there is none.

    Returns:
        QML.
    """
    edges = quantile_edges(values)
    name = f'"{attribute}"'
    rules = [(f"{name} IS NULL", Symbol(GREY, "not known", line="dash", casing=False))]
    for number, (low, high) in enumerate(pairwise(edges if len(edges) > 1 else 2 * edges)):
        is_last = number == max(len(edges) - 2, 0)
        condition = f"{name} >= {low!r} AND {name} {'<=' if is_last else '<'} {high!r}"
        label, colour = f"{low:.4g} to {high:.4g}", QUANTILE_COLOURS[number]
        rules.append((condition, Symbol(colour, label, fill=0.55, width_mm=0.2, casing=False)))
    renderer = ET.Element("renderer-v2", {"type": "RuleRenderer"})
    entries, elements = ET.SubElement(renderer, "rules"), ET.SubElement(renderer, "symbols")
    for number, (condition, symbol) in enumerate(rules):
        ET.SubElement(entries, "rule", filter=condition, label=symbol.label, symbol=str(number))
        elements.append(_symbol_element(symbol, number))
    return _document(renderer, "polygon")


def quantile_edges(values: FloatArray) -> list[float]:
    """Return the limits between shades with about as many values each, in ascending order.

    Args:
        values: ``float64[N]``; NaN where there is none.
    """
    finite = values[np.isfinite(values)]
    steps = np.linspace(0, 1, len(QUANTILE_COLOURS) + 1)
    return np.unique(np.quantile(finite, steps)).tolist() if len(finite) else []


def single_qml(symbol: Symbol, *, geometry: GeometryKind = "polygon") -> str:
    """Return a style that draws all features alike."""
    renderer = ET.Element("renderer-v2", {"type": "singleSymbol"})
    ET.SubElement(renderer, "symbols").append(_symbol_element(symbol, 0, geometry=geometry))
    return _document(renderer, geometry)


def _document(renderer: ET.Element, geometry: GeometryKind) -> str:
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    root.append(renderer)
    ET.SubElement(root, "layerGeometryType").text = _LAYER_TYPES[geometry]
    ET.indent(root)
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
    return f"{doctype}\n{ET.tostring(root, encoding='unicode')}\n"


def _symbol_element(
    symbol: Symbol, number: int, *, geometry: GeometryKind = "polygon", level: int = 0
) -> ET.Element:
    """Return the XML of a symbol; symbols of higher levels are drawn above others."""
    symbol_type = _SYMBOL_TYPES[geometry]
    colour = "{},{},{}".format(*symbol.colour)
    if geometry == "point":
        is_solid = symbol.line == "solid"  # other patterns become crosses: a marker has no dashes
        layers = [
            {
                "name": "circle" if is_solid else "cross2",
                "color": f"{colour},255",
                "outline_color": CASING if is_solid else f"{colour},255",
                "outline_width": "0.2" if is_solid else f"{symbol.width_mm:g}",
                "outline_width_unit": "MM",
                "size": f"{MARKER_MM:g}",
                "size_unit": "MM",
            }
        ]
    else:
        layers = [_line_options(geometry, f"{colour},255", symbol.width_mm, line=symbol.line)]
        if geometry == "polygon" and symbol.fill > 0:
            layers[0] |= {"style": "solid", "color": f"{colour},{round(symbol.fill * 255)}"}
        if symbol.casing:
            width_mm = symbol.width_mm + CASING_EXTRA_MM
            layers.insert(0, _line_options(geometry, CASING, width_mm, line="solid"))
    element = ET.Element("symbol", {"type": symbol_type, "name": str(number), "alpha": "1"})
    for options in layers:
        layer_class = f"Simple{symbol_type.title()}"  # SimpleMarker, SimpleLine, SimpleFill
        attributes = {"class": layer_class, "enabled": "1", "locked": "0", "pass": str(level)}
        option_map = ET.SubElement(
            ET.SubElement(element, "layer", attributes), "Option", type="Map"
        )
        for key, value in options.items():
            ET.SubElement(option_map, "Option", type="QString", name=key, value=value)
    return element


def _line_options(
    geometry: GeometryKind, colour: str, width_mm: float, *, line: str
) -> dict[str, str]:
    prefix = "line" if geometry == "line" else "outline"
    options = {
        f"{prefix}_style": line,
        f"{prefix}_color": colour,
        f"{prefix}_width": f"{width_mm:g}",
        f"{prefix}_width_unit": "MM",
        "joinstyle": "miter",
    }
    return options if geometry == "line" else {"style": "no"} | options
