"""Small pools and their look-alikes, drawn into photographs of real gardens."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter
from shapely import affinity
from shapely.geometry import Polygon

from drawing.canvas import Canvas, Frame, disc
from drawing.decoys import draw_parasol, draw_tarp, draw_trampoline
from drawing.light import cast_shadows
from drawing.looks import choose_look
from drawing.pools import Pool, draw_pool
from drawing.textures import Field, Textures, blur

_Draw = Callable[[Canvas, Frame, float, np.random.Generator], None]

_CLEARANCE_M = 1.0  # of even ground around a drawn object
_APART_M = 3.0
_ROUGHEST = 16.0  # standard deviation of the brightness of even ground
_DARKEST, _PALEST, _REDDEST = 70.0, 0.12, 1.2  # not shade; not asphalt or concrete; not tiles
_SHADOW = 0.4  # fraction of the light that is left
_DECOYS = (draw_trampoline, draw_trampoline, draw_tarp, draw_parasol)


def draw_into_photograph(
    photo: NDArray[np.uint8],
    taken: Sequence[Polygon],
    textures: Textures,
    *,
    gsd_m: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], list[Polygon]]:
    """Draw above-ground pools, and somewhat fewer look-alikes, onto even surfaces.

    These should be lawns and bare soil; soft tree tops and brown roofs can look alike.

    Args:
        photo: ``uint8[S, S, 3]``.
        taken: Pools in the photograph, in pixels.
        textures: Of surfaces, at this ground resolution.
        gsd_m: Side of a pixel.
        rng: Source of randomness.

    Returns:
        The changed photograph, and the edges of the water of the drawn pools in pixels.
    """
    canvas = Canvas.blank(len(photo), gsd_m, choose_look(rng), textures)
    canvas.rgb[:] = photo
    occupied = [affinity.scale(shape, gsd_m, gsd_m, origin=(0, 0)) for shape in taken]
    for draw in _chosen(rng):
        radius_m = float(np.clip(rng.lognormal(np.log(2.1), 0.25), 1.4, 3.4))
        spots = _even_ground(photo, radius_m + _CLEARANCE_M, gsd_m)
        for _ in range(8 if len(spots) else 0):
            x_m, y_m = (spots[int(rng.integers(len(spots)))] + 0.5) * gsd_m
            frame = Frame(float(x_m), float(y_m), float(rng.uniform(0, np.pi)))
            outline = frame.place(disc(radius_m))
            if all(outline.distance(other) > _APART_M for other in occupied):
                draw(canvas, frame, radius_m, rng)
                occupied.append(outline)
                break
    drawn = [outline for _, outline in canvas.objects()]
    return _photographed(canvas, photo, rng), drawn


def _chosen(rng: np.random.Generator) -> list[_Draw]:
    return [_draw_pool] * int(rng.poisson(1.5)) + [_draw_decoy] * int(rng.poisson(1.0))


def _draw_pool(canvas: Canvas, frame: Frame, radius_m: float, rng: np.random.Generator) -> None:
    stretch = float(rng.uniform(1.2, 1.7)) if rng.random() < 0.25 else 1.0
    shape = affinity.scale(disc(radius_m), stretch**0.5, stretch**-0.5)
    draw_pool(canvas, Pool(frame, shape, raised=True), rng)


def _draw_decoy(canvas: Canvas, frame: Frame, radius_m: float, rng: np.random.Generator) -> None:
    _DECOYS[int(rng.integers(len(_DECOYS)))](canvas, frame, rng)


def _even_ground(photo: NDArray[np.uint8], radius_m: float, gsd_m: float) -> NDArray[np.int64]:
    """Pixels about which all looks like lawn or soil, ``int64[N, 2]`` of x and y."""
    side = 2 * int(np.ceil(radius_m / gsd_m)) + 1
    image = photo.astype(np.float32)
    bright = image.mean(axis=2)
    mean = uniform_filter(bright, side)
    rough = np.sqrt(np.maximum(uniform_filter(bright**2, side) - mean**2, 0))
    red, green, blue = (uniform_filter(image[..., band], side) for band in range(3))
    colour = 1 - blue / np.maximum(np.maximum(red, green), 1)
    even = (rough < _ROUGHEST) & (mean > _DARKEST) & (colour > _PALEST)
    even &= red < _REDDEST * green
    reach = side // 2
    even[:reach] = even[-reach:] = even[:, :reach] = even[:, -reach:] = False
    return np.argwhere(even)[:, ::-1]


def _photographed(
    canvas: Canvas, photo: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the photograph with the drawn objects and their shadows, at its own sharpness."""
    before = photo.astype(np.float32)
    shade = _SHADOW * cast_shadows(canvas.height_m, canvas.sun, canvas.gsd_m)
    image = canvas.rgb * (1 - shade)[..., None]
    changed = binary_dilation((np.abs(image - before) > 1).any(axis=2), iterations=2)
    soft = blur(image, float(rng.uniform(0.5, 1.1)))
    noisy: Field = soft + rng.normal(0, rng.uniform(0.5, 3.0), soft.shape).astype(np.float32)
    cover = blur(changed.astype(np.float32), 0.7)[..., None]
    mixed = before + (noisy - before) * cover
    return np.asarray(np.clip(np.rint(mixed), 0, 255), dtype=np.uint8)
