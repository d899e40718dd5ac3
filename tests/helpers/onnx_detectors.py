"""Small ONNX graphs in the layouts of known detectors, which detect painted objects exactly.

Each pixel of an object holds its offset from the centre and the object's side, so a graph needs no
training: at every cell of its grids it reads one pixel, and returns the box that this one tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OFFSET = 128  # in place of an offset of 0
MAX_SIDE = 99  # above are other pixels, such as padding
LARGE = 21  # sides above belong to the second class
ANGLE = 0.4  # of oriented boxes, in radians
STRIDES = (8, 16, 32)
OPSET = 17
SCORE = 0.9

Pixels = NDArray[np.uint8]


def paint_objects(height: int, width: int, objects: Sequence[tuple[float, float, int]]) -> Pixels:
    """Return ``uint8[3, H, W]`` with objects: centre x and y in half pixels, odd side."""
    pixels = np.zeros((3, height, width), np.uint8)
    for x, y, side in objects:
        columns = np.arange(round(x - side / 2), round(x + side / 2))
        rows = np.arange(round(y - side / 2), round(y + side / 2))
        place = np.ix_(range(3), rows, columns)
        pixels[place] = np.stack(
            [
                np.broadcast_to(columns + 0.5 - x + OFFSET, (side, side)),
                np.broadcast_to((rows + 0.5 - y + OFFSET)[:, None], (side, side)),
                np.full((side, side), side),
            ]
        )
    return pixels


class GraphBuilder:
    """An ONNX graph of operators with one output each."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def concat(self, parts: Sequence[str], axis: int) -> str:
        return self.add("Concat", *parts, axis=axis)


class PaintedHead(GraphBuilder):
    """Centre, size and class of the object at each cell: rows ``[1, N, 1]`` in pixels.

    Args:
        side_px: Height and width of its input.
        is_single: Of all cells on an object only the one at its centre detects it.
        pixel_scale: Values of the input for a byte of 1.
    """

    def __init__(self, side_px: int, *, is_single: bool, pixel_scale: float, is_bgr: bool) -> None:
        super().__init__()
        grids = []
        for stride in STRIDES[: 1 if is_single else None]:
            ends = self.constant([side_px, side_px], np.int64)
            grid = self.add(
                "Slice",
                "images",
                self.constant([0, 0], np.int64),
                ends,
                self.constant([2, 3], np.int64),
                self.constant([stride, stride], np.int64),
            )
            grids.append(self.add("Reshape", grid, self.constant([1, 3, -1], np.int64)))
        values = self.add("Transpose", self.concat(grids, 2), perm=[0, 2, 1])
        values = self.add("Mul", values, self.constant(1 / pixel_scale))
        channels = [self._column(values, i) for i in ((2, 1, 0) if is_bgr else (0, 1, 2))]
        cells = [np.mgrid[:side_px:s, :side_px:s][::-1].reshape(2, -1).T
                 for s in STRIDES[: 1 if is_single else None]]  # fmt: skip
        self.cells = np.concatenate(cells).astype(np.float32)[None]
        self.strides = np.concatenate(
            [np.full(len(c), s) for c, s in zip(cells, STRIDES, strict=False)]
        ).astype(np.float32)[None, :, None]
        self.offsets = [self.add("Add", c, self.constant(-OFFSET)) for c in channels[:2]]
        # from the upper left corner of the cell's pixel to the centre of the object
        self.towards = [
            self.add("Add", self.add("Mul", o, self.constant(-1)), self.constant(0.5))
            for o in self.offsets
        ]
        self.size = channels[2]
        is_object = self.add(
            "And",
            self.add("Greater", self.size, self.constant(0.5)),
            self.add("Less", self.size, self.constant(MAX_SIDE + 0.5)),
        )
        if is_single:
            for offset in self.offsets:
                for limit, operator in ((-4.25, "Greater"), (3.75, "Less")):
                    near = self.add(operator, offset, self.constant(limit))
                    is_object = self.add("And", is_object, near)
        self.is_object = self.add("Cast", is_object, to=TensorProto.FLOAT)
        self.score = self.add("Mul", self.is_object, self.constant(SCORE))
        large = self.add("Greater", self.size, self.constant(LARGE + 0.5))
        self.is_large = self.add("Cast", large, to=TensorProto.FLOAT)
        small = self.add("Add", self.add("Mul", self.is_large, self.constant(-1)), self.constant(1))
        self.class_scores = [small, self.is_large]

    def centres(self) -> list[str]:
        """Return the columns of centres in pixels."""
        return [
            self.add("Add", towards, self.constant(self.cells[..., i : i + 1]))
            for i, towards in enumerate(self.towards)
        ]

    def corners(self) -> list[str]:
        """Return the columns x1, y1, x2, y2 in pixels."""
        half = self.add("Mul", self.size, self.constant(0.5))
        minus = self.add("Mul", half, self.constant(-1))
        centres = self.centres()
        return [self.add("Add", c, h) for h in (minus, half) for c in centres]

    def best(self, rows: str, count: int) -> str:
        """Return the rows with the highest scores."""
        scores = self.add("Squeeze", self.score, self.constant([0, 2], np.int64))
        self.nodes.append(
            helper.make_node("TopK", [scores, self.constant([count], np.int64)], ["top", "order"])
        )
        return self.add("Gather", rows, "order", axis=1)

    def _column(self, values: str, number: int) -> str:
        return self.add("Gather", values, self.constant([number], np.int64), axis=2)


def _yolov5(head: PaintedHead) -> dict[str, str]:
    columns = [*head.centres(), head.size, head.size, head.score, *head.class_scores]
    rows = head.concat(columns, 2)
    return {"output": head.concat([rows] * 3, 1)}  # three anchors


def _yolov8(head: PaintedHead) -> dict[str, str]:
    scores = [head.add("Mul", c, head.score) for c in head.class_scores]
    rows = head.concat([*head.centres(), head.size, head.size, *scores], 2)
    return {"output0": head.add("Transpose", rows, perm=[0, 2, 1])}


def _yolov8_obb(head: PaintedHead) -> dict[str, str]:
    scores = [head.add("Mul", c, head.score) for c in head.class_scores]
    width = head.add("Mul", head.size, head.constant(0.5))
    angle = head.add("Mul", head.is_object, head.constant(ANGLE))
    for operator in ("Cos", "Sin"):  # as the decoding of such networks
        head.add(operator, angle)
    rows = head.concat([*head.centres(), head.size, width, *scores, angle], 2)
    return {"output0": head.add("Transpose", rows, perm=[0, 2, 1])}


def _yolov10(head: PaintedHead) -> dict[str, str]:
    return {"output0": head.best(head.concat([*head.corners(), head.score, head.is_large], 2), 50)}


def _yolox(head: PaintedHead) -> dict[str, str]:
    stride = head.constant(1 / head.strides)
    offsets = [head.add("Mul", towards, stride) for towards in head.towards]
    size = head.add("Log", head.add("Max", head.add("Mul", head.size, stride), head.constant(1e-6)))
    columns = [*offsets, size, size, head.score, *head.class_scores]
    return {"output": head.concat(columns, 2)}


def _boxes_scores_labels(head: PaintedHead) -> dict[str, str]:
    labels = head.add("Cast", head.best(head.is_large, 50), to=TensorProto.INT64)
    axis = head.constant([2], np.int64)
    return {
        "labels": head.add("Squeeze", labels, axis),
        "boxes": head.add("Gather", head.concat(head.corners(), 2), "order", axis=1),
        "scores": head.add("Squeeze", head.add("Gather", head.score, "order", axis=1), axis),
    }


HEADS: dict[str, tuple[Callable[[PaintedHead], dict[str, str]], bool]] = {
    "yolov5": (_yolov5, False),
    "yolov8": (_yolov8, False),
    "yolov8-obb": (_yolov8_obb, False),
    "yolov10": (_yolov10, True),
    "yolox": (_yolox, False),
    "boxes-scores-labels": (_boxes_scores_labels, True),
}


def write_painted_detector(
    path: Path,
    layout: str = "yolov8",
    *,
    side_px: int = 64,
    metadata: Mapping[str, str] | None = None,
    takes_bytes: bool = False,
) -> Path:
    """Write an ONNX file that detects painted objects of two classes, in a layout."""
    make, is_single = HEADS[layout]
    is_yolox = layout == "yolox"
    scale = 1.0 if is_yolox or takes_bytes else 1 / 255
    head = PaintedHead(side_px, is_single=is_single, pixel_scale=scale, is_bgr=is_yolox)
    outputs = make(head)
    return write_graph(
        path,
        head,
        outputs,
        input_shape=[1, 3, side_px, side_px],
        metadata=metadata,
        input_type=TensorProto.UINT8 if takes_bytes else TensorProto.FLOAT,
    )


def write_graph(
    path: Path,
    graph: GraphBuilder,
    outputs: Mapping[str, str],
    *,
    input_shape: Sequence[int | str],
    metadata: Mapping[str, str] | None = None,
    input_type: int = TensorProto.FLOAT,
) -> Path:
    """Write a graph as an ONNX file, with its outputs renamed; its input is cast to floats."""
    if input_type != TensorProto.FLOAT:
        for node in graph.nodes:
            node.input[:] = ["floats" if name == "images" else name for name in node.input]
        cast = helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT)
        graph.nodes.insert(0, cast)
    for name, source in outputs.items():
        graph.nodes.append(helper.make_node("Identity", [source], [name]))
    integers = {"labels"}
    infos = [
        helper.make_tensor_value_info(
            name,
            TensorProto.INT64 if name in integers else TensorProto.FLOAT,
            None,
        )
        for name in outputs
    ]
    proto = helper.make_graph(
        graph.nodes,
        path.stem,
        [helper.make_tensor_value_info("images", input_type, list(input_shape))],
        infos,
        graph.constants,
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def write_cell_detector(path: Path, *, side_px: int = 64) -> Path:
    """Write an ONNX file whose three convolutions detect bright cells of 8 px, as YOLOv8."""
    graph, rng = GraphBuilder(), np.random.default_rng(0)
    cell = STRIDES[0]
    count = side_px // cell
    first = rng.normal(0, 0.01, (4, 3, cell, cell))
    first[0] = 1 / (3 * cell**2)  # mean brightness
    middle = (np.eye(4) + rng.normal(0, 0.02, (4, 4)))[:, :, None, None]
    last = np.zeros((2, 4, 1, 1))
    last[0, 0], bias = 20, [-10, -10]
    features = graph.add("Conv", "images", graph.constant(first), strides=[cell, cell])
    features = graph.add("Conv", graph.add("Relu", features), graph.constant(middle))
    features = graph.add("Relu", features)
    logits = graph.add("Conv", features, graph.constant(last), graph.constant(bias))
    shape = graph.constant([1, 2, -1], np.int64)
    scores = graph.add("Sigmoid", graph.add("Reshape", logits, shape))
    rows, columns = (cell * (np.mgrid[:count, :count] + 0.5)).reshape(2, 1, -1)
    size = np.full_like(rows, cell)
    boxes = graph.constant(np.stack([columns, rows, size, size], axis=1))
    outputs = {"output0": graph.concat([boxes, scores], 1)}
    return write_graph(path, graph, outputs, input_shape=[1, 3, side_px, side_px])


def write_constant_outputs(
    path: Path,
    outputs: Mapping[str, NDArray[Any]],
    *,
    input_shape: Sequence[int | str] = (1, 3, 64, 64),
    operators: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write an ONNX file that returns the same arrays for every image.

    Args:
        path: The file.
        outputs: Arrays by name.
        input_shape: Shape of its input.
        operators: Operators of one input that it computes besides.
        metadata: Its metadata.
    """
    graph = GraphBuilder()
    mean = graph.add("ReduceMean", "images", keepdims=0)
    for operator in operators:
        if operator == "TopK":
            count = graph.constant([1], np.int64)
            values = graph.add("Reshape", mean, graph.constant([1], np.int64))
            graph.nodes.append(helper.make_node("TopK", [values, count], ["top", "order"]))
        else:
            graph.add(operator, mean)
    nothing = graph.add("Mul", mean, graph.constant(0.0))
    results = {}
    for name, array in outputs.items():
        dtype = np.int64 if array.dtype == np.int64 else np.float32
        offset = nothing
        if dtype is np.int64:
            offset = graph.add("Cast", nothing, to=TensorProto.INT64)
        results[name] = graph.add("Add", graph.constant(array, dtype), offset)
    return write_graph(path, graph, results, input_shape=input_shape, metadata=metadata)
