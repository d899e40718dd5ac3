from __future__ import annotations

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from PIL import Image

from geodetect import PredictSettings
from geodetect.detection.plan import GroundPlan
from geodetect.detection.plan_rasters import plan_rasters
from geodetect.errors import GeodetectWarning, InputError
from geodetect.model.card import ModelCard
from geodetect.model.network.input_size import padded_size
from geodetect.model.network.presets import network_config
from tests.conftest import METRES, Save

BLANK = np.full((3, 300, 400), 99, np.uint8)
ANYTHING = ModelCard(name="any", classes=("thing",), bands=None, tile_px=128)


def plan(path: Path, card: ModelCard = ANYTHING, **settings: object) -> GroundPlan:
    (planned,) = plan_rasters(path, card, PredictSettings(**settings))  # type: ignore[arg-type]
    return planned


def numbers(planned: GroundPlan) -> list[int]:
    return [tile.index for run in planned.runs() for tile in run.tiles]


@pytest.mark.parametrize(("gsd_m", "resampled"), [(0.2, False), (0.209, False), (0.192, False),
                                                  (0.22, True), (0.18, True)])  # fmt: skip
def test_a_raster_close_to_the_models_resolution_is_taken_as_it_is(
    gsd_m: float, resampled: bool, save: Save
) -> None:
    planned = plan(save(BLANK), ANYTHING.model_copy(update={"gsd_m": gsd_m}))
    assert (planned.grid != planned.ground.grid) == resampled
    assert planned.gsd_ratio == pytest.approx((gsd_m / 0.2 if resampled else 1,) * 2, rel=5e-3)


def test_pixels_that_are_not_square_become_square(save: Save) -> None:
    path = save(BLANK, transform=METRES @ METRES.scale(1, 2))
    assert plan(path).grid.gsd_xy_m == pytest.approx((0.2, 0.4), rel=3e-3)  # its own, unasked
    assert plan(path, gsd=0.3).grid.gsd_xy_m == pytest.approx((0.3, 0.3), rel=6e-3)


def test_a_raster_that_is_too_coarse_is_refused_unless_the_user_insists(save: Save) -> None:
    path = save(BLANK)
    fine = ANYTHING.model_copy(update={"gsd_m": 0.04})
    with pytest.raises(InputError, match=r"0\.2 m on the ground, too coarse .*set `gsd` to 0\.2"):
        plan(path, fine)
    assert plan(path, fine, gsd=0.2).gsd_ratio == (1, 1)
    assert plan(path, ANYTHING.model_copy(update={"gsd_m": 0.06})).grid.width == pytest.approx(
        400 * 0.2 / 0.06, rel=3e-3
    )


def test_a_resolution_beyond_the_models_range_is_refused(save: Save) -> None:
    card = ANYTHING.model_copy(update={"gsd_m": 0.2, "gsd_range_m": (0.15, 0.6)})
    path = save(BLANK)
    for gsd_m, hint in ((25, "25cm"), (0.002, "0.2m")):
        with pytest.raises(InputError, match=rf"expected 0\.15 to 0\.6 m: .*any; {hint}\?"):
            plan(path, card, gsd=gsd_m)
    assert plan(path, card, gsd=0.6).grid.gsd_m == pytest.approx(0.6, rel=1e-2)
    with pytest.raises(InputError, match=r"the pixels of .*scene\.tif are 0\.2 m.*; 25cm\?"):
        plan(path, gsd=25)


@pytest.mark.parametrize(
    ("bbox", "hint"),
    [
        ((6_599_950, 700_000, 6_600_000, 700_050), "with x and y exchanged"),
        ((2.9, 46.4, 3.1, 46.6), "as longitudes and latitudes"),
        ((46.4, 2.9, 46.6, 3.1), "as latitudes and longitudes"),
        ((0, 0, 400, 300), ""),
    ],
)
def test_a_box_in_other_coordinates_is_recognised(
    bbox: tuple[float, float, float, float], hint: str, save: Save
) -> None:
    with pytest.raises(InputError, match="does not touch the raster") as error:
        plan_rasters(save(BLANK), ANYTHING, PredictSettings(bbox=bbox))
    assert str(error.value).endswith(f"`bbox` does so {hint}: give min x, min y, max x, max y in "
                                     "this CRS" if hint else "in its CRS")  # fmt: skip


def test_pixel_coordinates_have_no_resolution(save: Save) -> None:
    path = save(BLANK, crs=None, transform=None)
    planned = plan(path, ANYTHING.model_copy(update={"gsd_m": 0.2}), pixel_coords=True)
    assert planned.grid.crs is None
    with pytest.raises(InputError, match="`gsd` needs a raster whose ground resolution is known"):
        plan(path, pixel_coords=True, gsd=0.2)


@pytest.mark.parametrize(
    ("overlap", "expected"), [(0, 0), (0.25, 32), (0.999, 128), (48, 48), (1, 1), (32.5, 33)]
)
def test_overlap_is_a_share_below_one_and_pixels_above(
    overlap: float, expected: int, save: Save
) -> None:
    if expected == 128:
        with pytest.raises(InputError, match="`overlap`"):
            plan(save(BLANK), overlap=overlap)
    else:
        assert plan(save(BLANK), overlap=overlap).scheme.overlap_px == expected


def test_the_largest_object_decides_the_overlap(save: Save) -> None:
    path = save(BLANK)
    for size_m, expected in ((5.0, 25 + 16), (1.0, 5 + 16), (500.0, 64)):
        card = ANYTHING.model_copy(update={"object_size_m": (0.5, 1.0, size_m)})
        assert plan(path, card).scheme.overlap_px == expected


def test_tiles_of_one_pixel_are_possible(save: Save) -> None:
    planned = plan(save(np.full((3, 3, 4), 9, np.uint8)), tile_size=1)
    assert [t.box.tolist() for t in next(planned.runs()).tiles][:2] == [[0, 0, 1, 1], [1, 0, 2, 1]]
    assert planned.tile_count == 12


def test_only_tiles_that_touch_the_box_are_read(save: Save) -> None:
    west, north = METRES @ (10, 10)
    planned = plan(save(BLANK), bbox=(west, north - 4, west + 4, north), tile_size=50, overlap=0)
    assert numbers(planned) == [0]


@pytest.mark.parametrize("overlap", [0, 30])
def test_exactly_the_tiles_that_touch_the_area_are_read_row_by_row(
    save: Save, tmp_path: Path, overlap: int
) -> None:
    ring = shapely.Point(200, 150).buffer(140) - shapely.Point(200, 150).buffer(110)
    on_map = shapely.transform(ring, lambda px: np.stack(METRES @ tuple(px.T), axis=1))
    area = area_file(tmp_path / "a.gpkg", [on_map], "EPSG:2154")
    planned = plan(save(BLANK), aoi=area, tile_size=50, overlap=overlap)
    expected = [t for t in planned.scheme if shapely.box(*t.box).intersects(planned.area)]
    assert len(expected) < len(planned.scheme)
    assert numbers(planned) == [tile.index for tile in expected]
    rows = [run.tiles for run in planned.runs()]
    assert [tile for row in rows for tile in row] == expected
    assert [{tile.row for tile in row} for row in rows] == [{row} for row in range(len(rows))]


def area_file(path: Path, polygons: list[shapely.Polygon], crs: str | None) -> Path:
    gpd.GeoDataFrame(geometry=polygons, crs=crs).to_file(path)
    return path


def test_long_edges_of_an_area_are_bent_as_the_map_bends_them(save: Save, tmp_path: Path) -> None:
    """A parallel of latitude is no straight line on a conic map: 150 km of it bulge by 300 m."""
    path = save(BLANK)
    centre = gpd.GeoSeries([shapely.Point(METRES @ (200, 150))], crs="EPSG:2154").to_crs(4326)[0]
    area = shapely.box(centre.x - 1, centre.y, centre.x + 1, centre.y + 1)  # the northern half
    planned = plan(path, aoi=area_file(tmp_path / "a.gpkg", [area], "EPSG:4326"))
    assert planned.area is not None
    ends = shapely.box(0, 0, 400, 300) & planned.area
    assert ends.area == pytest.approx(400 * 150, rel=0.01)


@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
def test_an_area_without_a_crs_is_an_error(save: Save, tmp_path: Path) -> None:
    area = area_file(tmp_path / "a.fgb", [shapely.box(0, 0, 1, 1)], None)
    with pytest.raises(InputError, match="has no coordinate reference system"):
        plan(save(BLANK), aoi=area)


def test_an_area_on_the_map_means_nothing_in_pixel_coordinates(save: Save, tmp_path: Path) -> None:
    area = area_file(tmp_path / "a.gpkg", [shapely.box(0, 0, 1, 1)], "EPSG:2154")
    path = save(BLANK, crs=None, transform=None)
    with pytest.raises(InputError, match="`bbox` in pixels"):
        plan(path, aoi=area, pixel_coords=True)
    assert numbers(plan(path, bbox=(0, 0, 10, 10), pixel_coords=True)) == [0]


def test_area_and_box_limit_together(save: Save, tmp_path: Path) -> None:
    corners = np.array([METRES @ (0, 0), METRES @ (200, 300)])
    area = area_file(
        tmp_path / "a.gpkg", [shapely.box(*corners.min(axis=0), *corners.max(axis=0))], "EPSG:2154"
    )
    west, north = METRES @ (100, 0)
    planned = plan(save(BLANK), aoi=area, bbox=(west, north - 60, west + 60, north))
    assert planned.area.bounds == pytest.approx((100, 0, 200, 300))


def test_a_table_a_column_or_a_geometry_limits_as_a_file_does(save: Save) -> None:
    corners = np.array([METRES @ (0, 0), METRES @ (200, 300)])
    area = shapely.box(*corners.min(axis=0), *corners.max(axis=0))
    column, path = gpd.GeoSeries([area], crs=2154), save(BLANK)
    for aoi in (area, column, gpd.GeoDataFrame(geometry=column), column.to_crs(4326)):
        assert plan(path, aoi=aoi).area.bounds == pytest.approx((0, 0, 200, 300), abs=0.01)
    planned = plan(path, aoi=shapely.box(0, 0, 10, 10), pixel_coords=True)
    assert planned.area.bounds == (0, 0, 10, 10)


def network_card(tile_px: int = 1024, **changes: object) -> ModelCard:
    card = ModelCard(
        name="net", classes=("thing",), tile_px=tile_px, network=network_config("geodetect")
    )
    return card.model_copy(update={"object_size_m": (3.5, 10.2, 19.4), **changes})


def pixels_computed(planned: GroundPlan) -> int:
    side = min(planned.scheme.tile_px, planned.grid.width)
    return len(planned.scheme) * math.prod(padded_size(network_card(), side, side))


@pytest.mark.parametrize("side", [300, 1024, 1500, 2795, 4096, 5000])
def test_tiles_fit_the_raster_so_that_a_network_computes_least(side: int, save: Save) -> None:
    path = save(np.zeros((3, side, side), np.uint8))
    fitting = plan(path, network_card())
    assert 768 <= fitting.scheme.tile_px <= 1792
    assert fitting.scheme.overlap_px == 97 + 16
    plans = [plan(path, network_card(), tile_size=t) for t in (*range(768, 1793, 64), 1024)]
    assert pixels_computed(fitting) == min(map(pixels_computed, plans))


def test_the_size_asked_for_is_kept_and_so_is_that_of_a_detector_without_network(
    save: Save,
) -> None:
    path = save(np.zeros((3, 1500, 1500), np.uint8))
    assert plan(path, network_card(), tile_size=1000).scheme.tile_px == 1000
    assert plan(path, network_card(network=None)).scheme.tile_px == 1024


def test_a_tile_that_is_enlarged_fills_the_input_of_its_network(save: Save) -> None:
    card = network_card(512, input_scale=800 / 512)
    planned = plan(save(np.zeros((3, 1500, 1500), np.uint8)), card)
    assert 384 <= planned.scheme.tile_px <= 932
    high = padded_size(card, planned.scheme.tile_px, planned.scheme.tile_px)[0]
    assert high - planned.scheme.tile_px * card.input_scale < 2


def test_imagery_coarser_than_the_model_is_known_for_is_told(save: Save) -> None:
    path = save(BLANK)
    card = ANYTHING.model_copy(update={"gsd_m": 0.1, "gsd_range_m": (0.1, 0.15)})
    with pytest.warns(
        GeodetectWarning, match=r"0\.2 m on the ground; .* works? on 0\.1 to 0\.15 m"
    ):
        plan(path, card)
    plan(path, card.model_copy(update={"gsd_range_m": (0.1, 0.2)}))
    plan(save(BLANK, crs=None, transform=None), card, pixel_coords=True)


def test_an_overlap_that_the_models_own_tiles_allow_is_never_too_large(save: Save) -> None:
    path = save(np.zeros((3, 1500, 1500), np.uint8))
    for overlap in (800, 1000, 0.9):
        scheme = plan(path, network_card(), overlap=overlap).scheme
        assert scheme.overlap_px >= min(overlap, 1) * 700
    with pytest.raises(InputError, match="`overlap`"):
        plan(path, network_card(), overlap=1024)


def test_tiles_never_overlap_less_than_the_models_own_would(save: Save) -> None:
    huge = network_card(object_size_m=(3.5, 10.2, 95.0))  # 475 px and the margin, of 1024
    for side in (1300, 1700, 2100):
        scheme = plan(save(np.zeros((3, side, side), np.uint8)), huge).scheme
        assert scheme.overlap_px == 475 + 16


def test_an_area_decides_which_tiles_fit(save: Save) -> None:
    path = save(np.zeros((3, 4096, 4096), np.uint8))
    west, north = METRES.c, METRES.f
    inside = plan(path, network_card(), bbox=(west, north - 120, west + 120, north))  # 600 px
    assert inside.tile_count == 1
    assert inside.scheme.tile_px == 768


def test_networks_with_tiles_of_one_pixel_are_possible(save: Save) -> None:
    card = network_card(1, input_scale=800.0)
    assert plan(save(np.zeros((3, 2, 2), np.uint8)), card).scheme.tile_px == 1


def test_photographs_that_viewers_rotate_are_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    settings = PredictSettings(pixel_coords=True)
    with pytest.warns(GeodetectWarning, match=r"1 images are stored rotated .*\(a\.jpg\)"):
        plan_rasters(tmp_path / "a.jpg", ANYTHING, settings)


TILE_SERVICE = """<GDAL_WMS><Service name="TMS">
<ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}.png</ServerUrl></Service>
<DataWindow><UpperLeftX>-20037508.34</UpperLeftX><UpperLeftY>20037508.34</UpperLeftY>
<LowerRightX>20037508.34</LowerRightX><LowerRightY>-20037508.34</LowerRightY>
<TileLevel>18</TileLevel><YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection>
<BandsCount>3</BandsCount></GDAL_WMS>"""


def test_a_web_service_is_searched_in_an_area_only(tmp_path: Path) -> None:
    path = tmp_path / "service.xml"
    path.write_text(TILE_SERVICE)
    with pytest.raises(InputError, match=r"service of [\d,]{11,} tiles; set `bbox` or `aoi`"):
        plan(path)
    box = (255_000.0, 6_250_000.0, 255_100.0, 6_250_100.0)
    assert plan(path, bbox=box).tile_count == 49
