"""Noise fields and blurring, the raw material of every surface in a drawn scene."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

_PERIOD_PX = 1024


@dataclass(frozen=True)
class Textures:
    """Periodic fields of `_PERIOD_PX` pixels, sampled with wrap-around.

    Attributes:
        broad: Smooth noise of unit deviation, features of several metres.
        grain: Rougher noise of unit deviation, features at all scales.
        speckle: Near-white noise of unit deviation, features of one or two pixels.
        leaves_m: Height of leaf clumps above the smooth shape of a crown.
    """

    broad: Field
    grain: Field
    speckle: Field
    leaves_m: Field


def make_textures(rng: np.random.Generator, gsd_m: float) -> Textures:
    """Draw the fields of one scene."""
    return Textures(
        broad=_spectral(rng, slope=3.2, longest_px=24.0 / gsd_m),
        grain=_spectral(rng, slope=1.9, longest_px=12.0 / gsd_m),
        speckle=blur(_spectral(rng, slope=0.2, longest_px=6.0 / gsd_m), 0.5) * np.float32(1.5),
        leaves_m=_leaf_clumps(rng, gsd_m),
    )


def sample(field: Field, rows: slice, cols: slice, shift: tuple[int, int] = (0, 0)) -> Field:
    """Cut the given canvas window out of a periodic field, moved by `shift` pixels."""
    period_y, period_x = field.shape
    row_index = (np.arange(rows.start, rows.stop) + shift[0]) % period_y
    col_index = (np.arange(cols.start, cols.stop) + shift[1]) % period_x
    return field[np.ix_(row_index, col_index)]


def random_shift(rng: np.random.Generator) -> tuple[int, int]:
    """Choose a shift for `sample`, so that neighbouring objects do not share a pattern."""
    row, col = rng.integers(0, _PERIOD_PX, 2)
    return int(row), int(col)


def blur(image: Field, sigma_px: float) -> Field:
    """Blur the first two axes with a Gaussian; edges repeat the border pixel."""
    if sigma_px <= 0:
        return image
    reach = max(1, int(np.ceil(3 * sigma_px)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    return _convolve(_convolve(image, weights, 0), weights, 1)


def blend(low: Field | float, high: Field | float, share: Field) -> Field:
    """Mix two values, `share` 0 giving `low` and 1 giving `high`."""
    return np.asarray(low + (high - low) * share, dtype=np.float32)


def smoothstep(values: Field, low: float, high: float) -> Field:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def _convolve(image: Field, weights: Field, axis: int) -> Field:
    reach = len(weights) // 2
    pad = [(0, 0)] * image.ndim
    pad[axis] = (reach, reach)
    padded = np.pad(image, pad, mode="edge")
    length = image.shape[axis]
    out = np.zeros_like(image)
    for offset, weight in enumerate(weights):
        window = [slice(None)] * image.ndim
        window[axis] = slice(offset, offset + length)
        out += weight * padded[tuple(window)]
    return out


def _spectral(rng: np.random.Generator, slope: float, longest_px: float) -> Field:
    """Noise whose power falls as frequency to the power `-slope`, without long waves."""
    spectrum = np.fft.rfft2(rng.standard_normal((_PERIOD_PX, _PERIOD_PX)))
    fy = np.fft.fftfreq(_PERIOD_PX)[:, None]
    fx = np.fft.rfftfreq(_PERIOD_PX)[None, :]
    frequency = np.sqrt(np.hypot(fx, fy) ** 2 + (1.0 / longest_px) ** 2)
    noise = np.fft.irfft2(spectrum * frequency ** (-slope / 2), s=(_PERIOD_PX, _PERIOD_PX))
    noise -= noise.mean()
    return np.asarray(np.clip(noise / noise.std(), -3, 3), dtype=np.float32)


def _leaf_clumps(rng: np.random.Generator, gsd_m: float) -> Field:
    """The upper surface of many spheres of 0.35 to 1.1 m strewn at random."""
    size = 512
    field = np.zeros((size, size), dtype=np.float32)
    count = int(1.6 * (size * gsd_m) ** 2)
    radii_m = rng.uniform(0.35, 1.1, count)
    centres = rng.uniform(0, size, (count, 2))
    for (row, col), radius_m in zip(centres, radii_m, strict=True):
        _stamp_sphere(field, row, col, radius_m, gsd_m)
    return field


def _stamp_sphere(field: Field, row: float, col: float, radius_m: float, gsd_m: float) -> None:
    reach = int(radius_m / gsd_m) + 1
    rows = np.arange(int(row) - reach, int(row) + reach + 1)
    cols = np.arange(int(col) - reach, int(col) + reach + 1)
    squared_m2 = ((rows[:, None] - row) ** 2 + (cols[None, :] - col) ** 2) * gsd_m**2
    cap = np.sqrt(np.maximum(radius_m**2 - squared_m2, 0)).astype(np.float32)
    index = np.ix_(rows % field.shape[0], cols % field.shape[1])
    field[index] = np.maximum(field[index], cap)
