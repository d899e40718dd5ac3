"""Carriageways, pavements, lane markings and the cars parked along them."""

import numpy as np
import shapely
import shapely.ops

from drawing.canvas import Canvas, Frame, box, vary
from drawing.layout import Street
from drawing.looks import Colour
from drawing.vehicles import draw_car

_ASPHALT: Colour = (152, 151, 150)
_PAVEMENT: Colour = (188, 182, 174)
_MARKING: Colour = (226, 226, 222)


def draw_streets(canvas: Canvas, streets: tuple[Street, ...], rng: np.random.Generator) -> None:
    """Paint all streets as one surface, so that crossings join without seams."""
    frame = shapely.box(0, 0, canvas.extent_m, canvas.extent_m).buffer(5)
    bands = [street.line.buffer(street.width_m / 2) for street in streets]
    roads = shapely.union_all(bands).buffer(3).buffer(-3).intersection(frame)
    canvas.paint(roads.buffer(1.5).intersection(frame), vary(rng, _PAVEMENT, 0.05), rough=0.05)
    asphalt = vary(rng, _ASPHALT, 0.08)
    canvas.paint(roads, asphalt, rough=0.035)
    _wear(canvas, roads, rng)
    for street in streets:
        _draw_markings(canvas, street, rng)
        _park_cars(canvas, street, rng)


def _wear(canvas: Canvas, roads: shapely.Geometry, rng: np.random.Generator) -> None:
    """Repairs: lighter and darker patches, and the seam of a trench here and there."""
    for _ in range(int(canvas.extent_m / 6)):
        x, y = rng.uniform(0, canvas.extent_m, 2)
        patch = Frame(x, y, rng.uniform(0, 3.1)).place(box(rng.uniform(2, 22), rng.uniform(0.6, 4)))
        dark = float(rng.uniform(105, 180))
        canvas.paint(patch.intersection(roads), (dark, dark, dark), opacity=0.35)


def _draw_markings(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    if rng.random() < 0.45:
        return
    dash_m, gap_m = (3.0, 3.5) if rng.random() < 0.7 else (6.0, 0.0)
    step = dash_m + gap_m
    dashes = [
        shapely.ops.substring(street.line, start, start + dash_m)
        for start in np.arange(0, street.line.length, step)
    ]
    shape = shapely.union_all([dash.buffer(0.08, cap_style="flat") for dash in dashes])
    canvas.paint(shape, _MARKING, opacity=0.75)


def _park_cars(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    """Cars along both kerbs and some driving."""
    spacing_m = rng.uniform(16, 60)
    start = rng.uniform(0, spacing_m)
    for along in np.arange(start, street.line.length - 3, spacing_m):
        place = along + rng.uniform(-0.4, 0.4) * spacing_m
        side = 1 if rng.random() < 0.5 else -1
        offset = street.width_m * (0.22 if rng.random() < 0.15 else 0.5) - 0.95
        here, ahead = street.line.interpolate(place), street.line.interpolate(place + 1)
        angle = float(np.arctan2(ahead.y - here.y, ahead.x - here.x))
        spot = Frame(here.x, here.y, angle).at(0, side * offset, 0 if side > 0 else np.pi)
        draw_car(canvas, spot, rng)
