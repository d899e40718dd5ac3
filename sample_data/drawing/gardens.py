"""A house and the garden around it."""

from dataclasses import dataclass, field

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from drawing.canvas import Canvas, Frame, box, pick, vary
from drawing.decoys import draw_decoy
from drawing.houses import choose_house, draw_house, draw_shed
from drawing.layout import Lot
from drawing.looks import Colour
from drawing.plants import Tree, choose_tree, draw_grass, draw_hedge
from drawing.pools import Pool, choose_pool_shape, draw_pool, draw_surround
from drawing.vehicles import draw_car

_DRIVES: tuple[Colour, ...] = ((212, 198, 176), (178, 172, 164), (148, 146, 144), (196, 168, 146))
_TERRACES: tuple[Colour, ...] = ((222, 208, 188), (206, 190, 170), (190, 184, 176), (204, 168, 142))
_FENCES: tuple[Colour, ...] = ((206, 196, 182), (150, 132, 112), (186, 182, 176))


@dataclass
class _Ground:
    """Part of a lot that is still free."""

    lot: Lot
    free: BaseGeometry
    hard: list[BaseGeometry] = field(default_factory=list)

    def take(self, shape: BaseGeometry, margin_m: float) -> None:
        """Mark a shape and its margin as occupied by something without trees on it."""
        self.free = self.free.difference(shape.buffer(margin_m))
        self.hard.append(shape)

    def find(self, shape_at_origin: BaseGeometry, rng: np.random.Generator) -> Frame | None:
        """Look for a spot where a shape fits."""
        turns = (0.0, np.pi / 2, float(rng.uniform(-0.6, 0.6)), float(rng.uniform(0, np.pi)))
        for _ in range(28):
            frame = self.lot.frame.at(
                rng.uniform(-0.5, 0.5) * self.lot.width_m,
                rng.uniform(0.1, 1.0) * self.lot.depth_m,
                turns[int(rng.choice(4, p=(0.4, 0.28, 0.2, 0.12)))],
            )
            if self.free.contains(frame.place(shape_at_origin)):
                return frame
        return None


def draw_garden(canvas: Canvas, lot: Lot, rng: np.random.Generator) -> list[Tree]:
    """Paint a garden with its house, and return the trees to be drawn once all houses stand."""
    greenness = float(np.clip(canvas.look.greenness + rng.normal(0, 0.28), 0, 1))
    draw_grass(canvas, lot.outline, greenness, rng)
    ground = _Ground(lot, lot.outline.buffer(-1.0))
    _draw_house_and_drive(canvas, ground, rng)
    if rng.random() < canvas.look.pool_share:
        _draw_pool(canvas, ground, rng)
    _draw_objects(canvas, ground, rng)
    _draw_borders(canvas, ground, rng)
    return _plant(ground, canvas.look.tree_density, rng)


def _draw_house_and_drive(canvas: Canvas, ground: _Ground, rng: np.random.Generator) -> None:
    lot = ground.lot
    scale = float(np.clip(lot.width_m / 24, 0.75, 1.15))
    setback = rng.uniform(0.28, 0.42) * lot.depth_m
    seat = lot.frame.at(rng.uniform(-0.1, 0.1) * lot.width_m, setback, rng.normal(0, 0.09))
    seat = seat.at(0, 0, np.pi / 2) if rng.random() < 0.15 else seat
    house = choose_house(rng, seat, canvas.look, scale)
    side = 1 if rng.random() < 0.5 else -1
    drive = lot.frame.at(side * lot.width_m * 0.34, setback / 2)
    paving = drive.place(box(rng.uniform(3, 5.5), setback + 4)).intersection(lot.outline.buffer(2))
    canvas.paint(paving, pick(rng, _DRIVES), rough=0.05)
    _draw_terrace(canvas, house.outline, seat, rng)
    ground.take(paving, 0.2)
    ground.take(house.outline, rng.uniform(0.8, 1.6))
    draw_house(canvas, house, rng)
    if rng.random() < 0.5:
        spot = drive.at(rng.normal(0, 0.3), rng.uniform(-0.2, 0.1) * setback, np.pi / 2)
        if not house.outline.intersects(spot.place(box(4.8, 2))):
            draw_car(canvas, spot, rng)


def _draw_terrace(
    canvas: Canvas, house: BaseGeometry, seat: Frame, rng: np.random.Generator
) -> None:
    """Pave behind the house, and about it."""
    colour = pick(rng, _TERRACES)
    if rng.random() < 0.55:
        canvas.paint(house.buffer(rng.uniform(0.6, 1.8), join_style="mitre"), colour, rough=0.05)
    rear = seat.at(rng.uniform(-3, 3), rng.uniform(4, 7))
    canvas.paint(rear.place(box(rng.uniform(6, 12), rng.uniform(4, 9))), colour, rough=0.05)


def _draw_pool(canvas: Canvas, ground: _Ground, rng: np.random.Generator) -> None:
    for _ in range(3):
        shape, raised = choose_pool_shape(rng)
        frame = ground.find(shape.buffer(0.5), rng)
        if frame is not None:
            pool = Pool(frame, shape, raised)
            draw_surround(canvas, pool, rng)
            draw_pool(canvas, pool, rng)
            ground.take(pool.outline, 1.0)
            return


def _draw_objects(canvas: Canvas, ground: _Ground, rng: np.random.Generator) -> None:
    if rng.random() < 0.35:
        frame = ground.find(box(4.5, 3.2), rng)
        if frame is not None:
            ground.take(draw_shed(canvas, frame, rng), 0.3)
    for _ in range(int(rng.poisson(1.0))):
        frame = ground.find(box(4.4, 4.4), rng)
        if frame is not None:
            ground.take(draw_decoy(canvas, frame, rng), 0.2)
    if rng.random() < 0.4:
        _draw_path(canvas, ground, rng)


def _draw_path(canvas: Canvas, ground: _Ground, rng: np.random.Generator) -> None:
    """Lay a bare or gravelled patch."""
    lot = ground.lot
    spot = lot.frame.at(rng.uniform(-0.3, 0.3) * lot.width_m, rng.uniform(0.5, 0.9) * lot.depth_m)
    patch = spot.place(box(rng.uniform(3, 9), rng.uniform(1.2, 5), 0.5)).intersection(ground.free)
    canvas.paint(patch, vary(rng, (200, 182, 154)), rough=0.07, opacity=0.75)


def _draw_borders(canvas: Canvas, ground: _Ground, rng: np.random.Generator) -> None:
    """Close the sides and the back with a hedge, a wall or a fence; leave the drive open."""
    lot = ground.lot
    room = lot.outline.buffer(0.3).difference(shapely.union_all(ground.hard).buffer(0.4))
    for ends in ((-0.5, 0, -0.5, 1), (0.5, 0, 0.5, 1), (-0.5, 1, 0.5, 1), (-0.2, 0, 0.2, 0)):
        kind = rng.random()
        start = lot.frame.at(ends[0] * lot.width_m, ends[1] * lot.depth_m)
        end = lot.frame.at(ends[2] * lot.width_m, ends[3] * lot.depth_m)
        line = shapely.LineString([(start.x_m, start.y_m), (end.x_m, end.y_m)])
        if kind < 0.5:
            shape = line.buffer(rng.uniform(0.4, 1.0)).intersection(room)
            draw_hedge(canvas, shape, rng.uniform(1.2, 3.0), rng)
        elif kind < 0.85:
            wall = line.buffer(0.12).intersection(room)
            canvas.paint(wall, pick(rng, _FENCES), height_m=rng.uniform(0.8, 1.8))


def _plant(ground: _Ground, density: float, rng: np.random.Generator) -> list[Tree]:
    """Choose trees and shrubs that leave roofs, drives and most of the water open."""
    lot = ground.lot
    trees = []
    for _ in range(int(lot.width_m * lot.depth_m / 34 * density)):
        edge = rng.random() < 0.5
        a_m = (0.46 if rng.random() < 0.5 else -0.46) if edge else rng.uniform(-0.46, 0.46)
        spot = lot.frame.at(a_m * lot.width_m, rng.uniform(0.02, 0.98) * lot.depth_m)
        radius = float(np.clip(rng.lognormal(0.3, 0.62), 0.5, 5.2))
        for _ in range(1 + int(rng.poisson(0.8))):
            trees += _plant_one(ground, spot, radius, rng)
            away = spot.at(0, 0, rng.uniform(0, 2 * np.pi))
            spot = away.at(radius * rng.uniform(0.8, 1.5), 0, -away.angle_rad + spot.angle_rad)
            radius = float(np.clip(radius * rng.uniform(0.5, 1.1), 0.5, 5.2))
    return trees


def _plant_one(
    ground: _Ground, spot: Frame, radius_m: float, rng: np.random.Generator
) -> list[Tree]:
    """Return a tree at a spot, or nothing where its crown would hide too much."""
    point = shapely.Point(spot.x_m, spot.y_m)
    room_m = min(shape.distance(point) for shape in ground.hard)
    if room_m < rng.uniform(0.55, 1.2) * radius_m or not ground.lot.outline.contains(point):
        return []
    return [choose_tree(rng, spot.x_m, spot.y_m, radius_m)]
