"""How QGIS shall draw features of several kinds: a colour and a line for each value of a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from xml.etree import ElementTree as ET

import numpy as np

from geodetect.io.vector.qgis_style import CASING, CASING_MM, LINE_MM
from geodetect.types import FloatArray

GeometryKind = Literal["point", "line", "polygon"]

# Okabe and Ito (2008), "Color Universal Design": eight colours that colour-blind eyes tell apart
ORANGE, SKY_BLUE, GREEN, YELLOW = "230,159,0", "86,180,233", "0,158,115", "240,228,66"
BLUE, VERMILLION, PURPLE, GREY = "0,114,178", "213,94,0", "204,121,167", "153,153,153"

# "viridis" in five steps (Smith and van der Walt 2015), dark for much
SHADES = ("253,231,37", "94,201,98", "33,145,140", "59,82,139", "68,1,84")

_LAYER_TYPES = {"point": "0", "line": "1", "polygon": "2"}
_SYMBOL_TYPES = {"point": "marker", "line": "line", "polygon": "fill"}
_MARKER_MM = 2.4


@dataclass(frozen=True)
class Category:
    """How one value of the column is drawn.

    Args:
        value: The value.
        colour: ``red,green,blue``, 0..255 each.
        label: What the legend says; empty: the value.
        line: Pattern of the line.
        fill: Opacity of the inside of polygons, 0..1, in the same colour.
        width_mm: Width of the line.
        rim: Whether a dark line lies below, so that the colour shows on any ground.
    """

    value: str
    colour: str
    label: str = ""
    line: Literal["solid", "dash", "dot"] = "solid"
    fill: float = 0.0
    width_mm: float = LINE_MM
    rim: bool = True


def categorised_qml(
    attribute: str, categories: Sequence[Category], *, geometry: GeometryKind = "polygon"
) -> str:
    """A QGIS layer style with one entry in the legend for each value of a column.

    Features with other values are not drawn.

    Args:
        attribute: Name of the column.
        categories: In the order of the legend; later ones are drawn above earlier ones.
        geometry: What the layer holds.

    Returns:
        QML.
    """
    renderer = ET.Element(
        "renderer-v2", {"type": "categorizedSymbol", "attr": attribute, "symbollevels": "1"}
    )
    entries, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, category in enumerate(categories):
        entry = {"value": category.value, "symbol": str(number), "render": "true"}
        ET.SubElement(entries, "category", entry, label=category.label or category.value)
        symbols.append(_symbol(category, str(number), geometry=geometry, level=number))
    return _document(renderer, geometry)


def graduated_qml(attribute: str, values: FloatArray) -> str:
    """A QGIS layer style for polygons: five shades with about as many features each.

    Features without a value are not filled, but outlined.

    Args:
        attribute: Name of the column.
        values: ``float64[N]`` what is in it.

    Returns:
        QML.
    """
    known = values[np.isfinite(values)]
    steps = np.linspace(0, 1, len(SHADES) + 1)
    edges: list[float] = np.unique(np.quantile(known, steps)).tolist() if len(known) else []
    renderer = ET.Element("renderer-v2", {"type": "RuleRenderer"})
    rules, symbols = ET.SubElement(renderer, "rules"), ET.SubElement(renderer, "symbols")
    name = f'"{attribute}"'
    conditions = [(f"{name} IS NULL", "not known", Category("", GREY, line="dash", rim=False))]
    for number, (low, high) in enumerate(pairwise(edges if len(edges) > 1 else 2 * edges)):
        last = number == max(len(edges) - 2, 0)
        condition = f"{name} >= {low!r} AND {name} {'<=' if last else '<'} {high!r}"
        shade = Category("", SHADES[number], fill=0.55, width_mm=0.2, rim=False)
        conditions.append((condition, f"{low:.4g} to {high:.4g}", shade))
    for number, (condition, label, category) in enumerate(conditions):
        ET.SubElement(rules, "rule", filter=condition, label=label, symbol=str(number))
        symbols.append(_symbol(category, str(number), geometry="polygon", level=0))
    return _document(renderer, "polygon")


def single_qml(symbol: Category, *, geometry: GeometryKind = "polygon") -> str:
    """A QGIS layer style that draws all features alike; the value of ``symbol`` means nothing."""
    renderer = ET.Element("renderer-v2", {"type": "singleSymbol"})
    symbols = ET.SubElement(renderer, "symbols")
    symbols.append(_symbol(symbol, "0", geometry=geometry, level=0))
    return _document(renderer, geometry)


def _document(renderer: ET.Element, geometry: GeometryKind) -> str:
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    root.append(renderer)
    ET.SubElement(root, "layerGeometryType").text = _LAYER_TYPES[geometry]
    ET.indent(root)
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
    return f"{doctype}\n{ET.tostring(root, encoding='unicode')}\n"


def _symbol(category: Category, name: str, *, geometry: GeometryKind, level: int) -> ET.Element:
    """A symbol, above its dark rim if it has one."""
    symbol = ET.Element("symbol", {"type": _SYMBOL_TYPES[geometry], "name": name, "alpha": "1"})
    if geometry == "point":
        _add(symbol, "SimpleMarker", _marker(category), level=level)
        return symbol
    kind = {"line": "SimpleLine", "polygon": "SimpleFill"}[geometry]
    rim_mm = category.width_mm + CASING_MM - LINE_MM
    if category.rim:
        _add(symbol, kind, _strokes(geometry, CASING, rim_mm, line="solid"), level=level)
    colour = f"{category.colour},255"
    values = _strokes(geometry, colour, category.width_mm, line=category.line)
    if geometry == "polygon" and category.fill > 0:
        values |= {"style": "solid", "color": f"{category.colour},{round(category.fill * 255)}"}
    _add(symbol, kind, values, level=level)
    return symbol


def _strokes(geometry: GeometryKind, colour: str, width_mm: float, *, line: str) -> dict[str, str]:
    prefix = "line" if geometry == "line" else "outline"
    values = {
        f"{prefix}_style": line,
        f"{prefix}_color": colour,
        f"{prefix}_width": f"{width_mm:g}",
        f"{prefix}_width_unit": "MM",
        "joinstyle": "miter",
    }
    return values if geometry == "line" else {"style": "no"} | values


def _marker(category: Category) -> dict[str, str]:
    return {
        "name": "circle" if category.line == "solid" else "cross2",
        "color": f"{category.colour},255",
        "outline_color": CASING if category.line == "solid" else f"{category.colour},255",
        "outline_width": "0.2" if category.line == "solid" else f"{category.width_mm:g}",
        "outline_width_unit": "MM",
        "size": f"{_MARKER_MM:g}",
        "size_unit": "MM",
    }


def _add(symbol: ET.Element, kind: str, values: dict[str, str], *, level: int) -> None:
    layer = ET.SubElement(
        symbol, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": str(level)}
    )
    options = ET.SubElement(layer, "Option", type="Map")
    for key, value in values.items():
        ET.SubElement(options, "Option", type="QString", name=key, value=value)
