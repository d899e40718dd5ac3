"""The plan of a neighbourhood: bent streets and the lots between them."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import LineString, Polygon

from drawing.canvas import Frame
from drawing.looks import Look

Points = NDArray[np.float64]

_VERGE_M = 1.8
_SPECIALS = ("park", "wood", "meadow", "parking", "courts", "allotments", "hall", "orchard")
_SPECIAL_ODDS = (0.12, 0.14, 0.16, 0.13, 0.15, 0.1, 0.1, 0.1)


@dataclass(frozen=True)
class Lot:
    """A piece of land; the origin of its frame is mid-front, `b` points away from the street."""

    kind: str
    frame: Frame
    width_m: float
    depth_m: float
    outline: Polygon


@dataclass(frozen=True)
class Street:
    """A street by its middle line and the width of its carriageway."""

    line: LineString
    width_m: float


@dataclass(frozen=True)
class Plan:
    """All streets and lots that may touch the scene."""

    streets: tuple[Street, ...]
    lots: tuple[Lot, ...]


@dataclass(frozen=True)
class _Bend:
    """The map from the straight plan (u, v) to the scene: waves, a turn, a shift."""

    angle_rad: float
    centre_m: float
    size_m: float
    lengths_m: tuple[float, float]
    phases: tuple[float, float, float, float]

    def __call__(self, u: Points, v: Points) -> Points:
        first, second = (2 * np.pi / length for length in self.lengths_m)
        x = u + self.size_m * np.sin(first * v + self.phases[0])
        x += 0.4 * self.size_m * np.sin(2.3 * first * v + self.phases[1])
        y = v + self.size_m * np.sin(second * u + self.phases[2])
        y += 0.3 * self.size_m * np.sin(2.1 * second * u + self.phases[3])
        cos, sin = np.cos(self.angle_rad), np.sin(self.angle_rad)
        return np.column_stack([cos * x - sin * y, sin * x + cos * y]) + self.centre_m


def make_plan(rng: np.random.Generator, extent_m: float, look: Look) -> Plan:
    """Lay out streets along `u` with two rows of lots between them, cut by cross streets."""
    bend = _choose_bend(rng, extent_m, look)
    reach = 0.75 * extent_m + look.bend_m + 30
    streets: list[Street] = []
    lots: list[Lot] = []
    v = -reach + rng.uniform(0, 40)
    while v < reach:
        width = rng.uniform(5.5, 7.5)
        streets.append(_street(bend, (-reach, v), (reach, v), width))
        top = v + width / 2 + _VERGE_M
        bottom = top + rng.uniform(56, 74)
        crossings = _crossings(rng, reach)
        for u in crossings:
            ends = (u, v), (u, bottom + _VERGE_M + 3)
            streets.append(_street(bend, *ends, rng.uniform(4.5, 6.0)))
        for left, right in pairwise(crossings):
            lots += _divide(rng, bend, look, (left + 5, right - 5, top, bottom))
        v = bottom + _VERGE_M + 3.2
    return Plan(tuple(streets), tuple(lots))


def _choose_bend(rng: np.random.Generator, extent_m: float, look: Look) -> _Bend:
    return _Bend(
        angle_rad=rng.uniform(0, np.pi),
        centre_m=extent_m / 2,
        size_m=look.bend_m,
        lengths_m=(rng.uniform(260, 420), rng.uniform(240, 380)),
        phases=tuple(rng.uniform(0, 2 * np.pi, 4)),
    )


def _crossings(rng: np.random.Generator, reach: float) -> list[float]:
    places = [-reach + rng.uniform(0, 80)]
    while places[-1] < reach:
        places.append(places[-1] + rng.uniform(110, 230))
    return places


def _street(
    bend: _Bend, start: tuple[float, float], end: tuple[float, float], width_m: float
) -> Street:
    u, v = np.linspace(start[0], end[0], 120), np.linspace(start[1], end[1], 120)
    return Street(LineString(bend(u, v)), width_m)


def _divide(
    rng: np.random.Generator,
    bend: _Bend,
    look: Look,
    block: tuple[float, float, float, float],
) -> list[Lot]:
    """Cut a block into back-to-back gardens, with a special lot now and then."""
    left, right, top, bottom = block
    middle = (top + bottom) / 2 + rng.uniform(-3, 3)
    lots: list[Lot] = []
    while right - left > 14:
        special = rng.random() < 0.12 and right - left > 48
        width = rng.uniform(42, 60) if special else look.lot_width_m * rng.uniform(0.8, 1.35)
        width = width if right - left - width > 14 else right - left
        if special:
            kind = str(rng.choice(_SPECIALS, p=_SPECIAL_ODDS))
            lots.append(_lot(bend, kind, (left, left + width, top, bottom), back=False))
        else:
            lots.append(_lot(bend, "garden", (left, left + width, top, middle), back=False))
            lots.append(_lot(bend, "garden", (left, left + width, middle, bottom), back=True))
        left += width
    return lots


def _lot(bend: _Bend, kind: str, span: tuple[float, float, float, float], *, back: bool) -> Lot:
    left, right, top, bottom = span
    middle = (left + right) / 2
    ahead = bend(np.array([middle - 1, middle, middle + 1]), np.full(3, (top + bottom) / 2))
    dx, dy = ahead[2] - ahead[0]
    angle = float(np.arctan2(dy, dx)) + (np.pi if back else 0.0)
    # Lots are skewed where streets bend: hanging the frame on the centre shares out the misfit.
    frame = Frame(float(ahead[1, 0]), float(ahead[1, 1]), angle).at(0, (top - bottom) / 2)
    return Lot(kind, frame, right - left, bottom - top, _outline(bend, span))


def _outline(bend: _Bend, span: tuple[float, float, float, float]) -> Polygon:
    left, right, top, bottom = span
    across, down = np.linspace(left, right, 8), np.linspace(top, bottom, 8)
    u = np.concatenate([across, np.full(8, right), across[::-1], np.full(8, left)])
    v = np.concatenate([np.full(8, top), down, np.full(8, bottom), down[::-1]])
    return Polygon(bend(u, v)).buffer(0)
