"""Recognition of the layout of a graph's outputs from their shapes, names and metadata."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from geodetect.errors import InputError, ModelFileError, list_names
from geodetect.model.layouts.base import Graph, Layout, Match, Output
from geodetect.model.layouts.registry import LAYOUTS, layout_of

IMAGE_RANK = 4  # of outputs that are maps: masks, heat maps


def recognise_layout(
    graph: Graph, *, name: str | None, hint: str | None, source: str
) -> tuple[Layout, Match]:
    """Return the layout of a graph, and how it fits.

    Args:
        graph: Facts of the graph.
        name: Name of the layout, if the user states it.
        hint: Name of the layout that metadata states, which is believed if it fits.
        source: Name of the file, for errors.

    Raises:
        ModelFileError: It is no detector, or fits no layout.
        InputError: It fits several layouts, or not the stated one.
    """
    if name is not None:
        layout = layout_of(name)
        match = layout.fit(graph)
        if match is None:
            raise InputError(
                f"{source}: its outputs {_list_outputs(graph.outputs)} are not those of `layout` "
                f"{name}, {_first_sentence(layout)}; choose another `layout`"
            )
        return layout, match
    if hint is not None:
        hinted = layout_of(hint)
        match = hinted.fit(graph)
        # a layout and a number of names that both fit are no lie
        is_counted = match is not None and match.classes in (graph.classes, None)
        if match is not None and is_counted and graph.classes is not None:
            return hinted, match
    _check_task(graph, source)
    fitting = _fitting_layouts(graph, are_likely=True) or _fitting_layouts(graph, are_likely=False)
    names = [layout.name for layout, _ in fitting]
    if len(fitting) > 1 and hint in names:
        return fitting[names.index(hint)]
    if len(fitting) > 1:
        raise InputError(
            f"{source}: its outputs {_list_outputs(graph.outputs)} may be of several layouts; name "
            f"one as `layout`: {_describe(names)}"
        )
    if not fitting:
        raise ModelFileError(
            f"{source}: its outputs {_list_outputs(graph.outputs)} with an input of "
            f"{graph.input_px[1]} x {graph.input_px[0]} px are of no detector that is recognised; "
            f"expected one of {list_names(LAYOUTS, limit=len(LAYOUTS))}: name it as `layout`, or "
            f"export the model with its boxes decoded"
        )
    return fitting[0]


def _fitting_layouts(graph: Graph, *, are_likely: bool) -> list[tuple[Layout, Match]]:
    """Return the layouts that fit, only those of the number of classes if there are some.

    Args:
        graph: Facts of the graph.
        are_likely: Leave out those that are not likely.
    """
    fitting = []
    for layout in LAYOUTS.values():
        match = layout.fit(graph)
        if match is not None and (layout.is_likely(graph) or not are_likely):
            fitting.append((layout, match))
    if graph.classes is None:
        return fitting
    counts = graph.classes, graph.classes + 1
    of_count = [
        (layout, match)
        for layout, match in fitting
        if match.classes is None or match.classes in counts[: 1 + (layout.background is not None)]
    ]
    return of_count or fitting  # if none has this number of classes, that is the error to tell


def _check_task(graph: Graph, source: str) -> None:
    """Raise an error if the outputs are those of another task than detection.

    Raises:
        ModelFileError: They are.
    """
    ranks = [len(output.shape) for output in graph.outputs]
    task = ""
    if IMAGE_RANK in ranks:
        task = "segmentation"
    elif ranks == [2] and graph.outputs[0].shape[0] == 1:
        task = "classification"
    if task:
        raise ModelFileError(
            f"{source}: its outputs {_list_outputs(graph.outputs)} are those of a {task} model; "
            f"expected a detector, which returns boxes"
        )


def _list_outputs(outputs: Sequence[Output]) -> str:
    texts = []
    for output in outputs:
        lengths = ", ".join("?" if n is None else str(n) for n in output.shape)
        texts.append(f"{output.name} [{lengths}]".strip())
    return list_names(texts)


def _describe(names: Collection[str]) -> str:
    return " or ".join(f"{name} ({LAYOUTS[name].title})" for name in names)


def _first_sentence(layout: Layout) -> str:
    return (layout.__doc__ or "").partition("\n")[0].rstrip(".").replace("``", "")
