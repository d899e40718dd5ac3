"""Swimming pools: outlines, water, surrounds and what floats on them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry import Polygon

from drawing.canvas import Canvas, Frame, box, disc, pick, vary
from drawing.looks import Colour
from drawing.textures import Field, blend, smoothstep

_WATER: tuple[tuple[float, Colour], ...] = (
    (0.29, (128, 194, 196)),  # turquoise
    (0.14, (158, 212, 216)),  # pale
    (0.17, (96, 180, 208)),  # sky blue
    (0.12, (116, 176, 174)),  # sand-coloured liner
    (0.08, (64, 142, 188)),  # blue
    (0.05, (56, 108, 166)),  # deep blue
    (0.08, (112, 170, 146)),  # greenish
    (0.04, (68, 102, 80)),  # neglected
    (0.03, (74, 112, 122)),  # dark grey liner
)
_TERRACES: tuple[Colour, ...] = (
    (226, 208, 184),
    (214, 200, 182),
    (236, 228, 214),
    (240, 226, 202),
    (196, 188, 176),
    (206, 170, 142),
    (158, 132, 108),
)
_COPINGS: tuple[Colour, ...] = (
    (232, 224, 210),
    (214, 206, 194),
    (240, 236, 228),
    (206, 178, 152),
    (184, 178, 170),
)
_FLOATS: tuple[Colour, ...] = ((240, 240, 235), (235, 120, 150), (240, 200, 60), (230, 110, 60))


@dataclass(frozen=True)
class Pool:
    """A pool to be drawn: the outline of its water, where, and whether it stands on the ground."""

    frame: Frame
    shape: Polygon
    raised: bool

    @property
    def outline(self) -> Polygon:
        """The edge of the water, in scene metres."""
        return self.frame.place(self.shape)


def choose_pool_shape(rng: np.random.Generator) -> tuple[Polygon, bool]:
    """Draw an outline about the origin, and whether the pool is of the above-ground kind."""
    if rng.random() < 0.13:
        radius = rng.uniform(1.5, 2.4)
        stretch = rng.uniform(1.3, 1.6) if rng.random() < 0.2 else 1.0
        return affinity.scale(disc(radius), stretch, 1.0), True
    size_m = float(np.clip(rng.normal(6.6, 1.25), 4.4, 10.0))
    make = _SHAPES[int(rng.choice(len(_SHAPES), p=_SHAPE_ODDS))]
    shape = make(rng)
    left, top, right, bottom = shape.bounds
    scale = size_m / float(np.sqrt((right - left) * (bottom - top)))
    mirror = scale if rng.random() < 0.5 else -scale
    return shapely.set_precision(affinity.scale(shape, scale, mirror), 0.001), False


def draw_surround(canvas: Canvas, pool: Pool, rng: np.random.Generator) -> None:
    """Paint the terrace about an in-ground pool; some pools lie in bare lawn."""
    if pool.raised or rng.random() < 0.15:
        return
    margin_m = rng.uniform(0.9, 2.8)
    hull = shapely.minimum_rotated_rectangle(pool.shape)
    squared = rng.random() < 0.65
    terrace = hull.buffer(margin_m, join_style="mitre") if squared else pool.shape.buffer(margin_m)
    if rng.random() < 0.55:
        shift = rng.uniform(-2.2, 2.2, 2)
        terrace = terrace.union(affinity.translate(terrace, *shift)).simplify(0.05)
    colour = pick(rng, _TERRACES)
    canvas.paint(pool.frame.place(terrace), colour, rough=0.045)
    _draw_slab_joints(canvas, pool, terrace, colour, rng)
    _draw_loungers(canvas, pool, margin_m, rng)


def draw_pool(canvas: Canvas, pool: Pool, rng: np.random.Generator) -> None:
    """Paint rim, water and accessories, and record the pool."""
    if pool.raised:
        wall = pick(rng, ((70, 110, 170), (225, 225, 225), (150, 150, 150), (120, 95, 70)))
        rim_m, rise_m = rng.uniform(0.15, 0.3), 1.1
        canvas.paint(pool.frame.place(pool.shape.buffer(rim_m)), wall, height_m=rise_m)
    else:
        rim_m, rise_m = rng.uniform(0.25, 0.55), 0.0
        rim = pool.frame.place(pool.shape.buffer(rim_m, join_style="mitre"))
        canvas.paint(rim, pick(rng, _COPINGS), rough=0.03)
    _draw_water(canvas, pool, rise_m - rng.uniform(0.1, 0.5), rng)
    _draw_accessories(canvas, pool, rng)
    canvas.record("pool", pool.outline, rise_m + 0.6)


def _draw_water(canvas: Canvas, pool: Pool, level_m: float, rng: np.random.Generator) -> None:
    region = canvas.region(pool.outline)
    if region is None:
        return
    base = _choose_water(rng, pool.raised)
    along, _ = pool.frame.local(region.x_m, region.y_m)
    left, _, right, _ = pool.shape.bounds
    depth = smoothstep((along - left) / (right - left), 0.05, 0.95)
    if pool.raised:
        depth *= 0
    shallow = np.array(base) * rng.uniform(1.0, 1.14)
    deep = np.array(base) * (1 - rng.uniform(0.03, 0.3) * np.array([1.0, 0.55, 0.4]))
    water = blend(_as_field(shallow), _as_field(deep), depth[..., None])
    ripple = 0.035 * canvas.texture("grain", region, rng) * rng.uniform(0.4, 1.3)
    ripple += 0.025 * canvas.texture("speckle", region, rng)
    canvas.lay(region, water * (1 + ripple)[..., None])
    canvas.lift(region, level_m)


def _choose_water(rng: np.random.Generator, raised: bool) -> Colour:
    odds = np.array([share for share, _ in _WATER])
    if raised:  # the liners of above-ground pools are mostly blue
        odds = odds * np.array([1, 0.6, 3, 0.3, 3, 1.4, 0.5, 0.5, 0.2])
    chosen = int(rng.choice(len(_WATER), p=odds / odds.sum()))
    return vary(rng, _WATER[chosen][1], 0.09)


def _as_field(colour: object) -> Field:
    return np.asarray(colour, dtype=np.float32)


def _draw_accessories(canvas: Canvas, pool: Pool, rng: np.random.Generator) -> None:
    if not pool.raised and rng.random() < 0.5:
        _draw_steps(canvas, pool, rng)
    if not pool.raised and rng.random() < 0.1:
        _draw_diving_board(canvas, pool)
    if rng.random() < 0.1:
        _draw_float(canvas, pool, rng)
    if not pool.raised and rng.random() < 0.05:
        _draw_enclosure(canvas, pool)


def _draw_steps(canvas: Canvas, pool: Pool, rng: np.random.Generator) -> None:
    """Lighten two or three treads at the shallow end, straight or rounded."""
    left, top, _, bottom = pool.shape.bounds
    width = bottom - top
    for tread in range(int(rng.integers(2, 4))):
        reach = 0.4 * (tread + 1)
        if rng.random() < 0.75:
            strip = shapely.box(left, top, left + reach, bottom)
        else:
            strip = affinity.translate(disc(min(reach + 0.5, width / 2)), left, 0)
        inside = pool.shape.intersection(strip)
        canvas.paint(pool.frame.place(inside), (206, 230, 228), opacity=0.2, rough=0.02)


def _draw_diving_board(canvas: Canvas, pool: Pool) -> None:
    right = pool.shape.bounds[2]
    board = affinity.translate(box(2.0, 0.5), right, 0)
    canvas.paint(pool.frame.place(board), (238, 238, 232), height_m=0.5)


def _draw_float(canvas: Canvas, pool: Pool, rng: np.random.Generator) -> None:
    left, top, right, bottom = pool.shape.buffer(-0.8).bounds
    spot = shapely.Point(rng.uniform(left, right), rng.uniform(top, bottom))
    if not pool.shape.buffer(-0.7).contains(spot):
        return
    ring = disc(rng.uniform(0.4, 0.75))
    if rng.random() < 0.5:
        ring = ring.difference(disc(0.25))
    moved = affinity.translate(ring, spot.x, spot.y)
    canvas.paint(pool.frame.place(moved), pick(rng, _FLOATS), height_m=0.3)


def _draw_enclosure(canvas: Canvas, pool: Pool) -> None:
    """Cover the water with the ribs of a telescopic glass enclosure."""
    left, top, right, bottom = pool.shape.bounds
    canvas.paint(pool.outline, (222, 228, 226), opacity=0.3, rough=0.05)
    for a_m in np.arange(left, right, 1.9):
        rib = shapely.box(a_m, top - 0.3, a_m + 0.22, bottom + 0.3)
        canvas.paint(pool.frame.place(rib), (232, 232, 228), opacity=0.8)


def _draw_slab_joints(
    canvas: Canvas, pool: Pool, terrace: Polygon, colour: Colour, rng: np.random.Generator
) -> None:
    if rng.random() < 0.5:
        return
    left, top, right, bottom = terrace.bounds
    spacing = rng.uniform(0.8, 1.6)
    dark = (colour[0] * 0.86, colour[1] * 0.86, colour[2] * 0.86)
    lines = [shapely.box(a, top, a + 0.08, bottom) for a in np.arange(left, right, spacing)]
    lines += [shapely.box(left, b, right, b + 0.08) for b in np.arange(top, bottom, spacing)]
    joints = shapely.union_all(lines).intersection(terrace)
    canvas.paint(pool.frame.place(joints), dark, opacity=0.7)


def _draw_loungers(canvas: Canvas, pool: Pool, margin_m: float, rng: np.random.Generator) -> None:
    if margin_m < 1.3 or rng.random() < 0.45:
        return
    bottom = pool.shape.bounds[3]
    colour = pick(rng, ((240, 240, 236), (70, 110, 170), (120, 100, 85), (235, 225, 190)))
    for index in range(int(rng.integers(2, 5))):
        spot = pool.frame.at(-2 + 1.15 * index, bottom + margin_m * 0.62, rng.normal(1.57, 0.12))
        canvas.paint(spot.place(box(1.8, 0.6)), colour, height_m=0.35)


def _rectangle(rng: np.random.Generator) -> Polygon:
    return box(rng.uniform(1.5, 2.3), 1.0, rng.choice([0.0, 0.03, 0.12]))


def _lap(rng: np.random.Generator) -> Polygon:
    return box(rng.uniform(3.2, 4.6), 1.0)


def _oval(rng: np.random.Generator) -> Polygon:
    if rng.random() < 0.5:
        return affinity.scale(disc(0.5), rng.uniform(1.4, 2.0), 1.0)
    return box(rng.uniform(1.6, 2.2), 1.0, 0.498)


def _kidney(rng: np.random.Generator) -> Polygon:
    spread = rng.uniform(0.55, 0.8)
    big = affinity.translate(disc(0.55), -spread / 2, 0)
    small = affinity.translate(disc(rng.uniform(0.38, 0.52)), spread / 2, -0.12)
    bean = big.union(small).union(affinity.translate(box(spread, 0.5), 0, -0.15))
    return bean.buffer(-0.2).buffer(0.45).buffer(-0.25).simplify(0.005)


def _l_shape(rng: np.random.Generator) -> Polygon:
    long = box(rng.uniform(1.8, 2.4), 0.85)
    left, top, _, _ = long.bounds
    arm = shapely.box(left, top, left + rng.uniform(0.7, 0.95), top + rng.uniform(1.3, 1.7))
    return long.union(arm)


def _roman(rng: np.random.Generator) -> Polygon:
    body = box(rng.uniform(1.6, 2.1), 1.0)
    left, _, right, _ = body.bounds
    ends = [left] if rng.random() < 0.6 else [left, right]
    radius = rng.uniform(0.28, 0.5)
    caps = [affinity.translate(disc(radius), end, 0) for end in ends]
    return shapely.union_all([body, *caps])


def _free_form(rng: np.random.Generator) -> Polygon:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.ones_like(angles)
    for wave, size in ((2, 0.16), (3, 0.12), (4, 0.05)):
        radii += rng.normal(0, size) * np.cos(wave * angles + rng.uniform(0, 6.3))
    radii = np.clip(radii, 0.55, 1.6)
    points = np.column_stack(
        [radii * np.cos(angles) * rng.uniform(1.3, 1.8), radii * np.sin(angles)]
    )
    return Polygon(points)


def _cut_corners(rng: np.random.Generator) -> Polygon:
    body = box(rng.uniform(1.5, 2.0), 1.0)
    left, top, right, bottom = body.bounds
    cut = rng.uniform(0.15, 0.3)
    diamonds = [
        affinity.translate(affinity.rotate(box(cut * 1.41, cut * 1.41), 45), x, y)
        for x in (left, right)
        for y in (top, bottom)
    ]
    return body.difference(shapely.union_all(diamonds))


_SHAPES: tuple[Callable[[np.random.Generator], Polygon], ...] = (
    _rectangle,
    _lap,
    _oval,
    _kidney,
    _l_shape,
    _roman,
    _free_form,
    _cut_corners,
)
_SHAPE_ODDS = (0.42, 0.06, 0.11, 0.14, 0.05, 0.09, 0.09, 0.04)
