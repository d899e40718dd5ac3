from __future__ import annotations

import pytest

from geodetect.errors import InputError, ModelFileError
from geodetect.model.layouts.base import Graph, Output
from geodetect.model.onnx_import.recognition import recognise_layout

SIZE = (640, 640)
CELLS = 8400


def recognise(
    *shapes: tuple[int | None, ...],
    operators: tuple[str, ...] = (),
    classes: int | None = None,
    name: str | None = None,
    hint: str | None = None,
    names: tuple[str, ...] = (),
) -> str:
    names = names or tuple(f"output{i}" for i in range(len(shapes)))
    outputs = tuple(
        Output(n, shape, is_integer=n.endswith("!")) for n, shape in zip(names, shapes, strict=True)
    )
    graph = Graph(SIZE, outputs, frozenset(operators), classes)
    return recognise_layout(graph, name=name, hint=hint, source="m.onnx")[0].name


@pytest.mark.parametrize(
    ("layout", "shapes", "operators"),
    [
        ("yolov5", [(1, 3 * CELLS, 85)], ()),
        ("yolov6", [(1, CELLS, 85)], ("Sub",)),
        ("yolov8", [(1, 84, CELLS)], ("Sub",)),
        ("yolov8-obb", [(1, 20, CELLS)], ("Sub", "Cos", "Sin")),
        ("yolov10", [(1, 300, 6)], ("TopK", "Sub")),
        ("yolov10", [(1, None, 6)], ("NonMaxSuppression", "Sub")),
        ("yolov10-obb", [(1, 300, 7)], ("TopK", "Cos", "Sin")),
        ("yolov7-nms", [(None, 7)], ("NonMaxSuppression",)),
        ("yolox", [(1, CELLS, 85)], ()),
        ("yolox-decoded", [(1, CELLS, 85)], ("Exp",)),
        ("nanodet", [(1, n, d) for d in (80, 32) for n in (6400, 1600, 400)], ()),
        ("nanodet-plus", [(1, CELLS + 100, 112)], ()),
        ("rtdetr", [(1, 300, 84)], ("GridSample", "TopK", "Sub")),
        ("boxes-scores", [(1, 4420, 4), (1, 4420, 2)], ()),
    ],
)
def test_layouts_are_recognised_by_shapes_and_operators(
    layout: str, shapes: list[tuple[int | None, ...]], operators: tuple[str, ...]
) -> None:
    assert recognise(*shapes, operators=operators) == layout


@pytest.mark.parametrize(
    ("layout", "outputs"),
    [
        ("detr", {"dets": (1, 300, 4), "labels": (1, 300, 91)}),
        ("detr", {"logits": (1, 300, 80), "pred_boxes": (1, 300, 4)}),
        ("boxes-scores-labels", {"labels!": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}),
        ("boxes-scores-labels", {"dets": (1, 100, 5), "labels!": (1, 100)}),
        ("torchvision", {"a": (None, 4), "b": (None,), "c!": (None,)}),
    ],
)
def test_several_outputs_are_told_apart_by_names_and_types(
    layout: str, outputs: dict[str, tuple[int | None, ...]]
) -> None:
    assert recognise(*outputs.values(), names=tuple(outputs)) == layout


def test_ambiguous_outputs_name_the_candidates_and_the_option() -> None:
    shape, operators = (1, CELLS + 100, 37), ("Sub",)
    with pytest.raises(InputError, match=r"name one as `layout`: yolov6 .* or nanodet-plus"):
        recognise(shape, operators=operators)
    assert recognise(shape, operators=operators, name="nanodet-plus") == "nanodet-plus"
    assert recognise(shape, operators=operators, hint="yolov6") == "yolov6"
    assert recognise(shape, operators=operators, classes=5) == "nanodet-plus"
    assert recognise(shape, operators=operators, classes=32) == "yolov6"


def test_best_boxes_of_transformers_are_told_from_scores_of_two_classes_by_their_number() -> None:
    shape, operators = (1, 300, 6), ("GridSample", "TopK")
    assert recognise(shape, operators=operators, classes=80) == "rtdetr-topk"
    assert recognise(shape, operators=operators, classes=2, hint="rtdetr") == "rtdetr"
    with pytest.raises(InputError, match=r"rtdetr .* or rtdetr-topk"):
        recognise(shape, operators=operators, classes=2)


def test_a_stated_layout_that_does_not_fit_is_refused_with_both_shapes() -> None:
    with pytest.raises(InputError, match=r"output0 \[1, 84, 8400\] are not those .* yolov5"):
        recognise((1, 84, CELLS), name="yolov5")
    with pytest.raises(ModelFileError, match=r"unknown layout 'yolo8'.*did you mean yolov8"):
        recognise((1, 84, CELLS), name="yolo8")


def test_metadata_that_names_a_layout_of_other_shapes_is_not_believed() -> None:
    assert recognise((1, 84, CELLS), hint="yolov5") == "yolov8"


def test_metadata_that_fit_outputs_and_names_are_believed() -> None:
    shape, operators = (1, None, 6), ("NonMaxSuppression",)
    assert recognise(shape, operators=operators, classes=1) == "yolov10"
    assert recognise(shape, operators=operators, classes=1, hint="yolov5") == "yolov5"
    assert recognise(shape, operators=operators, classes=2, hint="yolov5") == "yolov10"


def test_models_of_other_tasks_are_told() -> None:
    with pytest.raises(ModelFileError, match="classification model"):
        recognise((1, 1000))
    with pytest.raises(ModelFileError, match="segmentation model"):
        recognise((1, 116, CELLS), (1, 32, 160, 160))
    with pytest.raises(ModelFileError, match="no detector that is recognised"):
        recognise((1, 77, 33), (1, 5, 9))


@pytest.mark.parametrize(("classes", "layout"), [(2, "yolov8"), (1, "yolov8-obb"), (5, "yolov5")])
def test_outputs_of_no_grid_are_told_by_the_number_of_classes(classes: int, layout: str) -> None:
    shape = (1, 6, 10)
    if layout == "yolov5":
        with pytest.raises(InputError, match=r"yolov5 .* or yolov6"):
            recognise(shape, classes=classes)
        assert recognise(shape, classes=classes, name=layout) == layout
    else:
        assert recognise(shape, classes=classes) == layout
