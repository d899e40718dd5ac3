import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geodetect.geo import boxes as box_ops

coordinates = st.floats(-1e6, 1e6, width=32)
any_boxes = hnp.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(4)), elements=coordinates)
boxes = any_boxes.map(
    lambda b: np.hstack([np.minimum(b[:, :2], b[:, 2:]), np.maximum(b[:, :2], b[:, 2:])])
)


def test_the_area_of_a_reversed_box_is_zero() -> None:
    assert box_ops.area(np.array([[5.0, 5, 2, 9], [5, 5, 2, 2], [0, 0, 2, 3]])).tolist() == [
        0,
        0,
        6,
    ]


@given(boxes, hnp.arrays(np.float64, 4, elements=coordinates))
def test_clipping_keeps_exactly_what_is_shared(boxes: np.ndarray, corners: np.ndarray) -> None:
    frame = np.concatenate([np.minimum(*corners.reshape(2, 2)), np.maximum(*corners.reshape(2, 2))])
    clipped = box_ops.clip(boxes, frame)
    np.testing.assert_array_equal(
        box_ops.area(clipped), box_ops.intersection(boxes, np.broadcast_to(frame, boxes.shape))
    )
    assert (clipped >= np.tile(frame[:2], 2)).all()
    assert (clipped <= np.tile(frame[2:], 2)).all()
    np.testing.assert_array_equal(box_ops.clip(clipped, frame), clipped)


def test_each_box_can_have_a_frame_of_its_own() -> None:
    squares = np.array([[0.0, 0, 10, 10]] * 2)
    frames = np.array([[2.0, 2, 4, 4], [5, 0, 20, 20]])
    assert box_ops.clip(squares, frames).tolist() == [[2, 2, 4, 4], [5, 0, 10, 10]]


def test_iou_of_known_boxes() -> None:
    a = np.array([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2], [1, 1, 1, 1]])
    b = np.array([[1.0, 0, 3, 2], [0, 0, 2, 2], [2, 0, 4, 2], [1, 1, 1, 1]])
    np.testing.assert_allclose(box_ops.iou(a, b), [1 / 3, 1, 0, 0])


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a: np.ndarray, b: np.ndarray) -> None:
    n = min(len(a), len(b))
    shared = box_ops.iou(a[:n], b[:n])
    np.testing.assert_array_equal(shared, box_ops.iou(b[:n], a[:n]))
    assert ((shared >= 0) & (shared <= 1)).all()


@given(boxes, boxes)
def test_pairs_are_all_that_touch_in_order(a: np.ndarray, b: np.ndarray) -> None:
    expected = [
        [i, j]
        for i, p in enumerate(a)
        for j, q in enumerate(b)
        if (p[:2] <= q[2:]).all() and (q[:2] <= p[2:]).all()
    ]
    assert box_ops.overlap_pairs(a, b).tolist() == expected


def test_centres_lie_halfway_between_opposite_edges() -> None:
    boxes = np.array([[0.0, 2, 10, 4], [-3, -3, -1, 5]])
    assert box_ops.centres(boxes).tolist() == [[5, 3], [-2, 1]]
    assert box_ops.centres(boxes[0]).tolist() == [5, 3]
