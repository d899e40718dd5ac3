import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodetect.errors import InputError
from geodetect.geo.tiles import TileScheme


@st.composite
def tile_schemes(draw: st.DrawFn) -> TileScheme:
    tile_px = draw(st.integers(1, 40))
    overlap_px = draw(st.integers(0, tile_px - 1))
    sides = st.integers(1, 160) | st.sampled_from([1, 2, 97, 101, 127])
    return TileScheme(draw(sides), draw(sides), tile_px, overlap_px)


@given(tile_schemes())
def test_every_pixel_is_in_a_tile_and_no_tile_leaves_the_raster(scheme: TileScheme) -> None:
    covered = np.zeros((scheme.height, scheme.width), bool)
    for tile in scheme:
        x1, y1, x2, y2 = tile.box.astype(int)
        assert 0 <= x1 < x2 <= scheme.width
        assert 0 <= y1 < y2 <= scheme.height
        covered[y1:y2, x1:x2] = True
    assert covered.all()


@given(tile_schemes())
def test_neighbours_share_at_least_the_overlap_and_differ(scheme: TileScheme) -> None:
    for starts, side in ((scheme.columns, scheme.width), (scheme.rows, scheme.height)):
        shared = min(scheme.tile_px, side) - np.diff(starts)
        assert (shared >= scheme.overlap_px).all()
        assert (np.diff(starts) > 0).all()


@given(tile_schemes())
def test_no_tile_could_be_left_away(scheme: TileScheme) -> None:
    for starts, side in ((scheme.columns, scheme.width), (scheme.rows, scheme.height)):
        stride = scheme.tile_px - scheme.overlap_px
        needed = 1 if side <= scheme.tile_px else -(-(side - scheme.tile_px) // stride) + 1
        assert len(starts) == needed


@given(tile_schemes())
def test_tiles_come_row_by_row_and_all_have_the_same_size(scheme: TileScheme) -> None:
    tiles = list(scheme)
    assert tiles == list(scheme)
    assert len(tiles) == len(scheme)
    assert [tile.index for tile in tiles] == list(range(len(tiles)))
    assert [(t.y, t.x) for t in tiles] == sorted((t.y, t.x) for t in tiles)
    assert {(t.width, t.height) for t in tiles} == {
        (min(scheme.tile_px, scheme.width), min(scheme.tile_px, scheme.height))
    }
    columns = len(scheme.columns)
    assert all((t.row, t.col) == divmod(t.index, columns) for t in tiles)


def test_a_raster_smaller_than_a_tile_is_one_tile_of_its_size() -> None:
    (tile,) = TileScheme(30, 7, 512, 64)
    assert tile.box.tolist() == [0, 0, 30, 7]


def test_a_raster_of_one_pixel_is_one_tile() -> None:
    assert [tile.box.tolist() for tile in TileScheme(1, 1, 1, 0)] == [[0, 0, 1, 1]]


@pytest.mark.parametrize(("tile_px", "overlap_px"), [(0, 0), (-4, 0), (8, 8), (8, 9), (8, -1)])
def test_tiles_that_cannot_be_are_refused(tile_px: int, overlap_px: int) -> None:
    with pytest.raises(InputError, match=r"`tile_size`|`overlap`"):
        TileScheme(100, 100, tile_px, overlap_px)


@given(tile_schemes(), st.lists(st.floats(-50, 500), min_size=4, max_size=4))
def test_tiles_that_touch_a_box_are_counted_without_listing_them(
    scheme: TileScheme, edges: list[float]
) -> None:
    (x1, x2), (y1, y2) = sorted(edges[:2]), sorted(edges[2:])
    side = scheme.tile_px
    columns = [x for x in scheme.columns if x <= x2 and x + side >= x1]
    rows = [y for y in scheme.rows if y <= y2 and y + side >= y1]
    assert scheme.count_touching(np.array([x1, y1, x2, y2])) == len(columns) * len(rows)
    assert len(scheme) == len(list(scheme))


def test_the_tiles_of_a_map_of_the_world_are_counted_at_once() -> None:
    scheme = TileScheme(2**31, 2**31, 1024, 113)  # a list of them fits into no memory
    assert scheme.count_touching(np.array([1e9, 1e9, 1e9 + 4000, 1e9 + 3000])) == 30
    assert len(scheme) > 5 * 10**12
