"""Arrays and open datasets in place of raster files."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from geopandas.testing import assert_geodataframe_equal
from rasterio.vrt import WarpedVRT

import geodetect
from geodetect.errors import InputError
from geodetect.io.array_raster import ArrayRaster, as_raster_paths
from tests.helpers.program import ROOT

SCENE = ROOT / "sample_data/neighbourhood.tif"
TRUTH = ROOT / "sample_data/neighbourhood.geojson"
ZEROS = np.zeros((40, 50, 3), np.uint8)


def find_bright(image: Any) -> Any:
    rows, columns = np.nonzero(image[0] == 255)
    boxes = np.stack([columns, rows, columns + 1, rows + 1], axis=1).astype(float)
    return boxes, np.full(len(boxes), 0.9), np.zeros(len(boxes), int)


def detect(raster: Any, **settings: Any) -> gpd.GeoDataFrame:
    detector = geodetect.CallableDetector(find_bright, classes=("spot",))
    return geodetect.predict(raster, detector, **settings)


def test_an_array_without_georeference_is_searched_in_pixels() -> None:
    image = ZEROS.copy()
    image[10, 20] = 255
    image[30, 5] = 250
    for array in (image, image.transpose(2, 0, 1)):
        found = detect(array)
        assert found.crs is None
        assert found.geometry.bounds.to_numpy().tolist() == [[20, 10, 21, 11]]
        assert found["raster"].tolist() == ["array"]


def test_array_dataset_and_warped_dataset_give_what_the_file_gives(tmp_path: Path) -> None:
    image = ZEROS.transpose(2, 0, 1).copy()
    image[:, 10, 20] = 255
    transform = rasterio.Affine(0.5, 0, 700_000, 0, -0.5, 6_600_000)
    path = tmp_path / "scene.tif"
    profile = {"width": 50, "height": 40, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:2154", transform=transform, **profile) as dataset:
        dataset.write(image)
    expected = detect(path)
    array = ArrayRaster(image, transform=transform, crs=2154, name="scene.tif")
    with rasterio.open(path) as dataset, WarpedVRT(dataset) as warped:
        for raster in (array, dataset, warped, [dataset]):
            assert_geodataframe_equal(detect(raster), expected)


def test_masked_elements_and_nan_are_no_imagery() -> None:
    image = np.ma.masked_equal(ZEROS + 255, 0)
    image[:, :25] = np.ma.masked
    floats = np.where(np.ma.getmaskarray(image), np.nan, 255.0)
    for array, settings in ((image, {}), (floats, {"value_range": (0, 255)})):
        assert detect(array, **settings).geometry.bounds["minx"].min() == 25


def test_several_arrays_are_numbered() -> None:
    paths = as_raster_paths([ZEROS, ZEROS, "a.tif"])
    assert [f"{path}" for path in paths] == ["array 1", "array 2", "a.tif"]


def test_the_memory_is_freed_with_the_last_reference() -> None:
    raster = ArrayRaster(ZEROS)
    path = str.__str__(raster)
    del raster
    gc.collect()
    with pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open("".join(path))


@pytest.mark.parametrize(
    ("raster", "message"),
    [
        (np.zeros(5), "height x width x bands .* found 5$"),
        (np.zeros((5, 5, 5)), "found 5 x 5 x 5$"),
        (np.zeros((3, 9, 9), complex), "expected real numbers; found complex128$"),
        (5, "`rasters`: expected paths, arrays, .*; found 5$"),
        ([gpd.GeoDataFrame()], "found a GeoDataFrame$"),
    ],
)
def test_what_is_no_raster_is_refused(raster: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        detect(raster)


def test_a_closed_dataset_is_refused() -> None:
    with rasterio.open(SCENE) as dataset:
        pass
    with pytest.raises(InputError, match="the dataset is closed"):
        detect(dataset)


def test_half_a_georeference_is_refused() -> None:
    with pytest.raises(InputError, match=r"both `transform` and `crs`.*found no `transform`"):
        ArrayRaster(ZEROS, crs=2154)


def test_tables_are_labels_as_files_are() -> None:
    from_file = geodetect.check(SCENE, TRUTH, shift=False)
    from_table = geodetect.check(SCENE, gpd.read_file(TRUTH), shift=False)
    assert from_table.labels == from_file.labels > 0
    assert from_table.by_class == from_file.by_class


def test_progress_true_shows_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    detect(ZEROS, progress=True)
    assert "1/1" in capsys.readouterr().err
    detect(ZEROS)
    assert capsys.readouterr().err == ""
