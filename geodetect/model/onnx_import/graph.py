"""Graphs of ONNX files in OpenVINO: input of a fixed size, with the preprocessing as part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodetect.errors import InputError, ModelFileError, list_names, translate_errors
from geodetect.model.layouts.base import Graph, Output, Preprocessing, Size
from geodetect.model.onnx_import.onnx_file import OnnxFile
from geodetect.model.runtimes.openvino_library import (
    import_openvino,
    no_telemetry,
    number_nodes,
    open_core,
)
from geodetect.model.runtimes.stored_networks import NETWORK
from geodetect.types import AnyArray, UInt8Array

MAX_CHANNELS = 32  # of an image
RGB = 3
DEFAULT_PX = 640  # side of the input of a graph of any size
MULTIPLE_PX = 32  # of sides of inputs
UNKNOWN_OPERATORS = re.compile(r"No conversion rule found for operations: (.+)")
# beginnings of lines in errors of OpenVINO that tell where it noticed, not what is wrong
NO_REASON = ("Exception from", "Check ", "FrontEnd API", "Model wasn't", "Summary", "--")
MAX_REASON = 300  # characters
SIZE_INPUT = 2  # columns of the input of RT-DETR and D-FINE with the size of the image


@dataclass(frozen=True)
class ImageInput:
    """Input of a graph that takes the image.

    Args:
        name: Its name.
        channels: Number of channels.
        size_px: Height and width; None: any length.
        has_batch: Its first dimension is the batch.
        channels_last: The channels are its last dimension.
    """

    name: str
    channels: int
    size_px: tuple[int | None, int | None]
    has_batch: bool
    channels_last: bool

    def shape(self, height: int, width: int) -> list[int]:
        """Return the shape for one image."""
        image = [height, width]
        image.insert(2 if self.channels_last else 0, self.channels)
        return [1] * self.has_batch + image


class OnnxGraph:
    """Graph of an ONNX file for images of one size.

    Args:
        file: The file.
        tile_px: Side of its input, where the graph takes images of any size; None: that of
            ``stated_px``, else 640 px.
        stated_px: Height and width of its input in the metadata.

    Attributes:
        input_px: Height and width of its input.
        channels: Number of channels of its input.
        takes_bytes: Its input is whole numbers.

    Raises:
        ModelFileError: OpenVINO cannot read it, or it takes something else than an image.
        InputError: It takes no images of this size.
    """

    def __init__(self, file: OnnxFile, *, tile_px: int | None, stated_px: Size | None) -> None:
        self._file = file
        self._ov = import_openvino()
        self._library = f"OpenVINO {self._ov.get_version().partition('-')[0]}"
        self._core = open_core()
        self._model = self._read()
        image = self._find_image()
        self.channels = image.channels
        self.takes_bytes = self._model.input(image.name).get_element_type().is_integral()
        self.input_px = self._choose_size(image, tile_px, stated_px)
        self._fix_sizes(image)
        self._image = image

    def facts(self, classes: int | None) -> Graph:
        """Return the facts of the graph by which its layout is recognised.

        Args:
            classes: Number of classes, where names are stated.
        """
        outputs = [
            Output(
                output.get_any_name() if output.get_names() else "",
                tuple(_lengths(output)),
                is_integer=output.get_element_type().is_integral(),
            )
            for output in self._model.outputs
        ]
        return Graph(self.input_px, tuple(outputs), self._file.operators, classes)

    def converted(self, outputs: Sequence[int], preprocessing: Preprocessing) -> Any:
        """Return the graph as a model file holds it, an ``openvino.Model``.

        Args:
            outputs: Numbers of the outputs that it keeps, in their order.
            preprocessing: Form in which pixels enter the network.

        Returns:
            The graph: in ``uint8[1, C, H, W]``, out the outputs, real ones as float32.
        """
        ops = self._ov.opset13
        height, width = self.input_px
        pixels = ops.parameter([1, self.channels, height, width], np.uint8, name="pixels")
        parameter = next(
            p for p in self._model.get_parameters() if self._image.name in p.output(0).get_names()
        )
        values = ops.convert(pixels, np.float32)
        if preprocessing.is_bgr:
            reverse = np.arange(self.channels)[::-1].copy()
            values = ops.gather(values, ops.constant(reverse), ops.constant(1))
        shape = (1, self.channels, 1, 1)
        mean = np.array(preprocessing.mean, np.float64).reshape(shape)
        std = np.array(preprocessing.std, np.float64).reshape(shape)
        if mean.any():
            values = ops.subtract(values, ops.constant((mean * 255).astype(np.float32)))
        if not np.allclose(std, 1 / 255):
            values = ops.divide(values, ops.constant((std * 255).astype(np.float32)))
        if self._image.channels_last:
            values = ops.transpose(values, ops.constant([0, 2, 3, 1]))
        if not self._image.has_batch:
            values = ops.squeeze(values, ops.constant([0]))
        values = ops.convert(values, parameter.get_element_type().to_dtype())
        parameter.output(0).replace(values.output(0))
        results: list[Any] = []
        for number in outputs:
            source = self._model.outputs[number].get_node().input_value(0)
            is_real = source.get_element_type().is_real()
            output = ops.convert(source, np.float32).output(0) if is_real else source
            output.get_tensor().set_names({f"output{len(results)}"})
            results.append(ops.result(output))
        network = self._ov.Model(results, [pixels], NETWORK)
        number_nodes(network, NETWORK)
        return network

    def run(self, model: Any, pixels: UInt8Array) -> list[AnyArray]:
        """Return the outputs of a converted graph for ``pixels``, ``uint8[C, H, W]``.

        Raises:
            ModelFileError: OpenVINO cannot run it.
        """
        with self._reading(f"cannot be run by {self._library}"):
            compiled = self._core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            outputs = compiled.create_infer_request().infer([pixels[None]])
            return [np.array(outputs[i]) for i in range(len(compiled.outputs))]

    def _read(self) -> Any:
        remedy = f"; export it with another opset, such as 17 (found {self._file.opset})"
        with self._reading(f"cannot be read by {self._library}", remedy), no_telemetry():
            return self._core.read_model(model=self._file.content)

    @contextmanager
    def _reading(self, problem: str, remedy: str = "") -> Iterator[None]:
        """Raise errors of OpenVINO as ``ModelFileError``, with their reason alone."""
        subject = f"{self._file.path}: {problem}"
        try:
            with translate_errors(subject, ModelFileError):
                yield
        except ModelFileError as error:
            text = str(error.__cause__)
            unknown = UNKNOWN_OPERATORS.search(text)
            if unknown is not None:
                raise ModelFileError(
                    f"{subject}, which has no operator {unknown[1]} (the number is the opset); "
                    f"export the model with other operators, or another opset"
                ) from error
            lines = [line for line in text.splitlines() if not line.startswith(NO_REASON)]
            raise ModelFileError(
                f"{subject} ({' '.join(' '.join(lines).split())[:MAX_REASON]}){remedy}"
            ) from error

    def _find_image(self) -> ImageInput:
        """Return the input that takes the image.

        Raises:
            ModelFileError: There is none, or another that is not the size of the image.
        """
        images, unknown = list[ImageInput](), list[str]()
        for source in self._model.inputs:
            name = source.get_any_name()
            lengths = _lengths(source)
            image = _as_image(name, lengths)
            is_size = len(lengths) == 2 and lengths[1] == SIZE_INPUT
            if image is not None:
                images.append(image)
            elif not (is_size and source.get_element_type().is_integral()):
                unknown.append(name)
        if len(images) != 1 or unknown:
            listed = list_names(
                f"{source.get_any_name()} {_shape_text(source)}" for source in self._model.inputs
            )
            raise ModelFileError(
                f"{self._file.path}: takes {listed or 'no input'}; expected one image, as "
                f"[1, channels, height, width]"
            )
        batch = _lengths(self._model.input(images[0].name))[0] if images[0].has_batch else 1
        if batch not in (1, None):
            raise ModelFileError(
                f"{self._file.path}: takes {batch} images at once; expected one: export it with a "
                f"batch of 1, or of any size"
            )
        return images[0]

    def _choose_size(self, image: ImageInput, tile_px: int | None, stated_px: Size | None) -> Size:
        rows, columns = image.size_px
        if rows is not None and columns is not None:
            if tile_px is not None and tile_px != min(rows, columns):
                raise InputError(
                    f"{self._file.path}: its input is fixed to {columns} x {rows} px, found a "
                    f"`tile_size` of {tile_px}; leave it out, or export the model for that size"
                )
            return rows, columns
        if tile_px is not None:
            height = width = tile_px
        else:
            height, width = stated_px or (DEFAULT_PX, DEFAULT_PX)
        if height % MULTIPLE_PX or width % MULTIPLE_PX:
            raise InputError(
                f"{self._file.path}: an input of {width} x {height} px; expected multiples of "
                f"{MULTIPLE_PX} px: choose another `tile_size`"
            )
        return rows or height, columns or width

    def _fix_sizes(self, image: ImageInput) -> None:
        """Fix batch and size of the input; inputs with the size of the image become constants."""
        height, width = self.input_px
        ops = self._ov.opset13
        with self._reading(f"takes no image of {width} x {height} px, says {self._library}"):
            for parameter in self._model.get_parameters():
                if image.name in parameter.output(0).get_names():
                    continue
                dtype = parameter.get_element_type().to_dtype()
                size = ops.constant(np.array([[width, height]], dtype))
                parameter.output(0).replace(size.output(0))
                self._model.remove_parameter(parameter)
            self._model.reshape({image.name: image.shape(height, width)})
        self._inline_branches()
        self._keep_slices()
        self._sum_distributions()

    def _inline_branches(self) -> None:
        """Replace conditions of which one branch is an empty constant by the other branch.

        PyTorch's exporter returns such a constant where there are no boxes to suppress. OpenVINO
        reads it as one number, and so returns a box of arbitrary bytes. The other branch returns
        nothing for no boxes, too.
        """
        for node in self._model.get_ops():
            if node.get_type_name() != "If":
                continue
            bodies = [node.get_function(number) for number in (0, 1)]
            are_empty = [_is_number(body) for body in bodies]
            if are_empty[0] == are_empty[1]:
                continue
            number = are_empty.index(False)
            parameters, results = bodies[number].get_parameters(), bodies[number].get_results()
            for link in node.get_input_descriptions(number):
                source = node.input_value(link.input_index)
                parameters[link.body_parameter_index].output(0).replace(source)
            for link in node.get_output_descriptions(number):
                value = results[link.body_value_index].input_value(0)
                node.output(link.output_index).replace(value)

    def _sum_distributions(self) -> None:
        """Compute the means of the distributions of YOLO's distances without a convolution.

        Convolutions run in bf16 where that is faster, which would move the sides of large boxes by
        pixels; what follows the last one is computed in fp32.
        """
        ops = self._ov.opset13
        for node in self._model.get_ops():
            if node.get_type_name() != "Convolution":
                continue
            weights = node.input_value(1).get_node()
            if weights.get_type_name() != "Constant":
                continue
            values = weights.data
            if values.shape[0] == 1 < values.size == values.shape[1]:
                bins = values.astype(np.float32)
                if (bins.ravel() == np.arange(values.size)).all():
                    product = ops.multiply(node.input_value(0), ops.constant(values.copy()))
                    mean = ops.reduce_sum(product, ops.constant([1]), keep_dims=True)
                    node.output(0).replace(mean.output(0))

    def _keep_slices(self) -> None:
        """Keep OpenVINO from removing slices before ``GatherElements``.

        It takes them for needless, and then refuses the graph as its shapes do not fit: oriented
        YOLO26. A maximum with the lowest number changes nothing and stands between the two.
        """
        ops = self._ov.opset13
        for node in self._model.get_ops():
            if node.get_type_name() != "GatherElements":
                continue
            data = node.input_value(0)
            if "Slice" in data.get_node().get_type_name() and data.get_element_type().is_real():
                dtype = data.get_element_type().to_dtype()
                untouched = ops.maximum(data, ops.constant(np.finfo(dtype).min, dtype))
                node.input(0).replace_source_output(untouched.output(0))


def _is_number(body: Any) -> bool:
    """Return True if a branch returns constants without dimensions, and nothing else."""
    kinds = {node.get_type_name() for node in body.get_ops()}
    return kinds == {"Constant", "Result"} and not any(map(_lengths, body.outputs))


def _lengths(source: Any) -> list[int | None]:
    """Return the dimensions of an input or output; none if even their number is open."""
    shape = source.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [d.get_length() if d.is_static else None for d in shape]


def _shape_text(source: Any) -> str:
    return f"[{', '.join('?' if n is None else str(n) for n in _lengths(source))}]"


def _as_image(name: str, lengths: Sequence[int | None]) -> ImageInput | None:
    """Return an input of this shape as that of an image; None: it is not."""
    if len(lengths) not in (3, 4):
        return None
    has_batch = len(lengths) == 4
    first, *_, last = image = lengths[has_batch:]
    is_last = last in (1, RGB) and first not in (1, RGB)
    channels = last if is_last else first
    if channels is None:
        channels = RGB
    if channels > MAX_CHANNELS:
        return None
    height, width = image[:2] if is_last else image[1:]
    return ImageInput(name, channels, (height, width), has_batch, is_last)
