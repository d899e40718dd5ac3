"""Garden things that look like pools from above, and other small objects."""

from collections.abc import Callable

import numpy as np
import shapely

from drawing.canvas import Canvas, Frame, box, disc, pick, vary
from drawing.houses import draw_solar_panels
from drawing.looks import Colour

_TARPS: tuple[Colour, ...] = ((62, 116, 186), (84, 142, 196), (58, 96, 150), (96, 170, 190))


def draw_decoy(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> shapely.Geometry:
    """Paint one object chosen at random, and return the ground it takes."""
    makers = _DECOYS
    make = makers[int(rng.choice(len(makers), p=_DECOY_ODDS))]
    make(canvas, frame, rng)
    return frame.place(disc(2.2))


def draw_trampoline(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Paint a dark mat inside a padded, mostly blue rim."""
    radius = rng.uniform(1.3, 2.1)
    rim = pick(rng, ((58, 104, 176), (58, 104, 176), (96, 150, 80), (60, 62, 66)))
    canvas.paint(frame.place(disc(radius)), rim, height_m=0.8)
    canvas.paint(frame.place(disc(radius - 0.32)), (44, 46, 50), height_m=0.8)


def draw_tarp(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Paint a wrinkled blue sheet over a heap."""
    shape = frame.place(box(rng.uniform(2, 5), rng.uniform(1.4, 3), 0.15))
    region = canvas.region(shape)
    if region is None:
        return
    wrinkles = canvas.texture("leaves_m", region, rng)
    slope_x, slope_y = canvas.slopes(wrinkles)
    light = canvas.sun.shade(0.35 * slope_x, 0.35 * slope_y)
    canvas.lay(region, np.array(pick(rng, _TARPS), dtype=np.float32) * light[..., None])
    canvas.lift(region, 0.5 + 0.3 * wrinkles)


def draw_glasshouse(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Paint a greenhouse: pale glass between white ribs."""
    length, width = rng.uniform(3, 8), rng.uniform(2.2, 3.6)
    glass = vary(rng, (164, 186, 184), 0.12)
    canvas.paint(frame.place(box(length, width)), glass, rough=0.08, height_m=2.0)
    ribs = [
        shapely.box(a, -width / 2, a + 0.12, width / 2)
        for a in np.arange(-length / 2, length / 2, 0.8)
    ]
    ribs.append(box(length, 0.25))
    canvas.paint(frame.place(shapely.union_all(ribs)), (232, 234, 232), opacity=0.7)


def draw_parasol(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Paint a sunshade."""
    shape = disc(rng.uniform(1.0, 1.7)) if rng.random() < 0.6 else box(2.8, 2.8)
    colour = pick(rng, ((242, 240, 234), (226, 214, 190), (86, 120, 170), (178, 74, 60)))
    canvas.paint(frame.place(shape), colour, rough=0.02, height_m=2.3)


def draw_ground_panels(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Paint solar modules that stand in the garden."""
    draw_solar_panels(canvas, frame, int(rng.integers(3, 6)), int(rng.integers(1, 3)))


def draw_toys(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Paint garden furniture: a table with chairs, or scattered toys."""
    canvas.paint(frame.place(box(1.7, 0.9)), pick(rng, ((150, 120, 92), (236, 236, 232))))
    for _ in range(6):
        spot = frame.at(rng.uniform(-1.6, 1.6), rng.uniform(-1.6, 1.6), rng.uniform(0, 3))
        colour = pick(rng, ((230, 228, 222), (70, 120, 180), (190, 80, 60), (110, 110, 110)))
        canvas.paint(spot.place(box(0.55, 0.5)), colour, height_m=0.5)


def draw_vegetable_bed(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Paint rows of vegetables on bare soil."""
    length, width = rng.uniform(4, 8), rng.uniform(3, 5)
    canvas.paint(frame.place(box(length, width)), vary(rng, (140, 116, 92)), rough=0.08)
    for b_m in np.arange(-width / 2 + 0.4, width / 2 - 0.2, rng.uniform(0.6, 1.0)):
        row = frame.at(0, float(b_m)).place(box(length * rng.uniform(0.6, 0.96), 0.35))
        canvas.paint(row, vary(rng, (96, 122, 70), 0.15), rough=0.12, height_m=0.3)


_DECOYS: tuple[Callable[[Canvas, Frame, np.random.Generator], None], ...] = (
    draw_trampoline,
    draw_tarp,
    draw_glasshouse,
    draw_parasol,
    draw_ground_panels,
    draw_toys,
    draw_vegetable_bed,
)
_DECOY_ODDS = (0.13, 0.12, 0.08, 0.2, 0.05, 0.24, 0.18)
