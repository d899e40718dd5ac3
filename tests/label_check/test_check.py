"""The label check before a training."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

import geodetect
from geodetect.errors import GeoreferenceError, LabelError, OutputError, RasterError
from geodetect.label_check.check import check, check_labels
from geodetect.label_check.findings import check_recall, check_sizes
from geodetect.label_check.problems import write_problems
from geodetect.label_check.report import LabelReport
from geodetect.model.network.anchor_fit import AnchorShapes, recall_by_size
from geodetect.model.network.presets import network_config
from geodetect.settings import CheckSettings
from tests.helpers.square_scenes import (
    CRS,
    GSD_M,
    ORIGIN_M,
    grid_corners,
    square_boxes,
    square_raster,
    squares_image,
    write_labels,
    write_raster,
)

SIDE = 420
CORNERS = grid_corners(SIDE, 40)
SQUARES = square_boxes(CORNERS).tolist()
QUICK = CheckSettings(shift=False)

Box = Sequence[float]


raster = square_raster(SIDE, CORNERS)


def polygon(box: Box) -> shapely.Geometry:
    """A box in pixels as a polygon on the map."""
    x1, y1, x2, y2 = np.array(box) * GSD_M
    return shapely.box(ORIGIN_M[0] + x1, ORIGIN_M[1] - y2, ORIGIN_M[0] + x2, ORIGIN_M[1] - y1)


def write_layer(path: Path, rows: Sequence[tuple[Box | shapely.Geometry | None, str]]) -> Path:
    geometries = [polygon(shape) if isinstance(shape, list | tuple) else shape for shape, _ in rows]
    columns = {"class": [name for _, name in rows]}
    gpd.GeoDataFrame(columns, geometry=geometries, crs=CRS).to_file(path)
    return path


def texts(report: LabelReport, severity: str) -> list[str]:
    return [finding.text for finding in report.findings if finding.severity == severity]


def reasons(report: LabelReport) -> dict[str, list[int]]:
    """Rows by reason."""
    groups = report.problems.groupby("reason")["row"]
    return {str(reason): [int(row) for row in rows] for reason, rows in groups}


def test_good_labels_give_no_complaint(raster: Path, tmp_path: Path) -> None:
    report = geodetect.check(raster, write_labels(tmp_path / "labels.geojson", SQUARES))
    assert report.findings == ()
    assert len(report.problems) == 0
    assert (report.rasters, report.labels, report.labels_on_imagery) == (
        1,
        len(SQUARES),
        len(SQUARES),
    )
    assert report.by_class == {"square": len(SQUARES)}
    assert report.raster_crs == report.label_crs == ("WGS 84 / UTM zone 32N",)
    (sizes,) = report.sizes
    assert sizes.width_m == sizes.length_m == pytest.approx((4.0, 4.0, 4.0), abs=0.01)
    assert sizes.width_px == pytest.approx((16.0, 16.0, 16.0), rel=0.01)
    assert [row.labels for row in report.anchor_recall] == [len(SQUARES)] * 2
    (shift,) = report.shifts
    assert not shift.suspected
    assert shift.shift_m < 0.3


def test_shifted_labels_are_suspected(raster: Path, tmp_path: Path) -> None:
    aside = [[x1 + 9, y1 - 8, x2 + 9, y2 - 8] for x1, y1, x2, y2 in SQUARES]
    report = check(raster, write_labels(tmp_path / "labels.geojson", aside))
    (text,) = texts(report, "warning")
    assert "scene.tif: labels seem to lie 3.0 m beside the objects" in text
    assert re.search(r"2\.[23] m left and 2\.0 m down", text)


def test_rasters_that_show_the_same_ground_are_named(tmp_path: Path) -> None:
    image = squares_image(SIDE, CORNERS)
    half = Affine(GSD_M, 0, ORIGIN_M[0] + SIDE / 2 * GSD_M, 0, -GSD_M, ORIGIN_M[1])
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    paths = [write_raster(folder / "scene.tif", image) for folder in folders]
    with rasterio.open(paths[2].rename(paths[2].with_name("half.tif")), "r+") as dataset:
        dataset.transform = half
    labels = write_labels(tmp_path / "labels.geojson", SQUARES)
    report = check([*paths[:2], folders[2]], labels, settings=QUICK)
    assert [overlap.fraction for overlap in report.overlaps] == [1, 0.5, 0.5]
    assert report.as_dict()["overlaps"][1] == {
        "first": "a/scene.tif", "second": "half.tif", "fraction": 0.5
    }  # fmt: skip
    (finding,) = (warning for warning in report.warnings if warning.topic == "overlap")
    assert "a/scene.tif and b/scene.tif (100% of the smaller one), a/scene.tif and" in finding.text
    assert "gdalbuildvrt" in finding.text
    copy = shutil.copy(paths[0], tmp_path / "copy.tif")
    more = check([*paths[:2], folders[2], copy], labels, settings=QUICK)
    assert "and 3 more pairs" in next(
        warning.text for warning in more.warnings if warning.topic == "overlap"
    )


def test_a_narrow_margin_that_sheets_share_is_no_complaint(raster: Path, tmp_path: Path) -> None:
    beside = write_raster(tmp_path / "beside.tif", squares_image(SIDE, CORNERS))
    with rasterio.open(beside, "r+") as dataset:
        dataset.transform = dataset.transform @ Affine.translation(SIDE - 4, 0)
    labels = write_labels(tmp_path / "labels.geojson", SQUARES)
    assert check([raster, beside], labels, settings=QUICK).overlaps == ()


def test_the_resolution_of_the_training_is_that_of_the_sizes_in_pixels(
    raster: Path, tmp_path: Path
) -> None:
    labels = write_labels(tmp_path / "labels.geojson", SQUARES)
    report = check(raster, labels, settings=CheckSettings(gsd=1.25, shift=False))
    assert report.gsd_m == 1.25
    assert report.sizes[0].width_px == pytest.approx((3.2, 3.2, 3.2), abs=0.05)
    warnings = " ".join(texts(report, "warning"))
    assert "100% of the objects are under 4 px wide" in warnings
    assert "anchors can find at most 0% of the objects" in warnings


def test_every_problem_is_a_feature_with_its_reason(raster: Path, tmp_path: Path) -> None:
    bow_tie = shapely.Polygon(shapely.get_coordinates(polygon([10, 210, 30, 230]))[[0, 2, 1, 3, 0]])
    rows: list[tuple[Box | shapely.Geometry | None, str]] = [
        *((box, "square") for box in SQUARES[:40]),
        ([-100, 0, -80, 20], "square"),  # row 40
        ([-18, 300, 2, 320], "square"),
        (SQUARES[3], "square"),
        ([v + 0.2 for v in SQUARES[4]], "tank"),
        ([100, 100, 360, 360], "square"),
        ([300, 390, 301, 391], "square"),
        (bow_tie, "square"),
        (None, "square"),
        (polygon([5, 5, 6, 6]).exterior.interpolate(0).buffer(0), "square"),
    ]
    report = check(raster, write_layer(tmp_path / "labels.gpkg", rows), settings=QUICK)
    counts = reasons(report)
    assert counts.pop("crosses itself") == [46]
    assert counts == {
        "off the imagery": [40],
        "cut by the edge of the imagery": [41],
        "duplicate": [42],
        "duplicate of another class": [43],
        "much larger than its class": [44],
        "much smaller than its class": [45],
        "no geometry": [47, 48],
    }
    table = report.problems.set_index("row")
    assert table.loc[42, "detail"] == "lies on row 3 of labels.gpkg, class square"
    assert (table.source == "labels.gpkg").all()
    assert table.crs.to_epsg() == 4326
    placed = gpd.GeoSeries([table.loc[44, "geometry"]], crs=4326).to_crs(CRS).iloc[0]
    np.testing.assert_allclose(placed.bounds, polygon([100, 100, 360, 360]).bounds, atol=1e-3)
    assert table.loc[47, "geometry"] is None
    warnings = " ".join(texts(report, "warning"))
    for part in (
        "1 of 47 labels lie off the imagery",
        "2 labels lie on another one, 1 of them on one of another class",
        "49 rows of labels: 2 without an area left out, 1 crossing itself repaired",
        "2 labels are over ten times larger or smaller",
        "fewer than 20 objects of tank (1)",
    ):
        assert part in warnings


def test_labels_on_nodata_do_not_count_as_objects(tmp_path: Path) -> None:
    image = squares_image(SIDE, CORNERS)
    image[:, :, 210:] = 0
    raster = write_raster(tmp_path / "scene.tif", image, nodata=0)
    report = check(raster, write_labels(tmp_path / "labels.geojson", SQUARES), settings=QUICK)
    on_nodata = [i for i, box in enumerate(SQUARES) if box[0] >= 210]
    assert reasons(report)["on nodata"] == on_nodata
    assert report.labels_on_imagery == len(SQUARES) - len(on_nodata)


def test_a_raster_that_is_all_nodata_makes_training_pointless(tmp_path: Path) -> None:
    raster = write_raster(tmp_path / "scene.tif", squares_image(SIDE, []) * 0, nodata=0)
    report = check(raster, write_labels(tmp_path / "labels.geojson", SQUARES), settings=QUICK)
    with pytest.raises(LabelError, match=r"all \d+ labels lie off the imagery or on nodata"):
        report.raise_errors()


def test_labels_that_all_lie_elsewhere_make_training_pointless(
    raster: Path, tmp_path: Path
) -> None:
    labels = write_labels(tmp_path / "labels.geojson", [(9000, 9000, 9016, 9016)])
    report = check(raster, labels)
    assert (report.labels_on_imagery, report.sizes, report.shifts) == (0, (), ())
    with pytest.raises(LabelError, match="none of the 1 labels lies on any of the 1 rasters"):
        report.raise_errors()


def test_labels_without_objects_make_training_pointless(raster: Path, tmp_path: Path) -> None:
    report = check(raster, write_labels(tmp_path / "labels.geojson", []), settings=QUICK)
    with pytest.raises(LabelError, match="hold no objects"):
        report.raise_errors()


def test_a_damaged_sheet_among_many_is_named_and_left_out(raster: Path, tmp_path: Path) -> None:
    content = raster.read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.tif").write_text("no raster")
    report = check(
        [raster, tmp_path / "cut.tif", tmp_path / "text.tif"],
        write_labels(tmp_path / "labels.geojson", SQUARES),
        settings=QUICK,
    )
    assert [Path(path).name for path in report.left_out] == ["cut.tif", "text.tif"]
    (text,) = texts(report, "warning")
    assert text.startswith("2 of 3 rasters cannot be used: ")
    assert "cut.tif" in text


def test_rasters_of_other_bands_are_named_and_left_out(raster: Path, tmp_path: Path) -> None:
    image = np.full((2, 64, 64), 9, np.uint8)
    grey = write_raster(tmp_path / "two.tif", image)
    labels = write_labels(tmp_path / "labels.geojson", SQUARES)
    (text,) = texts(check([raster, grey], labels, settings=QUICK), "warning")
    assert "1 of 2 rasters cannot be used" in text
    assert "two.tif" in text


def test_no_raster_at_all_that_can_be_used_is_an_error(raster: Path, tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    labels = write_labels(tmp_path / "labels.geojson", SQUARES)
    with pytest.raises(RasterError, match=r"text\.tif"):
        check(tmp_path / "text.tif", labels)
    without_crs = write_raster(tmp_path / "bare.tif", squares_image(64, []), crs=None)
    with pytest.raises(GeoreferenceError, match=r"bare\.tif.*`src_crs`"):
        check(without_crs, labels)
    report = check(without_crs, labels, settings=CheckSettings(src_crs=CRS, shift=False))
    assert report.rasters == 1


def test_classes_that_differ_in_spelling_only_are_pointed_out(raster: Path, tmp_path: Path) -> None:
    rows = [(box, "Pool" if i % 2 else "pool ") for i, box in enumerate(SQUARES)]
    report = check(raster, write_layer(tmp_path / "labels.gpkg", rows), settings=QUICK)
    assert texts(report, "warning") == [
        "Pool, pool are taken for different classes; spell them alike"
    ]
    assert [sizes.class_name for sizes in report.sizes] == ["Pool", "pool", "all"]


def test_points_are_checked_at_their_size(raster: Path, tmp_path: Path) -> None:
    points = [(polygon(box).centroid, "square") for box in SQUARES]
    labels = write_layer(tmp_path / "labels.gpkg", points)
    with pytest.raises(LabelError, match="`point_size`"):
        check(raster, labels)
    report = check(raster, labels, settings=CheckSettings(point_size=4.0, shift=False))
    assert report.findings == ()
    assert report.sizes[0].width_m == pytest.approx((4.0, 4.0, 4.0), rel=0.01)


def test_boxes_in_pixels_of_images_are_checked_like_others(raster: Path, tmp_path: Path) -> None:
    lines = [f"scene.tif,{x},{y},{x + 16},{y + 16},square\n" for x, y in [*CORNERS, CORNERS[0]]]
    labels = tmp_path / "labels.csv"
    labels.write_text("image_path,xmin,ymin,xmax,ymax,label\n" + "".join(lines))
    report = check(raster, labels, settings=QUICK)
    assert report.label_crs == ("pixels",)
    assert reasons(report) == {"duplicate": [len(CORNERS)]}
    (where,) = report.problems.to_crs(CRS).geometry
    np.testing.assert_allclose(where.bounds, polygon(SQUARES[0]).bounds, atol=1e-3)
    assert list(report.problems.raster) == ["scene.tif"]


def test_large_ground_without_labels_is_a_feature(raster: Path, tmp_path: Path) -> None:
    left = [box for box in SQUARES if box[0] < 100]
    labels = write_labels(tmp_path / "labels.geojson", left)
    report = check(raster, labels, settings=CheckSettings(far=20, shift=False))
    (text,) = texts(report, "warning")
    assert "of the ground is more than 20 m from any label" in text
    assert list(report.problems.reason) == ["no label near"]
    assert report.problems.row.isna().all()


def test_the_report_is_plain_json(raster: Path, tmp_path: Path) -> None:
    rows = [(box, "square") for box in [*SQUARES, SQUARES[0]]]
    report = check(raster, write_layer(tmp_path / "labels.gpkg", rows), settings=QUICK)
    values = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert values["problems"] == {"duplicate": 1}
    assert values["anchor_recall"][-1]["high_px"] is None
    assert values["findings"][0]["severity"] == "warning"


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".shp"])
def test_problems_are_written_as_a_map_layer(raster: Path, tmp_path: Path, suffix: str) -> None:
    rows = [(box, "square") for box in [*SQUARES, SQUARES[0], [-100, 0, -80, 20]]]
    report = check(raster, write_layer(tmp_path / "labels.gpkg", rows), settings=QUICK)
    path = tmp_path / f"problems{suffix}"
    write_problems(report.problems, path)
    layer_name = "problems" if suffix == ".gpkg" else None
    assert sorted(gpd.read_file(path, layer=layer_name).reason) == ["duplicate", "off the imagery"]
    with pytest.raises(OutputError, match="set `overwrite`"):
        write_problems(report.problems, path)


def test_no_problems_are_written_as_an_empty_layer(raster: Path, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.geojson", SQUARES)
    write_problems(check(raster, labels, settings=QUICK).problems, tmp_path / "problems.gpkg")
    assert len(gpd.read_file(tmp_path / "problems.gpkg", layer="problems")) == 0


def test_the_same_can_be_asked_of_open_rasters(raster: Path, tmp_path: Path) -> None:
    from geodetect.io.labels.placement import place_labels
    from geodetect.io.labels.read import read_labels
    from geodetect.io.raster.open_raster import open_raster

    labels = read_labels(write_labels(tmp_path / "labels.geojson", SQUARES))
    with open_raster(raster) as opened:
        report = check_labels(place_labels(labels, [opened] * 2), labels, settings=QUICK)
    assert (report.rasters, report.labels_on_imagery) == (1, len(SQUARES))


@pytest.mark.parametrize(
    ("sides_px", "remedies"),
    [
        ([2000.0] * 30, {"a coarser `gsd`", "a larger `tile_size`"}),
        ([2.0] * 30, {"a finer `gsd`"}),
        ([2.0] * 10 + [2000.0] * 20, {"a finer `gsd`", "a larger `tile_size`"}),
    ],
)
def test_remedies_for_sizes_do_not_contradict_each_other(
    sides_px: list[float], remedies: set[str]
) -> None:
    sizes_px = np.tile(np.array(sides_px)[:, None], 2)
    anchors = AnchorShapes.from_config(network_config("geodetect"))
    bins = recall_by_size(sizes_px, anchors)
    texts = [
        finding.text
        for finding in (*check_sizes(sizes_px, [], tile_size=512), *check_recall(bins, bins))
    ]
    named = {
        remedy
        for remedy in ("a coarser `gsd`", "a finer `gsd`", "a larger `tile_size`")
        if remedy in " ".join(texts)
    }
    assert named == remedies
