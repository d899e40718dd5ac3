import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geodetect.arrays.summed_area import SummedAreaTable

edges = st.floats(0, 12, allow_nan=False)


@given(
    mask=arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    box=st.tuples(edges, edges, st.floats(0.01, 12), st.floats(0.01, 12)),
)
def test_a_fraction_is_the_mean_of_the_pixels_that_a_box_touches(mask, box) -> None:
    x1, y1, width, height = box
    boxes = np.array([[x1, y1, x1 + width, y1 + height]])
    touched = mask[int(y1) : int(np.ceil(y1 + height)), int(x1) : int(np.ceil(x1 + width))]
    expected = touched.mean() if touched.size else 0.0
    assert SummedAreaTable(mask).fractions(boxes).tolist() == [expected]


def test_pixels_beyond_the_mask_do_not_count() -> None:
    table = SummedAreaTable(np.array([[True, False], [True, True]]))
    boxes = np.array([[-5.0, -5, 9, 9], [-3, 0, 1, 1], [1, 0, 7, 1], [5, 5, 9, 9]])
    assert table.fractions(boxes).tolist() == [0.75, 1.0, 0.0, 0.0]
