"""Overviews and contact sheets show the right predictions at their positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image

import geodetect
from geodetect.errors import GeodetectWarning, InputError, OutputError
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.vector.qgis_style import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    SCORE_COLOURS,
    TRUE_POSITIVE,
    YELLOW,
)
from geodetect.reporting.drawing.contact_sheet import GAP_PX, THUMBNAIL_PX, TITLE_PX, select_rows
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.reporting.drawing.overview import FOOTER_PX
from geodetect.reporting.drawing.primitives import score_colour
from geodetect.settings import PreviewSettings
from tests.conftest import METRES, Save
from tests.helpers.change_layers import SIDE, pool_changes

BOXES = [(40, 60, 120, 100), (200, 200, 260, 280), (500, 100, 560, 160)]
SCORES = [0.95, 0.6, 0.2]


@pytest.fixture
def flat_scene(save: Save) -> Path:
    return save(np.full((3, 400, 800), 60, np.uint8))


def predictions(scores: Any = SCORES) -> gpd.GeoDataFrame:
    rings = Grid(parse_crs("EPSG:2154"), METRES, 800, 400).boxes_to_map(np.array(BOXES, float))
    columns = {"id": [7, 8, 9]} | ({} if scores is None else {"score": scores})
    return gpd.GeoDataFrame(columns, geometry=shapely.polygons(rings), crs="EPSG:2154")


def draw_preview(scene: Path, table: Any = None, **settings: Any) -> Any:
    image = geodetect.preview(scene, table, settings=PreviewSettings.model_validate(settings))
    return np.asarray(image)


def extent(image: Any, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((image[:-FOOTER_PX] == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("size", [400, 800, 1600])
def test_boxes_are_at_their_position_in_the_colour_of_their_score(flat_scene: Path, size: int):
    image = draw_preview(flat_scene, predictions(), image_size=size)
    assert image.shape[:2] == (size // 2 + FOOTER_PX, max(size, 560))
    left = (image.shape[1] - size) // 2
    for box, score in zip(BOXES, SCORES, strict=True):
        drawn = np.array(extent(image, score_colour(score))) - [left, 0, left, 0]
        assert drawn == pytest.approx(np.array(box) * size / 800, abs=1)


def test_predictions_below_the_score_threshold_are_not_drawn(flat_scene: Path):
    image = draw_preview(flat_scene, predictions(), conf=0.5)[:-FOOTER_PX]
    assert (image == SCORE_COLOURS[4]).all(axis=2).any()
    assert not (image == SCORE_COLOURS[0]).all(axis=2).any()


def test_without_predictions_the_raster_is_drawn(flat_scene: Path):
    image = draw_preview(flat_scene)[:-FOOTER_PX]
    assert np.abs(image.astype(int) - 60).max() <= 1


def test_nodata_is_light(save: Save):
    mask = np.zeros((400, 800), np.uint8)
    mask[:, 400:] = 255
    image = draw_preview(save(np.full((3, 400, 800), 60, np.uint8), mask=mask), image_size=800)
    assert image[100, 100].min() > 200
    assert abs(int(image[100, 700, 0]) - 60) <= 1


def test_an_image_is_written_in_the_format_of_its_name_and_not_over_another(
    flat_scene: Path, tmp_path: Path
):
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.webp", "WEBP")):
        image = geodetect.preview(flat_scene, predictions(), output=tmp_path / name)
        with Image.open(tmp_path / name) as written:
            assert (written.format, written.size) == (kind, image.size)
    with pytest.raises(OutputError, match="overwrite"):
        geodetect.preview(flat_scene, output=tmp_path / "a.png")
    with pytest.raises(InputError, match=r"\.png, \.jpg"):
        geodetect.preview(flat_scene, output=tmp_path / "a.bmp")


def test_a_contact_sheet_has_a_thumbnail_for_each_prediction(flat_scene: Path):
    image = draw_preview(flat_scene, predictions(), sheet="best")
    assert image.shape[1] == 3 * (THUMBNAIL_PX + GAP_PX) + GAP_PX
    for index, score in enumerate(SCORES):
        x = GAP_PX + index * (THUMBNAIL_PX + GAP_PX)
        part = image[TITLE_PX : TITLE_PX + THUMBNAIL_PX, x : x + THUMBNAIL_PX]
        assert (part == score_colour(score)).all(axis=2).sum() > 200


def layer_of(scores: Any) -> CanvasLayer:
    table = gpd.GeoDataFrame({"class": "pool", "score": scores}, geometry=[None] * len(scores))
    return CanvasLayer(table, np.zeros((len(scores), 4)))


def test_contact_sheets_select_by_score():
    layer = layer_of([0.9, 0.8, 0.55, 0.5, 0.3, 0.1])
    selected = {
        (kind, conf): select_rows(
            layer, PreviewSettings(sheet=kind, conf=conf, thumbnails=2)
        ).tolist()
        for kind in ("best", "worst", "uncertain")
        for conf in (None, 0.35)
    }
    assert selected == {
        ("best", None): [0, 1],
        ("best", 0.35): [0, 1],
        ("worst", None): [5, 4],
        ("worst", 0.35): [3, 2],
        ("uncertain", None): [3, 2],
        ("uncertain", 0.35): [4, 3],
    }


def test_a_contact_sheet_needs_predictions_and_scores(flat_scene: Path):
    with pytest.raises(InputError, match="name their file"):
        draw_preview(flat_scene, sheet="best")
    with pytest.raises(InputError, match="`score_field`"):
        draw_preview(flat_scene, predictions(None), sheet="best")
    with pytest.raises(InputError, match="lower `conf`"):
        draw_preview(flat_scene, predictions(), sheet="worst", conf=0.99)


def test_changes_are_drawn_in_the_colours_of_their_statuses_with_a_legend(save: Save):
    scene = save(np.full((3, SIDE, SIDE), 60, np.uint8))
    changes = pool_changes().changes
    image = np.asarray(geodetect.preview(scene, changes, conf=0.99))
    for colour in (FALSE_POSITIVE, FALSE_NEGATIVE, YELLOW, TRUE_POSITIVE):
        assert (image[-FOOTER_PX:] == colour).all(axis=2).any()
    drawn = image[:-FOOTER_PX]
    assert (drawn == FALSE_NEGATIVE).all(axis=2).any()  # without a score, which no threshold hides
    assert not (drawn == FALSE_POSITIVE).all(axis=2).any()
    shown = np.asarray(geodetect.preview(scene, changes))[:-FOOTER_PX]
    assert (shown == FALSE_POSITIVE).all(axis=2).any()


def test_zones_are_outlined_and_named(flat_scene: Path):
    rings = Grid(parse_crs("EPSG:2154"), METRES, 800, 400).boxes_to_map(
        np.array([[0.0, 0, 400, 400], [400, 0, 3000, 400]])
    )
    zones = gpd.GeoDataFrame({"name": ["A", "B"]}, geometry=shapely.polygons(rings), crs=2154)
    plain, outlined = (
        np.asarray(geodetect.preview(flat_scene, zones=z, image_size=800)).astype(int)
        for z in (None, zones.to_crs("EPSG:4326"))
    )
    assert (outlined[50, 395:405] == 255).all(axis=1).any()
    assert (outlined[50, 100:300] == plain[50, 100:300]).all()
    assert (outlined[190:210, 190:210] != plain[190:210, 190:210]).any()  # the name
    with pytest.raises(InputError, match="detections with 'score'"):
        geodetect.preview(flat_scene, zones=predictions())


def test_predictions_in_gaps_between_rasters_are_told(save: Save):
    pixels = np.full((3, 400, 300), 60, np.uint8)
    sheets = [
        save(pixels, "a.tif"),
        save(pixels, "b.tif", transform=METRES @ Affine.translation(600, 0)),
    ]
    with pytest.warns(GeodetectWarning, match="1 of 3 predictions lies in gaps between 2 rasters"):
        geodetect.preview(sheets, predictions())
    with pytest.raises(InputError, match="only in gaps"):
        geodetect.preview(sheets, predictions().iloc[2:])


def test_arrays_and_open_datasets_are_imagery_too(flat_scene: Path, tmp_path: Path):
    expected = np.asarray(geodetect.preview(flat_scene))
    with rasterio.open(flat_scene) as dataset:
        assert (np.asarray(geodetect.preview(dataset)) == expected).all()
    array = np.full((400, 800, 3), 60, np.uint8)
    assert geodetect.preview(array).size == geodetect.preview(flat_scene).size
    summary = geodetect.report(
        gpd.GeoDataFrame(
            {"class": ["pool"], "score": [0.9]}, geometry=[shapely.box(40, 60, 120, 100)]
        ),
        tmp_path / "page.html",
        raster=array,
        pixel_coords=True,
    )
    assert (summary.rasters, summary.detected) == (1, 1)
