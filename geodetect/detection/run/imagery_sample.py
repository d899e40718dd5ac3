"""Sample of the tiles of a ground: the detail that its pixels hold, and colours that are not true.

The power spectrum of sharp imagery falls with the frequency by a power law (Field 1987, "Relations
between the statistics of natural images and the response properties of cortical cells"). That of
imagery that was enlarged or is out of focus falls off it before. The frequency at which the
spectrum lies 6 dB below the law tells the size of the finest detail.

In false colour of near infrared vegetation is red, and the red channel varies by itself; in true
colours all three channels vary together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from geodetect.detection.plan import GroundPlan
from geodetect.errors import list_names
from geodetect.geo.tiles import Tile
from geodetect.io.raster.reader import Pixels
from geodetect.model.card import ModelCard
from geodetect.types import BoolArray, Float32Array, FloatArray, UInt8Array

SIDE_PX = 256  # of the windows that are looked at, one in a tile, or four if there are few tiles
MOST_WINDOWS = 12
FEWEST_WINDOWS = 4
LEAST_DEVIATION = 10.0  # of 255; windows of less contrast show noise
POWER = 2.5  # of the law; sharp aerial imagery has 2.3 to 2.9
BAND = (0.05, 0.12)  # cycles per pixel, where imagery of any sharpness follows it
FALL_DB = -6.0
RINGS = 24
FINEST = 0.42  # cycles per pixel of detail at that fall; measured on imagery enlarged 2 to 3 times
BLURRED = 2.1  # pixels of detail; sharp imagery has at most 1.8, enlarged 2.5 times at least 2.1
WORSE = 2.0  # pixels of the model
AGREEMENT = 0.75  # fraction of windows
MOST_GREY = 2  # difference of channels of grey imagery, in grey levels of 255
MOST_RED_GREEN, LEAST_GREEN_BLUE, LEAST_LEAD = 0.9, 0.93, 0.07  # correlations of channels
LEAST_RED, RED_TO_GREEN = 0.12, 1.5  # fraction of red pixels, and that to green ones
VIVID, LEAST_LEVEL, REDDER = 0.2, 40, 1.15
TRUE_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class _WindowFigures:
    """Figures of one window.

    Args:
        detail_px: Size of the finest detail in pixels; NaN without contrast.
        sums: ``float64[4, 4]`` sums of the products of the channels and 1.
        red: Fraction of red pixels.
        green: Fraction of green pixels.
        is_grey: All channels are the same.
    """

    detail_px: float
    sums: FloatArray
    red: float
    green: float
    is_grey: bool


class ImagerySample:
    """Figures of some tiles of a ground, as they are read.

    Args:
        tiles: Number of tiles of the ground.
    """

    def __init__(self, tiles: int) -> None:
        self._step = max(1, math.ceil(tiles / MOST_WINDOWS))
        self._parts = (0.3, 0.7) if tiles * 4 <= MOST_WINDOWS else (0.5,)
        self._figures: list[_WindowFigures] = []

    def add(self, tile: Tile, pixels: Pixels) -> None:
        """Look at a tile, if it is in the sample."""
        if tile.index % self._step:
            return
        starts = [
            [round(size * part - SIDE_PX / 2) for part in self._parts]
            for size in pixels.valid.shape
        ]
        for top, left in product(*starts):
            window = np.s_[max(0, top) : top + SIDE_PX, max(0, left) : left + SIDE_PX]
            valid = pixels.valid[window]
            if min(valid.shape) == SIDE_PX and valid.all():
                self._figures.append(_measure(pixels.values[:, *window]))

    def detail_px(self) -> float | None:
        """Return the size of the finest detail in pixels; None if it is not certain."""
        sizes = np.array([figures.detail_px for figures in self._figures])
        sizes = sizes[np.isfinite(sizes)]
        if len(sizes) < FEWEST_WINDOWS:
            return None
        return float(np.quantile(sizes, 1 - AGREEMENT))

    @property
    def is_grey(self) -> bool:
        """True if all channels are the same."""
        enough = len(self._figures) >= FEWEST_WINDOWS
        return enough and all(figures.is_grey for figures in self._figures)

    @property
    def is_false_colour(self) -> bool:
        """True if vegetation is red, as in imagery of near infrared."""
        if len(self._figures) < FEWEST_WINDOWS or self.is_grey:
            return False
        sums = np.sum([figures.sums for figures in self._figures], axis=0)
        if len(sums) != len(TRUE_COLOURS) + 1:
            return False
        mean = sums[:3, 3] / sums[3, 3]
        covariance = sums[:3, :3] / sums[3, 3] - np.outer(mean, mean)
        deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-9))
        correlation = covariance / np.outer(deviation, deviation)
        red_green, green_blue = correlation[0, 1], correlation[1, 2]
        red = float(np.mean([figures.red for figures in self._figures]))
        green = float(np.mean([figures.green for figures in self._figures]))
        return bool(
            red_green < MOST_RED_GREEN
            and green_blue > LEAST_GREEN_BLUE
            and green_blue - red_green > LEAST_LEAD
            and red > max(LEAST_RED, RED_TO_GREEN * green)
        )

    def blurred_detail_m(self, plan: GroundPlan, card: ModelCard) -> float | None:
        """Return the size of the finest detail if it is coarser than the pixels; else None.

        Args:
            plan: Plan of the ground.
            card: Card of the model; detail of less than two of its pixels is fine enough.
        """
        detail_px, raster_m, gsd_m = self.detail_px(), plan.ground.grid.gsd_m, plan.grid.gsd_m
        if detail_px is None or raster_m is None or gsd_m is None:
            return None
        detail_m = detail_px * gsd_m
        is_blurred = detail_m >= BLURRED * max(raster_m, gsd_m)
        return detail_m if is_blurred and detail_m >= WORSE * (card.gsd_m or gsd_m) else None


def list_doubts(
    samples: Sequence[tuple[GroundPlan, ImagerySample]], card: ModelCard, *, has_stated_bands: bool
) -> list[str]:
    """Return messages about imagery that is blurrier, or of other colours, than the model knows.

    Colours are not judged if the bands were stated, here or in the training of the model.

    Args:
        samples: Grounds with their samples.
        card: Card of the model.
        has_stated_bands: The user chose the bands.
    """
    doubts = []
    blurred = {
        plan.ground.name: (plan.ground.grid.gsd_m or 0.0, detail_m)
        for plan, sample in samples
        if (detail_m := sample.blurred_detail_m(plan, card)) is not None
    }
    if blurred:
        pixel_m, detail_m = max(blurred.values(), key=lambda sizes: sizes[1])
        doubts.append(
            f"{list_names(blurred)}: pixels of {pixel_m:.2g} m hold detail of about "
            f"{detail_m:.1g} m only, as in imagery that was enlarged or is out of focus; model "
            f"{card.name} works at {card.gsd_m or pixel_m:g} m, so it will miss small objects: use "
            f"the original imagery, or lower `conf`"
        )
    is_trained_on_others = (
        card.bands != TRUE_COLOURS or card.training.settings.get("bands") is not None
    )
    if has_stated_bands or is_trained_on_others:
        return doubts
    false_colour = [plan.ground.name for plan, sample in samples if sample.is_false_colour]
    if false_colour:
        doubts.append(
            f"{list_names(false_colour)}: vegetation is red, as in false colour of near infrared; "
            f"model {card.name} takes red, green and blue, so it will miss objects: name the "
            f"numbers of these bands with `bands`, or use imagery in true colours"
        )
    grey = [plan.ground.name for plan, sample in samples if sample.is_grey]
    if grey:
        doubts.append(
            f"{list_names(grey)}: the imagery is grey, all its bands are the same; model "
            f"{card.name} takes red, green and blue, so it will miss objects: name others with "
            f"`bands`, or use imagery in colour"
        )
    return doubts


def _measure(values: UInt8Array) -> _WindowFigures:
    """Return the figures of a window, ``uint8[C, H, W]``."""
    channels = values.astype(np.float32)
    rows = np.concatenate([channels, np.ones((1, *values.shape[1:]), np.float32)])
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    red = green = 0.0
    is_grey = False
    if len(values) == len(TRUE_COLOURS):
        red, green = (float(mask.mean()) for mask in _vivid_masks(channels))
        spread = values.max(axis=0) - values.min(axis=0)
        is_grey = bool(spread.max() <= MOST_GREY) and float(channels.std()) > LEAST_DEVIATION
    return _WindowFigures(
        _measure_detail(channels.mean(axis=0)), flat @ flat.T, red, green, is_grey
    )


def _vivid_masks(channels: Float32Array) -> tuple[BoolArray, BoolArray]:
    """Return masks of red and of green pixels, each ``bool[H, W]``."""
    red, green, blue = channels
    highest, lowest = channels.max(axis=0), channels.min(axis=0)
    vivid = (highest - lowest > VIVID * (highest + 1)) & (highest > LEAST_LEVEL)
    is_red = vivid & (red > REDDER * green) & (red > blue)
    return is_red, vivid & (green > red) & (green >= blue)


def _measure_detail(brightness: Float32Array) -> float:
    """Return the size of the finest detail in pixels of a square window; NaN without contrast."""
    if brightness.std() < LEAST_DEVIATION:
        return math.nan
    side = len(brightness)
    taper = np.hanning(side).astype(np.float32)
    spectrum = np.abs(np.fft.rfft2((brightness - brightness.mean()) * np.outer(taper, taper))) ** 2
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    ring = np.minimum((frequency * 2 * RINGS).astype(np.int64), RINGS)  # the last: corners
    power = np.bincount(ring.ravel(), spectrum.ravel())[:RINGS] / np.bincount(ring.ravel())[:RINGS]
    middle = (np.arange(RINGS) + 0.5) / (2 * RINGS)
    decibels = 10 * np.log10(power * middle**POWER + 1e-9)
    decibels -= np.median(decibels[(middle >= BAND[0]) & (middle <= BAND[1])])
    below = np.flatnonzero((decibels < FALL_DB) & (middle > BAND[1]))
    if not len(below):
        return 1.0
    last = int(below[0])
    high, low = decibels[last - 1], decibels[last]
    part = float(np.clip((high - FALL_DB) / max(high - low, 1e-6), 0, 1))
    cutoff = middle[last - 1] + part * (middle[last] - middle[last - 1])
    return max(1.0, FINEST / float(cutoff))
