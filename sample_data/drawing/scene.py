"""A whole scene, from seed to picture and truth."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon

from drawing.canvas import Canvas
from drawing.gardens import draw_garden
from drawing.grounds import draw_ground
from drawing.layout import make_plan
from drawing.light import photograph
from drawing.looks import choose_look
from drawing.plants import Tree, draw_grass, draw_tree
from drawing.streets import draw_streets
from drawing.textures import make_textures


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        rgb: The picture, uint8 of shape (rows, columns, 3).
        objects: Class name and outline of each object, in pixel coordinates with x to the
            right, y downwards and the origin at the outer corner of the first pixel.
    """

    rgb: NDArray[np.uint8]
    objects: list[tuple[str, Polygon]]


def draw_scene(seed: int, size_px: int = 2500, gsd_m: float = 0.20) -> Scene:
    """Draw an imaginary neighbourhood; the same arguments give the same pixels.

    Args:
        seed: Chooses the look, the plan and everything in it.
        size_px: Side of the square picture.
        gsd_m: Side of a pixel on the ground.
    """
    # One stream per stage, so that a change in one stage leaves the others as they were.
    looks, fields, plans, ground, plants, camera = (
        np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(6)
    )
    look = choose_look(looks)
    canvas = Canvas.blank(size_px, gsd_m, look, make_textures(fields, gsd_m))
    plan = make_plan(plans, canvas.extent_m, look)
    whole = shapely.box(0, 0, canvas.extent_m, canvas.extent_m)
    draw_grass(canvas, whole, 0.6 * look.greenness, ground)
    draw_streets(canvas, plan.streets, ground)
    trees: list[Tree] = []
    for lot in plan.lots:
        if lot.outline.intersects(whole):
            draw = draw_garden if lot.kind == "garden" else draw_ground
            trees += draw(canvas, lot, ground)
    for tree in trees:
        draw_tree(canvas, tree, plants)
    return Scene(photograph(canvas, camera), canvas.objects())
