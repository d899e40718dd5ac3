"""Doubts about imagery that is blurrier, or of other colours, than the model knows."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio

import geodetect
from geodetect.errors import GeodetectWarning
from geodetect.types import UInt8Array
from tests.helpers.program import ROOT

SCENE = ROOT / "sample_data/neighbourhood.tif"


def see(folder: Path, values: UInt8Array) -> list[str]:
    """Warnings of a run on the sample scene with other values."""
    with rasterio.open(SCENE) as scene:
        profile = scene.profile | {"height": values.shape[1], "width": values.shape[2]}
    path = folder / "scene.tif"
    with rasterio.open(path, "w", **profile) as target:
        target.write(values)
    detector = geodetect.CallableDetector(
        lambda image: ([], [], []), gsd_m=0.2, bands=("red", "green", "blue")
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GeodetectWarning)
        geodetect.predict(path, detector)
    return [str(w.message) for w in caught if issubclass(w.category, GeodetectWarning)]


@pytest.fixture(scope="module")
def values() -> UInt8Array:
    with rasterio.open(SCENE) as scene:
        return np.asarray(scene.read())[:3]


def test_good_imagery_raises_no_doubt(tmp_path: Path, values: UInt8Array) -> None:
    assert see(tmp_path, values) == []


def test_imagery_that_was_enlarged_is_named_with_the_detail_that_it_holds(
    tmp_path: Path, values: UInt8Array
) -> None:
    from PIL import Image

    image = Image.fromarray(values.transpose(1, 2, 0))
    small = image.resize([round(side / 2.5) for side in image.size], Image.Resampling.LANCZOS)
    enlarged = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    (text,) = see(tmp_path, enlarged)
    assert "scene.tif: pixels of 0.2 m hold detail of about 0.5 m only" in text
    assert "`conf`" in text


def test_grey_imagery_is_named(tmp_path: Path, values: UInt8Array) -> None:
    (text,) = see(tmp_path, np.repeat(values[1:2], 3, axis=0))
    assert "the imagery is grey" in text
    assert "`bands`" in text


def test_false_colour_is_named(tmp_path: Path, values: UInt8Array) -> None:
    red, green, _ = values.astype(np.int64)
    vegetation = np.clip(5 * (green - red), 0, None)  # reflects near infrared
    false_colour = np.stack([np.clip(red + vegetation, 0, 255), red, green]).astype(np.uint8)
    (text,) = see(tmp_path, false_colour)
    assert "vegetation is red, as in false colour of near infrared" in text
    assert "`bands`" in text
