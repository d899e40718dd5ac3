"""Augmentation of chips: orientation, lighting, colour, sharpness, noise, compression.

All randomness comes from the generator passed in, so a chip is the same on every machine.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from geodetect.training.data.mask_targets import draw_mask
from geodetect.types import FloatArray, ObjectArray, UInt8Array

MIN_RECOLOURED_PX = 6  # side of an object; the centre of a smaller one is mixed with background
COLOUR_SIGMA = 40.0  # difference of two colours, 0..255 in each band, that counts as similar


@dataclass(frozen=True)
class Orientation:
    """One of the eight orientations of a square image: transposed first, then flipped.

    Args:
        transpose: Swap rows and columns.
        flip_x: Mirror from left to right.
        flip_y: Mirror from top to bottom.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Orientation:
        """Return an orientation at random."""
        return cls(*(rng.random(3) < 0.5).tolist())

    def image(self, image: UInt8Array) -> UInt8Array:
        """Return a square image ``uint8[..., S, S]`` in this orientation."""
        if self.transpose:
            image = image.swapaxes(-1, -2)
        if self.flip_x:
            image = image[..., ::-1]
        if self.flip_y:
            image = image[..., ::-1, :]
        return np.ascontiguousarray(image)

    def points(self, points: FloatArray, size: float) -> FloatArray:
        """Return points ``float64[..., 2]`` in pixels of an image with sides of ``size`` pixels."""
        points = points[..., ::-1] if self.transpose else points
        mirrored = np.array([self.flip_x, self.flip_y])
        return np.where(mirrored, size - points, points)

    def boxes(self, boxes: FloatArray, size: float) -> FloatArray:
        """Return boxes ``float64[N, 4]`` in pixels of an image with sides of ``size`` pixels."""
        corners = self.points(boxes.reshape(-1, 2, 2), size)
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def recolour(image: UInt8Array, rng: np.random.Generator, *, strength: float = 1.0) -> UInt8Array:
    """Imitate another lighting, season, camera and compression.

    Args:
        image: ``uint8[3, H, W]``.
        rng: Random generator.
        strength: Factor on the probability of each change, 0..1.

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
        # deep shade or haze, a little different in each band
        gamma = np.exp(rng.uniform(-0.45, 0.75) + rng.normal(0, 0.1, 3))
        tones = np.rint(255 * (np.arange(256) / 255) ** gamma[:, None]).astype(np.uint8)
        x = torch.from_numpy(np.stack([tones[band][x[band].numpy()] for band in range(3)]))
    if rng.random() < 0.6 * strength:
        x = degrade(x, rng)
    elif rng.random() < 0.15 * strength:
        x = F.adjust_sharpness(x, float(rng.uniform(1.0, 3.0)))
    if rng.random() < 0.15 * strength:
        noise = torch.from_numpy(rng.normal(0, rng.uniform(1, 8), x.shape).astype(np.float32))
        x = (x + noise).clamp(0, 255).round().to(torch.uint8)
    if rng.random() < 0.15 * strength:
        return _compress_as_jpeg(x, int(rng.integers(30, 90)))
    return np.asarray(x.numpy())


def recolour_objects(
    image: UInt8Array,
    boxes: FloatArray,
    outlines: ObjectArray | None,
    rng: np.random.Generator,
    *,
    strength: float = 1.0,
) -> UInt8Array:
    """Give some of the objects another colour: dark or green water, faded paint.

    All pixels in an outline change. Without outline, pixels coloured like the centre of the box do;
    the more their colour differs, the less they change, so that no artificial edges appear.

    Args:
        image: ``uint8[3, H, W]``.
        boxes: ``float64[N, 4]`` in its pixels, which may lie partly outside.
        outlines: ``object[N]`` polygons in its pixels, or None for objects without one; None: no
            object has one.
        rng: Random generator.
        strength: Factor on the probability that an object is changed, 0..1.

    Returns:
        ``uint8[3, H, W]``.
    """
    height, width = image.shape[1:]
    changed = image.copy()
    for row in np.flatnonzero(rng.random(len(boxes)) < 0.4 * strength):
        x0, y0, x1, y1 = np.clip(np.rint(boxes[row]), 0, [width, height] * 2).astype(int)
        part = changed[:, y0:y1, x0:x1]
        rows, columns = part.shape[1:]
        if min(rows, columns) < MIN_RECOLOURED_PX:
            continue
        centre = part[:, rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
        colour = np.median(centre, axis=(1, 2))
        outline = None if outlines is None else outlines[row]
        if outline is None:
            difference = np.linalg.norm(part - colour[:, None, None], axis=0)
            weight = np.exp(-((difference / COLOUR_SIGMA) ** 2) / 2)
        else:
            weight = draw_mask(outline, np.array([x0, y0, x1, y1], dtype=float), rows, columns)
        brightness = np.exp(rng.uniform(-1.7, 0.3))  # mostly darker
        fading = rng.uniform(0, 1) if rng.random() < 0.5 else 0.0  # towards a grey
        faded = colour + fading * (colour.mean() - colour)
        gains = brightness * np.exp(rng.normal(0, 0.15, 3)) * faded / np.maximum(colour, 1)
        values = part * (1 + weight * (gains[:, None, None] - 1))
        changed[:, y0:y1, x0:x1] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return changed


def degrade(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Imitate a coarser ground resolution, a softer lens, compression, or all of them.

    JPEG halves the resolution of colours, so compressing the coarse image blurs them most.

    Args:
        image: ``uint8[3, H, W]``.
        rng: Random generator.
    """
    height, width = image.shape[1:]
    is_coarse, is_blurred, is_compressed = rng.random(3) < (0.65, 0.6, 0.4)
    if is_coarse:
        factor = float(np.exp(rng.uniform(np.log(1.2), np.log(3.2))))
        image = F.resize(image, _shrunk_size(image, factor), antialias=True)
    if is_blurred or not is_coarse:
        sigma = float(rng.uniform(0.3, 1.0 if is_coarse else 2.2))  # in pixels of the coarse image
        radius = min(math.ceil(2.5 * sigma), min(image.shape[1:]) - 1)
        image = F.gaussian_blur(image, [2 * radius + 1] * 2, [sigma])
    if is_compressed:
        image = torch.from_numpy(_compress_as_jpeg(image, int(rng.integers(40, 90))))
    return F.resize(image, [height, width], antialias=True)


def coarsen(image: Tensor, factor: float) -> Tensor:
    """Imitate a coarser ground resolution: shrink an image and enlarge it again.

    Args:
        image: ``uint8[C, H, W]``.
        factor: Pixel size to imitate over that of the image.
    """
    small = F.resize(image, _shrunk_size(image, factor), antialias=True)
    return F.resize(small, list(image.shape[1:]), antialias=True)


def _shrunk_size(image: Tensor, factor: float) -> list[int]:
    """Return height and width divided by a factor; PyTorch cannot resize to 1 x 1 pixel."""
    return [max(min(2, side), round(side / factor)) for side in image.shape[1:]]


def _compress_as_jpeg(x: Tensor, quality: int) -> UInt8Array:
    """Compress an image as JPEG and decode it again."""
    buffer = io.BytesIO()
    Image.fromarray(x.permute(1, 2, 0).contiguous().numpy()).save(buffer, "JPEG", quality=quality)
    return np.ascontiguousarray(np.array(Image.open(buffer)).transpose(2, 0, 1))


def _cast_shadow(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Darken a stripe, as in the shadow of a house, or patches, as of trees, and tint them blue."""
    height, width = x.shape[1:]
    if rng.random() < 0.5:
        angle = rng.uniform(0, np.pi)
        rows, columns = np.mgrid[:height, :width]
        x0, y0 = rng.uniform(0, 1, 2) * (width, height)
        distance = (columns - x0) * np.cos(angle) + (rows - y0) * np.sin(angle)
        shadow = np.clip((rng.uniform(8, 60) - np.abs(distance)) / 3 + 0.5, 0, 1)
    else:
        cells = max(2, round(max(height, width) / rng.uniform(10, 50)))
        noise = torch.from_numpy(rng.normal(0, 1, (1, cells, cells)).astype(np.float32))
        smooth = F.resize(noise, [height, width], F.InterpolationMode.BICUBIC)[0].numpy()
        shadow = np.clip(8 * (smooth - rng.uniform(0.1, 1.0)) + 0.5, 0, 1)
    dimming = rng.uniform(0.3, 0.7) * np.array([0.95, 1.0, 1.12])[:, None, None]
    shaded = x.numpy().astype(np.float32) * (1 - shadow * (1 - dimming))
    return torch.from_numpy(np.clip(np.rint(shaded), 0, 255).astype(np.uint8))


def _mix_channels(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Cast a colour: a gain and an offset per band, and some of each band in the others."""
    mix = np.eye(3) + rng.normal(0, 0.06, (3, 3))
    mix = mix / mix.sum(axis=1, keepdims=True) * rng.uniform(0.85, 1.15, (3, 1))
    offset = rng.uniform(-18, 18, (3, 1, 1))
    mixed = np.einsum("ij,jhw->ihw", mix, x.numpy().astype(np.float32)) + offset
    return torch.from_numpy(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def _replace_channel(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Replace a band by a mix of the two others, so that a model relies on no single band."""
    channel = int(rng.integers(3))
    weight = rng.uniform(0.2, 0.8)
    first, second = (x[i].float() for i in range(3) if i != channel)
    mixed = x.clone()
    mixed[channel] = (weight * first + (1 - weight) * second).round().to(torch.uint8)
    return mixed
