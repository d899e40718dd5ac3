"""Variations of a chip that keep its objects: turns, flips, light, colour, sharpness, noise.

All randomness comes from the generator that is handed in, so a chip is the same on every machine.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from geodetect.types import FloatArray, UInt8Array

LEAST_RECOLOURED_PX = 6  # side of an object, below which its middle is hardly its own colour
ALIKE = 40.0  # difference of two colours, 0..255 in each band, that counts as about the same


def turn(
    image: UInt8Array, boxes: FloatArray, rng: np.random.Generator
) -> tuple[UInt8Array, FloatArray]:
    """One of the eight orientations of a square, at random.

    Args:
        image: ``uint8[C, S, S]`` (or any ``[..., S, S]``).
        boxes: ``float64[N, 4]`` in its pixels.
        rng: Source of randomness.

    Returns:
        The turned image and boxes.
    """
    size = image.shape[-1]
    transpose, flip_x, flip_y = rng.random(3) < 0.5
    if transpose:
        image, boxes = image.swapaxes(-1, -2), boxes[:, [1, 0, 3, 2]]
    if flip_x:
        image, boxes = image[..., ::-1], _mirror(boxes, 0, size)
    if flip_y:
        image, boxes = image[..., ::-1, :], _mirror(boxes, 1, size)
    return np.ascontiguousarray(image), boxes


def recolour(image: UInt8Array, rng: np.random.Generator, *, strength: float = 1.0) -> UInt8Array:
    """Another light, season, camera and compression.

    Args:
        image: ``uint8[3, H, W]``.
        rng: Source of randomness.
        strength: How often anything is changed, 0..1.

    Returns:
        ``uint8[3, H, W]``.
    """
    x: Tensor = torch.from_numpy(np.array(image))
    if rng.random() < 0.3 * strength:
        x = _cast_shadow(x, rng)
    if rng.random() < 0.8 * strength:
        x = F.adjust_brightness(x, float(rng.uniform(0.6, 1.4)))
        x = F.adjust_contrast(x, float(rng.uniform(0.7, 1.35)))
        x = F.adjust_saturation(x, float(rng.uniform(0.6, 1.4)))
    if rng.random() < 0.3 * strength:
        x = F.adjust_hue(x, float(rng.uniform(-0.04, 0.04)))
    if rng.random() < 0.3 * strength:
        x = _mix_channels(x, rng)
    if rng.random() < 0.1 * strength:
        x = _replace_channel(x, rng)
    if rng.random() < 0.5 * strength:
        x = _bend_tones(x, rng)
    if rng.random() < 0.6 * strength:
        x = soften(x, rng)
    elif rng.random() < 0.15 * strength:
        x = F.adjust_sharpness(x, float(rng.uniform(1.0, 3.0)))
    if rng.random() < 0.15 * strength:
        noise = torch.from_numpy(rng.normal(0, rng.uniform(1, 8), x.shape).astype(np.float32))
        x = (x + noise).clamp(0, 255).round().to(torch.uint8)
    if rng.random() < 0.15 * strength:
        return _as_jpeg(x, int(rng.integers(30, 90)))
    return np.asarray(x.numpy())


def recolour_objects(
    image: UInt8Array, boxes: FloatArray, rng: np.random.Generator, *, strength: float = 1.0
) -> UInt8Array:
    """Some of the objects in another colour: dark or green water, faded paint.

    What is as the middle of a box is changed, and the less the more it differs, so that no edges
    come up where there were none.

    Args:
        image: ``uint8[3, H, W]``.
        boxes: ``float64[N, 4]`` in its pixels, which may lie partly outside.
        rng: Source of randomness.
        strength: How often an object is changed, 0..1.

    Returns:
        ``uint8[3, H, W]``.
    """
    height, width = image.shape[1:]
    changed = image.copy()
    for box in boxes[rng.random(len(boxes)) < 0.3 * strength]:
        x0, y0, x1, y1 = np.clip(np.rint(box), 0, [width, height] * 2).astype(int)
        part = changed[:, y0:y1, x0:x1]
        rows, columns = part.shape[1:]
        if min(rows, columns) < LEAST_RECOLOURED_PX:
            continue
        middle = part[:, rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
        colour = np.median(middle, axis=(1, 2))
        away = np.linalg.norm(part - colour[:, None, None], axis=0)
        share = np.exp(-((away / ALIKE) ** 2) / 2)
        shift = share * (_another_colour(colour, rng) - colour)[:, None, None]
        changed[:, y0:y1, x0:x1] = np.clip(np.rint(part + shift), 0, 255).astype(np.uint8)
    return changed


def _another_colour(colour: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Mostly darker, half of the time faded towards a grey with a slight tint."""
    light = np.exp(rng.uniform(-1.4, 0.2))
    faded = rng.uniform(0, 1) if rng.random() < 0.5 else 0.0
    tinted = colour.mean() * np.exp(rng.normal(0, 0.1, 3))
    return np.asarray(light * (colour + faded * (tinted - colour)))


def soften(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Imagery of a coarser ground resolution, of a softer lens, compressed, or all of it.

    Colours are blurred most where coarse pixels are compressed: JPEG halves their resolution.

    Args:
        image: ``uint8[3, H, W]``.
        rng: Source of randomness.
    """
    height, width = image.shape[1:]
    coarser, blurred, compressed = rng.random(3) < (0.65, 0.6, 0.4)
    if coarser:
        factor = float(np.exp(rng.uniform(np.log(1.2), np.log(3.2))))
        image = F.resize(image, _shrunk(image, factor), antialias=True)
    if blurred or not coarser:
        sigma = float(rng.uniform(0.3, 1.0 if coarser else 2.2))  # in pixels of the coarse image
        radius = min(math.ceil(2.5 * sigma), min(image.shape[1:]) - 1)
        image = F.gaussian_blur(image, [2 * radius + 1] * 2, [sigma])
    if compressed:
        image = torch.from_numpy(_as_jpeg(image, int(rng.integers(40, 90))))
    return F.resize(image, [height, width], antialias=True)


def coarsen(image: Tensor, factor: float) -> Tensor:
    """Imagery of a coarser ground resolution, enlarged to this one.

    Args:
        image: ``uint8[C, H, W]``.
        factor: How many times larger its pixels would be.
    """
    small = F.resize(image, _shrunk(image, factor), antialias=True)
    return F.resize(small, list(image.shape[1:]), antialias=True)


def _shrunk(image: Tensor, factor: float) -> list[int]:
    """Sides so many times smaller, but not one pixel in all, which PyTorch cannot resize to."""
    return [max(min(2, side), round(side / factor)) for side in image.shape[1:]]


def _as_jpeg(x: Tensor, quality: int) -> UInt8Array:
    """What is left of an image after JPEG compression."""
    memory = io.BytesIO()
    Image.fromarray(x.permute(1, 2, 0).contiguous().numpy()).save(memory, "JPEG", quality=quality)
    return np.ascontiguousarray(np.array(Image.open(memory)).transpose(2, 0, 1))


def _cast_shadow(x: Tensor, rng: np.random.Generator) -> Tensor:
    """A band of shade, as from a row of trees or a house: darker, and bluer for the sky's light."""
    height, width = x.shape[1:]
    angle = rng.uniform(0, np.pi)
    rows, columns = np.mgrid[:height, :width]
    through = rng.uniform(0, 1, 2) * (width, height)
    distance = (columns - through[0]) * np.cos(angle) + (rows - through[1]) * np.sin(angle)
    shade = np.clip((rng.uniform(8, 60) - np.abs(distance)) / 3 + 0.5, 0, 1)
    light = rng.uniform(0.3, 0.7) * np.array([0.95, 1.0, 1.12])[:, None, None]
    shaded = x.numpy().astype(np.float32) * (1 - shade * (1 - light))
    return torch.from_numpy(np.clip(np.rint(shaded), 0, 255).astype(np.uint8))


def _mix_channels(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Colour casts: a gain and an offset per band, and some of each band in the others."""
    mix = np.eye(3) + rng.normal(0, 0.06, (3, 3))
    mix = mix / mix.sum(axis=1, keepdims=True) * rng.uniform(0.85, 1.15, (3, 1))
    offset = rng.uniform(-18, 18, (3, 1, 1))
    mixed = np.einsum("ij,jhw->ihw", mix, x.numpy().astype(np.float32)) + offset
    return torch.from_numpy(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def _bend_tones(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Another gamma, a little different for each band: deep shade, or haze."""
    gamma = np.exp(rng.uniform(-0.45, 0.75) + rng.normal(0, 0.1, 3))
    tones = np.rint(255 * (np.arange(256) / 255) ** gamma[:, None]).astype(np.uint8)
    return torch.from_numpy(np.stack([tones[band][x[band].numpy()] for band in range(3)]))


def _replace_channel(x: Tensor, rng: np.random.Generator) -> Tensor:
    """One band made of the two others: keeps a model from leaning on a single band."""
    channel = int(rng.integers(3))
    share = rng.uniform(0.2, 0.8)
    first, second = (x[i].float() for i in range(3) if i != channel)
    mixed = x.clone()
    mixed[channel] = (share * first + (1 - share) * second).round().to(torch.uint8)
    return mixed


def _mirror(boxes: FloatArray, axis: int, size: int) -> FloatArray:
    mirrored = boxes.copy()
    mirrored[:, axis] = size - boxes[:, axis + 2]
    mirrored[:, axis + 2] = size - boxes[:, axis]
    return mirrored
