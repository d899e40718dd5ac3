"""Lists and catalogues stand for the rasters that they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import shapely
from pyarrow import parquet

import geodetect
from geodetect.errors import InputError
from geodetect.io.sources.find import find_rasters
from tests.conftest import Save
from tests.helpers.painted_scenes import detect_nothing
from tests.helpers.sheets import cut_into_sheets

GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


@pytest.fixture
def sheets(save: Save) -> list[Path]:
    pixels = np.random.default_rng(0).integers(1, 255, (3, 60, 60)).astype(np.uint8)
    return cut_into_sheets(save, pixels, columns=2)


def item(name: str, href: str, **assets: Any) -> dict[str, Any]:
    image = {"href": href, "type": GEOTIFF, "roles": ["data"]}
    thumbnail = {"href": "t.tif", "type": "image/tiff", "roles": ["thumbnail"]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": None,
        "properties": {},
        "assets": {"image": image, "preview": thumbnail, **assets},
    }


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_text_file_names_a_raster_in_each_line(sheets: list[Path], tmp_path: Path) -> None:
    others = "https://example.org/a.tif?key=1\n/vsis3/bucket/b.tif\ns3://bucket/c.tif\n"
    names = tmp_path / "sheets.txt"
    names.write_text(f"# two of them\n{sheets[0].name}\n\n  {sheets[1]}  \n{others}")
    assert find_rasters(names) == [str(sheets[0]), str(sheets[1]), *others.split()]


def test_entries_may_be_folders_and_patterns_but_no_lists(
    sheets: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "all.txt").write_text("0_*.tif\nall.txt\n")
    assert find_rasters(tmp_path / "all.txt") == [
        *map(str, sheets[:2]),
        str(tmp_path / "all.txt"),
    ]


@pytest.mark.parametrize("name", ["index.gpkg", "index.fgb", "index.shp", "index.parquet"])
def test_a_tile_index_of_gdal_names_its_rasters(
    name: str, sheets: list[Path], tmp_path: Path
) -> None:
    table = gpd.GeoDataFrame(
        {"location": [path.name for path in sheets]},
        geometry=[shapely.box(n, 0, n + 1, 1) for n in range(len(sheets))],
        crs=2154,
    )
    if name.endswith(".parquet"):
        table.to_parquet(tmp_path / name)
    else:
        table.to_file(tmp_path / name)
    paths = find_rasters(tmp_path / name)  # FlatGeobuf orders them by place
    assert (sorted(paths) if name.endswith(".fgb") else paths) == [str(path) for path in sheets]


@pytest.mark.parametrize(
    "location", ["https://example.org/a.tif", "../a.tif", "/vsizip/a.zip/a.tif"]
)
def test_a_vector_layer_names_rasters_elsewhere_only_if_its_name_says_so(
    location: str, tmp_path: Path
) -> None:
    """A GeoPackage of a stranger that is taken for imagery reads no file elsewhere."""
    table = gpd.GeoDataFrame({"location": [location]}, geometry=[shapely.box(0, 0, 1, 1)], crs=2154)
    for name in ("scene.gpkg", "sheets.gti.gpkg"):
        table.to_file(tmp_path / name)
    with pytest.raises(InputError, match=r"elsewhere, .*a\.tif; .* name it scene\.gti\.gpkg"):
        find_rasters(tmp_path / "scene.gpkg")
    (path,) = find_rasters(tmp_path / "sheets.gti.gpkg")
    assert path.endswith(location)


def test_a_stac_item_collection_names_its_images(sheets: list[Path], tmp_path: Path) -> None:
    items = [item(path.stem, path.name) for path in sheets]
    collection = write_json(
        tmp_path / "items.json", {"type": "FeatureCollection", "features": items}
    )
    single = write_json(tmp_path / "item.json", items[2])
    assert find_rasters([collection, single]) == [*map(str, sheets), str(sheets[2])]
    rows = pa.table({"id": ["a", "b"], "assets": [items[0]["assets"], items[1]["assets"]]})
    parquet.write_table(rows, tmp_path / "items.parquet")
    assert find_rasters(tmp_path / "items.parquet") == [*map(str, sheets[:2])]


def test_an_item_with_several_images_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    bands = {name: {"href": f"{name}.tif", "type": GEOTIFF} for name in ("B02", "B03")}
    content = {**item("S2A", "x.tif"), "assets": bands}
    path = write_json(tmp_path / "item.json", content)
    with pytest.raises(InputError, match=r"item S2A: .*found B02, B03; .*text file"):
        find_rasters(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"# nothing\n", "names no raster"),
        ("a.txt", b"\xff\xfe\x00", "expected text in UTF-8"),
        ("a.parquet", b"PAR1", "not a Parquet file"),
    ],
)
def test_what_is_empty_or_damaged_is_one_line(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        find_rasters(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_other_files_of_these_suffixes_stay_what_they_are(tmp_path: Path) -> None:
    grid = tmp_path / "grid.txt"
    grid.write_text("ncols 2\nnrows 1\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n")
    labels = write_json(tmp_path / "labels.json", {"type": "FeatureCollection", "features": []})
    assert find_rasters([grid, labels]) == [str(grid), str(labels)]


def test_a_list_is_searched_as_one_ground(sheets: list[Path], tmp_path: Path) -> None:
    names = tmp_path / "sheets.txt"
    names.write_text("\n".join(path.name for path in sheets))
    plans = geodetect.plan(names, geodetect.CallableDetector(detect_nothing))
    assert [len(plan.ground.rasters) for plan in plans] == [4]
