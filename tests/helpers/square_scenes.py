"""Rasters of bright squares on dark ground, and labels of the squares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from rasterio.enums import ColorInterp

SQUARE_PX = 16
BRIGHT, DARK = 220, 60
GSD_M = 0.25
ORIGIN_M = (500_000.0, 5_200_000.0)
CRS = "EPSG:32632"


def squares_image(
    side: int, corners: Sequence[tuple[int, int]], *, height: int | None = None
) -> NDArray[np.uint8]:
    """``uint8[3, H, W]`` with a bright square at each corner (x, y)."""
    image = np.full((3, height or side, side), DARK, np.uint8)
    for x, y in corners:
        image[:, y : y + SQUARE_PX, x : x + SQUARE_PX] = BRIGHT
    return image


def grid_corners(side: int, step: int = 48) -> list[tuple[int, int]]:
    return [(x, y) for y in range(4, side - 16, step) for x in range(4, side - 16, step)]


def square_boxes(corners: ArrayLike, *, side_px: float = SQUARE_PX) -> NDArray[np.float64]:
    """Boxes of squares at these corners (x, y), ``float64[N, 4]``."""
    low = np.array(corners, np.float64).reshape(-1, 2)
    return np.concatenate([low, low + side_px], axis=1)


def write_raster(
    path: Path,
    image: NDArray[np.uint8],
    *,
    crs: str | None = CRS,
    left_px: int = 0,
    **profile: object,
) -> Path:
    count, height, width = image.shape
    place = {} if crs is None else {"crs": crs}
    transform = Affine(GSD_M, 0, ORIGIN_M[0] + left_px * GSD_M, 0, -GSD_M, ORIGIN_M[1])
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=image.dtype,
        count=count,
        height=height,
        width=width,
        transform=transform,
        **place,
        **profile,
    ) as target:
        target.write(image)
        if count == 3:
            target.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return path


def write_labels(path: Path, boxes: Sequence[Sequence[float]], name: str = "square") -> Path:
    """Boxes in pixels as GeoJSON in the CRS of the raster."""
    features = []
    for x1, y1, x2, y2 in boxes:
        ring = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
        on_map = [[ORIGIN_M[0] + x * GSD_M, ORIGIN_M[1] - y * GSD_M] for x, y in ring]
        geometry = {"type": "Polygon", "coordinates": [on_map]}
        features.append({"type": "Feature", "properties": {"class": name}, "geometry": geometry})
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{CRS.replace(':', '::')}"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


class LabelledScene(NamedTuple):
    """A raster of squares and the labels of them."""

    raster: Path
    labels: Path

    @property
    def options(self) -> list[str]:
        """Options of the program that name both."""
        return ["--rasters", str(self.raster), "--labels", str(self.labels)]


def labelled_scene(side: int, corners: Sequence[tuple[int, int]]) -> Any:
    """Fixture of a raster with squares at these corners, one for each test module."""

    @pytest.fixture(scope="module")
    def scene(tmp_path_factory: pytest.TempPathFactory) -> LabelledScene:
        folder = tmp_path_factory.mktemp("squares")
        raster = write_raster(folder / "scene.tif", squares_image(side, corners))
        labels = write_labels(folder / "squares.geojson", square_boxes(corners).tolist())
        return LabelledScene(raster, labels)

    return scene


def square_raster(side: int, corners: Sequence[tuple[int, int]]) -> Any:
    """Fixture of a raster with squares at these corners, a new one for each test."""

    @pytest.fixture
    def raster(tmp_path: Path) -> Path:
        return write_raster(tmp_path / "scene.tif", squares_image(side, corners))

    return raster
