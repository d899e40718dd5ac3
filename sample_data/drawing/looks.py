"""Appearance of a scene: sun, air, camera, and the mix of roofs and plants."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """Everything about the appearance of a scene that varies from place to place.

    Attributes:
        sun_azimuth_deg: Where the light comes from, clockwise from north.
        sun_elevation_deg: Height of the sun; low suns give long shadows.
        shadow: Share of the light, per band, that reaches a shaded surface.
        haze: Share of white-blue veil mixed into each pixel, 0 to 0.2.
        cast: Gain per band.
        contrast: Gain about mid-grey.
        blur_px: Standard deviation of the camera's point spread.
        noise: Standard deviation of the sensor noise, in grey levels.
        terracotta: Share of tiled roofs in warm colours.
        shingle: Share of roofs in greys and browns; the rest are pale flat roofs.
        greenness: 0 for parched, 1 for lush vegetation.
        pool_share: Probability that a garden has a pool.
        tree_density: Multiplier on the number of trees.
        bend_m: How far streets swing from a straight grid.
        lot_width_m: Mean width of a garden along its street.
    """

    sun_azimuth_deg: float
    sun_elevation_deg: float
    shadow: Colour
    haze: float
    cast: Colour
    contrast: float
    blur_px: float
    noise: float
    terracotta: float
    shingle: float
    greenness: float
    pool_share: float
    tree_density: float
    bend_m: float
    lot_width_m: float


@dataclass(frozen=True)
class _Region:
    """Ranges from which the looks of one kind of region are drawn."""

    terracotta: tuple[float, float]
    shingle: tuple[float, float]
    greenness: tuple[float, float]
    bend_m: tuple[float, float]
    warmth: tuple[float, float]


_REGIONS = (
    _Region((0.75, 0.9), (0.02, 0.12), (0.4, 0.75), (10, 20), (-0.01, 0.03)),  # Mediterranean
    _Region((0.1, 0.35), (0.5, 0.75), (0.25, 0.9), (0, 14), (-0.02, 0.08)),  # North American
    _Region((0.15, 0.45), (0.05, 0.2), (0.1, 0.5), (0, 10), (0.0, 0.08)),  # white flat roofs
)
_REGION_ODDS = (0.42, 0.38, 0.20)


def choose_look(rng: np.random.Generator) -> Look:
    """Draw the look of a scene."""
    region = _REGIONS[int(rng.choice(len(_REGIONS), p=_REGION_ODDS))]
    darkness = rng.uniform(0.2, 0.4)
    terracotta = rng.uniform(*region.terracotta)
    return Look(
        sun_azimuth_deg=rng.uniform(105, 255),
        sun_elevation_deg=rng.uniform(34, 64),
        shadow=(darkness * 0.84, darkness, darkness * 1.1),
        haze=rng.uniform(0.0, 0.13) * rng.uniform(0.3, 1.0),
        cast=_choose_cast(rng, rng.uniform(*region.warmth)),
        contrast=rng.uniform(0.94, 1.18),
        blur_px=rng.uniform(0.55, 1.15),
        noise=rng.uniform(0.4, 2.4),
        terracotta=terracotta,
        shingle=rng.uniform(*region.shingle),
        greenness=rng.uniform(*region.greenness),
        pool_share=rng.uniform(0.22, 0.5),
        tree_density=rng.uniform(0.7, 1.9),
        bend_m=rng.uniform(*region.bend_m),
        lot_width_m=rng.uniform(20, 28),
    )


def _choose_cast(rng: np.random.Generator, warmth: float) -> Colour:
    gain = rng.uniform(0.88, 1.1)
    green = rng.normal(0, 0.015)
    return (gain * (1 + warmth), gain * (1 + green), gain * (1 - warmth))
