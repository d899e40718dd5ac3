"""The surface a scene is painted on: colour and height per pixel, in metres from the corner."""

from dataclasses import dataclass, field

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize
from shapely import affinity
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from drawing.looks import Colour, Look
from drawing.textures import Field, Textures, random_shift, sample

_SUBPIXELS = 4


@dataclass(frozen=True)
class Frame:
    """A place and a heading; local axes are `a` (along) and `b` (to its right, x right y down)."""

    x_m: float
    y_m: float
    angle_rad: float

    def place(self, shape: Polygon) -> Polygon:
        """Move a shape drawn around the origin to this frame."""
        cos, sin = np.cos(self.angle_rad), np.sin(self.angle_rad)
        return affinity.affine_transform(shape, [cos, -sin, sin, cos, self.x_m, self.y_m])

    def at(self, a_m: float, b_m: float, turn_rad: float = 0.0) -> "Frame":
        """Return the frame at local coordinates (a, b), turned by `turn_rad`."""
        cos, sin = np.cos(self.angle_rad), np.sin(self.angle_rad)
        return Frame(
            float(self.x_m + cos * a_m - sin * b_m),
            float(self.y_m + sin * a_m + cos * b_m),
            self.angle_rad + turn_rad,
        )

    def local(self, x_m: Field, y_m: Field) -> tuple[Field, Field]:
        """Return the local coordinates of scene positions."""
        cos, sin = np.float32(np.cos(self.angle_rad)), np.float32(np.sin(self.angle_rad))
        dx, dy = x_m - np.float32(self.x_m), y_m - np.float32(self.y_m)
        return cos * dx + sin * dy, cos * dy - sin * dx


@dataclass(frozen=True)
class Sun:
    """The direction to the sun in canvas axes (x right, y down, z up)."""

    x: float
    y: float
    z: float

    @classmethod
    def of(cls, look: Look) -> "Sun":
        """Return the sun of a look."""
        azimuth, elevation = np.radians([look.sun_azimuth_deg, look.sun_elevation_deg])
        flat = np.cos(elevation)
        return cls(
            float(flat * np.sin(azimuth)), float(-flat * np.cos(azimuth)), float(np.sin(elevation))
        )

    def shade(self, slope_x: Field, slope_y: Field) -> Field:
        """Return the brightness of a sloping surface relative to level ground."""
        facing = (self.z - slope_x * self.x - slope_y * self.y) / np.sqrt(
            1 + slope_x**2 + slope_y**2
        )
        return np.asarray(0.38 + 0.62 * np.clip(facing / self.z, 0, 1.6), dtype=np.float32)


@dataclass(frozen=True)
class Region:
    """The canvas window around a shape, with the shape's cover and the pixel centres."""

    rows: slice
    cols: slice
    cover: Field
    x_m: Field
    y_m: Field


@dataclass(frozen=True)
class Mark:
    """An object of a class, in scene metres, with the height of its top."""

    name: str
    outline: Polygon
    top_m: float


@dataclass(frozen=True)
class Canvas:
    """Colour as under full sun (0 to 255) and height of the surface above the ground."""

    rgb: Field
    height_m: Field
    gsd_m: float
    look: Look
    sun: Sun
    textures: Textures
    marks: list[Mark] = field(default_factory=list)

    @classmethod
    def blank(cls, size_px: int, gsd_m: float, look: Look, textures: Textures) -> "Canvas":
        """Return a black, level canvas."""
        rgb = np.zeros((size_px, size_px, 3), dtype=np.float32)
        height = np.zeros((size_px, size_px), dtype=np.float32)
        return cls(rgb, height, gsd_m, look, Sun.of(look), textures)

    @property
    def extent_m(self) -> float:
        """Length of a side of the canvas."""
        return float(self.rgb.shape[0] * self.gsd_m)

    def region(self, shape: BaseGeometry) -> Region | None:
        """Return the window of a shape, or None where it misses the canvas."""
        if shape.is_empty:
            return None
        size = self.rgb.shape[0]
        left, top, right, bottom = np.array(shape.bounds) / self.gsd_m
        rows = slice(max(0, int(np.floor(top))), min(size, int(np.ceil(bottom))))
        cols = slice(max(0, int(np.floor(left))), min(size, int(np.ceil(right))))
        if rows.stop - rows.start < 2 or cols.stop - cols.start < 2:
            return None
        x = ((np.arange(cols.start, cols.stop) + 0.5) * self.gsd_m).astype(np.float32)
        y = ((np.arange(rows.start, rows.stop) + 0.5) * self.gsd_m).astype(np.float32)
        return Region(rows, cols, self._cover(shape, rows, cols), x[None, :], y[:, None])

    def slopes(self, height_m: Field) -> tuple[Field, Field]:
        """Return the slopes of a height field along x and y."""
        slope_y, slope_x = np.gradient(height_m, self.gsd_m)
        return np.asarray(slope_x, dtype=np.float32), np.asarray(slope_y, dtype=np.float32)

    def texture(self, name: str, region: Region, rng: np.random.Generator | None = None) -> Field:
        """Return a texture over a region; with `rng`, from a random place of the texture."""
        shift = random_shift(rng) if rng is not None else (0, 0)
        return sample(getattr(self.textures, name), region.rows, region.cols, shift)

    def lay(self, region: Region, colour: Field, opacity: Field | float = 1.0) -> None:
        """Mix a colour, or a field of colours, into the region where its shape covers it."""
        share = (region.cover * np.float32(opacity))[..., None]
        window = self.rgb[region.rows, region.cols]
        window += (colour - window) * share

    def lift(self, region: Region, height_m: Field | float) -> None:
        """Set the height where the shape covers at least half of a pixel."""
        window = self.height_m[region.rows, region.cols]
        np.copyto(window, np.float32(height_m), where=region.cover >= 0.5)

    def paint(
        self,
        shape: BaseGeometry,
        colour: Colour,
        *,
        rough: float = 0.04,
        height_m: float | None = None,
        opacity: float = 1.0,
    ) -> None:
        """Fill a shape with a plain, slightly rough colour."""
        region = self.region(shape)
        if region is None:
            return
        noise = 0.6 * self.texture("grain", region) + 0.6 * self.texture("speckle", region)
        tone = np.array(colour, dtype=np.float32) * (1 + np.float32(rough) * noise)[..., None]
        self.lay(region, tone, opacity)
        if height_m is not None:
            self.lift(region, height_m)

    def record(self, name: str, outline: Polygon, top_m: float) -> None:
        """Note an object whose highest point is at `top_m`."""
        self.marks.append(Mark(name, outline, top_m))

    def objects(self) -> list[tuple[str, Polygon]]:
        """Return class and outline, cut to the canvas and in pixels, of all objects in view.

        Slivers at the edge and objects almost wholly under something higher are left out.
        """
        whole = shapely.box(0, 0, self.extent_m, self.extent_m)
        scale = 1 / self.gsd_m
        found = []
        for mark in self.marks:
            inside = mark.outline.intersection(whole)
            large = isinstance(inside, Polygon) and inside.area > 0.15 * mark.outline.area
            if large and self._in_view(mark):
                found.append((mark.name, affinity.scale(inside, scale, scale, origin=(0, 0))))
        return found

    def _in_view(self, mark: Mark) -> bool:
        region = self.region(mark.outline)
        if region is None:
            return False
        open_sky = self.height_m[region.rows, region.cols] <= mark.top_m + 0.2
        return float((region.cover * open_sky).sum()) >= 0.3 * float(region.cover.sum())

    def _cover(self, shape: BaseGeometry, rows: slice, cols: slice) -> Field:
        step = self.gsd_m / _SUBPIXELS
        height, width = rows.stop - rows.start, cols.stop - cols.start
        fine = rasterize(
            [(shape, 1)],
            out_shape=(height * _SUBPIXELS, width * _SUBPIXELS),
            transform=Affine(step, 0, cols.start * self.gsd_m, 0, step, rows.start * self.gsd_m),
            dtype="uint8",
        )
        lines = sum(fine[:, part::_SUBPIXELS] for part in range(_SUBPIXELS))
        hits = sum(lines[part::_SUBPIXELS] for part in range(_SUBPIXELS))
        return np.asarray(hits, dtype=np.float32) / np.float32(_SUBPIXELS**2)


def box(length_m: float, width_m: float, radius_m: float = 0.0) -> Polygon:
    """Return a rectangle about the origin, its corners rounded by `radius_m`."""
    half_a, half_b = length_m / 2 - radius_m, width_m / 2 - radius_m
    core = shapely.box(-half_a, -half_b, half_a, half_b)
    return core.buffer(radius_m, quad_segs=6) if radius_m > 0 else core


def disc(radius_m: float) -> Polygon:
    """Return a circle about the origin."""
    return shapely.Point(0, 0).buffer(radius_m, quad_segs=10)


def vary(rng: np.random.Generator, colour: Colour, spread: float = 0.08) -> Colour:
    """Change the brightness of a colour by `spread` and its hue a little."""
    gain = 1 + rng.normal(0, spread)
    red, green, blue = np.array(colour) * gain * (1 + rng.normal(0, spread / 4, 3))
    return float(red), float(green), float(blue)


def pick(rng: np.random.Generator, palette: tuple[Colour, ...]) -> Colour:
    """Choose one colour of a palette and vary it."""
    return vary(rng, palette[int(rng.integers(len(palette)))])
