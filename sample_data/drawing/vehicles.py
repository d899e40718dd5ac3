"""Cars and vans seen from above."""

import numpy as np
import shapely

from drawing.canvas import Canvas, Frame, box, vary
from drawing.looks import Colour

_PAINTS: tuple[tuple[float, Colour], ...] = (
    (0.28, (232, 232, 230)),
    (0.2, (168, 170, 172)),
    (0.18, (52, 54, 58)),
    (0.12, (104, 108, 112)),
    (0.11, (52, 84, 148)),
    (0.07, (158, 48, 44)),
    (0.04, (190, 176, 150)),
)
_GLASS: Colour = (48, 58, 66)


def draw_car(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Paint a car heading along `a`, and record it."""
    odds = np.array([share for share, _ in _PAINTS])
    paint = vary(rng, _PAINTS[int(rng.choice(len(_PAINTS), p=odds / odds.sum()))][1], 0.06)
    van = rng.random() < 0.12
    length = rng.uniform(4.7, 5.6) if van else rng.uniform(3.7, 4.7)
    width = rng.uniform(1.85, 2.0) if van else rng.uniform(1.68, 1.84)
    body = frame.place(box(length, width, 0.35))
    canvas.paint(body, paint, rough=0.02, height_m=0.8)
    top_m = 2.0 if van else 1.45
    _draw_cabin(canvas, frame, length, width, paint, top_m)
    canvas.record("car", body, top_m)


def _draw_cabin(
    canvas: Canvas, frame: Frame, length: float, width: float, paint: Colour, top_m: float
) -> None:
    """Glass all round the cabin, and the roof in its midst."""
    front, back = length * 0.2, -length * 0.42
    glass = shapely.box(back, -width * 0.42, front, width * 0.42)
    roof = shapely.box(back + 0.5, -width * 0.36, front - 0.75, width * 0.36)
    canvas.paint(frame.place(glass), _GLASS, rough=0.02, height_m=top_m - 0.3)
    lighter = (paint[0] * 1.06 + 6, paint[1] * 1.06 + 6, paint[2] * 1.06 + 6)
    canvas.paint(frame.place(roof), lighter, rough=0.02, height_m=top_m)
