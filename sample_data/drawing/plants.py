"""Trees, hedges and grass."""

from dataclasses import dataclass

import numpy as np
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from drawing.canvas import Canvas, Region, vary
from drawing.looks import Colour
from drawing.textures import Field, blend, smoothstep

_LUSH: tuple[Colour, ...] = ((92, 122, 76), (76, 106, 70), (112, 136, 80), (82, 112, 86))
_DRY: tuple[Colour, ...] = ((112, 122, 86), (128, 132, 100), (98, 112, 82), (122, 122, 90))
_DARK: Colour = (74, 98, 74)
_GRASS_GREEN: Colour = (104, 128, 80)
_GRASS_DRY: Colour = (178, 162, 132)
_SMALLEST_TREE_M = 1.5  # width of a crown; smaller plants are shrubs


@dataclass(frozen=True)
class Tree:
    """A tree: where it stands, how wide its crown and how high its top, and its kind."""

    x_m: float
    y_m: float
    radius_m: float
    top_m: float
    kind: str = "broad"


def choose_tree(rng: np.random.Generator, x_m: float, y_m: float, radius_m: float) -> Tree:
    """Draw the kind and height of a tree of a given crown radius."""
    if radius_m < 1.3 and rng.random() < 0.25:
        return Tree(x_m, y_m, radius_m * 0.8, rng.uniform(5, 9), "cypress")
    if 1.6 < radius_m < 3.2 and rng.random() < 0.13:
        return Tree(x_m, y_m, radius_m, rng.uniform(4, 9), "palm")
    return Tree(x_m, y_m, radius_m, float(radius_m * rng.uniform(1.2, 2.2) + 1.0))


def crown_outline(tree: Tree, rng: np.random.Generator) -> Polygon:
    """Return the ragged edge of a crown."""
    count = int(np.clip(tree.radius_m * 14, 16, 56))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radii = 1 + rng.normal(0, 0.05, count)
    if tree.kind == "palm":
        radii = 0.68 + 0.32 * np.cos(angles * 8 + rng.uniform(0, 6)) + rng.normal(0, 0.06, count)
    for wave in (2, 3, 5):
        radii += rng.normal(0, 0.06) * np.cos(wave * angles + rng.uniform(0, 6.3))
    radii = tree.radius_m * np.clip(radii, 0.35, 1.3)
    return Polygon(
        np.column_stack([tree.x_m + radii * np.cos(angles), tree.y_m + radii * np.sin(angles)])
    ).buffer(0)


def draw_tree(canvas: Canvas, tree: Tree, rng: np.random.Generator) -> None:
    """Paint a crown where it stands above what is already there, and record trees."""
    outline = crown_outline(tree, rng)
    region = canvas.region(outline)
    if region is None or not isinstance(outline, Polygon):
        return
    height = _crown_height(canvas, tree, region, rng)
    _lay_leaves(canvas, region, height, _leaf_colour(canvas, tree, rng), rng)
    if 2 * tree.radius_m >= _SMALLEST_TREE_M:
        canvas.record("tree", outline, tree.top_m + 0.6)


def draw_hedge(canvas: Canvas, shape: BaseGeometry, top_m: float, rng: np.random.Generator) -> None:
    """Paint clipped or rough foliage over a shape of any plan."""
    region = canvas.region(shape)
    if region is None:
        return
    leaves = canvas.texture("leaves_m", region, rng)
    height = np.asarray(top_m - 0.7 + 0.8 * leaves, dtype=np.float32)
    _lay_leaves(canvas, region, height, vary(rng, _DARK, 0.1), rng)


def draw_grass(
    canvas: Canvas, shape: BaseGeometry, greenness: float, rng: np.random.Generator
) -> None:
    """Paint a lawn or a meadow, between parched (0) and watered (1), with bare patches."""
    region = canvas.region(shape)
    if region is None:
        return
    mood = 0.55 * canvas.texture("broad", region, rng) + 0.4 * canvas.texture("grain", region, rng)
    share = smoothstep(mood + np.float32(4 * greenness - 2), -1.3, 1.3)
    dry, green = np.array(vary(rng, _GRASS_DRY)), np.array(vary(rng, _GRASS_GREEN, 0.1))
    colour = blend(dry.astype(np.float32), green.astype(np.float32), share[..., None])
    rough = 1 + 0.06 * canvas.texture("grain", region, rng)
    rough += 0.05 * canvas.texture("speckle", region, rng)
    canvas.lay(region, colour * rough[..., None])


def _leaf_colour(canvas: Canvas, tree: Tree, rng: np.random.Generator) -> Colour:
    if tree.kind == "cypress":
        return vary(rng, _DARK, 0.1)
    palette = _LUSH if rng.random() < 0.25 + 0.7 * canvas.look.greenness else _DRY
    return vary(rng, palette[int(rng.integers(len(palette)))], 0.13)


def _crown_height(canvas: Canvas, tree: Tree, region: Region, rng: np.random.Generator) -> Field:
    dx, dy = region.x_m - np.float32(tree.x_m), region.y_m - np.float32(tree.y_m)
    inside = np.clip(1 - (dx**2 + dy**2) / np.float32(tree.radius_m**2), 0, 1)
    dome = np.sqrt(inside) if tree.kind != "cypress" else inside
    depth_m = min(tree.top_m * 0.7, tree.radius_m * 1.1) if tree.kind == "broad" else 0.5
    bumps = canvas.texture("leaves_m", region, rng) * np.float32(min(1.0, tree.radius_m / 2))
    return np.asarray(tree.top_m - depth_m * (1 - dome) + bumps - 0.5, dtype=np.float32)


def _lay_leaves(
    canvas: Canvas, region: Region, height: Field, colour: Colour, rng: np.random.Generator
) -> None:
    slope_x, slope_y = canvas.slopes(height)
    light = canvas.sun.shade(np.clip(slope_x, -1.6, 1.6), np.clip(slope_y, -1.6, 1.6))
    tone = (0.2 + 0.72 * light) * (1 + 0.09 * canvas.texture("grain", region, rng))
    above = height > canvas.height_m[region.rows, region.cols]
    canvas.lay(region, np.array(colour, dtype=np.float32) * tone[..., None], np.float32(1) * above)
    window = canvas.height_m[region.rows, region.cols]
    np.copyto(window, height, where=above & (region.cover >= 0.5))
