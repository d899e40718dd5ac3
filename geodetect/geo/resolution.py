"""Ground resolutions that a user states: a check of their unit."""

from __future__ import annotations

from geodetect.errors import InputError

MAX_RATIO = 50  # of a stated resolution to that of imagery; a wrong unit is a factor of 100
MARGIN = 0.05  # relative, as of rounded numbers


def check_gsd(gsd_m: float, finest_m: float, coarsest_m: float, *, of: str) -> None:
    """Check that the parameter ``gsd`` lies in a range.

    Args:
        gsd_m: Stated resolution in metres per pixel.
        finest_m: Lower end of the range.
        coarsest_m: Upper end of the range.
        of: Range in words, for the message.

    Raises:
        InputError: It does not; the message names the likely unit.
    """
    low, high = finest_m * (1 - MARGIN), coarsest_m * (1 + MARGIN)
    if low <= gsd_m <= high:
        return
    meant = {
        0.01: f"{gsd_m:g}cm",
        0.001: f"{gsd_m:g}mm",
        100: f"{100 * gsd_m:g}m",
        10: f"{1000 * gsd_m:g}cm",
    }
    hint = next((f"; {text}?" for unit, text in meant.items() if low <= gsd_m * unit <= high), "")
    raise InputError(
        f"`gsd` is {gsd_m:g} m per pixel, expected {finest_m:.3g} to {coarsest_m:.3g} m: {of}{hint}"
    )


def check_gsd_of_imagery(gsd_m: float, raster_gsd_m: float, path: str) -> None:
    """Check a stated resolution against that of a raster, which it cannot differ from too much.

    Raises:
        InputError: It differs as much as by a wrong unit.
    """
    check_gsd(
        gsd_m,
        raster_gsd_m / MAX_RATIO,
        raster_gsd_m * MAX_RATIO,
        of=f"the pixels of {path} are {raster_gsd_m:.3g} m on the ground",
    )
