"""Lots without a house: park, wood, meadow, car park, sports courts, allotments, halls."""

from collections.abc import Callable

import numpy as np
import shapely
from shapely.geometry import LineString

from drawing.canvas import Canvas, Frame, box, pick, vary
from drawing.decoys import draw_decoy, draw_glasshouse, draw_vegetable_bed
from drawing.houses import draw_hall, draw_shed
from drawing.layout import Lot
from drawing.looks import Colour
from drawing.plants import Tree, choose_tree, draw_grass
from drawing.vehicles import draw_car

_COURTS: tuple[Colour, ...] = ((176, 108, 82), (84, 124, 92), (70, 112, 160), (94, 142, 176))
_LINE: Colour = (238, 238, 234)


def draw_ground(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    """Paint a special lot and return its trees."""
    return _GROUNDS[lot.kind](canvas, lot, rng)


def scatter_trees(
    lot: Lot, count: int, radii_m: tuple[float, float], rng: np.random.Generator
) -> list[Tree]:
    """Strew trees over a lot."""
    trees = []
    for _ in range(count):
        spot = lot.frame.at(
            rng.uniform(-0.48, 0.48) * lot.width_m, rng.uniform(0.03, 0.97) * lot.depth_m
        )
        if _inside(lot, spot):
            trees.append(choose_tree(rng, spot.x_m, spot.y_m, rng.uniform(*radii_m)))
    return trees


def _inside(lot: Lot, spot: Frame) -> bool:
    return bool(lot.outline.contains(shapely.Point(spot.x_m, spot.y_m)))


def _area(lot: Lot) -> float:
    return lot.width_m * lot.depth_m


def _draw_park(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    draw_grass(canvas, lot.outline, min(1.0, canvas.look.greenness + 0.15), rng)
    for _ in range(3):
        ends = rng.uniform(-0.5, 0.5, 3) * lot.width_m
        spots = [
            lot.frame.at(a, share * lot.depth_m) for a, share in zip(ends, (0, 0.5, 1), strict=True)
        ]
        path = LineString([(spot.x_m, spot.y_m) for spot in spots])
        smooth = path.buffer(9).buffer(-8).intersection(lot.outline)
        canvas.paint(smooth, (206, 192, 168), rough=0.05)
    return scatter_trees(lot, int(_area(lot) / 110), (1.8, 5.0), rng)


def _draw_wood(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    draw_grass(canvas, lot.outline, canvas.look.greenness, rng)
    return scatter_trees(lot, int(_area(lot) / 17), (1.4, 4.6), rng)


def _draw_meadow(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    draw_grass(canvas, lot.outline, canvas.look.greenness * 0.4, rng)
    return scatter_trees(lot, int(_area(lot) / 240), (0.6, 3.4), rng)


def _draw_orchard(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    draw_grass(canvas, lot.outline, canvas.look.greenness * 0.7, rng)
    spacing = rng.uniform(4.5, 6.5)
    trees = []
    for a_m in np.arange(-lot.width_m / 2 + 3, lot.width_m / 2 - 2, spacing):
        for b_m in np.arange(3, lot.depth_m - 2, spacing):
            spot = lot.frame.at(a_m + rng.normal(0, 0.3), b_m + rng.normal(0, 0.3))
            if rng.random() < 0.9 and _inside(lot, spot):
                trees.append(Tree(spot.x_m, spot.y_m, rng.uniform(1.1, 2.0), rng.uniform(2, 3.2)))
    return trees


def _draw_parking(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    tone = float(rng.uniform(128, 168))
    canvas.paint(lot.outline, (tone, tone * 0.99, tone * 0.97), rough=0.05)
    for b_m in np.arange(5, lot.depth_m - 4, 8.5):
        for a_m in np.arange(-lot.width_m / 2 + 4, lot.width_m / 2 - 3, 2.6):
            if not _inside(lot, lot.frame.at(a_m, b_m)):
                continue
            canvas.paint(lot.frame.at(a_m - 1.3, b_m).place(box(0.12, 4.8)), _LINE, opacity=0.8)
            if rng.random() < 0.55:
                heading = np.pi / 2 * (1 if rng.random() < 0.5 else -1)
                spot = lot.frame.at(a_m, b_m + rng.normal(0, 0.2), heading + rng.normal(0, 0.02))
                draw_car(canvas, spot, rng)
    trees = scatter_trees(lot, 14, (1.4, 2.6), rng)
    return [tree for tree in trees if rng.random() < 0.6]


def _draw_courts(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    draw_grass(canvas, lot.outline, canvas.look.greenness, rng)
    for a_m in (-lot.width_m / 4, lot.width_m / 4):
        court = lot.frame.at(a_m, lot.depth_m * 0.4, np.pi / 2)
        if lot.outline.buffer(2).contains(court.place(box(34, 17))):
            _draw_tennis(canvas, court, rng)
    pitch = lot.frame.at(0, lot.depth_m * 0.84)
    if lot.outline.contains(pitch.place(box(22, 11))):
        _draw_small_pitch(canvas, pitch, rng)
    trees = scatter_trees(lot, 26, (1.5, 3.6), rng)
    return [tree for tree in trees if _far_from_middle(lot, tree)]


def _far_from_middle(lot: Lot, tree: Tree) -> bool:
    return bool(shapely.Point(tree.x_m, tree.y_m).distance(lot.outline.boundary) < 2.5)


def _draw_tennis(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    surface, inner = pick(rng, _COURTS), pick(rng, _COURTS)
    canvas.paint(frame.place(box(34, 17)), surface, rough=0.03)
    canvas.paint(frame.place(box(23.8, 11)), inner, rough=0.03)
    outlines = [box(23.8, 11), box(23.8, 8.2), box(12.8, 8.2), box(12.8, 0.08)]
    lines = [shape.exterior.buffer(0.07) for shape in outlines]
    canvas.paint(frame.place(shapely.union_all(lines)), _LINE, opacity=0.85)
    canvas.paint(frame.place(box(0.2, 12.6)), (60, 64, 62), opacity=0.7, height_m=1.0)
    fence = box(34, 17).exterior.buffer(0.1)
    canvas.paint(frame.place(fence), (90, 104, 92), opacity=0.5)


def _draw_small_pitch(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    canvas.paint(frame.place(box(22, 11)), pick(rng, _COURTS[2:]), rough=0.03)
    lines = [box(21, 10), box(10.5, 10), box(15, 4)]
    marks = shapely.union_all([shape.exterior.buffer(0.08) for shape in lines])
    canvas.paint(frame.place(marks), _LINE, opacity=0.85)


def _draw_allotments(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    draw_grass(canvas, lot.outline, canvas.look.greenness * 0.8, rng)
    for a_m in np.arange(-lot.width_m / 2 + 6, lot.width_m / 2 - 4, 10.5):
        for b_m in np.arange(6, lot.depth_m - 5, 11):
            if not _inside(lot, lot.frame.at(a_m, b_m)):
                continue
            for shift in (-2.6, 2.2):
                draw_vegetable_bed(canvas, lot.frame.at(a_m, b_m + shift, rng.normal(0, 0.05)), rng)
            extra = lot.frame.at(a_m + 3.5, b_m + 3.6)
            draw = (draw_shed, draw_decoy, draw_glasshouse)[int(rng.integers(3))]
            draw(canvas, extra, rng)
    return scatter_trees(lot, 18, (0.7, 1.8), rng)


def _draw_hall_lot(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    canvas.paint(lot.outline, vary(rng, (170, 164, 156)), rough=0.06)
    centre = lot.frame.at(0, lot.depth_m * 0.55)
    draw_hall(canvas, centre, lot.width_m * 0.72, min(26.0, lot.depth_m * 0.45), rng)
    for a_m in np.arange(-lot.width_m / 2 + 4, lot.width_m / 2 - 4, 2.8):
        if rng.random() < 0.5:
            draw_car(canvas, lot.frame.at(float(a_m), 5, np.pi / 2), rng)
    return scatter_trees(lot, 5, (1.4, 2.8), rng)


_GROUNDS: dict[str, Callable[[Canvas, Lot, np.random.Generator], list[Tree]]] = {
    "park": _draw_park,
    "wood": _draw_wood,
    "meadow": _draw_meadow,
    "orchard": _draw_orchard,
    "parking": _draw_parking,
    "courts": _draw_courts,
    "allotments": _draw_allotments,
    "hall": _draw_hall_lot,
}
