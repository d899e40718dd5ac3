from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from rasterio.enums import ColorInterp as Colour
from rasterio.shutil import copy as copy_raster

from geodetect.errors import BandError, GeodetectError, InputError
from geodetect.geo.tiles import TileScheme, Window
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import RasterOptions
from geodetect.io.raster.values.bands import choose_bands, is_not_nodata
from geodetect.io.raster.values.stretch import Stretch
from tests.conftest import METRES, Save

RGB = [Colour.red, Colour.green, Colour.blue]


@pytest.mark.parametrize(
    ("colours", "needed", "expected"),
    [
        (RGB, 3, (1, 2, 3)),
        (RGB[::-1], 3, (3, 2, 1)),
        ([*RGB, Colour.alpha], 3, (1, 2, 3)),
        ([Colour.alpha, *RGB], None, (2, 3, 4)),
        ([*RGB, Colour.undefined], 3, (1, 2, 3)),
        ([*RGB, Colour.undefined], 4, (1, 2, 3, 4)),
        ([*RGB, Colour.undefined], None, (1, 2, 3)),
        ([Colour.undefined, *RGB[::-1], Colour.alpha], 4, (4, 3, 2, 1)),
        ([Colour.gray], 1, (1,)),
        ([Colour.gray, Colour.alpha], 1, (1,)),
        ([Colour.gray, Colour.undefined, Colour.undefined], 3, (1, 2, 3)),
        ([Colour.gray, *[Colour.undefined] * 5], None, (1, 2, 3, 4, 5, 6)),
    ],
)
def test_bands_follow_from_colours(
    colours: list[Colour], needed: int | None, expected: tuple[int, ...]
) -> None:
    assert choose_bands(colours, None, needed=needed) == expected


@pytest.mark.parametrize(
    ("colours", "needed"),
    [([Colour.gray], 3), ([Colour.gray, Colour.alpha], 3), ([Colour.gray] * 12, 3), (RGB, 4),
     (RGB, 1)],
)  # fmt: skip
def test_where_bands_are_not_plain_the_option_is_named(colours: list[Colour], needed: int) -> None:
    with pytest.raises(BandError, match=rf"the model takes {needed} bands.*`bands`") as caught:
        choose_bands(colours, None, needed=needed)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("bands", [(4,), (0,), (-1,), (1, 2, 9), (), (1, 2)])
def test_bands_that_do_not_exist_or_fit_are_refused(bands: tuple[int, ...]) -> None:
    with pytest.raises(BandError, match="`bands`"):
        choose_bands(RGB, bands, needed=3)


def test_one_band_may_be_taken_three_times(save: Save) -> None:
    gray = np.arange(100, dtype=np.uint8).reshape(10, 10)
    with open_raster(save(gray), RasterOptions(bands=(1, 1, 1)), needed_bands=3) as raster:
        values = raster.read(Window(0, 0, 10, 10)).values
    np.testing.assert_array_equal(values, np.stack([gray] * 3))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_colours_are_read_in_their_order_wherever_they_lie(order: list[int], save: Save) -> None:
    pixels = np.stack([np.full((8, 8), v, np.uint8) for v in (10, 20, 30)])[list(order)]
    near_infrared = np.full((1, 8, 8), 99, np.uint8)
    path = save(
        np.concatenate([pixels, near_infrared]),
        colours=[RGB[i] for i in order] + [Colour.undefined],
        photometric="minisblack",
    )
    with open_raster(path, needed_bands=3) as raster:
        assert raster.read(Window(0, 0, 8, 8)).values[:, 0, 0].tolist() == [10, 20, 30]
    with open_raster(path, needed_bands=4) as raster:
        assert raster.read(Window(0, 0, 8, 8)).values[:, 0, 0].tolist() == [10, 20, 30, 99]


def test_gray_is_refused_for_three_bands_with_the_option_and_the_file_named(save: Save) -> None:
    with pytest.raises(BandError, match=r"scene\.tif: .*1 gray.*`bands`, e.g. to 1,1,1"):
        open_raster(save(np.zeros((5, 5), np.uint8)), needed_bands=3)


def palette_raster(path: Path, indices: np.ndarray, table: dict[int, tuple[int, ...]]) -> Path:
    height, width = indices.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=1, dtype=indices.dtype,
        crs="EPSG:2154", transform=METRES, photometric="palette",
    ) as dataset:  # fmt: skip
        dataset.write(indices, 1)
        dataset.write_colormap(1, table)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_palette_becomes_its_colours(dtype: type, tmp_path: Path) -> None:
    count = 250 if dtype is np.uint8 else 900
    indices = np.random.default_rng(0).integers(0, count, (40, 40)).astype(dtype)
    table = {i: (i % 256, 255 - i % 256, i // 256, 255) for i in range(count)}
    path = palette_raster(tmp_path / "p.tif", indices, table)
    with open_raster(path, needed_bands=3) as raster:
        values = raster.read(Window(5, 7, 20, 30)).values
    window = indices[7:37, 5:25].astype(int)
    np.testing.assert_array_equal(values, [window % 256, 255 - window % 256, window // 256])


@pytest.mark.parametrize("needed", [1, 4])
def test_a_palette_does_not_fit_a_model_of_other_bands(needed: int, tmp_path: Path) -> None:
    path = palette_raster(tmp_path / "p.tif", np.zeros((5, 5), np.uint8), {0: (1, 2, 3, 255)})
    with pytest.raises(BandError, match=r"colour table.*`bands`"):
        open_raster(path, needed_bands=needed)


def _with_transparency(path: Path, transparent: Sequence[int]) -> Path:
    """Return a copy of a palette image as PNG, with entries that are transparent."""
    with rasterio.open(path) as dataset:
        indices, table = dataset.read(1), dataset.colormap(1)
    image = Image.fromarray(indices, "P")
    image.putpalette([value for i in range(256) for value in table[i][:3]])
    alpha = bytes(0 if i in transparent else 128 if i == 7 else 255 for i in range(256))
    image.save(path.with_suffix(".png"), transparency=alpha)
    return path.with_suffix(".png")


@pytest.mark.parametrize("bands", [None, (1,), (1, 1, 1)])
def test_transparent_colours_are_no_imagery(bands: tuple[int, ...] | None, tmp_path: Path) -> None:
    indices = np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.uint8)
    table = {i: (i, 255 - i, 9, 255) for i in range(256)}
    path = _with_transparency(palette_raster(tmp_path / "p.tif", indices, table), (254, 3))
    with open_raster(path, RasterOptions(bands=bands, pixel_coords=True)) as raster:
        expected = ~np.isin(indices, (254, 3))
        pixels = raster.read()
        np.testing.assert_array_equal(pixels.valid, expected)
        np.testing.assert_array_equal(raster.read_valid(), expected)
        assert (pixels.values[:, ~expected] == 0).all()


def test_transparency_and_nodata_of_a_palette_both_count(tmp_path: Path) -> None:
    indices = np.array([[0, 254, 255, 1]], np.uint8)
    table = {i: (i, i, i, 255) for i in range(256)}
    file = tmp_path / "both.vrt"
    copy_raster(palette_raster(tmp_path / "p.tif", indices, table), file, driver="VRT")
    text = file.read_text().replace('c1="254" c2="254" c3="254" c4="255"',
                                    'c1="254" c2="254" c3="254" c4="0"')  # fmt: skip
    file.write_text(text.replace("<ColorTable>", "<NoDataValue>255</NoDataValue><ColorTable>"))
    with open_raster(file) as raster:
        assert raster.read().valid.tolist() == [[True, False, False, True]]


@pytest.mark.parametrize("ratio", [0.5, 0.73, 1.24, 3.3])
def test_colours_do_not_mix_with_transparent_ones(ratio: float, save: Save, tmp_path: Path) -> None:
    indices = np.where(np.mgrid[:90, :110][0] // 15 % 2, 200, 3).astype(np.uint8)
    table = {i: (i, i, i, 255) for i in range(256)} | {3: (255, 0, 255, 255)}
    path = _with_transparency(palette_raster(tmp_path / "p.tif", indices, table), (3,))
    rgba = np.stack([indices] * 3 + [np.where(indices == 3, 0, 255).astype(np.uint8)])
    twin = save(rgba, colours=[*RGB, Colour.alpha])
    with (
        open_raster(path, RasterOptions(pixel_coords=True)) as palette,
        open_raster(twin, RasterOptions(pixel_coords=True)) as colours,
    ):
        expected = colours.read(grid=colours.grid.resampled(1 / ratio, 1 / ratio))
        pixels = palette.read(grid=palette.grid.resampled(1 / ratio, 1 / ratio))
    np.testing.assert_array_equal(pixels.valid, expected.valid)
    assert set(np.unique(pixels.values[:, pixels.valid])) == {200}


def test_a_palette_without_a_table_holds_grey_levels(save: Save) -> None:
    pixels = np.arange(40, dtype=np.uint8).reshape(1, 4, 10)
    with open_raster(save(pixels, colours=[Colour.palette])) as raster:
        np.testing.assert_array_equal(raster.read().values, pixels)


@pytest.mark.parametrize("ratio", [0.5, 0.73, 1.24, 2.0, 3.3])
def test_a_resampled_palette_looks_like_the_same_raster_in_rgb(
    ratio: float, save: Save, tmp_path: Path
) -> None:
    """Colours are interpolated, never their numbers; and tiles join without a seam."""
    rng = np.random.default_rng(3)
    indices = rng.integers(0, 4, (9, 11)).astype(np.uint8).repeat(12, 0).repeat(12, 1)
    table = {0: (250, 20, 20, 255), 1: (20, 20, 250, 255), 2: (0, 0, 0, 255), 3: (9, 240, 90, 255)}
    colours = np.array([table[i][:3] for i in range(4)], np.uint8)[indices].transpose(2, 0, 1)
    path = palette_raster(tmp_path / "palette.tif", indices, table)
    with open_raster(path) as palette, open_raster(save(colours)) as rgb:
        grid = rgb.grid.resampled(1 / ratio, 1 / ratio)
        for tile in TileScheme(grid.width, grid.height, 24, 5):
            expected = rgb.read(tile, grid).values.astype(int)
            values = palette.read(tile, grid).values.astype(int)
            inner = (slice(None), slice(3, -3), slice(3, -3))
            assert np.abs(values - expected)[inner].max(initial=0) <= 24
            assert np.abs((values - expected).mean()) < 1.5


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64", "int32"])
def test_a_value_becomes_the_same_byte_in_every_tile(dtype: str, save: Save) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(100, 4000, (3, 120, 170)).astype(dtype)
    pixels[:, :40, :50] //= 20  # a dark corner that a rule of each tile would brighten
    with open_raster(save(pixels)) as raster:
        low, high = np.percentile(pixels, [0.5, 99.5])
        assert raster.stretch == Stretch(low, high, estimated=True)
        whole = np.zeros(pixels.shape, np.uint8)
        for tile in TileScheme(170, 120, 32, 8):
            box = np.s_[:, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            whole[box] = raster.read(tile).values
    expected = np.rint((np.clip(pixels.astype(float), low, high) - low) * 255 / (high - low))
    np.testing.assert_array_equal(whole, expected)


def test_a_stated_value_range_is_taken_as_it_is(save: Save) -> None:
    pixels = np.array([[[0, 100, 140, 200, 60_000]]], np.uint16)
    with open_raster(save(pixels), RasterOptions(value_range=(100, 200))) as raster:
        assert raster.read(Window(0, 0, 5, 1)).values.tolist() == [[[0, 0, 102, 255, 255]]]


@pytest.mark.parametrize("value_range", [(5, 5), (9, 1), (0, float("nan")), (0, float("inf"))])
def test_a_value_range_that_is_none_is_refused(
    value_range: tuple[float, float], save: Save
) -> None:
    path = save(np.zeros((3, 4, 4), np.uint16))
    with pytest.raises(InputError, match=r"scene\.tif: `value_range`"):
        open_raster(path, RasterOptions(value_range=value_range))


@pytest.mark.parametrize("value", [0, 7, -3.4e38, 1e20, -1e-30, np.nan, np.inf])
def test_a_constant_raster_becomes_a_constant(value: float, save: Save) -> None:
    with open_raster(save(np.full((1, 20, 20), value, np.float32))) as raster:
        pixels = raster.read(Window(0, 0, 20, 20))
    assert len(np.unique(pixels.values)) == 1
    assert pixels.valid.all() == np.isfinite(np.float32(value))


def test_bands_of_different_types_are_read_together(save: Save, tmp_path: Path) -> None:
    save(np.full((6, 6), 7, np.uint8), "a.tif")
    save(np.full((6, 6), 700, np.uint16), "b.tif")
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{i}"><SimpleSource><SourceFilename '
        f'relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        f"</VRTRasterBand>"
        for i, (kind, name) in enumerate([("Byte", "a.tif"), ("UInt16", "b.tif")], start=1)
    )
    path = tmp_path / "mixed.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="6" rasterYSize="6"><SRS>EPSG:2154</SRS><GeoTransform>'
        f"700000,0.2,0,6600000,0,-0.2</GeoTransform>{bands}</VRTDataset>"
    )
    with open_raster(path, RasterOptions(value_range=(0, 1000))) as raster:
        values = raster.read(Window(0, 0, 6, 6)).values
    assert values[:, 0, 0].tolist() == [2, 178]


def test_complex_numbers_are_refused(save: Save) -> None:
    with pytest.raises(InputError, match="complex numbers; expected real"):
        open_raster(save(np.zeros((1, 4, 4), np.complex64)))


@given(
    hnp.arrays(np.float32, 30, elements=st.floats(-(2.0**100), 2.0**100, width=32)),
)
def test_any_sample_makes_a_rule_that_keeps_the_order(sample: np.ndarray) -> None:
    stretch = Stretch.from_sample(sample)
    scaled = stretch(np.sort(sample)).astype(int)
    assert (np.diff(scaled) >= 0).all()


@pytest.mark.parametrize(
    ("values", "nodata", "expected"),
    [
        (np.array([0, 1, 255], np.uint8), 0.0, [False, True, True]),
        (np.array([0, 1, 255], np.uint8), -9999.0, [True, True, True]),
        (np.array([0, 1, 255], np.uint8), 256.0, [True, True, True]),
        (np.array([0, 1, 255], np.uint8), 0.5, [True, True, True]),
        (np.array([0, 1, 255], np.uint8), float("nan"), [True, True, True]),
        (np.array([-32768, 5], np.int16), -32768.0, [False, True]),
        (np.array([-3.4e38, 5], np.float32), -3.4e38, [False, True]),
        (np.array([0.1, 5], np.float32), 0.1, [False, True]),
        (np.array([np.nan, 5], np.float32), float("nan"), [False, True]),
        (np.array([np.nan, 5], np.float32), None, [True, True]),
    ],
)
def test_nodata_is_compared_in_the_type_of_the_file(
    values: np.ndarray, nodata: float | None, expected: list[bool]
) -> None:
    assert is_not_nodata(values, nodata).tolist() == expected


def test_every_refusal_is_an_error_of_ours() -> None:
    assert issubclass(BandError, GeodetectError)
    assert issubclass(BandError, ValueError)


def test_thousands_of_bands_are_not_read_unasked(save: Save) -> None:
    path = save(np.ones((1025, 8, 8), np.uint8), "bands.tif", interleave="pixel")
    with pytest.raises(BandError, match=r"1,025 bands.*set `bands`"):
        open_raster(path)
    with open_raster(path, RasterOptions(bands=(1, 1025))) as raster:
        assert raster.read().values.shape == (2, 8, 8)
