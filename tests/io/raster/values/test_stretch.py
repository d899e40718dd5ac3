"""Estimated stretches: fill values, saturated pixels and other extremes do not blind the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from rasterio.enums import Resampling

from geodetect.errors import GeodetectWarning
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import RasterOptions
from geodetect.io.raster.values.stretch import Stretch
from tests.conftest import Save

N = 60_000


def _imagery(kind: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    values = {
        "reflectance": lambda: rng.beta(2, 5, N).astype(np.float32),
        "12-bit": lambda: np.clip(rng.gamma(4, 300, N), 1, 4095).astype(np.uint16),
        "signed": lambda: rng.gamma(4, 700, N).astype(np.int16),
        "offset": lambda: (10_000 + rng.gamma(4, 100, N)).astype(np.uint16),
        "bytes": lambda: np.clip(rng.normal(110, 45, N), 0, 255).astype(np.uint16),
        "bytes in floats": lambda: np.clip(rng.normal(110, 45, N), 0, 255).round(),
        "sea": lambda: np.clip(rng.normal(120, 12, N), 0, 4095).astype(np.uint16),
        "temperature": lambda: rng.normal(0, 20, N).astype(np.float32),
        "decibels": lambda: rng.normal(-12, 4, N),
        "full 16-bit": lambda: np.clip(rng.gamma(2, 15_000, N), 0, 65_535).astype(np.uint16),
        "classes": lambda: (rng.integers(0, 6, N) * 100).astype(np.uint16),
        "two values": lambda: (rng.integers(0, 2, N) * 4000).astype(np.uint16),
    }
    return values[kind]()


def _mix(imagery: np.ndarray, values: Sequence[float], fraction: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    mixed = imagery.copy()
    is_replaced = rng.random(len(mixed)) < fraction
    mixed[is_replaced] = rng.choice(np.asarray(values), is_replaced.sum()).astype(imagery.dtype)
    return mixed


@pytest.mark.parametrize("fraction", [0.0001, 0.006, 0.05, 0.4, 0.8])
@pytest.mark.parametrize(
    ("kind", "fills"),
    [
        ("reflectance", [-9999]),
        ("reflectance", [-3.4028235e38]),
        ("reflectance", [1e38, 3e38, np.nan, np.inf]),
        ("reflectance", [-9999, 9999]),
        ("reflectance", [-9999, -32768, 1e20]),
        ("reflectance", [-1]),
        ("reflectance", [255]),
        ("bytes in floats", [-9999.5, -9999]),
        ("12-bit", [65_535]),
        ("12-bit", [65_533, 65_534, 65_535]),
        ("signed", [-32_768]),
        ("signed", [-32_768, 32_767]),
        ("offset", [0]),
        ("offset", [0, 65_535]),
        ("bytes", [65_535]),
        ("sea", [65_535]),
        ("decibels", [-9999, 0.0]),
    ],
)
def test_fill_values_do_not_decide_the_range(
    kind: str, fills: list[float], fraction: float
) -> None:
    imagery = _imagery(kind)
    expected = Stretch.from_sample(imagery)
    stretch = Stretch.from_sample(_mix(imagery, fills, fraction))
    span = expected.high - expected.low
    assert stretch.low == pytest.approx(expected.low, abs=0.15 * span)
    assert stretch.high == pytest.approx(expected.high, abs=0.15 * span)
    assert stretch.narrow_middle is None


@pytest.mark.parametrize(
    ("kind", "bright"),
    [
        ("reflectance", []),
        ("12-bit", []),
        ("12-bit", [4095]),  # saturated roofs
        ("signed", []),
        ("offset", []),
        ("bytes", [255]),
        ("bytes in floats", [0]),
        ("sea", range(1500, 4000)),  # roofs on an island
        ("sea", [3500]),  # painted alike
        ("temperature", []),
        ("decibels", []),
        ("full 16-bit", []),
        ("classes", []),
        ("two values", []),
    ],
)
def test_the_range_of_imagery_is_that_of_its_percentiles(kind: str, bright: Sequence[int]) -> None:
    values = _imagery(kind)
    values = _mix(values, bright, 0.02) if bright else values
    stretch = Stretch.from_sample(values)
    assert [stretch.low, stretch.high] == np.percentile(values.astype(float), [0.5, 99.5]).tolist()
    assert not stretch.fill_values


def test_few_bright_objects_on_dark_water_are_a_doubt() -> None:
    stretch = Stretch.from_sample(_mix(_imagery("sea"), range(1500, 4000), 0.02))
    assert stretch.narrow_middle == (pytest.approx(100, abs=3), pytest.approx(142, abs=3))


def test_hot_pixels_of_many_values_are_a_doubt() -> None:
    stretch = Stretch.from_sample(_mix(_imagery("12-bit"), range(5000, 65_535), 0.02))
    assert stretch.narrow_middle is not None


def test_a_fill_beside_few_values_is_left_out() -> None:
    values = np.array([-9999.0] * 50 + [0.25] * 40 + [0.75] * 10, np.float32)
    assert Stretch.from_sample(values).range == (0.25, 0.75)


@pytest.mark.parametrize("overviews", [None, ([2, 4], Resampling.average)])
def test_a_fill_value_is_named_with_its_cure(overviews: object, save: Save) -> None:
    pixels = np.tile(_imagery("reflectance"), 7)
    expected = np.percentile(pixels.astype(float), [0.5, 99.5])
    path = save(_mix(pixels, [-9999], 0.02).reshape(200, 2100), overviews=overviews)
    with open_raster(path) as raster:
        with pytest.warns(
            GeodetectWarning,
            match=r"scene\.tif: [12]\.\d+% of its values are -9999\.0, far.*`value_range` is "
            r"estimated as 0\.0\d+,0\.7\d+ without.*gdal_edit\.py -a_nodata -9999\.0\)",
        ):
            stretch = raster.stretch
        assert stretch is not None
        np.testing.assert_allclose(stretch.range, expected, atol=0.01)


def test_a_fill_of_one_band_is_left_out_and_black(save: Save) -> None:
    pixels = _imagery("reflectance")[:30_000].reshape(3, 100, 100)
    pixels[1, :20] = -9999
    with open_raster(save(pixels)) as raster:
        with pytest.warns(GeodetectWarning, match="-9999"):
            values = raster.read().values
        assert (values[1, :20] == 0).all()
        assert values[0].std() > 40
    with open_raster(save(pixels), RasterOptions(value_range=(0, 1))) as raster:
        assert raster.read().values.shape == pixels.shape  # and no warning: the range is stated
