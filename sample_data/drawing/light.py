"""From a painted canvas to the photograph: shadows, haze, blur, noise."""

import numpy as np
from numpy.typing import NDArray

from drawing.canvas import Canvas, Sun
from drawing.looks import Look
from drawing.textures import Field, blur, smoothstep

_HAZE_COLOUR = np.array([196, 205, 212], dtype=np.float32)


def photograph(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light the canvas and take its picture."""
    shade = cast_shadows(canvas.height_m, canvas.sun, canvas.gsd_m)
    image = _lit(canvas.rgb, shade, _hollows(canvas.height_m, canvas.gsd_m), canvas.look)
    image = _through_air(image, canvas.look)
    image = blur(image, canvas.look.blur_px)
    image += _sensor_noise(image, canvas.look.noise, rng)
    return np.asarray(np.clip(image + 0.5, 0, 255), dtype=np.uint8)


def cast_shadows(height_m: Field, sun: Sun, gsd_m: float) -> Field:
    """Return the share of shadow per pixel by marching towards the sun over the heights."""
    flat = float(np.hypot(sun.x, sun.y))
    step_x, step_y, drop_m = sun.x / flat, sun.y / flat, sun.z / flat * gsd_m
    steps = int(float(height_m.max()) / drop_m) + 1
    horizon = np.full_like(height_m, -9.0)
    for step in range(1, steps + 1):
        _raise_horizon(horizon, height_m, round(step * step_y), round(step * step_x), step * drop_m)
    return blur(smoothstep(horizon - height_m, 0.0, 0.25), 0.6)


def _raise_horizon(horizon: Field, height_m: Field, dy: int, dx: int, drop_m: float) -> None:
    """Take into account what stands (dy, dx) pixels away, lowered by the fall of the ray."""
    rows, cols = height_m.shape
    here = (slice(max(0, -dy), rows - max(0, dy)), slice(max(0, -dx), cols - max(0, dx)))
    there = (slice(max(0, dy), rows + min(0, dy)), slice(max(0, dx), cols + min(0, dx)))
    ray = height_m[there] - np.float32(drop_m)
    np.maximum(horizon[here], ray, out=horizon[here])


def _hollows(height_m: Field, gsd_m: float) -> Field:
    """Loss of skylight at the foot of walls and trees, 0 to about 0.3."""
    coarse = blur(height_m[::4, ::4], 1.2 / (4 * gsd_m))
    around = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)
    rows, cols = height_m.shape
    depth = np.clip(around[:rows, :cols] - height_m, 0, 3)
    return blur(depth * np.float32(0.09), 1.0)


def _lit(rgb: Field, shade: Field, hollows: Field, look: Look) -> Field:
    light = np.empty_like(rgb)
    for band in range(3):
        light[..., band] = (1 - shade * np.float32(1 - look.shadow[band])) * (1 - hollows)
    return rgb * light


def _through_air(image: Field, look: Look) -> Field:
    image = image * np.array(look.cast, dtype=np.float32)
    image = (image - 118) * np.float32(look.contrast) + 118
    bright = np.maximum(image - 205, 0)
    image -= bright - bright / (1 + bright / 50)  # highlights roll off as in real orthophotos
    return np.asarray(image + (_HAZE_COLOUR - image) * np.float32(look.haze), dtype=np.float32)


def _sensor_noise(image: Field, sigma: float, rng: np.random.Generator) -> Field:
    """Noise shared by the bands for two thirds, as after debayering, stronger when bright."""
    common = rng.standard_normal(image.shape[:2], dtype=np.float32)[..., None]
    own = blur(rng.standard_normal(image.shape, dtype=np.float32), 0.8)
    strength = np.float32(sigma) * (0.6 + 0.4 * np.sqrt(np.maximum(image, 0) / 128))
    return np.asarray(strength * (0.7 * common + own), dtype=np.float32)
