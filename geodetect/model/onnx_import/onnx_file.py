"""ONNX files: checked, with their operators and metadata.

Weights in other files and operators of other domains are refused: the first name paths that the
author of a file chooses, the second need code that does not come with it.

Source of the field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from geodetect.errors import ModelFileError, list_names
from geodetect.model.foreign_files import ONNX, foreign_kind
from geodetect.model.onnx_import.protobuf import Message

MAX_BYTES = 2**31 - 1  # of a message of protobuf
MAX_OPSET = 28  # of ONNX 1.23; OpenVINO reads operators of a newer one as those that it has
STANDARD_DOMAINS = ("", "ai.onnx")
EXTERNAL = 1  # data location of a tensor

# fields of ModelProto
PRODUCER, GRAPH, METADATA, FUNCTIONS, OPSETS = 2, 7, 14, 25, 8
# of GraphProto, and of FunctionProto
GRAPH_NODES, INITIALIZERS, SPARSE_INITIALIZERS, FUNCTION_NODES = 1, 5, 15, 7
FUNCTION_NAME, FUNCTION_DOMAIN = 1, 10
# of NodeProto
OPERATOR, ATTRIBUTES, NODE_DOMAIN = 4, 5, 7
# of AttributeProto: those that hold tensors, sparse tensors and graphs
TENSORS, SPARSE_TENSORS, GRAPHS = (5, 10), (22, 23), (6, 11)
# of SparseTensorProto and TensorProto
SPARSE_PARTS, TENSOR_NAME, EXTERNAL_DATA, DATA_LOCATION = (1, 2), 8, 13, 14
# of OperatorSetIdProto and StringStringEntryProto
OPSET_DOMAIN, OPSET_VERSION, KEY, VALUE = 1, 2, 1, 2


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that holds all its weights and standard operators only.

    Args:
        path: The file.
        content: Its bytes.
        producer: Program that wrote it; empty: not stated.
        opset: Version of the standard operators; 0: not stated.
        operators: Names of the operators of all its graphs.
        metadata: Metadata of the program that wrote it, by key.
    """

    path: Path
    content: bytes
    producer: str
    opset: int
    operators: frozenset[str]
    metadata: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> OnnxFile:
        """Read and check a file.

        Raises:
            ModelFileError: It cannot be read, is no ONNX file, keeps weights in other files, or
                needs operators of another domain.
        """
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise ModelFileError(
                    f"{path}: {size / 1e9:.1f} GB; an ONNX file is smaller than 2.1 GB, as "
                    f"protobuf demands: export a smaller network"
                )
            content = path.read_bytes()
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error})") from error
        model = Message(memoryview(content))
        try:
            graphs = list(model.messages(GRAPH))
            if len(graphs) != 1:
                raise ModelFileError(f"found {len(graphs)} graphs in it")
            graph = _Graph(path)
            graph.add(graphs[0], list(model.messages(FUNCTIONS)))
            opsets = {
                m.text(OPSET_DOMAIN): m.integer(OPSET_VERSION) for m in model.messages(OPSETS)
            }
            metadata = {entry.text(KEY): entry.text(VALUE) for entry in model.messages(METADATA)}
            producer = model.text(PRODUCER)
        except _UnusableGraphError as error:
            raise ModelFileError(str(error)) from error
        except ModelFileError as error:
            kind = foreign_kind(path)
            name = "" if kind is None or kind.suffix == ONNX else f" but {kind.name}"
            raise ModelFileError(
                f"{path}: not an ONNX model{name}, or a damaged one ({error}); expected a detector "
                f"exported as {ONNX}"
            ) from error
        opset = next((opsets[domain] for domain in STANDARD_DOMAINS if domain in opsets), 0)
        if opset > MAX_OPSET:
            raise ModelFileError(
                f"{path}: uses opset {opset} of ONNX, expected up to {MAX_OPSET}; export it with "
                f"an older one"
            )
        return cls(path, content, producer, opset, frozenset(graph.operators), metadata)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()


def is_onnx_file(path: Path) -> bool:
    """Return True if the name of a file is that of an ONNX model."""
    return path.suffix.lower() == ONNX


class _UnusableGraphError(ModelFileError):
    """A graph that is read well, but cannot be converted."""


class _Graph:
    """Operators of a graph and of the graphs in it, whose tensors are checked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.operators: set[str] = set()

    def add(self, graph: Message, functions: list[Message]) -> None:
        """Add the operators of a graph and of the functions that the file defines.

        Raises:
            ModelFileError: The graph cannot be used.
        """
        defined = {(f.text(FUNCTION_DOMAIN), f.text(FUNCTION_NAME)) for f in functions}
        custom = set()
        # a stack: graphs nest as deep as the author of the file likes
        nodes, graphs = [list(f.messages(FUNCTION_NODES)) for f in functions], [graph]
        while graphs or nodes:
            if graphs:
                inner = graphs.pop()
                self._check_tensors(inner.messages(INITIALIZERS))
                for sparse in inner.messages(SPARSE_INITIALIZERS):
                    self._check_tensors(sparse.messages(*SPARSE_PARTS))
                nodes.append(list(inner.messages(GRAPH_NODES)))
            for node in nodes.pop():
                operator, domain = node.text(OPERATOR), node.text(NODE_DOMAIN)
                self.operators.add(operator)
                if domain not in STANDARD_DOMAINS and (domain, operator) not in defined:
                    custom.add(f"{domain}.{operator}")
                for attribute in node.messages(ATTRIBUTES):
                    self._check_tensors(attribute.messages(*TENSORS))
                    for sparse in attribute.messages(*SPARSE_TENSORS):
                        self._check_tensors(sparse.messages(*SPARSE_PARTS))
                    graphs += attribute.messages(*GRAPHS)
        if not self.operators:
            raise ModelFileError("its graph is empty")
        if custom:
            raise _UnusableGraphError(
                f"{self._path}: needs custom operators, which run code of others: "
                f"{list_names(sorted(custom))}; export it with operators of ONNX only, such as "
                f"without a TensorRT plugin"
            )

    def _check_tensors(self, tensors: Iterator[Message]) -> None:
        for tensor in tensors:
            is_external = tensor.integer(DATA_LOCATION) == EXTERNAL
            if is_external or any(True for _ in tensor.messages(EXTERNAL_DATA)):
                name = tensor.text(TENSOR_NAME) or "a constant"
                raise _UnusableGraphError(
                    f"{self._path}: keeps the weights of {name} in another file, which is not "
                    f"read; export it as one file, without external data"
                )
