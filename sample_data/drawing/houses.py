"""Buildings: roofs with lit and shaded faces, tiles, chimneys and solar panels."""

from dataclasses import dataclass

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry import Polygon

from drawing.canvas import Canvas, Frame, Region, box, pick
from drawing.looks import Colour, Look
from drawing.textures import Field

_TERRACOTTA: tuple[Colour, ...] = (
    (186, 146, 120),
    (168, 136, 114),
    (196, 158, 132),
    (150, 126, 108),
    (176, 128, 104),
    (204, 170, 144),
)
_SHINGLE: tuple[Colour, ...] = (
    (118, 116, 116),
    (92, 92, 98),
    (136, 124, 112),
    (110, 96, 86),
    (152, 148, 142),
)
_FLAT: tuple[Colour, ...] = ((222, 218, 210), (204, 200, 194), (176, 172, 168), (198, 186, 170))
_METAL: tuple[Colour, ...] = ((74, 112, 168), (96, 136, 184), (150, 60, 52), (196, 198, 200))


@dataclass(frozen=True)
class Wing:
    """One rectangular part of a house, about its own frame (`a` along the ridge)."""

    frame: Frame
    length_m: float
    width_m: float
    eave_m: float
    pitch: float
    hipped: bool

    @property
    def outline(self) -> Polygon:
        """The plan of the wing, in scene metres."""
        return self.frame.place(box(self.length_m, self.width_m))

    def surface(self, x_m: Field, y_m: Field) -> tuple[Field, Field, Field, Field]:
        """Return height, slopes along x and y, and metres across the slope (for tile rows)."""
        a, b = self.frame.local(x_m, y_m)
        from_side = self.width_m / 2 - np.abs(b)
        from_end = self.length_m / 2 - np.abs(a)
        end_face = (from_end < from_side) if self.hipped else np.zeros_like(from_end, dtype=bool)
        height = self.eave_m + self.pitch * np.where(end_face, from_end, from_side)
        inside = (from_side > -0.3) & (from_end > -0.3)
        slope_a = np.where(end_face, -np.sign(a) * self.pitch, 0.0)
        slope_b = np.where(end_face, 0.0, -np.sign(b) * self.pitch)
        cos, sin = np.cos(self.frame.angle_rad), np.sin(self.frame.angle_rad)
        slope_x, slope_y = cos * slope_a - sin * slope_b, sin * slope_a + cos * slope_b
        across = np.where(end_face, b, a)
        return np.where(inside, height, -9.0), slope_x, slope_y, across


@dataclass(frozen=True)
class House:
    """A building of one or more wings under one kind of roof."""

    wings: tuple[Wing, ...]
    colour: Colour
    tiled: bool

    @property
    def outline(self) -> Polygon:
        """The plan of the house, in scene metres."""
        return shapely.union_all([wing.outline for wing in self.wings])


def choose_house(rng: np.random.Generator, frame: Frame, look: Look, scale: float = 1.0) -> House:
    """Design a house centred on a frame whose `a` axis follows the street."""
    kind = rng.random()
    tiled = kind < look.terracotta + look.shingle
    palette = _TERRACOTTA if kind < look.terracotta else _SHINGLE if tiled else _FLAT
    pitch = rng.uniform(0.26, 0.5) if tiled else 0.0
    length, width = scale * rng.uniform(10.5, 15), scale * rng.uniform(7.5, 10)
    hipped = bool(rng.random() < 0.45)
    eave = rng.uniform(2.8, 5.6)
    main = Wing(frame, length, width, eave, pitch, hipped)
    wings = [main]
    if rng.random() < 0.75:
        wings.append(_side_wing(rng, main))
    if rng.random() < 0.35:
        wings.append(_annex(rng, main))
    return House(tuple(wings), pick(rng, palette), tiled)


def draw_house(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    """Paint the roof and raise it above the ground."""
    region = canvas.region(house.outline)
    if region is None:
        return
    height, slope_x, slope_y, across = _roof_surface(house, region)
    tone = _roof_tone(canvas, house, region, across, rng)
    light = canvas.sun.shade(slope_x, slope_y)
    canvas.lay(region, np.array(house.colour, dtype=np.float32) * (tone * light)[..., None])
    canvas.lift(region, np.maximum(height, 2.2))
    _draw_roof_edges(canvas, house)
    for _ in range(int(rng.integers(0, 3))):
        _draw_chimney(canvas, house.wings[0], rng)
    _draw_roof_fittings(canvas, house, rng)


def draw_shed(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> Polygon:
    """Paint a garden hut, sometimes with a blue roof, and return its plan."""
    blue = rng.random() < 0.2
    colour = pick(rng, _METAL[:2]) if blue else pick(rng, _SHINGLE + _TERRACOTTA[:3])
    wing = Wing(frame, rng.uniform(2.4, 4.2), rng.uniform(2.0, 3.0), 2.0, 0.25, False)
    draw_house(canvas, House((wing,), colour, False), rng)
    return wing.outline


def draw_hall(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, rng: np.random.Generator
) -> None:
    """Paint a large shed with a ribbed metal roof, often blue."""
    wing = Wing(frame, length_m, width_m, 5.0, 0.08, False)
    draw_house(canvas, House((wing,), pick(rng, _METAL), False), rng)
    dark = (90.0, 96.0, 104.0)
    for a_m in np.arange(-length_m / 2 + 1, length_m / 2, rng.uniform(1.2, 2.4)):
        rib = frame.at(float(a_m), 0).place(box(0.15, width_m - 0.3))
        canvas.paint(rib, dark, opacity=0.22)
    for a_m in np.arange(-length_m / 2 + 4, length_m / 2 - 3, 7.0):
        skylight = frame.at(float(a_m), width_m / 4).place(box(1.2, width_m / 3))
        canvas.paint(skylight, (210, 220, 222), opacity=0.8)


def draw_solar_panels(
    canvas: Canvas, frame: Frame, columns: int, rows: int, light: float = 1.0
) -> None:
    """Paint a dark blue grid of modules of 1.0 m by 1.65 m."""
    tone = 0.75 + 0.35 * light
    field = box(columns * 1.02, rows * 1.67)
    canvas.paint(frame.place(field.buffer(0.06)), (150, 156, 164), opacity=0.7)
    modules = [
        affinity.translate(
            box(0.9, 1.52), (column - (columns - 1) / 2) * 1.02, (row - (rows - 1) / 2) * 1.67
        )
        for column in range(columns)
        for row in range(rows)
    ]
    shape = frame.place(shapely.union_all(modules))
    canvas.paint(shape, (40 * tone, 52 * tone, 84 * tone), rough=0.05)


def _side_wing(rng: np.random.Generator, main: Wing) -> Wing:
    """A lower wing at right angles, which makes the plan an L or a T."""
    length, width = rng.uniform(6, 9), main.width_m * rng.uniform(0.6, 0.85)
    side = 1 if rng.random() < 0.5 else -1
    a_m = side * rng.uniform(0.0, (main.length_m - width) / 2)
    b_m = (1 if rng.random() < 0.6 else -1) * (main.width_m / 2 + length / 2 - width / 2 * 0.9)
    frame = main.frame.at(a_m, b_m, np.pi / 2)
    pitch = main.pitch * (main.width_m / width) * 0.85 if main.pitch else 0.0
    eave = main.eave_m - rng.uniform(0.0, 0.8)
    return Wing(frame, length, width, eave, min(pitch, 0.55), main.hipped)


def _annex(rng: np.random.Generator, main: Wing) -> Wing:
    """A garage or lean-to at the end of the main body."""
    length, width = rng.uniform(3, 6), rng.uniform(4.5, 6.5)
    side = 1 if rng.random() < 0.5 else -1
    a_m = side * (main.length_m / 2 + length / 2 - 0.05)
    frame = main.frame.at(a_m, rng.uniform(-1, 1) * (main.width_m - width) / 2)
    return Wing(frame, length, width, 2.6, main.pitch * 0.8, False)


def _roof_surface(house: House, region: Region) -> tuple[Field, Field, Field, Field]:
    """Take, per pixel, the wing that stands highest."""
    layers = [wing.surface(region.x_m, region.y_m) for wing in house.wings]
    top = np.argmax([layer[0] for layer in layers], axis=0)[None]
    height, slope_x, slope_y, across = (
        np.take_along_axis(np.stack([layer[part] for layer in layers]), top, axis=0)[0]
        for part in range(4)
    )
    return height, slope_x, slope_y, across


def _roof_tone(
    canvas: Canvas, house: House, region: Region, across: Field, rng: np.random.Generator
) -> Field:
    """Weathering in patches, and rows of tiles running down the slope."""
    tone = 1 + 0.055 * canvas.texture("grain", region, rng)
    tone += 0.03 * canvas.texture("broad", region, rng)
    if house.tiled:
        tone += 0.045 * canvas.texture("speckle", region, rng)
        spacing_m = rng.uniform(0.55, 0.95)
        tone += 0.035 * np.sin(across * (2 * np.pi / spacing_m))
    return np.asarray(tone, dtype=np.float32)


def _draw_roof_edges(canvas: Canvas, house: House) -> None:
    """Light ridges and verges on tiled roofs, a parapet on flat ones."""
    if not house.tiled:
        outline = house.outline
        canvas.paint(outline.difference(outline.buffer(-0.35)), (226, 222, 214), opacity=0.6)
        return
    for wing in house.wings:
        inset = wing.width_m / 2 if wing.hipped else 0.2
        ridge = box(max(wing.length_m - 2 * inset, 0.4), 0.32)
        canvas.paint(wing.frame.place(ridge), (206, 184, 164), opacity=0.4)


def _draw_chimney(canvas: Canvas, wing: Wing, rng: np.random.Generator) -> None:
    a_m = rng.uniform(-0.4, 0.4) * wing.length_m
    spot = wing.frame.at(a_m, rng.uniform(-0.3, 0.3) * wing.width_m)
    top_m = wing.eave_m + wing.pitch * wing.width_m / 2 + 0.8
    stack = spot.place(box(rng.uniform(0.6, 1.1), 0.6))
    canvas.paint(stack, pick(rng, ((206, 192, 176), (150, 110, 90))), height_m=top_m)


def _draw_roof_fittings(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    wing = house.wings[0]
    if wing.length_m < 9:
        return
    if rng.random() < 0.11:
        side = 1 if np.cos(wing.frame.angle_rad) > 0 else -1  # the face turned south
        frame = wing.frame.at(rng.uniform(-2, 2), side * wing.width_m * 0.24)
        draw_solar_panels(canvas, frame, int(rng.integers(3, 8)), int(rng.integers(1, 3)))
    elif rng.random() < 0.3:
        for a_m in rng.uniform(-0.35, 0.35, 2) * wing.length_m:
            spot = wing.frame.at(float(a_m), 0.2 * wing.width_m)
            canvas.paint(spot.place(box(0.8, 1.1)), (92, 104, 120))
    if not house.tiled:
        for _ in range(int(rng.integers(1, 5))):
            spot = wing.frame.at(*(rng.uniform(-0.38, 0.38, 2) * (wing.length_m, wing.width_m)))
            unit = spot.place(box(rng.uniform(0.7, 1.5), 0.9))
            canvas.paint(unit, (190, 192, 194), height_m=wing.eave_m + 0.9)
