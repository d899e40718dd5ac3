from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS
from rasterio.control import GroundControlPoint as Gcp
from rasterio.enums import Resampling

from geodetect.errors import GeodetectError, RasterError
from geodetect.io.raster.info import inspect_raster
from tests.conftest import METRES, Save
from tests.helpers.disguised_files import SIDE, vrt, write_image
from tests.helpers.program import check_failure, invoke

BLANK = np.full((3, 40, 60), 99, np.uint8)


def test_a_raster_is_described_from_its_header(save: Save) -> None:
    path = save(BLANK, nodata=0, compress="deflate", overviews=([2, 4], Resampling.average))
    facts = inspect_raster(path)
    assert (facts["width"], facts["height"], facts["band_count"]) == (60, 40, 3)
    assert [band["colour"] for band in facts["bands"]] == ["red", "green", "blue"]
    assert facts["bands"][1] == {"band": 2, "dtype": "uint8", "colour": "green", "nodata": 0.0}
    assert facts["crs"] == "EPSG:2154"
    assert facts["crs_name"] == "RGF93 v1 / Lambert-93"
    assert facts["gsd_m"] == pytest.approx(0.2002, abs=1e-4)
    assert facts["bounds"] == pytest.approx([700_000, 6_599_992, 700_012, 6_600_000])
    assert facts["georeference"] == "transform"
    assert facts["mask"] == ["nodata"]
    assert facts["overviews"] == [2, 4]
    assert facts["compression"] == "DEFLATE"


def test_all_of_it_is_json(save: Save) -> None:
    path = save(BLANK.astype(np.float32), nodata=float("nan"))
    facts = json.loads(json.dumps(inspect_raster(path), allow_nan=False))
    assert facts["nodata"] == "nan"


def test_the_bounds_of_a_turned_raster_hold_its_corners(save: Save) -> None:
    turned = METRES @ Affine.rotation(30)
    bounds = inspect_raster(save(BLANK, transform=turned))["bounds"]
    corners = np.array([turned @ c for c in ((0, 0), (60, 0), (60, 40), (0, 40))])
    assert bounds == pytest.approx([*corners.min(axis=0), *corners.max(axis=0)])


def test_a_raster_without_a_place_says_what_is_missing(save: Save) -> None:
    facts = inspect_raster(save(BLANK, crs=None))
    assert facts["georeference"] == "transform"
    assert facts["crs"] is None
    assert "`src_crs`" in facts["problem"]
    assert inspect_raster(save(BLANK, crs=None, transform=None))["georeference"] is None


def test_a_crs_that_does_not_reach_the_raster_is_said(save: Save) -> None:
    facts = inspect_raster(save(BLANK, crs="EPSG:2056", transform=Affine(1, 0, 2e9, 0, -1, 2e9)))
    assert "outside the area" in facts["problem"]
    assert facts["gsd_m"] is None


def test_a_crs_without_a_code_is_given_as_wkt(save: Save) -> None:
    local_crs = CRS("+proj=laea +lat_0=46 +lon_0=7 +ellps=GRS80 +units=m").to_wkt()
    facts = inspect_raster(save(BLANK, crs=local_crs, transform=Affine(0.2, 0, 0, 0, -0.2, 0)))
    assert CRS(facts["crs"]) == CRS(local_crs)
    assert facts["crs_name"] == "unknown"


def test_control_points_are_told_from_a_transform(save: Save) -> None:
    places = [(0, 0), (60, 0), (60, 40), (0, 40)]
    points = [Gcp(row=r, col=c, x=(METRES @ (c, r))[0], y=(METRES @ (c, r))[1]) for c, r in places]
    facts = inspect_raster(save(BLANK, transform=None, gcps=points))
    assert facts["georeference"] == "gcps"
    assert facts["gsd_m"] == pytest.approx(0.2002, abs=1e-4)


def test_what_is_no_raster_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="no such file"):
        inspect_raster(tmp_path / "none.tif")


def test_every_shared_raster_is_described_or_refused(shared_data: Path) -> None:
    described = 0
    for path in sorted((shared_data / "rasters").iterdir()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                facts = inspect_raster(path)
            except GeodetectError:
                continue
        json.dumps(facts, allow_nan=False)
        assert ("problem" in facts) or facts["gsd_m"] > 0
        described += 1
    assert described > 50


RPC = '<Metadata domain="RPC"><MDI key="LINE_OFF">{}</MDI><MDI key="SAMP_OFF">3</MDI></Metadata>'


def write_vrt(path: Path, metadata: str = "", colour: str = "Gray") -> Path:
    write_image(path.parent / "source.tif")
    text = vrt("source.tif", relative=True, more=metadata)
    place = text[text.index("<SRS>") : text.index("</GeoTransform>") + len("</GeoTransform>")]
    is_placed = "RPC" not in metadata
    path.write_text(
        (text if is_placed else text.replace(place, "")).replace(
            "<SimpleSource>", f"<ColorInterp>{colour}</ColorInterp><SimpleSource>", 1
        )
    )
    return path


@pytest.mark.parametrize("metadata", [RPC.format("x"), RPC.format("1")], ids=["text", "part"])
def test_damaged_metadata_end_in_one_line_everywhere(tmp_path: Path, metadata: str) -> None:
    path = write_vrt(tmp_path / "scene.vrt", metadata)
    for arguments in (
        ("info", path),
        ("predict", path, "--dry-run"),
        ("preview", path, "-o", tmp_path / "a.png"),
    ):
        check_failure(invoke(*arguments), "scene.vrt: its metadata cannot be used")


def test_unknown_structures_and_palettes_without_colours_are_described(tmp_path: Path) -> None:
    structure = (
        '<Metadata domain="IMAGE_STRUCTURE"><MDI key="COMPRESSION">NEW</MDI>'
        '<MDI key="INTERLEAVE">TILE</MDI></Metadata>'
    )
    path = write_vrt(tmp_path / "scene.vrt", structure, colour="Palette")
    facts = inspect_raster(path)
    assert facts["compression"] == "NEW"
    assert facts["bands"][0]["colour"] == "palette"
    assert invoke("info", path).exit_code == 0
    assert "Traceback" not in invoke("predict", path, "--dry-run").stderr


@pytest.mark.parametrize("content", [b"<PAMDataset><", b"<PAMDataset><Metadata>\xe9</Metadata>"])
def test_damaged_statistics_and_overviews_beside_a_raster_are_ignored(
    tmp_path: Path, content: bytes
) -> None:
    path = write_image(tmp_path / "scene.tif")
    Path(f"{path}.aux.xml").write_bytes(content)
    Path(f"{path}.ovr").write_bytes(b"II*\0\xff\xff\xff\x7f" + bytes(50))
    assert inspect_raster(path)["width"] == SIDE
