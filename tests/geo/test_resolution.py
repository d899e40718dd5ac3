"""Ground resolutions in the wrong unit."""

from __future__ import annotations

import pytest

from geodetect.errors import InputError
from geodetect.geo.resolution import check_gsd


@pytest.mark.parametrize("gsd_m", [0.15, 0.2, 0.6, 0.143, 0.63])
def test_resolutions_in_the_range_pass(gsd_m: float) -> None:
    check_gsd(gsd_m, 0.15, 0.6, of="the range of model pools")


@pytest.mark.parametrize(
    ("gsd_m", "hint"),
    [(25, "; 25cm?"), (200, "; 200mm?"), (0.0025, "; 0.25m?"), (0.025, "; 25cm?"), (0.7, ""),
     (3, ""), (0.1, "")],
)  # fmt: skip
def test_other_resolutions_are_refused_with_the_likely_unit(gsd_m: float, hint: str) -> None:
    with pytest.raises(InputError) as error:
        check_gsd(gsd_m, 0.15, 0.6, of="the range of model pools")
    assert str(error.value) == (
        f"`gsd` is {gsd_m:g} m per pixel, expected 0.15 to 0.6 m: the range of model pools{hint}"
    )
